/* Sums over the entries of texts, and back to rows, for E17: see bag_squares_c.py. */

#include <math.h>
#include <stdint.h>

/* G_tk = sqrt(Σ_p c_p·x_pk²) of the entries p of text t. G: (B, d). */
void magnitudes(const float *restrict x, const int64_t *restrict row_index, const int64_t *restrict counts,
                const int64_t *restrict offsets, int64_t B, int64_t d, double *restrict G)
{
    for (int64_t t = 0; t < B; t++) {
        double *restrict of_text = G + t * d;
        for (int64_t k = 0; k < d; k++)
            of_text[k] = 0;
        for (int64_t p = offsets[t]; p < offsets[t + 1]; p++) {
            const float *restrict row = x + (row_index ? row_index[p] : p) * d;
            const double count = counts ? (double)counts[p] : 1;
            for (int64_t k = 0; k < d; k++)
                of_text[k] += count * ((double)row[k] * (double)row[k]);
        }
        for (int64_t k = 0; k < d; k++)
            of_text[k] = sqrt(of_text[k]);
    }
}

/* dx_uk = x_uk·Σ_p c_p·h_tk over the entries p of row u, each of some text t. h: (B, d); sums: (U, d), for scratch. */
void slopes(const float *restrict x, const double *restrict h, const int64_t *restrict row_index,
            const int64_t *restrict counts, const int64_t *restrict offsets, int64_t B, int64_t U, int64_t d,
            double *restrict sums, float *restrict dx)
{
    for (int64_t i = 0; i < U * d; i++)
        sums[i] = 0;
    for (int64_t t = 0; t < B; t++) {
        const double *restrict of_text = h + t * d;
        for (int64_t p = offsets[t]; p < offsets[t + 1]; p++) {
            double *restrict sum = sums + (row_index ? row_index[p] : p) * d;
            const double count = counts ? (double)counts[p] : 1;
            for (int64_t k = 0; k < d; k++)
                sum[k] += count * of_text[k];
        }
    }
    for (int64_t i = 0; i < U * d; i++)
        dx[i] = (float)((double)x[i] * sums[i]);
}
