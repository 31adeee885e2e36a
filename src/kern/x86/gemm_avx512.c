/* SPDX-License-Identifier: MIT */
/* Integer products with AVX512BW: a 16-bit multiply of pairs, then an addition. */
#include "kern/x86/kern_avx512.h"

#include <immintrin.h>

/* Exact: |weight| <= 128 and |activation| <= 32767, so neither the pair nor 32 products reach 2^31. */
DV_INLINE __m512i gemm_dot(__m512i acc, __m512i q, __m512i x) { return _mm512_add_epi32(acc, _mm512_madd_epi16(q, x)); }

#include "kern/x86/gemm_body_avx512.h"

void dv__gemm_init_avx512(dv_kern *k)
{
    k->gemm[DV_SHAPE_32] = gemm_32;
    k->gemm[DV_SHAPE_32M] = gemm_32m;
    k->gemm[DV_SHAPE_16] = gemm_16;
    k->gemm[DV_SHAPE_16M] = gemm_16m;
}
