/* SPDX-License-Identifier: MIT */
#include "tools/plan.h"

#include "base/err.h"
#include "base/mem.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Gains are such that q.k scores and logits come out with a spread of about one to three: neither flat nor one-hot, so that every part
 * of a model shows in its predictions. */
static const float EMBD_STD = 1.0f, LOGIT_STD = 2.0f, BIAS_STD = 0.3f, NORM_STD = 0.2f, ROUTER_STD = 2.0f;

static synth_tensor *add(synth_plan *p, const char *name)
{
    assert(p->n < p->cap);
    synth_tensor *t = &p->tensors[p->n++];
    memset(t, 0, sizeof(*t));
    snprintf(t->name, sizeof(t->name), "%s", name);
    return t;
}

static void add_matrix(synth_plan *p, const char *name, synth_role role, uint32_t layer, uint32_t n_in, uint32_t n_out,
                       uint32_t n_mat, float std)
{
    synth_tensor *t = add(p, name);
    t->ne[0] = n_in;
    t->ne[1] = n_out;
    t->ne[2] = n_mat;
    t->n_dims = n_mat > 1 ? 3 : 2;
    t->type = synth_mix_type(&p->mix, p->shape, role, layer, n_in);
    t->std = std;
}

static void add_vector(synth_plan *p, const char *name, synth_fill fill, uint32_t n, float mean, float std)
{
    synth_tensor *t = add(p, name);
    t->ne[0] = n;
    t->ne[1] = t->ne[2] = 1;
    t->n_dims = 1;
    t->type = DV_TYPE_F32;
    t->fill = fill;
    t->mean = mean;
    t->std = std;
}

static const char *blk(char buf[64], uint32_t layer, const char *name)
{
    snprintf(buf, 64, "blk.%u.%s", layer, name);
    return buf;
}

static float gain(uint32_t n_in) { return 1.0f / sqrtf((float)n_in); }

static void layer_matrix(synth_plan *p, uint32_t l, const char *name, synth_role role, uint32_t n_in, uint32_t n_out)
{
    char b[64];
    add_matrix(p, blk(b, l, name), role, l, n_in, n_out, 1, gain(n_in));
}

static void layer_norm(synth_plan *p, uint32_t l, const char *name, uint32_t n)
{
    char b[64];
    add_vector(p, blk(b, l, name), SYNTH_NORMAL, n, 1, NORM_STD);
}

static void layer_bias(synth_plan *p, uint32_t l, const char *name, uint32_t n)
{
    char b[64];
    add_vector(p, blk(b, l, name), SYNTH_NORMAL, n, 0, BIAS_STD);
}

static void add_attention(synth_plan *p, uint32_t l)
{
    const synth_shape *s = p->shape;
    uint32_t n_q = s->n_head * s->head_dim, n_kv = s->n_head_kv * s->head_dim;
    layer_norm(p, l, "attn_norm.weight", s->n_embd);
    if (s->fused) {
        layer_matrix(p, l, "attn_qkv.weight", SYNTH_ATTN_QKV, s->n_embd, n_q + 2 * n_kv);
    } else {
        layer_matrix(p, l, "attn_q.weight", SYNTH_ATTN_Q, s->n_embd, n_q);
        layer_matrix(p, l, "attn_k.weight", SYNTH_ATTN_K, s->n_embd, n_kv);
        layer_matrix(p, l, "attn_v.weight", SYNTH_ATTN_V, s->n_embd, n_kv);
    }
    if (s->qkv_bias) {
        layer_bias(p, l, "attn_q.bias", n_q);
        layer_bias(p, l, "attn_k.bias", n_kv);
        layer_bias(p, l, "attn_v.bias", n_kv);
    }
    if (s->qk_norm) {
        layer_norm(p, l, "attn_q_norm.weight", s->head_dim);
        layer_norm(p, l, "attn_k_norm.weight", s->head_dim);
    }
    layer_matrix(p, l, "attn_output.weight", SYNTH_ATTN_OUT, n_q, s->n_embd);
    if (s->post_norm)
        layer_norm(p, l, "post_attention_norm.weight", s->n_embd);
}

