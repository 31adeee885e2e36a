/* SPDX-License-Identifier: MIT */
/* Which type each tensor of a quantised file has: the mixtures that model files are published in, as llama-quantize makes them
 * (checked against Debian's llama.cpp 0.7.0 with its --dry-run), and uniform types. */
#ifndef DV_TOOLS_MIX_H
#define DV_TOOLS_MIX_H

#include "gguf/type.h"
#include "tools/shape.h"

/** Roles of matrices that mixtures tell apart. */
typedef enum synth_role {
    SYNTH_EMBD,
    SYNTH_OUTPUT,
    SYNTH_ATTN_Q,
    SYNTH_ATTN_K,
    SYNTH_ATTN_V,
    SYNTH_ATTN_QKV,
    SYNTH_ATTN_OUT,
    SYNTH_FFN_UP, /**< and gate */
    SYNTH_FFN_DOWN,
    SYNTH_PLAIN /**< norms, biases, factors, routers: always F32 */
} synth_role;

typedef struct synth_mix {
    const char *name;
    uint32_t file_type; /**< general.file_type */
    dv_type base;       /**< what most matrices get */
    bool uniform;       /**< all matrices get it */
} synth_mix;

/** "Q4_K_M", or "pure-Q4_K" for a uniform type; case-insensitive. False if unknown. */
bool synth_mix_parse(const char *name, synth_mix *out);
/** The i-th known mixture's name, NULL past the last. */
const char *synth_mix_name(size_t i);
/** Type of a matrix with rows of n_in elements in layer `layer` (ignored for embedding and output). */
dv_type synth_mix_type(const synth_mix *m, const synth_shape *s, synth_role role, uint32_t layer, uint32_t n_in);

#endif
