/* SPDX-License-Identifier: MIT */
/* The reader's header and metadata: what it accepts, and every way in which a file can lie about them. */
#include "gguf_make.h"

#include "gguf/cursor.h"
#include "gguf/names.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* clang-format off */
static const uint64_t extremes[] = {
    0, 1, 2, 127, 255, 256, 65535, 65536, (1u << 31) - 1, 1u << 31, (1u << 31) + 1, UINT32_MAX, UINT64_C(1) << 32,
    (UINT64_C(1) << 32) + 1, UINT64_C(1) << 60, UINT64_C(1) << 61, UINT64_C(1) << 62, INT64_MAX, UINT64_C(1) << 63,
    (UINT64_C(1) << 63) + 1, UINT64_MAX - 8, UINT64_MAX - 1, UINT64_MAX,
};
/* clang-format on */

static void good_file_reads_back(void **state)
{
    (void)state;
    dv_buf b;
    mk_good(&b, NULL);
    dv_gguf *g = mk_opens(&b);
    assert_int_equal(dv_gguf_version(g), 3);
    assert_int_equal(dv_gguf_alignment(g), 32);
    assert_int_equal(dv_gguf_file_bytes(g), b.len);
    assert_int_equal(dv_gguf_n_kv(g), 5);
    assert_int_equal(dv_gguf_n_tensors(g), 2);
    assert_null(dv_gguf_kv_at(g, 5));
    assert_null(dv_gguf_tensor_at(g, 2));
    assert_null(dv_gguf_find(g, "absent"));
    assert_null(dv_gguf_find(g, ""));
    assert_null(dv_gguf_find_tensor(g, "absent"));
    const dv_gguf_kv *words = dv_gguf_find(g, "words");
    assert_ptr_equal(words, dv_gguf_kv_at(g, 2));
    assert_int_equal(dv_gguf_kv_type(words), DV_GGUF_ARR);
    assert_int_equal(dv_gguf_kv_elem_type(words), DV_GGUF_STR);
    assert_int_equal(dv_gguf_kv_len(words), 3);
    assert_null(dv_gguf_kv_raw(words));
    dv_str s;
    assert_true(dv_gguf_kv_str(words, 0, &s) && s.n == 3 && memcmp(s.p, "one", 3) == 0);
    assert_true(dv_gguf_kv_str(words, 1, &s) && s.n == 0);
    assert_true(dv_gguf_kv_str(words, 2, &s) && s.n == 2 && memcmp(s.p, "\0\xff", 2) == 0);
    assert_false(dv_gguf_kv_str(words, 3, &s) || dv_gguf_kv_str(words, UINT64_MAX, &s));
    const dv_gguf_kv *nested = dv_gguf_find(g, "nested");
    assert_int_equal(dv_gguf_kv_elem_type(nested), DV_GGUF_ARR);
    assert_int_equal(dv_gguf_kv_len(nested), 2);
    assert_null(dv_gguf_kv_raw(nested));
    assert_false(dv_gguf_kv_str(nested, 0, &s));
    const dv_gguf_tensor *t = dv_gguf_find_tensor(g, "a.weight");
    assert_int_equal(t->n_dims, 2);
    assert_true(t->ne[0] == 3 && t->ne[1] == 2 && t->ne[2] == 1 && t->ne[3] == 1);
    assert_int_equal(t->n_bytes, 24);
    float v;
    memcpy(&v, t->data + 20, sizeof v);
    assert_true(v == 5);
    t = dv_gguf_find_tensor(g, "b.weight");
    assert_int_equal(t->n_bytes, 34);
    assert_int_equal(t->data[33], 33);
    mk_close(&g, &b);
    dv_gguf_close(&g); /* closing nothing is fine */
}

