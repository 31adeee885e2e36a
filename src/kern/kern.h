/* SPDX-License-Identifier: MIT */
/* The kernel table: one function pointer per operation, filled with the C reference and overridden per instruction set.
 *
 * Numerics. Every kernel of every level computes bit for bit the same: integer sums are exact, and float operations happen in the order
 * stated here with explicit fused multiply-adds. So a result depends neither on the CPU, nor on the thread count, nor on what else is
 * in the batch. "16-lane sum" of v[0..n): lane j adds v[j], v[j+16], ... in this order, then lanes are added pairwise: j + (j+8),
 * j + (j+4), j + (j+2), j + (j+1). Where a product is summed, the addition is fma(a, b, lane).
 *
 * Matrix product. Weights stay in their GGUF layout; a kernel unpacks a tile of 32 rows x 256 columns into 8-bit integers with f32
 * scales per sub-block, and one integer kernel per sub-block shape multiplies the tile with any number of tokens. Activations are
 * quantised to 8 bits per 16 elements; where that is too coarse, what the rounding lost is quantised again and multiplied as a second
 * column. One tile read serves all tokens of a step, and one token goes through the same arithmetic as five hundred. */
#ifndef DV_KERN_KERN_H
#define DV_KERN_KERN_H

#include "base/attr.h"
#include "gguf/type.h"
#include "kern/ahead.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DV_SB = 256,        /**< elements of a super-block along n_in */
    DV_ACT_GROUP = 16,  /**< activations that share a scale */
    DV_TILE_ROWS = 32,  /**< rows (outputs) of a tile */
    DV_FTILE_K = 128,   /**< columns of a float tile */
    DV_KV_GROUP = 16,   /**< positions interleaved in the K cache */
    DV_GEMM_AHEAD = 2,  /**< prefetch distance of products with a tile, in tiles */
    DV_GEMV_ROWS = 16,  /**< rows and */
    DV_GEMV_COLS = 4,   /**< most columns of a product without a tile, */
    DV_GEMV_AHEAD = 4,  /**< and its prefetch distance in calls: some 10 KB, so a part of the L1 cache */
    DV_KV_Q8_BLOCK = 32 /**< elements that share a scale in a q8_0 KV cache */
};

/** 256 activations of one token, quantised: x[i] = d[i / 16] * q[i]. */
typedef struct dv_act_block {
    int8_t q[DV_SB]; /**< -127..127 */
    int32_t neg[16]; /**< minus the sum of a group's q */
    float d[16]; /**< of a group: max|x| / 127; 0 (and q = 0) when 127 / max|x| overflows, so for an all-zero group too;
                           NaN (and q = 0) when an x is NaN or infinite */
    float s16[16]; /**< the group's sum: d * -neg, rounded once */
    float s32[8];  /**< the sum of groups 2b and 2b + 1: fma(d[2b + 1], -neg[2b + 1], s16[2b]) */
    float pad[8];  /**< unspecified */
} dv_act_block;
_Static_assert(sizeof(dv_act_block) == 512, "eight cache lines");

/** A tile of unpacked integer weights: weight(r, k) = d[b][r] * (q(r, k) - bias) + m[b][r], b the sub-block of k. Rows past n_rows are
 * zero (q, d and m, where m is in use; the sign of zero is free). d and m hold the exact products: block scale times sub-block scale. */
typedef struct dv_tile {
    DV_ALIGNED(64)
    uint8_t q[DV_SB / 4][DV_TILE_ROWS][4];    /**< word i holds columns 4i..4i+3 */
    DV_ALIGNED(64) float d[16][DV_TILE_ROWS]; /**< scale of sub-block b */
    DV_ALIGNED(64) float m[16][DV_TILE_ROWS]; /**< offset of sub-block b; unset for shapes without offset */
    uint32_t bias_log2; /**< of shapes without offset, whose bias is a power of two; of the others it is 0 */
} dv_tile;

/** Shapes of integer tiles. */
typedef enum dv_shape {
    DV_SHAPE_32,  /**< sub-blocks of 32, no offset: Q4_0 Q5_0 Q8_0 IQ4_NL IQ4_XS */
    DV_SHAPE_32M, /**< sub-blocks of 32 with offset: Q4_1 Q5_1 Q4_K Q5_K */
    DV_SHAPE_16,  /**< sub-blocks of 16, no offset: Q3_K Q6_K */
    DV_SHAPE_16M, /**< sub-blocks of 16 with offset: Q2_K */
    DV_SHAPE_N,
    DV_SHAPE_FLOAT /**< F32 F16 BF16: float tiles */
} dv_shape;

/** Shape of a supported type. */
dv_shape dv_type_shape(dv_type type);
/** What a tile's q is above the type's own integers, as the exponent of 2; for shapes without offset. */
uint32_t dv_type_bias_log2(dv_type type);

