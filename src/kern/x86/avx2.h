/* SPDX-License-Identifier: MIT */
/* The AVX2 kernels, for init_avx2.c; contracts are those of the function types in kern/kern.h. */
#ifndef DV_KERN_X86_AVX2_H
#define DV_KERN_X86_AVX2_H

#include "kern/kern.h"

/** Before a loop with constant bounds that is to become straight code, so that its arrays become registers. */
#if defined(__clang__)
#define DV_UNROLL _Pragma("clang loop unroll(full)")
#else
#define DV_UNROLL _Pragma("GCC unroll 16")
#endif

/** Keeps the compiler from reassociating integer sums over unrolled steps: the tree it builds needs twice the registers
 * there are. */
#define DV_KEEP(v) __asm__("" : "+x"(v))

/** Bytes of a q8_0 KV block: 32 elements x 16 positions of K, 32 elements of V. */
enum { DV__K_Q8_BYTES = 34 * DV_KV_GROUP, DV__V_Q8_BYTES = 34 };

/** Narrow neighbours read as one 32-bit value. */
typedef int32_t dv__i32_alias __attribute__((may_alias, aligned(2)));

/** One function of each level: suffix avx2, and avxvnni where the products use AVX-VNNI. */
#define DV__GEMM_DECLARE(shape)                                                                             \
    void dv__gemm_##shape##_avx2(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols,    \
                                 const dv_ahead *ahead, float *acc);                                        \
    void dv__gemm_##shape##_avxvnni(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, \
                                    const dv_ahead *ahead, float *acc);
DV__GEMM_DECLARE(32)
DV__GEMM_DECLARE(32m)
DV__GEMM_DECLARE(16)
DV__GEMM_DECLARE(16m)

void dv__gemmf_avx2(const float *tile, uint32_t n_k, const float *x, size_t ldx, uint32_t n_cols, float *acc);

#define DV__UNPACK_DECLARE(type)                                                                                  \
    void dv__unpack_##type##_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t); \
    void dv__gemv_##type##_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_k, const uint8_t *ahead,           \
                                const dv_act_block *x, uint32_t n_cols, float *acc);                              \
    void dv__gemv_##type##_avxvnni(const uint8_t *w, size_t row_bytes, uint32_t n_k, const uint8_t *ahead,        \
                                   const dv_act_block *x, uint32_t n_cols, float *acc);
DV__UNPACK_DECLARE(q4_0)
DV__UNPACK_DECLARE(q4_1)
DV__UNPACK_DECLARE(q5_0)
DV__UNPACK_DECLARE(q5_1)
DV__UNPACK_DECLARE(q8_0)
DV__UNPACK_DECLARE(iq4_nl)
DV__UNPACK_DECLARE(iq4_xs)
DV__UNPACK_DECLARE(q2_k)
DV__UNPACK_DECLARE(q3_k)
DV__UNPACK_DECLARE(q4_k)
DV__UNPACK_DECLARE(q5_k)
DV__UNPACK_DECLARE(q6_k)

void dv__unpackf_f32_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, float *tile);
void dv__unpackf_f16_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, float *tile);
void dv__unpackf_bf16_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, float *tile);

void dv__quant_act_avx2(const float *x, uint32_t n, dv_act_block *out, size_t stride);
void dv__rmsnorm_avx2(const float *x, const float *w, uint32_t n, float eps, float *y);
void dv__silu_mul_avx2(const float *g, const float *u, uint32_t n, float *y);
void dv__gelu_mul_avx2(const float *g, const float *u, uint32_t n, float *y);
void dv__add_avx2(float *y, const float *x, uint32_t n);
void dv__mul_avx2(float *y, const float *x, uint32_t n);
void dv__axpy_avx2(float *y, float a, const float *x, uint32_t n);
void dv__rope_norm_avx2(float *x, uint32_t n_rot, const float *cs);
void dv__rope_neox_avx2(float *x, uint32_t n_rot, const float *cs);

void dv__store_k_f16_avx2(void *kv, uint32_t hd, uint32_t pos, const float *x);
void dv__store_v_f16_avx2(void *kv, uint32_t hd, uint32_t pos, const float *x);
void dv__store_k_q8_0_avx2(void *kv, uint32_t hd, uint32_t pos, const float *x);
void dv__store_v_q8_0_avx2(void *kv, uint32_t hd, uint32_t pos, const float *x);
void dv__attn_scores_f16_avx2(const float *q, size_t ldq, uint32_t n_q, uint32_t hd, const void *k, uint32_t n_groups,
                              float *s, size_t lds);
void dv__attn_scores_f32_avx2(const float *q, size_t ldq, uint32_t n_q, uint32_t hd, const void *k, uint32_t n_groups,
                              float *s, size_t lds);
void dv__attn_scores_q8_0_avx2(const float *q, size_t ldq, uint32_t n_q, uint32_t hd, const void *k, uint32_t n_groups,
                               float *s, size_t lds);
float dv__softmax_avx2(float *s, uint32_t lo, uint32_t hi, uint32_t n);
void dv__attn_values_f16_avx2(const float *p, size_t ldp, uint32_t n_q, uint32_t hd, const void *v, uint32_t first,
                              uint32_t n_pos, float *out, size_t ldo);
void dv__attn_values_f32_avx2(const float *p, size_t ldp, uint32_t n_q, uint32_t hd, const void *v, uint32_t first,
                              uint32_t n_pos, float *out, size_t ldo);
void dv__attn_values_q8_0_avx2(const float *p, size_t ldp, uint32_t n_q, uint32_t hd, const void *v, uint32_t first,
                               uint32_t n_pos, float *out, size_t ldo);

#endif
