/* SPDX-License-Identifier: MIT */
#include "tools/quant.h"

#include "base/attr.h"
#include "kern/kern.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 32, SUPER = 256 };

static uint8_t *put_f16(uint8_t *out, float v)
{
    uint16_t h = dv_f32_to_f16(v);
    out[0] = (uint8_t)h;
    out[1] = (uint8_t)(h >> 8);
    return out + 2;
}

/* What a reader will see of v. */
static float as_f16(float v) { return dv_f16_to_f32(dv_f32_to_f16(v)); }

static float inverse(float d) { return d != 0 ? 1.0f / d : 0.0f; }

static int level(float v, int lo, int hi)
{
    v = DV_MIN(DV_MAX(v, (float)lo), (float)hi);
    return (int)lrintf(v);
}

/* The element of largest magnitude, with its sign. */
static float extreme(const float *x, int n)
{
    float best = 0;
    for (int i = 0; i < n; i++)
        best = fabsf(x[i]) > fabsf(best) ? x[i] : best;
    return best;
}

static void min_max(const float *x, int n, float *lo, float *hi)
{
    *lo = *hi = x[0];
    for (int i = 1; i < n; i++) {
        *lo = DV_MIN(*lo, x[i]);
        *hi = DV_MAX(*hi, x[i]);
    }
}

/* Nibbles of a block of 32: element i below, i + 16 above. */
static void pack_nibbles(const uint8_t q[BLOCK], uint8_t *out)
{
    for (int i = 0; i < BLOCK / 2; i++)
        out[i] = (uint8_t)((q[i] & 15) | (q[i + 16] & 15) << 4);
}

/* The fifth bits of a block of 32, bit i for element i. */
static void pack_fifth(const uint8_t q[BLOCK], uint8_t *out)
{
    memset(out, 0, 4);
    for (int i = 0; i < BLOCK; i++)
        out[i / 8] |= (uint8_t)(q[i] >> 4 << (i % 8));
}

/* Levels -half..half-1 around zero; the element of largest magnitude becomes -half, so the scale has the opposite sign. */
static void quantise_signed(const float *x, float id, int half, int n, uint8_t *q)
{
    for (int i = 0; i < n; i++)
        q[i] = (uint8_t)(level(x[i] * id, -half, half - 1) + half);
}

static void quantise_from(const float *x, float lo, float id, int top, int n, uint8_t *q)
{
    for (int i = 0; i < n; i++)
        q[i] = (uint8_t)level((x[i] - lo) * id, 0, top);
}

static void q4_0(const float *x, uint8_t *out)
{
    uint8_t q[BLOCK];
    float d = as_f16(extreme(x, BLOCK) / -8);
    quantise_signed(x, inverse(d), 8, BLOCK, q);
    pack_nibbles(q, put_f16(out, d));
}

static void q4_1(const float *x, uint8_t *out)
{
    uint8_t q[BLOCK];
    float lo, hi;
    min_max(x, BLOCK, &lo, &hi);
    float m = as_f16(lo), d = as_f16((hi - lo) / 15);
    quantise_from(x, m, inverse(d), 15, BLOCK, q);
    pack_nibbles(q, put_f16(put_f16(out, d), m));
}

static void q5_0(const float *x, uint8_t *out)
{
    uint8_t q[BLOCK];
    float d = as_f16(extreme(x, BLOCK) / -16);
    quantise_signed(x, inverse(d), 16, BLOCK, q);
    out = put_f16(out, d);
    pack_fifth(q, out);
    pack_nibbles(q, out + 4);
}

static void q5_1(const float *x, uint8_t *out)
{
    uint8_t q[BLOCK];
    float lo, hi;
    min_max(x, BLOCK, &lo, &hi);
    float m = as_f16(lo), d = as_f16((hi - lo) / 31);
    quantise_from(x, m, inverse(d), 31, BLOCK, q);
    out = put_f16(put_f16(out, d), m);
    pack_fifth(q, out);
    pack_nibbles(q, out + 4);
}

static void q8_0(const float *x, uint8_t *out)
{
    float d = as_f16(fabsf(extreme(x, BLOCK)) / 127), id = inverse(d);
    out = put_f16(out, d);
    for (int i = 0; i < BLOCK; i++)
        out[i] = (uint8_t)(int8_t)level(x[i] * id, -127, 127);
}

/* The 16 values of the non-linear 4-bit types. Source: the types' definition in ggml. */
static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

static uint8_t iq4_nearest(float v)
{
    int i = 0; /* the level is the number of midpoints below v */
    for (int k = 0; k < 15; k++)
        i += v > 0.5f * (float)(iq4_values[k] + iq4_values[k + 1]);
    return (uint8_t)i;
}

static void iq4_nl(const float *x, uint8_t *out)
{
    uint8_t q[BLOCK];
    float d = as_f16(extreme(x, BLOCK) / -127), id = inverse(d);
    for (int i = 0; i < BLOCK; i++)
        q[i] = iq4_nearest(x[i] * id);
    pack_nibbles(q, put_f16(out, d));
}

