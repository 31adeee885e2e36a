/* SPDX-License-Identifier: MIT */
/* Objects: the declared properties in the order in which the schema has them, those that are not required may be left out; behind them other keys, where the
 * schema says so, each at most once. Lists. */
#include "grammar/schema.h"

#include "base/err.h"

#include <stdio.h>
#include <string.h>

typedef struct object {
    dv__schema *s;
    json_t *props;  /* a copy: name to schema, in order */
    json_t *needed; /* names as keys */
    const json_t *patterns, *names;
    json_t *rest; /* schema of other keys; NULL: there are none */
    bool closed;  /* the schema says that there are none */
    uint32_t min, max;
    uint32_t columns; /* of cont */
    dv__vec cont;     /* dv_gx [pairs + 1][columns]: what may come from the k-th on, behind 1, 2... of them; -1: none */
    dv__vec pair;     /* dv_gx */
    dv_gx extra;      /* a pair with another key, -1: none */
} object;

static bool oom(dv__schema *s)
{
    dv_fail(&s->b->err, DV_ENOMEM, "out of memory for a schema");
    return false;
}

static dv_gx comma(dv__schema *s)
{
    return dv__x_seq2(s->b, dv__x_str(s->b, ","), dv__json_space(s->b, s->space, true));
}

/* ---- Reading the keywords ---- */

static dv_gx name_pattern(dv__schema *s, const char *pattern)
{
    dv_gx x = dv__regex(s->b, pattern, strlen(pattern), false, true);
    if (s->b->err.code == DV_EINVAL && strncmp(s->b->err.msg, "schema ", 7) != 0)
        dv_err_prefix(&s->b->err, "schema keyword 'patternProperties' at %s", dv_buf_str(&s->path));
    return x;
}

/* The schema of a name by patternProperties; more than one pattern is merged. *v: what there is already, or NULL. */
static bool match_patterns(object *o, const char *name, json_t **v)
{
    dv__schema *s = o->s;
    const char *pattern;
    json_t *schema;
    json_object_foreach((json_t *)o->patterns, pattern, schema)
    {
        bool yes;
        dv_gx text = dv__json_text(s->b, name, strlen(name));
        if (!dv__x_overlap(s->b, name_pattern(s, pattern), text, &yes))
            return false;
        if (yes) {
            json_t *more = *v == NULL ? json_incref(schema) : json_pack("{s:[O,O]}", "allOf", *v, schema);
            json_decref(*v);
            *v = more;
            if (more == NULL)
                return oom(s);
        }
    }
    return true;
}

/* A name that is required, but has no schema of its own. */
static bool add_needed(object *o, const char *name)
{
    dv__schema *s = o->s;
    json_t *v = NULL;
    if (!match_patterns(o, name, &v))
        return json_decref(v), false;
    if (v == NULL)
        v = o->rest != NULL ? json_incref(o->rest) : o->closed ? NULL : json_true();
    if (v == NULL) {
        char what[160];
        snprintf(what, sizeof what, "names '%.60s', which additionalProperties does not allow", name);
        return dv__schema_refuse(s, "required", what) >= 0;
    }
    return json_object_set_new(o->props, name, v) == 0 || oom(s);
}

static bool read_required(object *o, const json_t *schema)
{
    const json_t *list = json_object_get(schema, "required"), *v;
    size_t i;
    if (list != NULL && !json_is_array(list))
        return dv__schema_refuse(o->s, "required", "is not a list") >= 0;
    json_array_foreach(list, i, v)
    {
        if (!json_is_string(v))
            return dv__schema_refuse(o->s, "required", "has an item that is not a string") >= 0;
        const char *name = json_string_value(v);
        if (json_object_set_new(o->needed, name, json_true()) != 0)
            return oom(o->s);
        if (json_object_get(o->props, name) == NULL && !add_needed(o, name))
            return false;
    }
    return true;
}

/* What keys that are not declared may hold. Where the schema does not say, nothing is added to declared properties: the standard allows
 * more, but nobody asks for it. */
