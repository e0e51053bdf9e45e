// Rows of ragged batches: gathered, and summed or compared segment by segment. Blocks are 32 columns wide and 8 rows
// high. Every sum has a fixed order, so results are the same bit by bit on every device.

// y[i] = x[rows[i]], NaN for a row that x (row_count, d) does not have.                  blocks: (⌈n / 8⌉, ⌈d / 32⌉)
extern "C" __global__ void gather_rows(
    const real* x, const index_t* rows, real* y, index_t row_count, index_t n, index_t d) {
    const index_t i = blockIdx.x * (index_t)LANES + threadIdx.y, column = blockIdx.y * (index_t)COLUMNS + threadIdx.x;
    if (i >= n || column >= d) return;
    const index_t row = rows[i];
    y[i * d + column] = row >= 0 && row < row_count ? x[row * d + column] : (real)nan("");
}

// y[s] = Σ of x[order[i]] over starts[s] ≤ i < starts[s + 1], and of accumulate[s] where there is one: for many
// segments, most of them short. Each has a lane of its own; those of more than SHARED rows are then taken one after the
// other by all lanes together, since a few frequent tokens would keep their lanes busy long after all others are done.
// blocks: (⌈n / 8⌉, ⌈d / 32⌉)
extern "C" __global__ void sum_short_segments(
    const real* __restrict__ x, const index_t* __restrict__ order, const index_t* __restrict__ starts,
    const real* accumulate, real* y, index_t n, index_t d) {
    __shared__ double scratch[COLUMNS * LANES];
    const index_t first = blockIdx.x * (index_t)LANES, own = first + threadIdx.y;
    const index_t column = blockIdx.y * (index_t)COLUMNS + threadIdx.x;
    if (own < n && column < d && starts[own + 1] - starts[own] <= SHARED) {
        double total = 0;
#pragma unroll 4
        for (index_t i = starts[own], stop = starts[own + 1]; i < stop; ++i) total += x[at(order, i) * d + column];
        y[own * d + column] = (real)(accumulate ? accumulate[own * d + column] + total : total);
    }
    for (index_t segment = first; segment < first + LANES && segment < n; ++segment) {
        const index_t start = starts[segment], stop = starts[segment + 1];
        if (stop - start <= SHARED) continue;  // the same for all threads of the block
        double total = 0;
        if (column < d)
#pragma unroll 4
            for (index_t i = start + threadIdx.y; i < stop; i += LANES) total += x[at(order, i) * d + column];
        total = lane_sum(total, scratch);
        if (threadIdx.y == 0 && column < d)
            y[segment * d + column] = (real)(accumulate ? accumulate[segment * d + column] + total : total);
    }
}

// The same for long segments: 8 lanes share one, each takes every eighth row.                     blocks: (n, ⌈d / 32⌉)
extern "C" __global__ void sum_long_segments(
    const real* x, const index_t* order, const index_t* starts, const real* accumulate, real* y, index_t d) {
    __shared__ double scratch[COLUMNS * LANES];
    const index_t segment = blockIdx.x, column = blockIdx.y * (index_t)COLUMNS + threadIdx.x;
    double total = 0;
    if (column < d)
        for (index_t i = starts[segment] + threadIdx.y; i < starts[segment + 1]; i += LANES)
            total += x[at(order, i) * d + column];
    total = lane_sum(total, scratch);
    if (threadIdx.y == 0 && column < d)
        y[segment * d + column] = (real)(accumulate ? accumulate[segment * d + column] + total : total);
}

// y[s] = the largest of x[i] over starts[s] ≤ i < starts[s + 1], 0 for none; NaN where there is one.
// blocks: (⌈n / 8⌉, ⌈d / 32⌉)
extern "C" __global__ void max_segments(const real* x, const index_t* starts, real* y, index_t n, index_t d) {
    const index_t segment = blockIdx.x * (index_t)LANES + threadIdx.y;
    const index_t column = blockIdx.y * (index_t)COLUMNS + threadIdx.x;
    if (segment >= n || column >= d) return;
    real largest = 0;
    for (index_t i = starts[segment]; i < starts[segment + 1]; ++i) {
        const real value = x[i * d + column];
        if (i == starts[segment] || value > largest || value != value) largest = value;
        if (largest != largest) break;
    }
    y[segment * d + column] = largest;
}

// The same for long segments of a single column, a block each: so are the numbers of a text whose magnitude is one for
// all dimensions.
extern "C" __global__ void sum_flat_segments(
    const real* x, const index_t* order, const index_t* starts, const real* accumulate, real* y) {
    __shared__ double scratch[FLAT_THREADS];
    double total = 0;
    for (index_t i = starts[blockIdx.x] + threadIdx.x; i < starts[blockIdx.x + 1]; i += FLAT_THREADS)
        total += x[at(order, i)];
    total = block_sum(total, scratch);
    if (threadIdx.x == 0) y[blockIdx.x] = (real)(accumulate ? accumulate[blockIdx.x] + total : total);
}

extern "C" __global__ void max_flat_segments(const real* x, const index_t* starts, real* y) {
    __shared__ double scratch[FLAT_THREADS];
    const index_t start = starts[blockIdx.x], stop = starts[blockIdx.x + 1];
    double largest = start < stop ? x[start] : 0, strange = 0;  // NaN, which fmax passes over
    for (index_t i = start + threadIdx.x; i < stop; i += FLAT_THREADS) {
        largest = fmax(largest, (double)x[i]);
        if (x[i] != x[i]) strange = 1;
    }
    largest = block_max(largest, scratch);
    strange = block_max(strange, scratch);
    if (threadIdx.x == 0) y[blockIdx.x] = (real)(strange > 0 ? nan("") : largest);
}

// partial[c] = Σ of the rows of chunk c; columns are then summed over chunks by finish_columns.
// blocks: (chunks, ⌈d / 32⌉)
extern "C" __global__ void sum_columns(
    const real* __restrict__ x, double* __restrict__ partial, index_t n, index_t d, index_t chunk_rows) {
    __shared__ double scratch[COLUMNS * LANES];
    const index_t chunk = blockIdx.x, column = blockIdx.y * (index_t)COLUMNS + threadIdx.x;
    const index_t stop = (chunk + 1) * chunk_rows < n ? (chunk + 1) * chunk_rows : n;
    double total = 0;
    if (column < d)
#pragma unroll 8
        for (index_t row = chunk * chunk_rows + threadIdx.y; row < stop; row += LANES) total += x[row * d + column];
    total = lane_sum(total, scratch);
    if (threadIdx.y == 0 && column < d) partial[chunk * d + column] = total;
}

// y = Σ over chunks of partial.                                                                   blocks: (1, ⌈d / 32⌉)
extern "C" __global__ void finish_columns(const double* partial, real* y, index_t chunks, index_t d) {
    __shared__ double scratch[COLUMNS * LANES];
    const index_t column = blockIdx.y * (index_t)COLUMNS + threadIdx.x;
    double total = 0;
    if (column < d)
        for (index_t chunk = threadIdx.y; chunk < chunks; chunk += LANES) total += partial[chunk * d + column];
    total = lane_sum(total, scratch);
    if (threadIdx.y == 0 && column < d) y[column] = (real)total;
}
