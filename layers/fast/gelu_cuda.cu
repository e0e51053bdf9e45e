// E11  GELU of x + bias: one thread for a column of ROWS rows, whose loads are under way together. Nothing but x is
// kept; backward computes the slope again.                     blocks: (⌈n / ROWS⌉, enough for the columns)

// Φ, the normal distribution function
__device__ inline float phi(float z) { return normcdff(z); }
__device__ inline double phi(double z) { return normcdf(z); }

// y = z·Φ(z),  z = x + bias
extern "C" __global__ void gelu_forward(
    const real* __restrict__ x, const real* __restrict__ bias, real* __restrict__ y, index_t n, index_t d) {
    const index_t k = blockIdx.y * (index_t)blockDim.x + threadIdx.x, first = blockIdx.x * (index_t)ROWS;
    if (k >= d) return;
    const real shift = bias ? bias[k] : (real)0;
    real z[ROWS];
#pragma unroll
    for (int row = 0; row < ROWS; ++row) z[row] = first + row < n ? x[(first + row) * d + k] : (real)0;
#pragma unroll
    for (int row = 0; row < ROWS; ++row) {
        z[row] += shift;
        if (first + row < n) y[(first + row) * d + k] = z[row] * phi(z[row]);
    }
}

// dx = dy·(Φ(z) + z·φ(z))
extern "C" __global__ void gelu_backward(
    const real* __restrict__ dy, const real* __restrict__ x, const real* __restrict__ bias, real* __restrict__ dx,
    index_t n, index_t d) {
    const index_t k = blockIdx.y * (index_t)blockDim.x + threadIdx.x, first = blockIdx.x * (index_t)ROWS;
    if (k >= d) return;
    const real shift = bias ? bias[k] : (real)0;
    real z[ROWS], slope[ROWS];
#pragma unroll
    for (int row = 0; row < ROWS; ++row) {
        z[row] = first + row < n ? x[(first + row) * d + k] : (real)0;
        slope[row] = first + row < n ? dy[(first + row) * d + k] : (real)0;
    }
#pragma unroll
    for (int row = 0; row < ROWS; ++row) {
        z[row] += shift;
        const real slope_of_z = phi(z[row]) + z[row] * (real)0.39894228040143267794 * exp((real)-0.5 * z[row] * z[row]);
        if (first + row < n) dx[(first + row) * d + k] = slope[row] * slope_of_z;
    }
}
