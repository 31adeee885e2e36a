/* SPDX-License-Identifier: MIT */
/* Addresses of connections, and counting by them. */
#include "base/attr.h"
#include "base/rng.h"
#include "http/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

static dv__peer peer_of(const char *text, uint32_t zone)
{
    dv__peer p = {0};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(80)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(80), .sin6_scope_id = zone};
    const struct sockaddr_un file = {.sun_family = AF_UNIX};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        dv__peer_set(&p, (const struct sockaddr *)&v4, sizeof v4);
    else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
        dv__peer_set(&p, (const struct sockaddr *)&v6, sizeof v6);
    else
        dv__peer_set(&p, (const struct sockaddr *)&file, sizeof file);
    return p;
}

static void test_address(void **state)
{
    static const uint8_t mapped[16] = {[10] = 0xff, 0xff, 192, 0, 2, 7};
    dv__peer p = peer_of("192.0.2.7", 0);
    assert_true(p.has_addr);
    assert_memory_equal(p.addr, mapped, 16);
    assert_string_equal(p.text, "192.0.2.7:80");
    p = peer_of("2001:db8::7", 0);
    assert_true(p.has_addr && p.addr[0] == 0x20 && p.addr[15] == 7);
    assert_string_equal(p.text, "[2001:db8::7]:80");
    dv__peer zoned = peer_of("fe80::1", 1), bare = peer_of("fe80::1", 0);
    assert_memory_equal(zoned.addr, bare.addr, 16);
    p = peer_of("", 0);
    assert_false(p.has_addr);
    assert_string_equal(p.text, "unix");
}

static unsigned count(const dv__peers *all, const char *text)
{
    dv__peer p = peer_of(text, 0);
    unsigned n = 0;
    for (dv__peer_link *l = NULL; (l = dv__peers_next(all, &p, l)) != NULL; n++)
        assert_true(l->linked);
    return n;
}

static void test_count(void **state)
{
    static const char *const rows[] = {"192.0.2.7",
                                       "192.0.2.7",
                                       "192.0.2.8",
                                       "::ffff:192.0.2.7",
                                       "2001:db8::1",
                                       "2001:db8::2",
                                       "2001:db8:0:1::1",
                                       "2001:db8::ffff:0:1",
                                       "::1",
                                       ""};
    dv__peers all = {0};
    dv__peer_link links[DV_ARRAY_LEN(rows)] = {0};
    dv__peers_init(&all);
    for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
        dv__peer p = peer_of(rows[i], 0);
        dv__peers_add(&all, &links[i], &p);
    }
    assert_int_equal(count(&all, "192.0.2.7"), 3); /* written either way */
    assert_int_equal(count(&all, "192.0.2.8"), 1);
    assert_int_equal(count(&all, "192.0.2.9"), 0);
    assert_int_equal(count(&all, "2001:db8::9"), 3); /* one /64 */
    assert_int_equal(count(&all, "2001:db8:0:1::9"), 1);
    assert_int_equal(count(&all, "::1"), 1);
    assert_int_equal(count(&all, ""), 0); /* unix sockets are not counted */
    for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
        dv__peers_remove(&all, &links[i]);
        dv__peers_remove(&all, &links[i]);
        assert_int_equal(count(&all, "192.0.2.7"), i == 0 ? 2 : i < 3 ? 1 : 0);
    }
}

/* Thousands that come and go, in every place of their lists. */
static void test_churn(void **state)
{
    enum { N = 3000, HOSTS = 200 };
    static dv__peer_link links[N];
    static unsigned host[N], want[HOSTS];
    dv__peers all = {0};
    dv_rng rng;
    char text[32];
    dv_rng_seed(&rng, 1);
    dv__peers_init(&all);
    for (unsigned i = 0; i < 20000; i++) {
        unsigned k = (unsigned)dv_rng_below(&rng, N);
        if (links[k].linked) {
            dv__peers_remove(&all, &links[k]);
            want[host[k]]--;
            continue;
        }
        host[k] = (unsigned)dv_rng_below(&rng, HOSTS);
        want[host[k]]++;
        snprintf(text, sizeof text, "10.0.0.%u", host[k]);
        dv__peer p = peer_of(text, 0);
        dv__peers_add(&all, &links[k], &p);
    }
    for (unsigned i = 0; i < HOSTS; i++) {
        snprintf(text, sizeof text, "10.0.0.%u", i);
        assert_int_equal(count(&all, text), want[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_address), cmocka_unit_test(test_count),
                                       cmocka_unit_test(test_churn)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