static void header_is_checked(void **state)
{
    (void)state;
    dv_buf b;
    static const struct {
        uint32_t version;
        const char *say;
    } bad[] = {{0, "version 0"},
               {1, "version 1"},
               {4, "version 4"},
               {0x03000000, "big-endian"},
               {0x02000000, "big-endian"},
               {0x00030000, "big-endian"},
               {UINT32_MAX, "version 4294967295"}};
    for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
        mk_head(&b, bad[i].version, 0, 0);
        mk_refused(&b, DV_EUNSUPPORTED, bad[i].say);
    }
    for (uint32_t version = 2; version <= 3; version++) {
        mk_head(&b, version, 0, 0);
        dv_gguf *g = mk_opens(&b);
        assert_int_equal(dv_gguf_version(g), version);
        assert_int_equal(dv_gguf_n_kv(g), 0);
        assert_null(dv_gguf_find(g, "x"));
        assert_null(dv_gguf_find_tensor(g, "x"));
        mk_close(&g, &b);
    }
    static const char *const magic[] = {"GGML", "gguf", "FUGG", "\0\0\0\0", "GGU\0", "lmgg"};
    for (size_t i = 0; i < DV_ARRAY_LEN(magic); i++) {
        mk_head(&b, 3, 0, 0);
        memcpy(b.data, magic[i], 4);
        mk_refused(&b, DV_EFORMAT, "not a GGUF file");
    }
    dv_buf_init(&b, 0);
    dv_buf_adds(&b, "GGUF"); /* the four bytes that once took a server down */
    mk_refused(&b, DV_EFORMAT, "ends at byte 4");
}

/* Tensor data that are not there are missed too, so every proper prefix is refused. */
static void every_truncation_is_refused(void **state)
{
    (void)state;
    dv_buf b;
    mk_good(&b, NULL);
    for (size_t n = 0; n < b.len; n++) {
        dv_gguf *g;
        dv_err err;
        char *exact = malloc(n > 0 ? n : 1); /* so that a sanitizer sees a read past the end */
        assert_non_null(exact);
        memcpy(exact, b.data, n);
        int rc = mk_open(&g, exact, n, &err);
        assert_int_equal(rc, DV_EFORMAT);
        free(exact);
    }
    dv_buf_fini(&b);
}

static void every_length_field_at_extremes(void **state)
{
    (void)state;
    size_t at[16];
    dv_buf b;
    size_t n = mk_good(&b, at), n_good = 0;
    for (size_t f = 0; f < n; f++) {
        uint64_t was = dv__ld_u64(b.data + at[f]);
        for (size_t e = 0; e < DV_ARRAY_LEN(extremes); e++) {
            dv_gguf *g;
            dv_err err;
            memcpy(b.data + at[f], &extremes[e], 8);
            int rc = mk_open(&g, b.data, b.len, &err);
            assert_true(rc == 0 || rc == DV_EFORMAT || rc == DV_ELIMIT || rc == DV_EUNSUPPORTED);
            n_good += rc == 0;
            assert_true(rc != 0 || extremes[e] < b.len);
            dv_gguf_close(&g);
        }
        memcpy(b.data + at[f], &was, 8);
    }
    assert_true(n_good < n * 3); /* a few small lengths may happen to make sense */
    dv_gguf *g = mk_opens(&b);
    mk_close(&g, &b);
}

static void every_byte_flipped(void **state)
{
    (void)state;
    dv_buf b;
    mk_good(&b, NULL);
    for (size_t i = 0; i < b.len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            dv_gguf *g;
            dv_err err;
            b.data[i] = (char)(b.data[i] ^ 1 << bit);
            mk_open(&g, b.data, b.len, &err); /* checks memory and the error */
            dv_gguf_close(&g);
            b.data[i] = (char)(b.data[i] ^ 1 << bit);
        }
    }
    dv_buf_fini(&b);
}

