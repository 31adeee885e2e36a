/* SPDX-License-Identifier: MIT */
/* The tensors of a model: names, sizes, types and how their values are drawn. */
#ifndef DV_TOOLS_PLAN_H
#define DV_TOOLS_PLAN_H

#include "tools/mix.h"

typedef enum synth_fill {
    SYNTH_NORMAL, /**< mean + std * random */
    SYNTH_FREQS,  /**< RoPE frequency factors from 1 up to mean */
} synth_fill;

typedef struct synth_tensor {
    char name[64];
    uint64_t ne[3]; /**< fastest axis first */
    uint32_t n_dims;
    dv_type type;
    synth_fill fill;
    float mean, std;
} synth_tensor;

typedef struct synth_plan {
    const synth_shape *shape;
    synth_mix mix;
    uint32_t n_vocab;
    synth_tensor *tensors;
    size_t n, cap;
} synth_plan;

/** List the tensors of a shape in a mixture. Errors: DV_ENOMEM. */
int synth_plan_open(synth_plan *p, const synth_shape *s, const synth_mix *mix, uint32_t n_vocab, dv_err *err);
void synth_plan_close(synth_plan *p);
/** Bytes of all tensors, without padding. */
uint64_t synth_plan_bytes(const synth_plan *p);

#endif
