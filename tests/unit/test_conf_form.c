/* SPDX-License-Identifier: MIT */
/* The forms of texts: hosts, URLs, networks, names. */
#include "base/attr.h"
#include "conf/form.h"
#include "conf/net.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

typedef const char *(*form)(const char *text);

static void check(form f, const char *const *good, const char *const *bad)
{
    for (; *good != NULL; good++)
        if (f(*good) != NULL)
            fail_msg("'%s' %s", *good, f(*good));
    for (; *bad != NULL; bad++)
        if (f(*bad) == NULL)
            fail_msg("'%s' is taken", *bad);
}

#define GOOD(...) ((const char *const[]){__VA_ARGS__, NULL})
#define BAD(...) ((const char *const[]){__VA_ARGS__, NULL})

static void forms(void **state)
{
    check(dv__form_host, GOOD("a", "a.b-c.example", "127.0.0.1", "::1", "fe80::1", "x_y", "1.example"),
          BAD("", "a b", "a:1", "-a", ".a", "a..b", "127.1", "2130706433", "1.2.3.4.5", "256.1.1.1", "[::1]", "a/b",
              "\xc3\xa9"));
    check(dv__form_origin, GOOD("*", "http://a", "https://a.example:8443", "HTTPS://A", "http://[::1]:5173"),
          BAD("", "a", "https://", "https://a/", "https://a/b", "https://u@a", "https://a:0", "https://a:65536",
              "https://a:", "null", "ws://a", "https://[::1", "https://[a]", "https://::1", "https://127.1"));
    check(dv__form_allow, GOOD("https://a"), BAD("*"));
    check(dv__form_url,
          GOOD("http://localhost:8081", "https://a/v1", "http://a/", "https://[::1]/x/y", "http://127.0.0.1"),
          BAD("", "a", "http://", "http:///x", "http://a?x", "http://a/?x", "http://a/#x", "http://u:p@a",
              "http://a/ b", "http://a/\n", "http://a\\b", "file:///etc/passwd", "http://0x7f.1/", "http://2130706433/",
              "http://a/\xc3\xa9"));
    check(dv__form_redis,
          GOOD("redis://h", "redis://h:6379/0", "redis://:p@h", "redis://u:p%40@h/65535", "redis://[::1]:1",
               "unix:///run/r.sock"),
          BAD("", "redis:", "redis://", "redis://h/x", "redis://h/65536", "redis://h:x", "http://h", "unix://",
              "unix:///", "redis://a b", "redis://p@"));
    check(dv__form_net, GOOD("10.0.0.0/8", "10.1.2.3", "::1", "::/0", "0.0.0.0/0", "fd00::/8", "10.1.2.3/32"),
          BAD("", "a", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129", "fd00::1/8", "10.0.0/8",
              "10.0.0.0/8/8", "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa"));
    check(
        dv__form_name, GOOD("a", "Llama-3.2-3B", "llama3.2:3b", "org/model@v1", "a+b_c"),
        BAD("", "a b", "../a", "a/../b", "a//b", "/a", "a/", ".a", "a.", "-a", "\xc3\xa9",
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
    check(dv__form_env, GOOD("A", "_x1"), BAD("", "1A", "A-B", "A=B", "A B"));
    check(dv__form_flag, GOOD("--flash-attn", "-ngl", "99", "--hostile"),
          BAD("", "--host", "--port=1", "--model", "-m", "--api-key", "--api-key-file=x"));
}

static bool has(const char *net, const char *addr)
{
    dv_net n, a;
    assert_true(dv_net_parse(net, &n) && dv_net_parse(addr, &a));
    return dv_net_has(&n, a.addr);
}

static void networks(void **state)
{
    assert_true(has("10.0.0.0/8", "10.255.1.2") && !has("10.0.0.0/8", "11.0.0.0"));
    assert_true(has("10.1.2.3", "10.1.2.3") && !has("10.1.2.3", "10.1.2.2"));
    assert_true(has("10.0.0.0/8", "::ffff:10.1.1.1")); /* a mapped address is the address */
    assert_true(has("0.0.0.0/0", "1.2.3.4") && !has("0.0.0.0/0", "2001:db8::1"));
    assert_true(has("::/0", "1.2.3.4") && has("fd00::/8", "fdff::1") && !has("fd00::/8", "fe00::"));
    assert_true(has("192.168.128.0/17", "192.168.255.255") && !has("192.168.128.0/17", "192.168.127.255"));
}

static bool loopback(const char *host) { return dv__host_is_loopback(host, strlen(host)); }

static void loopbacks(void **state)
{
    static const char *const good[] = {"127.0.0.1", "127.255.1.2", "::1",        "localhost",
                                       "LocalHost", "a.localhost", "localhost.", "::ffff:127.0.0.1"};
    static const char *const bad[] = {
        "",    "0.0.0.0",         "::",         "128.0.0.1", "1.127.0.0", "notlocalhost", "localhost.example",
        "::2", "::ffff:10.0.0.1", "127.example"};
    for (size_t i = 0; i < DV_ARRAY_LEN(good); i++)
        assert_true(loopback(good[i]));
    for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++)
        assert_false(loopback(bad[i]));
}

static void urls(void **state)
{
    dv__url a, b;
    assert_true(dv__url_parse("https://[::1]:8443/v1", &a));
    assert_true(a.https && a.port == 8443 && a.host_len == 3 && memcmp(a.host, "::1", 3) == 0);
    assert_string_equal(a.path, "/v1");
    assert_true(dv__url_parse("http://Host", &a) && !a.https && a.port == 80 && a.path[0] == 0);
    assert_true(dv__url_parse("http://hOST:80/x", &b) && dv__url_same_origin(&a, &b));
    assert_true(dv__url_parse("https://host:80", &b) && !dv__url_same_origin(&a, &b));
    assert_true(dv__url_parse("http://host:81", &b) && !dv__url_same_origin(&a, &b));
    assert_true(dv__url_parse("http://hosts", &b) && !dv__url_same_origin(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms),
        cmocka_unit_test(networks),
        cmocka_unit_test(loopbacks),
        cmocka_unit_test(urls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
