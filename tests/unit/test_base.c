/* SPDX-License-Identifier: MIT */
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "base/word.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void err_keeps_first_and_escapes(void **state)
{
    (void)state;
    dv_err e = {0};
    assert_int_equal(dv_fail(&e, DV_EFORMAT, "bad key \"a\nb\x1b[31m\xff\""), DV_EFORMAT);
    assert_string_equal(e.msg, "bad key \"a\\x0ab\\x1b[31m\\xff\"");
    assert_int_equal(dv_fail(&e, DV_ENOMEM, "later"), DV_ENOMEM);
    assert_int_equal(e.code, DV_EFORMAT);
    assert_int_equal(dv_err_prefix(&e, "file.gguf"), DV_EFORMAT);
    assert_string_equal(e.msg, "file.gguf: bad key \"a\\x0ab\\x1b[31m\\xff\"");
    assert_int_equal(dv_fail(NULL, DV_EIO, "nobody listens"), DV_EIO);
    assert_string_equal(dv_error_name(DV_EFORMAT), "DV_EFORMAT");
    assert_int_equal(dv_error_http_status(DV_EBUSY), 503);
}

static void err_cuts_at_a_character(void **state)
{
    (void)state;
    char text[1000];
    for (size_t i = 0; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa4", 3);
    for (int shift = 0; shift < 2; shift++) {
        dv_err e = {0};
        dv_fail(&e, DV_EIO, "%s%s", shift ? "x" : "", text);
        assert_true(strlen(e.msg) > 300);
        assert_true(dv_utf8_valid(e.msg, strlen(e.msg)));
        dv_err_prefix(&e, "%s", text);
        assert_true(dv_utf8_valid(e.msg, strlen(e.msg)));
    }
}

static void utf8_refuses_what_rfc3629_refuses(void **state)
{
    (void)state;
    static const char *bad[] = {"\x80",
                                "\xc0\xaf",
                                "\xc1\xbf",
                                "\xe0\x9f\xbf",
                                "\xed\xa0\x80",
                                "\xf0\x8f\xbf\xbf",
                                "\xf4\x90\x80\x80",
                                "\xf5\x80\x80\x80",
                                "\xff",
                                "\xe2\x82",
                                "\xc3("};
    for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++)
        assert_false(dv_utf8_valid(bad[i], strlen(bad[i])));
    for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
        char s[4];
        uint32_t back = 0;
        int n = dv_utf8_encode(cp, s);
        assert_int_equal(dv_utf8_decode(s, (size_t)n, &back), n);
        assert_int_equal(back, cp >= 0xd800 && cp < 0xe000 ? 0xfffd : cp);
        for (int cut = 1; cut < n; cut++)
            assert_int_equal(dv_utf8_incomplete(s, (size_t)cut), cut);
        assert_int_equal(dv_utf8_incomplete(s, (size_t)n), 0);
    }
    assert_int_equal(dv_utf8_incomplete("a\xed\xa0", 3), 0); /* a surrogate will never complete */
}

static void text_for_people_is_escaped(void **state)
{
    (void)state;
    static const struct {
        const char *text, *people;
    } rows[] = {
        {"plain \xc3\xa4 \xf0\x9f\xa6\x99", "plain \xc3\xa4 \xf0\x9f\xa6\x99"},
        {"\x1b[2J\n\x7f", "\\x1b[2J\\x0a\\x7f"},
        {"\xc2\x9b"
         "2J",
         "\\xc2\\x9b2J"}, /* CSI in one character */
        {"a\xe2\x80\xae"
         "b",
         "a\\xe2\\x80\\xaeb"}, /* right-to-left override */
        {"a\xe2\x80\xa8"
         "b\xe2\x81\xa6",
         "a\\xe2\\x80\\xa8b\\xe2\\x81\\xa6"},
        {"\xff\xe2\x80", "\\xff\\xe2\\x80"},
    };
    for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
        dv_buf b;
        dv_err e = {0};
        dv_buf_init(&b, 0);
        assert_int_equal(dv_buf_escaped(&b, rows[i].text, strlen(rows[i].text)), 0);
        assert_string_equal(dv_buf_str(&b), rows[i].people);
        dv_fail(&e, DV_EIO, "%s", rows[i].text);
        assert_string_equal(e.msg, rows[i].people);
        dv_buf_fini(&b);
    }
}

