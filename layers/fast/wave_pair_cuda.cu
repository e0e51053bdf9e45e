// Two waves of one text, combined and read out: E4 twice, E5 or E6, E7. Blocks are 32 columns wide and 8 lanes high,
// one for each text. Text t has the entries offsets[t] ≤ e < offsets[t + 1]: rows row_index[e], counts[e] times each;
// without row_index rows e, without counts once. Where the first wave is that of sentences, text t has the sentences
// cuts[t] ≤ s < cuts[t + 1], and sentence s the entries sentences[s] ≤ e < sentences[s + 1].

struct Wave { double re, im; };
struct Pair { Wave a, b; };

// A sum over the tokens of a text and column from which any one may be left out: the term of largest magnitude is kept
// apart. It belongs to `entry`; rest is the sum over all tokens but one of that entry. Which one it is, and not its
// value, decides what is left out: a term may then be computed again and come out a little different.
struct Sum { double largest, rest; index_t entry; };

__device__ inline void add(Sum& sum, double term, double count, index_t entry) {
    if (fabs(term) > fabs(sum.largest)) {
        sum.rest += sum.largest;
        if (count > 1) sum.rest += (count - 1) * term;
        sum.largest = term;
        sum.entry = entry;
    } else
        sum.rest += count * term;
}

// Σ over the other tokens than one of `entry`, whose term is given: without cancellation, as exclusive_sum of
// engine/arrays/ragged.py.
__device__ inline double others(const Sum& sum, double term, index_t entry) {
    return entry == sum.entry ? sum.rest : sum.rest + (sum.largest - term);
}

// The sum of all lanes, in their order: every thread receives that of its column.
__device__ inline Sum merged(Sum own, Sum* scratch) {
    __syncthreads();  // scratch may still be read
    scratch[threadIdx.y * COLUMNS + threadIdx.x] = own;
    __syncthreads();
    Sum sum = scratch[threadIdx.x];
    for (int lane = 1; lane < LANES; ++lane) {
        const Sum next = scratch[lane * COLUMNS + threadIdx.x];
        const bool larger = fabs(next.largest) > fabs(sum.largest);
        sum.rest += next.rest + (larger ? sum.largest : next.largest);
        if (larger) {
            sum.largest = next.largest;
            sum.entry = next.entry;
        }
    }
    return sum;
}

// The squares of a text and column, of float64 as parts of the largest: so they neither over- nor underflow.
struct Norm { Sum squares; double scale; };

__device__ inline double square(double x, double scale) { return (x / scale) * (x / scale); }

__device__ inline double norm_of_others(const Norm& norm, double x, index_t entry) {
    return norm.scale * sqrt(others(norm.squares, square(x, norm.scale), entry));
}

// The entries and the column of a thread.
struct Text { const index_t *row_index, *counts; index_t start, stop, column, d; };

__device__ inline Text text_of_block(
    const index_t* row_index, const index_t* counts, const index_t* offsets, index_t d) {
    const index_t column = blockIdx.y * (index_t)COLUMNS + threadIdx.x;
    return {row_index, counts, offsets[blockIdx.x] + threadIdx.y, column < d ? offsets[blockIdx.x + 1] : 0, column, d};
}

// Entries behind those of all texts are written as 0, by a block of their own. Whether this is it.
__device__ inline bool clears_spare(
    const index_t* offsets, real* x, real* more, index_t texts, index_t entries, index_t width) {
    if (blockIdx.x != texts) return false;
    for (index_t e = offsets[texts] + threadIdx.y; e < entries; e += LANES)
        for (index_t k = blockIdx.y * (index_t)COLUMNS + threadIdx.x; k < width; k += gridDim.y * (index_t)COLUMNS) {
            x[e * width + k] = 0;
            if (more) more[e * width + k] = 0;
        }
    return true;
}

__device__ inline index_t cell_of(const Text& text, index_t e) { return at(text.row_index, e) * text.d + text.column; }

__device__ inline double times(const Text& text, index_t e) { return times(text.counts, e); }

// What to divide the numbers of a text and column by: the largest of all lanes, 1 if that is 0 or infinite.
__device__ inline double scale_of(double largest, Sum* scratch) {
    largest = fabs(merged({largest, 0, 0}, scratch).largest);
    return largest > 0 && 1 / largest > 0 ? largest : 1.0;
}

