/* SPDX-License-Identifier: MIT */
/* The tensor directory: shapes, sizes and places that a file may claim, and the two historic forms of sizes that
 * overflow. */
#include "gguf_make.h"

#include "gguf/part.h"

#include <stdio.h>

typedef struct row {
    const char *name;
    uint32_t type, n_dims;
    uint64_t ne[5];
    uint64_t offset;
} row;

/* A file with these tensors, an alignment (0: not stated) and n_data bytes of data. */
static void file_of(dv_buf *b, const row *rows, size_t n, uint32_t align, size_t n_data)
{
    mk_head(b, 3, n, align != 0);
    if (align != 0)
        mk_kv_u32(b, "general.alignment", align);
    for (size_t i = 0; i < n; i++)
        mk_tensor(b, rows[i].name, rows[i].type, rows[i].n_dims, rows[i].ne, rows[i].offset);
    mk_pad(b, align != 0 && align <= DV__ALIGN_MAX ? align : 32);
    mk_zeros(b, n_data);
}

static void refused(const row *rows, size_t n, size_t n_data, const char *say)
{
    dv_buf b;
    file_of(&b, rows, n, 0, n_data);
    mk_refused(&b, DV_EFORMAT, say);
}

static void accepted(const row *rows, size_t n, size_t n_data)
{
    dv_buf b;
    file_of(&b, rows, n, 0, n_data);
    dv_gguf *g = mk_opens(&b);
    for (size_t i = 0; i < n; i++) {
        const dv_gguf_tensor *t = dv_gguf_find_tensor(g, rows[i].name);
        assert_ptr_equal(t, dv_gguf_tensor_at(g, i));
        assert_true(t->data == NULL ||
                    (t->data >= (const uint8_t *)b.data && t->data + t->n_bytes <= (const uint8_t *)b.data + b.len));
    }
    mk_close(&g, &b);
}

static void shapes(void **state)
{
    (void)state;
    enum { F32 = DV_TYPE_F32 };
    static const uint32_t n_dims[] = {0, 5, 6, 255, 0x7fffffff, 0x80000000, UINT32_MAX};
    for (size_t i = 0; i < DV_ARRAY_LEN(n_dims); i++) {
        dv_buf b;
        mk_head(&b, 3, 1, 0);
        mk_str(&b, "t");
        mk_u32(&b, n_dims[i]);
        mk_zeros(&b, 200);
        mk_refused(&b, DV_EFORMAT, "tensor \"t\" has");
    }
    static const uint64_t bad[] = {0, UINT64_MAX, UINT64_C(1) << 63, (uint64_t)-32};
    for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
        for (uint32_t d = 0; d < 4; d++) {
            row r = {"t", F32, 4, {1, 1, 1, 1, 0}, 0};
            r.ne[d] = bad[i];
            refused(&r, 1, 64, "tensor \"t\": dimension");
        }
    }
    /* Products that wrap to something small, in elements and in bytes. */
    refused((const row[]){{"t", F32, 2, {UINT64_C(1) << 32, UINT64_C(1) << 32}, 0}}, 1, 64, "too large");
    refused((const row[]){{"t", F32, 4, {1 << 16, 1 << 16, 1 << 16, 1 << 16}, 0}}, 1, 64, "too large");
    refused((const row[]){{"t", F32, 2, {(UINT64_C(1) << 62) + 1, 4}, 0}}, 1, 64, "too large");
    refused((const row[]){{"t", F32, 1, {UINT64_C(1) << 62}, 0}}, 1, 64, "overflows");
    refused((const row[]){{"t", F32, 2, {4, (UINT64_C(1) << 60) + 1}, 0}}, 1, 64, "overflows");
    refused((const row[]){{"t", DV_TYPE_Q8_0, 1, {UINT64_C(1) << 62}, 0}}, 1, 64, "end beyond");
    refused((const row[]){{"t", 4000, 2, {UINT64_C(1) << 32, UINT64_C(1) << 32}, 0}}, 1, 64, "too large");
    accepted((const row[]){{"t", F32, 4, {1, 2, 2, 4}, 0}}, 1, 64);
}

