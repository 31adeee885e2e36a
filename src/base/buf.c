/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include "base/mem.h"
#include "base/num.h"
#include "base/utf8.h"
#include "drover/error.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void dv_buf_init(dv_buf *b, size_t limit) { *b = (dv_buf){.limit = limit}; }

void dv_buf_fini(dv_buf *b)
{
    dv_free(b->data);
    dv_buf_init(b, b->limit);
}

void dv_buf_clear(dv_buf *b)
{
    b->len = 0;
    b->code = 0;
    if (b->data != NULL)
        b->data[0] = 0;
}

int dv_buf_reserve(dv_buf *b, size_t n)
{
    size_t need, with_nul;
    if (b->code != 0)
        return b->code;
    if (!dv_add_size(b->len, n, &need) || !dv_add_size(need, 1, &with_nul))
        return b->code = DV_ENOMEM;
    if (b->limit != 0 && need > b->limit)
        return b->code = DV_ELIMIT;
    if (with_nul <= b->cap)
        return 0;
    size_t cap = DV_MAX(b->cap + b->cap / 2, (size_t)64);
    cap = DV_MAX(cap, with_nul);
    char *p = dv_realloc(DV_MEM_BASE, b->data, cap);
    if (p == NULL)
        return b->code = DV_ENOMEM;
    b->data = p;
    b->cap = cap;
    b->data[b->len] = 0;
    return 0;
}

int dv_buf_add(dv_buf *b, const void *p, size_t n)
{
    if (dv_buf_reserve(b, n) != 0)
        return b->code;
    if (n > 0)
        memcpy(b->data + b->len, p, n);
    b->len += n;
    b->data[b->len] = 0;
    return 0;
}

int dv_buf_addc(dv_buf *b, char c) { return dv_buf_add(b, &c, 1); }

int dv_buf_adds(dv_buf *b, const char *s) { return dv_buf_add(b, s, strlen(s)); }

int dv_buf_printf(dv_buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n >= 0 && dv_buf_reserve(b, (size_t)n) == 0) {
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    } else if (n < 0 && b->code == 0) {
        b->code = DV_EINVAL;
    }
    va_end(again);
    return b->code;
}

void dv_buf_shift(dv_buf *b, size_t n)
{
    n = DV_MIN(n, b->len);
    if (n == 0)
        return;
    memmove(b->data, b->data + n, b->len - n + 1);
    b->len -= n;
}

const char *dv_buf_str(dv_buf *b) { return b->data != NULL ? b->data : ""; }

int dv_buf_escaped(dv_buf *b, const char *s, size_t n)
{
    for (size_t i = 0; i < n && b->code == 0;) {
        int k = dv_utf8_printable(s + i, n - i);
        if (k > 0)
            dv_buf_add(b, s + i, (size_t)k);
        else
            dv_buf_printf(b, "\\x%02x", (unsigned)(unsigned char)s[i]);
        i += k > 0 ? (size_t)k : 1;
    }
    return b->code;
}

static int json_str(dv_buf *b, const char *s, size_t n, bool printable)
{
    dv_buf_addc(b, '"');
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        int k = dv_utf8_decode(s + i, n - i, &cp);
        if (k < 0) {
            dv_buf_adds(b, "\xef\xbf\xbd");
            i++;
            continue;
        }
        switch (cp) {
        case '"': dv_buf_adds(b, "\\\""); break;
        case '\\': dv_buf_adds(b, "\\\\"); break;
        case '\n': dv_buf_adds(b, "\\n"); break;
        case '\r': dv_buf_adds(b, "\\r"); break;
        case '\t': dv_buf_adds(b, "\\t"); break;
        case '\b': dv_buf_adds(b, "\\b"); break;
        case '\f': dv_buf_adds(b, "\\f"); break;
        default:
            /* Everything that is not printable is below U+10000: one escape, never a pair. */
            if (cp < 0x20 || cp == 0x7f || (printable && dv_utf8_printable(s + i, (size_t)k) == 0))
                dv_buf_printf(b, "\\u%04x", (unsigned)cp);
            else
                dv_buf_add(b, s + i, (size_t)k);
        }
        i += (size_t)k;
    }
    return dv_buf_addc(b, '"');
}

int dv_buf_json_str(dv_buf *b, const char *s, size_t n) { return json_str(b, s, n, false); }

int dv_buf_json_log(dv_buf *b, const char *s, size_t n) { return json_str(b, s, n, true); }

int dv_buf_json_num(dv_buf *b, double v)
{
    if (!isfinite(v))
        return dv_buf_adds(b, "null");
    if (v == floor(v) && fabs(v) < 1e15)
        return dv_buf_printf(b, "%.0f", v == 0 ? 0.0 : v);
    char text[40];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    return dv_buf_adds(b, text);
}
