/* SPDX-License-Identifier: MIT */
/* Values from JSON text. jansson checks syntax and UTF-8 and refuses what is not JSON; the tree is then copied into the arena. */
#include "tok/tmpl_value.h"

#include "base/err.h"
#include "base/json.h"

/* jansson refuses deeper input by itself at 2048; the wanted depth is checked on the way through the tree. */
static int convert(val *out, dv_arena *a, json_t *j, unsigned depth, dv_err *err);

static int convert_list(val *out, dv_arena *a, json_t *j, unsigned depth, dv_err *err)
{
    size_t n = json_array_size(j);
    dv__list *l = dv__list_new(a, n);
    if (l == NULL)
        return dv_fail(err, DV_ENOMEM, "no memory for a JSON array of %zu items", n);
    l->outside = true;
    for (size_t i = 0; i < n; i++) {
        val v;
        int r = convert(&v, a, json_array_get(j, i), depth - 1, err);
        if (r != 0)
            return r;
        l->at[l->n++] = v;
    }
    *out = (val){.kind = V_LIST, .u.l = l};
    return 0;
}

static int convert_dict(val *out, dv_arena *a, json_t *j, unsigned depth, dv_err *err)
{
    size_t n = json_object_size(j);
    dv__dict *d = dv__dict_new(a, n);
    if (d == NULL)
        return dv_fail(err, DV_ENOMEM, "no memory for a JSON object of %zu keys", n);
    d->outside = true;
    for (void *it = json_object_iter(j); it != NULL && d->n < d->cap; it = json_object_iter_next(j, it)) {
        const char *key = json_object_iter_key(it);
        size_t len = strlen(key);
        char *copy = dv_arena_strndup(a, key, len);
        if (copy == NULL)
            return dv_fail(err, DV_ENOMEM, "no memory for a JSON key");
        val v;
        int r = convert(&v, a, json_object_iter_value(it), depth - 1, err);
        if (r != 0)
            return r;
        d->at[d->n] = (dv__entry){dv__strn(copy, len), v};
        d->at[d->n++].key.trusted = false;
    }
    *out = (val){.kind = V_DICT, .u.d = d};
    return 0;
}

static int convert(val *out, dv_arena *a, json_t *j, unsigned depth, dv_err *err)
{
    if (depth == 0)
        return dv_fail(err, DV_ELIMIT, "JSON is nested too deeply");
    switch (json_typeof(j)) {
    case JSON_NULL: *out = dv__none(); break;
    case JSON_TRUE: *out = dv__bool(true); break;
    case JSON_FALSE: *out = dv__bool(false); break;
    case JSON_INTEGER: *out = dv__int(json_integer_value(j)); break;
    case JSON_REAL: *out = dv__float(json_real_value(j)); break;
    case JSON_STRING: {
        size_t n = json_string_length(j);
        char *copy = dv_arena_strndup(a, json_string_value(j), n);
        if (copy == NULL)
            return dv_fail(err, DV_ENOMEM, "no memory for a JSON string of %zu bytes", n);
        *out = dv__strn(copy, n);
        break;
    }
    case JSON_ARRAY: return convert_list(out, a, j, depth, err);
    case JSON_OBJECT: return convert_dict(out, a, j, depth, err);
    }
    out->trusted = false;
    return 0;
}

int dv_value_from_tree(dv_value **out, dv_arena *a, json_t *tree, unsigned max_depth, dv_err *err)
{
    dv_value *v = dv_arena_alloc(a, sizeof *v);
    int r = v == NULL ? dv_fail(err, DV_ENOMEM, "no memory for a JSON value")
                      : convert(v, a, tree, max_depth != 0 ? max_depth : DV_VALUE_MAX_DEPTH, err);
    *out = r == 0 ? v : NULL;
    return r;
}

int dv_value_from_json(dv_value **out, dv_arena *a, const char *json, size_t len, size_t max_len, unsigned max_depth,
                       dv_err *err)
{
    *out = NULL;
    max_len = max_len != 0 ? max_len : DV_VALUE_MAX_JSON;
    if (len > max_len)
        return dv_fail(err, DV_ELIMIT, "JSON of %zu bytes is over the limit of %zu", len, max_len);
    json_error_t e;
    bool no_memory;
    json_t *j = dv_json_load(json, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &e, &no_memory);
    if (no_memory)
        return dv_fail(err, DV_ENOMEM, "no memory for JSON");
    if (j == NULL)
        return dv_fail(err, DV_EFORMAT, "JSON %d:%d: %s", e.line, e.column, e.text);
    int r = dv_value_from_tree(out, a, j, max_depth, err);
    json_decref(j);
    return r;
}
