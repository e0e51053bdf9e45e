// E17  The magnitude of a modulation or correlation: y_t = G_a·G_b of each text. Blocks are 32 columns wide and 8 lanes
// high. Text t has the entries offsets[t] ≤ e < offsets[t + 1]: rows row_index[e], counts[e] times each; without
// row_index rows e, without counts once.
// Every row of a is a[i] + bias_a, likewise those of b; the biases may be absent. The texts of b may be others than those
// of a, of which each has several: then forward runs for either, without b and y.

__device__ inline double biased(const real* x, const real* bias, index_t i, index_t column) {
    return bias ? (double)x[i] + bias[column] : (double)x[i];
}

// The divisor of the numbers of a text and column with which their squares fit: the largest of all lanes, 1 if that is
// 0 or infinite.
__device__ inline double scale_of(double largest, double* scratch) {
    __syncthreads();  // scratch may still be read
    scratch[threadIdx.y * blockDim.x + threadIdx.x] = largest;
    __syncthreads();
    for (int lane = 0; lane < (int)blockDim.y; ++lane)
        largest = fmax(largest, scratch[lane * blockDim.x + threadIdx.x]);
    return largest > 0 && 1 / largest > 0 ? largest : 1.0;
}

// y, G_a, G_b: (B, d). Squares of float32 fit into float64 as they are, those of float64 are scaled.
// blocks: (B, ⌈d / 32⌉)
extern "C" __global__ void bag_magnitude_forward(
    const real* a, const real* b, const real* bias_a, const real* bias_b, const index_t* row_index,
    const index_t* counts, const index_t* offsets, real* y, double* G_a, double* G_b, index_t d) {
    __shared__ double scratch[COLUMNS * LANES];
    const index_t text = blockIdx.x, column = blockIdx.y * (index_t)COLUMNS + threadIdx.x;
    const index_t start = offsets[text] + threadIdx.y, stop = column < d ? offsets[text + 1] : 0;
    double scale_a = 1, scale_b = 1, squares_a = 0, squares_b = 0;
    if (sizeof(real) == sizeof(double)) {
        double largest_a = 0, largest_b = 0;
        for (index_t e = start; e < stop; e += LANES) {
            const index_t i = at(row_index, e) * d + column;
            // fmax passes over a NaN, which the sum then meets.
            largest_a = fmax(largest_a, fabs(biased(a, bias_a, i, column)));
            if (b) largest_b = fmax(largest_b, fabs(biased(b, bias_b, i, column)));
        }
        scale_a = scale_of(largest_a, scratch);
        scale_b = scale_of(largest_b, scratch);
    }
    for (index_t e = start; e < stop; e += LANES) {
        const index_t i = at(row_index, e) * d + column;
        const double x_a = biased(a, bias_a, i, column) / scale_a;
        squares_a += times(counts, e) * (x_a * x_a);
        if (!b) continue;
        const double x_b = biased(b, bias_b, i, column) / scale_b;
        squares_b += times(counts, e) * (x_b * x_b);
    }
    squares_a = lane_sum(squares_a, scratch);
    squares_b = lane_sum(squares_b, scratch);
    if (threadIdx.y == 0 && column < d) {
        const index_t i = text * d + column;
        G_a[i] = scale_a * sqrt(squares_a);
        if (!b) return;
        G_b[i] = scale_b * sqrt(squares_b);
        y[i] = (real)(G_a[i] * G_b[i]);
    }
}

// h_a = dy·G_b/G_a, h_b = dy·G_a/G_b, 0 where the divisor is 0.                           blocks: enough for n threads
extern "C" __global__ void bag_magnitude_slopes(
    const real* dy, const double* G_a, const double* G_b, double* h_a, double* h_b, index_t n) {
    const index_t i = blockIdx.x * (index_t)blockDim.x + threadIdx.x;
    if (i >= n) return;
    h_a[i] = G_a[i] == 0 ? 0.0 : dy[i] * G_b[i] / G_a[i];
    h_b[i] = G_b[i] == 0 ? 0.0 : dy[i] * G_a[i] / G_b[i];
}

struct Sums { double a, b; };

// Σ c_e·h_a[text of e], and of h_b, over every `step`-th of some entries. texts_b: null where those of b are those of a.
__device__ inline Sums sums_of(
    const double* __restrict__ h_a, const double* __restrict__ h_b, const index_t* __restrict__ texts,
    const index_t* __restrict__ texts_b, const index_t* __restrict__ counts, const index_t* __restrict__ by_row, index_t start, index_t stop, index_t step,
    index_t column, index_t d) {
    Sums sums = {0, 0};
#pragma unroll 4
    for (index_t i = start; i < stop; i += step) {
        const index_t e = at(by_row, i), cell = texts[e] * d + column;
        sums.a += times(counts, e) * h_a[cell];
        sums.b += times(counts, e) * h_b[texts_b ? texts_b[e] * d + column : cell];
    }
    return sums;
}

// da_u = a_u·Σ c_e·h_a[text of e] over the entries of row u, db likewise. Without by_row entry u alone. Each row has a
// lane of its own; those of more than SHARED entries are then taken one after the other by all lanes together.
// blocks: (⌈n / 8⌉, ⌈d / 32⌉)
extern "C" __global__ void bag_magnitude_backward(
    const real* a, const real* b, const real* bias_a, const real* bias_b, const double* h_a, const double* h_b,
    const index_t* texts, const index_t* texts_b, const index_t* counts, const index_t* by_row,
    const index_t* row_starts, real* da, real* db, index_t n, index_t d) {
    __shared__ double scratch[COLUMNS * LANES];
    const index_t first = blockIdx.x * (index_t)LANES, own = first + threadIdx.y;
    const index_t column = blockIdx.y * (index_t)COLUMNS + threadIdx.x;
    if (own < n && column < d && at(row_starts, own + 1) - at(row_starts, own) <= SHARED) {
        const Sums sums = sums_of(
            h_a, h_b, texts, texts_b, counts, by_row, at(row_starts, own), at(row_starts, own + 1), 1, column, d);
        const index_t i = own * d + column;
        da[i] = (real)(biased(a, bias_a, i, column) * sums.a);
        db[i] = (real)(biased(b, bias_b, i, column) * sums.b);
    }
    if (!row_starts) return;
    for (index_t row = first; row < first + LANES && row < n; ++row) {
        const index_t start = row_starts[row], stop = row_starts[row + 1], i = row * d + column;
        if (stop - start <= SHARED) continue;  // the same for all threads of the block
        Sums sums = {0, 0};
        if (column < d)
            sums = sums_of(h_a, h_b, texts, texts_b, counts, by_row, start + threadIdx.y, stop, LANES, column, d);
        sums = {lane_sum(sums.a, scratch), lane_sum(sums.b, scratch)};
        if (threadIdx.y > 0 || column >= d) continue;
        da[i] = (real)(biased(a, bias_a, i, column) * sums.a);
        db[i] = (real)(biased(b, bias_b, i, column) * sums.b);
    }
}
