/* SPDX-License-Identifier: MIT */
/* The AVX2 level of the kernel table (AVX2, FMA and F16C). */
#include "kern/kern.h"
#include "kern/x86/avx2.h"

static void init_unpack(dv_kern *k)
{
    k->unpack[DV_TYPE_Q4_0] = dv__unpack_q4_0_avx2;
    k->unpack[DV_TYPE_Q4_1] = dv__unpack_q4_1_avx2;
    k->unpack[DV_TYPE_Q5_0] = dv__unpack_q5_0_avx2;
    k->unpack[DV_TYPE_Q5_1] = dv__unpack_q5_1_avx2;
    k->unpack[DV_TYPE_Q8_0] = dv__unpack_q8_0_avx2;
    k->unpack[DV_TYPE_Q2_K] = dv__unpack_q2_k_avx2;
    k->unpack[DV_TYPE_Q3_K] = dv__unpack_q3_k_avx2;
    k->unpack[DV_TYPE_Q4_K] = dv__unpack_q4_k_avx2;
    k->unpack[DV_TYPE_Q5_K] = dv__unpack_q5_k_avx2;
    k->unpack[DV_TYPE_Q6_K] = dv__unpack_q6_k_avx2;
    k->unpack[DV_TYPE_IQ4_NL] = dv__unpack_iq4_nl_avx2;
    k->unpack[DV_TYPE_IQ4_XS] = dv__unpack_iq4_xs_avx2;
}

void dv__kern_init_avx2(dv_kern *k)
{
    init_unpack(k);
    k->gemm[DV_SHAPE_32] = dv__gemm_32_avx2;
    k->gemm[DV_SHAPE_32M] = dv__gemm_32m_avx2;
    k->gemm[DV_SHAPE_16] = dv__gemm_16_avx2;
    k->gemm[DV_SHAPE_16M] = dv__gemm_16m_avx2;
    k->gemmf = dv__gemmf_avx2;
}
