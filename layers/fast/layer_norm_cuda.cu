// E10  Layer norm, of the sum of two arrays if a residual is given. Blocks of COLUMNS by LANES threads: a warp for each
// row. Row i of the input is x[x_rows[i]] + residual[residual_rows[i]]; the index arrays may be absent, and so may the
// residual, which is known where the code is compiled: no branch then keeps the loads of a row from being under way
// together.

struct Arrays {
    const real* __restrict__ x;
    const index_t* x_rows;
    const real* __restrict__ residual;
    const index_t* residual_rows;
};

template <bool SUMMED> struct Row {
    const real *__restrict__ x, *__restrict__ residual;

    __device__ Row(const Arrays& arrays, index_t row, index_t d)
        : x(arrays.x + at(arrays.x_rows, row) * d),
          residual(SUMMED ? arrays.residual + at(arrays.residual_rows, row) * d : nullptr) {}

    __device__ double operator[](int k) const {
        return SUMMED ? (double)x[k] + residual[k] : (double)x[k];
    }
};

// Runs `call` of the kind of input that is given.
#define OF_KIND(call)                                          \
    if (arrays.residual) { constexpr bool SUMMED = true; call; } \
    else { constexpr bool SUMMED = false; call; }

// FULL: rows have at least the KEPT·COLUMNS numbers that the threads of a warp keep, so that none of these is compared
// with d.
template <bool SUMMED, bool FULL> __device__ inline void normalize(
    const Arrays& arrays, const real* __restrict__ gain, const real* __restrict__ bias, real* __restrict__ y,
    double* statistics, index_t n, index_t d, double epsilon) {
    const index_t row = blockIdx.x * (index_t)LANES + threadIdx.y;
    const Row<SUMMED> input(arrays, row < n ? row : 0, d);
    const int stop = (int)d, first = threadIdx.x, rest = first + KEPT * COLUMNS;
    double kept[KEPT], sum = 0, squares = 0;
#pragma unroll
    for (int j = 0; j < KEPT; ++j) kept[j] = FULL || first + j * COLUMNS < stop ? input[first + j * COLUMNS] : 0.0;
#pragma unroll
    for (int j = 0; j < KEPT; ++j) sum += kept[j];
    if (FULL)
        for (int k = rest; k < stop; k += COLUMNS) sum += input[k];
    const double mean = warp_sum(sum) / d;
#pragma unroll
    for (int j = 0; j < KEPT; ++j) {
        kept[j] -= mean;
        if (FULL || first + j * COLUMNS < stop) squares += kept[j] * kept[j];
    }
    if (FULL)
        for (int k = rest; k < stop; k += COLUMNS) squares += (input[k] - mean) * (input[k] - mean);
    const double rstd = 1 / sqrt(warp_sum(squares) / d + epsilon);
    if (row >= n) return;
#pragma unroll
    for (int j = 0; j < KEPT; ++j) {
        const int k = first + j * COLUMNS;
        if (FULL || k < stop) y[row * d + k] = (real)(kept[j] * rstd * gain[k] + bias[k]);
    }
    if (FULL)
        for (int k = rest; k < stop; k += COLUMNS)
            y[row * d + k] = (real)((input[k] - mean) * rstd * gain[k] + bias[k]);
    if (first == 0) {
        statistics[2 * row] = mean;
        statistics[2 * row + 1] = rstd;
    }
}

// y = γ·(input − μ)·r + β,  statistics = (μ, r) of each row. A thread keeps the KEPT first numbers of its row, and
// reads others again.                                                                              blocks: (⌈n / 8⌉)
extern "C" __global__ void __launch_bounds__(COLUMNS * LANES, 2) layer_norm_forward(
    const real* __restrict__ x, const index_t* x_rows, const real* __restrict__ residual, const index_t* residual_rows,
    const real* __restrict__ gain, const real* __restrict__ bias, real* __restrict__ y, double* statistics, index_t n,
    index_t d, double epsilon) {
    const Arrays arrays = {x, x_rows, residual, residual_rows};
    if (d >= KEPT * COLUMNS) { OF_KIND((normalize<SUMMED, true>(arrays, gain, bias, y, statistics, n, d, epsilon))) }
    else { OF_KIND((normalize<SUMMED, false>(arrays, gain, bias, y, statistics, n, d, epsilon))) }
}

