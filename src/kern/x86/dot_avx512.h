/* SPDX-License-Identifier: MIT */
/* Products of unsigned weights and signed activations in bytes: four of them into each 32-bit lane. */
#ifndef DV_KERN_X86_DOT_AVX512_H
#define DV_KERN_X86_DOT_AVX512_H

#include "kern/kern.h"
#include "kern/x86/util_avx512.h"

#include <immintrin.h>
#include <string.h>

/* acc + the four products of each lane, exact. */
DV_INLINE __m512i dot_bytes(const bool vnni, __m512i acc, __m512i w, __m512i x)
{
    if (vnni) {
        /* Not the intrinsic: with it GCC 12 copies accumulators between registers inside the loops, up to one copy per product. */
        __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(w), "v"(x));
        return acc;
    }
    /* The instruction that multiplies bytes saturates its sums of two; 16-bit products cannot. */
    __m512i even =
        _mm512_madd_epi16(_mm512_and_si512(w, _mm512_set1_epi16(0xff)), _mm512_srai_epi16(_mm512_slli_epi16(x, 8), 8));
    __m512i odd = _mm512_madd_epi16(_mm512_srli_epi16(w, 8), _mm512_srai_epi16(x, 8));
    return _mm512_add_epi32(acc, _mm512_add_epi32(even, odd));
}

DV_INLINE __m512i dot_broadcast(const int8_t *x)
{
    int32_t v;
    memcpy(&v, x, sizeof v);
    return _mm512_set1_epi32(v);
}

/* The same with four activations for all lanes. */
DV_INLINE __m512i dot_word(const bool vnni, __m512i acc, __m512i w, const int8_t *x)
{
    if (vnni) {
        typedef struct four {
            int8_t b[4];
        } four;
        __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(acc) : "v"(w), "m"(*(const four *)x));
        return acc;
    }
    return dot_bytes(vnni, acc, w, dot_broadcast(x));
}

/* Where the sum over group g starts, for weights with this bias; bias_log2 < 0: without. */
DV_INLINE __m512i dot_start(const dv_act_block *x, uint32_t g, const int bias_log2)
{
    return bias_log2 < 0 ? _mm512_setzero_si512()
                         : _mm512_slli_epi32(_mm512_set1_epi32(x->neg[g]), (unsigned)bias_log2);
}

#endif
