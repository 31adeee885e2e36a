/* SPDX-License-Identifier: MIT */
#include "conf/form.h"

#include "base/word.h"
#include "conf/net.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { HOST_MAX = 253, NAME_MAX_LEN = 128, PROFILE_MAX_LEN = 32 };

static bool is_word(const char *s, size_t n, const char *others)
{
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && (s[i] == 0 || strchr(others, s[i]) == NULL))
            return false;
    return n > 0;
}

static bool is_ip(int family, const char *s, size_t n)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char addr[16];
    if (n >= sizeof text)
        return false;
    memcpy(text, s, n);
    text[n] = 0;
    return inet_pton(family, text, addr) == 1;
}

/* Is the last label of a name a number, decimal or hexadecimal? Then it is an IPv4 address or nothing: resolvers take 0x7f.1 and 2130706433
 * for 127.0.0.1. WHATWG URL, "ends in a number". */
static bool ends_in_number(const char *s, size_t n)
{
    if (n > 0 && s[n - 1] == '.')
        n--;
    const char *dot = memrchr(s, '.', n), *label = dot != NULL ? dot + 1 : s;
    size_t len = (size_t)(s + n - label);
    bool hex = len >= 2 && label[0] == '0' && (label[1] == 'x' || label[1] == 'X');
    for (size_t i = hex ? 2 : 0; i < len; i++)
        if (hex ? !isxdigit((unsigned char)label[i]) : !isdigit((unsigned char)label[i]))
            return false;
    return len > 0;
}

static bool is_host(const char *s, size_t n)
{
    if (is_ip(AF_INET6, s, n))
        return true;
    if (ends_in_number(s, n))
        return is_ip(AF_INET, s, n);
    return n <= HOST_MAX && is_word(s, n, "-._") && isalnum((unsigned char)s[0]) && memmem(s, n, "..", 2) == NULL;
}

const char *dv__form_host(const char *text)
{
    return is_host(text, strlen(text)) ? NULL : "is no host name or address";
}

/* HOST, HOST:PORT, [IPV6], [IPV6]:PORT in s[0..n). */
static bool parse_authority(const char *s, size_t n, dv__url *out)
{
    const char *end = s + n, *colon;
    if (n > 0 && s[0] == '[') {
        const char *close = memchr(s, ']', n);
        if (close == NULL || !is_ip(AF_INET6, s + 1, (size_t)(close - s - 1)))
            return false;
        out->host = s + 1;
        out->host_len = (size_t)(close - s - 1);
        colon = close + 1;
    } else {
        colon = memchr(s, ':', n);
        colon = colon != NULL ? colon : end;
        out->host = s;
        out->host_len = (size_t)(colon - s);
        if (!is_host(s, out->host_len) || memchr(s, ':', out->host_len) != NULL)
            return false;
    }
    if (colon == end)
        return true;
    char digits[6];
    uint64_t port;
    size_t len = (size_t)(end - colon - 1);
    if (*colon != ':' || len >= sizeof digits)
        return false;
    memcpy(digits, colon + 1, len);
    digits[len] = 0;
    if (!dv_word_u64(digits, &port) || port == 0 || port > 65535)
        return false;
    out->port = (unsigned)port;
    return true;
}

bool dv__url_parse(const char *text, dv__url *out)
{
    *out = (dv__url){.https = strncasecmp(text, "https://", 8) == 0};
    if (!out->https && strncasecmp(text, "http://", 7) != 0)
        return false;
    out->port = out->https ? 443 : 80;
    text += out->https ? 8 : 7;
    size_t n = strcspn(text, "/");
    out->path = text + n;
    for (const char *p = out->path; *p != 0; p++)
        if (*p <= ' ' || *p > '~' || strchr("?#\\\"<>^`{|}", *p) != NULL)
            return false;
    return parse_authority(text, n, out);
}

bool dv__url_same_origin(const dv__url *a, const dv__url *b)
{
    return a->https == b->https && a->port == b->port && a->host_len == b->host_len &&
           strncasecmp(a->host, b->host, a->host_len) == 0;
}

const char *dv__form_url(const char *text)
{
    dv__url url;
    return dv__url_parse(text, &url) ? NULL : "is no URL such as https://api.example/v1 (no user, query or fragment)";
}

const char *dv__form_allow(const char *text)
{
    dv__url url;
    return dv__url_parse(text, &url) && url.path[0] == 0 ? NULL : "is no origin such as https://app.example:8443";
}

const char *dv__form_origin(const char *text) { return strcmp(text, "*") == 0 ? NULL : dv__form_allow(text); }

const char *dv__form_net(const char *text)
{
    dv_net net;
    return dv_net_parse(text, &net) ? NULL
                                    : "is no address or network such as 10.0.0.0/8 (bits beyond the prefix are 0)";
}

const char *dv__form_redis(const char *text)
{
    static const char *const bad = "is no URL such as redis://:PASSWORD@HOST:6379/0";
    for (const char *p = text; *p != 0; p++)
        if (*p <= ' ' || *p > '~')
            return bad;
    if (strncmp(text, "unix:///", 8) == 0)
        return text[8] != 0 ? NULL : bad;
    if (strncmp(text, "redis://", 8) != 0)
        return bad;
    const char *at = strrchr(text, '@'), *host = at != NULL ? at + 1 : text + 8;
    size_t n = strcspn(host, "/");
    uint64_t db = 0;
    dv__url url = {0};
    if (!parse_authority(host, n, &url) || (host[n] != 0 && (!dv_word_u64(host + n + 1, &db) || db > 65535)))
        return bad;
    return NULL;
}

const char *dv__form_name(const char *text)
{
    size_t n = strlen(text);
    if (n > NAME_MAX_LEN || !is_word(text, n, "._:/@+-") || !isalnum((unsigned char)text[0]) ||
        !isalnum((unsigned char)text[n - 1]) || strstr(text, "..") != NULL || strstr(text, "//") != NULL)
        return "is no name of a model: up to 128 letters, digits and ._:/@+- between them";
    return NULL;
}

const char *dv__form_profile(const char *text)
{
    size_t n = strlen(text);
    bool ok = n <= PROFILE_MAX_LEN && is_word(text, n, "_-") && isalnum((unsigned char)text[0]);
    return ok ? NULL : "is no name of a profile: up to 32 letters, digits, _ and -";
}

const char *dv__form_env(const char *text)
{
    bool ok = is_word(text, strlen(text), "_") && !isdigit((unsigned char)text[0]);
    return ok ? NULL : "is no name of a variable";
}

const char *dv__form_flag(const char *text)
{
    static const char own[] = "--host|--port|--model|-m|--api-key|--api-key-file|--path|--ssl-key-file|--ssl-cert-file";
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(text, "="), text);
    if (text[0] == 0)
        return "is empty";
    return dv_word_index(own, name) < 0 ? NULL : "is for drover to set";
}

bool dv__host_is_loopback(const char *host, size_t len)
{
    char text[HOST_MAX + 2];
    unsigned char addr[16];
    static const unsigned char v6[16] = {[15] = 1}, mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (len == 0 || len >= sizeof text)
        return false;
    memcpy(text, host, len);
    text[len] = 0;
    if (inet_pton(AF_INET, text, addr) == 1)
        return addr[0] == 127;
    if (inet_pton(AF_INET6, text, addr) == 1)
        return memcmp(addr, v6, 16) == 0 || (memcmp(addr, mapped, 12) == 0 && addr[12] == 127);
    if (text[len - 1] == '.')
        text[--len] = 0;
    return len >= 9 && strcasecmp(text + len - 9, "localhost") == 0 && (len == 9 || text[len - 10] == '.');
}
