/* Layer norm (E10) of a sum of rows (E21), and back: see layer_norm_c.py.

   Row t of the sum is x[x_rows[t]] + residual[residual_rows[t]]: without an index row t, without a residual x alone. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>

enum { LANES = 16 }; /* sums of a row that run side by side */

typedef struct {
    const float *x, *residual;
    const int64_t *x_rows, *residual_rows;
    int64_t d;
} Rows;

/* Puts row t into a row of its own. */
static inline void add_up(const Rows *rows, int64_t t, float *restrict sum)
{
    const int64_t d = rows->d;
    const float *restrict x = rows->x + (rows->x_rows ? rows->x_rows[t] : t) * d;
    if (!rows->residual) {
        for (int64_t k = 0; k < d; k++)
            sum[k] = x[k];
        return;
    }
    const float *restrict residual = rows->residual + (rows->residual_rows ? rows->residual_rows[t] : t) * d;
    for (int64_t k = 0; k < d; k++)
        sum[k] = x[k] + residual[k];
}

static inline double total(const double *lanes)
{
    double sum = 0;
    for (int64_t lane = 0; lane < LANES; lane++)
        sum += lanes[lane];
    return sum;
}

static inline double mean_of(const float *restrict x, int64_t d)
{
    double lanes[LANES] = {0};
    int64_t k = 0;
    for (; k + LANES <= d; k += LANES)
        for (int64_t lane = 0; lane < LANES; lane++)
            lanes[lane] += x[k + lane];
    for (; k < d; k++)
        lanes[k % LANES] += x[k];
    return total(lanes) / (double)d;
}

static inline double variance_of(const float *restrict x, int64_t d, double mean)
{
    double lanes[LANES] = {0};
    int64_t k = 0;
    for (; k + LANES <= d; k += LANES)
        for (int64_t lane = 0; lane < LANES; lane++)
            lanes[lane] += (x[k + lane] - mean) * (x[k + lane] - mean);
    for (; k < d; k++)
        lanes[k % LANES] += (x[k] - mean) * (x[k] - mean);
    return total(lanes) / (double)d;
}

/* y: (T, d), statistics: (T, 2), μ and r of each row, row: (d,) for scratch. */
void forward(const float *x, const int64_t *x_rows, const float *residual, const int64_t *residual_rows,
             const float *restrict gain, const float *restrict bias, int64_t T, int64_t d, double epsilon,
             float *restrict row, float *restrict y, double *restrict statistics)
{
    const Rows rows = {x, residual, x_rows, residual_rows, d};
    for (int64_t t = 0; t < T; t++) {
        add_up(&rows, t, row);
        const double mean = mean_of(row, d), rstd = 1 / sqrt(variance_of(row, d, mean) + epsilon);
        for (int64_t k = 0; k < d; k++)
            y[t * d + k] = (float)((row[k] - mean) * rstd * gain[k] + bias[k]);
        statistics[2 * t] = mean;
        statistics[2 * t + 1] = rstd;
    }
}

/* dx: (T, d) of each row of the sum, dgain, dbias: (d,), row: (d,) and of_columns: (2, d) for scratch. */
void backward(const float *x, const int64_t *x_rows, const float *residual, const int64_t *residual_rows,
              const float *restrict gain, const double *restrict statistics, int64_t T, int64_t d,
              const float *restrict dy, float *restrict row, double *restrict of_columns, float *restrict dx,
              float *restrict dgain, float *restrict dbias)
{
    const Rows rows = {x, residual, x_rows, residual_rows, d};
    double *restrict of_gain = of_columns, *restrict of_bias = of_columns + d;
    for (int64_t k = 0; k < d; k++)
        of_gain[k] = of_bias[k] = 0;
    for (int64_t t = 0; t < T; t++) {
        const float *restrict slope = dy + t * d;
        const double mean = statistics[2 * t], rstd = statistics[2 * t + 1];
        double of_g[LANES] = {0}, of_dots[LANES] = {0};
        add_up(&rows, t, row);
        int64_t k = 0;
        for (; k + LANES <= d; k += LANES)
            for (int64_t lane = 0; lane < LANES; lane++) {
                const double normalized = (row[k + lane] - mean) * rstd, g = (double)slope[k + lane] * gain[k + lane];
                of_g[lane] += g;
                of_dots[lane] += g * normalized;
            }
        for (; k < d; k++) {
            const double normalized = (row[k] - mean) * rstd, g = (double)slope[k] * gain[k];
            of_g[k % LANES] += g;
            of_dots[k % LANES] += g * normalized;
        }
        const double mean_g = total(of_g) / (double)d, mean_dot = total(of_dots) / (double)d;
        for (int64_t i = 0; i < d; i++) {
            const double normalized = (row[i] - mean) * rstd, g = (double)slope[i] * gain[i];
            dx[t * d + i] = (float)(rstd * (g - mean_g - normalized * mean_dot));
            of_gain[i] += slope[i] * normalized;
            of_bias[i] += slope[i];
        }
    }
    for (int64_t k = 0; k < d; k++) {
        dgain[k] = (float)of_gain[k];
        dbias[k] = (float)of_bias[k];
    }
}