static void every_allocation_failing(void **state)
{
    (void)state;
    dv_buf b;
    mk_good(&b, NULL);
    size_t used = dv_mem_used(DV_MEM_CAT_N);
    uint64_t before = dv_mem_count();
    dv_gguf *g = mk_opens(&b);
    dv_gguf_close(&g);
    uint64_t n = dv_mem_count() - before;
    assert_true(n >= 5);
    for (uint64_t i = 1; i <= n; i++) {
        dv_err err = {0};
        dv_mem_fail_after(i);
        int rc = dv_gguf_open_mem(&g, b.data, b.len, &err);
        dv_mem_fail_after(0);
        assert_int_equal(rc, DV_ENOMEM);
        assert_non_null(strstr(err.msg, "out of memory"));
        assert_null(g);
        assert_int_equal(dv_mem_used(DV_MEM_CAT_N), used);
    }
    dv_buf_fini(&b);
}

static void keys_are_checked(void **state)
{
    (void)state;
    dv_buf b;
    mk_head(&b, 3, 0, 1);
    mk_kv_u32(&b, "", 1);
    mk_zeros(&b, 16);
    mk_refused(&b, DV_EFORMAT, "empty");
    mk_head(&b, 3, 0, 1);
    mk_strn(&b, "a\0b", 3);
    mk_u32(&b, DV_GGUF_U8);
    mk_u8(&b, 0);
    mk_refused(&b, DV_EFORMAT, "NUL");
    mk_head(&b, 3, 0, 3);
    mk_kv_u32(&b, "a", 1);
    mk_kv_u32(&b, "b", 1);
    mk_kv_u32(&b, "a", 1);
    mk_refused(&b, DV_EFORMAT, "\"a\" occurs twice");
    char big[DV_GGUF_MAX_KEY + 2];
    memset(big, 'k', sizeof big);
    big[DV_GGUF_MAX_KEY] = 0;
    mk_head(&b, 3, 0, 1);
    mk_kv_u32(&b, big, 7);
    dv_gguf *g = mk_opens(&b);
    assert_non_null(dv_gguf_find(g, big));
    assert_int_equal(dv_gguf_kv_key(dv_gguf_kv_at(g, 0)).n, DV_GGUF_MAX_KEY);
    mk_close(&g, &b);
    mk_head(&b, 3, 0, 1);
    mk_key(&b, big, 13); /* a long key leaves room for what is wrong with it */
    mk_refused(&b, DV_EFORMAT, "unknown value type 13 at byte 65567");
    big[DV_GGUF_MAX_KEY] = 'k';
    big[DV_GGUF_MAX_KEY + 1] = 0;
    mk_head(&b, 3, 0, 1);
    mk_kv_u32(&b, big, 7);
    mk_refused(&b, DV_ELIMIT, "65536 bytes");
    mk_head(&b, 3, 0, 1);
    mk_key(&b, "esc\x1b[31m\n\xff", 99);
    mk_u64(&b, 0);
    mk_refused(&b, DV_EFORMAT, "esc\\x1b[31m\\x0a\\xff");
}

static void values_are_checked(void **state)
{
    (void)state;
    dv_buf b;
    static const uint32_t unknown[] = {DV_GGUF_VTYPE_N, 14, 255, 256, 0x80000000, UINT32_MAX};
    for (size_t i = 0; i < DV_ARRAY_LEN(unknown); i++) {
        mk_head(&b, 3, 0, 1);
        mk_key(&b, "k", unknown[i]);
        mk_zeros(&b, 64);
        mk_refused(&b, DV_EFORMAT, "key \"k\": unknown value type");
        mk_head(&b, 3, 0, 1);
        mk_key(&b, "k", DV_GGUF_ARR);
        mk_u32(&b, unknown[i]);
        mk_zeros(&b, 64); /* even when it is empty */
        mk_refused(&b, DV_EFORMAT, "unknown array element type");
    }
    mk_head(&b, 3, 0, 1);
    mk_key(&b, "k", DV_GGUF_BOOL);
    mk_u8(&b, 2);
    mk_refused(&b, DV_EFORMAT, "bool at byte 37 is 2");
    mk_head(&b, 3, 0, 1);
    mk_key(&b, "k", DV_GGUF_ARR);
    mk_u32(&b, DV_GGUF_BOOL);
    mk_u64(&b, 3);
    mk_u8(&b, 0);
    mk_u8(&b, 1);
    mk_u8(&b, 0xff);
    mk_refused(&b, DV_EFORMAT, "bool at byte 51 is 255");
    for (uint32_t type = 0; type < DV_GGUF_VTYPE_N; type++) {
        for (size_t e = 4; e < DV_ARRAY_LEN(extremes); e++) {
            mk_head(&b, 3, 0, 1);
            mk_key(&b, "k", DV_GGUF_ARR);
            mk_u32(&b, type);
            mk_u64(&b, extremes[e]);
            mk_zeros(&b, 100);
            mk_refused(&b, DV_EFORMAT, "elements of type");
        }
    }
}

