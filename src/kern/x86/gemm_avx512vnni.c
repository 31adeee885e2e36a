/* SPDX-License-Identifier: MIT */
/* Integer products with AVX512VNNI: four multiplications and additions a lane in one instruction. */
#include "kern/x86/kern_avx512.h"

#define GEMM_VNNI true
#include "kern/x86/gemm_body_avx512.h"

void dv__gemm_init_avx512vnni(dv_kern *k)
{
    k->gemm[DV_SHAPE_32] = gemm_32;
    k->gemm[DV_SHAPE_32M] = gemm_32m;
    k->gemm[DV_SHAPE_16] = gemm_16;
    k->gemm[DV_SHAPE_16M] = gemm_16m;
}