/** KV cache element formats. */
typedef enum dv_kv_type { DV_KV_F16, DV_KV_Q8_0, DV_KV_F32, DV_KV_TYPE_N } dv_kv_type;

/**
 * Unpack rows 0..n_rows of columns 0..n_k.
 * @param w          first byte of row 0's block that holds column 0; borrowed, any alignment
 * @param row_bytes  distance between rows
 * @param n_rows     1..32; the tile's other rows become zero weights
 * @param n_k        32..256, a multiple of 32 (and of the type's block length); columns past it are left unset and not read later
 */
typedef void (*dv_unpack_fn)(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, dv_tile *t);
/** The same for float types: tile[k * 32 + r] = w(r, k), rows past n_rows zero. n_k 1..128. */
typedef void (*dv_unpackf_fn)(const uint8_t *w, size_t row_bytes, uint32_t n_rows, uint32_t n_k, float *tile);

/**
 * acc[c * 32 + r] += sum over the tile's columns of weight(r, k) * x_c(k), for each token c and row r:
 *   s = 0; for each sub-block b:
 *     t = (float)isum_g * x_c.d[g], g = b for sub-blocks of 16, else g = 2b and then t = fma((float)isum_(g+1), x_c.d[g + 1], t)
 *     s = fma(t, d[b][r], s); with offset: s = fma(m[b][r], x_c.s32[b] (or s16[b]), s)
 *   acc = acc + s
 * isum_g is the exact integer sum of (q(r, k) - bias) * x_c.q(k) over group g, below 2^19.
 * @param n_k  as given to unpack
 * @param x    [n_cols] blocks
 * @param ahead  a hint; n_rows up to 32
 */
typedef void (*dv_gemm_fn)(const dv_tile *t, uint32_t n_k, const dv_act_block *x, uint32_t n_cols,
                           const dv_ahead *ahead, float *acc);
/**
 * unpack and gemm in one, for DV_GEMV_ROWS rows and few columns: what is unpacked goes into the products from the registers. The same
 * arithmetic and the same layout of acc, of which the caller points to the first of these rows.
 * @param w, row_bytes, n_k  as for unpack
 * @param ahead   the rows (with the same distance) that will be read DV_GEMV_AHEAD calls later, or any address: prefetched
 * @param n_cols  1..DV_GEMV_COLS
 */
typedef void (*dv_gemv_fn)(const uint8_t *w, size_t row_bytes, uint32_t n_k, const uint8_t *ahead,
                           const dv_act_block *x, uint32_t n_cols, float *acc);
/** acc[c * 32 + r] += s, s = 0; for k: s = fma(tile[k * 32 + r], x[c * ldx + k], s). */
typedef void (*dv_gemmf_fn)(const float *tile, uint32_t n_k, const float *x, size_t ldx, uint32_t n_cols, float *acc);

/**
 * Quantise a row of n activations (n a multiple of 32): block i goes to out[i * stride]. q = round-half-even(x * (127 / max|x|)),
 * the division done in f32 first and the product clamped to +-127. The unused tail of a last partial block is zero.
 */
typedef void (*dv_quant_act_fn)(const float *x, uint32_t n, dv_act_block *out, size_t stride);

/** y = x / sqrt(mean(x^2) + eps) * w: s = 16-lane sum of x*x; r = 1 / sqrtf(s / n + eps); y = (x * r) * w (w NULL: x * r). y may be x. */
typedef void (*dv_rmsnorm_fn)(const float *x, const float *w, uint32_t n, float eps, float *y);
/** y = f(g) * u, f = silu: g / (1 + exp(-g)), or gelu (tanh form); exp as in kern/exp.h. y may be g or u. */
typedef void (*dv_glu_fn)(const float *g, const float *u, uint32_t n, float *y);
/** y += x, or y *= x, or y = fma(a, x, y). */
typedef void (*dv_add_fn)(float *y, const float *x, uint32_t n);
typedef void (*dv_axpy_fn)(float *y, float a, const float *x, uint32_t n);

/**
 * Rotate a head's first n_rot elements in place: (a, b) -> (fma(a, c, -(b * s)), fma(b, c, a * s)).
 * Pair i is elements (2i, 2i + 1) for rope_norm, (i, i + n_rot / 2) for rope_neox.
 * @param cs  [n_rot / 2][2] cos and sin of each pair's angle
 */
typedef void (*dv_rope_fn)(float *x, uint32_t n_rot, const float *cs);

/* KV cache of one page, one layer, one KV head. A page holds DV_KV_GROUP * g positions. hd is the head size, a multiple of 16
 * (of 32 for q8_0). f16 and q8_0 lie at even addresses, f32 at multiples of 4.
 *   K f16:  [group][hd][16 positions] f16
 *   K f32:  [group][hd][16 positions] f32
 *   K q8_0: [group][hd / 32]{ f16 scale[16 positions]; int8 q[32][16 positions] }
 *   V f16:  [position][hd] f16
 *   V f32:  [position][hd] f32
 *   V q8_0: [position][hd / 32]{ f16 scale; int8 q[32] } */