/* Scales of 16 sub-blocks and the super-scale they are multiples of. half: their levels are -half..half-1. */
static float scale_16(const float s[16], int half, int l[16])
{
    float d = as_f16(extreme(s, 16) / (float)-half), id = inverse(d);
    for (int i = 0; i < 16; i++)
        l[i] = level(s[i] * id, -half, half - 1);
    return d;
}

/* Scales and offsets of sub-blocks with levels 0..top and values lo..hi, lo <= 0, both as multiples (0..max) of a super-scale. */
typedef struct affine {
    float d, dmin;
    uint8_t sc[16], mn[16];
} affine;

static void fit_affine(affine *a, const float *x, int n_sub, int top, int max)
{
    float scale[16], offset[16], scale_top = 0, offset_top = 0;
    int len = SUPER / n_sub;
    for (int j = 0; j < n_sub; j++) {
        float lo, hi;
        min_max(x + j * len, len, &lo, &hi);
        lo = DV_MIN(lo, 0);
        scale[j] = DV_MAX(hi - lo, 0) / (float)top;
        offset[j] = -lo;
        scale_top = DV_MAX(scale_top, scale[j]);
        offset_top = DV_MAX(offset_top, offset[j]);
    }
    a->d = as_f16(scale_top / (float)max);
    a->dmin = as_f16(offset_top / (float)max);
    float id = inverse(a->d), idmin = inverse(a->dmin);
    for (int j = 0; j < n_sub; j++) {
        a->sc[j] = (uint8_t)level(scale[j] * id, 0, max);
        a->mn[j] = (uint8_t)level(offset[j] * idmin, 0, max);
    }
}

static void quantise_affine(const affine *a, const float *x, int n_sub, int top, uint8_t q[SUPER])
{
    int len = SUPER / n_sub;
    for (int j = 0; j < n_sub; j++)
        quantise_from(x + j * len, -a->dmin * a->mn[j], inverse(a->d * a->sc[j]), top, len, q + j * len);
}

static void q2_k(const float *x, uint8_t *out)
{
    affine a;
    uint8_t q[SUPER];
    fit_affine(&a, x, 16, 3, 15);
    quantise_affine(&a, x, 16, 3, q);
    for (int j = 0; j < 16; j++)
        out[j] = (uint8_t)(a.sc[j] | a.mn[j] << 4);
    uint8_t *qs = out + 16;
    for (int i = 0; i < 64; i++) { /* byte i of a half holds elements i % 32 + {0, 32, 64, 96} */
        const uint8_t *e = q + i / 32 * 128 + i % 32;
        qs[i] = (uint8_t)(e[0] | e[32] << 2 | e[64] << 4 | e[96] << 6);
    }
    put_f16(put_f16(out + 80, a.d), a.dmin);
}

static void q3_k(const float *x, uint8_t *out)
{
    float s[16];
    int l[16];
    uint8_t q[SUPER], *hmask = out, *qs = out + 32, *scales = out + 96;
    for (int j = 0; j < 16; j++)
        s[j] = extreme(x + 16 * j, 16) / -4;
    float d = scale_16(s, 32, l);
    for (int j = 0; j < 16; j++)
        quantise_signed(x + 16 * j, inverse(d * (float)l[j]), 4, 16, q + 16 * j);
    memset(out, 0, 108);
    for (int i = 0; i < SUPER; i++)
        hmask[i % 32] |= (uint8_t)(q[i] >> 2 << (i / 32));
    for (int i = 0; i < 64; i++) {
        const uint8_t *e = q + i / 32 * 128 + i % 32;
        qs[i] = (uint8_t)((e[0] & 3) | (e[32] & 3) << 2 | (e[64] & 3) << 4 | (e[96] & 3) << 6);
    }
    for (int j = 0; j < 16; j++) { /* 6 bits each: low four in bytes 0-7, high two in bytes 8-11 */
        int v = l[j] + 32;
        scales[j % 8] |= (uint8_t)((v & 15) << (j / 8 * 4));
        scales[8 + j % 4] |= (uint8_t)(v >> 4 << (j / 4 * 2));
    }
    put_f16(out + 108, d);
}

/* Eight pairs of 6-bit numbers in 12 bytes, as Q4_K and Q5_K have them. */
static void pack_scales_6(const affine *a, uint8_t s[12])
{
    for (int j = 0; j < 4; j++) {
        s[j] = (uint8_t)(a->sc[j] | a->sc[j + 4] >> 4 << 6);
        s[j + 4] = (uint8_t)(a->mn[j] | a->mn[j + 4] >> 4 << 6);
        s[j + 8] = (uint8_t)((a->sc[j + 4] & 15) | (a->mn[j + 4] & 15) << 4);
    }
}

/* Nibbles of a super-block: in each run of 64, the first 32 below and the others above. */
static void pack_nibbles_64(const uint8_t q[SUPER], uint8_t *out)
{
    for (int i = 0; i < 128; i++) {
        const uint8_t *e = q + i / 32 * 64 + i % 32;
        out[i] = (uint8_t)((e[0] & 15) | (e[32] & 15) << 4);
    }
}

