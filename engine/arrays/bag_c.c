/* The bag of the distinct tokens of texts: see bag_c.py. */

#include <stdint.h>
#include <string.h>

enum { BITS = 64 };

/* How many different ids there are below one that occurs. before: those below each word of bits. */
static inline int64_t rank(const uint64_t *bits, const int64_t *before, int64_t id)
{
    const uint64_t below = ((uint64_t)1 << (id % BITS)) - 1;
    return before[id / BITS] + __builtin_popcountll(bits[id / BITS] & below);
}

/* ids: (T,) in [0, vocabulary) of B texts. Gives the different ids in ascending order as rows, and for each text its
   different rows in ascending order with their counts; sizes: (U, P). For scratch: occurs, a bit for each id, and
   before, a number for each 64; row_of, token_texts: (T,); starts: (T + 1,). */
void distinct_tokens(const int64_t *restrict ids, const int64_t *restrict offsets, int64_t B, int64_t vocabulary,
                     int64_t *restrict occurs, int64_t *restrict before, int64_t *restrict row_of,
                     int64_t *restrict token_texts, int64_t *restrict starts, int64_t *restrict rows,
                     int64_t *restrict row_index, int64_t *restrict counts, int64_t *restrict entry_offsets,
                     int64_t *restrict sizes)
{
    const int64_t T = offsets[B], words = (vocabulary + BITS - 1) / BITS;
    uint64_t *bits = (uint64_t *)occurs;
    int64_t U = 0;
    memset(bits, 0, (size_t)words * sizeof *bits);
    for (int64_t i = 0; i < T; i++)
        bits[ids[i] / BITS] |= (uint64_t)1 << (ids[i] % BITS);
    for (int64_t w = 0; w < words; w++) {
        before[w] = U;
        for (uint64_t word = bits[w]; word; word &= word - 1)
            rows[U++] = w * BITS + __builtin_ctzll(word);
    }

    /* The texts of the tokens of each row, in their order: a counting sort. */
    memset(starts, 0, (size_t)(U + 1) * sizeof *starts);
    for (int64_t i = 0; i < T; i++)
        starts[(row_of[i] = rank(bits, before, ids[i])) + 1]++;
    for (int64_t u = 0; u < U; u++)
        starts[u + 1] += starts[u];
    for (int64_t t = 0; t < B; t++)
        for (int64_t i = offsets[t]; i < offsets[t + 1]; i++)
            token_texts[starts[row_of[i]]++] = t; /* each start becomes its end */

    /* Row by row, so that those of a text ascend; equal tokens of a text are neighbours. */
    memset(entry_offsets, 0, (size_t)(B + 1) * sizeof *entry_offsets);
    for (int64_t u = 0, i = 0; u < U; u++)
        for (int64_t first = i; i < starts[u]; i++)
            if (i == first || token_texts[i] != token_texts[i - 1])
                entry_offsets[token_texts[i] + 1]++;
    for (int64_t t = 0; t < B; t++)
        entry_offsets[t + 1] += entry_offsets[t];
    for (int64_t u = 0, i = 0; u < U; u++)
        while (i < starts[u]) {
            const int64_t t = token_texts[i], entry = entry_offsets[t]++, first = i;
            while (i < starts[u] && token_texts[i] == t)
                i++;
            row_index[entry] = u;
            counts[entry] = i - first;
        }
    for (int64_t t = B; t > 0; t--) /* each end becomes a start again */
        entry_offsets[t] = entry_offsets[t - 1];
    entry_offsets[0] = 0;
    sizes[0] = U;
    sizes[1] = entry_offsets[B];
}
