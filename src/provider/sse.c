/* SPDX-License-Identifier: MIT */
#include "provider/sse.h"

#include <string.h>

void dv__sse_init(dv__sse *s)
{
    *s = (dv__sse){0};
    dv_buf_init(&s->line, DV__SSE_MAX);
    dv_buf_init(&s->data, DV__SSE_MAX);
}

void dv__sse_fini(dv__sse *s)
{
    dv_buf_fini(&s->line);
    dv_buf_fini(&s->data);
}

void dv__sse_reset(dv__sse *s)
{
    dv_buf_clear(&s->line);
    dv_buf_clear(&s->data);
    s->any = s->after_cr = s->started = false;
}

/* A line of the event; values of several data lines are joined with line feeds. */
static int add_field(dv__sse *s, const char *p, size_t n)
{
    const char *colon = memchr(p, ':', n);
    size_t name = colon != NULL ? (size_t)(colon - p) : n, skip = colon != NULL ? name + 1 : n;
    if (name != 4 || memcmp(p, "data", 4) != 0)
        return 0;
    if (skip < n && p[skip] == ' ')
        skip++;
    if (s->any)
        dv_buf_addc(&s->data, '\n');
    s->any = true;
    return dv_buf_add(&s->data, p + skip, n - skip);
}

static int end_event(dv__sse *s, int (*on_event)(void *arg, const char *data, size_t len), void *arg)
{
    if (!s->any)
        return 0;
    int rc = on_event(arg, dv_buf_str(&s->data), s->data.len);
    dv_buf_clear(&s->data);
    s->any = false;
    return rc;
}

static int end_line(dv__sse *s, int (*on_event)(void *arg, const char *data, size_t len), void *arg)
{
    const char *p = dv_buf_str(&s->line);
    size_t n = s->line.len;
    if (!s->started && n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) {
        p += 3;
        n -= 3;
    }
    s->started = true;
    int rc = n > 0 ? add_field(s, p, n) : end_event(s, on_event, arg);
    dv_buf_clear(&s->line);
    return rc;
}

/* Bytes before the next line end. */
static size_t to_line_end(const char *p, size_t n)
{
    size_t k = 0;
    while (k < n && p[k] != '\n' && p[k] != '\r')
        k++;
    return k;
}

int dv__sse_feed(dv__sse *s, const char *p, size_t n, int (*on_event)(void *arg, const char *data, size_t len),
                 void *arg)
{
    int rc = 0;
    while (n > 0 && rc == 0) {
        if (s->after_cr && *p == '\n') {
            p++;
            n--;
        }
        s->after_cr = false;
        size_t k = to_line_end(p, n);
        rc = dv_buf_add(&s->line, p, k);
        if (k == n || rc != 0)
            break;
        s->after_cr = p[k] == '\r';
        p += k + 1;
        n -= k + 1;
        rc = end_line(s, on_event, arg);
    }
    return rc;
}
