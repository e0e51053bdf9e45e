/* Sums over rows: see ragged_c.py. */

#include <stdint.h>

enum { WIDTH = 32 }; /* columns at a time, whose sums stay in registers */

/* sums_k = Σ_i x_ik of the columns first ≤ k < first + width, row after row. */
static inline void add_rows(const float *restrict x, int64_t rows, int64_t d, int64_t first, int64_t width,
                            float *restrict sums)
{
    double of_column[WIDTH] = {0};
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < width; k++)
            of_column[k] += x[i * d + first + k];
    for (int64_t k = 0; k < width; k++)
        sums[first + k] = (float)of_column[k];
}

/* y_sk = Σ x_ik of the rows i of segment s, offsets[s] ≤ p < offsets[s + 1], in their order: row order[p], without an
   order row p. y: (segments, d), sum: (d,) for scratch. */
void segment_sums(const float *restrict x, const int64_t *restrict order, const int64_t *restrict offsets,
                  int64_t segments, int64_t d, double *restrict sum, float *restrict y)
{
    for (int64_t s = 0; s < segments; s++) {
        for (int64_t k = 0; k < d; k++)
            sum[k] = 0;
        for (int64_t p = offsets[s]; p < offsets[s + 1]; p++) {
            const float *restrict row = x + (order ? order[p] : p) * d;
            for (int64_t k = 0; k < d; k++)
                sum[k] += row[k];
        }
        for (int64_t k = 0; k < d; k++)
            y[s * d + k] = (float)sum[k];
    }
}

/* x: (rows, d) → sums: (d,). */
void column_sums(const float *x, int64_t rows, int64_t d, float *sums)
{
    int64_t first = 0;
    for (; first + WIDTH <= d; first += WIDTH)
        add_rows(x, rows, d, first, WIDTH, sums);
    if (first < d)
        add_rows(x, rows, d, first, d - first, sums);
}