// The entries of a sentence, for a thread of its text.
__device__ inline Text sentence_of(const Text& text, const index_t* sentences, index_t s) {
    const index_t stop = text.column < text.d ? sentences[s + 1] : 0;
    return {text.row_index, text.counts, sentences[s] + threadIdx.y, stop, text.column, text.d};
}

__device__ inline void measure(const Text& text, const real* x, Norm& norm, Sum* scratch) {
    if (sizeof(real) == sizeof(double)) {
        double largest = 0;
        for (index_t e = text.start; e < text.stop; e += LANES)
            largest = fmax(largest, fabs((double)x[cell_of(text, e)]));
        norm.scale = scale_of(largest, scratch);
    }
    for (index_t e = text.start; e < text.stop; e += LANES)
        add(norm.squares, square(x[cell_of(text, e)], norm.scale), times(text, e), e);
    norm.squares = merged(norm.squares, scratch);
}

__device__ inline void measure(const Text& text, const real* a, const real* b, Norm& of_a, Norm& of_b, Sum* scratch) {
    if (sizeof(real) == sizeof(double)) {
        double largest_a = 0, largest_b = 0;
        for (index_t e = text.start; e < text.stop; e += LANES) {
            largest_a = fmax(largest_a, fabs((double)a[cell_of(text, e)]));
            largest_b = fmax(largest_b, fabs((double)b[cell_of(text, e)]));
        }
        of_a.scale = scale_of(largest_a, scratch);
        of_b.scale = scale_of(largest_b, scratch);
    }
    for (index_t e = text.start; e < text.stop; e += LANES) {
        add(of_a.squares, square(a[cell_of(text, e)], of_a.scale), times(text, e), e);
        add(of_b.squares, square(b[cell_of(text, e)], of_b.scale), times(text, e), e);
    }
    of_a.squares = merged(of_a.squares, scratch);
    of_b.squares = merged(of_b.squares, scratch);
}

__device__ inline Pair pair_of(
    const Text& text, const real* a, const real* b, const Norm& of_a, const Norm& of_b, index_t e) {
    const double x_a = a[cell_of(text, e)], x_b = b[cell_of(text, e)];
    return {{x_a, norm_of_others(of_a, x_a, e)}, {x_b, norm_of_others(of_b, x_b, e)}};
}

__device__ inline Wave combined(const Pair& pair, index_t operation) {
    const Wave a = pair.a, b = pair.b;
    if (operation == INTERFERENCE) return {a.re + b.re, a.im + b.im};
    if (operation == MODULATION) return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
    return {nan(""), nan("")};  // unknown: wave_pair_cuda.py lets no other one in
}

// The squares of all products of float32 numbers fit into float64, those of float64 do not.
__device__ inline double modulus(const Wave& z) {
    return sizeof(real) == sizeof(double) ? hypot(z.re, z.im) : sqrt(z.re * z.re + z.im * z.im);
}

// E7: what is read of one wave; of "both" the first half.
__device__ inline double read(const Wave& z, index_t readout) {
    if (readout == READOUT_REAL || readout == READOUT_BOTH) return z.re;
    if (readout == READOUT_IMAGINARY) return z.im;
    if (readout == READOUT_MAGNITUDE) return modulus(z);
    if (readout == READOUT_PHASE) return atan2(z.im, z.re);
    return nan("");
}

// The readout of some entries of a text.
__device__ inline void write(
    const Text& text, const real* a, const real* b, const Norm& of_a, const Norm& of_b, real* y, index_t operation,
    index_t readout) {
    const index_t width = readout == READOUT_BOTH ? 2 * text.d : text.d;
    for (index_t e = text.start; e < text.stop; e += LANES) {
        const Wave z = combined(pair_of(text, a, b, of_a, of_b, e), operation);
        y[e * width + text.column] = (real)read(z, readout);
        if (readout == READOUT_BOTH) y[e * width + text.d + text.column] = (real)z.im;
    }
}

