/* SPDX-License-Identifier: MIT */
/* The AVX-512 level of the kernel table. Called with the AVX2 level in place; overrides what is faster at 512 bits. */
#include "kern/x86/kern_avx512.h"

void dv__kern_init_avx512(dv_kern *k, bool vnni)
{
    if (vnni)
        dv__gemm_init_avx512vnni(k);
    else
        dv__gemm_init_avx512(k);
    dv__gemmf_init_avx512(k);
    dv__attn_init_avx512(k);
    dv__kv_init_avx512(k);
    dv__quant_init_avx512(k);
    dv__vec_init_avx512(k);
    dv__unpack_32_init_avx512(k, vnni);
    dv__unpack_k23_init_avx512(k, vnni);
    dv__unpack_q8_init_avx512(k, vnni);
    dv__unpack_k456_init_avx512(k, vnni);
}
