// E10  Layer norm, of the sum of two arrays if a residual is given. Blocks of COLUMNS by LANES threads: a warp for each row.
// Row i of the input is x[x_rows[i]] + x_bias + residual[residual_rows[i]]; the index arrays may be absent, and so may bias and residual.

struct Input { const real *x, *x_bias, *residual; };

__device__ inline Input input_of(
    const real* x, const index_t* x_rows, const real* x_bias, const real* residual, const index_t* residual_rows, index_t row, index_t d) {
    return {x + at(x_rows, row) * d, x_bias, residual ? residual + at(residual_rows, row) * d : nullptr};
}

__device__ inline double value_of(const Input& input, int k) {
    double value = input.x[k];
    if (input.x_bias) value += input.x_bias[k];
    return input.residual ? value + input.residual[k] : value;
}

// y = γ·(input − μ)·r + β,  statistics = (μ, r) of each row. A thread keeps the KEPT first numbers of its row, and reads others again.
// blocks: (⌈n / 8⌉)
extern "C" __global__ void __launch_bounds__(COLUMNS * LANES, 2) layer_norm_forward(
    const real* x, const index_t* x_rows, const real* x_bias, const real* residual, const index_t* residual_rows, const real* gain,
    const real* bias, real* y, double* statistics, index_t n, index_t d, double epsilon) {
    const index_t row = blockIdx.x * (index_t)LANES + threadIdx.y;
    const Input input = input_of(x, x_rows, x_bias, residual, residual_rows, row < n ? row : 0, d);
    const int stop = row < n ? (int)d : 0, first = threadIdx.x, rest = first + KEPT * COLUMNS;
    double kept[KEPT], sum = 0, squares = 0;
#pragma unroll
    for (int j = 0; j < KEPT; ++j) {
        const int k = first + j * COLUMNS;
        kept[j] = k < stop ? value_of(input, k) : 0.0;
        sum += kept[j];
    }
    for (int k = rest; k < stop; k += COLUMNS) sum += value_of(input, k);
    const double mean = warp_sum(sum) / d;
#pragma unroll
    for (int j = 0; j < KEPT; ++j) {
        kept[j] -= mean;
        if (first + j * COLUMNS < stop) squares += kept[j] * kept[j];
    }
    for (int k = rest; k < stop; k += COLUMNS) {
        const double centred = value_of(input, k) - mean;
        squares += centred * centred;
    }
    const double rstd = 1 / sqrt(warp_sum(squares) / d + epsilon);
#pragma unroll
    for (int j = 0; j < KEPT; ++j) {
        const int k = first + j * COLUMNS;
        if (k < stop) y[row * d + k] = (real)(kept[j] * rstd * gain[k] + bias[k]);
    }
    for (int k = rest; k < stop; k += COLUMNS) y[row * d + k] = (real)((value_of(input, k) - mean) * rstd * gain[k] + bias[k]);
    if (first == 0 && row < n) {
        statistics[2 * row] = mean;
        statistics[2 * row + 1] = rstd;
    }
}

// dx = r·(g − mean g − x̂·mean(g·x̂)),  g = dy·γ                                                                       blocks: (⌈n / 8⌉)
extern "C" __global__ void __launch_bounds__(COLUMNS * LANES) layer_norm_backward(
    const real* dy, const real* x, const index_t* x_rows, const real* x_bias, const real* residual, const index_t* residual_rows,
    const real* gain, const double* statistics, real* dx, index_t n, index_t d) {
    const index_t row = blockIdx.x * (index_t)LANES + threadIdx.y, known = row < n ? row : 0;
    const Input input = input_of(x, x_rows, x_bias, residual, residual_rows, known, d);
    const int stop = row < n ? (int)d : 0;
    const double mean = statistics[2 * known], rstd = statistics[2 * known + 1];
    double sum = 0, product = 0;
#pragma unroll 8
    for (int k = threadIdx.x; k < stop; k += COLUMNS) {
        const double g = (double)dy[row * d + k] * gain[k];
        sum += g;
        product += g * (value_of(input, k) - mean);
    }
    const double mean_g = warp_sum(sum) / d, slope = warp_sum(product) * rstd / d;
#pragma unroll 8
    for (int k = threadIdx.x; k < stop; k += COLUMNS) {
        const double normalized = (value_of(input, k) - mean) * rstd;
        dx[row * d + k] = (real)(rstd * ((double)dy[row * d + k] * gain[k] - mean_g - normalized * slope));
    }
}

// Of each chunk of rows: dgain = Σ dy·x̂, dbias = Σ dy.                                        blocks: (chunks, ⌈d / 32⌉); partial: (chunks, 2, d)
extern "C" __global__ void layer_norm_parameters(
    const real* dy, const real* x, const index_t* x_rows, const real* x_bias, const real* residual, const index_t* residual_rows,
    const double* statistics, double* partial, index_t n, index_t d, index_t chunk_rows) {
    __shared__ double scratch[COLUMNS * LANES];
    const index_t chunk = blockIdx.x, column = blockIdx.y * (index_t)COLUMNS + threadIdx.x;
    double gain = 0, bias = 0;
    if (column < d)
#pragma unroll 4
        for (index_t row = chunk * chunk_rows + threadIdx.y; row < n && row < (chunk + 1) * chunk_rows; row += LANES) {
            const double value = dy[row * d + column], own = value_of(input_of(x, x_rows, x_bias, residual, residual_rows, row, d), (int)column);
            gain += value * (own - statistics[2 * row]) * statistics[2 * row + 1];
            bias += value;
        }
    gain = lane_sum(gain, scratch);
    bias = lane_sum(bias, scratch);
    if (threadIdx.y == 0 && column < d) {
        partial[2 * chunk * d + column] = gain;
        partial[(2 * chunk + 1) * d + column] = bias;
    }
}
