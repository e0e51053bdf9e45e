/* AdamW of the rows of a table: see adamw_c.py. */

#include <math.h>
#include <stdint.h>

enum { AHEAD = 8, LINE = 64 }; /* rows that are fetched in advance, bytes of a cache line */

static void fetch(const float *row, int64_t d)
{
    for (int64_t k = 0; k < d; k += LINE / sizeof(float))
        __builtin_prefetch(row + k, 1);
}

/* value, m, v: tables of rows of d numbers. rows: (R,), grad: (R, d), shrink … of_v: (R,), see Rest in
   adamw_lazy_rows.py. The operations are those of take_missed_steps() and AdamW.update(), in their order. */
void update_rows(float *restrict value, float *restrict m, float *restrict v, const int64_t *restrict rows,
                 const float *restrict grad, int64_t R, int64_t d, const float *restrict shrink,
                 const float *restrict move, const float *restrict epsilon, const float *restrict of_m,
                 const float *restrict of_v, float of_grad, float of_scaled, float epsilon_now, float rate, float kept)
{
    for (int64_t i = 0; i < R; i++) {
        const int64_t first = rows[i] * d;
        if (i + AHEAD < R) {
            const int64_t next = rows[i + AHEAD] * d;
            fetch(value + next, d);
            fetch(m + next, d);
            fetch(v + next, d);
        }
        for (int64_t k = 0; k < d; k++) {
            float weight = value[first + k], mean = m[first + k], square = v[first + k];
            weight = weight * shrink[i] - mean / (sqrtf(square) + epsilon[i]) * move[i];
            float scaled = grad[i * d + k] * of_grad;
            square = square * of_v[i] + scaled * scaled;
            mean = mean * of_m[i] + scaled * of_scaled;
            value[first + k] = weight * kept - mean / (sqrtf(square) + epsilon_now) * rate;
            m[first + k] = mean;
            v[first + k] = square;
        }
    }
}
