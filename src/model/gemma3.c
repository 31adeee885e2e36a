/* SPDX-License-Identifier: MIT */
/* Gemma 3, text: embeddings scaled by sqrt(n_embd), norms before and after each block, GELU, a norm on each head of q and k, and layers
 * with a sliding window and their own RoPE base between layers that see everything. */
#include "model/arch.h"

#include <math.h>

static int load(dv_model *m, uint32_t n_ctx, dv_err *err)
{
    dv_hparams *hp = &m->hp;
    uint32_t window, pattern;
    float base_local;
    int rc;
    (void)n_ctx;
    if ((rc = dv__load_common(m, err)) != 0 || (rc = dv__load_ends(m, err)) != 0 ||
        (rc = dv__load_rope(m, &m->rope, true, NULL, err)) != 0 ||
        (rc = dv__key_opt_u32(m, "attention.sliding_window", 0, 1u << 28, 0, &window, err)) != 0 ||
        (rc = dv__key_opt_u32(m, "attention.sliding_window_pattern", 1, 4096, 6, &pattern, err)) != 0 ||
        (rc = dv__key_opt_f32(m, "rope.freq_base_swa", 1.0f, 1e12f, 10000.0f, &base_local, err)) != 0 ||
        (rc = dv__key_opt_f32(m, "final_logit_softcapping", 0, 1e6f, 0, &hp->logit_softcap, err)) != 0 ||
        (rc = dv__rope_plain(m, &m->rope_local, true, m->rope.n_rot, base_local, err)) != 0)
        return rc;
    hp->embd_scale = sqrtf((float)hp->n_embd);
    if (hp->n_layer == 62) /* the 27B model scales by the width per head, not by the head size */
        hp->attn_scale = (float)(1.0 / sqrt((double)hp->n_embd / hp->n_head));
    for (uint32_t il = 0; il < hp->n_layer; il++) {
        dv_layer *l = &m->layers[il];
        if ((rc = dv__load_attention(m, il, DV__ATTN_QK_NORM, err)) != 0 ||
            (rc = dv__load_ffn(m, il, false, err)) != 0 ||
            (rc = dv__load_vec(m, &l->attn_post_norm, (int)il, "post_attention_norm", "weight", hp->n_embd,
                               DV__REQUIRED, err)) != 0 ||
            (rc = dv__load_vec(m, &l->ffn_post_norm, (int)il, "post_ffw_norm", "weight", hp->n_embd, DV__REQUIRED,
                               err)) != 0)
            return rc;
        if (window > 0 && il % pattern != pattern - 1) {
            l->window = window;
            l->rope = &m->rope_local;
        }
    }
    return 0;
}

static void layer(dv_forward *f, const dv_layer *l, uint32_t il)
{
    dv__step_norm(f, l->attn_norm);
    dv__step_attention(f, l, il);
    dv__step_post_norm(f, l->attn_post_norm);
    dv__step_residual(f);
    dv__step_norm(f, l->ffn_norm);
    dv__step_ffn(f, l, DV__GELU);
    dv__step_post_norm(f, l->ffn_post_norm);
    dv__step_residual(f);
}

const dv_arch dv__arch_gemma3 = {"gemma3", load, layer};
