/* SPDX-License-Identifier: MIT */
#include "base/err.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *dv_error_name(int code)
{
    switch (code) {
    case DV_OK: return "DV_OK";
#define DV_ERR_NAME(name, value, message, status) \
    case value: return "DV_" #name;
        DV_ERR_MAP(DV_ERR_NAME)
#undef DV_ERR_NAME
    default: return "DV_E?";
    }
}

const char *dv_error_text(int code)
{
    switch (code) {
    case DV_OK: return "success";
#define DV_ERR_TEXT(name, value, message, status) \
    case value: return message;
        DV_ERR_MAP(DV_ERR_TEXT)
#undef DV_ERR_TEXT
    default: return "unknown error";
    }
}

int dv_error_http_status(int code)
{
    switch (code) {
    case DV_OK: return 200;
#define DV_ERR_STATUS(name, value, message, status) \
    case value: return status;
        DV_ERR_MAP(DV_ERR_STATUS)
#undef DV_ERR_STATUS
    default: return 500;
    }
}

/* Copy src to dst with control characters and broken UTF-8 as \xNN, so that text quoted from a file can neither forge a
 * log line nor steer a terminal. Stops at a whole character when dst is full. */
static void escape_into(char *dst, size_t cap, const char *src, size_t n)
{
    size_t o = 0;
    for (size_t i = 0; i < n;) {
        int k = dv_utf8_printable(src + i, n - i);
        size_t need = k > 0 ? (size_t)k : 4;
        if (o + need + 1 > cap)
            break;
        if (k > 0) {
            memcpy(dst + o, src + i, (size_t)k);
            i += (size_t)k;
        } else {
            static const char hex[] = "0123456789abcdef";
            unsigned char c = (unsigned char)src[i++];
            dst[o] = '\\';
            dst[o + 1] = 'x';
            dst[o + 2] = hex[c >> 4];
            dst[o + 3] = hex[c & 15];
        }
        o += need;
    }
    dst[o] = 0;
}

/* Length of a text that vsnprintf may have cut in the middle of a character. */
static size_t whole_len(const char *s, size_t cap, int printed)
{
    size_t n = printed < 0 ? 0 : DV_MIN((size_t)printed, cap - 1);
    return (size_t)printed > n ? n - dv_utf8_incomplete(s, n) : n;
}

int dv_fail(dv_err *e, int code, const char *fmt, ...)
{
    if (e == NULL || e->code != 0)
        return code;
    char raw[sizeof e->msg];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(raw, sizeof raw, fmt, ap);
    va_end(ap);
    e->code = code;
    escape_into(e->msg, sizeof e->msg, raw, whole_len(raw, sizeof raw, n));
    return code;
}

int dv_err_prefix(dv_err *e, const char *fmt, ...)
{
    if (e == NULL)
        return 0;
    char raw[sizeof e->msg], head[sizeof e->msg], all[2 * sizeof e->msg + 2];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(raw, sizeof raw, fmt, ap);
    va_end(ap);
    escape_into(head, sizeof head, raw, whole_len(raw, sizeof raw, n));
    n = snprintf(all, sizeof all, "%s: %s", head, e->msg);
    size_t len = DV_MIN(whole_len(all, sizeof all, n), sizeof e->msg - 1);
    len -= dv_utf8_incomplete(all, len);
    memcpy(e->msg, all, len);
    e->msg[len] = 0;
    return e->code;
}
