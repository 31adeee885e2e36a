/* SPDX-License-Identifier: MIT */
/* Llama 1 to 3.2, TinyLlama, Mistral, SmolLM; with experts: Mixtral. Llama 3.1 and later bring RoPE factors as a tensor. */
#include "model/arch.h"

static int load(dv_model *m, uint32_t n_ctx, dv_err *err)
{
    dv_hparams *hp = &m->hp;
    const float *factors = NULL;
    int rc;
    (void)n_ctx;
    if ((rc = dv__load_common(m, err)) != 0 || (rc = dv__load_ends(m, err)) != 0)
        return rc;
    uint32_t n_rot;
    if ((rc = dv__key_opt_u32(m, "rope.dimension_count", 0, hp->hd_k, hp->hd_k, &n_rot, err)) != 0 ||
        (n_rot > 1 &&
         (rc = dv__load_vec(m, &factors, -1, "rope_freqs", "weight", n_rot / 2, DV__OPTIONAL, err)) != 0) ||
        (rc = dv__load_rope(m, &m->rope, false, factors, err)) != 0 ||
        (rc = dv__key_opt_f32(m, "attention.scale", 0, 1e3f, hp->attn_scale, &hp->attn_scale, err)) != 0 ||
        (rc = dv__key_opt_u32(m, "expert_count", 0, 1024, 0, &hp->n_expert, err)) != 0 ||
        (hp->n_expert > 0 && (rc = dv__key_u32(m, "expert_used_count", 1, hp->n_expert, &hp->n_expert_used, err)) != 0))
        return rc;
    for (uint32_t il = 0; il < hp->n_layer; il++) {
        if ((rc = dv__load_attention(m, il, DV__ATTN_BIAS_OPTIONAL, err)) != 0)
            return rc;
        rc = hp->n_expert > 0 ? dv__load_moe(m, il, hp->n_ff, err) : dv__load_ffn(m, il, false, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

const dv_arch dv__arch_llama = {"llama", load, dv__layer_pre_norm};
