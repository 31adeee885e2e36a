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
    k->unpackf[DV_TYPE_F32] = dv__unpackf_f32_avx2;
    k->unpackf[DV_TYPE_F16] = dv__unpackf_f16_avx2;
    k->unpackf[DV_TYPE_BF16] = dv__unpackf_bf16_avx2;
}

/* Storing f32 converts nothing: the C reference copies as fast. */
static void init_attn(dv_kern *k)
{
    k->store_k[DV_KV_F16] = dv__store_k_f16_avx2;
    k->store_k[DV_KV_Q8_0] = dv__store_k_q8_0_avx2;
    k->store_v[DV_KV_F16] = dv__store_v_f16_avx2;
    k->store_v[DV_KV_Q8_0] = dv__store_v_q8_0_avx2;
    k->attn_scores[DV_KV_F16] = dv__attn_scores_f16_avx2;
    k->attn_scores[DV_KV_Q8_0] = dv__attn_scores_q8_0_avx2;
    k->attn_scores[DV_KV_F32] = dv__attn_scores_f32_avx2;
    k->softmax = dv__softmax_avx2;
    k->attn_values[DV_KV_F16] = dv__attn_values_f16_avx2;
    k->attn_values[DV_KV_Q8_0] = dv__attn_values_q8_0_avx2;
    k->attn_values[DV_KV_F32] = dv__attn_values_f32_avx2;
}

void dv__kern_init_avx2(dv_kern *k)
{
    init_unpack(k);
    k->gemm[DV_SHAPE_32] = dv__gemm_32_avx2;
    k->gemm[DV_SHAPE_32M] = dv__gemm_32m_avx2;
    k->gemm[DV_SHAPE_16] = dv__gemm_16_avx2;
    k->gemm[DV_SHAPE_16M] = dv__gemm_16m_avx2;
    k->gemmf = dv__gemmf_avx2;
    k->quant_act = dv__quant_act_avx2;
    k->rmsnorm = dv__rmsnorm_avx2;
    k->silu_mul = dv__silu_mul_avx2;
    k->gelu_mul = dv__gelu_mul_avx2;
    k->add = dv__add_avx2;
    k->mul = dv__mul_avx2;
    k->axpy = dv__axpy_avx2;
    k->rope_norm = dv__rope_norm_avx2;
    k->rope_neox = dv__rope_neox_avx2;
    init_attn(k);
}
