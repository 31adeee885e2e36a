/* SPDX-License-Identifier: MIT */
/* Parameters of a query against their table: all of them are strings there, so each is read as its field's types allow. */
#include "base/attr.h"
#include "base/err.h"
#include "base/word.h"
#include "serve/field.h"

#include <stdio.h>
#include <string.h>

static int DV_PRINTF(4, 5) fail(dv__check *out, dv_err *err, const char *name, const char *fmt, ...)
{
    char text[256];
    dv_buf b;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    dv_buf_init(&b, 0);
    dv__field_put_name(&b, name);
    dv__field_say(out, dv_buf_str(&b), b.len);
    int rc = b.code;
    dv_buf_fini(&b);
    if (rc != 0)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    return dv_fail(err, DV_EINVAL, "%s: %s", out->param, text);
}

static int check_string(const dv__field *f, const char *name, const char *s, dv__check *out, dv_err *err)
{
    char words[200];
    size_t n = strlen(s), max = f->max_len != 0 ? (size_t)f->max_len : DV__FIELD_MAX_NAME, byte;
    const char *what;
    if (f->words != NULL && dv_word_index(f->words, s) < 0) {
        dv__field_words(words, sizeof words, f->words);
        return fail(out, err, name, strchr(f->words, '|') != NULL ? "must be one of %s" : "must be %s", words);
    }
    if (n < f->min_len)
        return fail(out, err, name, "must have at least %llu bytes", f->min_len);
    int rc = dv__text_check(s, n, max, true, &byte, &what);
    if (rc == DV_ELIMIT)
        return fail(out, err, name, "is longer than %zu bytes", max);
    return rc == 0 ? 0 : fail(out, err, name, "has %s at byte %zu", what, byte);
}

static int check_param(const dv__field *f, const char *name, const char *s, dv__check *out, dv_err *err)
{
    char said[128];
    double d;
    if ((f->types & DV__T_BOOL) != 0 && dv_word_index("true|false|1|0", s) >= 0)
        return 0;
    bool number = (f->types & (DV__T_INT | DV__T_NUM)) != 0;
    if (number && dv_word_double(s, &d) && dv__field_number_ok(f, d))
        return 0;
    if ((f->types & DV__T_STR) != 0)
        return check_string(f, name, s, out, err);
    if (number)
        dv__field_range(said, sizeof said, f);
    else
        dv__field_types(said, sizeof said, f->types);
    return fail(out, err, name, "must be %s", said);
}

/* Parameters before i have the name of i. Requests have few of them: a target is short. */
static bool seen(const dv_http_req *req, size_t i, const char *name)
{
    const char *other, *value;
    for (size_t k = 0; k < i && dv_http_param(req, k, &other, &value); k++)
        if (strcmp(other, name) == 0)
            return true;
    return false;
}

int dv__schema_check_query(const dv__schema *s, const dv_http_req *req, dv__check *out, dv_err *err)
{
    const char *name, *value;
    *out = (dv__check){0};
    for (size_t i = 0; dv_http_param(req, i, &name, &value); i++) {
        const dv__field *f = dv__field_find(s, name);
        if (i >= DV__FIELD_MAX_PARAMS)
            return fail(out, err, name, "there are more than %d parameters", DV__FIELD_MAX_PARAMS);
        if (f == NULL)
            return fail(out, err, name, "unknown parameter");
        if (seen(req, i, name))
            return fail(out, err, name, "is given twice");
        int rc = check_param(f, name, value, out, err);
        if (rc != 0)
            return rc;
    }
    for (; s != NULL; s = s->base)
        for (size_t i = 0; i < s->n; i++)
            if ((s->fields[i].flags & DV__F_REQUIRED) != 0 && dv_http_query(req, s->fields[i].name) == NULL)
                return fail(out, err, s->fields[i].name, "is needed");
    return 0;
}
