/* SPDX-License-Identifier: MIT */
#include "model/forward.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/num.h"
#include "model/arch.h"
#include "model/attention.h"
#include "model/block.h"
#include "model/moe.h"

#include <math.h>
#include <string.h>

enum { MIN_TOK = 16 };
static const size_t work_target = 80u << 20; /* bytes of work space that a batch may take */

static size_t pad_sb(size_t n) { return dv_div_up(n, DV_SB) * DV_SB; }

static size_t in_size(const dv_mat *w) { return pad_sb(w->n_in) * (w->fine ? 2 : 1); }

/* Widest input of a matrix product outside the experts, as dv_mm_open counts. */
static size_t widest_input(const dv_model *m)
{
    size_t n = in_size(&m->output);
    for (uint32_t i = 0; i < m->hp.n_layer; i++) {
        n = DV_MAX(n, in_size(&m->layers[i].wo));
        if (m->hp.n_expert == 0)
            n = DV_MAX(n, in_size(&m->layers[i].w_down));
    }
    return n;
}

static size_t token_bytes(const dv_model *m)
{
    const dv_hparams *hp = &m->hp;
    size_t floats = 2 * (size_t)hp->n_embd + (size_t)hp->n_head * (hp->hd_k + hp->hd_v) +
                    (size_t)hp->n_head_kv * (hp->hd_k + hp->hd_v) + m->rope.n_rot + m->rope_local.n_rot;
    if (hp->n_expert == 0)
        floats += 2 * (size_t)hp->n_ff;
    return floats * sizeof(float) + widest_input(m) / DV_SB * sizeof(dv_act_block);
}

static float *rows_alloc(uint32_t n_tok, size_t n, int *rc)
{
    float *p = dv_alloc_array(DV_MEM_SCRATCH, (size_t)n_tok * DV_MAX(n, (size_t)1), sizeof(float));
    if (p == NULL)
        *rc = DV_ENOMEM;
    return p;
}

static int alloc_rows(dv_forward *f)
{
    const dv_hparams *hp = &f->model->hp;
    uint32_t n = f->max_tok;
    int rc = 0;
    f->x = rows_alloc(n, hp->n_embd, &rc);
    f->h = rows_alloc(n, hp->n_embd, &rc);
    f->q = rows_alloc(n, (size_t)hp->n_head * hp->hd_k, &rc);
    f->k = rows_alloc(n, (size_t)hp->n_head_kv * hp->hd_k, &rc);
    f->v = rows_alloc(n, (size_t)hp->n_head_kv * hp->hd_v, &rc);
    f->att = rows_alloc(n, (size_t)hp->n_head * hp->hd_v, &rc);
    f->cs = rows_alloc(n, f->model->rope.n_rot, &rc);
    f->cs_local = rows_alloc(n, f->model->rope_local.n_rot, &rc);
    if (hp->n_expert == 0) {
        f->gate = rows_alloc(n, hp->n_ff, &rc);
        f->up = rows_alloc(n, hp->n_ff, &rc);
    }
    f->scores_stride = dv__attention_work(f);
    f->scores = rows_alloc(dv_pool_threads(f->pool), f->scores_stride, &rc);
    return rc;
}

int dv_forward_open(dv_forward **out, const dv_model *model, const dv_kern *kern, dv_pool *pool, uint32_t max_tok,
                    uint32_t max_ctx, dv_err *err)
{
    *out = NULL;
    dv_forward *f = dv_calloc(DV_MEM_SCRATCH, 1, sizeof *f);
    if (f == NULL)
        return dv_fail(err, DV_ENOMEM, "work space: %s", dv_error_text(DV_ENOMEM));
    size_t fit = work_target / token_bytes(model);
    *f = (dv_forward){.model = model, .kern = kern, .pool = pool, .max_ctx = max_ctx};
    f->max_tok = (uint32_t)DV_MIN((size_t)max_tok, DV_MAX(fit, (size_t)MIN_TOK));
    int rc = alloc_rows(f);
    size_t in_total = widest_input(model) * f->max_tok;
    if (rc == 0 && model->hp.n_expert > 0) {
        rc = dv__moe_open(&f->moe, f);
        if (rc == 0)
            in_total = DV_MAX(in_total, dv__moe_in_total(f->moe));
    }
    if (rc == 0)
        rc = dv_mm_open(&f->mm, kern, pool, in_total, err);
    if (rc != 0) {
        dv_forward_close(&f);
        return dv_fail(err, rc, "work space: %s", dv_error_text(rc));
    }
    *out = f;
    return 0;
}

