/* SPDX-License-Identifier: MIT */
#include "grammar/schema.h"

#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char annotations[] =
    " $schema $id id $comment $defs definitions $anchor title description default examples example deprecated readOnly writeOnly "
    "contentEncoding contentMediaType discriminator externalDocs xml markdownDescription enumNames enumDescriptions "
    "propertyOrdering strict optional ";
static const char known[] =
    " $ref allOf anyOf oneOf type enum const properties required additionalProperties patternProperties propertyNames minProperties "
    "maxProperties items prefixItems additionalItems minItems maxItems uniqueItems minLength maxLength pattern format minimum "
    "maximum exclusiveMinimum exclusiveMaximum multipleOf nullable unevaluatedProperties unevaluatedItems ";

static bool in_list(const char *list, const char *key)
{
    char word[64];
    if (strlen(key) > sizeof word - 3 || strchr(key, ' ') != NULL)
        return false;
    snprintf(word, sizeof word, " %s ", key);
    return strstr(list, word) != NULL;
}

char dv__schema_keyword(const char *key)
{
    return strncmp(key, "x-", 2) == 0 || in_list(annotations, key) ? 'a' : in_list(known, key) ? 'k' : 0;
}

static bool oom(dv__schema *s)
{
    dv_fail(&s->b->err, DV_ENOMEM, "out of memory for a schema");
    return false;
}

static bool put(dv__schema *s, json_t *o, const char *key, json_t *v)
{
    return (v != NULL && json_object_set_new_nocheck(o, key, v) == 0) || oom(s);
}

/* ---- References ---- */

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* One segment of a pointer, RFC 6901 3 and 6, into out; its end. */
static const char *segment(const char *p, char *out, size_t size)
{
    size_t n = 0;
    while (*p != 0 && *p != '/' && n + 1 < size) {
        if (p[0] == '%' && hex(p[1]) >= 0 && hex(p[2]) >= 0) {
            out[n++] = (char)(hex(p[1]) * 16 + hex(p[2]));
            p += 3;
        } else if (p[0] == '~' && (p[1] == '0' || p[1] == '1')) {
            out[n++] = p[1] == '0' ? '~' : '/';
            p += 2;
        } else {
            out[n++] = *p++;
        }
    }
    out[n] = 0;
    return p;
}

static const json_t *bad_ref(dv__schema *s, const char *ref)
{
    char what[200];
    snprintf(what, sizeof what, "'%.150s' is not a part of this schema", ref);
    dv__schema_refuse(s, "$ref", what);
    return NULL;
}

const json_t *dv__schema_find(dv__schema *s, const char *ref)
{
    const json_t *at = s->root;
    const char *p = ref;
    char name[512];
    if (*p++ != '#')
        return bad_ref(s, ref);
    while (*p != 0) {
        if (*p++ != '/')
            return bad_ref(s, ref);
        p = segment(p, name, sizeof name);
        if (*p != 0 && *p != '/')
            return bad_ref(s, ref);
        if (json_is_array(at)) {
            char *end;
            const unsigned long i = strtoul(name, &end, 10);
            at = *end == 0 && *name != 0 ? json_array_get(at, i) : NULL;
        } else {
            at = json_object_get(at, name);
        }
    }
    return json_is_object(at) || json_is_boolean(at) ? at : bad_ref(s, ref);
}

/* ---- Merging ---- */

static bool absorb(dv__schema *s, json_t *out, const json_t *schema, int depth);

static json_t *both(json_t *x, json_t *y)
{
    json_t *o = json_object(), *a = json_array();
    if (o == NULL || a == NULL || json_array_append(a, x) != 0 || json_array_append(a, y) != 0) {
        json_decref(o);
        json_decref(a);
        return NULL;
    }
    if (json_object_set_new(o, "allOf", a) == 0)
        return o;
    json_decref(o);
    return NULL;
}

/* Values of x that are in y too. */
static json_t *intersect(const json_t *x, const json_t *y)
{
    json_t *r = json_array(), *v, *w;
    size_t i, k;
    json_array_foreach(x, i, v) json_array_foreach(y, k, w) if (json_equal(v, w))
    {
        json_array_append(r, v);
        break;
    }
    return r;
}

static json_t *as_list(const json_t *v)
{
    if (json_is_array(v))
        return json_incref((json_t *)v);
    json_t *a = json_array();
    json_array_append(a, (json_t *)v);
    return a;
}

static bool has_type(const json_t *list, const char *type)
{
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v) if (json_is_string(v) && strcmp(json_string_value(v), type) == 0) return true;
    return false;
}

