/* SPDX-License-Identifier: MIT */
#include "grammar/schema.h"

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

dv_gx dv__schema_refuse(dv__schema *s, const char *key, const char *what)
{
    dv_fail(&s->b->err, DV_EINVAL, "schema keyword '%s' at %s %s", key, dv_buf_str(&s->path), what);
    return -1;
}

size_t dv__schema_enter(dv__schema *s, const char *segment, size_t index)
{
    const size_t len = s->path.len;
    if (segment != NULL)
        dv_buf_printf(&s->path, "/%.80s", segment);
    else
        dv_buf_printf(&s->path, "/%zu", index);
    return len;
}

void dv__schema_leave(dv__schema *s, size_t len)
{
    s->path.len = len;
    if (s->path.data != NULL)
        s->path.data[len] = 0;
}

bool dv__schema_uint(dv__schema *s, const json_t *schema, const char *key, uint32_t *out)
{
    const json_t *v = json_object_get(schema, key);
    if (v == NULL)
        return true;
    const double x = json_is_number(v) ? json_number_value(v) : -1;
    if (x < 0 || x != floor(x))
        return dv__schema_refuse(s, key, "is not a non-negative integer") >= 0;
    *out = x >= DV__INF ? DV__INF : (uint32_t)x;
    return true;
}

static const char *const type_names[] = {"null", "boolean", "integer", NULL, "string", "array", "object"};

static unsigned type_bit(const char *name)
{
    if (strcmp(name, "number") == 0)
        return DV__T_NUMBER | DV__T_INTEGER;
    for (unsigned i = 0; i < DV_ARRAY_LEN(type_names); i++)
        if (type_names[i] != NULL && strcmp(name, type_names[i]) == 0)
            return 1u << i;
    return 0;
}

unsigned dv__schema_type_of(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_NULL: return DV__T_NULL;
    case JSON_TRUE:
    case JSON_FALSE: return DV__T_BOOLEAN;
    case JSON_INTEGER: return DV__T_INTEGER;
    case JSON_REAL: return json_real_value(v) == floor(json_real_value(v)) ? DV__T_INTEGER : DV__T_NUMBER;
    case JSON_STRING: return DV__T_STRING;
    case JSON_ARRAY: return DV__T_ARRAY;
    case JSON_OBJECT: return DV__T_OBJECT;
    }
    return 0;
}

/* Without `type`, keywords say which type is meant: the others would be valid too, but are never wanted. */
static const struct {
    const char *key;
    unsigned type;
} implied[] = {{"properties", DV__T_OBJECT},
               {"required", DV__T_OBJECT},
               {"additionalProperties", DV__T_OBJECT},
               {"patternProperties", DV__T_OBJECT},
               {"propertyNames", DV__T_OBJECT},
               {"minProperties", DV__T_OBJECT},
               {"maxProperties", DV__T_OBJECT},
               {"items", DV__T_ARRAY},
               {"prefixItems", DV__T_ARRAY},
               {"minItems", DV__T_ARRAY},
               {"maxItems", DV__T_ARRAY},
               {"uniqueItems", DV__T_ARRAY},
               {"minLength", DV__T_STRING},
               {"maxLength", DV__T_STRING},
               {"pattern", DV__T_STRING},
               {"format", DV__T_STRING},
               {"minimum", DV__T_NUMBER | DV__T_INTEGER},
               {"maximum", DV__T_NUMBER | DV__T_INTEGER},
               {"exclusiveMinimum", DV__T_NUMBER | DV__T_INTEGER},
               {"exclusiveMaximum", DV__T_NUMBER | DV__T_INTEGER},
               {"multipleOf", DV__T_NUMBER | DV__T_INTEGER}};

static unsigned implied_types(const json_t *schema)
{
    unsigned bits = 0;
    for (size_t i = 0; i < DV_ARRAY_LEN(implied); i++)
        if (json_object_get(schema, implied[i].key) != NULL)
            bits |= implied[i].type;
    return bits != 0 ? bits : DV__T_ALL;
}

