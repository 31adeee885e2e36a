/* SPDX-License-Identifier: MIT */
/* Mixture of experts: tokens are sorted by the experts that the router chose, every expert's tokens are multiplied together, and each
 * token's results are added in the order of its own ranking, so that the sum does not depend on the rest of the batch. */
#include "model/moe.h"

#include "base/mem.h"
#include "base/num.h"
#include "model/arch.h"
#include "model/block.h"

#include <math.h>
#include <string.h>

static const size_t moe_target = 24u << 20; /* bytes for the rows of one slice */

struct dv_moe_work {
    uint32_t n_slice; /* tokens computed at a time */
    uint32_t n_used, n_expert, n_embd, n_ff;
    float *probs;     /* [n_slice][n_expert] */
    float *weight;    /* [n_slice][n_used] */
    uint32_t *expert; /* [n_slice][n_used], best first */
    uint32_t *row;    /* [n_slice][n_used] row in the sorted arrays */
    uint32_t *start;  /* [n_expert + 1] first row of each expert */
    float *in, *out;  /* [n_slice * n_used][n_embd] */
    float *gate, *up; /* [n_slice * n_used][n_ff] */
    dv_mat *mats;     /* [2 * n_expert] */
    dv_mm_job *jobs;  /* [2 * n_expert] */
};

void dv__moe_close(dv_moe_work **pw)
{
    dv_moe_work *w = *pw;
    if (w == NULL)
        return;
    void *const parts[] = {w->probs, w->weight, w->expert, w->row,  w->start, w->in,
                           w->out,   w->gate,   w->up,     w->mats, w->jobs};
    for (size_t i = 0; i < DV_ARRAY_LEN(parts); i++)
        dv_free(parts[i]);
    dv_free(w);
    *pw = NULL;
}

static void *take(size_t n, size_t size, int *rc)
{
    void *p = dv_calloc(DV_MEM_SCRATCH, n, size);
    if (p == NULL)
        *rc = DV_ENOMEM;
    return p;
}

int dv__moe_open(dv_moe_work **out, const dv_forward *f)
{
    const dv_hparams *hp = &f->model->hp;
    int rc = 0;
    dv_moe_work *w = *out = take(1, sizeof *w, &rc);
    if (w == NULL)
        return rc;
    size_t token = (size_t)hp->n_expert_used * 2 * ((size_t)hp->n_embd + hp->n_ff) * sizeof(float);
    size_t fit = DV_MAX(moe_target / token, (size_t)1);
    *w = (dv_moe_work){.n_used = hp->n_expert_used, .n_expert = hp->n_expert, .n_embd = hp->n_embd, .n_ff = hp->n_ff};
    w->n_slice = (uint32_t)DV_MIN(fit, (size_t)f->max_tok);
    size_t rows = (size_t)w->n_slice * w->n_used;
    w->probs = take((size_t)w->n_slice * w->n_expert, sizeof(float), &rc);
    w->weight = take(rows, sizeof(float), &rc);
    w->expert = take(rows, sizeof(uint32_t), &rc);
    w->row = take(rows, sizeof(uint32_t), &rc);
    w->start = take(w->n_expert + 1, sizeof(uint32_t), &rc);
    w->in = take(rows * w->n_embd, sizeof(float), &rc);
    w->out = take(rows * w->n_embd, sizeof(float), &rc);
    w->gate = take(rows * w->n_ff, sizeof(float), &rc);
    w->up = take(rows * w->n_ff, sizeof(float), &rc);
    w->mats = take(2 * (size_t)w->n_expert, sizeof(dv_mat), &rc);
    w->jobs = take(2 * (size_t)w->n_expert, sizeof(dv_mm_job), &rc);
    if (rc != 0)
        dv__moe_close(out);
    return rc;
}

size_t dv__moe_in_total(const dv_moe_work *w)
{
    size_t widest = DV_MAX(w->n_embd, w->n_ff);
    return (size_t)w->n_slice * w->n_used * (dv_div_up(widest, DV_SB) * DV_SB);
}

/* The n_used best experts of a token by probability, ties to the lower number, with weights that sum to 1. */
static void choose(const dv_moe_work *w, uint32_t t)
{
    float *p = w->probs + (size_t)t * w->n_expert;
    float max = -INFINITY, sum = 0;
    for (uint32_t e = 0; e < w->n_expert; e++)
        max = DV_MAX(max, p[e]);
    for (uint32_t e = 0; e < w->n_expert; e++)
        p[e] = expf(p[e] - max);
    for (uint32_t i = 0; i < w->n_used; i++) {
        uint32_t best = 0;
        for (uint32_t e = 1; e < w->n_expert; e++)
            if (p[e] > p[best] || !(p[best] == p[best])) /* a NaN never stays the best */
                best = e;
        w->expert[t * w->n_used + i] = best;
        w->weight[t * w->n_used + i] = p[best];
        sum += p[best];
        p[best] = -1;
    }
    for (uint32_t i = 0; i < w->n_used; i++)
        w->weight[t * w->n_used + i] /= sum;
}

