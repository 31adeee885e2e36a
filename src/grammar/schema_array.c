/* SPDX-License-Identifier: MIT */
/* Lists. Items at fixed places are always all there; what follows them is as the schema says, and nothing if it does not say. */
#include "grammar/schema.h"

#include "base/err.h"

enum { MAX_COPIES = 2000 }; /* of items behind fixed ones */

static dv_gx item(dv__schema *s, const json_t *schema, const char *key)
{
    const size_t len = dv__schema_enter(s, key, 0);
    dv_gx x = schema == NULL ? dv__json_value(s->b, s->space) : dv__schema_rule(s, schema);
    dv__schema_leave(s, len);
    return x;
}

static dv_gx tuple(dv__schema *s, const json_t *fixed, const json_t *rest, uint32_t min, uint32_t max)
{
    dv_grammar_builder *b = s->b;
    uint32_t n = (uint32_t)json_array_size(fixed);
    dv_gx comma = dv__x_seq2(b, dv__x_str(b, ","), dv__json_space(b, s->space, true)),
          in = dv__json_space(b, s->space, false);
    dv_gx x = dv__x_seq2(b, dv__x_str(b, "["), in);
    n = DV_MIN(n, max);
    const size_t len = dv__schema_enter(s, "prefixItems", 0);
    for (uint32_t i = 0; i < n && x >= 0; i++) {
        const size_t inner = dv__schema_enter(s, NULL, i);
        dv_gx one = dv__schema_rule(s, json_array_get(fixed, i));
        dv__schema_leave(s, inner);
        x = i == 0 ? dv__x_seq2(b, x, one) : dv_gx_seq(b, (dv_gx[]){x, comma, one}, 3);
    }
    dv__schema_leave(s, len);
    const bool none = json_is_false(rest) || (rest == NULL && min <= n);
    if (none && min > n)
        return dv__schema_refuse(s, "minItems", "is more than there can be");
    if (!none) {
        const uint32_t from = min > n ? min - n : 0, to = max >= DV__INF ? DV_GRAMMAR_UNBOUNDED : max - n;
        if (from > MAX_COPIES || (to > MAX_COPIES && to != DV_GRAMMAR_UNBOUNDED))
            return dv__schema_refuse(s, "maxItems", "beside prefixItems is at most 2000");
        dv_gx more = item(s, rest, "items");
        x = dv__x_seq2(b, x, dv_gx_repeat(b, dv__x_seq2(b, comma, more), from, to));
    }
    return dv__rule_of(b, "list", DV__RULE_PLAIN, dv_gx_seq(b, (dv_gx[]){x, in, dv__x_str(b, "]")}, 3));
}

dv_gx dv__schema_array(dv__schema *s, const json_t *schema)
{
    uint32_t min = 0, max = DV__INF;
    const json_t *items = json_object_get(schema, "items"), *fixed = json_object_get(schema, "prefixItems");
    const json_t *unevaluated = json_object_get(schema, "unevaluatedItems");
    if (!dv__schema_uint(s, schema, "minItems", &min) || !dv__schema_uint(s, schema, "maxItems", &max))
        return -1;
    if (min > max)
        return dv__schema_refuse(s, "minItems", "is greater than maxItems");
    if (json_is_true(json_object_get(schema, "uniqueItems")) && max > 1)
        return dv__schema_refuse(s, "uniqueItems", "cannot be enforced");
    if (unevaluated != NULL && !json_is_boolean(unevaluated))
        return dv__schema_refuse(s, "unevaluatedItems", "that is a schema is not supported");
    if (json_is_array(items)) { /* draft 7: items at fixed places, then additionalItems */
        if (fixed != NULL)
            return dv__schema_refuse(s, "items", "is a list beside prefixItems");
        fixed = items;
        items = json_object_get(schema, "additionalItems");
    }
    if (fixed != NULL && !json_is_array(fixed))
        return dv__schema_refuse(s, "prefixItems", "is not a list");
    if (json_array_size(fixed) > 500)
        return dv__schema_refuse(s, "prefixItems", "has more than 500 items");
    if (json_is_false(unevaluated) && items == NULL)
        items = unevaluated;
    if (json_array_size(fixed) > 0 && max > 0)
        return tuple(s, fixed, items, min, max);
    if (json_is_false(items)) {
        if (min > 0)
            return dv__schema_refuse(s, "minItems", "is more than there can be");
        max = 0;
        items = NULL;
    }
    if (max == 0)
        items = json_true(); /* of none, whatever it says */
    return dv__json_list(s->b, s->space, "[", item(s, items, "items"), "]", min, max);
}