unsigned dv__schema_types(dv__schema *s, const json_t *schema)
{
    const json_t *type = json_object_get(schema, "type");
    unsigned bits = 0;
    if (type == NULL)
        return json_object_get(schema, "enum") != NULL ? DV__T_ALL : implied_types(schema);
    const size_t n = json_is_array(type) ? json_array_size(type) : 1;
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_is_array(type) ? json_array_get(type, i) : type;
        const unsigned bit = json_is_string(v) ? type_bit(json_string_value(v)) : 0;
        if (bit == 0) {
            dv__schema_refuse(s, "type", "is not one of the seven types, nor a list of them");
            return 0;
        }
        bits |= bit;
    }
    return bits;
}

/* ---- Numbers ---- */

static bool read_bound(dv__schema *s, const json_t *schema, const char *key, const char *exclusive, bool lower,
                       dv__bound *store, const dv__bound **out)
{
    const json_t *plain = json_object_get(schema, key), *open = json_object_get(schema, exclusive);
    *out = NULL;
    if (open != NULL && json_is_boolean(open)) { /* draft 4: a flag beside the bound */
        if (plain == NULL || !json_is_true(open))
            open = NULL;
        else
            open = plain;
    }
    if ((plain != NULL && !json_is_number(plain)) || (open != NULL && !json_is_number(open)))
        return dv__schema_refuse(s, plain != NULL && !json_is_number(plain) ? key : exclusive, "is not a number") >= 0;
    if (plain == NULL && open == NULL)
        return true;
    const double p = json_number_value(plain), o = json_number_value(open);
    const bool use_open = plain == NULL || (open != NULL && (lower ? o >= p : o <= p));
    *store = (dv__bound){use_open ? o : p, use_open};
    *out = store;
    return true;
}

bool dv__schema_bounds(dv__schema *s, const json_t *schema, dv__bound store[2], const dv__bound **lo,
                       const dv__bound **hi)
{
    return read_bound(s, schema, "minimum", "exclusiveMinimum", true, &store[0], lo) &&
           read_bound(s, schema, "maximum", "exclusiveMaximum", false, &store[1], hi);
}

/* Bounds as integers. Those of JSON integers are exact up to 2^53; what a double holds beyond is what a validator compares with. */
static bool int_bounds(dv__schema *s, const json_t *schema, int64_t *from, int64_t *to)
{
    dv__bound store[2];
    const dv__bound *lo, *hi;
    const double most = (double)DV__INT_MAX;
    *from = -DV__INT_MAX;
    *to = DV__INT_MAX;
    if (!dv__schema_bounds(s, schema, store, &lo, &hi))
        return false;
    if ((lo != NULL && lo->v > most) || (hi != NULL && hi->v < -most))
        return dv__schema_refuse(s, lo != NULL && lo->v > most ? "minimum" : "maximum",
                                 "leaves only integers of more than 18 digits") >= 0;
    if (lo != NULL && lo->v > -most)
        *from = (int64_t)ceil(lo->v) + (lo->exclusive && lo->v == floor(lo->v));
    if (hi != NULL && hi->v < most)
        *to = (int64_t)floor(hi->v) - (hi->exclusive && hi->v == floor(hi->v));
    return true;
}

static bool check_multiple(dv__schema *s, const json_t *schema, bool integer)
{
    const json_t *v = json_object_get(schema, "multipleOf");
    if (v == NULL || (integer && json_is_number(v) && json_number_value(v) == 1))
        return true;
    return dv__schema_refuse(s, "multipleOf", "cannot be enforced") >= 0;
}

static dv_gx compile_integer(dv__schema *s, const json_t *schema)
{
    int64_t from, to;
    const char *format = json_string_value(json_object_get(schema, "format"));
    if (!check_multiple(s, schema, true) || !int_bounds(s, schema, &from, &to))
        return -1;
    if (format != NULL && strcmp(format, "int32") == 0) {
        from = DV_MAX(from, (int64_t)INT32_MIN);
        to = DV_MIN(to, (int64_t)INT32_MAX);
    } else if (format != NULL && strcmp(format, "int64") != 0) {
        return dv__schema_refuse(s, "format", "is not known for integers: int32 and int64 are");
    }
    if (from == -DV__INT_MAX && to == DV__INT_MAX)
        return dv__json_integer(s->b);
    return dv__rule_of(s->b, "integer", DV__RULE_PLAIN, dv__json_int_range(s->b, from, to));
}

