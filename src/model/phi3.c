/* SPDX-License-Identifier: MIT */
/* Phi-3 and Phi-4: fused q, k, v and fused gate, up; RoPE over halves, with LongRoPE's short factors up to the original context and the
 * long ones beyond; a sliding window where the file has one. */
#include "model/arch.h"

static int load(dv_model *m, uint32_t n_ctx, dv_err *err)
{
    dv_hparams *hp = &m->hp;
    const float *factors = NULL;
    uint32_t n_rot, n_ctx_orig, window;
    int rc;
    if ((rc = dv__load_common(m, err)) != 0 || (rc = dv__load_ends(m, err)) != 0 ||
        (rc = dv__key_opt_u32(m, "rope.dimension_count", 0, hp->hd_k, hp->hd_k, &n_rot, err)) != 0 ||
        (rc = dv__key_opt_u32(m, "rope.scaling.original_context_length", 1, 1u << 28, hp->n_ctx_train, &n_ctx_orig,
                              err)) != 0 ||
        (rc = dv__key_opt_u32(m, "attention.sliding_window", 0, 1u << 28, 0, &window, err)) != 0)
        return rc;
    const char *which =
        (n_ctx != 0 ? n_ctx : dv_ctx_default(hp)) > n_ctx_orig ? "rope_factors_long" : "rope_factors_short";
    if ((n_rot > 1 && (rc = dv__load_vec(m, &factors, -1, which, "weight", n_rot / 2, DV__OPTIONAL, err)) != 0) ||
        (rc = dv__load_rope(m, &m->rope, true, factors, err)) != 0)
        return rc;
    for (uint32_t il = 0; il < hp->n_layer; il++) {
        if ((rc = dv__load_attention(m, il, DV__ATTN_FUSED, err)) != 0 || (rc = dv__load_ffn(m, il, true, err)) != 0)
            return rc;
        m->layers[il].window = window;
    }
    return 0;
}

const dv_arch dv__arch_phi3 = {"phi3", load, dv__layer_pre_norm};
