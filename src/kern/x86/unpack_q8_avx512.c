/* SPDX-License-Identifier: MIT */
/* Q8_0 into tiles with AVX-512: blocks of f16 d and 32 int8. */
#include "kern/x86/kern_avx512.h"
#include "kern/x86/unpack_avx512.h"

DV_INLINE void q8_0_rows16(const uint8_t *w, size_t row_bytes, uint32_t n_k, dest o)
{
    DV_ALIGNED(32) uint16_t d[8][16];
    for (uint32_t b = 0; b < n_k / 32; b++)
        copy_u16(w + 34 * b, row_bytes, d[b]);
    for (uint32_t b = 0; b < n_k / 32; b++) {
        const uint8_t *p = w + 34 * b;
        __m512i v[8];
        fetch(o, b, 8);
        words_16x8(p + 2, row_bytes, v);
        UNROLL(8)
        for (int j = 0; j < 8; j++)
            v[j] = _mm512_xor_si512(v[j], _mm512_set1_epi32((int)0x80808080u)); /* + 128 */
        put_32(o, b, v);
        put_d(o, b, f16_16(d[b]));
    }
}
UNPACK_DEFINE(q8_0, DV_SHAPE_32, 7, 32, 34)

void dv__unpack_q8_init_avx512(dv_kern *k, bool vnni) { UNPACK_SET(k, DV_TYPE_Q8_0, q8_0); }