static dv_gx compile_number(dv__schema *s, const json_t *schema)
{
    dv__bound store[2];
    const dv__bound *lo, *hi;
    const char *format = json_string_value(json_object_get(schema, "format"));
    if (!check_multiple(s, schema, false) || !dv__schema_bounds(s, schema, store, &lo, &hi))
        return -1;
    if (format != NULL && strcmp(format, "float") != 0 && strcmp(format, "double") != 0)
        return dv__schema_refuse(s, "format", "is not known for numbers: float and double are");
    if (lo == NULL && hi == NULL)
        return dv__json_number(s->b);
    dv_gx x = dv__json_range(s->b, lo, hi);
    if (x < 0 && !dv__failed(s->b))
        return dv__schema_refuse(s, lo != NULL ? "minimum" : "maximum",
                                 "is too large, or has too many digits, to be enforced");
    return dv__rule_of(s->b, "number", DV__RULE_PLAIN, x);
}

/* ---- Alternatives ---- */

static dv_gx alt_of(dv__schema *s, dv__vec *kids)
{
    dv_gx x = dv__failed(s->b) ? -1 : dv_gx_alt(s->b, kids->p, kids->n);
    dv__vec_free(kids, sizeof(dv_gx), &s->b->bud);
    return x;
}

static bool add_kid(dv__schema *s, dv__vec *kids, dv_gx x)
{
    dv_gx *p = x < 0 ? NULL : dv__vec_push(kids, sizeof x, 1, &s->b->bud);
    if (p != NULL)
        *p = x;
    return p != NULL;
}

static dv_gx compile_enum(dv__schema *s, const json_t *schema, unsigned types)
{
    const json_t *list = json_object_get(schema, "enum"), *v;
    dv__vec kids = {0};
    size_t i;
    if (!json_is_array(list) || json_array_size(list) == 0)
        return dv__schema_refuse(
            s, "enum", json_is_array(list) ? "(or const) has no value that its other keywords allow" : "is not a list");
    json_array_foreach(list, i, v)
    {
        if (!(dv__schema_type_of(v) & types))
            continue;
        const int passes = dv__schema_passes(s, schema, v);
        if (passes < 0 || (passes > 0 && !add_kid(s, &kids, dv__json_const(s->b, s->space, v, 0))))
            break;
    }
    if (kids.n == 0 && !dv__failed(s->b))
        dv__schema_refuse(s, "enum", "(or const) has no value that its other keywords allow");
    return alt_of(s, &kids);
}

/* anyOf, and oneOf of branches that exclude each other: the rest of the schema merged into each. */
static dv_gx compile_branches(dv__schema *s, const json_t *schema, const char *key)
{
    const json_t *list = json_object_get(schema, key);
    dv__vec kids = {0}, normal = {0};
    const size_t n = json_array_size(list), len = dv__schema_enter(s, key, 0);
    if (n == 0 || n > DV__SCHEMA_MAX_BRANCH) {
        dv__schema_leave(s, len);
        return dv__schema_refuse(s, key, "is not a list of 1 to 256 schemas");
    }
    for (size_t i = 0; i < n && !dv__failed(s->b); i++) {
        const size_t inner = dv__schema_enter(s, NULL, i);
        json_t *branch = dv__schema_branch(s, schema, key, json_array_get(list, i));
        json_t **p = branch == NULL ? NULL : dv__vec_push(&normal, sizeof branch, 1, &s->b->bud);
        if (p != NULL)
            *p = branch;
        else
            json_decref(branch);
        for (size_t k = 0; p != NULL && strcmp(key, "oneOf") == 0 && k < i && !dv__failed(s->b); k++)
            if (!dv__schema_disjoint(s, DV__AT(normal, json_t *, k), branch, 0))
                dv__schema_refuse(
                    s, key, "may match together with a branch before it: 'oneOf' cannot be enforced here, use 'anyOf'");
        /* An alternative that cannot be is no alternative; it is an error only if all of them are such. */
        const json_t *type = p != NULL ? json_object_get(branch, "type") : NULL;
        if (p != NULL && !(json_is_array(type) && json_array_size(type) == 0))
            add_kid(s, &kids, dv__schema_compile(s, branch));
        dv__schema_leave(s, inner);
    }
    for (size_t i = 0; i < normal.n; i++)
        json_decref(DV__AT(normal, json_t *, i));
    dv__vec_free(&normal, sizeof(json_t *), &s->b->bud);
    dv__schema_leave(s, len);
    return alt_of(s, &kids);
}