/* Counting sort of (token, rank) by expert; w->start[e] ends as the first row of expert e. */
static void sort_rows(const dv_moe_work *w, uint32_t n_tok)
{
    uint32_t n = n_tok * w->n_used;
    memset(w->start, 0, (w->n_expert + 1) * sizeof *w->start);
    for (uint32_t i = 0; i < n; i++)
        w->start[w->expert[i] + 1]++;
    for (uint32_t e = 0; e < w->n_expert; e++)
        w->start[e + 1] += w->start[e];
    for (uint32_t i = 0; i < n; i++)
        w->row[i] = w->start[w->expert[i]]++;
    for (uint32_t e = w->n_expert; e > 0; e--)
        w->start[e] = w->start[e - 1];
    w->start[0] = 0;
}

typedef struct moe_call {
    dv_forward *f;
    dv_moe_work *w;
    uint32_t first, n; /* the slice's tokens */
} moe_call;

static size_t add_jobs(const moe_call *c, size_t n_jobs, const dv_mat *w0, size_t stride, uint32_t e, const float *x,
                       float *y)
{
    dv_moe_work *w = c->w;
    dv_mat *m = &w->mats[n_jobs];
    *m = *w0;
    m->data += e * stride;
    w->jobs[n_jobs] = (dv_mm_job){.w = m,
                                  .x = x + (size_t)w->start[e] * m->n_in,
                                  .ldx = m->n_in,
                                  .y = y + (size_t)w->start[e] * m->n_out,
                                  .ldy = m->n_out,
                                  .n_tok = w->start[e + 1] - w->start[e]};
    return n_jobs + 1;
}

static void glu_part(void *arg, size_t part, size_t n_parts, unsigned thread)
{
    const moe_call *c = arg;
    float *g = c->w->gate + part * c->w->n_ff;
    (void)n_parts;
    (void)thread;
    c->f->kern->silu_mul(g, c->w->up + part * c->w->n_ff, c->w->n_ff, g);
}

static void combine_part(void *arg, size_t part, size_t n_parts, unsigned thread)
{
    const moe_call *c = arg;
    const dv_moe_work *w = c->w;
    float *h = c->f->h + (c->first + part) * w->n_embd;
    (void)n_parts;
    (void)thread;
    memset(h, 0, w->n_embd * sizeof *h);
    for (uint32_t i = 0; i < w->n_used; i++)
        c->f->kern->axpy(h, w->weight[part * w->n_used + i], w->out + (size_t)w->row[part * w->n_used + i] * w->n_embd,
                         w->n_embd);
}

static void run_slice(const moe_call *c, const dv_layer *l)
{
    dv_forward *f = c->f;
    dv_moe_work *w = c->w;
    const dv_mm_job route = {.w = &l->router,
                             .x = f->h + (size_t)c->first * w->n_embd,
                             .ldx = w->n_embd,
                             .y = w->probs,
                             .ldy = w->n_expert,
                             .n_tok = c->n};
    dv_mm_run(f->mm, &route, 1);
    for (uint32_t t = 0; t < c->n; t++)
        choose(w, t);
    sort_rows(w, c->n);
    for (uint32_t i = 0; i < c->n * w->n_used; i++)
        memcpy(w->in + (size_t)w->row[i] * w->n_embd, f->h + (size_t)(c->first + i / w->n_used) * w->n_embd,
               w->n_embd * sizeof(float));
    size_t n_jobs = 0;
    for (uint32_t e = 0; e < w->n_expert; e++)
        if (w->start[e + 1] > w->start[e]) {
            n_jobs = add_jobs(c, n_jobs, &l->w_gate, l->gate_stride, e, w->in, w->gate);
            n_jobs = add_jobs(c, n_jobs, &l->w_up, l->up_stride, e, w->in, w->up);
        }
    dv_mm_run(f->mm, w->jobs, n_jobs);
    dv_pool_run(f->pool, glu_part, (void *)(uintptr_t)c, (size_t)c->n * w->n_used);
    n_jobs = 0;
    for (uint32_t e = 0; e < w->n_expert; e++)
        if (w->start[e + 1] > w->start[e])
            n_jobs = add_jobs(c, n_jobs, &l->w_down, l->down_stride, e, w->gate, w->out);
    dv_mm_run(f->mm, w->jobs, n_jobs);
    dv_pool_run(f->pool, combine_part, (void *)(uintptr_t)c, c->n);
}

void dv__step_moe(dv_forward *f, const dv_layer *l)
{
    dv_moe_work *w = f->moe;
    for (uint32_t first = 0; first < f->n_tok; first += w->n_slice) {
        const moe_call c = {f, w, first, DV_MIN(w->n_slice, f->n_tok - first)};
        run_slice(&c, l);
    }
}
