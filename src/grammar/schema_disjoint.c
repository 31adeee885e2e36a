/* SPDX-License-Identifier: MIT */
/* Whether two schemas exclude each other, as far as that is easy to see: by types, constants, ranges, or a property that tells them apart. Unsure
 * counts as no. */
#include "grammar/schema.h"

#include <string.h>

enum { MAX_DEPTH = 4 };

/* Types as a validator sees them: keywords do not imply any. */
static unsigned true_types(dv__schema *s, const json_t *x)
{
    return json_object_get(x, "type") == NULL ? DV__T_ALL : dv__schema_types(s, x);
}

static bool any_value(dv__schema *s, const json_t *x, const json_t *y)
{
    const json_t *list = json_object_get(x, "enum"), *other = json_object_get(y, "enum"), *v, *w;
    const unsigned types = true_types(s, y);
    size_t i, k;
    json_array_foreach(list, i, v)
    {
        bool listed = other == NULL;
        json_array_foreach(other, k, w) listed |= json_equal(v, w);
        if (!listed || !(dv__schema_type_of(v) & types))
            continue;
        if (json_is_object(v) || json_is_array(v) || dv__schema_passes(s, y, v) != 0)
            return true;
    }
    return false;
}

static bool in_required(const json_t *schema, const char *name)
{
    const json_t *v;
    size_t i;
    json_array_foreach(json_object_get(schema, "required"), i,
                       v) if (json_is_string(v) && strcmp(json_string_value(v), name) == 0) return true;
    return false;
}

/* x demands a property that y does not allow. */
static bool demands_other(const json_t *x, const json_t *y)
{
    const json_t *v;
    size_t i;
    if (!json_is_false(json_object_get(y, "additionalProperties")) || json_object_get(y, "patternProperties") != NULL)
        return false;
    json_array_foreach(json_object_get(x, "required"), i,
                       v) if (json_is_string(v) && json_object_get(json_object_get(y, "properties"),
                                                                   json_string_value(v)) == NULL) return true;
    return false;
}

static bool objects(dv__schema *s, const json_t *x, const json_t *y, int depth)
{
    const char *name;
    json_t *v;
    if (demands_other(x, y) || demands_other(y, x))
        return true;
    json_object_foreach(json_object_get(x, "properties"), name, v)
    {
        const json_t *w = json_object_get(json_object_get(y, "properties"), name);
        if (w == NULL || (!in_required(x, name) && !in_required(y, name)))
            continue;
        json_t *a = dv__schema_normal(s, v), *b = dv__schema_normal(s, w);
        const bool apart = a != NULL && b != NULL && dv__schema_disjoint(s, a, b, depth + 1);
        json_decref(a);
        json_decref(b);
        if (apart)
            return true;
    }
    return false;
}

static bool before(const dv__bound *x, const dv__bound *y)
{
    return x != NULL && y != NULL && (x->v < y->v || (x->v <= y->v && (x->exclusive || y->exclusive)));
}

static bool numbers(dv__schema *s, const json_t *x, const json_t *y)
{
    dv__bound a[2], c[2];
    const dv__bound *xlo, *xhi, *ylo, *yhi;
    return dv__schema_bounds(s, x, a, &xlo, &xhi) && dv__schema_bounds(s, y, c, &ylo, &yhi) &&
           (before(xhi, ylo) || before(yhi, xlo));
}

bool dv__schema_disjoint(dv__schema *s, const json_t *x, const json_t *y, int depth)
{
    if (depth > MAX_DEPTH || json_object_get(x, "anyOf") || json_object_get(y, "anyOf") ||
        json_object_get(x, "oneOf") || json_object_get(y, "oneOf"))
        return false;
    if (json_object_get(x, "enum") != NULL)
        return !any_value(s, x, y);
    if (json_object_get(y, "enum") != NULL)
        return !any_value(s, y, x);
    unsigned common = true_types(s, x) & true_types(s, y);
    if ((common & DV__T_OBJECT) && objects(s, x, y, depth))
        common &= ~(unsigned)DV__T_OBJECT;
    if ((common & (DV__T_NUMBER | DV__T_INTEGER)) && numbers(s, x, y))
        common &= ~(unsigned)(DV__T_NUMBER | DV__T_INTEGER);
    return common == 0 && s->b->err.code == 0;
}
