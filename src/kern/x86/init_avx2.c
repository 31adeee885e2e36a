/* SPDX-License-Identifier: MIT */
/* The AVX2 level of the kernel table (AVX2, FMA and F16C), and the AVX-VNNI level, which differs in the integer products. */
#include "kern/kern.h"
#include "kern/x86/avx2.h"

#define UNPACK_SET(TYPE, type)                                                               \
    do {                                                                                     \
        k->unpack[DV_TYPE_##TYPE] = dv__unpack_##type##_avx2;                                \
        k->gemv[DV_TYPE_##TYPE] = vnni ? dv__gemv_##type##_avxvnni : dv__gemv_##type##_avx2; \
    } while (0)

static void init_unpack(dv_kern *k, bool vnni)
{
    UNPACK_SET(Q4_0, q4_0);
    UNPACK_SET(Q4_1, q4_1);
    UNPACK_SET(Q5_0, q5_0);
    UNPACK_SET(Q5_1, q5_1);
    UNPACK_SET(Q8_0, q8_0);
    UNPACK_SET(IQ4_NL, iq4_nl);
    UNPACK_SET(IQ4_XS, iq4_xs);
    UNPACK_SET(Q2_K, q2_k);
    UNPACK_SET(Q3_K, q3_k);
    UNPACK_SET(Q4_K, q4_k);
    UNPACK_SET(Q5_K, q5_k);
    UNPACK_SET(Q6_K, q6_k);
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

void dv__kern_init_avx2(dv_kern *k, bool vnni)
{
    init_unpack(k, vnni);
    k->gemm[DV_SHAPE_32] = vnni ? dv__gemm_32_avxvnni : dv__gemm_32_avx2;
    k->gemm[DV_SHAPE_32M] = vnni ? dv__gemm_32m_avxvnni : dv__gemm_32m_avx2;
    k->gemm[DV_SHAPE_16] = vnni ? dv__gemm_16_avxvnni : dv__gemm_16_avx2;
    k->gemm[DV_SHAPE_16M] = vnni ? dv__gemm_16m_avxvnni : dv__gemm_16m_avx2;
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