/* Types in both; "number" and "integer" have the integers in common. */
static json_t *merge_types(const json_t *x, const json_t *y)
{
    json_t *a = as_list(x), *c = as_list(y), *r = intersect(a, c);
    if ((has_type(a, "integer") && has_type(c, "number")) || (has_type(a, "number") && has_type(c, "integer")))
        if (!has_type(r, "integer") && !has_type(r, "number"))
            json_array_append_new(r, json_string("integer"));
    json_decref(a);
    json_decref(c);
    return r;
}

static json_t *merge_lists(const json_t *x, const json_t *y)
{
    json_t *r = json_array(), *v;
    size_t i;
    json_array_extend(r, (json_t *)x);
    json_array_foreach(y, i, v) json_array_append(r, v);
    return r;
}

/* Every branch of x with every one of y. */
static json_t *merge_branches(dv__schema *s, const json_t *x, const json_t *y)
{
    json_t *r = json_array(), *v, *w;
    size_t i, k;
    if (json_array_size(x) * json_array_size(y) > DV__SCHEMA_MAX_BRANCH) {
        dv__schema_refuse(s, "anyOf", "has too many combinations of branches");
        json_decref(r);
        return NULL;
    }
    json_array_foreach(x, i, v) json_array_foreach(y, k, w) json_array_append_new(r, both(v, w));
    return r;
}

static json_t *merge_numbers(const json_t *x, const json_t *y, bool least)
{
    const bool take_x =
        least ? json_number_value(x) <= json_number_value(y) : json_number_value(x) >= json_number_value(y);
    return json_incref((json_t *)(take_x ? x : y));
}

/* The value of a keyword that both have; NULL after an error. */
static json_t *merge_values(dv__schema *s, const char *key, json_t *x, json_t *y)
{
    if (json_equal(x, y))
        return json_incref(x);
    if (strcmp(key, "type") == 0)
        return merge_types(x, y);
    if (strcmp(key, "enum") == 0)
        return intersect(x, y);
    if (strcmp(key, "required") == 0 || strcmp(key, "pattern") == 0)
        return merge_lists(x, y);
    if (strcmp(key, "anyOf") == 0)
        return merge_branches(s, x, y);
    if (strcmp(key, "items") == 0 || strcmp(key, "additionalProperties") == 0 || strcmp(key, "propertyNames") == 0)
        return both(x, y);
    if (json_is_number(x) && json_is_number(y)) {
        if (strncmp(key, "min", 3) == 0 || strcmp(key, "exclusiveMinimum") == 0)
            return merge_numbers(x, y, false);
        if (strncmp(key, "max", 3) == 0 || strcmp(key, "exclusiveMaximum") == 0)
            return merge_numbers(x, y, true);
    }
    dv__schema_refuse(s, key, "is given twice, by allOf, $ref or a branch, in ways that cannot be merged");
    return NULL;
}

/* A property that only one side names is bound by the other side's additionalProperties. */
static bool bind_others(dv__schema *s, json_t *props, const json_t *other, json_t *additional)
{
    const char *key;
    json_t *v;
    void *tmp;
    if (additional == NULL || json_is_true(additional))
        return true;
    json_object_foreach_safe(
        props, tmp, key,
        v) if (json_object_get(other, key) == NULL &&
               !put(s, props, key, json_is_false(additional) ? json_false() : both(v, additional))) return false;
    return true;
}

static bool merge_properties(dv__schema *s, json_t *out, const json_t *schema)
{
    json_t *mine = json_object_get(out, "properties"), *theirs = json_object_get(schema, "properties");
    json_t *my_rest = json_object_get(out, "additionalProperties"),
           *their_rest = json_object_get(schema, "additionalProperties");
    const bool patterns = json_object_get(out, "patternProperties") || json_object_get(schema, "patternProperties");
    if (theirs != NULL && !json_is_object(theirs))
        return dv__schema_refuse(s, "properties", "is not an object") >= 0;
    if (patterns && (mine || my_rest || json_object_get(out, "patternProperties")) &&
        (theirs || their_rest || json_object_get(schema, "patternProperties")))
        return dv__schema_refuse(s, "patternProperties", "cannot be merged with another schema's properties") >= 0;
    json_t *merged = mine != NULL ? json_copy(mine) : json_object(),
           *left = theirs != NULL ? json_copy(theirs) : json_object();
    bool ok = (merged != NULL && left != NULL) || oom(s);
    ok = ok && bind_others(s, merged, theirs, their_rest) && bind_others(s, left, mine, my_rest);
    const char *key;
    json_t *v;
    if (ok)
        json_object_foreach(left, key, v)
        {
            json_t *old = json_object_get(merged, key);
            ok = ok && put(s, merged, key, old == NULL ? json_incref(v) : both(old, v));
        }
    json_decref(left);
    if (ok && (mine != NULL || theirs != NULL))
        return put(s, out, "properties", merged);
    json_decref(merged);
    return ok;
}

