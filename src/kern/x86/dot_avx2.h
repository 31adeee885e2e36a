/* SPDX-License-Identifier: MIT */
/* Integer products of a group of 16 columns, AVX2: lane r of four words holds the weights of row r, and of four others the activations of
 * one token, the same in every lane. One instruction multiplies unsigned with signed bytes and adds two products in 16 bits; which words
 * can be added up in 16 bits too, and where the bias is taken out, depends on how wide the weights are. */
#ifndef DV_KERN_X86_DOT_AVX2_H
#define DV_KERN_X86_DOT_AVX2_H

#include "kern/kern.h"
#include "kern/x86/avx2.h"

#include <immintrin.h>

typedef enum dv__dot {
    /** q below 32: all four words add up in 16 bits (8 * 31 * 127 fits); the bias, if there is one, is taken out of the sum. */
    DV__DOT_SUM,
    /** q below 64: the sum starts with what takes the bias out, so it may wrap around on the way but fits in the end. */
    DV__DOT_LANES,
    /** Weights without bias: the absolute value times the activation with the weight's sign. Words do not add up in 16 bits. */
    DV__DOT_SIGN,
    /** Any weights, with AVX-VNNI. */
    DV__DOT_VNNI,
} dv__dot;

/** Minus the bias times a column's activations: start[g] is for group g, in the form that dv__dot_begin and dv__dot_end want. */
DV_INLINE void dv__dot_start(dv__dot how, const dv_act_block *x, uint32_t bias_log2, int32_t start[16])
{
    const __m256i ones = _mm256_set1_epi8(1), order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const __m128i shift = _mm_cvtsi32_si128((int)bias_log2);
    for (unsigned g = 0; g < 16 && how != DV__DOT_SIGN; g += 8) {
        __m256i p[4], sum = _mm256_sll_epi32(_mm256_loadu_si256((const __m256i *)(x->neg + g)), shift);
        if (how == DV__DOT_LANES) {
            /* Of bytes 0 and 1 of all words, and of bytes 2 and 3: then no half can overflow, as 8 * 32 * 127 fits. */
            DV_UNROLL
            for (unsigned i = 0; i < 4; i++)
                p[i] = _mm256_maddubs_epi16(ones, _mm256_loadu_si256((const __m256i *)(x->q + 16 * g + 32 * i)));
            __m256i a = _mm256_add_epi16(_mm256_unpacklo_epi32(p[0], p[1]), _mm256_unpackhi_epi32(p[0], p[1]));
            __m256i b = _mm256_add_epi16(_mm256_unpacklo_epi32(p[2], p[3]), _mm256_unpackhi_epi32(p[2], p[3]));
            sum = _mm256_add_epi16(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
            sum = _mm256_sll_epi16(_mm256_sub_epi16(_mm256_setzero_si256(), sum), shift);
            sum = _mm256_permutevar8x32_epi32(sum, order);
        }
        _mm256_store_si256((__m256i *)(start + g), sum);
    }
}

/** A token's word, in all lanes. */
DV_INLINE __m256i dv__act_word(const dv_act_block *x, unsigned word)
{
    return _mm256_set1_epi32(((const dv__i32_alias *)x->q)[word]);
}

/* isum_g of dv_gemm_fn in three steps. start: of the group, from dv__dot_start; NULL when there is no bias. */

DV_INLINE __m256i dv__dot_begin(dv__dot how, const int32_t *start)
{
    bool used = start != NULL && (how == DV__DOT_LANES || how == DV__DOT_VNNI);
    return used ? _mm256_set1_epi32(*start) : _mm256_setzero_si256();
}

/** Adds word j of the four. */
DV_INLINE __m256i dv__dot_word(dv__dot how, __m256i s, unsigned j, __m256i w, __m256i a)
{
    const __m256i ones = _mm256_set1_epi16(1);
    if (how == DV__DOT_VNNI) {
        /* Not the intrinsic: this file is compiled for CPUs without it as well. */
        __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(s) : "x"(w), "x"(a));
        return s;
    }
    if (how == DV__DOT_SIGN) {
        __m256i p = _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(a, w)), ones);
        s = j == 0 ? p : _mm256_add_epi32(s, p);
    } else {
        __m256i p = _mm256_maddubs_epi16(w, a);
        s = j == 0 && how == DV__DOT_SUM ? p : _mm256_add_epi16(s, p);
    }
    DV_KEEP(s);
    return s;
}

DV_INLINE __m256i dv__dot_end(dv__dot how, __m256i s, const int32_t *start)
{
    if (how == DV__DOT_SUM || how == DV__DOT_LANES)
        s = _mm256_madd_epi16(s, _mm256_set1_epi16(1));
    return how == DV__DOT_SUM && start != NULL ? _mm256_add_epi32(s, _mm256_set1_epi32(*start)) : s;
}

#endif
