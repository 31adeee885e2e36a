/* SPDX-License-Identifier: MIT */
/* Self-attention over the paged cache. First every KV head's new K and V are normed, turned and stored; then blocks of queries that share
 * a KV head read its pages. Scores of all visible positions are kept, so softmax runs once over them in a fixed order: the result of a
 * query depends on its own positions only, not on the block it was computed in. */
#include "model/attention.h"

#include "base/num.h"
#include "model/arch.h"
#include "model/block.h"

#include <string.h>

enum { BLOCK_ROWS = 16 }; /* queries computed together: they share each load of K and V */

static uint32_t group_size(const dv_hparams *hp) { return hp->n_head / hp->n_head_kv; }
static uint32_t block_tokens(const dv_hparams *hp) { return DV_MAX(1u, BLOCK_ROWS / group_size(hp)); }
static uint32_t block_rows(const dv_hparams *hp) { return block_tokens(hp) * group_size(hp); }
static size_t score_row(const dv_forward *f) { return dv_div_up(f->max_ctx, DV_KV_PAGE) * DV_KV_PAGE; }

size_t dv__attention_work(const dv_forward *f)
{
    const dv_hparams *hp = &f->model->hp;
    return dv_div_up(block_rows(hp) * (1 + hp->hd_k + hp->hd_v + score_row(f)), 16) * 16;
}

typedef struct attn_call {
    dv_forward *f;
    const dv_layer *l;
    uint32_t il;
} attn_call;

static void norm_and_turn(const dv_forward *f, const dv_layer *l, float *x, const float *norm, const float *cs)
{
    const dv_hparams *hp = &f->model->hp;
    if (norm != NULL)
        f->kern->rmsnorm(x, norm, hp->hd_k, hp->norm_eps, x);
    if (l->rope->n_rot > 0)
        (l->rope->neox ? f->kern->rope_neox : f->kern->rope_norm)(x, l->rope->n_rot, cs);
}

/* One KV head of all tokens: heads are apart in memory, tokens of a head are interleaved, so the work is split by head. */
static void prepare_head(void *arg, size_t part, size_t n_parts, unsigned thread)
{
    const attn_call *c = arg;
    const dv_forward *f = c->f;
    const dv_layer *l = c->l;
    const dv_hparams *hp = &f->model->hp;
    uint32_t head = (uint32_t)part, g = group_size(hp);
    dv_kv_type type = f->tok[0].seq->kv->type;
    (void)n_parts;
    (void)thread;
    for (uint32_t t = 0; t < f->n_tok; t++) {
        const dv_batch_token *tok = &f->tok[t];
        const float *cs = (l->rope == &f->model->rope ? f->cs : f->cs_local) + (size_t)t * l->rope->n_rot;
        float *k = f->k + ((size_t)t * hp->n_head_kv + head) * hp->hd_k;
        float *v = f->v + ((size_t)t * hp->n_head_kv + head) * hp->hd_v;
        float *q = f->q + ((size_t)t * hp->n_head + (size_t)head * g) * hp->hd_k;
        if (l->bk != NULL)
            f->kern->add(k, l->bk + (size_t)head * hp->hd_k, hp->hd_k);
        if (l->bv != NULL)
            f->kern->add(v, l->bv + (size_t)head * hp->hd_v, hp->hd_v);
        if (l->bq != NULL)
            f->kern->add(q, l->bq + (size_t)head * g * hp->hd_k, g * hp->hd_k);
        norm_and_turn(f, l, k, l->k_norm, cs);
        for (uint32_t i = 0; i < g; i++)
            norm_and_turn(f, l, q + (size_t)i * hp->hd_k, l->q_norm, cs);
        uint32_t page = tok->pos / DV_KV_PAGE, at = tok->pos % DV_KV_PAGE;
        f->kern->store_k[type](dv_kv_k(tok->seq, page, c->il, head), hp->hd_k, at, k);
        f->kern->store_v[type](dv_kv_v(tok->seq, page, c->il, head), hp->hd_v, at, v);
    }
}

/* Per-thread work space: queries, scores, their sums and outputs of a block. */
typedef struct work {
    float *q, *s, *sum, *out;
    size_t lds;
} work;

static uint32_t first_visible(uint32_t pos, uint32_t window)
{
    return window == 0 || pos + 1 < window ? 0 : pos + 1 - window;
}

static void gather_queries(const dv_forward *f, uint32_t head, uint32_t first, uint32_t n, float *q)
{
    const dv_hparams *hp = &f->model->hp;
    size_t g = group_size(hp), row = g * hp->hd_k;
    for (uint32_t t = 0; t < n; t++) {
        const float *src = f->q + ((size_t)(first + t) * hp->n_head + head * g) * hp->hd_k;
        for (size_t i = 0; i < row; i++)
            q[t * row + i] = src[i] * hp->attn_scale;
    }
}

