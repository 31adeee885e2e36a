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

/** Keeps the compiler from reassociating integer sums over unrolled steps: the tree it builds needs twice the registers there are. */
#define DV_KEEP(v) __asm__("" : "+x"(v))

/** Two 16-bit lanes read as one 32-bit value. */
typedef int32_t dv__i32_alias __attribute__((may_alias, aligned(2)));

void dv__gemm_32_avx2(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, float *acc);
void dv__gemm_32m_avx2(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, float *acc);
void dv__gemm_16_avx2(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, float *acc);
void dv__gemm_16m_avx2(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, float *acc);
void dv__gemmf_avx2(const float *tile, uint32_t n_k, const float *x, size_t ldx, uint32_t n_cols, float *acc);

void dv__unpack_q4_0_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t);
void dv__unpack_q4_1_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t);
void dv__unpack_q5_0_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t);
void dv__unpack_q5_1_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t);
void dv__unpack_q8_0_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t);
void dv__unpack_iq4_nl_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t);
void dv__unpack_iq4_xs_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t);
void dv__unpack_q2_k_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t);
void dv__unpack_q3_k_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t);
void dv__unpack_q4_k_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t);
void dv__unpack_q5_k_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t);
void dv__unpack_q6_k_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t);

#endif
