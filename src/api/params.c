/* SPDX-License-Identifier: MIT */
#include "api/params.h"

#include "base/err.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { STR_MAX = 1 << 20 };

int dv__param_fail(dv__call *c, dv_err *err, const char *name, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    snprintf(c->param, sizeof c->param, "%s", name);
    return dv_fail(err, DV_EINVAL, "%s: %s", name, text);
}

bool dv__json_whole(const json_t *v, double min, double max, int64_t *out)
{
    if (json_is_integer(v)) {
        json_int_t i = json_integer_value(v);
        *out = i;
        return (double)i >= min && (double)i <= max;
    }
    double d = json_is_real(v) ? json_real_value(v) : NAN;
    if (!(d == floor(d)) || !(d >= min && d <= max) || fabs(d) > 9007199254740992.0)
        return false;
    *out = (int64_t)d;
    return true;
}

/* The word of "a|b|c" that text is. */
static bool is_word(const char *words, const char *text)
{
    size_t len = strlen(text);
    for (;;) {
        size_t n = strcspn(words, "|");
        if (n == len && memcmp(words, text, n) == 0)
            return true;
        if (words[n] == 0)
            return false;
        words += n + 1;
    }
}

static int bad_number(dv__call *c, const dv__field *f, const char *path, dv_err *err)
{
    const char *kind = f->type == DV__FIELD_F32 ? "number" : "whole number";
    if (f->min == f->max)
        return dv__param_fail(c, err, path, "only %.17g is supported", f->min);
    return dv__param_fail(c, err, path, "must be a %s %s %.17g %s %.17g", kind, f->open_min ? "above" : "from", f->min,
                          f->open_min ? "and up to" : "to", f->max);
}

static int read_number(dv__call *c, const dv__field *f, const char *path, const json_t *v, void *to, dv_err *err)
{
    int64_t i = 0;
    double d = json_number_value(v);
    bool whole = f->type != DV__FIELD_F32;
    bool ok = whole ? dv__json_whole(v, f->min, f->max, &i) : json_is_number(v) && d >= f->min && d <= f->max;
    if (!ok || (f->open_min && d <= f->min))
        return bad_number(c, f, path, err);
    if (to == NULL)
        return 0;
    if (f->type == DV__FIELD_U32)
        *(uint32_t *)to = (uint32_t)i;
    else if (f->type == DV__FIELD_I64)
        *(int64_t *)to = i;
    else
        *(float *)to = (float)d;
    return 0;
}

static int read_string(dv__call *c, const dv__field *f, const char *path, const json_t *v, void *to, dv_err *err)
{
    size_t max = f->max > 0 ? (size_t)f->max : STR_MAX;
    if (!json_is_string(v))
        return dv__param_fail(c, err, path, "must be a string");
    if (json_string_length(v) > max)
        return dv__param_fail(c, err, path, "must not be longer than %zu bytes", max);
    if (f->words != NULL && !is_word(f->words, json_string_value(v)))
        return dv__param_fail(c, err, path, "must be one of %s", f->words);
    if (to != NULL)
        *(const char **)to = json_string_value(v);
    return 0;
}

static int read_json(dv__call *c, const dv__field *f, const char *path, const json_t *v, void *to, dv_err *err)
{
    if (f->type == DV__FIELD_OBJECT && !json_is_object(v))
        return dv__param_fail(c, err, path, "must be an object");
    if (f->type == DV__FIELD_LIST && !json_is_array(v))
        return dv__param_fail(c, err, path, "must be a list");
    if (to != NULL)
        *(const json_t **)to = v;
    return 0;
}

static int read_field(dv__call *c, const dv__field *f, const char *path, const json_t *v, void *target, dv_err *err)
{
    void *to = f->at != DV__FIELD_NOWHERE ? (char *)target + f->at : NULL;
    switch (f->type) {
    case DV__FIELD_BOOL:
        if (!json_is_boolean(v))
            return dv__param_fail(c, err, path, "must be true or false");
        if (f->words != NULL && !is_word(f->words, json_is_true(v) ? "true" : "false"))
            return dv__param_fail(c, err, path, "only %s is supported", f->words);
        if (to != NULL)
            *(bool *)to = json_is_true(v);
        return 0;
    case DV__FIELD_U32:
    case DV__FIELD_I64:
    case DV__FIELD_F32: return read_number(c, f, path, v, to, err);
    case DV__FIELD_STR: return read_string(c, f, path, v, to, err);
    case DV__FIELD_JSON:
    case DV__FIELD_OBJECT:
    case DV__FIELD_LIST: return read_json(c, f, path, v, to, err);
    case DV__FIELD_REFUSED: return dv__param_fail(c, err, path, "%s", f->words);
    case DV__FIELD_TYPE_N: break;
    }
    return dv_fail(err, DV_EINTERNAL, "field %s", f->name);
}

static const dv__field *find_field(const char *name, const dv__fields *const *tables, size_t n)
{
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < tables[t]->n; i++)
            if (strcmp(tables[t]->row[i].name, name) == 0)
                return &tables[t]->row[i];
    return NULL;
}

int dv__fields_read(dv__call *c, const json_t *obj, const char *path, const dv__fields *const *tables, size_t n,
                    void *target, dv_err *err)
{
    const char *key;
    json_t *v;
    char full[96];
    json_object_foreach((json_t *)obj, key, v)
    {
        snprintf(full, sizeof full, "%s%s%.64s", path != NULL ? path : "", path != NULL ? "." : "", key);
        const dv__field *f = find_field(key, tables, n);
        if (f == NULL)
            return dv__param_fail(c, err, full, "this field is not known here");
        int rc = json_is_null(v) ? 0 : read_field(c, f, full, v, target, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}
