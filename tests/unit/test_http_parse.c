/* SPDX-License-Identifier: MIT */
/* The head parser, targets and the chunk decoder: what is taken, what is refused, and that neither depends on the cuts
 * between reads. */
#include "base/attr.h"
#include "base/buf.h"
#include "base/mem.h"
#include "http/chunked.h"
#include "http/parse.h"
#include "http/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define H "Host: a\r\n"

static const dv_http_options limits = {.max_head = 2048, .max_fields = 8, .max_uri = 100, .max_body = 1000};

/* Parse text in pieces of `step` bytes. The buffer moves at every piece and is exactly as large as what came, so that a
 * sanitizer sees a look too far. */
static dv__parsed parse(dv__head *h, char **buf, const char *text, size_t len, size_t step)
{
    dv__parsed got = DV__PARSE_MORE;
    dv__head_init(h, &limits);
    *buf = NULL;
    for (size_t at = 0; at < len && got == DV__PARSE_MORE;) {
        size_t n = DV_MIN(step, len - at);
        char *moved = malloc(at + n);
        assert_non_null(moved);
        if (at > 0)
            memcpy(moved, *buf, at);
        memcpy(moved + at, text + at, n);
        free(*buf);
        *buf = moved;
        at += n;
        got = dv__head_parse(h, *buf, at);
    }
    return got;
}

static int status_of(const char *text, size_t len, size_t step)
{
    dv__head h;
    char *buf;
    dv__parsed got = parse(&h, &buf, text, len, step);
    int status = got == DV__PARSE_DONE ? 200 : got == DV__PARSE_MORE ? 0 : h.status;
    if (got == DV__PARSE_REFUSED)
        assert_non_null(h.why);
    free(buf);
    return status;
}

typedef struct one {
    int status; /* 200: taken */
    const char *text;
    size_t len; /* 0: strlen */
} one;

