/* SPDX-License-Identifier: MIT */
/* Unpack float tiles (F32 F16 BF16), AVX2 + F16C: 8 rows x 8 columns at a time. */
#include "kern/kern.h"
#include "kern/x86/avx2.h"

#include <immintrin.h>
#include <string.h>

typedef __m256 load_fn(const uint8_t *p);

DV_INLINE __m256 load_f32(const uint8_t *p) { return _mm256_loadu_ps((const float *)p); }

DV_INLINE __m256 load_f16(const uint8_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }

DV_INLINE __m256 load_bf16(const uint8_t *p)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16));
}

/* c[k] = element k of rows 0..7. */
DV_INLINE void transpose8(const uint8_t *const p[8], size_t off, load_fn *load, __m256 c[8])
{
    __m256 a[8], b[8];
    DV_UNROLL
    for (unsigned i = 0; i < 8; i++)
        a[i] = load(p[i] + off);
    DV_UNROLL
    for (unsigned i = 0; i < 4; i++) {
        b[2 * i] = _mm256_unpacklo_ps(a[2 * i], a[2 * i + 1]);
        b[2 * i + 1] = _mm256_unpackhi_ps(a[2 * i], a[2 * i + 1]);
    }
    DV_UNROLL
    for (unsigned i = 0; i < 2; i++) {
        a[4 * i] = _mm256_shuffle_ps(b[4 * i], b[4 * i + 2], 0x44);
        a[4 * i + 1] = _mm256_shuffle_ps(b[4 * i], b[4 * i + 2], 0xee);
        a[4 * i + 2] = _mm256_shuffle_ps(b[4 * i + 1], b[4 * i + 3], 0x44);
        a[4 * i + 3] = _mm256_shuffle_ps(b[4 * i + 1], b[4 * i + 3], 0xee);
    }
    DV_UNROLL
    for (unsigned i = 0; i < 4; i++) {
        c[i] = _mm256_permute2f128_ps(a[i], a[4 + i], 0x20);
        c[4 + i] = _mm256_permute2f128_ps(a[i], a[4 + i], 0x31);
    }
}

/* Columns 0..n_k of 8 rows; lanes outside keep become zero. */
DV_INLINE void group(const uint8_t *const p[8], uint32_t n_k, float *tile, __m256 keep, size_t size, load_fn *load)
{
    uint32_t k = 0;
    __m256 c[8];
    for (; k + 8 <= n_k; k += 8) {
        transpose8(p, k * size, load, c);
        DV_UNROLL
        for (unsigned i = 0; i < 8; i++)
            _mm256_storeu_ps(tile + (size_t)(k + i) * DV_TILE_ROWS, _mm256_and_ps(c[i], keep));
    }
    if (k == n_k)
        return;
    uint8_t rest[8][8 * sizeof(float)] = {{0}};
    const uint8_t *pr[8];
    for (unsigned i = 0; i < 8; i++)
        pr[i] = memcpy(rest[i], p[i] + k * size, (n_k - k) * size);
    transpose8(pr, 0, load, c);
    for (unsigned i = 0; i < n_k - k; i++)
        _mm256_storeu_ps(tile + (size_t)(k + i) * DV_TILE_ROWS, _mm256_and_ps(c[i], keep));
}

DV_INLINE void unpackf(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, float *tile, size_t size,
                       load_fn *load)
{
    for (unsigned r0 = 0; r0 < DV_TILE_ROWS; r0 += 8) {
        __m256i row = _mm256_add_epi32(_mm256_set1_epi32((int)r0), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
        __m256 keep = _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32((int)n_rows), row));
        const uint8_t *p[8];
        for (unsigned i = 0; i < 8; i++)
            p[i] = w + (r0 + i < n_rows ? r0 + i : 0) * row_bytes;
        group(p, n_k, tile + r0, keep, size, load);
    }
}

void dv__unpackf_f32_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, float *tile)
{
    unpackf(w, row_bytes, n_rows, n_k, tile, 4, load_f32);
}

void dv__unpackf_f16_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, float *tile)
{
    unpackf(w, row_bytes, n_rows, n_k, tile, 2, load_f16);
}

void dv__unpackf_bf16_avx2(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, float *tile)
{
    unpackf(w, row_bytes, n_rows, n_k, tile, 2, load_bf16);
}
