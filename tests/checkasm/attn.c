/* SPDX-License-Identifier: MIT */
/* KV store, attention scores, softmax, attention values. */
#include "checkasm.h"

#include <string.h>

static const uint32_t head_sizes[] = {16, 32, 48, 64, 80, 96, 112, 128, 160, 256};
static const char *const kv_name[DV_KV_TYPE_N] = {"f16", "q8_0", "f32"};

static size_t alignment(dv_kv_type type) { return type == DV_KV_F32 ? 4 : 2; }
static bool fits(dv_kv_type type, uint32_t hd) { return type != DV_KV_Q8_0 || hd % DV_KV_Q8_BLOCK == 0; }

/* Compare caches; in q8_0 the scales are f16 (16 at the start of each K block of 544 bytes, one at the start of a V block of 34). */
static void same_cache(ck *c, dv_kv_type type, bool is_k, const uint8_t *got, const uint8_t *want, size_t bytes)
{
    if (type == DV_KV_F16) {
        ck_same_f16(c, "cache", (const uint16_t *)got, (const uint16_t *)want, bytes / 2);
        return;
    }
    if (type == DV_KV_F32) {
        ck_same_bytes(c, "cache", got, want, bytes);
        return;
    }
    size_t scales = is_k ? DV_KV_GROUP : 1, block = 34 * scales;
    for (size_t at = 0; at < bytes; at += block) {
        ck_same_f16(c, "scale", (const uint16_t *)(got + at), (const uint16_t *)(want + at), scales);
        ck_same_bytes(c, "q", got + at + 2 * scales, want + at + 2 * scales, block - 2 * scales);
    }
}

static void check_store(ck *c, dv_kv_type type, bool is_k, uint32_t hd, uint32_t pos, enum ck_floats how)
{
    size_t bytes = dv_kv_bytes(type, hd, 48);
    uint8_t *got = ck_mem(c, 0, bytes, alignment(type)), *want = ck_mem(c, 1, bytes, alignment(type));
    float *x = ck_mem(c, 2, hd * sizeof *x, 4);
    ck_fill_bytes(c, want, bytes);
    memcpy(got, want, bytes);
    ck_fill_floats(c, how, x, hd);
    ck_case(c, "hd %u, pos %u, %s", hd, pos, ck_floats_name[how]);
    (is_k ? c->ref->store_k : c->ref->store_v)[type](want, hd, pos, x);
    (is_k ? c->now->store_k : c->now->store_v)[type](got, hd, pos, x);
    same_cache(c, type, is_k, got, want, bytes);
    ck_canaries(c);
}

static void store(ck *c, dv_kv_type type, bool is_k)
{
    for (size_t h = 0; h < DV_ARRAY_LEN(head_sizes); h++)
        for (int how = 0; how < CK_FLOATS_N && fits(type, head_sizes[h]) && ck_checking(c); how++)
            for (uint32_t pos = 0; pos < 48; pos += how == CK_NORMAL ? 1 : ck_between(c, 1, 15))
                check_store(c, type, is_k, head_sizes[h], pos, how);
    uint8_t *kv = ck_mem(c, 0, dv_kv_bytes(type, 128, 48), 64);
    float *x = ck_mem(c, 2, 128 * sizeof *x, 64);
    ck_fill_floats(c, CK_NORMAL, x, 128);
    CK_BENCH(c, 128, "el", (is_k ? c->now->store_k : c->now->store_v)[type](kv, 128, 17, x), "hd 128");
}

/* A cache of n_pos positions in region i: stored from floats by the reference, or any bits. */
static uint8_t *make_cache(ck *c, int i, dv_kv_type type, bool is_k, uint32_t hd, uint32_t n_pos, enum ck_floats how)
{
    static float x[256];
    uint8_t *kv = ck_mem(c, i, dv_kv_bytes(type, hd, n_pos), alignment(type));
    if (how == CK_BITS)
        ck_fill_bytes(c, kv, dv_kv_bytes(type, hd, n_pos));
    for (uint32_t p = 0; p < n_pos && how != CK_BITS; p++) {
        ck_fill_floats(c, how, x, hd);
        (is_k ? c->ref->store_k : c->ref->store_v)[type](kv, hd, p, x);
    }
    return kv;
}