// y: (P, d), for the readout "both" (P, 2d).                                                  blocks: (B + 1, ⌈d / 32⌉)
extern "C" __global__ void __launch_bounds__(COLUMNS * LANES) wave_pair_forward(
    const real* a, const real* b, const index_t* row_index, const index_t* counts, const index_t* offsets, real* y,
    index_t texts, index_t entries, index_t d, index_t operation, index_t readout) {
    __shared__ Sum scratch[COLUMNS * LANES];
    const index_t width = readout == READOUT_BOTH ? 2 * d : d;
    if (clears_spare(offsets, y, nullptr, texts, entries, width)) return;
    const Text text = text_of_block(row_index, counts, offsets, d);
    Norm of_a = {{0, 0, -1}, 1}, of_b = {{0, 0, -1}, 1};
    measure(text, a, b, of_a, of_b, scratch);
    write(text, a, b, of_a, of_b, y, operation, readout);
}

// The same where the first wave is that of sentences.                                         blocks: (B + 1, ⌈d / 32⌉)
extern "C" __global__ void wave_pair_of_sentences_forward(
    const real* a, const real* b, const index_t* row_index, const index_t* counts, const index_t* offsets,
    const index_t* sentences, const index_t* cuts, real* y, index_t texts, index_t entries, index_t d,
    index_t operation, index_t readout) {
    __shared__ Sum scratch[COLUMNS * LANES];
    const index_t width = readout == READOUT_BOTH ? 2 * d : d;
    if (clears_spare(offsets, y, nullptr, texts, entries, width)) return;
    const Text text = text_of_block(row_index, counts, offsets, d);
    Norm of_b = {{0, 0, -1}, 1};
    measure(text, b, of_b, scratch);
    for (index_t s = cuts[blockIdx.x]; s < cuts[blockIdx.x + 1]; ++s) {
        const Text sentence = sentence_of(text, sentences, s);
        Norm of_a = {{0, 0, -1}, 1};
        measure(sentence, a, of_a, scratch);
        write(sentence, a, b, of_a, of_b, y, operation, readout);
    }
}

// E7 backward: the slopes of the combined wave of one token, 0 at ρ = 0.
__device__ inline Wave slope_of_readout(const Wave& z, const Wave& dy, index_t readout) {
    if (readout == READOUT_BOTH) return dy;
    if (readout == READOUT_REAL) return {dy.re, 0};
    if (readout == READOUT_IMAGINARY) return {0, dy.re};
    const double rho = modulus(z);
    if (rho == 0) return {0, 0};
    if (readout == READOUT_MAGNITUDE) return {dy.re * (z.re / rho), dy.re * (z.im / rho)};
    if (readout == READOUT_PHASE) return {-(dy.re / rho) * (z.im / rho), dy.re / rho * (z.re / rho)};
    return {nan(""), nan("")};
}

// E5 and E6 backward: the slopes of one wave.
__device__ inline Wave slope_of_operation(const Wave& dz, const Wave& other, index_t operation) {
    if (operation == INTERFERENCE) return dz;
    if (operation == MODULATION) return {dz.re * other.re + dz.im * other.im, dz.im * other.re - dz.re * other.im};
    return {nan(""), nan("")};
}

// (dre, h) of E4 backward: the imaginary part already divided by v.
__device__ inline Wave slope_of_wave(const Wave& dz, const Wave& other, double v, index_t operation) {
    const Wave slope = slope_of_operation(dz, other, operation);
    return {slope.re, v == 0 ? 0.0 : slope.im / v};
}

// Slopes of both waves of one token of an entry, whose tokens share its dy.
__device__ inline Pair slopes_of(
    const Text& text, const Pair& pair, const real* dy, index_t e, index_t operation, index_t readout) {
    const index_t width = readout == READOUT_BOTH ? 2 * text.d : text.d;
    const double count = times(text, e);
    const Wave own = {
        dy[e * width + text.column] / count,
        readout == READOUT_BOTH ? dy[e * width + text.d + text.column] / count : 0.0};
    const Wave dz = slope_of_readout(combined(pair, operation), own, readout);
    return {slope_of_wave(dz, pair.b, pair.a.im, operation), slope_of_wave(dz, pair.a, pair.b.im, operation)};
}