static void q4_k(const float *x, uint8_t *out)
{
    affine a;
    uint8_t q[SUPER];
    fit_affine(&a, x, 8, 15, 63);
    quantise_affine(&a, x, 8, 15, q);
    put_f16(put_f16(out, a.d), a.dmin);
    pack_scales_6(&a, out + 4);
    pack_nibbles_64(q, out + 16);
}

static void q5_k(const float *x, uint8_t *out)
{
    affine a;
    uint8_t q[SUPER], *qh = out + 16;
    fit_affine(&a, x, 8, 31, 63);
    quantise_affine(&a, x, 8, 31, q);
    put_f16(put_f16(out, a.d), a.dmin);
    pack_scales_6(&a, out + 4);
    memset(qh, 0, 32);
    for (int i = 0; i < SUPER; i++)
        qh[i % 32] |= (uint8_t)(q[i] >> 4 << (i / 32));
    pack_nibbles_64(q, out + 48);
}

static void q6_k(const float *x, uint8_t *out)
{
    float s[16];
    int l[16];
    uint8_t q[SUPER], *ql = out, *qh = out + 128, *scales = out + 192;
    for (int j = 0; j < 16; j++)
        s[j] = extreme(x + 16 * j, 16) / -32;
    float d = scale_16(s, 128, l);
    for (int j = 0; j < 16; j++) {
        quantise_signed(x + 16 * j, inverse(d * (float)l[j]), 32, 16, q + 16 * j);
        scales[j] = (uint8_t)(int8_t)l[j];
    }
    for (int h = 0; h < 2; h++)
        for (int i = 0; i < 32; i++) { /* four elements, 32 apart, share bytes */
            const uint8_t *e = q + 128 * h + i;
            ql[64 * h + i] = (uint8_t)((e[0] & 15) | (e[64] & 15) << 4);
            ql[64 * h + 32 + i] = (uint8_t)((e[32] & 15) | (e[96] & 15) << 4);
            qh[32 * h + i] = (uint8_t)(e[0] >> 4 | e[32] >> 4 << 2 | e[64] >> 4 << 4 | e[96] >> 4 << 6);
        }
    put_f16(out + 208, d);
}

static void iq4_xs(const float *x, uint8_t *out)
{
    float s[8];
    uint8_t q[BLOCK];
    unsigned high = 0;
    for (int j = 0; j < 8; j++)
        s[j] = extreme(x + 32 * j, 32) / -127;
    float d = as_f16(extreme(s, 8) / -32), id = inverse(d);
    memset(out, 0, 8);
    for (int j = 0; j < 8; j++) { /* 6-bit scales, 32 above their value: four bits in bytes 4-7, two in bytes 2-3 */
        int l = level(s[j] * id, -32, 31);
        float inv = inverse(d * (float)l);
        for (int i = 0; i < BLOCK; i++)
            q[i] = iq4_nearest(x[32 * j + i] * inv);
        pack_nibbles(q, out + 8 + 16 * j);
        out[4 + j / 2] |= (uint8_t)(((l + 32) & 15) << (j % 2 * 4));
        high |= (unsigned)(l + 32) >> 4 << (2 * j);
    }
    put_f16(out, d);
    out[2] = (uint8_t)high;
    out[3] = (uint8_t)(high >> 8);
}

static void f16(const float *x, uint8_t *out) { put_f16(out, *x); }

static void bf16(const float *x, uint8_t *out)
{
    uint16_t h = dv_f32_to_bf16(*x);
    out[0] = (uint8_t)h;
    out[1] = (uint8_t)(h >> 8);
}

static void f32(const float *x, uint8_t *out) { memcpy(out, x, sizeof(*x)); }

typedef void (*quant_fn)(const float *x, uint8_t *out);

static const quant_fn quants[DV_TYPE_N] = {
    [DV_TYPE_F32] = f32,   [DV_TYPE_F16] = f16,       [DV_TYPE_BF16] = bf16,     [DV_TYPE_Q4_0] = q4_0,
    [DV_TYPE_Q4_1] = q4_1, [DV_TYPE_Q5_0] = q5_0,     [DV_TYPE_Q5_1] = q5_1,     [DV_TYPE_Q8_0] = q8_0,
    [DV_TYPE_Q2_K] = q2_k, [DV_TYPE_Q3_K] = q3_k,     [DV_TYPE_Q4_K] = q4_k,     [DV_TYPE_Q5_K] = q5_k,
    [DV_TYPE_Q6_K] = q6_k, [DV_TYPE_IQ4_NL] = iq4_nl, [DV_TYPE_IQ4_XS] = iq4_xs,
};

void synth_quantise_row(dv_type type, const float *x, void *out, size_t n)
{
    const dv_type_info *info = dv_type_get(type);
    quant_fn fn = quants[type];
    uint8_t *p = out;
    for (size_t i = 0; i < n; i += info->block_len, p += info->block_bytes)
        fn(x + i, p);
}
