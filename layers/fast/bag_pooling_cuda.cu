// E14  Mean pooling. Blocks of 32 columns by 8 lanes, one for each text: (B, ⌈d / 32⌉). `counts` may be absent: one
// token a row.

__device__ inline double tokens_of(const index_t* counts, index_t start, index_t stop, double* scratch) {
    double tokens = 0;
    for (index_t row = start + threadIdx.y; row < stop; row += LANES) tokens += times(counts, row);
    __syncthreads();
    scratch[threadIdx.y * COLUMNS + threadIdx.x] = tokens;
    __syncthreads();
    tokens = 0;
    for (int lane = 0; lane < LANES; ++lane) tokens += scratch[lane * COLUMNS + threadIdx.x];
    return tokens;
}

// y = (Σ_j c_j·x_j) / Σ_j c_j, 0 for a text without tokens
extern "C" __global__ void mean_pooling_forward(
    const real* x, const index_t* offsets, const index_t* counts, real* y, index_t d) {
    __shared__ double scratch[COLUMNS * LANES];
    const index_t text = blockIdx.x, column = blockIdx.y * (index_t)COLUMNS + threadIdx.x;
    const double tokens = tokens_of(counts, offsets[text], offsets[text + 1], scratch);
    double total = 0;
    if (column < d)
        for (index_t row = offsets[text] + threadIdx.y; row < offsets[text + 1]; row += LANES)
            total += times(counts, row) * x[row * d + column];
    total = lane_sum(total, scratch);
    if (threadIdx.y == 0 && column < d) y[text * d + column] = (real)(tokens > 0 ? total / tokens : 0);
}

// dx_j = c_j·dy / Σ_j c_j, 0 for the rows behind those of all texts, which a block of their own takes.
// blocks: (B + 1, ⌈d / 32⌉)
extern "C" __global__ void mean_pooling_backward(
    const real* dy, const index_t* offsets, const index_t* counts, real* dx, index_t texts, index_t rows, index_t d) {
    __shared__ double scratch[COLUMNS * LANES];
    const index_t text = blockIdx.x, column = blockIdx.y * (index_t)COLUMNS + threadIdx.x;
    if (text == texts) {
        if (column < d)
            for (index_t row = offsets[texts] + threadIdx.y; row < rows; row += LANES) dx[row * d + column] = 0;
        return;
    }
    const double tokens = tokens_of(counts, offsets[text], offsets[text + 1], scratch);
    if (column < d)
        for (index_t row = offsets[text] + threadIdx.y; row < offsets[text + 1]; row += LANES)
            dx[row * d + column] = (real)(tokens > 0 ? dy[text * d + column] / tokens * times(counts, row) : 0);
}
