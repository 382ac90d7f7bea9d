/* Products with int8 weights.
 *
 * The input is rounded to int16 with one scale per row: a row's largest value is 32767. Sums of products are integers,
 * so they are exact. Weights lie in blocks of COLUMNS outputs, STEP inputs of each in turn: memory is read in order.
 */

#pragma once

#include "vectors.h"

#define STEP 16
#define COLUMNS 4
/* Rows whose sums fit the registers together with a block. */
#define PAIR 2
/* Rows that share a block whose weights are widened to int16. It does not pay off for fewer than MIN_WIDENED rows. */
#define GROUP 16
#define MIN_WIDENED 4
/* Inputs that are summed as integers: their sums fit 32 bits, and their widened weights fit the L1 cache. */
#define SLICE 1024

typedef struct {
    const int8_t *weights;
    const float *scales;
    long inputs, padded, outputs; /* padded: inputs, up to a multiple of STEP; outputs: a multiple of COLUMNS */
} Matrix;

typedef enum { STORE, ADD } Finish;

/* Without this, compilers load a value that is used often from memory again each time, and wait for it. */
static inline __m256i in_register(__m256i v)
{
    __asm__("" : "+x"(v));
    return v;
}

static inline __m256i add_products(__m256i sum, __m256i a, __m256i b)
{
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
    return _mm256_dpwssd_epi32(sum, a, b);
#else
    return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
#endif
}

/* One slice of a block for one or two rows; weights are int8, or int16 if widened. */
static inline __attribute__((always_inline)) void add_slice(
    const int rows, const int widened, const int16_t *q, long padded, const void *weights, long count,
    __m256 totals[][COLUMNS])
{
    __m256i sums[PAIR][COLUMNS];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int c = 0; c < COLUMNS; c++)
            sums[r][c] = _mm256_setzero_si256();
    for (long k = 0; k < count; k += STEP) {
        __m256i x[PAIR];
        UNROLL for (int r = 0; r < rows; r++)
            x[r] = in_register(_mm256_loadu_si256((const __m256i *)(q + r * padded + k)));
        UNROLL for (int c = 0; c < COLUMNS; c++) {
            long at = k * COLUMNS + c * STEP;
            __m256i w = widened
                ? _mm256_loadu_si256((const __m256i *)((const int16_t *)weights + at))
                : _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)((const int8_t *)weights + at)));
            w = in_register(w);
            UNROLL for (int r = 0; r < rows; r++)
                sums[r][c] = in_register(add_products(sums[r][c], w, x[r]));
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int c = 0; c < COLUMNS; c++)
            totals[r][c] = _mm256_add_ps(totals[r][c], _mm256_cvtepi32_ps(sums[r][c]));
}

static void add_slices(
    long rows, const int widened, const int16_t *q, long padded, const void *weights, long count,
    __m256 totals[][COLUMNS])
{
    long r = 0;
    if (widened) {
        for (; r + PAIR <= rows; r += PAIR)
            add_slice(PAIR, 1, q + r * padded, padded, weights, count, totals + r);
        if (r < rows)
            add_slice(1, 1, q + r * padded, padded, weights, count, totals + r);
    } else {
        for (; r + PAIR <= rows; r += PAIR)
            add_slice(PAIR, 0, q + r * padded, padded, weights, count, totals + r);
        if (r < rows)
            add_slice(1, 0, q + r * padded, padded, weights, count, totals + r);
    }
}

/* One block of COLUMNS outputs for up to GROUP rows. */
static void block(
    const Matrix *m, long n, long rows, const int16_t *q, const float *q_scales, float *y, Finish finish)
{
    int16_t wide[SLICE * COLUMNS] __attribute__((aligned(32)));
    __m256 totals[GROUP][COLUMNS];
    for (long r = 0; r < rows; r++)
        for (int c = 0; c < COLUMNS; c++)
            totals[r][c] = _mm256_setzero_ps();
    for (long start = 0; start < m->padded; start += SLICE) {
        long count = m->padded - start < SLICE ? m->padded - start : SLICE;
        const int8_t *narrow = m->weights + n * m->padded + start * COLUMNS;
        int widened = rows >= MIN_WIDENED;
        for (long k = 0; widened && k < count * COLUMNS; k += STEP) {
            __m256i w = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(narrow + k)));
            _mm256_store_si256((__m256i *)(wide + k), w);
            /* Fetch the next weights while these are multiplied. */
            if (k % 64 == 0)
                _mm_prefetch((const char *)(narrow + count * COLUMNS + k), _MM_HINT_T1);
        }
        add_slices(rows, widened, q + start, m->padded, widened ? (const void *)wide : narrow, count, totals);
    }
    for (long r = 0; r < rows; r++)
        for (int c = 0; c < COLUMNS; c++) {
            float *result = y + r * m->outputs + n + c;
            float value = sum_of(totals[r][c]) * q_scales[r] * m->scales[n + c];
            *result = finish == ADD ? *result + value : value;
        }
}

/* y[rows, outputs] from quantized rows. All threads of a parallel region must call it. */
static void product(const Matrix *m, long rows, const int16_t *q, const float *q_scales, float *y, Finish finish)
{
#pragma omp for schedule(static)
    for (long n = 0; n < m->outputs; n += COLUMNS)
        for (long r = 0; r < rows; r += GROUP) {
            long some = rows - r < GROUP ? rows - r : GROUP;
            block(m, n, some, q + r * m->padded, q_scales + r, y + r * m->outputs, finish);
        }
}