static void check_scores(ck *c, dv_kv_type type, uint32_t hd, uint32_t n_q, uint32_t n_groups, enum ck_floats how)
{
    size_t ldq = hd + ck_between(c, 0, 20), n_pos = (size_t)n_groups * DV_KV_GROUP, lds = n_pos + ck_between(c, 0, 20);
    size_t n_in = (n_q - 1) * ldq + hd, n_out = (n_q - 1) * lds + n_pos;
    const uint8_t *k = make_cache(c, 0, type, true, hd, (uint32_t)n_pos, how);
    float *q = ck_mem(c, 1, n_in * sizeof *q, 4), *got = ck_mem(c, 2, n_out * sizeof *got, 4),
          *want = ck_mem(c, 3, n_out * sizeof *want, 4);
    ck_fill_floats(c, how == CK_BITS ? CK_NORMAL : how, q, n_in);
    ck_fill_floats(c, CK_NORMAL, want, n_out);
    memcpy(got, want, n_out * sizeof *got);
    ck_case(c, "hd %u, n_q %u, n_groups %u, ldq %zu, lds %zu, %s", hd, n_q, n_groups, ldq, lds, ck_floats_name[how]);
    c->ref->attn_scores[type](q, ldq, n_q, hd, k, n_groups, want, lds);
    c->now->attn_scores[type](q, ldq, n_q, hd, k, n_groups, got, lds);
    ck_same_f32(c, "s", got, want, n_out);
    ck_canaries(c);
}

static void scores(ck *c, dv_kv_type type)
{
    static const uint32_t bench_q[] = {1, 4, 32};
    for (size_t h = 0; h < DV_ARRAY_LEN(head_sizes); h++)
        for (int how = 0; how < CK_FLOATS_N && fits(type, head_sizes[h]) && ck_checking(c); how++)
            for (uint32_t n_q = 1; n_q <= 17; n_q += how == CK_NORMAL ? 1 : ck_between(c, 3, 9))
                check_scores(c, type, head_sizes[h], n_q, ck_between(c, 1, 5), how);
    for (size_t i = 0; i < DV_ARRAY_LEN(bench_q) && c->bench; i++) {
        uint32_t n = bench_q[i];
        const uint8_t *k = make_cache(c, 0, type, true, 128, 64, CK_NORMAL);
        float *q = ck_mem(c, 1, n * 128 * sizeof *q, 64), *s = ck_mem(c, 2, n * 64 * sizeof *s, 64);
        ck_fill_floats(c, CK_NORMAL, q, n * 128);
        CK_BENCH(c, 128.0 * 64 * n, "mac", c->now->attn_scores[type](q, 128, n, 128, k, 4, s, 64),
                 "hd 128, 64 pos, %u q", n);
    }
}

static void check_values(ck *c, dv_kv_type type, uint32_t hd, uint32_t n_q, uint32_t first, uint32_t n_pos,
                         enum ck_floats how)
{
    size_t ldp = n_pos + ck_between(c, 0, 20), ldo = hd + ck_between(c, 0, 20);
    size_t n_in = (n_q - 1) * ldp + n_pos, n_out = (n_q - 1) * ldo + hd;
    uint32_t page = (first + n_pos + DV_KV_GROUP - 1) / DV_KV_GROUP * DV_KV_GROUP;
    const uint8_t *v = make_cache(c, 0, type, false, hd, page, how);
    float *p = ck_mem(c, 1, n_in * sizeof *p, 4), *got = ck_mem(c, 2, n_out * sizeof *got, 4),
          *want = ck_mem(c, 3, n_out * sizeof *want, 4);
    ck_fill_floats(c, how == CK_BITS ? CK_NORMAL : how, p, n_in);
    ck_fill_floats(c, CK_NORMAL, want, n_out);
    memcpy(got, want, n_out * sizeof *got);
    ck_case(c, "hd %u, n_q %u, first %u, n_pos %u, ldp %zu, ldo %zu, %s", hd, n_q, first, n_pos, ldp, ldo,
            ck_floats_name[how]);
    c->ref->attn_values[type](p, ldp, n_q, hd, v, first, n_pos, want, ldo);
    c->now->attn_values[type](p, ldp, n_q, hd, v, first, n_pos, got, ldo);
    ck_same_f32(c, "out", got, want, n_out);
    ck_canaries(c);
}

