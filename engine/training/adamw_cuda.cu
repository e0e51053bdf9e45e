// AdamW, and the norm of the gradient, on a device. Arithmetic is that of adamw.py, in the dtype of the parameters.
// `control`: [norm, scale, stopped]. Once a loss or a norm was not finite, stopped is 1 and nothing is updated any
// more, so that the parameters still are what they were before that step when the host reads the record.

struct Tensors {
    index_t value[MOST_TENSORS], grad[MOST_TENSORS], m[MOST_TENSORS], v[MOST_TENSORS];  // addresses
    index_t size[MOST_TENSORS], first_block[MOST_TENSORS], decays[MOST_TENSORS];
    index_t count;
};

// The tensor that a block works on: the last one that begins at or before it.
__device__ inline int tensor_of(const Tensors& tensors, index_t block) {
    int i = 0;
    while (i + 1 < tensors.count && tensors.first_block[i + 1] <= block) ++i;
    return i;
}

struct Settings {
    double learning_rate, beta1, beta2, epsilon, decay, step;
    double rate, root;  // η/(1 − β₁ᵗ) and 1/sqrt(1 − β₂ᵗ)
};

__device__ inline void update(real& value, real g, real& m, real& v, const Settings& s, double decay) {
    m = m * (real)s.beta1 + g * (real)(1 - s.beta1);
    v = v * (real)s.beta2 + g * g * (real)(1 - s.beta2);
    const real denominator = sqrt(v) * (real)s.root + (real)s.epsilon;
    value = value * (real)(1 - s.learning_rate * decay) - (real)s.rate * m / denominator;
}

// Σ g² of each block's stretch of all gradients                        blocks: (of all tensors) of THREADS threads
extern "C" __global__ void squared_norms(Tensors tensors, double* partial, index_t first) {
    __shared__ double scratch[THREADS];
    const int i = tensor_of(tensors, blockIdx.x);
    const real* grad = (const real*)tensors.grad[i];
    const index_t start = (blockIdx.x - tensors.first_block[i]) * (index_t)(THREADS * PER_THREAD);
    double total = 0;
    for (int n = 0; n < PER_THREAD; ++n) {
        const index_t k = start + n * THREADS + threadIdx.x;
        if (k < tensors.size[i]) total += (double)grad[k] * grad[k];
    }
    total = block_sum(total, scratch);
    if (threadIdx.x == 0) partial[first + blockIdx.x] = total;
}

// norm = sqrt(Σ partial), scale = min(1, limit / norm), stopped where the loss or the norm is not finite
//                                                                      one block of THREADS threads
extern "C" __global__ void finish_norm(const double* partial, index_t count, const real* loss, double limit, double* control) {
    __shared__ double scratch[THREADS];
    double total = 0;
    for (index_t i = threadIdx.x; i < count; i += THREADS) total += partial[i];
    const double norm = sqrt(block_sum(total, scratch));
    if (threadIdx.x > 0) return;
    control[0] = norm;
    control[1] = limit > 0 && norm > limit ? limit / norm : 1;
    if (!(norm - norm == 0) || !(*loss - *loss == 0)) control[2] = 1;
}

// The equation on whole tensors                                        blocks: (of all tensors) of THREADS threads
extern "C" __global__ void adamw_tensors(Tensors tensors, Settings settings, const double* control) {
    if (control[2] != 0) return;
    const int i = tensor_of(tensors, blockIdx.x);
    real *__restrict__ value = (real*)tensors.value[i], *__restrict__ m = (real*)tensors.m[i], *__restrict__ v = (real*)tensors.v[i];
    const real* __restrict__ grad = (const real*)tensors.grad[i];
    const real scale = (real)control[1];
    const double decay = tensors.decays[i] ? settings.decay : 0;
    const index_t start = (blockIdx.x - tensors.first_block[i]) * (index_t)(THREADS * PER_THREAD);
    for (int n = 0; n < PER_THREAD; ++n) {
        const index_t k = start + n * THREADS + threadIdx.x;
        if (k < tensors.size[i]) update(value[k], grad[k] * scale, m[k], v[k], settings, decay);
    }
}

// The rows of a table, one block each: first the steps that the row missed (adamw_lazy_rows.py), then the equation.
// rows: absent for all rows in order. grad: absent where rows only take the steps they missed, settings.step included.
extern "C" __global__ void adamw_rows(
    real* value, real* m, real* v, int* last, const index_t* rows, const real* grad, const double* missed, const double* shrunk,
    Settings settings, const double* control, index_t d) {
    if (control && control[2] != 0) return;
    const index_t row = at(rows, blockIdx.x), until = (index_t)settings.step - (grad ? 1 : 0);
    __shared__ real shared[5];  // the same for the whole row: worked out once
    if (threadIdx.x == 0) {
        const int since = last[row];
        shared[0] = (real)missed[since];
        shared[1] = (real)exp(shrunk[until] - shrunk[since]);
        shared[2] = (real)(settings.epsilon * sqrt(1 - pow(settings.beta2, since + 1.0)));
        shared[3] = (real)pow(settings.beta1, (double)(until - since));
        shared[4] = (real)pow(settings.beta2, (double)(until - since));
        last[row] = (int)settings.step;
    }
    __syncthreads();
    const real move = shared[0], shrink = shared[1], weighed = shared[2], fade_m = shared[3], fade_v = shared[4];
    for (index_t k = row * d + threadIdx.x; k < (row + 1) * d; k += blockDim.x) {
        real own = value[k] * shrink - move * m[k] / (sqrt(v[k]) + weighed), own_m = m[k] * fade_m, own_v = v[k] * fade_v;
        if (grad) update(own, grad[k + (blockIdx.x - row) * d] * (real)control[1], own_m, own_v, settings, settings.decay);
        value[k] = own;
        m[k] = own_m;
        v[k] = own_v;
    }
}

// Add a step to the record: missed[s] += factor·ratioᵗ⁻ˢ for the newest `reach` entries,
// shrunk[t] = shrunk[t − 1] + shrinks.
extern "C" __global__ void record_missed(
    double* missed, double* shrunk, index_t t, index_t reach, double factor, double ratio, double shrinks, const double* control) {
    if (control[2] != 0) return;
    const index_t back = blockIdx.x * (index_t)blockDim.x + threadIdx.x + 1;
    if (back <= reach) missed[t - back] += factor * pow(ratio, (double)back);
    if (back == 1) shrunk[t] = shrunk[t - 1] + shrinks;
}

// The record that the host fetches of a step: the loss, the norm, and in how many of n texts the largest logit is that
// of the label.                                                        one block of THREADS threads
extern "C" __global__ void record_step(
    const real* loss, const double* control, const real* logits, const index_t* labels, double* record, index_t n, index_t classes) {
    __shared__ double scratch[THREADS];
    double hits = 0;
    for (index_t t = threadIdx.x; t < n; t += THREADS) {
        index_t best = 0;
        for (index_t c = 1; c < classes; ++c)
            if (logits[t * classes + c] > logits[t * classes + best]) best = c;
        hits += best == labels[t];
    }
    hits = block_sum(hits, scratch);
    if (threadIdx.x == 0) {
        record[0] = *loss;
        record[1] = control[0];
        record[2] = hits;
    }
}
