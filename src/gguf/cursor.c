/* SPDX-License-Identifier: MIT */
#include "gguf/cursor.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

int dv__cur_fail(dv__cur *c, int code, const char *fmt, ...)
{
    if (c->code != 0)
        return c->code;
    char text[sizeof c->err->msg];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    c->code = code;
    return dv_fail(c->err, code, "%s", text);
}

const uint8_t *dv__cur_bytes(dv__cur *c, uint64_t n, const char *what)
{
    if (c->code != 0)
        return NULL;
    if (n > dv__cur_left(c)) {
        dv__cur_fail(c, DV_EFORMAT, "%s at byte %zu needs %" PRIu64 " bytes, but the file ends at byte %zu", what,
                     c->pos, n, c->len);
        return NULL;
    }
    const uint8_t *p = c->p + c->pos;
    c->pos += (size_t)n;
    return p;
}

uint32_t dv__cur_u32(dv__cur *c, const char *what)
{
    const uint8_t *p = dv__cur_bytes(c, 4, what);
    return p != NULL ? dv__ld_u32(p) : 0;
}

uint64_t dv__cur_u64(dv__cur *c, const char *what)
{
    const uint8_t *p = dv__cur_bytes(c, 8, what);
    return p != NULL ? dv__ld_u64(p) : 0;
}

dv_str dv__cur_str(dv__cur *c, uint64_t max, const char *what)
{
    size_t at = c->pos;
    uint64_t n = dv__cur_u64(c, what);
    if (n > max)
        dv__cur_fail(c, DV_ELIMIT, "%s at byte %zu is %" PRIu64 " bytes long, the limit is %" PRIu64, what, at, n, max);
    const uint8_t *p = dv__cur_bytes(c, n, what);
    return p != NULL ? (dv_str){(const char *)p, (size_t)n} : (dv_str){NULL, 0};
}

dv_str dv__cur_name(dv__cur *c, uint64_t max, const char *what)
{
    size_t at = c->pos;
    dv_str s = dv__cur_str(c, max, what);
    if (c->code != 0)
        return s;
    if (s.n == 0)
        dv__cur_fail(c, DV_EFORMAT, "%s at byte %zu is empty", what, at);
    else if (memchr(s.p, 0, s.n) != NULL)
        dv__cur_fail(c, DV_EFORMAT, "%s at byte %zu contains a NUL byte", what, at);
    return c->code == 0 ? s : (dv_str){NULL, 0};
}
