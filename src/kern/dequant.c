/* SPDX-License-Identifier: MIT */
#include "kern/decode.h"

#include <string.h>

dv_shape dv_type_shape(dv_type type)
{
    switch (type) {
    case DV_TYPE_Q4_0:
    case DV_TYPE_Q5_0:
    case DV_TYPE_Q8_0:
    case DV_TYPE_IQ4_NL:
    case DV_TYPE_IQ4_XS: return DV_SHAPE_32;
    case DV_TYPE_Q4_1:
    case DV_TYPE_Q5_1:
    case DV_TYPE_Q4_K:
    case DV_TYPE_Q5_K: return DV_SHAPE_32M;
    case DV_TYPE_Q3_K:
    case DV_TYPE_Q6_K: return DV_SHAPE_16;
    case DV_TYPE_Q2_K: return DV_SHAPE_16M;
    case DV_TYPE_F32:
    case DV_TYPE_F16:
    case DV_TYPE_BF16:
    case DV_TYPE_N: break;
    }
    return DV_SHAPE_FLOAT;
}

uint32_t dv_type_bias_log2(dv_type type)
{
    switch (type) {
    case DV_TYPE_Q3_K: return 2;
    case DV_TYPE_Q4_0: return 3;
    case DV_TYPE_Q5_0: return 4;
    case DV_TYPE_Q6_K: return 5;
    case DV_TYPE_Q8_0:
    case DV_TYPE_IQ4_NL:
    case DV_TYPE_IQ4_XS: return 7;
    default: return 0;
    }
}

static void dequant_float(dv_type type, const uint8_t *src, float *dst, size_t n)
{
    if (type == DV_TYPE_F32) {
        memcpy(dst, src, n * sizeof *dst);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint16_t h = (uint16_t)(src[2 * i] | src[2 * i + 1] << 8);
        dst[i] = type == DV_TYPE_F16 ? dv_f16_to_f32(h) : dv_bf16_to_f32(h);
    }
}

void dv_dequant_row(dv_type type, const void *src, float *dst, size_t n)
{
    dv__decode_fn decode = dv__decoder(type);
    if (decode == NULL) {
        dequant_float(type, src, dst, n);
        return;
    }
    const dv_type_info *info = dv_type_get(type);
    dv_shape shape = dv_type_shape(type);
    unsigned sub = shape == DV_SHAPE_16 || shape == DV_SHAPE_16M ? 16 : 32;
    bool offset = shape == DV_SHAPE_32M || shape == DV_SHAPE_16M;
    const uint8_t *b = src;
    for (size_t at = 0; at < n; at += info->block_len, b += info->block_bytes) {
        int16_t q[DV_SB];
        float d[16], m[16];
        decode(b, q, d, m);
        /* d * q is exact (at most 24 bits), so one rounding is left: that of the sum. */
        for (unsigned k = 0; k < info->block_len; k++)
            dst[at + k] = offset ? d[k / sub] * (float)q[k] + m[k / sub] : d[k / sub] * (float)q[k];
    }
}