static void read_rest(object *o, const json_t *schema)
{
    json_t *v = json_object_get(schema, "additionalProperties");
    const bool said = v != NULL, closed = json_is_false(json_object_get(schema, "unevaluatedProperties"));
    const bool declared = json_object_size(o->props) > 0 || json_object_size(o->patterns) > 0;
    o->closed = closed || json_is_false(v);
    if (said)
        o->rest = json_is_false(v) ? NULL : json_incref(v);
    else if (!closed && (!declared || o->min > json_object_size(o->props)))
        o->rest = json_true();
}

static bool is_list_of_strings(const json_t *v)
{
    const json_t *x;
    size_t i;
    json_array_foreach(v, i, x) if (!json_is_string(x)) return false;
    return json_is_array(v);
}

/* propertyNames: a list of names turns other keys into optional properties, so that there is always one left or an end. */
static bool read_names(object *o, const json_t *schema)
{
    dv__schema *s = o->s;
    const char *name;
    json_t *v;
    void *tmp;
    size_t i;
    o->names = json_object_get(schema, "propertyNames");
    if (o->names == NULL)
        return true;
    json_t *normal = dv__schema_normal(s, o->names);
    bool ok = normal != NULL;
    if (ok && (json_object_get(normal, "anyOf") || json_object_get(normal, "oneOf")))
        ok = dv__schema_refuse(s, "propertyNames", "with alternatives is not supported") >= 0;
    const json_t *list = ok ? json_object_get(normal, "enum") : NULL;
    if (is_list_of_strings(list)) {
        json_array_foreach(list, i,
                           v) if (ok && o->rest != NULL && json_object_get(o->props, json_string_value(v)) == NULL) ok =
            json_object_set(o->props, json_string_value(v), o->rest) == 0 || oom(s);
        json_decref(o->rest);
        o->rest = NULL;
    }
    if (ok)
        json_object_foreach_safe(o->props, tmp, name, v)
        {
            json_t *text = json_string(name);
            bool listed = list == NULL;
            const json_t *x;
            json_array_foreach(list, i, x) listed |= json_equal(x, text);
            const int passes = ok ? dv__schema_passes(s, normal, text) : -1;
            json_decref(text);
            ok = ok && passes >= 0;
            if (ok && (!listed || passes == 0))
                json_object_del(o->props, name);
        }
    json_decref(normal);
    return ok;
}

static bool drop_false(object *o)
{
    const char *name;
    json_t *v;
    void *tmp;
    json_object_foreach_safe(o->props, tmp, name, v)
    {
        json_t *more = json_incref(v);
        if (!match_patterns(o, name, &more) || json_object_set(o->props, name, more) != 0)
            return json_decref(more), false;
        json_decref(more);
    }
    return true;
}

/* ---- Building ---- */

/* Keys of one kind: key text of a pattern (-1: any), without the declared names and without what other patterns match. */
static dv_gx key_rule(object *o, const char *pattern)
{
    dv__schema *s = o->s;
    dv_grammar_builder *b = s->b;
    dv_gx x = dv__json_key_text(b);
    dv__vec names = {0};
    const char *name;
    json_t *v;
    if (pattern != NULL)
        x = dv__x_and(b, x, name_pattern(s, pattern));
    if (o->names != NULL) {
        json_t *normal = dv__schema_normal(s, o->names);
        dv_gx text = normal != NULL ? dv__schema_content(s, normal) : -1;
        json_decref(normal);
        x = text < 0 ? -1 : dv__x_and(b, x, text);
    }
    json_object_foreach(o->props, name, v)
    {
        dv_gx text = dv__json_text(b, name, strlen(name)),
              *p = text < 0 ? NULL : dv__vec_push(&names, sizeof *p, 1, &b->bud);
        if (p != NULL)
            *p = text;
    }
    if (pattern == NULL)
        json_object_foreach((json_t *)o->patterns, name, v)
        {
            dv_gx text = name_pattern(s, name), *p = text < 0 ? NULL : dv__vec_push(&names, sizeof *p, 1, &b->bud);
            if (p != NULL)
                *p = text;
        }
    if (names.n > 0 && !dv__failed(b))
        x = dv__x_minus(b, x, dv_gx_alt(b, names.p, names.n));
    dv__vec_free(&names, sizeof(dv_gx), &b->bud);
    return dv__failed(b) ? -1 : x;
}