static void buf_limit_and_json(void **state)
{
    (void)state;
    dv_buf b;
    dv_buf_init(&b, 8);
    assert_int_equal(dv_buf_adds(&b, "12345678"), 0);
    assert_int_equal(dv_buf_addc(&b, '9'), DV_ELIMIT);
    assert_int_equal(dv_buf_adds(&b, ""), DV_ELIMIT);
    assert_string_equal(dv_buf_str(&b), "12345678");
    dv_buf_fini(&b);
    dv_buf_init(&b, 0);
    dv_buf_json_str(&b, "a\"\\\n\x01\xff\xe2\x82\xac", 9);
    assert_string_equal(dv_buf_str(&b), "\"a\\\"\\\\\\n\\u0001\xef\xbf\xbd\xe2\x82\xac\"");
    dv_buf_clear(&b);
    static const double nums[] = {0, -0.0, 1, -17, 0.1, 1e300, 1.0 / 3, 5e-324, 123456789012345678.0, 1e15};
    for (size_t i = 0; i < DV_ARRAY_LEN(nums); i++) {
        dv_buf_clear(&b);
        dv_buf_json_num(&b, nums[i]);
        assert_true(strtod(dv_buf_str(&b), NULL) == nums[i]);
    }
    dv_buf_clear(&b);
    dv_buf_json_num(&b, NAN);
    assert_string_equal(dv_buf_str(&b), "null");
    dv_buf_shift(&b, 2);
    assert_string_equal(dv_buf_str(&b), "ll");
    dv_buf_fini(&b);
}

static void plain_blocks_are_counted(void **state)
{
    (void)state;
    size_t before = dv_mem_used(DV_MEM_JSON);
    void *p = dv_mem_plain_alloc(DV_MEM_JSON, 100);
    assert_true(dv_mem_plain_size(p) >= 100);
    assert_int_equal(dv_mem_used(DV_MEM_JSON), before + dv_mem_plain_size(p));
    dv_mem_fail_after(1);
    assert_null(dv_mem_plain_alloc(DV_MEM_JSON, 100));
    dv_mem_fail_after(0);
    dv_mem_plain_free(DV_MEM_JSON, p);
    dv_mem_plain_free(DV_MEM_JSON, NULL);
    assert_int_equal(dv_mem_used(DV_MEM_JSON), before);
    assert_int_equal(dv_mem_plain_size(NULL), 0);
    dv_mem_trim();
}

static void mem_counts_and_fails_on_demand(void **state)
{
    (void)state;
    size_t before = dv_mem_used(DV_MEM_KV);
    dv_mem_peak_reset(DV_MEM_KV);
    assert_int_equal(dv_mem_peak(DV_MEM_KV), before);
    char *p = dv_alloc(DV_MEM_KV, 100);
    assert_int_equal((uintptr_t)p % 64, 0);
    p = dv_realloc(DV_MEM_KV, p, 1000);
    assert_int_equal(dv_mem_used(DV_MEM_KV), before + 1000);
    dv_free(p);
    assert_int_equal(dv_mem_used(DV_MEM_KV), before);
    assert_int_equal(dv_mem_peak(DV_MEM_KV), before + 1100); /* both blocks live while the content moves */
    assert_null(dv_alloc_array(DV_MEM_KV, SIZE_MAX / 2, 3));
    assert_null(dv_alloc(DV_MEM_KV, SIZE_MAX - 8));
    dv_mem_fail_after(2);
    p = dv_alloc(DV_MEM_KV, 8);
    assert_non_null(p);
    assert_null(dv_alloc(DV_MEM_KV, 8));
    assert_null(dv_alloc(DV_MEM_KV, 8));
    dv_mem_fail_after(0);
    dv_free(p);
}

static void arena_limit(void **state)
{
    (void)state;
    dv_arena a;
    dv_arena_init(&a, DV_MEM_BASE, 100000);
    size_t n = 0;
    while (dv_arena_alloc(&a, 1000) != NULL)
        n++;
    assert_int_equal(n, 99); /* 1000 rounds up to 1008 */
    assert_null(dv_arena_alloc(&a, SIZE_MAX));
    dv_arena_fini(&a);
    assert_non_null(dv_arena_alloc(&a, 50000));
    dv_arena_fini(&a);
}

