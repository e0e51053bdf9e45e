// E10  Layer norm, of the sum of two arrays if a residual is given. One block of ROW_THREADS threads a row, unless noted.
// Row i of the input is x[x_rows[i]] + residual[residual_rows[i]]; the index arrays may be absent, and so may the residual.

__device__ inline double input(
    const real* x, const index_t* x_rows, const real* residual, const index_t* residual_rows, index_t row, index_t k, index_t d) {
    const double own = x[at(x_rows, row) * d + k];
    return residual ? own + residual[at(residual_rows, row) * d + k] : own;
}

// y = γ·(input − μ)·r + β,  statistics = (μ, r) of each row
extern "C" __global__ void layer_norm_forward(
    const real* x, const index_t* x_rows, const real* residual, const index_t* residual_rows, const real* gain, const real* bias,
    real* y, double* statistics, index_t d, double epsilon) {
    __shared__ double scratch[ROW_THREADS];
    const index_t row = blockIdx.x;
    double sum = 0, squares = 0;
    for (index_t k = threadIdx.x; k < d; k += blockDim.x) sum += input(x, x_rows, residual, residual_rows, row, k, d);
    const double mean = block_sum(sum, scratch) / d;
    for (index_t k = threadIdx.x; k < d; k += blockDim.x) {
        const double centred = input(x, x_rows, residual, residual_rows, row, k, d) - mean;
        squares += centred * centred;
    }
    const double rstd = 1 / sqrt(block_sum(squares, scratch) / d + epsilon);
    for (index_t k = threadIdx.x; k < d; k += blockDim.x)
        y[row * d + k] = (real)((input(x, x_rows, residual, residual_rows, row, k, d) - mean) * rstd * gain[k] + bias[k]);
    if (threadIdx.x == 0) {
        statistics[2 * row] = mean;
        statistics[2 * row + 1] = rstd;
    }
}

// dx = r·(g − mean g − x̂·mean(g·x̂)),  g = dy·γ
extern "C" __global__ void layer_norm_backward(
    const real* dy, const real* x, const index_t* x_rows, const real* residual, const index_t* residual_rows, const real* gain,
    const double* statistics, real* dx, index_t d) {
    __shared__ double scratch[ROW_THREADS];
    const index_t row = blockIdx.x;
    const double mean = statistics[2 * row], rstd = statistics[2 * row + 1];
    double sum = 0, product = 0;
    for (index_t k = threadIdx.x; k < d; k += blockDim.x) {
        const double g = (double)dy[row * d + k] * gain[k];
        sum += g;
        product += g * (input(x, x_rows, residual, residual_rows, row, k, d) - mean) * rstd;
    }
    const double mean_g = block_sum(sum, scratch) / d, slope = block_sum(product, scratch) / d;
    for (index_t k = threadIdx.x; k < d; k += blockDim.x) {
        const double normalized = (input(x, x_rows, residual, residual_rows, row, k, d) - mean) * rstd;
        dx[row * d + k] = (real)(rstd * ((double)dy[row * d + k] * gain[k] - mean_g - normalized * slope));
    }
}

// Of each chunk of rows: dgain = Σ dy·x̂, dbias = Σ dy.               blocks: (chunks, ⌈d / 32⌉) of COLUMNS by LANES threads; partial: (chunks, 2, d)
extern "C" __global__ void layer_norm_parameters(
    const real* dy, const real* x, const index_t* x_rows, const real* residual, const index_t* residual_rows,
    const double* statistics, double* partial, index_t n, index_t d, index_t chunk_rows) {
    __shared__ double scratch[COLUMNS * LANES];
    const index_t chunk = blockIdx.x, column = blockIdx.y * (index_t)COLUMNS + threadIdx.x;
    double gain = 0, bias = 0;
    if (column < d)
        for (index_t row = chunk * chunk_rows + threadIdx.y; row < n && row < (chunk + 1) * chunk_rows; row += LANES) {
            const double value = dy[row * d + column];
            gain += value * (input(x, x_rows, residual, residual_rows, row, column, d) - statistics[2 * row]) * statistics[2 * row + 1];
            bias += value;
        }
    gain = lane_sum(gain, scratch);
    bias = lane_sum(bias, scratch);
    if (threadIdx.y == 0 && column < d) {
        partial[2 * chunk * d + column] = gain;
        partial[(2 * chunk + 1) * d + column] = bias;
    }
}
