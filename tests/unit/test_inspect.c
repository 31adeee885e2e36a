/* SPDX-License-Identifier: MIT */
/* drover inspect: the memory estimate, and reports that stay one JSON object and harmless to a terminal for any
 * file. */
#include "gguf_make.h"

#include "cli/inspect.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static void mk_kv_str(dv_buf *b, const char *key, const char *s)
{
    mk_key(b, key, DV_GGUF_STR);
    mk_str(b, s);
}

/* A llama of 3 layers, width 256, 4 heads, 2 KV heads, trained context 8192. */
static void mk_llama(dv_buf *b, uint64_t n_more)
{
    mk_head(b, 3, 0, 6 + n_more);
    mk_kv_str(b, "general.architecture", "llama");
    mk_kv_u32(b, "llama.block_count", 3);
    mk_kv_u32(b, "llama.embedding_length", 256);
    mk_kv_u32(b, "llama.attention.head_count", 4);
    mk_kv_u32(b, "llama.attention.head_count_kv", 2);
    mk_kv_u32(b, "llama.context_length", 8192);
}

static dv__inspect_memory memory_of(dv_buf *b, uint64_t n_ctx)
{
    dv__inspect_memory m;
    dv_gguf *g = mk_opens(b);
    dv__inspect_memory_of(&m, g, n_ctx);
    mk_close(&g, b);
    assert_int_equal(m.known, m.why.code == 0);
    return m;
}

static void memory_from_hyperparameters(void **state)
{
    (void)state;
    dv_buf b;
    mk_llama(&b, 0);
    dv__inspect_memory m = memory_of(&b, 0);
    assert_true(m.known && m.has_q8_0);
    assert_int_equal(m.n_ctx, 4096);
    assert_int_equal(m.kv_f32, 4096 * 3 * 2 * (64 + 64) * 4);
    assert_int_equal(m.kv_f16, 4096 * 3 * 2 * (64 + 64) * 2);
    assert_int_equal(m.kv_q8_0, 4096 * 3 * 2 * (64 + 64) / 32 * 34);
    mk_llama(&b, 2);
    mk_kv_u32(&b, "llama.attention.key_length", 80);
    mk_kv_u32(&b, "llama.attention.value_length", 16);
    m = memory_of(&b, 10);
    assert_int_equal(m.n_ctx, 10);
    assert_int_equal(m.kv_f16, 10 * 3 * 2 * (80 + 16) * 2);
    assert_false(m.has_q8_0); /* 80 and 16 are no whole blocks */
    mk_llama(&b, 1);
    mk_kv_u32(&b, "llama.attention.key_length", 128);
    m = memory_of(&b, 1);
    assert_int_equal(m.kv_f16, 3 * 2 * (128 + 64) * 2);
}

static void memory_with_heads_per_layer(void **state)
{
    (void)state;
    for (uint64_t n = 2; n <= 4; n++) {
        dv_buf b;
        mk_head(&b, 3, 0, 5);
        mk_kv_str(&b, "general.architecture", "x");
        mk_kv_u32(&b, "x.block_count", 3);
        mk_kv_u32(&b, "x.attention.key_length", 32);
        mk_kv_u32(&b, "x.attention.value_length", 32);
        mk_key(&b, "x.attention.head_count_kv", DV_GGUF_ARR);
        mk_u32(&b, DV_GGUF_I32);
        mk_u64(&b, n);
        for (uint64_t i = 0; i < n; i++)
            mk_u32(&b, (uint32_t)(2 * i)); /* a layer without attention, then 2, 4 */
        dv__inspect_memory m = memory_of(&b, 7);
        assert_int_equal(m.known, n >= 3);
        if (m.known)
            assert_int_equal(m.kv_f16, 7 * 6 * 64 * 2);
        else
            assert_non_null(strstr(m.why.msg, "layer 2"));
    }
}

/* Hostile numbers neither divide by zero nor wrap; the report says what is wrong. */
static void memory_of_nonsense(void **state)
{
    (void)state;
    static const char *const keys[] = {"llama.block_count", "llama.embedding_length", "llama.attention.head_count",
                                       "llama.attention.head_count_kv", "llama.context_length"};
    static const uint32_t values[] = {0, 1, 0x7fffffff, 0x80000000, UINT32_MAX};
    for (size_t k = 0; k < DV_ARRAY_LEN(keys); k++) {
        for (size_t v = 0; v < DV_ARRAY_LEN(values); v++) {
            dv_buf b;
            mk_head(&b, 3, 0, 6);
            mk_kv_str(&b, "general.architecture", "llama");
            for (size_t i = 0; i < DV_ARRAY_LEN(keys); i++)
                mk_kv_u32(&b, keys[i], i == k ? values[v] : 64);
            dv__inspect_memory m = memory_of(&b, 0);
            assert_true(m.known || strstr(m.why.msg, "llama.") != NULL || strstr(m.why.msg, "layer") != NULL);
        }
    }
    dv_buf b;
    mk_head(&b, 3, 0, 5);
    mk_kv_str(&b, "general.architecture", "x");
    mk_kv_u32(&b, "x.block_count", 1 << 16);
    mk_kv_u32(&b, "x.attention.head_count", 1 << 20);
    mk_kv_u32(&b, "x.attention.key_length", 1 << 30);
    mk_kv_u32(&b, "x.attention.value_length", 1 << 30);
    dv__inspect_memory m = memory_of(&b, 1 << 30);
    assert_false(m.known);
    assert_non_null(strstr(m.why.msg, "overflows"));
    mk_head(&b, 3, 0, 0);
    m = memory_of(&b, 0);
    assert_non_null(strstr(m.why.msg, "general.architecture"));
    char arch[400];
    memset(arch, 'a', sizeof arch);
    arch[sizeof arch - 1] = 0;
    mk_head(&b, 3, 0, 1);
    mk_kv_str(&b, "general.architecture", arch);
    m = memory_of(&b, 0);
    assert_false(m.known);
}