static void add_part(void *arg, size_t part, size_t n_parts, unsigned thread)
{
    (void)thread;
    assert_true(part < n_parts);
    atomic_fetch_add((atomic_size_t *)arg, part + 1);
}

static void pool_runs_every_part_once(void **state)
{
    (void)state;
    for (unsigned n_threads = 1; n_threads <= 4; n_threads++) {
        dv_pool *p;
        dv_err e = {0};
        assert_int_equal(dv_pool_open(&p, n_threads, &e), 0);
        for (size_t parts = 0; parts < 300; parts++) {
            atomic_size_t sum = 0;
            dv_pool_run(p, add_part, &sum, parts);
            assert_int_equal(sum, parts * (parts + 1) / 2);
        }
        dv_pool_close(&p);
        assert_null(p);
    }
    dv_pool *p;
    dv_err e = {0};
    assert_int_equal(dv_pool_open(&p, 0, &e), DV_EINVAL);
    assert_int_equal(dv_pool_open(&p, 100000, &e), DV_EINVAL);
}

static void rng_is_fixed(void **state)
{
    (void)state;
    dv_rng r;
    dv_rng_seed(&r, 0);
    assert_true(dv_rng_u64(&r) ==
                0x99ec5f36cb75f2b4u); /* xoshiro256** after SplitMix64(0), as published implementations give */
    double sum = 0, sq = 0;
    for (int i = 0; i < 100000; i++) {
        double v = dv_rng_normal(&r);
        sum += v;
        sq += v * v;
        assert_true(dv_rng_below(&r, 7) < 7);
    }
    assert_true(fabs(sum / 1e5) < 0.02 && fabs(sq / 1e5 - 1) < 0.03);
}

static void words_are_strict(void **state)
{
    static const char *const names[] = {"context", "threads", "kv-type", "n"};
    static const char *const no_u64[] = {"", "-1", "+1", " 1", "1 ", "0x1", "1.0", "18446744073709551616"};
    static const char *const no_double[] = {"", "nan", "inf", "0x1p3", "1 ", " 1", "1e999", "1e", "-"};
    uint64_t u;
    double d;
    for (size_t i = 0; i < DV_ARRAY_LEN(no_u64); i++)
        assert_false(dv_word_u64(no_u64[i], &u));
    for (size_t i = 0; i < DV_ARRAY_LEN(no_double); i++)
        assert_false(dv_word_double(no_double[i], &d));
    assert_true(dv_word_u64("18446744073709551615", &u) && u == UINT64_MAX);
    assert_true(dv_word_double("-1.5e3", &d) && d == -1500);

    assert_int_equal(dv_word_index("a|bc|d", "bc"), 1);
    assert_int_equal(dv_word_index("a|bc|d", "d"), 2);
    assert_int_equal(dv_word_index("a|bc|d", "b"), -1);
    assert_int_equal(dv_word_index("a|bc|d", "bc|d"), -1);
    assert_int_equal(dv_word_index("a|bc|d", ""), -1);

    assert_string_equal(dv_word_nearest("contxet", names, 4), "context");
    assert_string_equal(dv_word_nearest("kvtype", names, 4), "kv-type");
    assert_string_equal(dv_word_nearest("thread", names, 4), "threads");
    assert_null(dv_word_nearest("port", names, 4));
    assert_null(dv_word_nearest("m", names, 4)); /* nothing in common is not near */
    char longer[200];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    assert_null(dv_word_nearest(longer, names, 4));
}

int main(void)
{
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err_keeps_first_and_escapes), cmocka_unit_test(err_cuts_at_a_character),
        cmocka_unit_test(utf8_refuses_what_rfc3629_refuses), cmocka_unit_test(buf_limit_and_json), cmocka_unit_test(text_for_people_is_escaped),
        cmocka_unit_test(mem_counts_and_fails_on_demand), cmocka_unit_test(plain_blocks_are_counted), cmocka_unit_test(arena_limit),
        cmocka_unit_test(pool_runs_every_part_once), cmocka_unit_test(rng_is_fixed), cmocka_unit_test(words_are_strict),
    };
    /* clang-format on */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
