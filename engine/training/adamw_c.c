/* AdamW of an array and of the rows of a table: see adamw_c.py. */

#include <math.h>
#include <stdint.h>

enum { AHEAD = 8, LINE = 64 }; /* rows that are fetched in advance, bytes of a cache line */

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

void update(float *value, float *m, float *v, const float *grad, int64_t n, float beta1, float beta2, float of_grad,
            float of_scaled, float epsilon, float rate, float kept)
{
    step(value, m, v, grad, n, beta1, beta2, of_grad, of_scaled, epsilon, rate, kept);
}

static void fetch(const float *row, int64_t d)
{
    for (int64_t k = 0; k < d; k += LINE / sizeof(float))
        __builtin_prefetch(row + k, 1);
}

/* value, m, v: tables of rows of d numbers. rows: (R,), grad: (R, d), shrink … of_v: (R,), see Rest in
   adamw_lazy_rows.py. First the operations of take_missed_steps(), then those of a step. */
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
        float *weights = value + first;
        const float *means = m + first, *squares = v + first;
        for (int64_t k = 0; k < d; k++)
            weights[k] = weights[k] * shrink[i] - means[k] / (sqrtf(squares[k]) + epsilon[i]) * move[i];
        step(weights, m + first, v + first, grad + i * d, d, of_m[i], of_v[i], of_grad, of_scaled, epsilon_now, rate,
             kept);
    }
}