static void check_report(dv_buf *file, const char *path)
{
    dv__inspect *in = dv_alloc(DV_MEM_BASE, sizeof *in);
    dv_gguf *g = mk_opens(file);
    dv_buf b;
    dv_buf_init(&b, 0);
    assert_non_null(in);
    dv__inspect_collect(in, path, g, 0);
    dv__inspect_json(&b, in);
    assert_int_equal(b.code, 0);
    json_error_t error;
    json_t *root = json_loadb(b.data, b.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
    if (root == NULL)
        print_error("%s\n%s\n", error.text, dv_buf_str(&b));
    assert_non_null(root);
    assert_int_equal(json_array_size(json_object_get(root, "metadata")), dv_gguf_n_kv(g));
    assert_int_equal(json_array_size(json_object_get(root, "tensors")), dv_gguf_n_tensors(g));
    json_decref(root);
    dv_buf_clear(&b);
    dv__inspect_text(&b, in);
    assert_int_equal(b.code, 0);
    for (size_t i = 0; i < b.len; i++)
        assert_true(b.data[i] == '\n' || ((unsigned char)b.data[i] >= 0x20 && b.data[i] != 0x7f));
    dv_buf_fini(&b);
    for (uint64_t i = 1; i < 12; i++) { /* an allocation fails: an error, not a crash */
        dv_buf_init(&b, 0);
        dv_mem_fail_after(i);
        dv__inspect_json(&b, in);
        dv_buf_fini(&b);
        dv_buf_init(&b, 0);
        dv__inspect_text(&b, in);
        dv_buf_fini(&b);
        dv_mem_fail_after(0);
    }
    dv_free(in);
    mk_close(&g, file);
}

static void reports_of_good_and_odd_files(void **state)
{
    (void)state;
    dv_buf b;
    mk_good(&b, NULL);
    check_report(&b, "good.gguf");
    mk_llama(&b, 0);
    check_report(&b, "odd \x1b[2J\n\xff name");
    mk_head(&b, 3, 0, 0);
    check_report(&b, "");
    mk_head(&b, 3, 3, 4);
    mk_kv_str(&b, "evil \x1b]0;title\x07\r\nkey\xff", "evil \x1b[2J value \xc2\x9b \xe2\x80\xae");
    mk_key(&b, "evil \x1b]0;title\x07\r\nkey\xfe", DV_GGUF_F32);
    mk_u32(&b, 0x7fc00000);
    mk_key(&b, "words", DV_GGUF_ARR);
    mk_u32(&b, DV_GGUF_STR);
    mk_u64(&b, 9);
    for (int i = 0; i < 9; i++)
        mk_str(&b, "\x1b[31m long enough to be cut in the middle of \xc3\xa4\xc3\xa4\xc3\xa4");
    mk_key(&b, "u64", DV_GGUF_U64);
    mk_u64(&b, UINT64_MAX);
    mk_tensor(&b, "evil \x1b[31m\n", 4000, 2, (const uint64_t[]){1, INT64_MAX}, 0);
    mk_tensor(&b, "more", UINT32_MAX, 1, (const uint64_t[]){INT64_MAX}, 0);
    mk_tensor(&b, "third", 16, 4, (const uint64_t[]){INT64_MAX, 1, 1, 1}, 0);
    mk_pad(&b, 32);
    check_report(&b, "evil");
}

static void sums_per_type(void **state)
{
    (void)state;
    dv_buf b;
    dv__inspect in;
    mk_good(&b, NULL);
    dv_gguf *g = mk_opens(&b);
    dv__inspect_collect(&in, "f", g, 0);
    assert_int_equal(in.weight_bytes, 24 + 34);
    assert_int_equal(in.n_elements, 6 + 32);
    assert_int_equal(in.n_unsupported, 0);
    assert_int_equal(in.types[DV_TYPE_F32].n_tensors, 1);
    assert_int_equal(in.types[DV_TYPE_Q8_0].n_bytes, 34);
    mk_close(&g, &b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_from_hyperparameters),
        cmocka_unit_test(memory_with_heads_per_layer),
        cmocka_unit_test(memory_of_nonsense),
        cmocka_unit_test(reports_of_good_and_odd_files),
        cmocka_unit_test(sums_per_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