template <bool SUMMED> __device__ inline void slopes(
    const Arrays& arrays, const real* __restrict__ dy, const real* __restrict__ gain, const double* statistics,
    real* __restrict__ dx, index_t n, index_t d) {
    const index_t row = blockIdx.x * (index_t)LANES + threadIdx.y, known = row < n ? row : 0;
    const Row<SUMMED> input(arrays, known, d);
    const int stop = row < n ? (int)d : 0;
    const double mean = statistics[2 * known], rstd = statistics[2 * known + 1];
    double sum = 0, product = 0;
#pragma unroll 8
    for (int k = threadIdx.x; k < stop; k += COLUMNS) {
        const double g = (double)dy[row * d + k] * gain[k];
        sum += g;
        product += g * (input[k] - mean);
    }
    const double mean_g = warp_sum(sum) / d, slope = warp_sum(product) * rstd / d;
#pragma unroll 8
    for (int k = threadIdx.x; k < stop; k += COLUMNS) {
        const double normalized = (input[k] - mean) * rstd;
        dx[row * d + k] = (real)(rstd * ((double)dy[row * d + k] * gain[k] - mean_g - normalized * slope));
    }
}

// dx = r·(g − mean g − x̂·mean(g·x̂)),  g = dy·γ                                                  blocks: (⌈n / 8⌉)
extern "C" __global__ void __launch_bounds__(COLUMNS * LANES) layer_norm_backward(
    const real* __restrict__ dy, const real* __restrict__ x, const index_t* x_rows, const real* __restrict__ residual,
    const index_t* residual_rows, const real* __restrict__ gain, const double* statistics, real* __restrict__ dx,
    index_t n, index_t d) {
    const Arrays arrays = {x, x_rows, residual, residual_rows};
    OF_KIND((slopes<SUMMED>(arrays, dy, gain, statistics, dx, n, d)))
}

template <bool SUMMED> __device__ inline void add_rows(
    const Arrays& arrays, const real* dy, const double* statistics, index_t first, index_t stop, index_t column,
    index_t d, double& gain, double& bias) {
#pragma unroll 4
    for (index_t row = first; row < stop; row += LANES) {
        const double value = dy[row * d + column];
        gain += value * (Row<SUMMED>(arrays, row, d)[(int)column] - statistics[2 * row]) * statistics[2 * row + 1];
        bias += value;
    }
}

// partial: (chunks, 2, d): dgain = Σ dy·x̂ and dbias = Σ dy of each chunk of rows.           blocks: (chunks, ⌈d / 32⌉)
extern "C" __global__ void layer_norm_parameters(
    const real* __restrict__ dy, const real* __restrict__ x, const index_t* x_rows, const real* __restrict__ residual,
    const index_t* residual_rows, const double* __restrict__ statistics, double* partial, index_t n, index_t d,
    index_t chunk_rows) {
    __shared__ double scratch[COLUMNS * LANES];
    const index_t chunk = blockIdx.x, column = blockIdx.y * (index_t)COLUMNS + threadIdx.x;
    const index_t first = chunk * chunk_rows + threadIdx.y;
    const index_t stop = (chunk + 1) * chunk_rows < n ? (chunk + 1) * chunk_rows : n;
    const Arrays arrays = {x, x_rows, residual, residual_rows};
    double gain = 0, bias = 0;
    if (column < d) { OF_KIND((add_rows<SUMMED>(arrays, dy, statistics, first, stop, column, d, gain, bias))) }
    gain = lane_sum(gain, scratch);
    bias = lane_sum(bias, scratch);
    if (threadIdx.y == 0 && column < d) {
        partial[2 * chunk * d + column] = gain;
        partial[(2 * chunk + 1) * d + column] = bias;
    }
}
