/* SPDX-License-Identifier: MIT */
/* Which addresses may be dialled for a target that must be public, whatever form they are written in. */
#include "client/head.h"
#include "client/public.h"
#include "client_util.h"

#include <arpa/inet.h>

static bool is_public(const char *text)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    struct sockaddr_in four = {.sin_family = AF_INET};
    if (inet_pton(AF_INET6, text, &six.sin6_addr) == 1)
        return dv__addr_is_public((struct sockaddr *)&six, sizeof six);
    assert_int_equal(inet_pton(AF_INET, text, &four.sin_addr), 1);
    return dv__addr_is_public((struct sockaddr *)&four, sizeof four);
}

static void test_addresses(void **state)
{
    static const char *const no[] = {"0.0.0.0",
                                     "0.1.2.3",
                                     "10.0.0.1",
                                     "10.255.255.255",
                                     "100.64.0.1",
                                     "100.127.255.255",
                                     "127.0.0.1",
                                     "127.255.0.1",
                                     "169.254.169.254",
                                     "172.16.0.1",
                                     "172.31.255.255",
                                     "192.0.0.8",
                                     "192.0.2.1",
                                     "192.88.99.1",
                                     "192.168.0.1",
                                     "198.18.0.1",
                                     "198.19.255.255",
                                     "198.51.100.1",
                                     "203.0.113.1",
                                     "224.0.0.1",
                                     "239.255.255.255",
                                     "240.0.0.1",
                                     "255.255.255.255",
                                     "::",
                                     "::1",
                                     "::127.0.0.1",
                                     "::8.8.8.8",
                                     "::ffff:127.0.0.1",
                                     "::ffff:10.0.0.1",
                                     "::ffff:0.0.0.0",
                                     "::ffff:169.254.1.1",
                                     "::ffff:0:127.0.0.1",
                                     "64:ff9b::7f00:1",
                                     "64:ff9b::a00:1",
                                     "64:ff9b:1::808:808",
                                     "100::1",
                                     "fc00::1",
                                     "fd12::1",
                                     "fe80::1",
                                     "fec0::1",
                                     "ff02::1",
                                     "2001::1",
                                     "2001:db8::1",
                                     "2002:7f00:1::",
                                     "2002:808:808::1",
                                     "3fff::1",
                                     "4000::1",
                                     "5f00::1"};
    static const char *const yes[] = {
        "1.1.1.1",         "8.8.8.8",         "9.255.255.255",     "11.0.0.1",       "100.63.255.255",  "100.128.0.1",
        "126.1.1.1",       "128.0.0.1",       "169.253.1.1",       "172.15.1.1",     "172.32.0.1",      "192.167.1.1",
        "223.255.255.255", "2606:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8", "64:ff9b::808:808"};
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        if (is_public(no[i]))
            fail_msg("%s is taken for public", no[i]);
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        if (!is_public(yes[i]))
            fail_msg("%s is refused", yes[i]);
    const struct sockaddr other = {.sa_family = AF_UNIX};
    const struct sockaddr_in cut = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x08080808)};
    assert_false(dv__addr_is_public(&other, sizeof other));
    assert_false(dv__addr_is_public((const struct sockaddr *)&cut, 4));
}

static void on_request(void *arg, dv_http_req *r) { dv_http_reply(r, 200, NULL, "x", 1); }

static got exchange(dv_client *c, struct event_base *base, const char *url, bool public_only)
{
    got g = {0};
    dv_fetch_request rq = get_request(&g, "/");
    const dv_fetch_target to = {.base = url, .public_only = public_only};
    rq.head_ms = 20000;
    if (dv_fetch_start(c, &to, &rq, &g.f, NULL) != 0)
        return (got){.end = DV_FETCH_REFUSED};
    while (g.n_ends == 0)
        event_base_loop(base, EVLOOP_ONCE);
    dv_buf_fini(&g.body);
    return g;
}

