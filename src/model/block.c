/* SPDX-License-Identifier: MIT */
/* Steps that work on each token by itself: norms, residual, feed-forward. */
#include "model/block.h"

#include "model/arch.h"

enum { ROWS_SERIAL = 3, ROWS_SLICE = 8 }; /* a fork costs about as much as a few rows of work */

typedef void rows_fn(dv_forward *f, const void *arg, uint32_t first, uint32_t n);

typedef struct rows_call {
    dv_forward *f;
    rows_fn *fn;
    const void *arg;
} rows_call;

static void rows_part(void *arg, size_t part, size_t n_parts, unsigned thread)
{
    const rows_call *c = arg;
    uint32_t first = (uint32_t)part * ROWS_SLICE;
    (void)n_parts;
    (void)thread;
    c->fn(c->f, c->arg, first, DV_MIN((uint32_t)ROWS_SLICE, c->f->n_tok - first));
}

void dv__for_rows(dv_forward *f, rows_fn *fn, const void *arg)
{
    if (f->n_tok <= ROWS_SERIAL) {
        fn(f, arg, 0, f->n_tok);
        return;
    }
    rows_call c = {f, fn, arg};
    dv_pool_run(f->pool, rows_part, &c, (f->n_tok + ROWS_SLICE - 1) / ROWS_SLICE);
}

void dv__project(dv_forward *f, const dv_mat *w, const float *x, float *y)
{
    const dv_mm_job job = {.w = w, .x = x, .ldx = w->n_in, .y = y, .ldy = w->n_out, .n_tok = f->n_tok};
    dv_mm_run(f->mm, &job, 1);
}

static void norm_rows(dv_forward *f, const void *w, uint32_t first, uint32_t n)
{
    const dv_hparams *hp = &f->model->hp;
    for (size_t t = first; t < first + n; t++)
        f->kern->rmsnorm(f->x + t * hp->n_embd, w, hp->n_embd, hp->norm_eps, f->h + t * hp->n_embd);
}

static void post_norm_rows(dv_forward *f, const void *w, uint32_t first, uint32_t n)
{
    const dv_hparams *hp = &f->model->hp;
    for (size_t t = first; t < first + n; t++)
        f->kern->rmsnorm(f->h + t * hp->n_embd, w, hp->n_embd, hp->norm_eps, f->h + t * hp->n_embd);
}

void dv__step_norm(dv_forward *f, const float *w) { dv__for_rows(f, norm_rows, w); }
void dv__step_post_norm(dv_forward *f, const float *w) { dv__for_rows(f, post_norm_rows, w); }

static void residual_rows(dv_forward *f, const void *unused, uint32_t first, uint32_t n)
{
    (void)unused;
    size_t n_embd = f->model->hp.n_embd;
    for (size_t t = first; t < first + n; t++)
        f->kern->add(f->x + t * n_embd, f->h + t * n_embd, (uint32_t)n_embd);
}

void dv__step_residual(dv_forward *f) { dv__for_rows(f, residual_rows, NULL); }

static void silu_rows(dv_forward *f, const void *unused, uint32_t first, uint32_t n)
{
    (void)unused;
    size_t n_ff = f->model->hp.n_ff;
    for (size_t t = first; t < first + n; t++)
        f->kern->silu_mul(f->gate + t * n_ff, f->up + t * n_ff, (uint32_t)n_ff, f->gate + t * n_ff);
}

static void gelu_rows(dv_forward *f, const void *unused, uint32_t first, uint32_t n)
{
    (void)unused;
    size_t n_ff = f->model->hp.n_ff;
    for (size_t t = first; t < first + n; t++)
        f->kern->gelu_mul(f->gate + t * n_ff, f->up + t * n_ff, (uint32_t)n_ff, f->gate + t * n_ff);
}

void dv__step_ffn(dv_forward *f, const dv_layer *l, dv__act act)
{
    size_t n_embd = f->model->hp.n_embd, n_ff = f->model->hp.n_ff;
    const dv_mm_job jobs[] = {
        {.w = &l->w_gate, .x = f->h, .ldx = n_embd, .y = f->gate, .ldy = n_ff, .n_tok = f->n_tok},
        {.w = &l->w_up, .x = f->h, .ldx = n_embd, .y = f->up, .ldy = n_ff, .n_tok = f->n_tok},
    };
    dv_mm_run(f->mm, jobs, DV_ARRAY_LEN(jobs));
    dv__for_rows(f, act == DV__SILU ? silu_rows : gelu_rows, NULL);
    dv__project(f, &l->w_down, f->gate, f->h);
}

void dv__layer_pre_norm(dv_forward *f, const dv_layer *l, uint32_t il)
{
    dv__step_norm(f, l->attn_norm);
    dv__step_attention(f, l, il);
    dv__step_residual(f);
    dv__step_norm(f, l->ffn_norm);
    if (l->router.data != NULL)
        dv__step_moe(f, l);
    else
        dv__step_ffn(f, l, DV__SILU);
    dv__step_residual(f);
}
