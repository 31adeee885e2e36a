/* SPDX-License-Identifier: MIT */
#include "api/guard.h"

#include "base/attr.h"

#include <arpa/inet.h>
#include <sodium.h>
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

bool dv__guard_is_address(const char *s, size_t n)
{
    char text[64];
    struct in6_addr a;
    bool v6 = n > 2 && s[0] == '[' && s[n - 1] == ']';
    return terminated(text, s + v6, n - 2 * (size_t)v6) && inet_pton(v6 ? AF_INET6 : AF_INET, text, &a) == 1;
}

bool dv__guard_is_loopback(const char *s, size_t n)
{
    static const char below[] = ".localhost";
    size_t m = sizeof below - 1;
    if (same(s, n, "localhost") || (n > m && same(s + n - m, m, below)))
        return true;
    if (same(s, n, "[::1]"))
        return true;
    return n > 4 && memcmp(s, "127.", 4) == 0 && dv__guard_is_address(s, n);
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

/* Whether the host that is listened on is reached from this machine only. */
static bool listens_on_loopback(const char *host)
{
    return host == NULL || strcmp(host, "::1") == 0 || dv__guard_is_loopback(host, strlen(host));
}

bool dv__guard_host(const dv_api_options *o, const char *host)
{
    size_t n = host != NULL ? host_len(host) : 0;
    if (n == 0)
        return false;
    if (dv__guard_is_loopback(host, n) || (o->host != NULL && same(host, n, o->host)))
        return true;
    if (!listens_on_loopback(o->host) && dv__guard_is_address(host, n))
        return true;
    for (size_t i = 0; i < o->n_hosts; i++)
        if (same(host, n, o->hosts[i]))
            return true;
    return false;
}

bool dv__guard_origin(const dv_api_options *o, const char *origin, const char *host)
{
    static const char http[] = "http://";
    size_t m = sizeof http - 1;
    if (host != NULL && strncmp(origin, http, m) == 0 && strcasecmp(origin + m, host) == 0)
        return true;
    for (size_t i = 0; i < o->n_origins; i++)
        if (strcmp(o->origins[i], "*") == 0 || strcasecmp(o->origins[i], origin) == 0)
            return true;
    return false;
}

enum { KEY_HASH = 32 };

static void hash_key(unsigned char out[KEY_HASH], const char *key)
{
    crypto_generichash(out, KEY_HASH, (const unsigned char *)key, strlen(key), NULL, 0);
}

/* Hashes are compared, all of them: how much of a key is right, and which one, takes no time of its own. */
static bool known_key(const dv_api_options *o, const char *given)
{
    unsigned char ours[KEY_HASH], theirs[KEY_HASH];
    bool found = false;
    hash_key(theirs, given);
    for (size_t i = 0; i < o->n_keys; i++) {
        hash_key(ours, o->keys[i]);
        found |= sodium_memcmp(ours, theirs, KEY_HASH) == 0;
    }
    return found;
}

bool dv__guard_key(const dv_api_options *o, const char *authorization, const char *x_api_key)
{
    static const char bearer[] = "Bearer ";
    size_t n = sizeof bearer - 1;
    if (o->n_keys == 0)
        return true;
    if (authorization != NULL && strncasecmp(authorization, bearer, n) == 0)
        return known_key(o, authorization + n + strspn(authorization + n, " "));
    return x_api_key != NULL && known_key(o, x_api_key);
}
