/* Two waves of one text, combined and read out: E4 twice, E5 or E6, E7. See wave_pair_c.py.

   Entry e is row row_index[e] of a and of b, counts[e] times; without row_index row e, without counts once. Text t has
   the entries offsets[t] ≤ e < offsets[t + 1]. The first wave is that of segments: those of text t are cuts[t] ≤ s <
   cuts[t + 1], with the entries segments[s] ≤ e < segments[s + 1]; without cuts segments are the texts. */

#include <math.h>
#include <stdint.h>

enum { INTERFERENCE, MODULATION };
enum { REAL, IMAGINARY, MAGNITUDE, BOTH };

typedef struct {
    const float *a, *b;
    const int64_t *row_index, *counts, *offsets, *segments, *cuts;
    int64_t d;
} Pair;

/* Sums over the tokens of a text, column by column, from which any one may be left out without cancellation: the term
   of largest magnitude is kept apart. */
typedef struct {
    double *largest, *rest;
} Sums;

typedef struct {
    double re, im;
} Wave;

static inline void clear(Sums sums, int64_t d)
{
    for (int64_t k = 0; k < d; k++)
        sums.largest[k] = sums.rest[k] = 0;
}

static inline void add(Sums sums, int64_t k, double term, double count)
{
    const double largest = sums.largest[k];
    const int is_larger = fabs(term) > fabs(largest);
    sums.rest[k] += is_larger ? largest + (count - 1) * term : count * term;
    sums.largest[k] = is_larger ? term : largest;
}

static inline void add_all(Sums sums, int64_t d, const double *restrict terms, double count)
{
    double *restrict largest = sums.largest, *restrict rest = sums.rest;
    for (int64_t k = 0; k < d; k++)
        add((Sums){largest, rest}, k, terms[k], count);
}

/* The sum over the other tokens than one with this term. */
static inline double others(Sums sums, int64_t k, double term) { return sums.rest[k] + (sums.largest[k] - term); }

static inline int64_t row_of(const Pair *pair, int64_t e) { return (pair->row_index ? pair->row_index[e] : e) * pair->d; }

static inline double count_of(const Pair *pair, int64_t e) { return pair->counts ? (double)pair->counts[e] : 1; }

/* The sums of squares of some entries. */
static inline void measure(const Pair *pair, const float *restrict x, int64_t start, int64_t stop, Sums squares)
{
    const int64_t d = pair->d;
    double *restrict largest = squares.largest, *restrict rest = squares.rest;
    clear((Sums){largest, rest}, d);
    for (int64_t e = start; e < stop; e++) {
        const float *restrict row = x + row_of(pair, e);
        const double count = count_of(pair, e);
        for (int64_t k = 0; k < d; k++)
            add((Sums){largest, rest}, k, (double)row[k] * (double)row[k], count);
    }
}

static inline Wave wave_of(Sums squares, int64_t k, double x)
{
    return (Wave){x, sqrt(others(squares, k, x * x))}; /* E4 */
}

static inline Wave combined(Wave a, Wave b, int operation)
{
    if (operation == INTERFERENCE)
        return (Wave){a.re + b.re, a.im + b.im}; /* E5 */
    return (Wave){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re}; /* E6 */
}

static inline double modulus(Wave z) { return sqrt(z.re * z.re + z.im * z.im); }

/* The segments of text t. */
static inline int64_t first_segment(const Pair *pair, int64_t t) { return pair->cuts ? pair->cuts[t] : t; }

