// E15  Softmax cross-entropy. One block of TEXT_THREADS threads a text. weights: of classes, NULL for 1.

// log p = z − max z − log(1 + Σ exp(z − max z)) of each text, the sum over all but one of the largest,
// and its share of the loss: −(1 − s)·log p[label] − s/C·Σ log p.
// A label outside [0, C) makes the loss NaN.
extern "C" __global__ void softmax_cross_entropy_forward(
    const real* z, const index_t* labels, const real* weights, real* log_p, double* losses, index_t classes,
    double smoothing) {
    __shared__ double scratch[TEXT_THREADS];
    const index_t text = blockIdx.x;
    const real* logits = z + text * classes;
    double largest = logits[threadIdx.x < classes ? threadIdx.x : 0], others = 0, largest_ones = 0, total = 0;
    for (index_t c = threadIdx.x; c < classes; c += blockDim.x) largest = fmax(largest, (double)logits[c]);
    largest = block_max(largest, scratch);
    for (index_t c = threadIdx.x; c < classes; c += blockDim.x) {
        if (logits[c] == largest) largest_ones += 1;
        else others += exp(logits[c] - largest);
    }
    const double more = block_sum(largest_ones, scratch) - 1, log_sum = log1p(more + block_sum(others, scratch));
    for (index_t c = threadIdx.x; c < classes; c += blockDim.x) {
        const double value = logits[c] - largest - log_sum;
        log_p[text * classes + c] = (real)value;
        total += value;
    }
    total = block_sum(total, scratch);
    if (threadIdx.x == 0) {
        const index_t label = labels[text];
        const bool exists = label >= 0 && label < classes;
        double loss = nan("");
        if (exists) loss = -(1 - smoothing) * (logits[label] - largest - log_sum);
        if (smoothing > 0) loss -= smoothing / classes * total;  // not 0·Σ: a class out of reach has log p = −∞
        losses[text] = (weights && exists ? weights[label] * loss : loss) / gridDim.x;
    }
}

// dz = (p − (1 − s)·onehot(label) − s/C)·ω·factor, with p − 1 as expm1(log p)
extern "C" __global__ void softmax_cross_entropy_backward(
    const real* log_p, const index_t* labels, const real* weights, real* dz, index_t classes, double smoothing,
    double factor) {
    const index_t text = blockIdx.x, label = labels[text];
    if (weights && label >= 0 && label < classes) factor *= weights[label];
    for (index_t c = threadIdx.x; c < classes; c += blockDim.x) {
        const double log_of_c = log_p[text * classes + c];
        const double beside_share = c == label ? expm1(log_of_c) + smoothing : exp(log_of_c);
        dz[text * classes + c] = (real)((beside_share - smoothing / classes) * factor);
    }
}