/** Bytes of K, or of V, for n_pos positions (a multiple of 16) of one head. */
size_t dv_kv_bytes(dv_kv_type type, uint32_t hd, uint32_t n_pos);
/** Store one position. f16: rounded half to even. f32: as it is.
 * q8_0: scale = f16(max|x| / 127), q = round-half-even(x * (1 / scale)), clamped to +-127; a scale that is 0 or not
 * finite (an x is NaN or too large) gives q 0, and with the latter every score and value of that block becomes NaN. */
typedef void (*dv_kv_store_fn)(void *kv, uint32_t hd, uint32_t pos, const float *x);
/**
 * s[i * lds + p] = q_i . K_p for all positions p of n_groups groups, lane = position:
 *   f16, f32: acc = 0; for d: acc = fma(q[d], (float)k[d], acc)
 *   q8_0:     acc = 0; for each block of 32: a = 0; for d: a = fma(q[d], (float)k[d], a); acc = fma(a, (float)scale, acc)
 * @param q  [n_q][hd], row stride ldq, already scaled
 */
typedef void (*dv_attn_scores_fn)(const float *q, size_t ldq, uint32_t n_q, uint32_t hd, const void *k,
                                  uint32_t n_groups, float *s, size_t lds);
/**
 * s[i] = exp(s[i] - max) for i in [lo, hi), max the largest of them, 0 elsewhere in [0, n); returns the 16-lane sum (lane = index modulo
 * 16 from 0). lo < hi <= n, n a multiple of 16. The caller divides. When max is not finite or an s[i] is NaN, the arithmetic itself makes
 * the sum NaN, and s[lo..hi) is unspecified.
 */
typedef float (*dv_softmax_fn)(float *s, uint32_t lo, uint32_t hi, uint32_t n);
/**
 * out[i * ldo + d] = fma(p_i[pos], v[pos][d], out[i * ldo + d]) for pos = 0..n_pos in this order (q8_0: fma(p_i[pos] * scale, (float)q, out)).
 * Positions [first, first + n_pos) of the page: v[pos] above is position first + pos, p_i[pos] is counted from p (p_i[0] belongs to
 * position first). Any first and n_pos.
 */
typedef void (*dv_attn_values_fn)(const float *p, size_t ldp, uint32_t n_q, uint32_t hd, const void *v, uint32_t first,
                                  uint32_t n_pos, float *out, size_t ldo);

typedef struct dv_kern {
    unsigned cpu;                     /**< enum dv_cpu_flag bits in use */
    dv_unpack_fn unpack[DV_TYPE_N];   /**< integer types; NULL for float and unsupported types */
    dv_unpackf_fn unpackf[DV_TYPE_N]; /**< float types; NULL for the others */
    dv_gemm_fn gemm[DV_SHAPE_N];
    dv_gemv_fn gemv[DV_TYPE_N]; /**< NULL where the level has none: then unpack and gemm serve few columns too */
    dv_gemmf_fn gemmf;
    dv_quant_act_fn quant_act;
    dv_rmsnorm_fn rmsnorm;
    dv_glu_fn silu_mul, gelu_mul;
    dv_add_fn add, mul;
    dv_axpy_fn axpy;
    dv_rope_fn rope_norm, rope_neox;
    dv_kv_store_fn store_k[DV_KV_TYPE_N], store_v[DV_KV_TYPE_N];
    dv_attn_scores_fn attn_scores[DV_KV_TYPE_N];
    dv_softmax_fn softmax;
    dv_attn_values_fn attn_values[DV_KV_TYPE_N];
} dv_kern;

/** Fill every slot for the levels in cpu (dv_cpu_detect() & mask). A test can hold several tables at once. */
void dv_kern_init(dv_kern *k, unsigned cpu);
void dv__kern_init_c(dv_kern *k);
void dv__kern_init_avx2(dv_kern *k, bool vnni);
void dv__kern_init_avx512(dv_kern *k, bool vnni);

/** Dequantise n elements (whole blocks) of any supported type; the definition of what a block means. C only: used per embedding row. */
void dv_dequant_row(dv_type type, const void *src, float *dst, size_t n);

float dv_f16_to_f32(uint16_t h);
/** Round to nearest even; overflow gives infinity, NaN stays NaN. */
uint16_t dv_f32_to_f16(float f);
static inline float dv_bf16_to_f32(uint16_t h)
{
    union {
        uint32_t u;
        float f;
    } v = {(uint32_t)h << 16};
    return v.f;
}
uint16_t dv_f32_to_bf16(float f);

#endif