/* Tokens [first, first + n) follow each other in one sequence. */
static void attend(const attn_call *c, uint32_t head, uint32_t first, uint32_t n, const work *w)
{
    const dv_forward *f = c->f;
    const dv_hparams *hp = &f->model->hp;
    const dv_kv_seq *seq = f->tok[first].seq;
    dv_kv_type type = seq->kv->type;
    uint32_t g = group_size(hp), rows = n * g, window = c->l->window;
    uint32_t lo = first_visible(f->tok[first].pos, window), hi = f->tok[first + n - 1].pos + 1;
    uint32_t page0 = lo / DV_KV_PAGE, page_end = (hi - 1) / DV_KV_PAGE + 1, base = page0 * DV_KV_PAGE;
    uint32_t n_scores = (uint32_t)dv_div_up(hi - base, DV_KV_GROUP) * DV_KV_GROUP;

    gather_queries(f, head, first, n, w->q);
    for (uint32_t p = page0; p < page_end; p++) {
        uint32_t at = (p - page0) * DV_KV_PAGE, groups = DV_MIN((uint32_t)DV_KV_PAGE, n_scores - at) / DV_KV_GROUP;
        f->kern->attn_scores[type](w->q, hp->hd_k, rows, hp->hd_k, dv_kv_k(seq, p, c->il, head), groups, w->s + at,
                                   w->lds);
    }
    memset(w->out, 0, (size_t)rows * hp->hd_v * sizeof(float));
    for (uint32_t r = 0; r < rows; r++) {
        uint32_t pos = f->tok[first + r / g].pos;
        w->sum[r] = f->kern->softmax(w->s + r * w->lds, first_visible(pos, window) - base, pos + 1 - base, n_scores);
    }
    for (uint32_t p = page0; p < page_end; p++) {
        uint32_t from = DV_MAX(lo, p * DV_KV_PAGE), to = DV_MIN(hi, (p + 1) * DV_KV_PAGE);
        f->kern->attn_values[type](w->s + (from - base), w->lds, rows, hp->hd_v, dv_kv_v(seq, p, c->il, head),
                                   from % DV_KV_PAGE, to - from, w->out, hp->hd_v);
    }
    for (uint32_t r = 0; r < rows; r++) {
        float inv = 1.0f / w->sum[r];
        float *dst = f->att + ((size_t)(first + r / g) * hp->n_head + (size_t)head * g + r % g) * hp->hd_v;
        for (uint32_t d = 0; d < hp->hd_v; d++)
            dst[d] = w->out[(size_t)r * hp->hd_v + d] * inv;
    }
}

static void attend_part(void *arg, size_t part, size_t n_parts, unsigned thread)
{
    const attn_call *c = arg;
    const dv_forward *f = c->f;
    const dv_hparams *hp = &f->model->hp;
    uint32_t head = (uint32_t)(part % hp->n_head_kv), n_block = block_tokens(hp);
    uint32_t first = (uint32_t)(part / hp->n_head_kv) * n_block, end = DV_MIN(first + n_block, f->n_tok);
    float *space = f->scores + thread * f->scores_stride;
    (void)n_parts;
    work w = {.lds = score_row(f), .s = space};
    w.q = w.s + block_rows(hp) * w.lds;
    w.out = w.q + (size_t)block_rows(hp) * hp->hd_k;
    w.sum = w.out + (size_t)block_rows(hp) * hp->hd_v;
    while (first < end) {
        uint32_t n = 1;
        while (first + n < end && f->tok[first + n].seq == f->tok[first].seq &&
               f->tok[first + n].pos == f->tok[first].pos + n)
            n++;
        attend(c, head, first, n, &w);
        first += n;
    }
}

void dv__step_attention(dv_forward *f, const dv_layer *l, uint32_t il)
{
    const dv_hparams *hp = &f->model->hp;
    /* clang-format off */
    const dv_mm_job jobs[] = {
        {.w = &l->wq, .x = f->h, .ldx = hp->n_embd, .y = f->q, .ldy = (size_t)hp->n_head * hp->hd_k, .n_tok = f->n_tok},
        {.w = &l->wk, .x = f->h, .ldx = hp->n_embd, .y = f->k, .ldy = (size_t)hp->n_head_kv * hp->hd_k, .n_tok = f->n_tok},
        {.w = &l->wv, .x = f->h, .ldx = hp->n_embd, .y = f->v, .ldy = (size_t)hp->n_head_kv * hp->hd_v, .n_tok = f->n_tok},
    };
    /* clang-format on */
    dv_mm_run(f->mm, jobs, DV_ARRAY_LEN(jobs));
    attn_call c = {f, l, il};
    dv_pool_run(f->pool, prepare_head, &c, hp->n_head_kv);
    dv_pool_run(f->pool, attend_part, &c, dv_div_up(f->n_tok, block_tokens(hp)) * hp->n_head_kv);
    dv__project(f, &l->wo, f->att, f->h);
    if (l->bo != NULL)
        for (uint32_t t = 0; t < f->n_tok; t++)
            f->kern->add(f->h + (size_t)t * hp->n_embd, l->bo, hp->n_embd);
}