static void rows_are_whole_blocks(void **state)
{
    (void)state;
    for (uint32_t id = 0; id < DV_TYPE_N; id++) {
        const dv_type_info *info = dv_type_get(id);
        if (info == NULL)
            continue;
        row r = {"t", id, 2, {info->block_len, 3}, 0};
        accepted(&r, 1, 3 * info->block_bytes);
        refused(&r, 1, 3 * info->block_bytes - 1, "end beyond");
        r.ne[0] += 1;
        if (info->block_len > 1)
            refused(&r, 1, 4096, "no whole number of blocks");
    }
}

/* The value is in the directory and nobody can compute with it; whoever wants the data sees that there are none. */
static void unsupported_types_stay_in_the_directory(void **state)
{
    (void)state;
    static const uint32_t ids[] = {4, 5, 9, 15, 16, 24, 26, 29, 31, 36, 39, 4000, 0x7fffffff, 0x80000000, UINT32_MAX};
    for (size_t i = 0; i < DV_ARRAY_LEN(ids); i++) {
        dv_buf b;
        file_of(&b, (const row[]){{"a", ids[i], 1, {7}, 0}, {"b", DV_TYPE_F32, 1, {2}, 32}}, 2, 0, 64);
        dv_gguf *g = mk_opens(&b);
        const dv_gguf_tensor *t = dv_gguf_find_tensor(g, "a");
        assert_int_equal(t->type, ids[i]);
        assert_null(t->data);
        assert_int_equal(t->n_bytes, 0);
        assert_int_equal(t->ne[0], 7);
        assert_non_null(dv_gguf_find_tensor(g, "b")->data);
        mk_close(&g, &b);
        refused((const row[]){{"a", ids[i], 1, {7}, 33}}, 1, 64, "alignment");
        refused((const row[]){{"a", ids[i], 1, {7}, 96}}, 1, 64, "beyond");
    }
}

static void data_lie_in_the_file(void **state)
{
    (void)state;
    enum { F32 = DV_TYPE_F32 };
    accepted((const row[]){{"t", F32, 1, {16}, 0}}, 1, 64);
    refused((const row[]){{"t", F32, 1, {17}, 0}}, 1, 64, "end beyond the 64 bytes");
    refused((const row[]){{"t", F32, 1, {9}, 32}}, 1, 64, "end beyond");
    refused((const row[]){{"t", F32, 1, {1}, 64}}, 1, 64, "end beyond");
    refused((const row[]){{"t", F32, 1, {1}, 96}}, 1, 64, "is beyond");
    refused((const row[]){{"t", F32, 1, {1}, UINT64_C(1) << 63}}, 1, 64, "is beyond");
    refused((const row[]){{"t", F32, 1, {1}, (uint64_t)-32}}, 1, 64, "is beyond"); /* offset + size wraps */
    refused((const row[]){{"t", F32, 1, {64}, (uint64_t)-64}}, 1, 64, "is beyond");
    refused((const row[]){{"t", F32, 1, {1}, 1}}, 1, 64, "alignment");
    refused((const row[]){{"t", F32, 1, {1}, 16}}, 1, 64, "alignment");
    refused((const row[]){{"t", F32, 1, {1}, UINT64_MAX}}, 1, 64, "alignment");
    /* Sums of sizes that wrap: sizes near 2^63 in two tensors, and with padding. */
    refused((const row[]){{"a", F32, 1, {(UINT64_C(1) << 61) - 1}, 0}, {"b", F32, 1, {(UINT64_C(1) << 61) - 1}, 32}}, 2,
            64, "end beyond");
    refused((const row[]){{"a", F32, 1, {UINT64_C(0x3ffffffffffffff8)}, 0}, {"b", F32, 1, {24}, 32}}, 2, 64,
            "end beyond");
}

