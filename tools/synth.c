/* SPDX-License-Identifier: MIT */
#include "tools/synth.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/rng.h"
#include "gguf/write.h"
#include "tools/plan.h"
#include "tools/quant.h"
#include "tools/vocab.h"

#include <string.h>

enum { CHUNK_BYTES = 8 << 20, ROWS_PER_PART = 16 };

/* A run of rows of one tensor, filled by the pool. */
typedef struct chunk {
    const synth_tensor *t;
    uint64_t seed, row0, n_rows, row_bytes;
    uint8_t *out;
    float *scratch; /* [threads][n_in] */
} chunk;

static uint64_t name_hash(const char *s)
{
    uint64_t h = 14695981039346656037u;
    while (*s)
        h = (h ^ (uint8_t)*s++) * 1099511628211u;
    return h;
}

/* Nearly normal: the sum of four uniform 16-bit integers, exact, scaled to variance 1; at most 3.46 in size. */
static float random_normal(dv_rng *r)
{
    uint64_t v = dv_rng_u64(r);
    int sum = (int)(v & 0xffff) + (int)(v >> 16 & 0xffff) + (int)(v >> 32 & 0xffff) + (int)(v >> 48) - 2 * 0xffff;
    return (float)sum * 2.6428997e-05f; /* 1 / sqrt(4 * (65536^2 - 1) / 12) */
}

static void fill_row(const synth_tensor *t, uint64_t seed, uint64_t row, float *x)
{
    uint64_t n = t->ne[0];
    if (t->fill == SYNTH_FREQS) { /* 1 for the fast quarter of the frequencies, then a straight line */
        for (uint64_t i = 0; i < n; i++)
            x[i] = i <= n / 4 ? 1.0f : 1.0f + (t->mean - 1.0f) * (float)(i - n / 4) / (float)(n - 1 - n / 4);
        return;
    }
    dv_rng rng;
    dv_rng_seed(&rng, (seed ^ name_hash(t->name)) + row * 0xd1342543de82ef95u);
    for (uint64_t i = 0; i < n; i++)
        x[i] = t->mean + t->std * random_normal(&rng);
}

static void fill_part(void *arg, size_t part, size_t n_parts, unsigned thread)
{
    (void)n_parts;
    const chunk *c = arg;
    float *x = c->scratch + thread * c->t->ne[0];
    uint64_t end = DV_MIN((part + 1) * ROWS_PER_PART, c->n_rows);
    for (uint64_t r = part * ROWS_PER_PART; r < end; r++) {
        fill_row(c->t, c->seed, c->row0 + r, x);
        synth_quantise_row(c->t->type, x, c->out + r * c->row_bytes, c->t->ne[0]);
    }
}

static int write_tensor(dv_gguf_writer *w, const synth_tensor *t, uint64_t seed, dv_pool *pool, dv_err *err)
{
    chunk c = {.t = t, .seed = seed};
    if (!dv_type_row_bytes(t->type, t->ne[0], &c.row_bytes))
        return dv_fail(err, DV_EINVAL, "%s: rows of %llu elements do not fit type %s", t->name,
                       (unsigned long long)t->ne[0], dv_type_name(t->type));
    uint64_t n_rows = t->ne[1] * t->ne[2], step = DV_MAX(1, CHUNK_BYTES / c.row_bytes);
    c.out = dv_alloc_array(DV_MEM_BASE, DV_MIN(step, n_rows), c.row_bytes);
    c.scratch = dv_alloc_array(DV_MEM_BASE, dv_pool_threads(pool) * t->ne[0], sizeof(float));
    int rc = c.out && c.scratch ? 0 : dv_fail(err, DV_ENOMEM, "out of memory for the rows of %s", t->name);
    for (; rc == 0 && c.row0 < n_rows; c.row0 += c.n_rows) {
        c.n_rows = DV_MIN(step, n_rows - c.row0);
        dv_pool_run(pool, fill_part, &c, (c.n_rows + ROWS_PER_PART - 1) / ROWS_PER_PART);
        rc = dv_gguf_write_data(w, c.out, c.n_rows * c.row_bytes);
    }
    dv_free(c.out);
    dv_free(c.scratch);
    return rc;
}

static int write_tensors(dv_gguf_writer *w, const synth_plan *p, const synth_options *o, dv_err *err)
{
    for (size_t i = 0; i < p->n; i++)
        dv_gguf_add_tensor(w, p->tensors[i].name, p->tensors[i].type, p->tensors[i].n_dims, p->tensors[i].ne);
    dv_pool *pool = NULL;
    int rc = dv_pool_open(&pool, o->threads, err);
    for (size_t i = 0; rc == 0 && i < p->n; i++)
        rc = write_tensor(w, &p->tensors[i], o->seed, pool, err);
    dv_pool_close(&pool);
    return rc;
}

static const char *pre_tokenizer(const synth_shape *s)
{
    return strncmp(s->arch, "qwen", 4) == 0                     ? "qwen2"
           : s->rope_freqs || strcmp(s->name, "phi-4-14b") == 0 ? "llama-bpe"
                                                                : "gpt-2";
}

static int write_model(dv_gguf_writer *w, const synth_shape *s, const synth_mix *mix, const synth_options *o,
                       dv_err *err)
{
    uint32_t n_vocab = s->n_vocab;
    int rc = o->vocab ? synth_vocab_copy(w, o->vocab, s->n_vocab, &n_vocab, err)
                      : synth_vocab_make(w, pre_tokenizer(s), n_vocab, o->seed, err);
    if (rc == 0)
        rc = synth_shape_put(w, s, n_vocab, mix->file_type);
    synth_plan plan = {0};
    if (rc == 0)
        rc = synth_plan_open(&plan, s, mix, n_vocab, err);
    if (rc == 0)
        rc = write_tensors(w, &plan, o, err);
    synth_plan_close(&plan);
    return rc;
}

int synth_write(const char *path, const synth_options *o, dv_err *err)
{
    const synth_shape *s = synth_shape_find(o->shape);
    synth_mix mix;
    if (!s)
        return dv_fail(err, DV_EINVAL, "unknown shape %s", o->shape);
    if (!synth_mix_parse(o->quant, &mix))
        return dv_fail(err, DV_EINVAL, "unknown quantisation %s", o->quant);
    dv_gguf_writer *w = NULL;
    int rc = dv_gguf_writer_open(&w, path, 32, err);
    if (rc == 0)
        rc = write_model(w, s, &mix, o, err);
    /* A failed write sticks in the writer; finish puts it into words. */
    if (rc == 0 || !err || err->code == 0)
        rc = dv_gguf_writer_finish(&w, err);
    dv_gguf_writer_close(&w);
    return rc;
}

int synth_hash(const char *path, uint64_t *out, dv_err *err)
{
    dv_map m;
    int rc = dv_map_open(&m, path, err);
    if (rc)
        return rc;
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < m.len; i++)
        h = (h ^ m.data[i]) * 1099511628211u;
    dv_map_close(&m);
    *out = h;
    return 0;
}
