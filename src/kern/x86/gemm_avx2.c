/* SPDX-License-Identifier: MIT */
/* Matrix products of an unpacked tile with any number of tokens, AVX2 + FMA, and AVX-VNNI. A column is multiplied with all 32 rows, whose
 * sums are four registers: the tile comes from the L1 cache once per column, which costs less than the registers that more columns need. */
#include "kern/kern.h"
#include "kern/x86/avx2.h"
#include "kern/x86/dot_avx2.h"

#include <immintrin.h>

enum { N_VEC = DV_TILE_ROWS / 8 };

/* A tile and a column in 16 bits, the even bytes of each word and then the odd ones, for weights of 8 bits: as their products do not add
 * up in 16 bits, this takes no more multiplications than DV__DOT_SIGN, and nothing but multiplications and additions. */
typedef struct wide {
    DV_ALIGNED(32) int16_t q[DV_SB / 4][2][DV_TILE_ROWS][2];
    DV_ALIGNED(32) int32_t x[DV_SB / 32][2][8];
} wide;

static void widen_tile(const dv_tile *t, uint32_t n_k, wide *w)
{
    const __m256i low = _mm256_set1_epi16(0xff), bias = _mm256_set1_epi16((short)(1 << t->bias_log2));
    for (unsigned i = 0; i < n_k / 4; i++) {
        DV_UNROLL
        for (unsigned r = 0; r < DV_TILE_ROWS; r += 8) {
            __m256i v = _mm256_load_si256((const __m256i *)t->q[i][r]);
            _mm256_store_si256((__m256i *)w->q[i][0][r], _mm256_sub_epi16(_mm256_and_si256(v, low), bias));
            _mm256_store_si256((__m256i *)w->q[i][1][r], _mm256_sub_epi16(_mm256_srli_epi16(v, 8), bias));
        }
    }
}

static void widen_column(const dv_act_block *x, wide *w)
{
    DV_UNROLL
    for (unsigned i = 0; i < DV_SB / 32; i++) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(x->q + 32 * i));
        _mm256_store_si256((__m256i *)w->x[i][0], _mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8));
        _mm256_store_si256((__m256i *)w->x[i][1], _mm256_srai_epi16(v, 8));
    }
}

/* Integer sums of group g. w: NULL if not wide */
DV_INLINE void group_sums(const dv_tile *t, const wide *w, const dv_act_block *x, unsigned g, dv__dot how,
                          const int32_t *start, __m256i sum[N_VEC])
{
    if (w == NULL) {
        const int32_t *first = start == NULL ? NULL : start + g;
        DV_UNROLL
        for (unsigned v = 0; v < N_VEC; v++)
            sum[v] = dv__dot_begin(how, first);
        DV_UNROLL
        for (unsigned j = 0; j < 4; j++) {
            const __m256i a = dv__act_word(x, 4 * g + j);
            DV_UNROLL
            for (unsigned v = 0; v < N_VEC; v++)
                sum[v] = dv__dot_word(how, sum[v], j, _mm256_load_si256((const __m256i *)t->q[4 * g + j][8 * v]), a);
        }
        DV_UNROLL
        for (unsigned v = 0; v < N_VEC; v++)
            sum[v] = dv__dot_end(how, sum[v], first);
        return;
    }
    DV_UNROLL
    for (unsigned j = 0; j < 8; j++) {
        const __m256i a = _mm256_set1_epi32(w->x[g / 2][j % 2][g % 2 * 4 + j / 2]);
        DV_UNROLL
        for (unsigned v = 0; v < N_VEC; v++) {
            __m256i p = _mm256_madd_epi16(a, _mm256_load_si256((const __m256i *)w->q[4 * g + j / 2][j % 2][8 * v]));
            sum[v] = j == 0 ? p : _mm256_add_epi32(sum[v], p);
            DV_KEEP(sum[v]);
        }
    }
}

