/* SPDX-License-Identifier: MIT */
/* Stop strings: the outcome is the same however the text is cut into pieces. */
#include "engine/stop.h"

#include "base/buf.h"
#include "base/rng.h"
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Feed text in pieces of the lengths that `cut` gives (0: one byte each) and return what was released, as dv_session_generate does. */
static const char *stream(const char *const *stop, size_t n, const char *text, dv_rng *r, size_t piece, bool *hit)
{
    static char out[4096];
    char held[4096];
    size_t n_held = 0, n_out = 0, len = strlen(text);
    *hit = false;
    for (size_t at = 0; at < len && !*hit;) {
        size_t k = r != NULL ? 1 + (size_t)dv_rng_below(r, piece) : piece;
        k = k < len - at ? k : len - at;
        while (!dv_utf8_valid(text + at, k) && k < len - at)
            k++;
        memcpy(held + n_held, text + at, k);
        n_held += k;
        at += k;
        size_t final = dv__stop_scan(stop, n, held, n_held, hit);
        assert_true(final <= n_held && dv_utf8_valid(held, final));
        memcpy(out + n_out, held, final);
        n_out += final;
        memmove(held, held + final, n_held - final);
        n_held -= final;
    }
    if (!*hit) { /* end of the stream: what was held back is text */
        memcpy(out + n_out, held, n_held);
        n_out += n_held;
    }
    out[n_out] = 0;
    return out;
}

static void check(const char *const *stop, size_t n, const char *text, const char *want, bool want_hit)
{
    for (size_t piece = 1; piece <= strlen(text) + 1; piece++) {
        bool hit;
        assert_string_equal(stream(stop, n, text, NULL, piece, &hit), want);
        assert_int_equal(hit, want_hit);
    }
}

static void test_cases(void **state)
{
    check((const char *[]){"stop"}, 1, "go on and stop here", "go on and ", true);
    check((const char *[]){"stop"}, 1, "stop", "", true);
    check((const char *[]){"stop"}, 1, "the sto", "the sto", false); /* held back, then released at the end */
    check((const char *[]){"aab"}, 1, "aaaab", "aa", true);          /* overlaps with itself */
    check((const char *[]){"abcd", "c"}, 2, "xabcd", "xab", true);   /* the shorter is complete first */
    check((const char *[]){"bc", "abc"}, 2, "xabc", "x", true);      /* complete together: the one that began first */
    check((const char *[]){"abc", "bc"}, 2, "xabc", "x", true);
    check((const char *[]){"\n\n", "User:"}, 2, "Hi\nUser: x", "Hi\n", true);
    check((const char *[]){"é"}, 1, "caf\u00e8 caf\u00e9!", "caf\u00e8 caf",
          true); /* same first byte, another character */
    check((const char *[]){"日本語"}, 1, "日本人と日本語。", "日本人と", true);
    check(NULL, 0, "anything", "anything", false);
    check((const char *[]){"x"}, 1, "", "", false);
}

/* Against the definition, on random texts over a small alphabet. */
static void test_random(void **state)
{
    dv_rng r;
    dv_rng_seed(&r, 8);
    for (int round = 0; round < 20000; round++) {
        char text[64] = "", words[3][8] = {"", "", ""};
        const char *stop[3] = {words[0], words[1], words[2]};
        size_t len = dv_rng_below(&r, sizeof text - 1), n = 1 + dv_rng_below(&r, 3);
        for (size_t i = 0; i < len; i++)
            text[i] = (char)('a' + dv_rng_below(&r, 3));
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0, m = 1 + dv_rng_below(&r, 5); k < m; k++)
                words[i][k] = (char)('a' + dv_rng_below(&r, 3));
        size_t start = len, end = SIZE_MAX;
        for (size_t e = 1; e <= len && end == SIZE_MAX; e++)
            for (size_t i = 0; i < n; i++) {
                size_t m = strlen(words[i]);
                if (m <= e && memcmp(text + e - m, words[i], m) == 0 && (end == SIZE_MAX || e - m < start)) {
                    start = e - m;
                    end = e;
                }
            }
        bool hit;
        const char *out = stream(stop, n, text, &r, 7, &hit);
        assert_int_equal(hit, end != SIZE_MAX);
        assert_int_equal(strlen(out), start);
        assert_memory_equal(out, text, start);
    }
}

static void test_check(void **state)
{
    char big[DV_STOP_MAX_LEN + 2];
    const char *many[DV_STOP_MAX_STRINGS + 1];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    for (size_t i = 0; i < sizeof many / sizeof *many; i++)
        many[i] = "x";
    const struct {
        const char *const *stop;
        size_t n;
        const char *says;
    } bad[] = {
        {(const char *[]){"a", ""}, 2, "string 2 is empty"}, {(const char *[]){NULL}, 1, "string 1 is empty"},
        {(const char *[]){big}, 1, "longer than 256"},       {(const char *[]){"\xc3"}, 1, "not valid UTF-8"},
        {many, DV_STOP_MAX_STRINGS + 1, "at most 16"},       {NULL, 1, "at most 16"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        dv_err err = {0};
        assert_int_equal(dv_stop_check(bad[i].stop, bad[i].n, &err), DV_EINVAL);
        assert_non_null(strstr(err.msg, bad[i].says));
    }
    assert_int_equal(dv_stop_check(many, DV_STOP_MAX_STRINGS, NULL), 0);
    assert_int_equal(dv_stop_check((const char *[]){big + 1}, 1, NULL), 0);
    assert_int_equal(dv_stop_check(NULL, 0, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_check),
    };
    return cmocka_run_group_tests_name("stop", tests, NULL, NULL);
}
