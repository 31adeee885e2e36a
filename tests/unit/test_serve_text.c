/* SPDX-License-Identifier: MIT */
/* What a text may be, how it is repaired, how it is written for HTML. */
#include "base/attr.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "serve/schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define R "\xef\xbf\xbd"

static int check(const char *s, size_t n, bool identifier, size_t *at, const char **what)
{
    int rc = dv__text_check(s, n, 1 << 20, identifier, at, what);
    assert_int_equal(rc == 0, *what == NULL);
    return rc;
}

static void assert_repaired(int (*fn)(dv_buf *, const char *, size_t), const char *s, size_t n, const char *want)
{
    dv_buf b;
    dv_buf_init(&b, 0);
    assert_int_equal(fn(&b, s, n), 0);
    assert_string_equal(dv_buf_str(&b), want);
    assert_int_equal(b.len, strlen(want));
    dv_buf_fini(&b);
}

static void prompts(void **state)
{
    static const char *const good[] = {
        "",
        "a\tb\r\nc",
        "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
        "\xe2\x80\xa8\xe2\x80\xa9",                         /* separators of lines */
        "\xe2\x80\x8d\xe2\x80\x8e\xe2\x80\x8f\xef\xbb\xbf", /* joiner, marks, BOM */
        "\xef\xbf\xbd\xef\xbf\xbe\xf4\x8f\xbf\xbf",
        "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d",
    };
    static const struct {
        const char *s;
        size_t n, at;
        const char *what;
    } bad[] = {
        {"a\0b", 3, 1, "a control character"},
        {"ab\x1b[0m", 6, 2, "a control character"},
        {"\x7f", 1, 0, "a control character"},
        {"\xc2\x85", 2, 0, "a control character"},
        {"\xc2\x9b", 2, 0, "a control character"},
        {"x\xe2\x80\xae", 4, 1, "a character that changes the direction of text"},
        {"x\xe2\x81\xa6", 4, 1, "a character that changes the direction of text"},
        {"\xef\xbf\xb9", 3, 0, "a character that hides text"},
        {"\xf3\xa0\x80\x81", 4, 0, "a character that hides text"},
        {"\xf3\xa0\x81\xbf", 4, 0, "a character that hides text"},
        {"a\xff", 2, 1, "invalid UTF-8"},
        {"\xed\xa0\x80", 3, 0, "invalid UTF-8"},
        {"\xc0\x80", 2, 0, "invalid UTF-8"},
        {"ok\xe2\x82", 4, 2, "invalid UTF-8"},
        {"\xf4\x90\x80\x80", 4, 0, "invalid UTF-8"},
    };
    size_t at;
    const char *what;
    for (size_t i = 0; i < DV_ARRAY_LEN(good); i++)
        assert_int_equal(check(good[i], strlen(good[i]), false, &at, &what), 0);
    for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
        assert_int_equal(check(bad[i].s, bad[i].n, false, &at, &what), DV_EFORMAT);
        assert_int_equal(at, bad[i].at);
        assert_string_equal(what, bad[i].what);
    }
}

static void identifiers(void **state)
{
    static const char *const bad[] = {"a\tb", "a\n", "\r", "\xe2\x80\xa8", "\xe2\x80\xae", "\xef\xbf\xbb", "\x1b"};
    size_t at;
    const char *what;
    assert_int_equal(check("llama-3.2 \xc3\xa9:latest", 18, true, &at, &what), 0);
    for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++)
        assert_int_equal(check(bad[i], strlen(bad[i]), true, &at, &what), DV_EFORMAT);
}

/* Every character alone: the rules in other words than the code's. */
static void every_character(void **state)
{
    for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
        char s[4];
        size_t n = (size_t)dv_utf8_encode(cp, s), at;
        const char *what;
        bool surrogate = cp >= 0xd800 && cp < 0xe000;
        bool white = cp == 9 || cp == 10 || cp == 13;
        bool hidden = (cp >= 0xfff9 && cp <= 0xfffb) || cp >> 7 == 0xe0000 >> 7;
        bool steers = (cp >= 0x202a && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069);
        bool controls = cp < 32 || (cp >= 127 && cp <= 159);
        if (surrogate)
            continue;
        assert_int_equal(dv__text_check(s, n, 4, false, &at, &what) == 0, !((controls && !white) || hidden || steers));
        if (dv__text_check(s, n, 4, true, &at, &what) == 0)
            assert_int_equal(dv_utf8_printable(s, n), n);
        else
            assert_true(controls || hidden || steers || cp == 0x2028 || cp == 0x2029);
    }
}

static void lengths(void **state)
{
    size_t at;
    const char *what;
    assert_int_equal(dv__text_check("abc", 3, 3, false, &at, &what), 0);
    assert_int_equal(dv__text_check("abcd", 4, 3, false, &at, &what), DV_ELIMIT);
    assert_int_equal(at, 3);
    assert_int_equal(dv__text_check("", 0, 0, false, &at, &what), 0);
    assert_int_equal(dv__text_check("a", 1, 0, true, &at, &what), DV_ELIMIT);
}