/* All but the pointers and n_k are constants at the call. */
DV_INLINE void column(const dv_tile *t, const wide *w, uint32_t n_k, const dv_act_block *x, dv__dot how,
                      const int32_t *start, unsigned sub, bool offset, float *acc)
{
    __m256 s[N_VEC], f[N_VEC];
    DV_UNROLL
    for (unsigned v = 0; v < N_VEC; v++)
        s[v] = _mm256_setzero_ps();
    for (unsigned b = 0; b < n_k / sub; b++) {
        DV_UNROLL
        for (unsigned h = 0; h < sub / DV_ACT_GROUP; h++) {
            unsigned g = b * (sub / DV_ACT_GROUP) + h;
            __m256i sum[N_VEC];
            group_sums(t, w, x, g, how, start, sum);
            __m256 d = _mm256_broadcast_ss(&x->d[g]);
            DV_UNROLL
            for (unsigned v = 0; v < N_VEC; v++) {
                __m256 p = _mm256_cvtepi32_ps(sum[v]);
                f[v] = h == 0 ? _mm256_mul_ps(p, d) : _mm256_fmadd_ps(p, d, f[v]);
            }
        }
        __m256 x_sum = _mm256_broadcast_ss(sub == 32 ? &x->s32[b] : &x->s16[b]);
        DV_UNROLL
        for (unsigned v = 0; v < N_VEC; v++) {
            s[v] = _mm256_fmadd_ps(f[v], _mm256_load_ps(t->d[b] + 8 * v), s[v]);
            if (offset)
                s[v] = _mm256_fmadd_ps(_mm256_load_ps(t->m[b] + 8 * v), x_sum, s[v]);
        }
    }
    DV_UNROLL
    for (unsigned v = 0; v < N_VEC; v++)
        _mm256_storeu_ps(acc + 8 * v, _mm256_add_ps(_mm256_loadu_ps(acc + 8 * v), s[v]));
}

DV_INLINE void gemm(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, const dv_ahead *ahead,
                    float *acc, unsigned sub, bool offset, dv__dot how)
{
    for (uint32_t c = 0; c < n_cols; c++, x++, acc += DV_TILE_ROWS) {
        DV_ALIGNED(32) int32_t start[16];
        dv_ahead_fetch(ahead, c, n_cols);
        if (!offset)
            dv__dot_start(how, x, t->bias_log2, start);
        column(t, NULL, n_k, x, how, offset ? NULL : start, sub, offset, acc);
    }
}

DV_INLINE void gemm_wide(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, const dv_ahead *ahead,
                         float *acc, unsigned sub)
{
    wide w;
    widen_tile(t, n_k, &w);
    for (uint32_t c = 0; c < n_cols; c++, x++, acc += DV_TILE_ROWS) {
        dv_ahead_fetch(ahead, c, n_cols);
        widen_column(x, &w);
        column(t, &w, n_k, x, DV__DOT_SUM, NULL, sub, false, acc);
    }
}

void dv__gemm_32_avx2(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, const dv_ahead *ahead,
                      float *acc)
{
    if (t->bias_log2 <= 4)
        gemm(t, n_k, x, n_cols, ahead, acc, 32, false, DV__DOT_SUM);
    else
        gemm_wide(t, n_k, x, n_cols, ahead, acc, 32);
}

void dv__gemm_32m_avx2(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, const dv_ahead *ahead,
                       float *acc)
{
    gemm(t, n_k, x, n_cols, ahead, acc, 32, true, DV__DOT_SUM);
}

void dv__gemm_16_avx2(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, const dv_ahead *ahead,
                      float *acc)
{
    if (t->bias_log2 <= 5)
        gemm(t, n_k, x, n_cols, ahead, acc, 16, false, DV__DOT_LANES);
    else
        gemm_wide(t, n_k, x, n_cols, ahead, acc, 16);
}

void dv__gemm_16m_avx2(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, const dv_ahead *ahead,
                       float *acc)
{
    gemm(t, n_k, x, n_cols, ahead, acc, 16, true, DV__DOT_SUM);
}

void dv__gemm_32_avxvnni(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, const dv_ahead *ahead,
                         float *acc)
{
    gemm(t, n_k, x, n_cols, ahead, acc, 32, false, DV__DOT_VNNI);
}

void dv__gemm_32m_avxvnni(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, const dv_ahead *ahead,
                          float *acc)
{
    gemm(t, n_k, x, n_cols, ahead, acc, 32, true, DV__DOT_VNNI);
}

void dv__gemm_16_avxvnni(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, const dv_ahead *ahead,
                         float *acc)
{
    gemm(t, n_k, x, n_cols, ahead, acc, 16, false, DV__DOT_VNNI);
}

void dv__gemm_16m_avxvnni(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols, const dv_ahead *ahead,
                          float *acc)
{
    gemm(t, n_k, x, n_cols, ahead, acc, 16, true, DV__DOT_VNNI);
}