static void nesting(dv_buf *b, int depth, uint32_t innermost)
{
    mk_head(b, 3, 0, 1);
    mk_key(b, "k", DV_GGUF_ARR);
    for (int i = 1; i < depth; i++) {
        mk_u32(b, DV_GGUF_ARR);
        mk_u64(b, 1);
    }
    mk_u32(b, innermost);
    mk_u64(b, 0);
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    dv_buf b;
    nesting(&b, DV_GGUF_MAX_ARRAY_DEPTH, DV_GGUF_STR);
    dv_gguf *g = mk_opens(&b);
    mk_close(&g, &b);
    nesting(&b, DV_GGUF_MAX_ARRAY_DEPTH + 1, DV_GGUF_U8);
    mk_refused(&b, DV_ELIMIT, "nested more than 4 deep");
    nesting(&b, 100000, DV_GGUF_U8);
    mk_refused(&b, DV_ELIMIT, "nested more than 4 deep");
}

static void many_pairs(void **state)
{
    (void)state;
    dv_buf b;
    enum { N = 20000 };
    mk_head(&b, 3, 0, N);
    for (unsigned i = 0; i < N; i++) {
        char key[32];
        snprintf(key, sizeof key, "key.%u", i);
        mk_kv_u32(&b, key, i);
    }
    dv_gguf *g = mk_opens(&b);
    for (uint32_t i = 0; i < N; i++) {
        char key[32];
        uint32_t v = 0;
        snprintf(key, sizeof key, "key.%" PRIu32, i);
        assert_int_equal(dv_gguf_get_u32(g, key, 0, N, &v, NULL), 0);
        assert_int_equal(v, i);
    }
    mk_close(&g, &b);
    mk_head(&b, 3, 0, DV_GGUF_MAX_KV + 1);
    mk_refused(&b, DV_ELIMIT, "metadata pairs");
    mk_head(&b, 3, DV_GGUF_MAX_TENSORS + 1, 0);
    mk_refused(&b, DV_ELIMIT, "tensors");
}

/* Values from an independent implementation with the all-zero key. */
static void siphash_vectors(void **state)
{
    (void)state;
    static const uint64_t key[2] = {0, 0};
    static const struct {
        const char *text;
        uint64_t hash;
    } want[] = {{"a", 0x407448d2b89b1813},
                {"llama", 0xb29c632a0db2cff7},
                {"12345678", 0x3489982430560a87},
                {"general.alignment", 0xfa9898965a74d31c}};
    for (size_t i = 0; i < DV_ARRAY_LEN(want); i++)
        assert_true(dv__siphash13(key, want[i].text, strlen(want[i].text)) == want[i].hash);
    char bytes[63];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i + 1);
    assert_true(dv__siphash13(key, bytes, sizeof bytes) == 0x6bafe9f92616651b);
}

static dv_gguf *one_value(dv_buf *b, uint32_t type, const void *v, size_t n)
{
    mk_head(b, 3, 0, 1);
    mk_key(b, "k", type);
    dv_buf_add(b, v, n);
    return mk_opens(b);
}

