/* SPDX-License-Identifier: MIT */
/* The shapes that synth-gguf can write: hyperparameters of published models, and tiny models that hold one peculiarity each. */
#ifndef DV_TOOLS_SHAPE_H
#define DV_TOOLS_SHAPE_H

#include "gguf/write.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Hyperparameters; 0 or false: the architecture or this model does not have it. */
typedef struct synth_shape {
    const char *name;
    const char *about; /**< one line for --help */
    const char *arch;  /**< general.architecture */
    uint32_t n_vocab, n_embd, n_layer, n_ff;
    uint32_t n_head, n_head_kv, head_dim;
    uint32_t n_ctx;      /**< training context */
    uint32_t n_ctx_orig; /**< phi3: context before the RoPE was stretched; the long factors apply beyond it */
    uint32_t window;     /**< sliding window, positions */
    uint32_t n_expert, n_expert_used, n_ff_exp;
    float rope_base;
    float rope_linear; /**< linear RoPE scaling factor */
    float rope_attn;   /**< phi3: factor on cos and sin */
    float eps;
    bool tied;       /**< the embedding matrix is the output matrix too */
    bool qkv_bias;   /**< biases on q, k and v */
    bool qk_norm;    /**< RMS norm on each head's q and k */
    bool fused;      /**< one matrix for q, k and v, one for gate and up */
    bool post_norm;  /**< norms after attention and after the feed-forward part too */
    bool rope_freqs; /**< a tensor divides the RoPE frequencies */
    bool rope_long;  /**< phi3: short and long RoPE factors */
} synth_shape;

/** NULL if there is none of this name. */
const synth_shape *synth_shape_find(const char *name);
/** All shapes, *n of them. */
const synth_shape *synth_shapes(size_t *n);

/** Write the model's metadata (all but the vocabulary). file_type is the format's general.file_type. First failure sticks in w. */
int synth_shape_put(dv_gguf_writer *w, const synth_shape *s, uint32_t n_vocab, uint32_t file_type);

#endif