static dv_gx compile_types(dv__schema *s, const json_t *schema)
{
    const unsigned types = dv__schema_types(s, schema);
    dv__vec kids = {0};
    if (json_object_size(schema) == 0)
        return dv__json_value(s->b, s->space);
    if (json_object_get(schema, "enum") != NULL && !dv__failed(s->b))
        return compile_enum(s, schema, types);
    if (types == DV__T_ALL && !dv__failed(s->b) && json_object_get(schema, "type") == NULL)
        return dv__json_value(s->b, s->space);
    if (types & DV__T_OBJECT)
        add_kid(s, &kids, dv__schema_object(s, schema));
    if (types & DV__T_ARRAY)
        add_kid(s, &kids, dv__schema_array(s, schema));
    if (types & DV__T_STRING)
        add_kid(s, &kids, dv__schema_string(s, schema));
    if (types & DV__T_NUMBER)
        add_kid(s, &kids, compile_number(s, schema));
    else if (types & DV__T_INTEGER)
        add_kid(s, &kids, compile_integer(s, schema));
    if (types & DV__T_BOOLEAN)
        add_kid(s, &kids, dv__x_alt2(s->b, dv__x_str(s->b, "true"), dv__x_str(s->b, "false")));
    if (types & DV__T_NULL)
        add_kid(s, &kids, dv__x_str(s->b, "null"));
    return alt_of(s, &kids);
}

static dv_gx compile_normal(dv__schema *s, const json_t *schema)
{
    if (json_object_get(schema, "anyOf") != NULL)
        return compile_branches(s, schema, "anyOf");
    if (json_object_get(schema, "oneOf") != NULL)
        return compile_branches(s, schema, "oneOf");
    return compile_types(s, schema);
}

/* ---- Rules: what was compiled once is used again, which is also how recursion ends. ---- */

static dv_gx known_rule(dv__schema *s, const char *key)
{
    const json_t *v = json_object_get(s->rules, key);
    return v != NULL ? dv__x_ref(s->b, (int32_t)json_integer_value(v)) : -1;
}

static dv_gx new_rule(dv__schema *s, const char *key, const json_t *schema, bool normal)
{
    const int32_t rule = dv__rule_new(s->b, dv_buf_str(&s->path), s->path.len, DV__RULE_PLAIN);
    if (rule < 0)
        return -1;
    if (json_object_set_new_nocheck(s->rules, key, json_integer(rule)) != 0) {
        dv_fail(&s->b->err, DV_ENOMEM, "out of memory for a schema");
        return -1;
    }
    dv_gx body = normal ? compile_normal(s, schema) : dv__schema_compile(s, schema);
    dv__rule_body(s->b, rule, body);
    return dv__x_ref(s->b, rule);
}

/* The reference, if there is nothing beside it that says more. */
static const char *only_ref(const json_t *schema)
{
    const char *key, *ref = NULL;
    json_t *v;
    json_object_foreach((json_t *)schema, key, v) if (strcmp(key, "$ref") == 0) ref = json_string_value(v);
    else if (dv__schema_keyword(key) != 'a') return NULL;
    return ref;
}

static dv_gx compile_ref(dv__schema *s, const char *ref)
{
    dv_gx x = known_rule(s, ref);
    if (x >= 0)
        return x;
    const json_t *to = dv__schema_find(s, ref);
    const size_t len = s->path.len;
    dv_buf_printf(&s->path, "(%.80s)", ref);
    x = to != NULL ? new_rule(s, ref, to, false) : -1;
    dv__schema_leave(s, len);
    return x;
}