static void integers_convert_when_they_fit(void **state)
{
    (void)state;
    static const struct {
        uint32_t type;
        uint64_t bits;
        bool is_u, is_s, is_f;
        int64_t value;
    } rows[] = {
        {DV_GGUF_U8, 0xff, true, true, true, 255},
        {DV_GGUF_I8, 0x7f, true, true, true, 127},
        {DV_GGUF_I8, 0xff, false, true, true, -1},
        {DV_GGUF_U16, 0xffff, true, true, true, 65535},
        {DV_GGUF_I16, 0x8000, false, true, true, -32768},
        {DV_GGUF_U32, 0xffffffff, true, true, true, 0xffffffff},
        {DV_GGUF_I32, 0xffffffff, false, true, true, -1},
        {DV_GGUF_I64, 1, true, true, true, 1},
        {DV_GGUF_I64, UINT64_C(1) << 63, false, true, false, INT64_MIN},
        {DV_GGUF_U64, INT64_MAX, true, true, false, INT64_MAX},
        {DV_GGUF_U64, UINT64_MAX, true, false, false, -1},
        {DV_GGUF_U64, UINT64_C(1) << 53, true, true, true, INT64_C(1) << 53},
        {DV_GGUF_BOOL, 1, false, false, false, 0},
        {DV_GGUF_STR, 0, false, false, false, 0},
        {DV_GGUF_F32, 0x3f800000, false, false, true, 1},
        {DV_GGUF_F64, 0x3ff0000000000000, false, false, true, 1},
    };
    static const size_t bytes[DV_GGUF_VTYPE_N] = {1, 1, 2, 2, 4, 4, 4, 1, 8, 0, 8, 8, 8};
    for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
        dv_buf b;
        dv_gguf *g = one_value(&b, rows[i].type, &rows[i].bits, bytes[rows[i].type]);
        const dv_gguf_kv *kv = dv_gguf_find(g, "k");
        uint64_t u;
        int64_t s;
        double f;
        bool flag;
        dv_str str;
        assert_int_equal(dv_gguf_kv_type(kv), rows[i].type);
        assert_int_equal(dv_gguf_kv_elem_type(kv), DV_GGUF_VTYPE_N);
        assert_int_equal(dv_gguf_kv_len(kv), 1);
        assert_null(dv_gguf_kv_raw(kv));
        assert_int_equal(dv_gguf_kv_u64(kv, 0, &u), rows[i].is_u);
        assert_int_equal(dv_gguf_kv_i64(kv, 0, &s), rows[i].is_s);
        assert_int_equal(dv_gguf_kv_f64(kv, 0, &f), rows[i].is_f);
        assert_int_equal(dv_gguf_kv_bool(kv, 0, &flag), rows[i].type == DV_GGUF_BOOL);
        assert_int_equal(dv_gguf_kv_str(kv, 0, &str), rows[i].type == DV_GGUF_STR);
        assert_true(!rows[i].is_u || u == (uint64_t)rows[i].value);
        assert_true(!rows[i].is_s || s == rows[i].value);
        assert_true(!rows[i].is_f || f == (double)rows[i].value);
        assert_false(dv_gguf_kv_u64(kv, 1, &u) || dv_gguf_kv_i64(kv, 1, &s) || dv_gguf_kv_f64(kv, 1, &f) ||
                     dv_gguf_kv_str(kv, 1, &str));
        mk_close(&g, &b);
    }
}

