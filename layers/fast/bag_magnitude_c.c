/* The magnitude of a modulation (E17) over a bag, and back to rows: see bag_magnitude_c.py.

   x: (U, d) rows, to each of which the bias (d,) is added, if there is one. Entry p is row row_index[p], counts[p]
   times; without row_index row p, without counts once. Text t has the entries offsets[t] ≤ p < offsets[t + 1]. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const int64_t *row_index, *counts, *offsets;
    int64_t texts;
} Bag;

static inline int64_t row_of(const Bag *bag, int64_t p) { return bag->row_index ? bag->row_index[p] : p; }

static inline double count_of(const Bag *bag, int64_t p) { return bag->counts ? (double)bag->counts[p] : 1; }

/* G_tk = sqrt(Σ_p c_p·x_pk²) of the entries p of text t. G: (B, d). */
static void measure(const float *restrict x, const float *restrict bias, const Bag *bag, int64_t d, double *restrict G)
{
    for (int64_t t = 0; t < bag->texts; t++) {
        double *restrict of_text = G + t * d;
        for (int64_t k = 0; k < d; k++)
            of_text[k] = 0;
        for (int64_t p = bag->offsets[t]; p < bag->offsets[t + 1]; p++) {
            const float *restrict row = x + row_of(bag, p) * d;
            const double count = count_of(bag, p);
            for (int64_t k = 0; k < d; k++) {
                const double value = bias ? row[k] + bias[k] : row[k];
                of_text[k] += count * (value * value);
            }
        }
        for (int64_t k = 0; k < d; k++)
            of_text[k] = sqrt(of_text[k]);
    }
}

/* dx_uk = x_uk·Σ_p c_p·h_tk over the entries p of row u, each of some text t. h: (B, d); sums: (U, d), for scratch. */
static void spread(const float *restrict x, const float *restrict bias, const Bag *bag, const double *restrict h,
                   int64_t U, int64_t d, double *restrict sums, float *restrict dx)
{
    for (int64_t i = 0; i < U * d; i++)
        sums[i] = 0;
    for (int64_t t = 0; t < bag->texts; t++) {
        const double *restrict of_text = h + t * d;
        for (int64_t p = bag->offsets[t]; p < bag->offsets[t + 1]; p++) {
            double *restrict sum = sums + row_of(bag, p) * d;
            const double count = count_of(bag, p);
            for (int64_t k = 0; k < d; k++)
                sum[k] += count * of_text[k];
        }
    }
    for (int64_t u = 0; u < U; u++)
        for (int64_t k = 0, i = u * d; k < d; k++, i++) {
            const double value = bias ? x[i] + bias[k] : x[i];
            dx[i] = (float)(value * sums[i]);
        }
}

void magnitudes(const float *x, const float *bias, const int64_t *row_index, const int64_t *counts,
                const int64_t *offsets, int64_t B, int64_t d, double *G)
{
    const Bag bag = {row_index, counts, offsets, B};
    measure(x, bias, &bag, d, G);
}

void slopes(const float *x, const float *bias, const int64_t *row_index, const int64_t *counts, const int64_t *offsets,
            int64_t B, const double *h, int64_t U, int64_t d, double *sums, float *dx)
{
    const Bag bag = {row_index, counts, offsets, B};
    spread(x, bias, &bag, h, U, d, sums, dx);
}

/* y_sk = G_sk(a)·G_tk(b) of the S segments s that `offsets` cut, each of a text t; those of text t are cuts[t] ≤ s <
   cuts[t + 1], with the entries second[t] ≤ p < second[t + 1]. G_a, y: (S, d), G_b: (B, d). */
void forward(const float *a, const float *b, const float *bias_a, const float *bias_b, const int64_t *row_index,
             const int64_t *counts, const int64_t *offsets, const int64_t *second, const int64_t *cuts, int64_t S,
             int64_t B, int64_t d, double *restrict G_a, double *restrict G_b, float *restrict y)
{
    const Bag segments = {row_index, counts, offsets, S}, texts = {row_index, counts, second, B};
    measure(a, bias_a, &segments, d, G_a);
    measure(b, bias_b, &texts, d, G_b);
    for (int64_t t = 0; t < B; t++)
        for (int64_t s = cuts[t]; s < cuts[t + 1]; s++)
            for (int64_t k = 0; k < d; k++)
                y[s * d + k] = (float)(G_a[s * d + k] * G_b[t * d + k]);
}

static inline double divide_or_zero(double numerator, double divisor)
{
    return divisor == 0 ? 0 * numerator : numerator / divisor;
}

/* da_uk = a_uk·Σ_p c_p·dy_sk·G_tk(b)/G_sk(a), db_uk = b_uk·Σ_p c_p·Σ_s dy_sk·G_sk(a)/G_tk(b).
   h: (S + B, d), sums: (U, d), for scratch. */
void backward(const float *a, const float *b, const float *bias_a, const float *bias_b, const int64_t *row_index,
              const int64_t *counts, const int64_t *offsets, const int64_t *second, const int64_t *cuts, int64_t S,
              int64_t B, int64_t U, int64_t d, const double *restrict G_a, const double *restrict G_b,
              const float *restrict dy, double *restrict h, double *sums, float *da, float *db)
{
    const Bag segments = {row_index, counts, offsets, S}, texts = {row_index, counts, second, B};
    double *restrict h_a = h, *restrict h_b = h + S * d;
    for (int64_t t = 0; t < B; t++) {
        const double *restrict G_t = G_b + t * d;
        double *restrict of_text = h_b + t * d;
        for (int64_t k = 0; k < d; k++)
            of_text[k] = 0;
        for (int64_t s = cuts[t]; s < cuts[t + 1]; s++)
            for (int64_t k = 0, i = s * d; k < d; k++, i++) {
                h_a[i] = divide_or_zero(dy[i] * G_t[k], G_a[i]);
                of_text[k] += dy[i] * G_a[i];
            }
        for (int64_t k = 0; k < d; k++)
            of_text[k] = divide_or_zero(of_text[k], G_t[k]);
    }
    spread(a, bias_a, &segments, h_a, U, d, sums, da);
    spread(b, bias_b, &texts, h_b, U, d, sums, db);
}
