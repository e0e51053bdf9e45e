// Functions shared by all kernel files. REAL is float or double, COLUMNS and LANES the sizes of most blocks
// (engine/cuda/kernels.py); sums are taken in double, in an order that never changes.
typedef REAL real;
typedef long long index_t;

// Sum over the threads of a block (a power of two, at most 1024): every thread receives it.
// `scratch`: a double for each thread.
__device__ inline double block_sum(double value, double* scratch) {
    const int thread = threadIdx.x + blockDim.x * threadIdx.y, threads = blockDim.x * blockDim.y;
    __syncthreads();  // scratch may still be read from an earlier sum
    scratch[thread] = value;
    __syncthreads();
    for (int half = threads / 2; half > 0; half /= 2) {
        if (thread < half) scratch[thread] += scratch[thread + half];
        __syncthreads();
    }
    return scratch[0];
}

// Largest over the threads of a block, NaN passed over: every thread receives it.
__device__ inline double block_max(double value, double* scratch) {
    const int thread = threadIdx.x + blockDim.x * threadIdx.y, threads = blockDim.x * blockDim.y;
    __syncthreads();
    scratch[thread] = value;
    __syncthreads();
    for (int half = threads / 2; half > 0; half /= 2) {
        if (thread < half) scratch[thread] = fmax(scratch[thread], scratch[thread + half]);
        __syncthreads();
    }
    return scratch[0];
}

// Sum over the COLUMNS threads of a lane, which are a warp: every one of them receives it.
// All threads of the block must come here.
__device__ inline double warp_sum(double value) {
    for (int step = COLUMNS / 2; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
    return value;
}

// Sum over the lanes (threadIdx.y) of a block, in their order: valid in lane 0. `scratch`: a double for each thread.
__device__ inline double lane_sum(double value, double* scratch) {
    __syncthreads();
    scratch[threadIdx.y * blockDim.x + threadIdx.x] = value;
    __syncthreads();
    double total = 0;
    if (threadIdx.y == 0)
        for (int lane = 0; lane < (int)blockDim.y; ++lane) total += scratch[lane * blockDim.x + threadIdx.x];
    return total;
}

// How many tokens row e stands for; without counts one.
__device__ inline double times(const index_t* counts, index_t e) { return counts ? (double)counts[e] : 1.0; }

// Row i of an index; without one row i itself.
__device__ inline index_t at(const index_t* index, index_t i) { return index ? index[i] : i; }
