/* SPDX-License-Identifier: MIT */
#include "kern/decode.h"

static float f16_at(const uint8_t *p) { return dv_f16_to_f32((uint16_t)(p[0] | p[1] << 8)); }

/* 16 bytes: low nibbles are elements 0..15, high nibbles 16..31. */
static void nibbles(const uint8_t *b, int sub, int16_t *q)
{
    for (int i = 0; i < 16; i++) {
        q[i] = (int16_t)((b[i] & 15) - sub);
        q[i + 16] = (int16_t)((b[i] >> 4) - sub);
    }
}

/* The fifth bit: bit i of 32 belongs to element i. */
static void nibbles5(const uint8_t *high, const uint8_t *b, int sub, int16_t *q)
{
    nibbles(b, sub, q);
    for (int i = 0; i < 32; i++)
        q[i] = (int16_t)(q[i] + (high[i / 8] >> (i % 8) & 1) * 16);
}

/* Q4_0: f16 d; 4-bit q[32]. */
static void decode_q4_0(const uint8_t *b, int16_t *q, float *d, float *m)
{
    (void)m;
    d[0] = f16_at(b);
    nibbles(b + 2, 8, q);
}

/* Q4_1: f16 d, m; 4-bit q[32]. */
static void decode_q4_1(const uint8_t *b, int16_t *q, float *d, float *m)
{
    d[0] = f16_at(b);
    m[0] = f16_at(b + 2);
    nibbles(b + 4, 0, q);
}

/* Q5_0: f16 d; bit 4 of q[32]; low 4 bits of q[32]. */
static void decode_q5_0(const uint8_t *b, int16_t *q, float *d, float *m)
{
    (void)m;
    d[0] = f16_at(b);
    nibbles5(b + 2, b + 6, 16, q);
}

/* Q5_1: f16 d, m; bit 4 of q[32]; low 4 bits of q[32]. */
static void decode_q5_1(const uint8_t *b, int16_t *q, float *d, float *m)
{
    d[0] = f16_at(b);
    m[0] = f16_at(b + 2);
    nibbles5(b + 4, b + 8, 0, q);
}

/* Q8_0: f16 d; int8 q[32]. */
static void decode_q8_0(const uint8_t *b, int16_t *q, float *d, float *m)
{
    (void)m;
    d[0] = f16_at(b);
    for (int i = 0; i < 32; i++)
        q[i] = (int8_t)b[2 + i];
}

/* Element 32 s + i of a 128-element half lies in bits 2s of byte i; so do the two-bit parts of Q2_K and Q3_K. */
static int two_bits(const uint8_t *qs, int k) { return qs[k / 128 * 32 + k % 32] >> (k % 128 / 32 * 2) & 3; }

/* Q2_K: scales[16], 4 bits scale and 4 bits minimum; 2-bit q[256]; f16 d, dmin. */
static void decode_q2_k(const uint8_t *b, int16_t *q, float *d, float *m)
{
    float scale = f16_at(b + 80), min = f16_at(b + 82);
    for (int s = 0; s < 16; s++) {
        d[s] = scale * (float)(b[s] & 15);
        m[s] = -(min * (float)(b[s] >> 4));
    }
    for (int k = 0; k < 256; k++)
        q[k] = (int16_t)two_bits(b + 16, k);
}

/* Q3_K: bit 2 of q[256] (inverted: a clear bit subtracts 4); low 2 bits; 6-bit scales[16] in 12 bytes; f16 d. */
static void decode_q3_k(const uint8_t *b, int16_t *q, float *d, float *m)
{
    const uint8_t *sc = b + 96;
    float scale = f16_at(b + 108);
    (void)m;
    for (int s = 0; s < 16; s++) {
        int low = s < 8 ? sc[s] & 15 : sc[s - 8] >> 4, high = sc[8 + s % 4] >> (s / 4 * 2) & 3;
        d[s] = scale * (float)((low | high << 4) - 32);
    }
    for (int k = 0; k < 256; k++)
        q[k] = (int16_t)(two_bits(b + 32, k) - (b[k % 32] >> (k / 32) & 1 ? 0 : 4));
}

