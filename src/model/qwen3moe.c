/* SPDX-License-Identifier: MIT */
/* Qwen 3 with experts in every layer: the router's softmax over all experts, the best few renormalised. */
#include "model/arch.h"

static int load(dv_model *m, uint32_t n_ctx, dv_err *err)
{
    dv_hparams *hp = &m->hp;
    uint32_t n_ff;
    int rc;
    (void)n_ctx;
    if ((rc = dv__load_common(m, err)) != 0 || (rc = dv__load_ends(m, err)) != 0 ||
        (rc = dv__load_rope(m, &m->rope, true, NULL, err)) != 0 ||
        (rc = dv__key_u32(m, "expert_count", 1, 1024, &hp->n_expert, err)) != 0 ||
        (rc = dv__key_u32(m, "expert_used_count", 1, hp->n_expert, &hp->n_expert_used, err)) != 0 ||
        (rc = dv__key_opt_u32(m, "expert_feed_forward_length", 1, 1u << 20, hp->n_ff, &n_ff, err)) != 0)
        return rc;
    hp->n_ff = n_ff;
    for (uint32_t il = 0; il < hp->n_layer; il++)
        if ((rc = dv__load_attention(m, il, DV__ATTN_QK_NORM, err)) != 0 || (rc = dv__load_moe(m, il, n_ff, err)) != 0)
            return rc;
    return 0;
}

const dv_arch dv__arch_qwen3moe = {"qwen3moe", load, dv__layer_pre_norm};
