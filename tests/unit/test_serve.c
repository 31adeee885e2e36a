/* SPDX-License-Identifier: MIT */
/* The parts of the service that need no connection: routes, addresses as identities, counts of tokens, merged metrics. */
#include "serve/exchange.h"
#include "serve/metrics.h"
#include "serve/usage.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- routes ---- */

static const dv__row *find(dv_http_verb verb, const char *path, char allow[96], dv__params *p)
{
    return dv__rows_find(verb, path, DV_CONF_API_OPENAI, allow, p);
}

static void test_rows(void **state)
{
    char allow[96];
    dv__params p;
    assert_non_null(find(DV_HTTP_POST, "/v1/chat/completions", allow, &p));
    assert_ptr_equal(find(DV_HTTP_POST, "/chat/completions", allow, &p),
                     find(DV_HTTP_POST, "/v1/chat/completions", allow, &p));
    assert_null(find(DV_HTTP_GET, "/v1/chat/completions", allow, &p));
    assert_string_equal(allow, "POST");
    assert_null(find(DV_HTTP_GET, "/nothing", allow, &p));
    assert_string_equal(allow, "");
    assert_non_null(find(DV_HTTP_HEAD, "/health", allow, &p));
    assert_null(find(DV_HTTP_GET, "/health/", allow, &p));
    assert_null(find(DV_HTTP_GET, "/v1/models/", allow, &p));
    const dv__row *r = find(DV_HTTP_GET, "/v1/models/org/name", allow, &p);
    assert_non_null(r);
    assert_int_equal(p.n, 1);
    assert_int_equal(p.len[0], strlen("org/name"));
    assert_memory_equal(p.v[0], "org/name", p.len[0]);
    r = find(DV_HTTP_DELETE, "/api/keys/12", allow, &p);
    assert_non_null(r);
    assert_memory_equal(p.v[0], "12", p.len[0]);
    assert_null(find(DV_HTTP_DELETE, "/api/keys/1/2", allow, &p));
    /* A list of models has no route that is hidden by the one with a name in it. */
    assert_non_null(find(DV_HTTP_POST, "/api/models/load", allow, &p));
}

/* What every row must have: the matrix of who may call what, and the document, are made of it. */
static void test_rows_whole(void **state)
{
    const dv__row *r;
    size_t n = 0;
    for (; (r = dv__row_at(n)) != NULL; n++) {
        assert_non_null(r->handle);
        assert_non_null(r->summary);
        assert_non_null(r->reply);
        assert_true(r->path[0] == '/' && r->group < DV__GROUP_N && r->style < DV_STYLE_N);
        assert_true((r->flags & DV__ROW_BARE) == 0 || strncmp(r->path, "/v1/", 4) == 0);
        assert_true((r->flags & DV__ROW_ADMIN) == 0 || r->group == DV__GROUP_ADMIN);
        assert_true(r->group != DV__GROUP_ADMIN || (r->flags & DV__ROW_ADMIN) != 0);
        for (size_t i = 0; i < n; i++)
            assert_false(dv__row_at(i)->verb == r->verb && strcmp(dv__row_at(i)->path, r->path) == 0);
    }
    assert_true(n > 40);
}

/* ---- addresses ---- */

static void check_address(const char *text, const char *want)
{
    uint8_t a[16] = {[10] = 0xff, [11] = 0xff};
    char id[DV__IDENTITY], shown[64];
    assert_true(inet_pton(AF_INET, text, a + 12) == 1 || inet_pton(AF_INET6, text, a) == 1);
    dv__who_address(a, id, shown);
    assert_string_equal(id, want);
}

static void test_addresses(void **state)
{
    check_address("192.0.2.7", "ip:192.0.2.7");
    check_address("::ffff:192.0.2.7", "ip:192.0.2.7");
    check_address("2001:db8:1:2:3:4:5:6", "ip:2001:db8:1:2::/64");
    check_address("2001:db8:1:2:ffff::1", "ip:2001:db8:1:2::/64");
    check_address("::1", "ip:::/64");
}

/* ---- tokens ---- */

static void check_usage(const char *text, uint64_t in, uint64_t out)
{
    size_t n = strlen(text);
    for (size_t step = 1; step <= n; step++) { /* however it is cut */
        dv__usage u = {0};
        for (size_t i = 0; i < n; i += step)
            dv__usage_feed(&u, text + i, n - i < step ? n - i : step);
        assert_int_equal(u.tokens_in, in);
        assert_int_equal(u.tokens_out, out);
    }
}

static void test_usage(void **state)
{
    check_usage("{\"usage\":{\"prompt_tokens\":13,\"completion_tokens\":20,\"total_tokens\":33}}", 13, 20);
    check_usage(
        "data: {\"usage\": {\"input_tokens\": 5, \"output_tokens\": 0}}\n\ndata: {\"usage\":{\"output_tokens\":7}}\n\n",
        5, 7);
    check_usage("{\"tokens_evaluated\":4,\"tokens_predicted\":9}", 4, 9);
    /* What a model writes into a text is escaped. */
    check_usage("{\"content\":\"\\\"prompt_tokens\\\":99\",\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}", 1,
                2);
    check_usage("{\"prompt_tokens\":99999999999999999999}", 0, 0);
    check_usage("{\"prompt_tokens\":}", 0, 0);
    check_usage("{\"prompt_tokens\":\"5\"}", 0, 0);
    check_usage("\"prompt_tokens\":12", 0, 0); /* the number's end is not there */
    check_usage("", 0, 0);
}

/* ---- metrics ---- */

static void test_metrics(void **state)
{
    static const char one[] = "# HELP a_total Things\n# TYPE a_total counter\na_total 5\nb{x=\"1\"} 2\nc{} 3\n";
    dv_buf b, seen;
    dv_buf_init(&b, 0);
    dv_buf_init(&seen, 0);
    assert_int_equal(dv__metrics_merge(&b, &seen, one, sizeof one - 1, "m"), 0);
    assert_string_equal(
        b.data,
        "# HELP a_total Things\n# TYPE a_total counter\na_total{model=\"m\"} 5\nb{x=\"1\",model=\"m\"} 2\nc{model=\"m\"} 3\n");
    dv_buf_clear(&b);
    assert_int_equal(dv__metrics_merge(&b, &seen, one, sizeof one - 1, "q\"\\\n"), 0);
    assert_string_equal(
        b.data,
        "a_total{model=\"q\\\"\\\\\\n\"} 5\nb{x=\"1\",model=\"q\\\"\\\\\\n\"} 2\nc{model=\"q\\\"\\\\\\n\"} 3\n");
    dv_buf_clear(&b);
    static const char bad[] = "no value\n{x} 1\na{ 1\n\xff 1\n# EOF\n# HELP\n\n  \nx";
    assert_int_equal(dv__metrics_merge(&b, &seen, bad, sizeof bad - 1, "m"), 0);
    assert_string_equal(dv_buf_str(&b), "no{model=\"m\"} value\n");
    dv_buf_fini(&b);
    dv_buf_fini(&seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_rows_whole),
                                       cmocka_unit_test(test_addresses), cmocka_unit_test(test_usage),
                                       cmocka_unit_test(test_metrics)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
