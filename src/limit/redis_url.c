/* SPDX-License-Identifier: MIT */
#include "limit/redis_url.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/word.h"

#include <sodium.h>
#include <string.h>

enum { PORT = 6379, URL_MAX = 1024 };

static int bad(dv_err *err)
{
    return dv_fail(err, DV_EINVAL,
                   "the address of Redis is not redis://[[USER]:PASSWORD@]HOST[:PORT][/DB] or unix:///PATH");
}

/* s[0..n) with %XX decoded. Errors: DV_EINVAL (bad or zero escapes), DV_ENOMEM. */
static int decode(char **out, const char *s, size_t n)
{
    char *p = *out = dv_strndup(DV_MEM_LIMIT, s, n);
    if (p == NULL)
        return DV_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        unsigned char b = (unsigned char)s[i];
        size_t got = 1;
        if (s[i] == '%' &&
            (i + 2 >= n || sodium_hex2bin(&b, 1, s + i + 1, 2, NULL, &got, NULL) != 0 || got != 1 || b == 0))
            return DV_EINVAL;
        i += s[i] == '%' ? 2 : 0;
        *p++ = (char)b;
    }
    *p = 0;
    return 0;
}

/* "[user]:password" or "user". */
static int credentials(dv__redis_url *u, const char *s, size_t n)
{
    const char *colon = memchr(s, ':', n);
    size_t user_len = colon != NULL ? (size_t)(colon - s) : n;
    int code = user_len > 0 ? decode(&u->user, s, user_len) : 0;
    if (code == 0 && colon != NULL)
        code = decode(&u->password, colon + 1, n - user_len - 1);
    return code == 0 && (u->password == NULL || u->password[0] == 0) ? DV_EINVAL : code;
}

/* "host[:port][/db]" */
static int place(dv__redis_url *u, const char *s)
{
    size_t n = strcspn(s, "/");
    uint64_t port = PORT, db = 0;
    const char *host = s, *colon = memrchr(s, ':', n), *bracket = memrchr(s, ']', n);
    if (s[n] == '/' && s[n + 1] != 0 && (!dv_word_u64(s + n + 1, &db) || db > 65535))
        return DV_EINVAL;
    if (colon != NULL && (bracket == NULL || colon > bracket)) {
        char digits[8] = "";
        size_t len = (size_t)(s + n - colon - 1);
        if (len >= sizeof digits || (memcpy(digits, colon + 1, len), !dv_word_u64(digits, &port)) || port == 0 ||
            port > 65535)
            return DV_EINVAL;
        n = (size_t)(colon - s);
    }
    if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
        host++;
        n -= 2;
    } else if (memchr(host, ':', n) != NULL) {
        return DV_EINVAL;
    }
    if (n == 0 || memchr(host, '[', n) != NULL || memchr(host, ']', n) != NULL)
        return DV_EINVAL;
    u->port = (uint16_t)port;
    u->db = (unsigned)db;
    u->host = dv_strndup(DV_MEM_LIMIT, host, n);
    return u->host != NULL ? 0 : DV_ENOMEM;
}

static int parse(dv__redis_url *u, const char *text)
{
    for (const char *p = text; *p != 0; p++)
        if (*p <= ' ' || *p > '~' || p - text > URL_MAX)
            return DV_EINVAL;
    if (strncmp(text, "unix:///", 8) == 0) {
        u->path = dv_strndup(DV_MEM_LIMIT, text + 7, strlen(text + 7));
        return text[8] == 0 ? DV_EINVAL : u->path != NULL ? 0 : DV_ENOMEM;
    }
    if (strncmp(text, "redis://", 8) != 0)
        return DV_EINVAL;
    const char *rest = text + 8, *at = strrchr(rest, '@');
    int code = at != NULL ? credentials(u, rest, (size_t)(at - rest)) : 0;
    return code == 0 ? place(u, at != NULL ? at + 1 : rest) : code;
}

int dv__redis_url_parse(dv__redis_url *u, const char *text, dv_err *err)
{
    *u = (dv__redis_url){0};
    if (strncmp(text, "rediss://", 9) == 0)
        return dv_fail(err, DV_EUNSUPPORTED, "Redis over TLS needs a tunnel: its library in Debian 12 has no TLS");
    int code = parse(u, text);
    if (code == 0)
        return 0;
    dv__redis_url_fini(u);
    return code == DV_EINVAL ? bad(err) : dv_fail(err, code, "the address of Redis: %s", dv_error_text(code));
}

static void drop(char **s)
{
    if (*s != NULL)
        explicit_bzero(*s, strlen(*s));
    dv_free(*s);
    *s = NULL;
}

void dv__redis_url_fini(dv__redis_url *u)
{
    drop(&u->host);
    drop(&u->path);
    drop(&u->user);
    drop(&u->password);
}
