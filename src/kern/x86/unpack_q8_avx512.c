/* SPDX-License-Identifier: MIT */
/* Q8_0 into tiles with AVX-512: blocks of f16 d and 32 int8. */
#include "kern/x86/kern_avx512.h"
#include "kern/x86/unpack_avx512.h"

static void q8_0_full(const uint8_t *w, size_t row_bytes, uint32_t n_k, dv_tile *t)
{
    for (uint32_t half = 0; half < 32; half += 16) {
        DV_ALIGNED(32) uint16_t d[8][16];
        for (uint32_t b = 0; b < n_k / 32; b++)
            copy_u16(w + half * row_bytes + 34 * b, row_bytes, d[b]);
        for (uint32_t b = 0; b < n_k / 32; b++) {
            const uint8_t *p = w + half * row_bytes + 34 * b;
            __m512i v[8];
            words_16x8(p + 2, row_bytes, v);
            UNROLL(8)
            for (int j = 0; j < 8; j++)
                store_s8(t, 16 * b + 2 * (unsigned)j, half, v[j]);
            _mm512_store_ps(t->d[b] + half, f16_16(d[b]));
        }
    }
}
UNPACK_DEFINE(q8_0, 32, 34)

void dv__unpack_q8_init_avx512(dv_kern *k) { k->unpack[DV_TYPE_Q8_0] = q8_0; }