static dv_gx extra_pair(object *o, const char *pattern, const json_t *schema)
{
    dv__schema *s = o->s;
    const size_t len = dv__schema_enter(s, pattern != NULL ? pattern : "additionalProperties", 0);
    dv_gx text = key_rule(o, pattern), value = dv__schema_rule(s, schema);
    bool some = false;
    dv__schema_leave(s, len);
    if (text < 0 || value < 0 || !dv__x_overlap(s->b, text, -1, &some))
        return -1;
    dv_gx key = dv__rule_of(s->b, "key", DV__RULE_KEY, dv__x_seq2(s->b, text, dv__x_str(s->b, "\"")));
    return some ? dv__json_pair(s->b, s->space, key, value) : dv__x_fail(s->b);
}

/* Patterns that have a name in common would both bind its value. */
static bool check_patterns(object *o)
{
    const char *p, *q;
    json_t *v, *w;
    json_object_foreach((json_t *)o->patterns, p, v) json_object_foreach((json_t *)o->patterns, q, w)
    {
        bool both = false;
        if (strcmp(p, q) >= 0)
            continue;
        if (!dv__x_overlap(o->s->b, name_pattern(o->s, p), name_pattern(o->s, q), &both))
            return false;
        if (both)
            return dv__schema_refuse(o->s, "patternProperties", "has patterns that can match the same name") >= 0;
    }
    return true;
}

static bool make_extra(object *o)
{
    dv__schema *s = o->s;
    dv_gx part[34];
    size_t n = 0;
    const char *pattern;
    json_t *v;
    o->extra = -1;
    if (json_object_size(o->patterns) > 32)
        return dv__schema_refuse(s, "patternProperties", "has more than 32 patterns") >= 0;
    if (!check_patterns(o))
        return false;
    json_object_foreach((json_t *)o->patterns, pattern,
                        v) if (!json_is_false(v) && (part[n++] = extra_pair(o, pattern, v)) < 0) return false;
    if (o->rest != NULL && (part[n++] = extra_pair(o, NULL, o->rest)) < 0)
        return false;
    if (n > 0)
        o->extra = dv_gx_alt(s->b, part, n);
    return !dv__failed(s->b);
}

static bool make_pairs(object *o)
{
    dv__schema *s = o->s;
    const char *name;
    json_t *v;
    json_object_foreach(o->props, name, v)
    {
        const size_t len = dv__schema_enter(s, "properties", 0);
        dv__schema_enter(s, name, 0);
        const bool dead = json_is_false(v);
        dv_gx value = dead ? dv__x_fail(s->b) : dv__schema_compile(s, v);
        dv__schema_leave(s, len);
        dv_gx text = dv__json_text(s->b, name, strlen(name));
        dv_gx x = dv__json_pair(s->b, s->space, dv__x_seq2(s->b, text, dv__x_str(s->b, "\"")), value);
        if (o->columns > 1) /* it comes up in each of them */
            x = dv__rule_of(s->b, "property", DV__RULE_PLAIN, x);
        dv_gx *p = x < 0 ? NULL : dv__vec_push(&o->pair, sizeof x, 1, &s->b->bud);
        if (p == NULL)
            return false;
        *p = x;
    }
    return true;
}

static bool needs(const object *o, const char *name) { return json_object_get(o->needed, name) != NULL; }

/* So many further keys, each behind a comma. They are a rule of their own, since that is what remembers keys. */
static dv_gx more_extras(const object *o, uint32_t min, uint32_t max)
{
    dv_grammar_builder *b = o->s->b;
    return dv_gx_repeat(b, dv__x_seq2(b, comma(o->s), o->extra), min,
                        max < DV__INF ? max : (uint32_t)DV_GRAMMAR_UNBOUNDED);
}

/* What is left of a limit behind c properties. */
static uint32_t left_of(uint32_t limit, uint32_t c) { return limit >= DV__INF ? limit : limit - DV_MIN(c, limit); }