static void no_data_at_all(void **state)
{
    (void)state;
    dv_buf b;
    mk_head(&b, 3, 1, 0);
    mk_tensor(&b, "tensor", DV_TYPE_F32, 1, (const uint64_t[]){1}, 0);
    assert_true(b.len % 32 != 0);
    mk_refused(&b, DV_EFORMAT, "tensor data begin at byte");
}

static void data_do_not_overlap(void **state)
{
    (void)state;
    enum { F32 = DV_TYPE_F32 };
    refused((const row[]){{"a", F32, 1, {1}, 0}, {"b", F32, 1, {1}, 0}}, 2, 64, "overlap");
    refused((const row[]){{"a", F32, 1, {9}, 0}, {"b", F32, 1, {1}, 32}}, 2, 64, "overlap");
    refused((const row[]){{"b", F32, 1, {1}, 32}, {"a", F32, 1, {9}, 0}}, 2, 64, "overlap");
    refused((const row[]){{"a", F32, 1, {24}, 0}, {"b", F32, 1, {1}, 32}, {"c", F32, 1, {1}, 64}}, 3, 96, "overlap");
    refused((const row[]){{"u", 16, 1, {1}, 32}, {"a", F32, 1, {16}, 0}}, 2, 64,
            "overlap"); /* an unsupported one inside */
    accepted((const row[]){{"b", F32, 1, {8}, 32}, {"a", F32, 1, {8}, 0}}, 2, 64);
    accepted(
        (const row[]){{"c", F32, 1, {8}, 64}, {"a", F32, 1, {8}, 0}, {"u", 16, 1, {1}, 32}, {"b", F32, 1, {8}, 32}}, 4,
        96);
}

static void every_allocation_fails(const dv_buf *b)
{
    dv_gguf *g;
    size_t used = dv_mem_used(DV_MEM_CAT_N);
    uint64_t before = dv_mem_count();
    assert_int_equal(dv_gguf_open_mem(&g, b->data, b->len, NULL), 0);
    dv_gguf_close(&g);
    uint64_t n = dv_mem_count() - before;
    for (uint64_t i = 1; i <= n; i++) {
        dv_mem_fail_after(i);
        int rc = dv_gguf_open_mem(&g, b->data, b->len, NULL);
        dv_mem_fail_after(0);
        assert_int_equal(rc, DV_ENOMEM);
        assert_int_equal(dv_mem_used(DV_MEM_CAT_N), used);
    }
}

/* Offsets in a scrambled order take the sort; one pair in it overlaps or none does. */
static void overlap_in_any_order(void **state)
{
    (void)state;
    enum { N = 1009 };
    for (int bad = 0; bad < 2; bad++) {
        dv_buf b;
        mk_head(&b, 3, N, 0);
        for (uint64_t i = 0; i < N; i++) {
            char name[32];
            snprintf(name, sizeof name, "blk.%u", (unsigned)i);
            uint64_t place = i * 613 % N;
            mk_tensor(&b, name, DV_TYPE_F32, 1, (const uint64_t[]){bad && place == 500 ? 9 : 8}, 32 * place);
        }
        mk_pad(&b, 32);
        mk_zeros(&b, (size_t)32 * N);
        if (bad) {
            mk_refused(&b, DV_EFORMAT, "overlap");
            continue;
        }
        dv_gguf *g = mk_opens(&b);
        assert_int_equal(dv_gguf_n_tensors(g), N);
        dv_gguf_close(&g);
        every_allocation_fails(&b);
        dv_buf_fini(&b);
    }
}