/* Objects and arrays become rules found by their text: a schema merged from a recursive one comes back as the same text. */
static dv_gx compile_shared(dv__schema *s, const json_t *normal)
{
    if (json_object_get(normal, "properties") == NULL && json_object_get(normal, "items") == NULL)
        return compile_normal(s, normal);
    dv_buf text;
    dv_gx x = -1;
    dv_buf_init(&text, 0);
    if (dv_json_dump(&text, normal, JSON_COMPACT) != 0)
        dv_fail(&s->b->err, DV_ENOMEM, "out of memory for a schema");
    else if (dv__work(&s->b->bud, text.len))
        x = known_rule(s, text.data);
    if (x < 0 && !dv__failed(s->b))
        x = new_rule(s, text.data, normal, true);
    dv_buf_fini(&text);
    return x;
}

dv_gx dv__schema_compile(dv__schema *s, const json_t *schema)
{
    if (dv__failed(s->b))
        return -1;
    if (s->path.code == DV_ENOMEM) {
        dv_fail(&s->b->err, DV_ENOMEM, "out of memory for a schema");
        return -1;
    }
    if (s->path.code != 0 || s->depth >= s->b->limits.max_depth) {
        dv_fail(&s->b->err, DV_ELIMIT, "schema: nested more than %u deep", (unsigned)s->b->limits.max_depth);
        return -1;
    }
    s->depth++;
    dv_gx x = -1;
    const char *ref = only_ref(schema);
    if (ref != NULL) {
        x = compile_ref(s, ref);
    } else if (json_is_false(schema)) {
        x = dv__x_fail(s->b);
    } else {
        json_t *normal = dv__schema_normal(s, schema);
        if (normal != NULL)
            x = compile_shared(s, normal);
        json_decref(normal);
    }
    s->depth--;
    return x;
}

dv_gx dv__schema_rule(dv__schema *s, const json_t *schema)
{
    dv_gx x = dv__schema_compile(s, schema);
    if (x < 0 || DV__AT(s->b->expr, dv__expr, x).kind == DV__X_REF)
        return x;
    return dv__rule_of(s->b, dv_buf_str(&s->path), DV__RULE_PLAIN, x);
}

dv_gx dv_gx_schema(dv_grammar_builder *b, const json_t *schema, const dv_grammar_schema_options *options)
{
    dv__schema s = {.b = b, .root = schema, .space = options != NULL ? options->space : DV_GRAMMAR_SPACE_FREE};
    dv_gx x = -1;
    if (dv__failed(b))
        return -1;
    dv_buf_init(&s.path, 1 << 16);
    dv_buf_adds(&s.path, "#");
    s.rules = json_object();
    dv_buf text;
    dv_buf_init(&text, 0);
    if (schema == NULL)
        dv_fail(&b->err, DV_EINVAL, "there is no schema");
    else if (s.rules == NULL || dv_json_dump(&text, schema, JSON_COMPACT) != 0)
        dv_fail(&b->err, DV_ENOMEM, "out of memory for a schema");
    else if (dv__source(b, text.len))
        x = dv__schema_compile(&s, schema);
    dv_buf_fini(&text);
    json_decref(s.rules);
    dv_buf_fini(&s.path);
    return dv__failed(b) ? -1 : x;
}

dv_gx dv_gx_json_object(dv_grammar_builder *b, const dv_grammar_schema_options *options)
{
    return dv__failed(b) ? -1 : dv__json_object(b, options != NULL ? options->space : DV_GRAMMAR_SPACE_FREE);
}

int dv_grammar_from_schema(dv_grammar **out, const json_t *schema, const dv_grammar_schema_options *options,
                           const dv_grammar_limits *limits, dv_err *err)
{
    dv_grammar_builder *b;
    *out = NULL;
    int rc = dv_grammar_builder_open(&b, limits, err);
    if (rc != 0)
        return rc;
    rc = dv_grammar_build(out, b, dv_gx_schema(b, schema, options), err);
    dv_grammar_builder_close(&b);
    return rc;
}

int dv_grammar_json_object(dv_grammar **out, const dv_grammar_schema_options *options, const dv_grammar_limits *limits,
                           dv_err *err)
{
    dv_grammar_builder *b;
    *out = NULL;
    int rc = dv_grammar_builder_open(&b, limits, err);
    if (rc != 0)
        return rc;
    rc = dv_grammar_build(out, b, dv_gx_json_object(b, options), err);
    dv_grammar_builder_close(&b);
    return rc;
}