/* What follows the last of the declared properties. */
static dv_gx rest(const object *o, uint32_t c)
{
    dv_grammar_builder *b = o->s->b;
    const uint32_t min = left_of(o->min, c), max = left_of(o->max, c);
    if (o->extra < 0 || max == 0)
        return min == 0 ? dv__x_empty(b) : dv__x_fail(b);
    return dv__rule_of(b, "rest", DV__RULE_PLAIN, more_extras(o, min, max));
}

static dv_gx *cont_at(const object *o, size_t k, uint32_t c)
{
    return &DV__AT(o->cont, dv_gx, k * o->columns + (c - 1));
}

/* What follows the k-th property when c have been in front of it; -1 where the limits leave no room for it. */
static dv_gx behind(const object *o, size_t k, uint32_t c)
{
    return c < o->max ? *cont_at(o, k + 1, DV_MIN(c + 1, o->columns)) : -1;
}

/* A place from which no way leads to an object within the limits stays -1. */
static dv_gx cont_of(const object *o, size_t k, uint32_t c, bool needed)
{
    dv_grammar_builder *b = o->s->b;
    dv_gx with = behind(o, k, c), without = needed ? -1 : *cont_at(o, k + 1, c);
    if (with < 0)
        return without;
    dv_gx pair = dv__x_seq2(b, comma(o->s), DV__AT(o->pair, dv_gx, k));
    dv_gx x = dv__x_seq2(b, with == without ? dv__x_opt(b, pair) : pair, with);
    if (without >= 0 && with != without)
        x = dv__x_alt2(b, x, without);
    if (!dv__failed(b) && (!needed || DV__AT(b->expr, dv__expr, x).depth > 100))
        x = dv__rule_of(b, "more", DV__RULE_PLAIN, x);
    return x;
}

/* Back to front. In front of the k-th there are k at most. */
static bool make_conts(object *o, const char **name)
{
    dv_grammar_builder *b = o->s->b;
    const size_t n = o->pair.n;
    if (dv__vec_push(&o->cont, sizeof(dv_gx), (n + 1) * o->columns, &b->bud) == NULL)
        return false;
    for (uint32_t c = 1; c <= o->columns && !dv__failed(b); c++) {
        bool open = o->extra >= 0 && left_of(o->max, c) > 0;
        *cont_at(o, n, c) = open || left_of(o->min, c) == 0 ? rest(o, c) : -1;
    }
    for (size_t k = n; k-- > 0 && !dv__failed(b);)
        for (uint32_t c = 1; c <= o->columns && !dv__failed(b); c++)
            *cont_at(o, k, c) = c <= k ? cont_of(o, k, c, needs(o, name[k])) : -1;
    return !dv__failed(b);
}

/* Other keys without declared ones in front of them. */
static dv_gx first_extra(const object *o)
{
    dv_grammar_builder *b = o->s->b;
    if (o->extra < 0 || o->max == 0)
        return dv__x_fail(b);
    dv_gx more = o->max == 1 ? dv__x_empty(b) : more_extras(o, left_of(o->min, 1), left_of(o->max, 1));
    return dv__rule_of(b, "rest", DV__RULE_PLAIN, dv__x_seq2(b, o->extra, more));
}

/* Everything between the braces of an object with declared properties. */
static dv_gx members(object *o, const char **name)
{
    dv_grammar_builder *b = o->s->b;
    const size_t n = o->pair.n;
    dv__vec first = {0};
    bool needed = false;
    if (!make_conts(o, name))
        return -1;
    for (size_t k = 0; k < n && !needed; k++) {
        needed = needs(o, name[k]);
        dv_gx next = behind(o, k, 0), *p = next < 0 ? NULL : dv__vec_push(&first, sizeof *p, 1, &b->bud);
        if (p != NULL)
            *p = dv__x_seq2(b, DV__AT(o->pair, dv_gx, k), next);
    }
    dv_gx *p = dv__failed(b) || needed ? NULL : dv__vec_push(&first, sizeof *p, 2, &b->bud);
    if (p != NULL) {
        p[0] = o->min == 0 ? dv__x_empty(b) : dv__x_fail(b);
        p[1] = first_extra(o);
    }
    dv_gx x = dv__failed(b) ? -1 : dv_gx_alt(b, first.p, first.n);
    dv__vec_free(&first, sizeof(dv_gx), &b->bud);
    return x;
}