static inline void forward(const Pair *pair, int64_t B, double *scratch, float *restrict y, int operation, int readout)
{
    const int64_t d = pair->d, width = readout == BOTH ? 2 * d : d;
    const Sums of_a = {scratch, scratch + d}, of_b = {scratch + 2 * d, scratch + 3 * d};
    for (int64_t t = 0; t < B; t++) {
        measure(pair, pair->b, pair->offsets[t], pair->offsets[t + 1], of_b);
        for (int64_t s = first_segment(pair, t); s < first_segment(pair, t + 1); s++) {
            measure(pair, pair->a, pair->segments[s], pair->segments[s + 1], of_a);
            for (int64_t e = pair->segments[s]; e < pair->segments[s + 1]; e++) {
                const float *restrict a = pair->a + row_of(pair, e), *restrict b = pair->b + row_of(pair, e);
                float *restrict out = y + e * width;
                for (int64_t k = 0; k < d; k++) {
                    const Wave z = combined(wave_of(of_a, k, a[k]), wave_of(of_b, k, b[k]), operation);
                    if (readout == MAGNITUDE)
                        out[k] = (float)modulus(z);
                    else
                        out[k] = (float)(readout == IMAGINARY ? z.im : z.re);
                    if (readout == BOTH)
                        out[d + k] = (float)z.im;
                }
            }
        }
    }
}

/* E7: the slopes of the combined wave, 0 where its magnitude is. */
static inline Wave slope_of_readout(Wave z, double dy, double dy_im, int readout)
{
    if (readout == BOTH)
        return (Wave){dy, dy_im};
    if (readout == REAL)
        return (Wave){dy, 0};
    if (readout == IMAGINARY)
        return (Wave){0, dy};
    const double rho = modulus(z), over = rho == 0 ? 0 : dy / rho;
    return (Wave){over * z.re, over * z.im};
}

/* E5 and E6: the slopes of one wave, its imaginary part over v: h of E4, 0 at v = 0. */
static inline Wave slope_of_wave(Wave dz, Wave other, double v, int operation)
{
    const double re = operation == INTERFERENCE ? dz.re : dz.re * other.re + dz.im * other.im;
    const double im = operation == INTERFERENCE ? dz.im : dz.im * other.re - dz.re * other.im;
    return (Wave){re, v == 0 ? 0 : im / v};
}

/* The slopes of the entries start ≤ e < stop of one wave, from those of single tokens (re, h), are added to sums. */
static inline void add_slopes(const Pair *pair, const float *restrict x, int64_t start, int64_t stop, Sums of_h,
                              const double *restrict re, const double *restrict h, double *restrict sums)
{
    const int64_t d = pair->d;
    for (int64_t e = start; e < stop; e++, re += d, h += d) {
        const float *restrict row = x + row_of(pair, e);
        double *restrict sum = sums + row_of(pair, e);
        const double count = count_of(pair, e);
        for (int64_t k = 0; k < d; k++)
            sum[k] += count * (re[k] + row[k] * others(of_h, k, h[k]));
    }
}

/* The slopes (re, h) of both waves for one of the tokens of an entry, to which `share` of dy belongs. */
static inline void slopes_of_entry(const float *restrict a, const float *restrict b, const float *restrict dy,
                                   double share, int64_t d, Sums of_a, Sums of_b, double *restrict re_a,
                                   double *restrict h_a, double *restrict re_b, double *restrict h_b, int operation,
                                   int readout)
{
    const double *restrict largest_a = of_a.largest, *restrict rest_a = of_a.rest;
    const double *restrict largest_b = of_b.largest, *restrict rest_b = of_b.rest;
    for (int64_t k = 0; k < d; k++) {
        const double xa = a[k], xb = b[k];
        const Wave wa = {xa, sqrt(rest_a[k] + (largest_a[k] - xa * xa))};
        const Wave wb = {xb, sqrt(rest_b[k] + (largest_b[k] - xb * xb))};
        const double dy_im = readout == BOTH ? dy[d + k] * share : 0;
        const Wave dz = slope_of_readout(combined(wa, wb, operation), dy[k] * share, dy_im, readout);
        const Wave sa = slope_of_wave(dz, wb, wa.im, operation), sb = slope_of_wave(dz, wa, wb.im, operation);
        re_a[k] = sa.re;
        h_a[k] = sa.im;
        re_b[k] = sb.re;
        h_b[k] = sb.im;
    }
}

