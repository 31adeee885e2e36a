/* SPDX-License-Identifier: MIT */
/* What an architecture's file provides, and the building blocks it is made of. See docs/architectures.md. */
#ifndef DV_MODEL_ARCH_H
#define DV_MODEL_ARCH_H

#include "base/attr.h"
#include "model/forward.h"
#include "model/model.h"

struct dv_arch {
    const char *name; /* general.architecture, and the prefix of its keys */
    /* Read hyperparameters and bind tensors into m. */
    int (*load)(dv_model *m, uint32_t n_ctx, dv_err *err);
    /* One layer: f->x [n_tok][n_embd] in, f->x out. */
    void (*layer)(dv_forward *f, const dv_layer *l, uint32_t il);
};

extern const dv_arch dv__arch_llama, dv__arch_qwen2, dv__arch_qwen3, dv__arch_phi3, dv__arch_gemma3, dv__arch_qwen3moe;

/* Loading (load.c). Keys are given without the architecture's prefix. */

int dv__key_u32(dv_model *m, const char *key, uint32_t min, uint32_t max, uint32_t *out, dv_err *err);
int dv__key_opt_u32(dv_model *m, const char *key, uint32_t min, uint32_t max, uint32_t fallback, uint32_t *out,
                    dv_err *err);
int dv__key_opt_f32(dv_model *m, const char *key, float min, float max, float fallback, float *out, dv_err *err);
/** The hyperparameters that all transformers share; sets attn_scale to 1 / sqrt(hd_k). */
int dv__load_common(dv_model *m, dv_err *err);
/** Angles from rope.freq_base, rope.scaling.* and the factors tensor (NULL: none) for dimension_count elements. */
int dv__load_rope(dv_model *m, dv_rope *r, bool neox, const float *factors, dv_err *err);
/** Angles for a plain base without scaling. */
int dv__rope_plain(dv_model *m, dv_rope *r, bool neox, uint32_t n_rot, double base, dv_err *err);
/** Embedding, output (tied to the embedding if absent) and final norm. */
int dv__load_ends(dv_model *m, dv_err *err);

enum { DV__REQUIRED, DV__OPTIONAL };
/** Bind a matrix [n_out][n_in]; the name is "blk.<il>.<name>.weight", or "<name>.weight" for il < 0. Optional and absent: data stays NULL. */
int dv__load_mat(dv_model *m, dv_mat *out, int il, const char *name, uint32_t n_in, uint32_t n_out, int need,
                 dv_err *err);
/** Bind a vector; suffix is "weight" or "bias". Optional and absent: NULL. */
int dv__load_vec(dv_model *m, const float **out, int il, const char *name, const char *suffix, uint32_t n, int need,
                 dv_err *err);
/** Rows [first, first + n) of a matrix, as a matrix: how fused tensors are split without a copy. */
dv_mat dv__mat_rows(const dv_mat *w, uint32_t first, uint32_t n);

enum { DV__ATTN_BIAS = 1, DV__ATTN_BIAS_OPTIONAL = 2, DV__ATTN_QK_NORM = 4, DV__ATTN_FUSED = 8 };
/** Norm, q, k, v, output of layer il, with rope set to m->rope. */
int dv__load_attention(dv_model *m, uint32_t il, unsigned features, dv_err *err);
/** Norm, gate, up, down; fused: gate and up are the halves of ffn_up. */
int dv__load_ffn(dv_model *m, uint32_t il, bool fused, dv_err *err);
/** Norm, router and experts with n_ff rows each. */
int dv__load_moe(dv_model *m, uint32_t il, uint32_t n_ff_expert, dv_err *err);

/* Steps of a layer (block.c, attention.c, moe.c). Each works on all tokens of the batch. */

/** h = rmsnorm(x) * w */
void dv__step_norm(dv_forward *f, const float *w);
/** h = rmsnorm(h) * w */
void dv__step_post_norm(dv_forward *f, const float *w);
/** h = attention output projection of h, K and V stored in the cache */
void dv__step_attention(dv_forward *f, const dv_layer *l, uint32_t il);
typedef enum dv__act { DV__SILU, DV__GELU } dv__act;
/** h = down(act(gate(h)) * up(h)) */
void dv__step_ffn(dv_forward *f, const dv_layer *l, dv__act act);
/** h = weighted sum of the chosen experts' feed-forward of h */
void dv__step_moe(dv_forward *f, const dv_layer *l);
/** x += h */
void dv__step_residual(dv_forward *f);
/** The layer of Llama and its relatives: norm, attention, residual, norm, feed-forward (or experts), residual. */
void dv__layer_pre_norm(dv_forward *f, const dv_layer *l, uint32_t il);

#endif
