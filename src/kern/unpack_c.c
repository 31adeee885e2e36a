/* SPDX-License-Identifier: MIT */
/* Tiles of weights, C reference: decode each block of each row, then put its columns into the tile's interleaved order. */
#include "kern/decode.h"
#include "kern/init_c.h"

#include <string.h>

/* One row; d and m past the row's sub-blocks stay unset, as the columns past n_k do. */
static void unpack_row(dv_type type, const uint8_t *w, uint32_t n_k, uint32_t r, dv_tile *t)
{
    const dv_type_info *info = dv_type_get(type);
    dv__decode_fn decode = dv__decoder(type);
    dv_shape shape = dv_type_shape(type);
    uint32_t sub = shape == DV_SHAPE_16 || shape == DV_SHAPE_16M ? 16 : 32;
    bool offset = shape == DV_SHAPE_32M || shape == DV_SHAPE_16M;
    int bias = offset ? 0 : 1 << dv_type_bias_log2(type);
    for (uint32_t at = 0; at < n_k; at += info->block_len, w += info->block_bytes) {
        int16_t q[DV_SB];
        float d[16], m[16];
        decode(w, q, d, m);
        for (uint32_t k = 0; k < info->block_len; k++)
            t->q[(at + k) / 4][r][k % 4] = (uint8_t)(q[k] + bias);
        for (uint32_t s = 0; s < info->block_len / sub; s++) {
            t->d[at / sub + s][r] = d[s];
            if (offset)
                t->m[at / sub + s][r] = m[s];
        }
    }
}

static void unpack(dv_type type, const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t)
{
    if (n_rows < DV_TILE_ROWS) {
        memset(t->q, 0, n_k / 4 * sizeof t->q[0]);
        memset(t->d, 0, sizeof t->d);
        memset(t->m, 0, sizeof t->m);
    }
    t->bias_log2 = dv_type_bias_log2(type);
    for (uint32_t r = 0; r < n_rows; r++)
        unpack_row(type, w + r * row_bytes, n_k, r, t);
}

#define UNPACK(name, TYPE)                                                                                   \
    static void unpack_##name(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t) \
    {                                                                                                        \
        unpack(DV_TYPE_##TYPE, w, row_bytes, n_rows, n_k, t);                                                \
    }
UNPACK(q4_0, Q4_0)
UNPACK(q4_1, Q4_1)
UNPACK(q5_0, Q5_0)
UNPACK(q5_1, Q5_1)
UNPACK(q8_0, Q8_0)
UNPACK(q2_k, Q2_K)
UNPACK(q3_k, Q3_K)
UNPACK(q4_k, Q4_K)
UNPACK(q5_k, Q5_K)
UNPACK(q6_k, Q6_K)
UNPACK(iq4_nl, IQ4_NL)
UNPACK(iq4_xs, IQ4_XS)

static void unpackf(dv_type type, const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, float *tile)
{
    size_t size = dv_type_get(type)->block_bytes;
    for (uint32_t k = 0; k < n_k; k++)
        for (uint32_t r = 0; r < DV_TILE_ROWS; r++) {
            float *to = &tile[k * DV_TILE_ROWS + r];
            if (r < n_rows)
                dv_dequant_row(type, w + r * row_bytes + k * size, to, 1);
            else
                *to = 0.0f;
        }
}

#define UNPACKF(name, TYPE)                                                                                    \
    static void unpackf_##name(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, float *tile) \
    {                                                                                                          \
        unpackf(DV_TYPE_##TYPE, w, row_bytes, n_rows, n_k, tile);                                              \
    }
UNPACKF(f32, F32)
UNPACKF(f16, F16)
UNPACKF(bf16, BF16)

void dv__kern_init_c_unpack(dv_kern *k)
{
    k->unpack[DV_TYPE_Q4_0] = unpack_q4_0;
    k->unpack[DV_TYPE_Q4_1] = unpack_q4_1;
    k->unpack[DV_TYPE_Q5_0] = unpack_q5_0;
    k->unpack[DV_TYPE_Q5_1] = unpack_q5_1;
    k->unpack[DV_TYPE_Q8_0] = unpack_q8_0;
    k->unpack[DV_TYPE_Q2_K] = unpack_q2_k;
    k->unpack[DV_TYPE_Q3_K] = unpack_q3_k;
    k->unpack[DV_TYPE_Q4_K] = unpack_q4_k;
    k->unpack[DV_TYPE_Q5_K] = unpack_q5_k;
    k->unpack[DV_TYPE_Q6_K] = unpack_q6_k;
    k->unpack[DV_TYPE_IQ4_NL] = unpack_iq4_nl;
    k->unpack[DV_TYPE_IQ4_XS] = unpack_iq4_xs;
    k->unpackf[DV_TYPE_F32] = unpackf_f32;
    k->unpackf[DV_TYPE_F16] = unpackf_f16;
    k->unpackf[DV_TYPE_BF16] = unpackf_bf16;
}
