/* SPDX-License-Identifier: MIT */
/* Bodies against their tables. One walk over the values, each with the place it is at, so that whatever is wrong can be named. */
#include "serve/schema.h"

#include "base/attr.h"
#include "base/err.h"
#include "base/word.h"
#include "serve/field.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Where a value is: linked up to the body. */
typedef struct place {
    const struct place *up; /* NULL: the body itself */
    const char *name;       /* NULL: element `index` of a list */
    size_t index;
    unsigned depth;
} place;

typedef struct check {
    const dv__text_rules *rules;
    dv__check *out;
    dv_err *err;
} check;

enum { MAX_DEPTH = 128, MAX_NEAR = 160 };

static place below(const place *up, const char *name) { return (place){up, name, 0, up->depth + 1}; }

/* ---- what is said ---- */

static void put_place(dv_buf *b, const place *at)
{
    if (at->up == NULL)
        return;
    put_place(b, at->up);
    if (at->name == NULL) {
        dv_buf_printf(b, "[%zu]", at->index);
        return;
    }
    dv_buf_adds(b, b->len > 0 ? "." : "");
    dv__field_put_name(b, at->name);
}

static int no_memory(check *c) { return dv_fail(c->err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM)); }

static int DV_PRINTF(4, 5) fail(check *c, const place *at, int code, const char *fmt, ...)
{
    char text[256];
    dv_buf path;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    dv_buf_init(&path, 0);
    put_place(&path, at);
    bool ok = path.code == 0;
    if (ok)
        dv__field_say(c->out, dv_buf_str(&path), path.len);
    dv_buf_fini(&path);
    if (!ok)
        return no_memory(c);
    return dv_fail(c->err, code, "%s: %s", at->up != NULL ? c->out->param : "the body", text);
}

static int wrong_type(check *c, const dv__field *f, const place *at)
{
    char types[128];
    dv__field_types(types, sizeof types, f->types);
    return fail(c, at, DV_EINVAL, "must be %s", types);
}

/* "contnt: unknown field, did you mean 'content'?" */
static int unknown(check *c, const dv__schema *s, const place *at)
{
    const char *names[MAX_NEAR];
    size_t n = 0;
    for (const dv__schema *t = s; t != NULL; t = t->base)
        for (size_t i = 0; i < t->n && n < MAX_NEAR; i++)
            names[n++] = t->fields[i].name;
    const char *near = strlen(at->name) < 64 ? dv_word_nearest(at->name, names, n) : NULL;
    if (near != NULL)
        return fail(c, at, DV_EINVAL, "unknown field, did you mean '%s'?", near);
    return fail(c, at, DV_EINVAL, "unknown field");
}

/* ---- values ---- */

static int check_value(check *c, const dv__field *f, const place *at, json_t *v);
static int check_object(check *c, const dv__schema *s, const place *at, json_t *obj);

static int check_number(check *c, const dv__field *f, const place *at, const json_t *v)
{
    char range[96];
    if ((f->types & (DV__T_INT | DV__T_NUM)) == 0)
        return wrong_type(c, f, at);
    json_int_t i = json_integer_value(v);
    bool exact = (f->types & DV__T_NUM) != 0 || (i >= -DV__FIELD_MAX_INT && i <= DV__FIELD_MAX_INT);
    if (exact && dv__field_number_ok(f, json_number_value(v)))
        return 0;
    dv__field_range(range, sizeof range, f);
    return fail(c, at, DV_EINVAL, "must be %s", range);
}

static int text_wrong(check *c, const place *at, size_t max, size_t byte, const char *what)
{
    if (what != NULL)
        return fail(c, at, DV_EINVAL, "has %s at byte %zu", what, byte);
    return fail(c, at, DV_ELIMIT, "is longer than %zu bytes", max);
}

static int repair(check *c, const place *at, json_t *v, size_t max)
{
    dv_buf b;
    dv_buf_init(&b, 0);
    int rc = dv__text_repair(&b, json_string_value(v), json_string_length(v));
    if (rc == 0 && b.len > max)
        rc = text_wrong(c, at, max, 0, NULL);
    else if (rc != 0 || json_string_setn(v, dv_buf_str(&b), b.len) != 0)
        rc = no_memory(c);
    c->out->repaired |= rc == 0;
    dv_buf_fini(&b);
    return rc;
}