static void get_checks_type_and_range(void **state)
{
    (void)state;
    dv_buf b;
    mk_head(&b, 3, 0, 6);
    mk_kv_u32(&b, "n", 0);
    mk_key(&b, "neg", DV_GGUF_I32);
    mk_u32(&b, (uint32_t)-5);
    mk_key(&b, "big", DV_GGUF_U64);
    mk_u64(&b, (UINT64_C(1) << 32) + 1);
    mk_key(&b, "nan", DV_GGUF_F32);
    mk_u32(&b, 0x7fc00000);
    mk_key(&b, "s", DV_GGUF_STR);
    mk_str(&b, "text");
    mk_key(&b, "arr", DV_GGUF_ARR);
    mk_u32(&b, DV_GGUF_U32);
    mk_u64(&b, 1);
    mk_u32(&b, 9);
    dv_gguf *g = mk_opens(&b);
    uint32_t u = 77;
    float f = 7.5f;
    bool flag = true;
    dv_str s = {0};
    static const struct {
        const char *key;
        int code;
        const char *say;
    } bad[] = {{"n", DV_EFORMAT, "key \"n\" is 0, not in 1 to 64"},
               {"neg", DV_EFORMAT, "-5, not in 1"},
               {"big", DV_EFORMAT, "4294967297, not in"},
               {"nan", DV_EFORMAT, "of type f32, an integer is expected"},
               {"s", DV_EFORMAT, "of type string"},
               {"arr", DV_EFORMAT, "is an array"},
               {"none", DV_ENOENT, "\"none\" is missing"}};
    for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
        dv_err err = {0};
        assert_int_equal(dv_gguf_get_u32(g, bad[i].key, 1, 64, &u, &err), bad[i].code);
        assert_non_null(strstr(err.msg, bad[i].say));
        assert_int_equal(u, 77);
    }
    assert_int_equal(dv_gguf_get_f32(g, "nan", -INFINITY, INFINITY, &f, NULL), DV_EFORMAT);
    assert_int_equal(dv_gguf_get_f32(g, "s", 0, 1, &f, NULL), DV_EFORMAT);
    assert_int_equal(dv_gguf_get_f32(g, "none", 0, 1, &f, NULL), DV_ENOENT);
    assert_int_equal(dv_gguf_get_f32(g, "neg", -5, 5, &f, NULL), 0); /* whole numbers are numbers */
    assert_true(f == -5);
    assert_int_equal(dv_gguf_get_f32(g, "neg", -4.5f, 5, &f, NULL), DV_EFORMAT);
    assert_int_equal(dv_gguf_get_bool(g, "none", &flag, NULL), DV_ENOENT);
    assert_int_equal(dv_gguf_get_bool(g, "n", &flag, NULL), DV_EFORMAT);
    assert_int_equal(dv_gguf_get_str(g, "n", &s, NULL), DV_EFORMAT);
    assert_int_equal(dv_gguf_get_str(g, "s", &s, NULL), 0);
    assert_int_equal(s.n, 4);
    assert_int_equal(dv_gguf_opt_u32(g, "none", 1, 64, 5, &u, NULL), 0);
    assert_int_equal(u, 5);
    assert_int_equal(dv_gguf_opt_u32(g, "n", 1, 64, 5, &u, NULL), DV_EFORMAT); /* present and wrong is not absent */
    assert_int_equal(dv_gguf_opt_f32(g, "none", 0, 1, 0.5f, &f, NULL), 0);
    assert_true(f == 0.5f);
    assert_int_equal(dv_gguf_opt_bool(g, "none", false, &flag, NULL), 0);
    assert_false(flag);
    assert_int_equal(dv_gguf_opt_bool(g, "s", false, &flag, NULL), DV_EFORMAT);
    assert_int_equal(dv_gguf_opt_str(g, "none", (dv_str){"x", 1}, &s, NULL), 0);
    assert_int_equal(s.n, 1);
    mk_close(&g, &b);
}

static void first_error_of_the_caller_wins(void **state)
{
    (void)state;
    dv_gguf *g;
    dv_err err = {0};
    err.code = DV_EIO;
    assert_int_equal(dv_gguf_open_mem(&g, "GG", 2, &err), DV_EFORMAT);
    assert_int_equal(err.code, DV_EIO);
    assert_string_equal(err.msg, "");
    assert_int_equal(dv_gguf_open_mem(&g, NULL, 0, NULL), DV_EFORMAT); /* and nobody has to listen */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_file_reads_back),
        cmocka_unit_test(header_is_checked),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_length_field_at_extremes),
        cmocka_unit_test(every_byte_flipped),
        cmocka_unit_test(every_allocation_failing),
        cmocka_unit_test(keys_are_checked),
        cmocka_unit_test(values_are_checked),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(many_pairs),
        cmocka_unit_test(siphash_vectors),
        cmocka_unit_test(integers_convert_when_they_fit),
        cmocka_unit_test(get_checks_type_and_range),
        cmocka_unit_test(first_error_of_the_caller_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