void dv_forward_close(dv_forward **pf)
{
    dv_forward *f = *pf;
    if (f == NULL)
        return;
    dv_mm_close(&f->mm);
    dv__moe_close(&f->moe);
    float *const rows[] = {f->x, f->h, f->q, f->k, f->v, f->att, f->gate, f->up, f->cs, f->cs_local, f->scores};
    for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++)
        dv_free(rows[i]);
    dv_free(f);
    *pf = NULL;
}

uint64_t dv_forward_bytes(const dv_model *m, unsigned threads, uint32_t max_tok, uint32_t max_ctx)
{
    const dv_forward shape = {.model = m, .max_ctx = max_ctx};
    uint64_t n = DV_MIN((uint64_t)(max_tok != 0 ? max_tok : DV_BATCH_DEFAULT), (uint64_t)max_ctx);
    uint64_t rows = DV_MIN(n * token_bytes(m), (uint64_t)work_target + MIN_TOK * token_bytes(m));
    return rows + threads * (uint64_t)dv__attention_work(&shape) * sizeof(float);
}

static void embed_rows(dv_forward *f, uint32_t first, uint32_t n)
{
    const dv_hparams *hp = &f->model->hp;
    const dv_mat *e = &f->model->tok_embd;
    for (uint32_t t = first; t < first + n; t++) {
        float *x = f->x + (size_t)t * hp->n_embd;
        dv_dequant_row(e->type, e->data + f->tok[t].id * e->row_bytes, x, hp->n_embd);
        if (hp->embd_scale != 1.0f)
            for (uint32_t i = 0; i < hp->n_embd; i++)
                x[i] *= hp->embd_scale;
    }
}

/* In double, so that far positions lose nothing: an f32 angle at position 100,000 is off by thousandths of a radian. */
static void angles(const dv_rope *r, uint32_t pos, float *cs)
{
    for (uint32_t i = 0; i < r->n_rot / 2; i++) {
        double a = pos * r->freq[i];
        cs[2 * i] = (float)(cos(a) * r->magnitude);
        cs[2 * i + 1] = (float)(sin(a) * r->magnitude);
    }
}

static void begin_rows(dv_forward *f, const void *unused, uint32_t first, uint32_t n)
{
    (void)unused;
    const dv_model *m = f->model;
    embed_rows(f, first, n);
    for (uint32_t t = first; t < first + n; t++) {
        angles(&m->rope, f->tok[t].pos, f->cs + (size_t)t * m->rope.n_rot);
        angles(&m->rope_local, f->tok[t].pos, f->cs_local + (size_t)t * m->rope_local.n_rot);
    }
}

void dv_forward_run(dv_forward *f, const dv_batch_token *tok, uint32_t n_tok)
{
    const dv_model *m = f->model;
    f->tok = tok;
    f->n_tok = n_tok;
    dv__for_rows(f, begin_rows, NULL);
    for (uint32_t il = 0; il < m->hp.n_layer; il++)
        m->arch->layer(f, &m->layers[il], il);
}

void dv_forward_hidden(const dv_forward *f, uint32_t row, float *out)
{
    const dv_hparams *hp = &f->model->hp;
    f->kern->rmsnorm(f->x + (size_t)row * hp->n_embd, f->model->output_norm, hp->n_embd, hp->norm_eps, out);
}

void dv_forward_logits(dv_forward *f, const uint32_t *rows, uint32_t n, float *out)
{
    const dv_model *m = f->model;
    const dv_hparams *hp = &m->hp;
    for (uint32_t t = 0; t < n; t++)
        dv_forward_hidden(f, rows[t], f->h + (size_t)t * hp->n_embd);
    const dv_mm_job job = {.w = &m->output, .x = f->h, .ldx = hp->n_embd, .y = out, .ldy = hp->n_vocab, .n_tok = n};
    dv_mm_run(f->mm, &job, 1);
    if (hp->logit_softcap > 0)
        for (size_t i = 0; i < (size_t)n * hp->n_vocab; i++)
            out[i] = hp->logit_softcap * tanhf(out[i] / hp->logit_softcap);
}