static void add_experts(synth_plan *p, uint32_t l)
{
    const synth_shape *s = p->shape;
    char b[64];
    /* The router stays F32, as in published files. */
    add_matrix(p, blk(b, l, "ffn_gate_inp.weight"), SYNTH_PLAIN, l, s->n_embd, s->n_expert, 1,
               ROUTER_STD * gain(s->n_embd));
    add_matrix(p, blk(b, l, "ffn_gate_exps.weight"), SYNTH_FFN_UP, l, s->n_embd, s->n_ff_exp, s->n_expert,
               gain(s->n_embd));
    add_matrix(p, blk(b, l, "ffn_down_exps.weight"), SYNTH_FFN_DOWN, l, s->n_ff_exp, s->n_embd, s->n_expert,
               gain(s->n_ff_exp));
    add_matrix(p, blk(b, l, "ffn_up_exps.weight"), SYNTH_FFN_UP, l, s->n_embd, s->n_ff_exp, s->n_expert,
               gain(s->n_embd));
}

static void add_feed_forward(synth_plan *p, uint32_t l)
{
    const synth_shape *s = p->shape;
    layer_norm(p, l, "ffn_norm.weight", s->n_embd);
    if (s->n_expert) {
        add_experts(p, l);
    } else if (s->fused) {
        layer_matrix(p, l, "ffn_up.weight", SYNTH_FFN_UP, s->n_embd, 2 * s->n_ff);
        layer_matrix(p, l, "ffn_down.weight", SYNTH_FFN_DOWN, s->n_ff, s->n_embd);
    } else {
        layer_matrix(p, l, "ffn_gate.weight", SYNTH_FFN_UP, s->n_embd, s->n_ff);
        layer_matrix(p, l, "ffn_up.weight", SYNTH_FFN_UP, s->n_embd, s->n_ff);
        layer_matrix(p, l, "ffn_down.weight", SYNTH_FFN_DOWN, s->n_ff, s->n_embd);
    }
    if (s->post_norm)
        layer_norm(p, l, "post_ffw_norm.weight", s->n_embd);
}

int synth_plan_open(synth_plan *p, const synth_shape *s, const synth_mix *mix, uint32_t n_vocab, dv_err *err)
{
    *p = (synth_plan){.shape = s, .mix = *mix, .n_vocab = n_vocab, .cap = 8 + 24 * (size_t)s->n_layer};
    p->tensors = dv_calloc(DV_MEM_BASE, p->cap, sizeof(*p->tensors));
    if (!p->tensors)
        return dv_fail(err, DV_ENOMEM, "out of memory for the list of tensors");
    /* Gemma scales its embeddings up by sqrt(n_embd): with the same spread, a token would predict little but itself. */
    float logit = (s->post_norm ? 0.5f : 1.0f) * LOGIT_STD * gain(s->n_embd);
    add_matrix(p, "token_embd.weight", SYNTH_EMBD, 0, s->n_embd, n_vocab, 1, s->tied ? logit : EMBD_STD);
    add_vector(p, "output_norm.weight", SYNTH_NORMAL, s->n_embd, 1, NORM_STD);
    if (!s->tied)
        add_matrix(p, "output.weight", SYNTH_OUTPUT, 0, s->n_embd, n_vocab, 1, logit);
    if (s->rope_freqs)
        add_vector(p, "rope_freqs.weight", SYNTH_FREQS, s->head_dim / 2, 32, 0);
    if (s->rope_long) {
        add_vector(p, "rope_factors_long.weight", SYNTH_FREQS, s->head_dim / 2, 60, 0);
        add_vector(p, "rope_factors_short.weight", SYNTH_FREQS, s->head_dim / 2, 2.8f, 0);
    }
    for (uint32_t l = 0; l < s->n_layer; l++) {
        add_attention(p, l);
        add_feed_forward(p, l);
    }
    return 0;
}

void synth_plan_close(synth_plan *p)
{
    dv_free(p->tensors);
    p->tensors = NULL;
}

uint64_t synth_plan_bytes(const synth_plan *p)
{
    uint64_t sum = 0, row;
    for (size_t i = 0; i < p->n; i++) {
        const synth_tensor *t = &p->tensors[i];
        if (dv_type_row_bytes(t->type, t->ne[0], &row))
            sum += row * t->ne[1] * t->ne[2];
    }
    return sum;
}