/* Every way to write this machine's own address: none gets through, not even when a connection is kept for others. */
static void test_forms(void **state)
{
    static const char *const hosts[] = {"127.0.0.1",
                                        "2130706433",
                                        "0x7f000001",
                                        "0x7f.0.0.1",
                                        "0177.0.0.1",
                                        "017700000001",
                                        "127.1",
                                        "127.0.1",
                                        "localhost",
                                        "LOCALHOST",
                                        "localhost.",
                                        "0.0.0.0",
                                        "0",
                                        "[::1]",
                                        "[::]",
                                        "[::ffff:127.0.0.1]",
                                        "[::ffff:7f00:1]",
                                        "[0:0:0:0:0:0:0:1]",
                                        "127.0.0.1.",
                                        "1.1.1.1@127.0.0.1",
                                        "%31%32%37.0.0.1",
                                        "169.254.169.254",
                                        "[fe80::1]",
                                        "10.0.0.1"};
    dv_http_options o;
    dv_http_server *http;
    dv_client *c;
    uint16_t port;
    char url[100];
    dv_http_options_init(&o);
    o.on_request = on_request;
    assert_int_equal(dv_http_open(&http, &o, NULL), 0);
    assert_int_equal(dv_client_open(&c, http, NULL), 0);
    assert_int_equal(dv_http_listen(http, &(dv_http_where){.host = "127.0.0.1"}, &port, NULL), 0);
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        snprintf(url, sizeof url, "http://%s:%u", hosts[i], port);
        if (strcmp(hosts[i], "127.0.0.1") == 0)
            assert_int_equal(exchange(c, dv_http_base(http), url, false).end, DV_FETCH_OK);
        got g = exchange(c, dv_http_base(http), url, true);
        /* A host that is no address for libcurl either cannot be looked up. */
        if (g.end != DV_FETCH_REFUSED && !(g.end == DV_FETCH_UNREACHABLE && strstr(g.why, "resolve") != NULL))
            fail_msg("%s: %d %s", url, g.end, g.why);
    }
    dv_client_close(&c);
    dv_http_close(&http);
}

/* 0, or the error of the line that was refused. */
static int lines(dv__reply_head *h, const char *const *line, size_t n)
{
    int code = 0;
    dv__reply_head_init(h);
    for (size_t i = 0; i < n && code == 0; i++)
        code = dv__reply_head_line(h, line[i], strlen(line[i]), NULL);
    return code;
}

static void test_head_lines(void **state)
{
    static const char *const bad[] = {
        "HTTP/1.1 20 OK\r\n", "HTTP/1.1 2000 OK\r\n", "HTTP/2 200\r\n",      "HTTP/1.1  200\r\n",
        "HTTP/1.1 099 X\r\n", "HTTP/1.1 600 X\r\n",   "HTTP/1.1 101 Up\r\n", "HTTP/1.1 -20 X\r\n",
        "X-A : b\r\n",        " folded\r\n",          "\tfolded\r\n",        "no colon\r\n",
        ": empty\r\n",        "X-A: a\x01z\r\n",      "X-A: a\rb\r\n",       "X\x80: a\r\n"};
    static const char *const good[] = {
        "HTTP/1.1 100 Continue\r\n", "X-Early: 1\r\n", "\r\n",          "HTTP/1.0 200\n", "A:b\n",
        "C: \t d e \t\r\n",          "E:\r\n",         "a: second\r\n", "\r\n",           "X-Trailer: 1\r\n"};
    dv__reply_head h;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *const two[] = {"HTTP/1.1 200 OK\r\n", bad[i]};
        if (lines(&h, two, 2) != DV_EFORMAT)
            fail_msg("%s was taken", bad[i]);
        dv__reply_head_fini(&h);
    }
    assert_int_equal(lines(&h, (const char *const[]){"A: b\r\n"}, 1), DV_EFORMAT); /* before the status line */
    dv__reply_head_fini(&h);
    assert_int_equal(lines(&h, good, sizeof good / sizeof good[0]), 0);
    assert_true(h.complete);
    assert_int_equal(h.status, 200);
    assert_int_equal(h.n_fields, 4);
    assert_string_equal(dv__reply_head_get(&h, "a"), "b");
    assert_string_equal(dv__reply_head_get(&h, "c"), "d e");
    assert_string_equal(dv__reply_head_get(&h, "e"), "");
    assert_null(dv__reply_head_get(&h, "X-Early"));
    assert_null(dv__reply_head_get(&h, "X-Trailer"));
    dv__reply_head_fini(&h);
}

static void test_head_limits(void **state)
{
    dv__reply_head h;
    char line[1024];
    int code = 0;
    unsigned n = 0;
    assert_int_equal(lines(&h, (const char *const[]){"HTTP/1.1 200 OK\r\n"}, 1), 0);
    for (; code == 0 && n < 1000; n++)
        code = dv__reply_head_line(&h, "A: b\r\n", 6, NULL);
    assert_int_equal(code, DV_ELIMIT);
    assert_int_equal(n, DV__REPLY_FIELDS + 1);
    dv__reply_head_fini(&h);
    memset(line, 'x', sizeof line);
    line[1] = ':';
    for (int trailers = 0; trailers < 2; trailers++) { /* also interim heads and trailers without end */
        assert_int_equal(lines(&h, (const char *const[]){"HTTP/1.1 200 OK\r\n", "\r\n"}, 1 + (size_t)trailers), 0);
        for (n = 0, code = 0; code == 0 && n < 1000; n++)
            code = dv__reply_head_line(&h, line, sizeof line, NULL);
        assert_int_equal(code, DV_ELIMIT);
        assert_int_equal(n, DV__REPLY_HEAD / 1024);
        dv__reply_head_fini(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_addresses), cmocka_unit_test(test_forms),
                                       cmocka_unit_test(test_head_lines), cmocka_unit_test(test_head_limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
