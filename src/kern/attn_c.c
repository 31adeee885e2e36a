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
    return (size_t)n_pos * hd * (type == DV_KV_F32 ? sizeof(float) : sizeof(uint16_t));
}

/* f16 and f32 differ in the width of an element only: put and get are the element i of either. */
DV_INLINE void put(void *kv, size_t i, float x, bool f32)
{
    if (f32)
        ((float *)kv)[i] = x;
    else
        ((uint16_t *)kv)[i] = dv_f32_to_f16(x);
}

DV_INLINE float get(const void *kv, size_t i, bool f32)
{
    return f32 ? ((const float *)kv)[i] : dv_f16_to_f32(((const uint16_t *)kv)[i]);
}

DV_INLINE void store_k_plain(void *kv, uint32_t hd, uint32_t pos, const float *x, bool f32)
{
    size_t at = (size_t)(pos / G) * hd * G + pos % G;
    for (uint32_t d = 0; d < hd; d++)
        put(kv, at + (size_t)d * G, x[d], f32);
}

DV_INLINE void store_v_plain(void *kv, uint32_t hd, uint32_t pos, const float *x, bool f32)
{
    for (uint32_t d = 0; d < hd; d++)
        put(kv, (size_t)pos * hd + d, x[d], f32);
}

static void store_k_f16(void *kv, uint32_t hd, uint32_t pos, const float *x) { store_k_plain(kv, hd, pos, x, false); }
static void store_k_f32(void *kv, uint32_t hd, uint32_t pos, const float *x) { store_k_plain(kv, hd, pos, x, true); }
static void store_v_f16(void *kv, uint32_t hd, uint32_t pos, const float *x) { store_v_plain(kv, hd, pos, x, false); }
static void store_v_f32(void *kv, uint32_t hd, uint32_t pos, const float *x) { store_v_plain(kv, hd, pos, x, true); }

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

DV_INLINE void scores_plain(const float *q, size_t ldq, uint32_t n_q, uint32_t hd, const void *k, uint32_t n_groups,
                            float *s, size_t lds, bool f32)
{
    for (uint32_t i = 0; i < n_q; i++)
        for (uint32_t p = 0; p < n_groups * G; p++) {
            size_t at = (size_t)(p / G) * hd * G + p % G;
            float acc = 0.0f;
            for (uint32_t d = 0; d < hd; d++)
                acc = fmaf(q[i * ldq + d], get(k, at + (size_t)d * G, f32), acc);
            s[i * lds + p] = acc;
        }
}

static void scores_f16(const float *q, size_t ldq, uint32_t n_q, uint32_t hd, const void *k, uint32_t n_groups,
                       float *s, size_t lds)
{
    scores_plain(q, ldq, n_q, hd, k, n_groups, s, lds, false);
}

static void scores_f32(const float *q, size_t ldq, uint32_t n_q, uint32_t hd, const void *k, uint32_t n_groups,
                       float *s, size_t lds)
{
    scores_plain(q, ldq, n_q, hd, k, n_groups, s, lds, true);
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

DV_INLINE void values_plain(const float *p, size_t ldp, uint32_t n_q, uint32_t hd, const void *v, uint32_t first,
                            uint32_t n_pos, float *out, size_t ldo, bool f32)
{
    size_t row = (size_t)first * hd;
    for (uint32_t pos = 0; pos < n_pos; pos++, row += hd)
        for (uint32_t i = 0; i < n_q; i++)
            for (uint32_t d = 0; d < hd; d++)
                out[i * ldo + d] = fmaf(p[i * ldp + pos], get(v, row + d, f32), out[i * ldo + d]);
}

static void values_f16(const float *p, size_t ldp, uint32_t n_q, uint32_t hd, const void *v, uint32_t first,
                       uint32_t n_pos, float *out, size_t ldo)
{
    values_plain(p, ldp, n_q, hd, v, first, n_pos, out, ldo, false);
}

static void values_f32(const float *p, size_t ldp, uint32_t n_q, uint32_t hd, const void *v, uint32_t first,
                       uint32_t n_pos, float *out, size_t ldo)
{
    values_plain(p, ldp, n_q, hd, v, first, n_pos, out, ldo, true);
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
    k->store_k[DV_KV_F32] = store_k_f32;
    k->store_v[DV_KV_F16] = store_v_f16;
    k->store_v[DV_KV_Q8_0] = store_v_q8;
    k->store_v[DV_KV_F32] = store_v_f32;
    k->attn_scores[DV_KV_F16] = scores_f16;
    k->attn_scores[DV_KV_Q8_0] = scores_q8;
    k->attn_scores[DV_KV_F32] = scores_f32;
    k->softmax = softmax;
    k->attn_values[DV_KV_F16] = values_f16;
    k->attn_values[DV_KV_Q8_0] = values_q8;
    k->attn_values[DV_KV_F32] = values_f32;
}
