/* SPDX-License-Identifier: MIT */
/* Integer products with AVX512VNNI: multiply and add in one instruction. */
#include "kern/x86/kern_avx512.h"

#include <immintrin.h>

/* Not the intrinsic: with it GCC 12 copies accumulators between registers inside the loops, up to one copy per product.
 */
DV_INLINE __m512i gemm_dot(__m512i acc, __m512i q, __m512i x)
{
    __asm__("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(q), "v"(x));
    return acc;
}

#include "kern/x86/gemm_body_avx512.h"

void dv__gemm_init_avx512vnni(dv_kern *k)
{
    k->gemm[DV_SHAPE_32] = gemm_32;
    k->gemm[DV_SHAPE_32M] = gemm_32m;
    k->gemm[DV_SHAPE_16] = gemm_16;
    k->gemm[DV_SHAPE_16M] = gemm_16m;
}
