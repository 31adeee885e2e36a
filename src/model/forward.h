/* SPDX-License-Identifier: MIT */
/* Forward passes: a batch of tokens from any number of sequences through all layers, K and V into their caches, logits for the rows asked
 * for. Everything is allocated when it is opened. One thread owns a dv_forward; the work is spread over its pool. */
#ifndef DV_MODEL_FORWARD_H
#define DV_MODEL_FORWARD_H

#include "model/kv.h"
#include "model/model.h"

/** A token of a batch. Tokens of one sequence stand together in order of position; its earlier positions are in the cache. */
typedef struct dv_batch_token {
    uint32_t id;
    uint32_t pos;
    dv_kv_seq *seq; /**< with room for pos */
} dv_batch_token;

enum { DV_BATCH_DEFAULT = 512 /* tokens of a step */ };

typedef struct dv_forward {
    const dv_model *model;
    const dv_kern *kern;
    dv_pool *pool;
    dv_mm *mm;
    uint32_t max_tok; /* tokens of one batch */
    uint32_t max_ctx; /* positions of one sequence */
    /* The batch at hand. */
    const dv_batch_token *tok;
    uint32_t n_tok;
    /* Work space, all [max_tok] rows. */
    float *x;             /* [n_embd] residual stream */
    float *h;             /* [n_embd] input and output of a step */
    float *q, *k, *v;     /* [n_head * hd_k], [n_head_kv * hd_k], [n_head_kv * hd_v] */
    float *att;           /* [n_head * hd_v] */
    float *gate, *up;     /* [n_ff] */
    float *cs, *cs_local; /* [n_rot] cos and sin of each pair, for rope and rope_local */
    float *scores;        /* per thread: q rows, their scores, their sums */
    size_t scores_stride; /* floats per thread */
    struct dv_moe_work *moe;
} dv_forward;

/**
 * @param max_tok  most tokens of a batch; lowered (not below 16) so that the work space stays near 80 MiB: read f->max_tok
 * @param max_ctx  most positions of a sequence
 * All arguments are borrowed. Errors: DV_ENOMEM.
 */
int dv_forward_open(dv_forward **out, const dv_model *model, const dv_kern *kern, dv_pool *pool, uint32_t max_tok,
                    uint32_t max_ctx, dv_err *err);
void dv_forward_close(dv_forward **f);
/** About the bytes that dv_forward_open takes; max_tok 0: DV_BATCH_DEFAULT. */
uint64_t dv_forward_bytes(const dv_model *m, unsigned threads, uint32_t max_tok, uint32_t max_ctx);

/** Run n_tok (1..max_tok) tokens; f->x then holds their final hidden states until the next run. Does not allocate. Ids must be valid. */
void dv_forward_run(dv_forward *f, const dv_batch_token *tok, uint32_t n_tok);
/** Logits of these n <= max_tok rows of the last run into out [n][n_vocab]. Overwrites h only. */
void dv_forward_logits(dv_forward *f, const uint32_t *rows, uint32_t n, float *out);
/** Final hidden state of a row of the last run after the output norm, into out [n_embd]. */
void dv_forward_hidden(const dv_forward *f, uint32_t row, float *out);

#endif
