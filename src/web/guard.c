/* SPDX-License-Identifier: MIT */
#include "web/guard.h"

#include "base/attr.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

static bool same(const char *s, size_t n, const char *name)
{
    return strlen(name) == n && strncasecmp(s, name, n) == 0;
}

/* Copy of s[0..n) for inet_pton, false if it is too long. */
static bool terminated(char out[64], const char *s, size_t n)
{
    if (n >= 64)
        return false;
    memcpy(out, s, n);
    out[n] = 0;
    return true;
}

bool dv_guard_is_address(const char *s, size_t n)
{
    char text[64];
    struct in6_addr a;
    bool v6 = n > 2 && s[0] == '[' && s[n - 1] == ']';
    return terminated(text, s + v6, n - 2 * (size_t)v6) && inet_pton(v6 ? AF_INET6 : AF_INET, text, &a) == 1;
}

bool dv_guard_is_loopback(const char *s, size_t n)
{
    static const char below[] = ".localhost";
    size_t m = sizeof below - 1;
    if (same(s, n, "localhost") || (n > m && same(s + n - m, m, below)))
        return true;
    if (same(s, n, "[::1]"))
        return true;
    return n > 4 && memcmp(s, "127.", 4) == 0 && dv_guard_is_address(s, n);
}

/* Length of the host of "host:port"; 0 if the port is no number. RFC 9110 7.2. */
static size_t host_len(const char *s)
{
    size_t n = s[0] == '[' ? strcspn(s, "]") : strcspn(s, ":");
    n += s[0] == '[' && s[n] == ']';
    if (s[n] == 0)
        return n;
    return s[n] == ':' && s[n + 1 + strspn(s + n + 1, "0123456789")] == 0 ? n : 0;
}

/* Whether every address that is listened on is reached from this machine only. */
static bool listens_on_loopback(const dv_guard *g)
{
    for (size_t i = 0; i < g->n_listens; i++)
        if (strcmp(g->listens[i], "::1") != 0 && !dv_guard_is_loopback(g->listens[i], strlen(g->listens[i])))
            return false;
    return true;
}

static bool listed(const char *const *v, size_t n_v, const char *s, size_t n)
{
    for (size_t i = 0; i < n_v; i++)
        if (same(s, n, v[i]))
            return true;
    return false;
}

bool dv_guard_host(const dv_guard *g, const char *host)
{
    size_t n = host != NULL ? host_len(host) : 0;
    if (n == 0)
        return false;
    if (dv_guard_is_loopback(host, n) || listed(g->listens, g->n_listens, host, n) ||
        listed(g->hosts, g->n_hosts, host, n))
        return true;
    return !listens_on_loopback(g) && dv_guard_is_address(host, n);
}

bool dv_guard_origin_named(const dv_guard *g, const char *origin, const char *host, bool tls)
{
    const char *scheme = tls ? "https://" : "http://";
    size_t m = strlen(scheme);
    if (host != NULL && strncmp(origin, scheme, m) == 0 && strcasecmp(origin + m, host) == 0)
        return true;
    return strcmp(origin, "*") != 0 && listed(g->origins, g->n_origins, origin, strlen(origin));
}

bool dv_guard_origin(const dv_guard *g, const char *origin, const char *host, bool tls)
{
    return dv_guard_origin_named(g, origin, host, tls) || listed(g->origins, g->n_origins, "*", 1);
}