/* Where counting is needed: what follows a property depends on how many there were. Limits that hold anyway are dropped. */
static bool plan_counts(object *o)
{
    enum { MAX_CELLS = 1024, MAX_EXTRAS = 64 };
    const size_t n = json_object_size(o->props);
    size_t needed = 0;
    const char *name;
    json_t *v;
    json_object_foreach(o->props, name, v) needed += needs(o, name);
    if (o->min > o->max || needed > o->max)
        return dv__schema_refuse(o->s, "maxProperties", "is less than what must be there") >= 0;
    if (n == 0)
        return true;
    if (o->extra < 0 && o->min > n)
        return dv__schema_refuse(o->s, "minProperties", "is more than there can be") >= 0;
    if (o->extra < 0 && o->max >= n)
        o->max = DV__INF;
    if (o->min <= needed)
        o->min = DV_MIN(o->min, 1u);
    const uint32_t counted = o->max < DV__INF ? o->max : o->min;
    o->columns = DV_MAX(DV_MIN(counted, (uint32_t)n), 1u);
    if (o->columns > 1 && n * o->columns > MAX_CELLS)
        return dv__schema_refuse(o->s, o->max < DV__INF ? "maxProperties" : "minProperties",
                                 "beside so many optional properties cannot be enforced") >= 0;
    if (o->extra >= 0 && counted > MAX_EXTRAS)
        return dv__schema_refuse(o->s, o->max < DV__INF ? "maxProperties" : "minProperties",
                                 "above 64 beside declared properties cannot be enforced") >= 0;
    return true;
}

static dv_gx build(object *o)
{
    dv__schema *s = o->s;
    dv_grammar_builder *b = s->b;
    const size_t n = json_object_size(o->props);
    if (!make_extra(o) || !plan_counts(o))
        return -1;
    if (n == 0 && o->extra >= 0)
        return dv__json_list(b, s->space, "{", o->extra, "}", o->min, o->max);
    if (n == 0 && o->min > 0)
        return dv__schema_refuse(s, "minProperties", "is more than there can be");
    const char **name = dv__take(n, sizeof *name, &b->bud);
    const char *key;
    json_t *v;
    size_t i = 0;
    dv_gx x = -1;
    if (name != NULL) {
        json_object_foreach(o->props, key, v) name[i++] = key;
        if (make_pairs(o))
            x = members(o, name);
    }
    dv__take_back(name, n, sizeof *name, &b->bud);
    dv_gx in = dv__json_space(b, s->space, false);
    x = dv_gx_seq(b, (dv_gx[]){dv__x_str(b, "{"), in, x, in, dv__x_str(b, "}")}, 5);
    return dv__rule_of(b, dv_buf_str(&s->path), DV__RULE_PLAIN, x);
}

dv_gx dv__schema_object(dv__schema *s, const json_t *schema)
{
    object o = {.s = s, .max = DV__INF, .extra = -1};
    const json_t *props = json_object_get(schema, "properties"),
                 *unevaluated = json_object_get(schema, "unevaluatedProperties");
    o.patterns = json_object_get(schema, "patternProperties");
    if (o.patterns != NULL && !json_is_object(o.patterns))
        return dv__schema_refuse(s, "patternProperties", "is not an object");
    if (json_is_object(unevaluated))
        return dv__schema_refuse(s, "unevaluatedProperties", "that is a schema is not supported");
    if (!dv__schema_uint(s, schema, "minProperties", &o.min) || !dv__schema_uint(s, schema, "maxProperties", &o.max))
        return -1;
    o.props = props != NULL ? json_copy((json_t *)props) : json_object();
    o.needed = json_object();
    dv_gx x = -1;
    if (o.props == NULL || o.needed == NULL) {
        oom(s);
    } else {
        read_rest(&o, schema);
        if (read_required(&o, schema) && drop_false(&o) && read_names(&o, schema))
            x = build(&o);
    }
    dv__vec_free(&o.cont, sizeof(dv_gx), &s->b->bud);
    dv__vec_free(&o.pair, sizeof(dv_gx), &s->b->bud);
    json_decref(o.props);
    json_decref(o.needed);
    json_decref(o.rest);
    return x;
}
