/* SPDX-License-Identifier: MIT */
/* Request targets: RFC 9112 3.2, RFC 3986 2.1. Decoded once and here only, so that whoever decides about a path and whoever
 * acts on it see the same one. */
#include "base/utf8.h"
#include "http/parse.h"

#include <string.h>
#include <strings.h>

static int fail(const char **why, const char *text)
{
    *why = text;
    return DV_EFORMAT;
}

/* Decode s[0..n) to *out and terminate it; *out moves behind the NUL. */
static int decode(const char *s, size_t n, bool plus_is_blank, char **out, const char **why)
{
    char *o = *out;
    for (size_t i = 0; i < n; i++) {
        if (s[i] != '%') {
            *o++ = plus_is_blank && s[i] == '+' ? ' ' : s[i];
            continue;
        }
        int hi = i + 2 < n ? dv__hex(s[i + 1]) : -1, lo = i + 2 < n ? dv__hex(s[i + 2]) : -1;
        if (hi < 0 || lo < 0)
            return fail(why, "malformed percent-encoding in the target");
        if (hi == 0 && lo == 0)
            return fail(why, "a NUL in the target");
        *o++ = (char)(hi << 4 | lo);
        i += 2;
    }
    *o++ = 0;
    *out = o;
    return 0;
}

/* Whether a decoded path can mean a place other than the one it spells. */
static int check_path(const char *path, const char **why)
{
    size_t n = strlen(path);
    if (!dv_utf8_valid(path, n))
        return fail(why, "the path is not UTF-8");
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)path[i] < 0x20 || path[i] == 0x7f)
            return fail(why, "a control character in the path");
    for (const char *p = path; p != NULL; p = strchr(p, '/')) {
        p += *p == '/';
        size_t len = strcspn(p, "/");
        if ((len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.'))
            return fail(why, "a dot segment in the path");
    }
    return 0;
}

static int query(dv__target *t, const char *s, char **out, const char **why)
{
    t->params = *out;
    while (*s != 0) {
        size_t len = strcspn(s, "&"), name = strcspn(s, "=&");
        int r = decode(s, name, true, out, why);
        if (r == 0)
            r = name < len ? decode(s + name + 1, len - name - 1, true, out, why) : decode("", 0, true, out, why);
        if (r != 0)
            return r;
        t->n_params++;
        s += len + (s[len] == '&');
    }
    return 0;
}

/* absolute-form: an HTTP server must take it. What it names must be what Host names, or two readers could disagree. */
static int skip_authority(const char **s, const char *host, const char **why)
{
    size_t scheme = strncasecmp(*s, "http://", 7) == 0 ? 7 : strncasecmp(*s, "https://", 8) == 0 ? 8 : 0;
    if (scheme == 0)
        return fail(why, "the target is no path");
    const char *authority = *s + scheme;
    size_t n = strcspn(authority, "/?");
    if (host == NULL || strlen(host) != n || strncasecmp(authority, host, n) != 0)
        return fail(why, "the target names another host than Host");
    *s = authority + n;
    return 0;
}

int dv__target_parse(dv__target *t, const char *target, dv_http_verb verb, const char *host, char *out,
                     const char **why)
{
    *t = (dv__target){0};
    const char *s = target;
    t->path = out;
    if (strcmp(s, "*") == 0 && verb == DV_HTTP_OPTIONS) {
        memcpy(out, "*", 2);
        t->params = out + 1;
        return 0;
    }
    int r = *s != '/' ? skip_authority(&s, host, why) : 0;
    if (r != 0)
        return r;
    size_t n = strcspn(s, "?");
    r = n > 0 ? decode(s, n, false, &out, why) : decode("/", 1, false, &out, why);
    if (r == 0)
        r = check_path(t->path, why);
    if (r == 0)
        r = query(t, s + n + (s[n] == '?'), &out, why);
    return r;
}