static bool absorb_keyword(dv__schema *s, json_t *out, const char *key, json_t *v, int depth)
{
    const char kind = dv__schema_keyword(key);
    if (kind == 'a')
        return true;
    if (kind != 'k')
        return dv__schema_refuse(s, key, "is not supported") >= 0;
    if (strcmp(key, "properties") == 0 || strcmp(key, "nullable") == 0)
        return true; /* handled with the whole schema */
    if (strncmp(key, "unevaluated", 11) == 0 && depth > 0)
        return dv__schema_refuse(s, key, "is not supported inside of allOf, $ref or a branch") >= 0;
    if (strcmp(key, "$ref") == 0) {
        const json_t *to = json_is_string(v) ? dv__schema_find(s, json_string_value(v)) : bad_ref(s, "");
        return to != NULL && absorb(s, out, to, depth + 1);
    }
    if (strcmp(key, "allOf") == 0) {
        size_t i;
        json_t *part;
        if (!json_is_array(v))
            return dv__schema_refuse(s, key, "is not a list") >= 0;
        json_array_foreach(v, i, part) if (!absorb(s, out, part, depth + 1)) return false;
        return true;
    }
    json_t *x = json_incref(v);
    if (strcmp(key, "const") == 0) {
        json_decref(x);
        key = "enum";
        x = json_array();
        json_array_append(x, v);
    } else if (strcmp(key, "pattern") == 0) {
        x = as_list(v);
        json_decref(v);
    }
    json_t *old = json_object_get(out, key);
    json_t *new = old == NULL ? json_incref(x) : merge_values(s, key, old, x);
    json_decref(x);
    return new != NULL ? put(s, out, key, new) : dv__failed(s->b) ? false : oom(s);
}

/* {"nullable": true, ...}: the rest, or null. */
static bool absorb_nullable(dv__schema *s, json_t *out, const json_t *schema, int depth)
{
    json_t *rest = json_copy((json_t *)schema), *null = json_pack("{s:s}", "type", "null"), *any = json_array();
    bool ok = (rest != NULL && null != NULL && any != NULL) || oom(s);
    if (ok) {
        json_object_del(rest, "nullable");
        json_array_append(any, rest);
        json_array_append(any, null);
        ok = absorb_keyword(s, out, "anyOf", any, depth);
    }
    json_decref(rest);
    json_decref(null);
    json_decref(any);
    return ok;
}

static bool absorb(dv__schema *s, json_t *out, const json_t *schema, int depth)
{
    const char *key;
    json_t *v;
    if (depth > DV__SCHEMA_MAX_MERGE || ++s->n_merge > 1000000)
        return dv__schema_refuse(s, "$ref", "and allOf refer to each other without end, or too deeply") >= 0;
    if (json_is_true(schema))
        return true;
    if (json_is_false(schema))
        return put(s, out, "type", json_array());
    if (!json_is_object(schema)) {
        dv_fail(&s->b->err, DV_EINVAL, "schema at %s: a schema is an object or a boolean", dv_buf_str(&s->path));
        return false;
    }
    if (json_is_true(json_object_get(schema, "nullable")))
        return absorb_nullable(s, out, schema, depth);
    if (!merge_properties(s, out, schema))
        return false;
    json_object_foreach((json_t *)schema, key, v) if (!absorb_keyword(s, out, key, v, depth)) return false;
    return true;
}

json_t *dv__schema_normal(dv__schema *s, const json_t *schema)
{
    json_t *out = json_object();
    if (out == NULL)
        oom(s);
    if (out != NULL && absorb(s, out, schema, 0))
        return out;
    json_decref(out);
    return NULL;
}

json_t *dv__schema_branch(dv__schema *s, const json_t *base, const char *without, const json_t *branch)
{
    json_t *out = json_copy((json_t *)base);
    if (out == NULL)
        oom(s);
    if (out != NULL)
        json_object_del(out, without);
    if (out != NULL && absorb(s, out, branch, 1))
        return out;
    json_decref(out);
    return NULL;
}
