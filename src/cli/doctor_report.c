/* SPDX-License-Identifier: MIT */
/* Findings, one after the other. */
#include "cli/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_MAX = 2048 };

const char *dv__finding_name(dv__finding level)
{
    static const char *const names[DV__FINDING_N] = {"ok", "warning", "problem"};
    return level < DV__FINDING_N ? names[level] : "?";
}

/* As a JSON string, escaped for people; NULL without memory. */
static json_t *text_of(const char *fmt, va_list ap)
{
    char text[TEXT_MAX];
    dv_buf b;
    vsnprintf(text, sizeof text, fmt, ap);
    dv_buf_init(&b, 0);
    json_t *s = dv_buf_escaped(&b, text, strlen(text)) == 0 ? json_string(dv_buf_str(&b)) : NULL;
    dv_buf_fini(&b);
    return s;
}

void dv__doctor_say(dv__doctor *d, dv__finding level, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    json_t *text = text_of(fmt, ap);
    va_end(ap);
    json_t *f = text != NULL
                    ? json_pack("{s:s, s:s, s:O}", "area", d->area, "level", dv__finding_name(level), "text", text)
                    : NULL;
    json_decref(text);
    d->no_memory |= f == NULL || json_array_append_new(d->findings, f) != 0;
    d->n[level]++;
}

void dv__doctor_advise(dv__doctor *d, const char *fmt, ...)
{
    size_t n = json_array_size(d->findings);
    va_list ap;
    va_start(ap, fmt);
    json_t *text = text_of(fmt, ap);
    va_end(ap);
    d->no_memory |= n == 0 || json_object_set_new(json_array_get(d->findings, n - 1), "advice", text) != 0;
}
