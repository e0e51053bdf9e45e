// E11  GELU of x + bias: one thread an entry. Nothing but x is kept; backward works the slope out again.
// blocks: (rows, enough for the columns)

// Φ, the normal distribution function
__device__ inline float phi(float z) { return normcdff(z); }
__device__ inline double phi(double z) { return normcdf(z); }

// y = z·Φ(z),  z = x + bias
extern "C" __global__ void gelu_forward(const real* x, const real* bias, real* y, index_t d) {
    const index_t k = blockIdx.y * (index_t)blockDim.x + threadIdx.x, i = blockIdx.x * d + k;
    if (k >= d) return;
    const real z = bias ? x[i] + bias[k] : x[i];
    y[i] = z * phi(z);
}

// dx = dy·(Φ(z) + z·φ(z))
extern "C" __global__ void gelu_backward(const real* dy, const real* x, const real* bias, real* dx, index_t d) {
    const index_t k = blockIdx.y * (index_t)blockDim.x + threadIdx.x, i = blockIdx.x * d + k;
    if (k >= d) return;
    const real z = bias ? x[i] + bias[k] : x[i];
    dx[i] = dy[i] * (phi(z) + z * (real)0.39894228040143267794 * exp((real)-0.5 * z * z));
}
