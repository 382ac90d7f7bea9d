/* Decoding on x86 CPUs with AVX2: the functions that Python calls.
 *
 * Every result is computed alone and in one order, so its bits depend neither on the number of rows nor on threads.
 */

#include "attention.h"
#include "products.h"

/* y[rows, outputs] = x[rows, inputs] times a matrix. q[rows, padded] and q_scales[rows] are scratch. */
void int8_product(
    const Matrix *m, const float *x, float *y, int16_t *q, float *q_scales, long rows, int threads)
{
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (long r = 0; r < rows; r++)
            quantize(x + r * m->inputs, m->inputs, m->padded, q + r * m->padded, q_scales + r);
        product(m, rows, q, q_scales, y, STORE);
    }
}

void step_attention(
    const RaggedRows *f, const float *queries, long row_stride, const void *keys, const void *values, float *mixed,
    int threads)
{
#pragma omp parallel num_threads(threads)
    attend_all(f, queries, row_stride, keys, values, mixed);
}

typedef struct {
    const float *self_weight, *self_bias, *cross_weight, *cross_bias, *feed_weight, *feed_bias;
    Matrix qkv, out, text_query, text_out, expand, contract;
} Layer;

typedef struct {
    float *wide;   /* [rows, outputs of the widest matrix] */
    float *mixed;  /* [rows, dim] */
    int16_t *q;    /* [rows, inputs of the widest matrix] */
    float *scales; /* [rows] */
} Scratch;

/* Quantize rows of x for a matrix. All threads of a parallel region must call this and the functions below. */
static void quantize_rows(const float *x, const Matrix *m, long rows, const Scratch *s)
{
#pragma omp for schedule(static)
    for (long r = 0; r < rows; r++)
        quantize(x + r * m->inputs, m->inputs, m->padded, s->q + r * m->padded, s->scales + r);
}

static void normalise_rows(
    const float *x, const float *weight, const float *bias, const Matrix *m, long rows, const Scratch *s)
{
#pragma omp for schedule(static)
    for (long r = 0; r < rows; r++) {
        float *row = s->wide + r * m->inputs;
        normalise(x + r * m->inputs, weight, bias, m->inputs, row);
        quantize(row, m->inputs, m->padded, s->q + r * m->padded, s->scales + r);
    }
}

static void gelu_rows(float *x, const Matrix *m, long rows, const Scratch *s)
{
#pragma omp for schedule(static)
    for (long r = 0; r < rows; r++) {
        gelu(x + r * m->inputs, m->inputs);
        quantize(x + r * m->inputs, m->inputs, m->padded, s->q + r * m->padded, s->scales + r);
    }
}

static void store_cached(const int half, const float *numbers, void *cache, long first, long count)
{
    for (long d = 0; d < count; d += LANES) {
        __m256 v = _mm256_loadu_ps(numbers + d);
        __m128i narrow = _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
        if (half)
            _mm_storeu_si128((__m128i *)((uint16_t *)cache + first + d), narrow);
        else
            _mm256_storeu_ps((float *)cache + first + d, v);
    }
}

static void append_step(const RaggedRows *f, const float *qkv, void *keys, void *values)
{
    long dim = f->heads * f->dim;
#pragma omp for schedule(static)
    for (long r = 0; r < f->rows; r++)
        for (long h = 0; h < f->heads; h++) {
            long first = ((f->row_ids[r] * f->heads + h) * f->steps + f->lengths[r] - 1) * f->dim;
            const float *key = qkv + r * 3 * dim + dim + h * f->dim;
            store_cached(f->half, key, keys, first, f->dim);
            store_cached(f->half, key + dim, values, first, f->dim);
        }
}

/* Run x[rows, dim] through all layers, in place. Each row's step is cached at lengths - 1. The first texts->rows rows
 * have a text. Keys and values are [layers, all rows, heads, steps, dim]. */
void layers_step(
    const Layer *layers, long count, const RaggedRows *past, const RaggedRows *texts, long all_rows, float *x, void *keys,
    void *values, const void *text_keys, const void *text_values, const Scratch *s, int threads)
{
    long dim = past->heads * past->dim, rows = past->rows, with_text = texts->rows;
    /* Bytes of one layer's keys: of one step in all rows, of all steps, and of a text. */
    long number = all_rows * dim * (past->half ? 2 : 4), own = number * past->steps, text = number * texts->steps;
#pragma omp parallel num_threads(threads)
    for (long i = 0; i < count; i++) {
        const Layer *l = layers + i;
        normalise_rows(x, l->self_weight, l->self_bias, &l->qkv, rows, s);
        product(&l->qkv, rows, s->q, s->scales, s->wide, STORE);
        void *own_keys = (char *)keys + i * own, *own_values = (char *)values + i * own;
        append_step(past, s->wide, own_keys, own_values);
        attend_all(past, s->wide, 3 * dim, own_keys, own_values, s->mixed);
        quantize_rows(s->mixed, &l->out, rows, s);
        product(&l->out, rows, s->q, s->scales, x, ADD);
        if (with_text) {
            normalise_rows(x, l->cross_weight, l->cross_bias, &l->text_query, with_text, s);
            product(&l->text_query, with_text, s->q, s->scales, s->wide, STORE);
            const void *cached_keys = (const char *)text_keys + i * text;
            attend_all(texts, s->wide, dim, cached_keys, (const char *)text_values + i * text, s->mixed);
            quantize_rows(s->mixed, &l->text_out, with_text, s);
            product(&l->text_out, with_text, s->q, s->scales, x, ADD);
        }
        normalise_rows(x, l->feed_weight, l->feed_bias, &l->expand, rows, s);
        product(&l->expand, rows, s->q, s->scales, s->wide, STORE);
        gelu_rows(s->wide, &l->contract, rows, s);
        product(&l->contract, rows, s->q, s->scales, x, ADD);
    }
}
