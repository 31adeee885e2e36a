/* SPDX-License-Identifier: MIT */
/* A loaded model: hyperparameters and weights bound to the mapped file. Immutable after load. */
#ifndef DV_MODEL_MODEL_H
#define DV_MODEL_MODEL_H

#include "base/arena.h"
#include "drover/error.h"
#include "gguf/gguf.h"
#include "kern/matmul.h"

typedef struct dv_arch dv_arch;

/** How rotary angles are made; pair i of position p turns by p * freq[i]. */
typedef struct dv_rope {
    uint32_t n_rot;   /**< elements that rotate; even; 0: none */
    bool neox;        /**< pairs (i, i + n_rot / 2) instead of (2i, 2i + 1) */
    double *freq;     /**< [n_rot / 2] radians per position, scaling and factors included */
    double magnitude; /**< multiplies cos and sin (YaRN, LongRoPE attention factor) */
} dv_rope;

typedef struct dv_layer {
    const float *attn_norm, *attn_post_norm; /* [n_embd]; NULL: none */
    const float *q_norm, *k_norm;            /* [hd_k]; NULL: none */
    const float *bq, *bk, *bv, *bo;          /* biases; NULL: none */
    dv_mat wq, wk, wv, wo;
    uint32_t window; /* positions a query sees, itself included; 0: all */
    const dv_rope *rope;
    const float *ffn_norm, *ffn_post_norm;
    dv_mat w_gate, w_up, w_down;                /* with experts: of expert 0 */
    dv_mat router;                              /* [n_expert][n_embd]; without experts: data NULL */
    size_t gate_stride, up_stride, down_stride; /* bytes from one expert to the next */
} dv_layer;

typedef struct dv_hparams {
    uint32_t n_vocab, n_embd, n_layer, n_head, n_head_kv, hd_k, hd_v, n_ff;
    uint32_t n_ctx_train;
    uint32_t n_expert, n_expert_used; /* 0: dense */
    float norm_eps;
    float attn_scale;    /* multiplies q */
    float embd_scale;    /* multiplies embeddings; 1: nothing */
    float logit_softcap; /* cap * tanh(logit / cap); 0: none */
} dv_hparams;

typedef struct dv_model {
    const dv_arch *arch;
    const dv_gguf *gguf; /* borrowed */
    dv_arena arena;      /* layers, rope tables, vectors that were not F32 */
    dv_hparams hp;
    dv_mat tok_embd, output;
    const float *output_norm;
    dv_rope rope, rope_local; /* rope_local: for layers with a window, where an architecture has two */
    dv_layer *layers;
} dv_model;

/** Positions of a sequence if the caller does not say: what the model was trained for, at most 4096. */
static inline uint32_t dv_ctx_default(const dv_hparams *hp) { return hp->n_ctx_train < 4096 ? hp->n_ctx_train : 4096; }

/**
 * Bind a model to an open file, which must outlive it.
 * @param n_ctx  most positions a sequence will hold (LongRoPE chooses its factors by it); 0: as dv_ctx_default says
 * Errors: DV_EUNSUPPORTED (architecture, tensor type: both named), DV_EFORMAT (key or tensor named), DV_ENOMEM.
 */
int dv_model_open(dv_model **out, const dv_gguf *g, uint32_t n_ctx, dv_err *err);
void dv_model_close(dv_model **m);

#endif
