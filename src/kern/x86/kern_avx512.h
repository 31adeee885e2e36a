/* SPDX-License-Identifier: MIT */
/* What the AVX-512 files offer to init_avx512.c: each function overrides its own slots of the table. */
#ifndef DV_KERN_X86_KERN_AVX512_H
#define DV_KERN_X86_KERN_AVX512_H

#include "kern/kern.h"

void dv__gemm_init_avx512(dv_kern *k);
void dv__gemm_init_avx512vnni(dv_kern *k);
void dv__gemmf_init_avx512(dv_kern *k);
void dv__attn_init_avx512(dv_kern *k);
void dv__kv_init_avx512(dv_kern *k);
void dv__quant_init_avx512(dv_kern *k);
void dv__vec_init_avx512(dv_kern *k);
void dv__unpack_32_init_avx512(dv_kern *k, bool vnni);
void dv__unpack_k23_init_avx512(dv_kern *k, bool vnni);
void dv__unpack_q8_init_avx512(dv_kern *k, bool vnni);
void dv__unpack_k456_init_avx512(dv_kern *k, bool vnni);

#endif