static const one heads[] = {
    {200, "GET / HTTP/1.1\r\n" H "\r\n", 0},
    {200, "\r\nGET / HTTP/1.1\r\n" H "\r\n", 0},
    {200, "GET / HTTP/1.0\r\n\r\n", 0},
    {200, "GET http://A/x HTTP/1.1\r\n" H "\r\n", 0},
    {200, "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\n", 0},
    {200, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: Chunked \r\n\r\n", 0},
    {200, "GET / HTTP/1.1\r\n" H "X: \x80\xff tab\there\r\n\r\n", 0},
    {200, "GET / HTTP/1.1\r\n" H "Empty:\r\n\r\n", 0},
    {200, "GET / HTTP/1.1\r\nHost: [::1]:8081\r\n\r\n", 0},
    {0, "GET / HTTP/1.1\r\n" H "\r", 0},
    {0, "GET / HT", 0},
    /* framing of the body */
    {400, "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 0},
    {400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 0},
    {400, "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 0},
    {400, "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 0},
    {400, "POST / HTTP/1.1\r\n" H "Content-Length: +5\r\n\r\n", 0},
    {400, "POST / HTTP/1.1\r\n" H "Content-Length: 5,5\r\n\r\n", 0},
    {400, "POST / HTTP/1.1\r\n" H "Content-Length: 5 5\r\n\r\n", 0},
    {400, "POST / HTTP/1.1\r\n" H "Content-Length: 0x5\r\n\r\n", 0},
    {400, "POST / HTTP/1.1\r\n" H "Content-Length: -5\r\n\r\n", 0},
    {400, "POST / HTTP/1.1\r\n" H "Content-Length: 5.0\r\n\r\n", 0},
    {400, "POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", 0},
    {400, "POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551621\r\n\r\n", 0},
    {400, "POST / HTTP/1.1\r\n" H "Content-Length: 9223372036854775808\r\n\r\n", 0},
    {501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\n\r\n", 0},
    {501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", 0},
    {501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n\r\n", 0},
    {501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n", 0},
    {501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked;q=1\r\n\r\n", 0},
    {501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n\r\n", 0},
    {501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n", 0},
    {400,
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \x0b"
     "chunked\r\n\r\n",
     0},
    {400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 0},
    {400, "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n", 0},
    {400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n", 0},
    {400, "POST / HTTP/1.1\r\n" H "Content-Length : 5\r\n\r\n", 0},
    {417, "POST / HTTP/1.1\r\n" H "Expect: 200-maybe\r\n\r\n", 0},
    /* Host and others that come once */
    {400, "GET / HTTP/1.1\r\n\r\n", 0},
    {400, "GET / HTTP/1.1\r\n" H H "\r\n", 0},
    {400, "GET / HTTP/1.1\r\nHost:\r\n\r\n", 0},
    {400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 0},
    {400, "GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", 0},
    {400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 0},
    {400, "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 0},
    {400, "GET / HTTP/1.1\r\n" H "Authorization: x\r\nauthorization: y\r\n\r\n", 0},
    {400, "GET / HTTP/1.1\r\n" H "Origin: x\r\nOrigin: x\r\n\r\n", 0},
    /* bytes */
    {400, "GET / HTTP/1.1\r\n" H "X: a\0b\r\n\r\n", 34},
    {400, "GET / HTTP/1.1\r\n" H "X: a\x01\r\n\r\n", 0},
    {400, "GET / HTTP/1.1\r\n" H "X: a\x7f\r\n\r\n", 0},
    {400, "GET / HTTP/1.1\r\n" H "X\0: a\r\n\r\n", 34},
    {400, "GET / HTTP/1.1\r\n" H "X: a\r\n folded\r\n\r\n", 0},
    {400, "GET / HTTP/1.1\r\n" H "X: a\r\n\tfolded\r\n\r\n", 0},
    {400, "GET / HTTP/1.1\r\n X: a\r\n" H "\r\n", 0},
    {400, "GET / HTTP/1.1\n" H "\r\n", 0},
    {400, "GET / HTTP/1.1\r\nHost: a\n\r\n", 0},
    {400, "GET / HTTP/1.1\r\n" H "\n", 0},
    {400, "GET / HTTP/1.1\r\n" H "X: a\rY: b\r\n\r\n", 0},
    {400, "GET / HTTP/1.1\r\n" H "X: a\r\r\n\r\n", 0},
    {400, "GET / HTTP/1.1\r\n" H "X Y: a\r\n\r\n", 0},
    {400, "GET / HTTP/1.1\r\n" H ": a\r\n\r\n", 0},
    {400, "GET / HTTP/1.1\r\n" H "no colon\r\n\r\n", 0},
    {400, "GET / HTTP/1.1\r\n" H "X(: a\r\n\r\n", 0},
    {400, "GET / HTTP/1.1\r\n" H "X\xe9: a\r\n\r\n", 0},
    /* the request line */
    {400, "GET  / HTTP/1.1\r\n" H "\r\n", 0},
    {400, "GET /  HTTP/1.1\r\n" H "\r\n", 0},
    {400, "GET / HTTP/1.1 \r\n" H "\r\n", 0},
    {400, " GET / HTTP/1.1\r\n" H "\r\n", 0},
    {400, "GET\t/\tHTTP/1.1\r\n" H "\r\n", 0},
    {400, "GET / x HTTP/1.1\r\n" H "\r\n", 0},
    {400, "GET /\x01 HTTP/1.1\r\n" H "\r\n", 0},
    {400, "GET /\xc3\xa9 HTTP/1.1\r\n" H "\r\n", 0},
    {400, "GET /a#b HTTP/1.1\r\n" H "\r\n", 0},
    {400, "G(T / HTTP/1.1\r\n" H "\r\n", 0},
    {400, "GET /\r\n\r\n", 0},
    {400, "GET\r\n\r\n", 0},
    {400, "GET / http/1.1\r\n" H "\r\n", 0},
    {400, "GET / HTTP/1\r\n" H "\r\n", 0},
    {400, "GET / HTTP/1.10\r\n" H "\r\n", 0},
    {400, "GET / HTTP/x.1\r\n" H "\r\n", 0},
    {505, "GET / HTTP/1.2\r\n" H "\r\n", 0},
    {505, "GET / HTTP/2.0\r\n" H "\r\n", 0},
    {505, "GET / HTTP/0.9\r\n" H "\r\n", 0},
    {505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0},
    {400, "\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", 0},
    {400, "\n", 0},
    {400, "\x16\x03\x01\x02", 0},
};

static void test_heads(void **state)
{
    for (size_t i = 0; i < DV_ARRAY_LEN(heads); i++) {
        size_t len = heads[i].len != 0 ? heads[i].len : strlen(heads[i].text);
        for (size_t step = 1; step <= len; step = step < 4 ? step + 1 : step * 2) {
            int got = status_of(heads[i].text, len, step);
            if (got != heads[i].status)
                print_message("head %zu in steps of %zu: %s\n", i, step, heads[i].text);
            assert_int_equal(got, heads[i].status);
        }
        assert_int_equal(status_of(heads[i].text, len, len), heads[i].status);
    }
}

/* One byte more than a limit is refused, the limit itself is not. */
static void expect_limit(const char *text, size_t len, int status)
{
    assert_int_equal(status_of(text, len, len), status);
    assert_int_equal(status_of(text, len, 1), status);
}

static void test_limits(void **state)
{
    char text[8192];
    for (size_t over = 0; over < 2; over++) {
        size_t n = (size_t)sprintf(text, "GET /%0*d HTTP/1.1\r\n" H "\r\n", (int)(limits.max_uri - 1 + over), 0);
        expect_limit(text, n, over ? 414 : 200);
        n = (size_t)sprintf(text, "GET / HTTP/1.1\r\n" H);
        for (size_t i = 0; i < limits.max_fields - 1 + over; i++)
            n += (size_t)sprintf(text + n, "X: y\r\n");
        n += (size_t)sprintf(text + n, "\r\n");
        expect_limit(text, n, over ? 431 : 200);
        n = (size_t)sprintf(text, "GET / HTTP/1.1\r\n" H "X: ");
        n += (size_t)sprintf(text + n, "%0*d\r\n\r\n", (int)(limits.max_head - n - 4 + over), 0);
        expect_limit(text, n, over ? 431 : 200);
    }
    /* Without an end in sight. */
    memset(text, 'A', sizeof text);
    expect_limit(text, sizeof text, 414);
    memcpy(text, "GET / HTTP/1.1\r\nX: ", 19);
    expect_limit(text, sizeof text, 431);
}

static void test_values(void **state)
{
    static const char text[] = "POST /a?b HTTP/1.1\r\nHost: h:1\r\nContent-Length: 017\r\nexpect: 100-Continue\r\n"
                               "Connection: x, Close\r\nX-Y:\t two words \t\r\n\r\nGET";
    for (size_t step = 1; step < sizeof text; step++) {
        dv__head h;
        char *buf;
        assert_int_equal(parse(&h, &buf, text, sizeof text - 1, step), DV__PARSE_DONE);
        assert_memory_equal(text + h.scan, "GET", 3);
        assert_int_equal(h.verb, DV_HTTP_POST);
        assert_string_equal(buf + h.method, "POST");
        assert_string_equal(buf + h.target, "/a?b");
        assert_string_equal(buf + h.host, "h:1");
        assert_int_equal(h.minor, 1);
        assert_true(h.has_length && h.length == 17 && h.close && h.expect_continue && !h.chunked);
        assert_int_equal(h.n_fields, 5);
        assert_string_equal(buf + h.fields[4].name, "X-Y");
        assert_string_equal(buf + h.fields[4].value, "two words");
        free(buf);
    }
    dv__head h;
    char *buf;
    assert_int_equal(parse(&h, &buf, "FROB / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", 41, 41), DV__PARSE_DONE);
    assert_int_equal(h.verb, DV_HTTP_OTHER);
    assert_true(h.close && !h.expect_continue && h.host == 0);
    free(buf);
}

static int target(dv__target *t, const char *text, char out[512])
{
    const char *why = NULL;
    int code = dv__target_parse(t, text, DV_HTTP_GET, "host:1", out, &why);
    assert_true((code == 0) == (why == NULL));
    return code;
}

static void test_targets_taken(void **state)
{
    static const struct {
        const char *target, *path;
    } good[] = {{"/", "/"},           {"/v1/models", "/v1/models"}, {"/a%20b%2Fc", "/a b/c"}, {"/%C3%A9", "/\xc3\xa9"},
                {"/%2525", "/%25"},   {"//x//", "//x//"},           {"/a+b", "/a+b"},         {"/...", "/..."},
                {"/.a/b.", "/.a/b."}, {"http://HOST:1/x", "/x"},    {"https://host:1", "/"},  {"http://host:1?q", "/"}};
    char out[512];
    dv__target t;
    for (size_t i = 0; i < DV_ARRAY_LEN(good); i++) {
        assert_int_equal(target(&t, good[i].target, out), 0);
        assert_string_equal(t.path, good[i].path);
    }
    const char *why = NULL;
    assert_int_equal(dv__target_parse(&t, "*", DV_HTTP_OPTIONS, NULL, out, &why), 0);
    assert_string_equal(t.path, "*");
}

static void test_targets_refused(void **state)
{
    static const char *const bad[] = {"/%",
                                      "/%4",
                                      "/%g0",
                                      "/%0g",
                                      "/a%00",
                                      "/a?b=%00",
                                      "/a?b=%",
                                      "/a?%zz",
                                      "/.",
                                      "/..",
                                      "/a/../b",
                                      "/a/./b",
                                      "/a/..",
                                      "/%2e%2e/b",
                                      "/a%2f..%2fb",
                                      "/a%0d%0aX",
                                      "/%7f",
                                      "/%ff",
                                      "/%c0%ae",
                                      "*",
                                      "x",
                                      "a/b",
                                      "http://other/",
                                      "http://host/",
                                      "ftp://host:1/",
                                      "http:///x",
                                      "http://user@host:1/",
                                      "http://host:1/../x",
                                      "//../x"};
    char out[512];
    dv__target t;
    for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++)
        if (target(&t, bad[i], out) != DV_EFORMAT)
            fail_msg("%s was taken", bad[i]);
}

static void test_query(void **state)
{
    char out[512];
    dv__target t;
    assert_int_equal(target(&t, "/p?a=1&b&c=&=d&&e=x%26y+z%2B&a=2&f=g=h", out), 0);
    static const char *const want[] = {"a", "1", "b", "",       "c", "",  "",  "d",
                                       "",  "",  "e", "x&y z+", "a", "2", "f", "g=h"};
    const char *p = t.params;
    assert_int_equal(t.n_params, DV_ARRAY_LEN(want) / 2);
    for (size_t i = 0; i < DV_ARRAY_LEN(want); i++, p += strlen(p) + 1)
        assert_string_equal(p, want[i]);
}

/* The most that decoding can need: a parameter of no bytes is two strings. */
static void test_query_room(void **state)
{
    for (size_t n = 0; n < 40; n++) {
        char text[48] = "/?";
        memset(text + 2, '&', n);
        char *out = malloc(2 * strlen(text) + 4);
        const char *why = NULL;
        dv__target t;
        assert_non_null(out);
        assert_int_equal(dv__target_parse(&t, text, DV_HTTP_GET, NULL, out, &why), 0);
        assert_int_equal(t.n_params, n);
        free(out);
    }
}

/* Decode in pieces of `step`; the body in out; *used: bytes of the input that belong to it. */
static dv__parsed unchunk(const char *text, size_t len, size_t step, dv_buf *out, size_t *used)
{
    dv__chunked c = {0};
    dv__parsed got = DV__PARSE_MORE;
    *used = 0;
    while (*used < len && got == DV__PARSE_MORE) {
        const char *data;
        size_t n, data_len;
        got = dv__chunked_feed(&c, text + *used, DV_MIN(step, len - *used), &n, &data, &data_len);
        if (data_len > 0)
            dv_buf_add(out, data, data_len);
        *used += n;
    }
    assert_true((got == DV__PARSE_REFUSED) == (c.why != NULL));
    return got;
}

static void test_chunked_taken(void **state)
{
    static const char *const good[] = {"5\r\nhello\r\n0\r\n\r\n", "2\r\nhe\r\n003\r\nllo\r\n0000\r\n\r\n",
                                       "5;a=b;c=\"d\"\r\nhello\r\n0;x\r\n\r\n",
                                       "5\r\nhello\r\n0\r\nA: b\r\nC:\r\n\r\n"};
    for (size_t i = 0; i < DV_ARRAY_LEN(good); i++) {
        char text[128];
        size_t len = (size_t)sprintf(text, "%sGET", good[i]);
        for (size_t step = 1; step <= len; step++) {
            dv_buf out;
            size_t used;
            dv_buf_init(&out, 0);
            assert_int_equal(unchunk(text, len, step, &out, &used), DV__PARSE_DONE);
            assert_int_equal(used, len - 3);
            assert_string_equal(dv_buf_str(&out), "hello");
            dv_buf_fini(&out);
        }
    }
}

static void test_chunked_refused(void **state)
{
    static const char *const bad[] = {"000000005\r\nhello\r\n",
                                      "FFFFFFFFF\r\n",
                                      "+5\r\nhello\r\n",
                                      "-5\r\nhello\r\n",
                                      "0x5\r\nhello\r\n",
                                      " 5\r\nhello\r\n",
                                      "5 \r\nhello\r\n",
                                      "g\r\n",
                                      "\r\nhello\r\n",
                                      ";a\r\n",
                                      "5\nhello\r\n",
                                      "5\rhello\r\n",
                                      "5\r\nhelloX\r\n",
                                      "5\r\nhello\n0\r\n\r\n",
                                      "5\r\nhello0\r\n\r\n",
                                      "5\r\nhello\r0\r\n\r\n",
                                      "5;a\nhello\r\n",
                                      "5;\x01\r\n",
                                      "0\r\nX\r\n\r\n",
                                      "0\r\n folded: x\r\n\r\n",
                                      "0\r\nA : b\r\n\r\n",
                                      "0\r\nA: b\n\r\n",
                                      "0\r\n\n",
                                      "0\r\n\rX",
                                      "0\r\nA: \x02\r\n\r\n",
                                      "5,5\r\n"};
    for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
        for (size_t step = 1; step <= strlen(bad[i]); step++) {
            dv_buf out;
            size_t used;
            dv_buf_init(&out, 0);
            if (unchunk(bad[i], strlen(bad[i]), step, &out, &used) != DV__PARSE_REFUSED)
                fail_msg("chunks %zu were taken: %s", i, bad[i]);
            dv_buf_fini(&out);
        }
    }
}

/* Endless extensions and trailers. */
static void test_chunked_extra(void **state)
{
    dv_buf out, text;
    size_t used;
    dv_buf_init(&out, 0);
    dv_buf_init(&text, 0);
    for (int i = 0; i < 2000; i++)
        dv_buf_adds(&text, "1;abc\r\nx\r\n");
    assert_int_equal(unchunk(text.data, text.len, 7, &out, &used), DV__PARSE_REFUSED);
    dv_buf_clear(&text);
    dv_buf_adds(&text, "0\r\n");
    for (int i = 0; i < 2000; i++)
        dv_buf_adds(&text, "A: b\r\n");
    assert_int_equal(unchunk(text.data, text.len, text.len, &out, &used), DV__PARSE_REFUSED);
    dv_buf_fini(&text);
    dv_buf_fini(&out);
}

static void test_date(void **state)
{
    char text[DV__DATE_LEN + 1];
    dv__http_date(text, 784111777);
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_string_equal(dv_http_reason(404), "Not Found");
    assert_string_equal(dv_http_reason(299), "Unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_targets_taken),
        cmocka_unit_test(test_targets_refused),
        cmocka_unit_test(test_query),
        cmocka_unit_test(test_query_room),
        cmocka_unit_test(test_chunked_taken),
        cmocka_unit_test(test_chunked_refused),
        cmocka_unit_test(test_chunked_extra),
        cmocka_unit_test(test_date),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
