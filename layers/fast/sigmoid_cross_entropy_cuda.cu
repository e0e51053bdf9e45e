// E24  Sigmoid cross-entropy. One block of TEXT_THREADS threads a text. weights: of a no and a yes of each class, NULL
// for 1.

// The weight of the decision on a class, whose target is a yes or a no.
__device__ double weight_of(const real* weights, bool target, index_t c, index_t classes) {
    return weights ? weights[target ? classes + c : c] : 1;
}

// Each text's share of the loss: Σ max(−u, 0) + log1p(exp(−|z|)) + s/2·u, with u = z for a label and −z for none.
extern "C" __global__ void sigmoid_cross_entropy_forward(
    const real* z, const bool* targets, const real* weights, double* losses, index_t classes, double smoothing) {
    __shared__ double scratch[TEXT_THREADS];
    const index_t text = blockIdx.x;
    double total = 0;
    for (index_t c = threadIdx.x; c < classes; c += blockDim.x) {
        const double logit = z[text * classes + c], size = fabs(logit);
        const bool target = targets[text * classes + c], wrong = (logit < 0) == target;
        const double weight = weight_of(weights, target, c, classes);
        total += weight * ((wrong ? size : 0) + log1p(exp(-size)));
        if (smoothing > 0) total += weight * (smoothing / 2 * (wrong ? -size : size));  // not 0·∞
    }
    total = block_sum(total, scratch);
    if (threadIdx.x == 0) losses[text] = total / gridDim.x;
}

// dz = ∓(σ(−u) − s/2)·ω·factor, the upper sign for a label
extern "C" __global__ void sigmoid_cross_entropy_backward(
    const real* z, const bool* targets, const real* weights, real* dz, index_t classes, double smoothing,
    double factor) {
    const index_t text = blockIdx.x;
    for (index_t c = threadIdx.x; c < classes; c += blockDim.x) {
        const double logit = z[text * classes + c], tail = exp(-fabs(logit));
        const bool target = targets[text * classes + c];
        const double missed = ((logit < 0) == target ? 1 : tail) / (1 + tail) - smoothing / 2;
        const double scale = factor * weight_of(weights, target, c, classes);
        dz[text * classes + c] = (real)((target ? -missed : missed) * scale);
    }
}
