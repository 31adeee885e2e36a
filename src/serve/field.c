/* SPDX-License-Identifier: MIT */
/* Looking into tables, and what is said of their fields. */
#include "serve/field.h"
#include "base/attr.h"
#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SAID_NAME = 48 }; /* bytes of a name that are shown */

const dv__field *dv__field_find(const dv__schema *s, const char *name)
{
    const dv__field *any = NULL;
    for (; s != NULL; s = s->base) {
        for (size_t i = 0; i < s->n; i++) {
            const dv__field *f = &s->fields[i];
            if (strcmp(f->name, name) == 0)
                return f;
            if (any == NULL && f->name[0] == '*')
                any = f;
        }
    }
    return any;
}

const dv__field *dv__field_alone(const dv__field *f)
{
    bool list = (f->types & DV__T_ARR) != 0 && f->item != NULL && f->words == NULL;
    return list && (f->item->types & DV__T_STR) != 0 ? f->item : f;
}

void dv__field_bounds(const dv__field *f, double *min, double *max)
{
    bool none = f->min == 0 && f->max == 0, whole = (f->types & DV__T_NUM) == 0;
    *min = !none ? f->min : whole ? -(double)DV__FIELD_MAX_INT : -INFINITY;
    *max = !none ? f->max : whole ? (double)DV__FIELD_MAX_INT : INFINITY;
}

bool dv__field_number_ok(const dv__field *f, double d)
{
    double min, max;
    dv__field_bounds(f, &min, &max);
    bool whole = (f->types & DV__T_NUM) != 0 || (floor(d) == d && fabs(d) <= (double)DV__FIELD_MAX_INT);
    return isfinite(d) && whole && d >= min && d <= max;
}

void dv__field_types(char *out, size_t n, unsigned types)
{
    const char *name[6];
    unsigned k = 0;
    size_t len = 0;
    if (types & DV__T_STR)
        name[k++] = "a string";
    if (types & (DV__T_INT | DV__T_NUM))
        name[k++] = types & DV__T_NUM ? "a number" : "a whole number";
    if (types & DV__T_BOOL)
        name[k++] = "true or false";
    if (types & DV__T_ARR)
        name[k++] = "a list";
    if (types & DV__T_OBJ)
        name[k++] = "an object";
    out[0] = 0;
    for (unsigned i = 0; i < k && len < n; i++)
        len += (size_t)snprintf(out + len, n - len, "%s%s", i == 0 ? "" : i + 1 == k ? " or " : ", ", name[i]);
}

/* Numbers as people write them: no exponent where none is needed. */
static int put_number(char *out, size_t n, double d)
{
    return snprintf(out, n, floor(d) == d && fabs(d) < 1e17 ? "%.0f" : "%.9g", d);
}

void dv__field_range(char *out, size_t n, const dv__field *f)
{
    char min[32], max[32];
    double lo, hi;
    const char *kind = f->types & DV__T_NUM ? "number" : "whole number";
    dv__field_bounds(f, &lo, &hi);
    put_number(min, sizeof min, lo);
    put_number(max, sizeof max, hi);
    if (!isfinite(lo) && !isfinite(hi))
        snprintf(out, n, "a finite %s", kind);
    else if (lo == hi)
        snprintf(out, n, "%s", min);
    else
        snprintf(out, n, "a %s from %s to %s", kind, min, max);
}

void dv__field_words(char *out, size_t n, const char *words)
{
    size_t len = 0;
    for (; *words != 0 && len + 3 < n; words++) {
        if (*words == '|')
            out[len++] = ',';
        out[len++] = *words == '|' ? ' ' : *words;
    }
    out[len] = 0;
}

void dv__field_put_name(dv_buf *b, const char *name)
{
    size_t n = strlen(name), shown = DV_MIN(n, (size_t)SAID_NAME);
    shown -= shown < n ? dv_utf8_incomplete(name, shown) : 0;
    dv_buf_escaped(b, name, shown);
    dv_buf_adds(b, shown < n ? "..." : n == 0 ? "\"\"" : "");
}

void dv__field_say(dv__check *out, const char *path, size_t n)
{
    size_t room = sizeof out->param - 1, from = 0;
    if (n > room) {
        from = n - (room - 3);
        while (from < n && ((unsigned char)path[from] & 0xc0) == 0x80) /* not within a character */
            from++;
    }
    snprintf(out->param, sizeof out->param, "%s%s", from > 0 ? "..." : "", path + from);
}
