// E24  Sigmoid cross-entropy. One block of TEXT_THREADS threads a text.

// Each text's share of the loss: Σ max(−u, 0) + log1p(exp(−|z|)) + s/2·u, with u = z for a label and −z for none.
extern "C" __global__ void sigmoid_cross_entropy_forward(
    const real* z, const bool* targets, double* losses, index_t classes, double smoothing) {
    __shared__ double scratch[TEXT_THREADS];
    const index_t text = blockIdx.x;
    double total = 0;
    for (index_t c = threadIdx.x; c < classes; c += blockDim.x) {
        const double logit = z[text * classes + c], size = fabs(logit);
        const bool wrong = (logit < 0) == targets[text * classes + c];
        total += (wrong ? size : 0) + log1p(exp(-size));
        if (smoothing > 0) total += smoothing / 2 * (wrong ? -size : size);  // not 0·∞
    }
    total = block_sum(total, scratch);
    if (threadIdx.x == 0) losses[text] = total / gridDim.x;
}

// dz = ∓(σ(−u) − s/2)·factor, the upper sign for a label
extern "C" __global__ void sigmoid_cross_entropy_backward(
    const real* z, const bool* targets, real* dz, index_t classes, double smoothing, double factor) {
    const index_t text = blockIdx.x;
    for (index_t c = threadIdx.x; c < classes; c += blockDim.x) {
        const double logit = z[text * classes + c], tail = exp(-fabs(logit));
        const bool target = targets[text * classes + c];
        const double missed = ((logit < 0) == target ? 1 : tail) / (1 + tail) - smoothing / 2;
        dz[text * classes + c] = (real)((target ? -missed : missed) * factor);
    }
}