// E4 backward of one wave of an entry: the slope of all its tokens.
__device__ inline real slope_of_entry(const Text& text, index_t e, const Wave& slope, double x, const Sum& h) {
    return (real)(times(text, e) * (slope.re + x * others(h, slope.im, e)));
}

// da, db: (P, d), of each entry. All that forward knew is computed again.                    blocks: (B + 1, ⌈d / 32⌉)
extern "C" __global__ void __launch_bounds__(COLUMNS * LANES) wave_pair_backward(
    const real* dy, const real* a, const real* b, const index_t* row_index, const index_t* counts,
    const index_t* offsets, real* da, real* db, index_t texts, index_t entries, index_t d, index_t operation,
    index_t readout) {
    __shared__ Sum scratch[COLUMNS * LANES];
    if (clears_spare(offsets, da, db, texts, entries, d)) return;
    const Text text = text_of_block(row_index, counts, offsets, d);
    Norm of_a = {{0, 0, -1}, 1}, of_b = {{0, 0, -1}, 1};
    Sum h_a = {0, 0, -1}, h_b = {0, 0, -1};
    measure(text, a, b, of_a, of_b, scratch);
    for (index_t e = text.start; e < text.stop; e += LANES) {
        const Pair slopes = slopes_of(text, pair_of(text, a, b, of_a, of_b, e), dy, e, operation, readout);
        add(h_a, slopes.a.im, times(text, e), e);
        add(h_b, slopes.b.im, times(text, e), e);
    }
    h_a = merged(h_a, scratch);
    h_b = merged(h_b, scratch);
    for (index_t e = text.start; e < text.stop; e += LANES) {
        const Pair pair = pair_of(text, a, b, of_a, of_b, e), slopes = slopes_of(text, pair, dy, e, operation, readout);
        da[e * d + text.column] = slope_of_entry(text, e, slopes.a, pair.a.re, h_a);
        db[e * d + text.column] = slope_of_entry(text, e, slopes.b, pair.b.re, h_b);
    }
}

// The same where the first wave is that of sentences: each is measured, and its slopes are formed, twice, for the slopes
// of b need those of the whole text first.                                                    blocks: (B + 1, ⌈d / 32⌉)
extern "C" __global__ void wave_pair_of_sentences_backward(
    const real* dy, const real* a, const real* b, const index_t* row_index, const index_t* counts,
    const index_t* offsets, const index_t* sentences, const index_t* cuts, real* da, real* db, index_t texts,
    index_t entries, index_t d, index_t operation, index_t readout) {
    __shared__ Sum scratch[COLUMNS * LANES];
    if (clears_spare(offsets, da, db, texts, entries, d)) return;
    const Text text = text_of_block(row_index, counts, offsets, d);
    Norm of_b = {{0, 0, -1}, 1};
    Sum h_b = {0, 0, -1};
    measure(text, b, of_b, scratch);
    for (int pass = 0; pass < 2; ++pass) {
        for (index_t s = cuts[blockIdx.x]; s < cuts[blockIdx.x + 1]; ++s) {
            const Text sentence = sentence_of(text, sentences, s);
            Norm of_a = {{0, 0, -1}, 1};
            Sum h_a = {0, 0, -1};
            measure(sentence, a, of_a, scratch);
            for (index_t e = sentence.start; e < sentence.stop; e += LANES) {
                const Pair pair = pair_of(sentence, a, b, of_a, of_b, e);
                const Pair slopes = slopes_of(sentence, pair, dy, e, operation, readout);
                if (pass == 1) {
                    db[e * d + text.column] = slope_of_entry(sentence, e, slopes.b, pair.b.re, h_b);
                    continue;
                }
                add(h_a, slopes.a.im, times(sentence, e), e);
                add(h_b, slopes.b.im, times(sentence, e), e);
            }
            if (pass == 1) continue;
            h_a = merged(h_a, scratch);
            for (index_t e = sentence.start; e < sentence.stop; e += LANES) {
                const Pair pair = pair_of(sentence, a, b, of_a, of_b, e);
                const Pair slopes = slopes_of(sentence, pair, dy, e, operation, readout);
                da[e * d + text.column] = slope_of_entry(sentence, e, slopes.a, pair.a.re, h_a);
            }
        }
        if (pass == 0) h_b = merged(h_b, scratch);
    }
}
