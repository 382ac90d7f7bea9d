/* Rows of float32 in vectors: sums, e^x, GELU, normalising, and rounding to int16. Lengths are multiples of LANES. */

#pragma once

#include <float.h>
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#ifndef __AVX2__
#error "needs AVX2"
#endif

#define UNROLL _Pragma("GCC unroll 8")
#define LANES 8

static inline float sum_of(__m256 v)
{
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}

/* e^x for x <= 0, NaN for NaN: 2^n times a polynomial of the rest, to 2 units in the last place. */
static inline __m256 exponential(__m256 x)
{
    x = _mm256_max_ps(_mm256_set1_ps(-87), x); /* of NaN and a number, the second */
    const int nearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)), nearest);
    __m256 f = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), x);
    f = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), f);
    __m256 p = _mm256_set1_ps(1.0f / 720);
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1.0f / 120));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1.0f / 24));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1.0f / 6));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(0.5f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1));
    __m256i power = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(p, _mm256_castsi256_ps(power));
}

static inline __m256 magnitude(__m256 x)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}

/* 0.5 x (1 + erf(x / sqrt 2)), with erf to 1.5e-7 (Abramowitz and Stegun 7.1.26). */
static void gelu(float *x, long count)
{
    const float terms[] = {1.061405429f, -1.453152027f, 1.421413741f, -0.284496736f, 0.254829592f};
    const __m256 one = _mm256_set1_ps(1);
    for (long k = 0; k < count; k += LANES) {
        __m256 value = _mm256_loadu_ps(x + k);
        __m256 z = _mm256_mul_ps(magnitude(value), _mm256_set1_ps(0.707106781f));
        __m256 t = _mm256_div_ps(one, _mm256_fmadd_ps(z, _mm256_set1_ps(0.3275911f), one));
        __m256 p = _mm256_setzero_ps();
        UNROLL for (int i = 0; i < 5; i++)
            p = _mm256_mul_ps(t, _mm256_add_ps(p, _mm256_set1_ps(terms[i])));
        __m256 erf = _mm256_fnmadd_ps(p, exponential(_mm256_mul_ps(z, _mm256_xor_ps(z, _mm256_set1_ps(-0.0f)))), one);
        erf = _mm256_or_ps(erf, _mm256_and_ps(value, _mm256_set1_ps(-0.0f)));
        __m256 half = _mm256_mul_ps(_mm256_set1_ps(0.5f), value);
        _mm256_storeu_ps(x + k, _mm256_fmadd_ps(half, erf, half));
    }
}

/* Layer norm of one row. */
static void normalise(const float *x, const float *weight, const float *bias, long dim, float *y)
{
    __m256 sums = _mm256_setzero_ps(), squares = _mm256_setzero_ps();
    for (long d = 0; d < dim; d += LANES)
        sums = _mm256_add_ps(sums, _mm256_loadu_ps(x + d));
    __m256 mean = _mm256_set1_ps(sum_of(sums) / dim);
    for (long d = 0; d < dim; d += LANES) {
        __m256 off = _mm256_sub_ps(_mm256_loadu_ps(x + d), mean);
        squares = _mm256_fmadd_ps(off, off, squares);
    }
    __m256 scale = _mm256_set1_ps(1 / sqrtf(sum_of(squares) / dim + 1e-5f));
    for (long d = 0; d < dim; d += LANES) {
        __m256 off = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(x + d), mean), scale);
        off = _mm256_fmadd_ps(off, _mm256_loadu_ps(weight + d), _mm256_loadu_ps(bias + d));
        _mm256_storeu_ps(y + d, off);
    }
}

static inline int32_t bits_of(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & INT32_MAX;
}

/* Round a row of any length to int16, its largest value to 32767, with zeros up to the padded length. Magnitudes are
 * compared as integers. NaN is the largest of them, so it becomes the scale, and every product of the row is NaN. */
static void quantize(const float *x, long inputs, long padded, int16_t *q, float *scale)
{
    __m256i largest = _mm256_setzero_si256();
    long k = 0;
    for (; k + LANES <= inputs; k += LANES)
        largest = _mm256_max_epi32(largest, _mm256_castps_si256(magnitude(_mm256_loadu_ps(x + k))));
    int32_t lanes[LANES], bits = 0;
    _mm256_storeu_si256((__m256i *)lanes, largest);
    for (int lane = 0; lane < LANES; lane++)
        bits = lanes[lane] > bits ? lanes[lane] : bits;
    for (; k < inputs; k++)
        bits = bits_of(x[k]) > bits ? bits_of(x[k]) : bits;
    float most;
    memcpy(&most, &bits, sizeof most);
    float per = most > 0 ? 32767 / most : 0;
    for (k = 0; k + LANES <= inputs; k += LANES) {
        __m256i whole = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + k), _mm256_set1_ps(per)));
        __m128i narrow = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
        _mm_storeu_si128((__m128i *)(q + k), narrow);
    }
    for (; k < inputs; k++)
        q[k] = (int16_t)lrintf(x[k] * per);
    for (; k < padded; k++)
        q[k] = 0;
    *scale = most / 32767;
}
