/* Attention of one step to the steps before it. Keys and values are float32 or, with half as much to read, float16. */

#pragma once

#include "vectors.h"

static inline const void *at(const int half, const void *numbers, long index)
{
    return half ? (const void *)((const uint16_t *)numbers + index) : (const void *)((const float *)numbers + index);
}

static inline __m256 load_cached(const int half, const void *numbers, long at)
{
    return half ? _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)((const uint16_t *)numbers + at)))
                : _mm256_loadu_ps((const float *)numbers + at);
}

/* The sum of values weighted by shares, for a number of vectors of each value. */
static inline __attribute__((always_inline)) void weighted_sum(
    const int half, const int vectors, const float *shares, const void *values, long length, long dim, float whole,
    float *mixed)
{
    __m256 sums[8];
    UNROLL for (int v = 0; v < vectors; v++)
        sums[v] = _mm256_setzero_ps();
    for (long t = 0; t < length; t++) {
        __m256 share = _mm256_set1_ps(shares[t]);
        UNROLL for (int v = 0; v < vectors; v++)
            sums[v] = _mm256_fmadd_ps(share, load_cached(half, values, t * dim + v * LANES), sums[v]);
    }
    UNROLL for (int v = 0; v < vectors; v++)
        _mm256_storeu_ps(mixed + v * LANES, _mm256_mul_ps(sums[v], _mm256_set1_ps(whole)));
}

/* One query of width dim, a multiple of LANES, against `length` keys; shares[length + LANES] is scratch. */
static inline __attribute__((always_inline)) void attend(
    const int half, const float *query, const void *keys, const void *values, long length, long dim, float *shares,
    float *mixed)
{
    float scale = 1 / sqrtf(dim), most = -FLT_MAX;
    for (long t = 0; t < length; t++) {
        __m256 sum = _mm256_setzero_ps();
        for (long d = 0; d < dim; d += LANES)
            sum = _mm256_fmadd_ps(_mm256_loadu_ps(query + d), load_cached(half, keys, t * dim + d), sum);
        shares[t] = sum_of(sum) * scale;
        most = shares[t] > most ? shares[t] : most;
    }
    long padded = (length + LANES - 1) / LANES * LANES;
    for (long t = length; t < padded; t++)
        shares[t] = most;
    for (long t = 0; t < padded; t += LANES) {
        __m256 below = _mm256_sub_ps(_mm256_loadu_ps(shares + t), _mm256_set1_ps(most));
        _mm256_storeu_ps(shares + t, exponential(below));
    }
    for (long t = length; t < padded; t++)
        shares[t] = 0;
    __m256 total = _mm256_setzero_ps();
    for (long t = 0; t < padded; t += LANES)
        total = _mm256_add_ps(total, _mm256_loadu_ps(shares + t));
    float whole = 1 / sum_of(total);
    long d = 0;
    for (; d + 8 * LANES <= dim; d += 8 * LANES)
        weighted_sum(half, 8, shares, at(half, values, d), length, dim, whole, mixed + d);
    for (; d < dim; d += LANES)
        weighted_sum(half, 1, shares, at(half, values, d), length, dim, whole, mixed + d);
}

typedef struct {
    const int64_t *row_ids; /* indices into all rows */
    const int64_t *lengths; /* cached steps of each row; 0 gives zeros */
    long rows, heads, steps, dim, half; /* half: whether keys and values are float16 */
} RaggedRows;

/* Queries [rows, heads, dim], row_stride apart; keys and values [all rows, heads, steps, dim]. All threads of a
 * parallel region must call it. */
static void attend_all(
    const RaggedRows *f, const float *queries, long row_stride, const void *keys, const void *values, float *mixed)
{
#pragma omp for collapse(2) schedule(static, 1)
    for (long r = 0; r < f->rows; r++)
        for (long h = 0; h < f->heads; h++) {
            float *result = mixed + (r * f->heads + h) * f->dim;
            for (long d = 0; d < f->dim && !f->lengths[r]; d++)
                result[d] = 0;
            if (f->lengths[r]) {
                long first = (f->row_ids[r] * f->heads + h) * f->steps * f->dim, end = f->lengths[r];
                float shares[end + LANES];
                const float *query = queries + r * row_stride + h * f->dim;
                if (f->half)
                    attend(1, query, at(1, keys, first), at(1, values, first), end, f->dim, shares, result);
                else
                    attend(0, query, at(0, keys, first), at(0, values, first), end, f->dim, shares, result);
            }
        }
}