/* A text: one for a model, or one of those that are only passed on. */
static int check_text(check *c, const place *at, json_t *v, size_t max, bool counted)
{
    size_t byte;
    const char *what;
    int rc = dv__text_check(json_string_value(v), json_string_length(v), max, false, &byte, &what);
    if (rc == DV_EFORMAT && c->rules->repair)
        rc = repair(c, at, v, max);
    else if (rc != 0)
        rc = text_wrong(c, at, max, byte, rc == DV_EFORMAT ? what : NULL);
    if (rc == 0 && counted) {
        c->out->has_text = true;
        c->out->text_bytes += json_string_length(v);
    }
    return rc;
}

static int check_name(check *c, const place *at, const char *s, size_t n, size_t max)
{
    size_t byte;
    const char *what;
    int rc = dv__text_check(s, n, max, true, &byte, &what);
    return rc == 0 ? 0 : text_wrong(c, at, max, byte, rc == DV_EFORMAT ? what : NULL);
}

static int check_word(check *c, const dv__field *f, const place *at, const char *s)
{
    char words[200];
    if (dv_word_index(f->words, s) >= 0)
        return 0;
    dv__field_words(words, sizeof words, f->words);
    return fail(c, at, DV_EINVAL, strchr(f->words, '|') != NULL ? "must be one of %s" : "must be %s", words);
}

static int check_string(check *c, const dv__field *f, const place *at, json_t *v)
{
    const char *s = json_string_value(v);
    size_t n = json_string_length(v), max;
    if ((f->types & DV__T_STR) == 0)
        return wrong_type(c, f, at);
    if (dv__field_alone(f) != f) /* one string in place of a list of them */
        return check_string(c, dv__field_alone(f), at, v);
    if (f->words != NULL)
        return check_word(c, f, at, s);
    bool own = (f->types & (DV__T_ARR | DV__T_OBJ)) == 0; /* else the lengths are a list's or an object's */
    if (own && n < f->min_len)
        return fail(c, at, DV_EINVAL, n == 0 ? "must not be empty" : "must have at least %llu bytes", f->min_len);
    max = own && f->max_len != 0 ? (size_t)f->max_len : (f->flags & DV__F_TEXT) ? SIZE_MAX : DV__FIELD_MAX_NAME;
    if (f->flags & DV__F_TEXT)
        return check_text(c, at, v, DV_MIN(max, c->rules->max_text), true);
    if (f->flags & DV__F_SECRET)
        return n <= max ? 0 : text_wrong(c, at, max, 0, NULL);
    return check_name(c, at, s, n, max);
}

/* ---- what has no table: schemas, metadata, arguments ---- */

static int check_free(check *c, const place *at, json_t *v, bool counted)
{
    const char *key;
    json_t *sub;
    size_t i, byte;
    int rc = 0;
    if (at->depth > MAX_DEPTH)
        return fail(c, at, DV_ELIMIT, "is nested too deeply");
    if (json_is_string(v))
        return check_text(c, at, v, c->rules->max_text, counted);
    if (json_is_real(v) && !isfinite(json_real_value(v)))
        return fail(c, at, DV_EINVAL, "must be a finite number");
    json_array_foreach(v, i, sub)
    {
        const place p = {at, NULL, i, at->depth + 1};
        if ((rc = check_free(c, &p, sub, counted)) != 0)
            return rc;
    }
    json_object_foreach(v, key, sub)
    {
        const place p = below(at, key);
        const char *what;
        size_t n = strlen(key);
        /* Names are not repaired: two could become the same. */
        rc = dv__text_check(key, n, DV__FIELD_MAX_NAME, false, &byte, &what);
        if (rc != 0)
            return fail(c, &p, DV_EINVAL, "the field's name has %s at byte %zu", what, byte);
        if ((rc = check_free(c, &p, sub, counted)) != 0)
            return rc;
        c->out->text_bytes += counted ? n : 0;
    }
    return 0;
}

/* ---- lists and objects ---- */

