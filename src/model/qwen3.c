/* SPDX-License-Identifier: MIT */
/* Qwen 3, dense: no biases, a norm on each head of q and k before RoPE. */
#include "model/arch.h"

static int load(dv_model *m, uint32_t n_ctx, dv_err *err)
{
    int rc;
    (void)n_ctx;
    if ((rc = dv__load_common(m, err)) != 0 || (rc = dv__load_ends(m, err)) != 0 ||
        (rc = dv__load_rope(m, &m->rope, true, NULL, err)) != 0)
        return rc;
    for (uint32_t il = 0; il < m->hp.n_layer; il++)
        if ((rc = dv__load_attention(m, il, DV__ATTN_QK_NORM, err)) != 0 || (rc = dv__load_ffn(m, il, false, err)) != 0)
            return rc;
    return 0;
}

const dv_arch dv__arch_qwen3 = {"qwen3", load, dv__layer_pre_norm};
