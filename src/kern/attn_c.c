/* SPDX-License-Identifier: MIT */
/* Attention over one head's KV page, C reference. Layouts in kern.h. */
#include "kern/exp.h"
#include "kern/init_c.h"
#include "kern/round.h"

#include <math.h>

enum { G = DV_KV_GROUP, B = DV_KV_Q8_BLOCK };

/* A block of 32 elements x 16 positions of a q8_0 K cache, and of 32 elements of V. */
typedef struct k_block {
    uint16_t scale[G];
    int8_t q[B][G];
} k_block;
typedef struct v_block {
    uint16_t scale;
    int8_t q[B];
} v_block;
_Static_assert(sizeof(k_block) == 34 * G, "same density as V");
_Static_assert(sizeof(v_block) == 34, "the Q8_0 block");

size_t dv_kv_bytes(dv_kv_type type, uint32_t hd, uint32_t n_pos)
{
    if (type == DV_KV_Q8_0)
        return (size_t)n_pos * (hd / B) * sizeof(v_block);
    return (size_t)n_pos * hd * sizeof(uint16_t);
}

static void store_k_f16(void *kv, uint32_t hd, uint32_t pos, const float *x)
{
    uint16_t *k = (uint16_t *)kv + (size_t)(pos / G) * hd * G + pos % G;
    for (uint32_t d = 0; d < hd; d++)
        k[(size_t)d * G] = dv_f32_to_f16(x[d]);
}

static void store_v_f16(void *kv, uint32_t hd, uint32_t pos, const float *x)
{
    uint16_t *v = (uint16_t *)kv + (size_t)pos * hd;
    for (uint32_t d = 0; d < hd; d++)
        v[d] = dv_f32_to_f16(x[d]);
}

/* Scale of 32 elements as f16, and the factor that quantises them: 0 where every q must be 0. */
static uint16_t block_scale(const float *x, float *inv)
{
    uint16_t h = dv_f32_to_f16(dv__abs_max(x, B) / 127.0f);
    float scale = dv_f16_to_f32(h);
    *inv = scale > 0.0f && isfinite(scale) ? 1.0f / scale : 0.0f;
    return h;
}

static void store_k_q8(void *kv, uint32_t hd, uint32_t pos, const float *x)
{
    k_block *b = (k_block *)kv + (size_t)(pos / G) * (hd / B);
    for (uint32_t at = 0; at < hd; at += B, b++) {
        float inv;
        b->scale[pos % G] = block_scale(x + at, &inv);
        for (uint32_t i = 0; i < B; i++)
            b->q[i][pos % G] = inv > 0.0f ? (int8_t)dv__round_clamp(x[at + i] * inv, 127.0f) : 0;
    }
}

static void store_v_q8(void *kv, uint32_t hd, uint32_t pos, const float *x)
{
    v_block *b = (v_block *)kv + (size_t)pos * (hd / B);
    for (uint32_t at = 0; at < hd; at += B, b++) {
        float inv;
        b->scale = block_scale(x + at, &inv);
        for (uint32_t i = 0; i < B; i++)
            b->q[i] = inv > 0.0f ? (int8_t)dv__round_clamp(x[at + i] * inv, 127.0f) : 0;
    }
}

static void scores_f16(const float *q, size_t ldq, uint32_t n_q, uint32_t hd, const void *k, uint32_t n_groups,
                       float *s, size_t lds)
{
    for (uint32_t i = 0; i < n_q; i++)
        for (uint32_t p = 0; p < n_groups * G; p++) {
            const uint16_t *kp = (const uint16_t *)k + (size_t)(p / G) * hd * G + p % G;
            float acc = 0.0f;
            for (uint32_t d = 0; d < hd; d++)
                acc = fmaf(q[i * ldq + d], dv_f16_to_f32(kp[(size_t)d * G]), acc);
            s[i * lds + p] = acc;
        }
}

static void scores_q8(const float *q, size_t ldq, uint32_t n_q, uint32_t hd, const void *k, uint32_t n_groups, float *s,
                      size_t lds)
{
    for (uint32_t i = 0; i < n_q; i++)
        for (uint32_t p = 0; p < n_groups * G; p++) {
            const k_block *b = (const k_block *)k + (size_t)(p / G) * (hd / B);
            float acc = 0.0f;
            for (uint32_t at = 0; at < hd; at += B, b++) {
                float a = 0.0f;
                for (uint32_t d = 0; d < B; d++)
                    a = fmaf(q[i * ldq + at + d], (float)b->q[d][p % G], a);
                acc = fmaf(a, dv_f16_to_f32(b->scale[p % G]), acc);
            }
            s[i * lds + p] = acc;
        }
}

static float softmax(float *s, uint32_t lo, uint32_t hi, uint32_t n)
{
    float lane[16] = {0}, max = s[lo];
    for (uint32_t i = lo + 1; i < hi; i++)
        max = s[i] > max ? s[i] : max;
    for (uint32_t i = 0; i < n; i++) {
        s[i] = i >= lo && i < hi ? dv_expf_ref(s[i] - max) : 0.0f;
        lane[i % 16] += s[i];
    }
    for (uint32_t half = 8; half > 0; half /= 2)
        for (uint32_t j = 0; j < half; j++)
            lane[j] += lane[j + half];
    return lane[0];
}

static void values_f16(const float *p, size_t ldp, uint32_t n_q, uint32_t hd, const void *v, uint32_t first,
                       uint32_t n_pos, float *out, size_t ldo)
{
    const uint16_t *row = (const uint16_t *)v + (size_t)first * hd;
    for (uint32_t pos = 0; pos < n_pos; pos++, row += hd)
        for (uint32_t i = 0; i < n_q; i++)
            for (uint32_t d = 0; d < hd; d++)
                out[i * ldo + d] = fmaf(p[i * ldp + pos], dv_f16_to_f32(row[d]), out[i * ldo + d]);
}

static void values_q8(const float *p, size_t ldp, uint32_t n_q, uint32_t hd, const void *v, uint32_t first,
                      uint32_t n_pos, float *out, size_t ldo)
{
    const v_block *b = (const v_block *)v + (size_t)first * (hd / B);
    for (uint32_t pos = 0; pos < n_pos; pos++)
        for (uint32_t at = 0; at < hd; at += B, b++)
            for (uint32_t i = 0; i < n_q; i++) {
                float ps = p[i * ldp + pos] * dv_f16_to_f32(b->scale);
                for (uint32_t d = 0; d < B; d++)
                    out[i * ldo + at + d] = fmaf(ps, (float)b->q[d], out[i * ldo + at + d]);
            }
}

void dv__kern_init_c_attn(dv_kern *k)
{
    k->store_k[DV_KV_F16] = store_k_f16;
    k->store_k[DV_KV_Q8_0] = store_k_q8;
    k->store_v[DV_KV_F16] = store_v_f16;
    k->store_v[DV_KV_Q8_0] = store_v_q8;
    k->attn_scores[DV_KV_F16] = scores_f16;
    k->attn_scores[DV_KV_Q8_0] = scores_q8;
    k->softmax = softmax;
    k->attn_values[DV_KV_F16] = values_f16;
    k->attn_values[DV_KV_Q8_0] = values_q8;
}
