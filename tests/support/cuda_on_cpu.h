// Runs CUDA kernels on the CPU: every thread of a block is a fibre, which a barrier sends to the back of the line.
// Blocks run one after another, so `__shared__` is a static variable. The order of threads can be reversed: results
// that stay the same bit by bit do not depend on it.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <ucontext.h>

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(...)

struct dim3 { unsigned x, y, z; };
static dim3 threadIdx, blockIdx, blockDim, gridDim;

inline double normcdf(double x) { return 0.5 * erfc(-x * 0.70710678118654752440); }
inline float normcdff(float x) { return 0.5f * erfcf(-x * 0.70710678f); }

namespace emulation {

// A stack and where on it a fibre goes on. switch_to(from, to) leaves the one and resumes the other.
#if defined(__x86_64__) && defined(__linux__)
// Twenty instructions in place of swapcontext, which calls the kernel of the operating system twice.
struct Place { void* stack_pointer; };
extern "C" void switch_stacks(void** leave, void* resume) __attribute__((visibility("hidden")));
asm(R"(
.text
.hidden switch_stacks
.globl switch_stacks
switch_stacks:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
inline void switch_to(Place& from, Place& to) { switch_stacks(&from.stack_pointer, to.stack_pointer); }
inline void begin(Place& place, char* stack, size_t size, void (*start)()) {
    void** top = (void**)((uintptr_t)(stack + size) & ~uintptr_t(15));
    top[-1] = nullptr;       // start() never returns
    top[-2] = (void*)start;  // where the first switch returns to
    for (int i = 3; i <= 8; ++i) top[-i] = nullptr;
    place.stack_pointer = top - 8;
}
#else
struct Place { ucontext_t context; };
inline void switch_to(Place& from, Place& to) { swapcontext(&from.context, &to.context); }
inline void begin(Place& place, char* stack, size_t size, void (*start)()) {
    getcontext(&place.context);
    place.context.uc_stack.ss_sp = stack;
    place.context.uc_stack.ss_size = size;
    place.context.uc_link = nullptr;
    makecontext(&place.context, start, 0);
}
#endif

enum State { READY, WAITING, DONE };
struct Fibre { Place place; char* stack; dim3 index; State state; };
const size_t STACK_BYTES = 64 * 1024;
static Fibre fibres[1024];  // no block has more threads
static Place scheduler;
static Fibre* running = nullptr;
static void (*call)(void*);  // calls the kernel with its arguments
static void* kernel_call;

inline void enter() {
    call(kernel_call);
    running->state = DONE;
    switch_to(running->place, scheduler);
}

inline void barrier() {
    running->state = WAITING;
    switch_to(running->place, scheduler);
    threadIdx = running->index;
}

// 0, or 1 where some threads of a block ended while others waited at a barrier: on a GPU such a kernel may hang.
inline int run_block(bool backwards) {
    const size_t count = size_t(blockDim.x) * blockDim.y * blockDim.z;
    for (size_t i = 0; i < count; ++i) {
        Fibre& fibre = fibres[i];
        if (!fibre.stack) fibre.stack = (char*)malloc(STACK_BYTES);
        const size_t x = i % blockDim.x, y = i / blockDim.x % blockDim.y, z = i / blockDim.x / blockDim.y;
        fibre.index = {unsigned(x), unsigned(y), unsigned(z)};
        fibre.state = READY;
        begin(fibre.place, fibre.stack, STACK_BYTES, enter);
    }
    while (true) {
        size_t waiting = 0, done = 0;
        for (size_t step = 0; step < count; ++step) {
            running = &fibres[backwards ? count - 1 - step : step];
            if (running->state != DONE) {
                running->state = READY;
                threadIdx = running->index;
                switch_to(scheduler, running->place);
            }
            waiting += running->state == WAITING;
            done += running->state == DONE;
        }
        if (done == count) return 0;
        if (waiting != count) return 1;
    }
}

template <class Kernel> int run(const unsigned* grid, const unsigned* block, int backwards, Kernel kernel) {
    call = [](void* self) { (*(Kernel*)self)(); };
    kernel_call = &kernel;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    const size_t blocks = size_t(grid[0]) * grid[1] * grid[2];
    for (size_t step = 0; step < blocks; ++step) {
        const size_t i = backwards ? blocks - 1 - step : step;
        blockIdx = {unsigned(i % grid[0]), unsigned(i / grid[0] % grid[1]), unsigned(i / grid[0] / grid[1])};
        if (int failed = run_block(backwards)) return failed;
    }
    return 0;
}

}  // namespace emulation

inline void __syncthreads() { emulation::barrier(); }

// The value of the thread `mask` away in the same warp. Here all threads of the block must come to it, so no warp may
// leave early.
inline double __shfl_xor_sync(unsigned, double value, int mask) {
    static double given[1024];
    const unsigned thread = threadIdx.x + blockDim.x * threadIdx.y;
    given[thread] = value;
    __syncthreads();
    value = given[thread ^ unsigned(mask)];
    __syncthreads();
    return value;
}