/* The Unicode Standard, table 3-11 and those before it: one U+FFFD for each maximal subpart. */
static void subparts(void **state)
{
    static const struct {
        const char *s, *want;
    } cases[] = {
        {"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", R R R R R R R R "A"},
        {"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", R R R R R R R R "A"},
        {"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", R R R R R "A" R R "B"},
        {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", R R R R "A"},
        {"a\xf0\x9f\x98", "a" R},
        {"a\xe2\x82", "a" R},
        {"\xe2\x82\xe2\x82\xac", R "\xe2\x82\xac"},
        {"\xf5\x80\x80\x80", R R R R},
        {"\x1b\x7f", "\x1b\x7f"},
        {"", ""},
    };
    for (size_t i = 0; i < DV_ARRAY_LEN(cases); i++)
        assert_repaired(dv__text_repair_utf8, cases[i].s, strlen(cases[i].s), cases[i].want);
    assert_repaired(dv__text_repair, "\x1b\x7f\xe2\x80\xae\n\xff", 7, R R R "\n" R);
    assert_repaired(dv__text_repair, "a\0b", 3, "a" R "b");
}

static void html(void **state)
{
    assert_repaired(dv__text_html, "<a href=\"x\" title='y'>&amp;</a>", 31,
                    "&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;&amp;amp;&lt;/a&gt;");
    assert_repaired(dv__text_html, "a\0\xff<", 4, "a" R R "&lt;");
    assert_repaired(dv__text_html, "\xe2\x80\xae\n\xc3\xa9", 6, R "\n\xc3\xa9");
}

/* Random bytes, most of them of the kinds that matter. */
static size_t draw(dv_rng *rng, char *s, size_t max)
{
    static const unsigned char often[] = {0,    9,    0x1b, '<',  '&',  'a',  0x7f, 0x80, 0x85, 0x9f, 0xa0, 0xae, 0xbf,
                                          0xc0, 0xc2, 0xe0, 0xe2, 0xed, 0xef, 0xf0, 0xf3, 0xf4, 0xf5, 0xff, 0x81, 0xb9};
    size_t n = dv_rng_u64(rng) % max;
    for (size_t i = 0; i < n; i++) {
        uint64_t r = dv_rng_u64(rng);
        s[i] = (char)(r % 4 != 0 ? often[(r >> 8) % sizeof often] : (r >> 16) & 0xff);
    }
    return n;
}

static void repaired_passes(void **state)
{
    dv_rng rng;
    dv_rng_seed(&rng, 7);
    for (int round = 0; round < 20000; round++) {
        char s[40];
        size_t n = draw(&rng, s, sizeof s), at;
        const char *what;
        dv_buf b, again, utf8;
        dv_buf_init(&b, 0);
        dv_buf_init(&again, 0);
        dv_buf_init(&utf8, 0);
        bool good = dv__text_check(s, n, n, false, &at, &what) == 0;
        assert_int_equal(dv__text_repair(&b, s, n), 0);
        assert_int_equal(dv__text_check(dv_buf_str(&b), b.len, 3 * n, false, &at, &what), 0);
        if (good)
            assert_true(b.len == n && memcmp(dv_buf_str(&b), s, n) == 0);
        assert_int_equal(dv__text_repair_utf8(&utf8, s, n), 0);
        assert_true(dv_utf8_valid(dv_buf_str(&utf8), utf8.len));
        if (dv_utf8_valid(s, n))
            assert_true(utf8.len == n && memcmp(dv_buf_str(&utf8), s, n) == 0);
        assert_int_equal(dv__text_repair(&again, dv_buf_str(&utf8), utf8.len), 0);
        assert_string_equal(dv_buf_str(&again), dv_buf_str(&b)); /* in two steps as in one */
        dv_buf_clear(&again);
        assert_int_equal(dv__text_html(&again, s, n), 0);
        assert_null(strpbrk(dv_buf_str(&again), "<>\"'"));
        dv_buf_fini(&b);
        dv_buf_fini(&again);
        dv_buf_fini(&utf8);
    }
}

static void no_memory(void **state)
{
    dv_buf b;
    char text[200];
    memset(text, 0xff, sizeof text);
    for (uint64_t i = 1; i < 6; i++) {
        dv_buf_init(&b, 0);
        dv_mem_fail_after(i);
        int rc = dv__text_html(&b, text, sizeof text);
        dv_mem_fail_after(0);
        assert_true(rc == DV_ENOMEM || rc == 0);
        if (i == 1)
            assert_int_equal(rc, DV_ENOMEM);
        dv_buf_fini(&b);
    }
    dv_buf_init(&b, 100);
    assert_int_equal(dv__text_repair(&b, text, sizeof text), DV_ELIMIT);
    dv_buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts),         cmocka_unit_test(identifiers), cmocka_unit_test(every_character),
        cmocka_unit_test(lengths),         cmocka_unit_test(subparts),    cmocka_unit_test(html),
        cmocka_unit_test(repaired_passes), cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests_name("serve-text", tests, NULL, NULL);
}