static void values(ck *c, dv_kv_type type)
{
    static const uint32_t bench_q[] = {1, 4, 32};
    for (size_t h = 0; h < DV_ARRAY_LEN(head_sizes); h++)
        for (int how = 0; how < CK_FLOATS_N && fits(type, head_sizes[h]) && ck_checking(c); how++)
            for (uint32_t n_q = 1; n_q <= 17; n_q += how == CK_NORMAL ? 1 : ck_between(c, 3, 9))
                check_values(c, type, head_sizes[h], n_q, ck_between(c, 0, 33), ck_between(c, 1, 40), how);
    for (size_t i = 0; i < DV_ARRAY_LEN(bench_q) && c->bench; i++) {
        uint32_t n = bench_q[i];
        const uint8_t *v = make_cache(c, 0, type, false, 128, 64, CK_NORMAL);
        float *p = ck_mem(c, 1, n * 64 * sizeof *p, 64), *out = ck_mem(c, 2, n * 128 * sizeof *out, 64);
        ck_fill_floats(c, CK_NORMAL, p, n * 64);
        memset(out, 0, n * 128 * sizeof *out);
        CK_BENCH(c, 128.0 * 64 * n, "mac", c->now->attn_values[type](p, 64, n, 128, v, 0, 64, out, 128),
                 "hd 128, 64 pos, %u q", n);
    }
}

static void check_softmax(ck *c, uint32_t lo, uint32_t hi, uint32_t n, enum ck_floats how)
{
    float *got = ck_mem(c, 0, n * sizeof *got, 4), *want = ck_mem(c, 1, n * sizeof *want, 4);
    ck_fill_floats(c, how, want, n);
    memcpy(got, want, n * sizeof *got);
    ck_case(c, "lo %u, hi %u, n %u, %s", lo, hi, n, ck_floats_name[how]);
    float sum = c->ref->softmax(want, lo, hi, n), sum_got = c->now->softmax(got, lo, hi, n);
    ck_same_f32(c, "sum", &sum_got, &sum, 1);
    ck_same_f32(c, "s below lo", got, want, lo);
    ck_same_f32(c, "s from hi", got + hi, want + hi, n - hi);
    if (sum == sum)
        ck_same_f32(c, "s", got, want, n);
    ck_canaries(c);
}

static void softmax(ck *c)
{
    for (int how = 0; how < CK_FLOATS_N && ck_checking(c); how++)
        for (uint32_t n = 16; n <= 512; n += 16)
            for (int i = 0; i < 20; i++) {
                uint32_t lo = i < 5 ? 0 : ck_between(c, 0, n - 1), hi = i == 0 ? n : ck_between(c, lo + 1, n);
                check_softmax(c, lo, hi, n, how);
            }
    float *s = ck_mem(c, 0, 1024 * sizeof *s, 64);
    memset(s, 0, 1024 * sizeof *s);
    CK_BENCH(c, 1024, "el", c->now->softmax(s, 0, 1024, 1024), "1024");
}

void ck_attn(ck *c)
{
    for (dv_kv_type t = 0; t < DV_KV_TYPE_N; t++) {
        if (CK_BEGIN(c, store_k[t], "store_k_%s", kv_name[t])) {
            store(c, t, true);
            ck_end(c);
        }
        if (CK_BEGIN(c, store_v[t], "store_v_%s", kv_name[t])) {
            store(c, t, false);
            ck_end(c);
        }
        if (CK_BEGIN(c, attn_scores[t], "scores_%s", kv_name[t])) {
            scores(c, t);
            ck_end(c);
        }
        if (CK_BEGIN(c, attn_values[t], "values_%s", kv_name[t])) {
            values(c, t);
            ck_end(c);
        }
    }
    if (CK_BEGIN(c, softmax, "softmax")) {
        softmax(c);
        ck_end(c);
    }
}
