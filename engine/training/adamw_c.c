/* AdamW of an array and of the rows of a table: see adamw_c.py. */

#include <math.h>
#include <stdint.h>

enum { AHEAD = 8, LINE = 64, LANES = 16 }; /* rows that are fetched in advance, bytes of a cache line, sums */

/* One step of d numbers by the operations of AdamW.update(), in their order. */
static inline void step(float *restrict value, float *restrict m, float *restrict v, const float *restrict grad,
                        int64_t d, float of_m, float of_v, float of_grad, float of_scaled, float epsilon, float rate,
                        float kept)
{
    for (int64_t k = 0; k < d; k++) {
        float scaled = grad[k] * of_grad;
        float square = v[k] * of_v + scaled * scaled;
        float mean = m[k] * of_m + scaled * of_scaled;
        value[k] = value[k] * kept - mean / (sqrtf(square) + epsilon) * rate;
        m[k] = mean;
        v[k] = square;
    }
}

/* One step of count arrays. addresses: (count, 4), of value, m, v and grad; sizes: (count,); factors: (count, 5), see
   Factors in adamw.py. */
void update(const int64_t *addresses, const int64_t *sizes, const float *factors, int64_t count, float beta1,
            float beta2)
{
    for (int64_t i = 0; i < count; i++) {
        const int64_t *of = addresses + 4 * i;
        const float *f = factors + 5 * i;
        step((float *)(intptr_t)of[0], (float *)(intptr_t)of[1], (float *)(intptr_t)of[2],
             (const float *)(intptr_t)of[3], sizes[i], beta1, beta2, f[0], f[1], f[2], f[3], f[4]);
    }
}

/* Sums of the squares of count arrays, in double: each in LANES sums, so that some are added at a time. */
void squared_norms(const int64_t *addresses, const int64_t *sizes, int64_t count, double *restrict sums)
{
    for (int64_t i = 0; i < count; i++) {
        const float *x = (const float *)(intptr_t)addresses[i];
        double of_lane[LANES] = {0};
        int64_t k = 0;
        for (; k + LANES <= sizes[i]; k += LANES)
            for (int64_t lane = 0; lane < LANES; lane++)
                of_lane[lane] += (double)x[k + lane] * (double)x[k + lane];
        for (; k < sizes[i]; k++)
            of_lane[k % LANES] += (double)x[k] * (double)x[k];
        sums[i] = 0;
        for (int64_t lane = 0; lane < LANES; lane++)
            sums[i] += of_lane[lane];
    }
}

static void fetch(const float *row, int64_t d)
{
    for (int64_t k = 0; k < d; k += LINE / sizeof(float))
        __builtin_prefetch(row + k, 1);
}

/* value, m, v: tables of rows of d numbers. rows: (R,), no row twice, grad: (R, d). last: of each row of the tables the
   step at which it was last touched, before step `now`, which it becomes. missed, faded_m, faded_v: sums of missed
   steps and powers of both betas, see rest_of() in adamw_lazy_rows.py, from which move, epsilon, of_m and of_v of a row
   are taken; shrink: (R,), NULL for 1. First the operations of take_missed_steps(), then those of a step. */
void update_rows(float *restrict value, float *restrict m, float *restrict v, const int64_t *restrict rows,
                 const float *restrict grad, int64_t R, int64_t d, int32_t *restrict last,
                 const double *restrict missed, const double *restrict faded_m, const double *restrict faded_v,
                 const float *restrict shrink, int64_t now, double epsilon, float of_grad, float of_scaled,
                 float epsilon_now, float rate, float kept)
{
    for (int64_t i = 0; i < R; i++) {
        const int64_t first = rows[i] * d, before = last[rows[i]], absent = now - before;
        if (i + AHEAD < R) {
            const int64_t next = rows[i + AHEAD] * d;
            fetch(value + next, d);
            fetch(m + next, d);
            fetch(v + next, d);
        }
        const float move = (float)missed[before], epsilon_then = (float)(epsilon * sqrt(1 - faded_v[before + 1]));
        const float shrink_i = shrink ? shrink[i] : 1;
        float *weights = value + first;
        const float *means = m + first, *squares = v + first;
        for (int64_t k = 0; k < d; k++)
            weights[k] = weights[k] * shrink_i - means[k] / (sqrtf(squares[k]) + epsilon_then) * move;
        step(weights, m + first, v + first, grad + i * d, d, (float)faded_m[absent], (float)faded_v[absent], of_grad,
             of_scaled, epsilon_now, rate, kept);
        last[rows[i]] = (int32_t)now;
    }
}