/* 8 scales and 8 minimums of 6 bits in 12 bytes, for Q4_K and Q5_K. */
static void scales_k4(const uint8_t *b, float *d, float *m)
{
    float scale = f16_at(b), min = f16_at(b + 2);
    const uint8_t *s = b + 4;
    for (int j = 0; j < 8; j++) {
        int sc = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
        int mn = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | s[j] >> 6 << 4;
        d[j] = scale * (float)sc;
        m[j] = -(min * (float)mn);
    }
}

/* Q4_K: f16 d, dmin; scales; 4-bit q[256], 32 bytes hold sub-blocks 2j (low nibbles) and 2j + 1 (high). */
static void decode_q4_k(const uint8_t *b, int16_t *q, float *d, float *m)
{
    scales_k4(b, d, m);
    for (int k = 0; k < 256; k++)
        q[k] = (int16_t)(b[16 + k / 64 * 32 + k % 32] >> (k / 32 % 2 * 4) & 15);
}

/* Q5_K: as Q4_K with bit 4 of sub-block s in bit s of 32 bytes before the nibbles. */
static void decode_q5_k(const uint8_t *b, int16_t *q, float *d, float *m)
{
    scales_k4(b, d, m);
    for (int k = 0; k < 256; k++) {
        int low = b[48 + k / 64 * 32 + k % 32] >> (k / 32 % 2 * 4) & 15, high = b[16 + k % 32] >> (k / 32) & 1;
        q[k] = (int16_t)(low | high << 4);
    }
}

/* Q6_K: low 4 bits [128]; high 2 bits [64]; int8 scales[16]; f16 d. In a half of 128, byte i of 64 holds elements i and i + 64. */
static void decode_q6_k(const uint8_t *b, int16_t *q, float *d, float *m)
{
    float scale = f16_at(b + 208);
    (void)m;
    for (int s = 0; s < 16; s++)
        d[s] = scale * (float)(int8_t)b[192 + s];
    for (int k = 0; k < 256; k++) {
        int low = b[k / 128 * 64 + k % 64] >> (k / 64 % 2 * 4) & 15;
        q[k] = (int16_t)((low | two_bits(b + 128, k) << 4) - 32);
    }
}

static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

static void nibbles_iq4(const uint8_t *b, int16_t *q)
{
    for (int i = 0; i < 16; i++) {
        q[i] = iq4_values[b[i] & 15];
        q[i + 16] = iq4_values[b[i] >> 4];
    }
}

/* IQ4_NL: f16 d; 4-bit indices [32] into a fixed table. */
static void decode_iq4_nl(const uint8_t *b, int16_t *q, float *d, float *m)
{
    (void)m;
    d[0] = f16_at(b);
    nibbles_iq4(b + 2, q);
}

/* IQ4_XS: f16 d; high 2 bits of 8 scales; low 4 bits of 8 scales; 16 bytes of indices per sub-block. */
static void decode_iq4_xs(const uint8_t *b, int16_t *q, float *d, float *m)
{
    float scale = f16_at(b);
    (void)m;
    for (int s = 0; s < 8; s++) {
        int low = b[4 + s / 2] >> (s % 2 * 4) & 15, high = b[2 + s / 4] >> (s % 4 * 2) & 3;
        d[s] = scale * (float)((low | high << 4) - 32);
        nibbles_iq4(b + 8 + 16 * s, q + 32 * s);
    }
}

dv__decode_fn dv__decoder(dv_type type)
{
    static const dv__decode_fn table[DV_TYPE_N] = {
        [DV_TYPE_Q4_0] = decode_q4_0, [DV_TYPE_Q4_1] = decode_q4_1,     [DV_TYPE_Q5_0] = decode_q5_0,
        [DV_TYPE_Q5_1] = decode_q5_1, [DV_TYPE_Q8_0] = decode_q8_0,     [DV_TYPE_Q2_K] = decode_q2_k,
        [DV_TYPE_Q3_K] = decode_q3_k, [DV_TYPE_Q4_K] = decode_q4_k,     [DV_TYPE_Q5_K] = decode_q5_k,
        [DV_TYPE_Q6_K] = decode_q6_k, [DV_TYPE_IQ4_NL] = decode_iq4_nl, [DV_TYPE_IQ4_XS] = decode_iq4_xs,
    };
    return (unsigned)type < DV_TYPE_N ? table[type] : NULL;
}