static inline void backward(const Pair *pair, int64_t B, int64_t longest, double *scratch, const float *restrict dy,
                            double *da, double *db, int operation, int readout)
{
    const int64_t d = pair->d, width = readout == BOTH ? 2 * d : d, block = longest * d;
    const Sums of_a = {scratch, scratch + d}, of_b = {scratch + 2 * d, scratch + 3 * d};
    const Sums h_a = {scratch + 4 * d, scratch + 5 * d}, h_b = {scratch + 6 * d, scratch + 7 * d};
    double *slopes = scratch + 8 * d;
    for (int64_t t = 0; t < B; t++) {
        const int64_t start = pair->offsets[t], stop = pair->offsets[t + 1];
        measure(pair, pair->b, start, stop, of_b);
        clear(h_b, d);
        for (int64_t s = first_segment(pair, t); s < first_segment(pair, t + 1); s++) {
            const int64_t first = pair->segments[s], last = pair->segments[s + 1];
            measure(pair, pair->a, first, last, of_a);
            clear(h_a, d);
            for (int64_t e = first; e < last; e++) {
                const double count = count_of(pair, e);
                double *re_a = slopes + (e - start) * d, *ha = re_a + block, *re_b = ha + block, *hb = re_b + block;
                slopes_of_entry(pair->a + row_of(pair, e), pair->b + row_of(pair, e), dy + e * width, 1 / count, d, of_a,
                                of_b, re_a, ha, re_b, hb, operation, readout);
                add_all(h_a, d, ha, count);
                add_all(h_b, d, hb, count);
            }
            const double *of_segment = slopes + (first - start) * d;
            add_slopes(pair, pair->a, first, last, h_a, of_segment, of_segment + block, da);
        }
        add_slopes(pair, pair->b, start, stop, h_b, slopes + 2 * block, slopes + 3 * block, db);
    }
}

/* Each combination of operation and readout is compiled by itself. */
#define EACH(OPERATION, CALL)                                                                                          \
    switch (readout) {                                                                                                 \
    case REAL: CALL(OPERATION, REAL); break;                                                                           \
    case IMAGINARY: CALL(OPERATION, IMAGINARY); break;                                                                 \
    case MAGNITUDE: CALL(OPERATION, MAGNITUDE); break;                                                                 \
    case BOTH: CALL(OPERATION, BOTH); break;                                                                           \
    }
#define EVERY(CALL)                                                                                                    \
    if (operation == INTERFERENCE) {                                                                                   \
        EACH(INTERFERENCE, CALL)                                                                                       \
    } else {                                                                                                           \
        EACH(MODULATION, CALL)                                                                                         \
    }

/* y: (P, d), for the readout BOTH (P, 2d). scratch: 4d. */
void wave_pair_forward(const float *a, const float *b, const int64_t *row_index, const int64_t *counts,
                       const int64_t *offsets, const int64_t *segments, const int64_t *cuts, int64_t B, int64_t d,
                       int64_t operation, int64_t readout, double *scratch, float *y)
{
    const Pair pair = {a, b, row_index, counts, offsets, segments, cuts, d};
#define FORWARD(OPERATION, READOUT) forward(&pair, B, scratch, y, OPERATION, READOUT)
    EVERY(FORWARD)
}

/* da, db: (U, d), added to. scratch: 8d + 4·longest·d, of texts of so many entries at most. */
void wave_pair_backward(const float *a, const float *b, const int64_t *row_index, const int64_t *counts,
                        const int64_t *offsets, const int64_t *segments, const int64_t *cuts, int64_t B, int64_t d,
                        int64_t operation, int64_t readout, int64_t longest, double *scratch, const float *dy, double *da,
                        double *db)
{
    const Pair pair = {a, b, row_index, counts, offsets, segments, cuts, d};
#define BACKWARD(OPERATION, READOUT) backward(&pair, B, longest, scratch, dy, da, db, OPERATION, READOUT)
    EVERY(BACKWARD)
}