static int check_size(check *c, const dv__field *f, const place *at, size_t n, const char *of)
{
    if (n < f->min_len)
        return n == 0 && f->min_len == 1 ? fail(c, at, DV_EINVAL, "must not be empty")
                                         : fail(c, at, DV_EINVAL, "must have at least %llu %s", f->min_len, of);
    if (f->max_len != 0 && n > f->max_len)
        return fail(c, at, DV_ELIMIT, "must have at most %llu %s", f->max_len, of);
    return 0;
}

static int check_array(check *c, const dv__field *f, const place *at, json_t *list)
{
    size_t i;
    json_t *v;
    if ((f->types & DV__T_ARR) == 0)
        return wrong_type(c, f, at);
    int rc = check_size(c, f, at, json_array_size(list), "elements");
    if (rc != 0 || f->item == NULL)
        return rc != 0 ? rc : check_free(c, at, list, (f->flags & DV__F_TEXT) != 0);
    json_array_foreach(list, i, v)
    {
        const place p = {at, NULL, i, at->depth + 1};
        if ((rc = check_value(c, f->item, &p, v)) != 0)
            return rc;
    }
    return 0;
}

static int check_members(check *c, const dv__field *f, const place *at, json_t *obj)
{
    if ((f->types & DV__T_OBJ) == 0)
        return wrong_type(c, f, at);
    int rc = check_size(c, f, at, json_object_size(obj), "fields");
    if (rc != 0 || f->of == NULL)
        return rc != 0 ? rc : check_free(c, at, obj, (f->flags & DV__F_TEXT) != 0);
    return check_object(c, f->of, at, obj);
}

static int check_value(check *c, const dv__field *f, const place *at, json_t *v)
{
    if (at->depth > MAX_DEPTH)
        return fail(c, at, DV_ELIMIT, "is nested too deeply");
    switch (json_typeof(v)) {
    case JSON_NULL: return (f->flags & DV__F_NULL) != 0 ? 0 : wrong_type(c, f, at);
    case JSON_TRUE:
    case JSON_FALSE: return (f->types & DV__T_BOOL) != 0 ? 0 : wrong_type(c, f, at);
    case JSON_INTEGER:
    case JSON_REAL: return check_number(c, f, at, v);
    case JSON_STRING: return check_string(c, f, at, v);
    case JSON_ARRAY: return check_array(c, f, at, v);
    case JSON_OBJECT: return check_members(c, f, at, v);
    }
    return dv_fail(c->err, DV_EINTERNAL, "a value of no type");
}

static int check_required(check *c, const dv__schema *s, const place *at, const json_t *obj)
{
    for (const dv__schema *t = s; t != NULL; t = t->base) {
        for (size_t i = 0; i < t->n; i++) {
            const dv__field *f = &t->fields[i];
            const json_t *v = (f->flags & DV__F_REQUIRED) != 0 ? json_object_get(obj, f->name) : NULL;
            const place p = below(at, f->name);
            bool absent = v == NULL || (json_is_null(v) && (f->flags & DV__F_NULL) == 0);
            if ((f->flags & DV__F_REQUIRED) != 0 && absent && dv__field_find(s, f->name) == f)
                return fail(c, &p, DV_EINVAL, "is needed");
        }
    }
    return 0;
}

static int check_object(check *c, const dv__schema *s, const place *at, json_t *obj)
{
    const char *key;
    json_t *v;
    json_object_foreach(obj, key, v)
    {
        const place p = below(at, key);
        const dv__field *f = dv__field_find(s, key);
        size_t byte;
        const char *what;
        if (f == NULL)
            return unknown(c, s, &p);
        if (f->name[0] == '*' && dv__text_check(key, strlen(key), DV__FIELD_MAX_NAME, false, &byte, &what) != 0)
            return fail(c, &p, DV_EINVAL, "the field's name has %s at byte %zu", what, byte);
        int rc = json_is_null(v) ? 0 : check_value(c, f, &p, v);
        if (rc != 0)
            return rc;
    }
    return check_required(c, s, at, obj);
}

int dv__schema_check(const dv__schema *s, json_t *body, const dv__text_rules *rules, dv__check *out, dv_err *err)
{
    check c = {.rules = rules, .out = out, .err = err};
    const place root = {0};
    *out = (dv__check){0};
    if (!json_is_object(body))
        return dv_fail(err, DV_EINVAL, "the body must be a JSON object");
    return check_object(&c, s, &root, body);
}
