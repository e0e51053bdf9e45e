/* The magnitude of a modulation (E17) over a bag, and back to rows: see bag_magnitude_c.py.

   x: (U, d) rows, to each of which the bias (d,) is added, if there is one. Entry p is row row_index[p], counts[p]
   times; without row_index row p, without counts once. Text t has the entries offsets[t] ≤ p < offsets[t + 1]. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { WIDTH = 32 }; /* columns at a time, whose sums stay in registers */

typedef struct {
    const int64_t *row_index, *counts, *offsets;
    int64_t texts;
} Bag;

/* The entries of a bag in the order of their rows: those of row u are starts[u] ≤ i < starts[u + 1]. */
typedef struct {
    int64_t *starts, *texts;
    double *counts;
} ByRow;

static inline int64_t row_of(const Bag *bag, int64_t p) { return bag->row_index ? bag->row_index[p] : p; }

static inline double count_of(const Bag *bag, int64_t p) { return bag->counts ? (double)bag->counts[p] : 1; }

static inline double value_of(const float *x, const float *bias, int64_t row, int64_t d, int64_t k)
{
    return bias ? x[row * d + k] + bias[k] : x[row * d + k];
}

/* G_tk = sqrt(Σ_p c_p·x_pk²) of the entries p of text t, for the columns first ≤ k < first + width. */
static inline void measure_text(const float *restrict x, const float *restrict bias, const Bag *bag, int64_t t,
                                int64_t d, int64_t first, int64_t width, double *restrict G)
{
    double sums[WIDTH] = {0};
    for (int64_t p = bag->offsets[t]; p < bag->offsets[t + 1]; p++) {
        const int64_t row = row_of(bag, p);
        const double count = count_of(bag, p);
        for (int64_t k = 0; k < width; k++) {
            const double value = value_of(x, bias, row, d, first + k);
            sums[k] += count * (value * value);
        }
    }
    for (int64_t k = 0; k < width; k++)
        G[t * d + first + k] = sqrt(sums[k]);
}

/* G: (B, d). */
static void measure(const float *x, const float *bias, const Bag *bag, int64_t d, double *G)
{
    for (int64_t t = 0; t < bag->texts; t++) {
        int64_t first = 0;
        for (; first + WIDTH <= d; first += WIDTH)
            measure_text(x, bias, bag, t, d, first, WIDTH, G);
        if (first < d)
            measure_text(x, bias, bag, t, d, first, d - first, G);
    }
}

/* by_row: starts of U + 1 numbers, texts and counts of one for each entry. A counting sort. */
static void order_by_row(const Bag *bag, int64_t U, ByRow by_row)
{
    int64_t *starts = by_row.starts;
    memset(starts, 0, (size_t)(U + 1) * sizeof *starts);
    for (int64_t p = 0; p < bag->offsets[bag->texts]; p++)
        starts[row_of(bag, p) + 1]++;
    for (int64_t u = 0; u < U; u++)
        starts[u + 1] += starts[u];
    for (int64_t t = 0; t < bag->texts; t++)
        for (int64_t p = bag->offsets[t]; p < bag->offsets[t + 1]; p++) {
            const int64_t i = starts[row_of(bag, p)]++; /* each start becomes its end */
            by_row.texts[i] = t;
            by_row.counts[i] = count_of(bag, p);
        }
    memmove(starts + 1, starts, (size_t)U * sizeof *starts); /* which is the start of the next */
    starts[0] = 0;
}

/* dx_uk = x_uk·Σ_p c_p·h_tk over the entries p of row u, each of some text t; columns as above. h: (B, d). */
static inline void spread_to_row(const float *restrict x, const float *restrict bias, ByRow by_row,
                                 const double *restrict h, int64_t u, int64_t d, int64_t first, int64_t width,
                                 float *restrict dx)
{
    double sums[WIDTH] = {0};
    for (int64_t i = by_row.starts[u]; i < by_row.starts[u + 1]; i++) {
        const double *restrict of_text = h + by_row.texts[i] * d + first;
        const double count = by_row.counts[i];
        for (int64_t k = 0; k < width; k++)
            sums[k] += count * of_text[k];
    }
    for (int64_t k = 0; k < width; k++)
        dx[u * d + first + k] = (float)(value_of(x, bias, u, d, first + k) * sums[k]);
}

static void spread(const float *x, const float *bias, const double *h, int64_t U, int64_t d, ByRow by_row, float *dx)
{
    for (int64_t u = 0; u < U; u++) {
        int64_t first = 0;
        for (; first + WIDTH <= d; first += WIDTH)
            spread_to_row(x, bias, by_row, h, u, d, first, WIDTH, dx);
        if (first < d)
            spread_to_row(x, bias, by_row, h, u, d, first, d - first, dx);
    }
}

void magnitudes(const float *x, const int64_t *row_index, const int64_t *counts, const int64_t *offsets, int64_t B,
                int64_t d, double *G)
{
    const Bag bag = {row_index, counts, offsets, B};
    measure(x, NULL, &bag, d, G);
}

/* starts, by_text, weights: for scratch, those of ByRow. */
void slopes(const float *x, const int64_t *row_index, const int64_t *counts, const int64_t *offsets, int64_t B,
            const double *h, int64_t U, int64_t d, int64_t *starts, int64_t *by_text, double *weights, float *dx)
{
    const Bag bag = {row_index, counts, offsets, B};
    const ByRow by_row = {starts, by_text, weights};
    order_by_row(&bag, U, by_row);
    spread(x, NULL, h, U, d, by_row, dx);
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
   h: (S + B, d), for scratch, and those of slopes(). */
void backward(const float *a, const float *b, const float *bias_a, const float *bias_b, const int64_t *row_index,
              const int64_t *counts, const int64_t *offsets, const int64_t *second, const int64_t *cuts, int64_t S,
              int64_t B, int64_t U, int64_t d, const double *restrict G_a, const double *restrict G_b,
              const float *restrict dy, double *restrict h, int64_t *starts, int64_t *by_text, double *weights,
              float *da, float *db)
{
    const Bag segments = {row_index, counts, offsets, S}, texts = {row_index, counts, second, B};
    const ByRow by_row = {starts, by_text, weights};
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
    order_by_row(&segments, U, by_row);
    spread(a, bias_a, h_a, U, d, by_row, da);
    if (second != offsets)
        order_by_row(&texts, U, by_row);
    spread(b, bias_b, h_b, U, d, by_row, db);
}
