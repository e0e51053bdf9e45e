/* Softmax cross-entropy (E15), and back: see softmax_cross_entropy_c.py. weights: of classes, NULL for 1. */

#include <math.h>
#include <stdint.h>

/* z: (B, K) → p: (B, K), the probabilities, of_labels: (B,), log p of the labels, loss: (1,). */
void forward(const float *restrict z, const int64_t *restrict labels, const float *restrict weights, int64_t B,
             int64_t K, double smoothing, float *restrict p, double *restrict of_labels, double *restrict loss)
{
    double sum = 0;
    for (int64_t t = 0; t < B; t++) {
        const float *logits = z + t * K;
        float *probabilities = p + t * K;
        int64_t at = 0;
        for (int64_t k = 1; k < K; k++)
            if (logits[k] > logits[at])
                at = k;
        const double largest = logits[at];
        double others = largest - largest, shifted = 0; /* 0; NaN where the largest is infinite or NaN */
        for (int64_t k = 0; k < K; k++) {
            const float power = expf((float)(logits[k] - largest));
            probabilities[k] = power;
            others += k == at ? 0 : power;
            shifted += logits[k] - largest;
        }
        const double log_sum = log1p(others), scale = 1 / (1 + others);
        for (int64_t k = 0; k < K; k++)
            probabilities[k] = (float)(probabilities[k] * scale);
        of_labels[t] = logits[labels[t]] - largest - log_sum;
        double of_text = (1 - smoothing) * of_labels[t];
        if (smoothing > 0) /* not 0·Σ: a class that is out of reach has log p = −∞ */
            of_text += smoothing / (double)K * (shifted - (double)K * log_sum);
        sum += weights ? weights[labels[t]] * of_text : of_text;
    }
    *loss = -sum / (double)B;
}

/* dz: (B, K) = ω·(p − (1 − λ)·onehot(label) − λ/K)·slope, with p − 1 as expm1(log p). */
void backward(const float *restrict p, const int64_t *restrict labels, const double *restrict of_labels,
              const float *restrict weights, int64_t B, int64_t K, double smoothing, double slope, float *restrict dz)
{
    const double share = smoothing / (double)K;
    for (int64_t t = 0; t < B; t++) {
        const int64_t label = labels[t];
        const double factor = weights ? weights[label] * slope : slope;
        for (int64_t k = 0; k < K; k++)
            dz[t * K + k] = (float)((p[t * K + k] - share) * factor);
        dz[t * K + label] = (float)((expm1(of_labels[t]) + smoothing - share) * factor);
    }
}