static void names(void **state)
{
    (void)state;
    enum { F32 = DV_TYPE_F32 };
    refused((const row[]){{"a", F32, 1, {1}, 0}, {"a", F32, 1, {1}, 32}}, 2, 64, "\"a\" occurs twice");
    refused((const row[]){{"", F32, 1, {1}, 0}}, 1, 64, "empty");
    dv_buf b;
    mk_head(&b, 3, 1, 0);
    mk_strn(&b, "a\0b", 3);
    mk_zeros(&b, 100);
    mk_refused(&b, DV_EFORMAT, "NUL");
    char name[DV_GGUF_MAX_NAME + 2];
    memset(name, 'n', sizeof name);
    name[DV_GGUF_MAX_NAME] = 0;
    accepted((const row[]){{name, F32, 1, {1}, 0}}, 1, 64);
    name[DV_GGUF_MAX_NAME] = 'n';
    name[DV_GGUF_MAX_NAME + 1] = 0;
    file_of(&b, (const row[]){{name, F32, 1, {1}, 0}}, 1, 0, 64);
    mk_refused(&b, DV_ELIMIT, "256 bytes");
    refused((const row[]){{"x\x1b]0;t\x07", F32, 0, {0}, 0}}, 1, 64, "x\\x1b]0;t\\x07");
}

static void alignments(void **state)
{
    (void)state;
    static const uint32_t good[] = {8, 16, 32, 64, 4096, 65536},
                          bad[] = {0, 1, 2, 3, 4, 7, 33, 100, 65537, 1 << 17, 1u << 31, UINT32_MAX};
    dv_buf b;
    for (size_t i = 0; i < DV_ARRAY_LEN(good); i++) {
        file_of(&b, (const row[]){{"a", DV_TYPE_F32, 1, {1}, 0}, {"b", DV_TYPE_F32, 1, {1}, good[i]}}, 2, good[i],
                good[i] + 4);
        dv_gguf *g = mk_opens(&b);
        assert_int_equal(dv_gguf_alignment(g), good[i]);
        assert_int_equal((size_t)((const char *)dv_gguf_tensor_at(g, 1)->data - b.data) % good[i], 0);
        mk_close(&g, &b);
    }
    for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
        mk_head(&b, 3, 0, 1);
        mk_kv_u32(&b, "general.alignment", bad[i]);
        mk_refused(&b, DV_EFORMAT, "general.alignment");
    }
    mk_head(&b, 3, 0, 1);
    mk_key(&b, "general.alignment", DV_GGUF_STR);
    mk_str(&b, "32");
    mk_refused(&b, DV_EFORMAT, "no unsigned integer");
    mk_head(&b, 3, 0, 1);
    mk_key(&b, "general.alignment", DV_GGUF_I64);
    mk_u64(&b, (uint64_t)-32);
    mk_refused(&b, DV_EFORMAT, "no unsigned integer");
    mk_head(&b, 3, 0, 1);
    mk_key(&b, "general.alignment", DV_GGUF_U64);
    mk_u64(&b, (UINT64_C(1) << 32) + 32);
    mk_refused(&b, DV_EFORMAT, "4294967328");
}

/* Counts that the file has room for only by the look of its size do not allocate for what is not there. */
static void counts_fit_what_is_left(void **state)
{
    (void)state;
    dv_buf b;
    mk_head(&b, 3, 2000, 1);
    mk_key(&b, "pad", DV_GGUF_STR);
    mk_u64(&b, 70000);
    mk_zeros(&b, 70000);
    mk_refused(&b, DV_EFORMAT, "2000 tensors do not fit in the 0 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes),
        cmocka_unit_test(rows_are_whole_blocks),
        cmocka_unit_test(unsupported_types_stay_in_the_directory),
        cmocka_unit_test(data_lie_in_the_file),
        cmocka_unit_test(no_data_at_all),
        cmocka_unit_test(data_do_not_overlap),
        cmocka_unit_test(overlap_in_any_order),
        cmocka_unit_test(names),
        cmocka_unit_test(alignments),
        cmocka_unit_test(counts_fit_what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
