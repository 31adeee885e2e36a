/* SPDX-License-Identifier: MIT */
#include "grammar/json.h"

#include "base/err.h"
#include "base/utf8.h"

#include <string.h>

dv_gx dv__json_space(dv_grammar_builder *b, dv_grammar_space space, bool behind)
{
    if (space == DV_GRAMMAR_SPACE_FREE) {
        dv_gx blank = dv__x_class(b, (dv__range[]){{' ', ' '}, {'\t', '\t'}}, 2, false);
        dv_gx line = dv__x_seq2(b, dv__x_str(b, "\n"), dv_gx_repeat(b, blank, 0, 20));
        return dv__x_opt(b, dv__x_alt2(b, dv__x_str(b, " "), line));
    }
    return space == DV_GRAMMAR_SPACE_ONE && behind ? dv__x_opt(b, dv__x_str(b, " ")) : dv__x_empty(b);
}

static dv_gx hex_class(dv_grammar_builder *b, const char *of)
{
    dv__range r[22];
    size_t n = 0;
    for (; *of != 0; of++)
        r[n++] = (dv__range){(unsigned char)*of, (unsigned char)*of};
    return dv__x_class(b, r, n, false);
}

/* A character of a string: raw, or any escape but halves of surrogate pairs. */
static dv_gx string_char(dv_grammar_builder *b)
{
    dv_gx hex = hex_class(b, "0123456789abcdefABCDEF"), d = hex_class(b, "dD");
    dv_gx hex2 = dv_gx_repeat(b, hex, 2, 2), hex3 = dv_gx_repeat(b, hex, 3, 3);
    dv_gx plain = dv__x_seq2(b, hex_class(b, "0123456789abcefABCEF"), hex3);
    dv_gx low_d = dv_gx_seq(b, (dv_gx[]){d, hex_class(b, "01234567"), hex2}, 3);
    dv_gx pair = dv_gx_seq(
        b, (dv_gx[]){d, hex_class(b, "89abAB"), hex2, dv__x_str(b, "\\u"), d, hex_class(b, "cdefCDEF"), hex2}, 7);
    dv_gx unicode = dv__x_seq2(b, dv__x_str(b, "u"), dv_gx_alt(b, (dv_gx[]){plain, low_d, pair}, 3));
    dv_gx escape = dv__x_seq2(b, dv__x_str(b, "\\"), dv__x_alt2(b, hex_class(b, "\"\\/bfnrt"), unicode));
    dv_gx raw = dv__x_class(b, (dv__range[]){{0x20, 0x21}, {0x23, 0x5b}, {0x5d, 0x10ffff}}, 3, false);
    return dv__x_alt2(b, raw, escape);
}

static int32_t rule_of_ref(const dv_grammar_builder *b, dv_gx ref)
{
    return dv__failed(b) ? -1 : (int32_t)DV__AT(b->expr, dv__expr, ref).at;
}

dv_gx dv__json_string(dv_grammar_builder *b, uint32_t min, uint32_t max)
{
    if (b->json_string < 0 && !dv__failed(b)) {
        dv_gx one =
            dv_gx_seq(b, (dv_gx[]){dv__x_mark(b, DV__MARK_MORE), string_char(b), dv__x_mark(b, DV__MARK_COUNT)}, 3);
        dv_gx quote = dv__x_str(b, "\"");
        b->json_string = dv__rule_of(b, "string", DV__RULE_COUNTED,
                                     dv_gx_seq(b,
                                               (dv_gx[]){quote, dv_gx_repeat(b, one, 0, DV_GRAMMAR_UNBOUNDED),
                                                         dv__x_mark(b, DV__MARK_EXIT), quote},
                                               4));
        if (b->json_string >= 0)
            DV__AT(b->rule, dv__rule_src, rule_of_ref(b, b->json_string)).max = DV__INF;
    }
    if (dv__failed(b) || (min == 0 && max >= DV__INF))
        return b->json_string;
    return dv__rule_counted(b, rule_of_ref(b, b->json_string), min, DV_MIN(max, (uint32_t)DV__INF));
}

static dv_gx digits(dv_grammar_builder *b, char lo, uint32_t min, uint32_t max)
{
    return dv_gx_repeat(b, dv__x_class(b, (dv__range[]){{(unsigned char)lo, '9'}}, 1, false), min, max);
}

dv_gx dv__json_integer(dv_grammar_builder *b)
{
    if (b->json_int < 0 && !dv__failed(b)) {
        dv_gx other =
            dv_gx_seq(b, (dv_gx[]){dv__x_opt(b, dv__x_str(b, "-")), digits(b, '1', 1, 1), digits(b, '0', 0, 17)}, 3);
        b->json_int = dv__rule_of(b, "integer", DV__RULE_PLAIN, dv__x_alt2(b, dv__x_str(b, "0"), other));
    }
    return b->json_int;
}

/* Digits are bounded, so that a number ends; so is the exponent, so that it is finite. */
dv_gx dv__json_number(dv_grammar_builder *b)
{
    if (b->json_num < 0 && !dv__failed(b)) {
        dv_gx whole = dv__x_alt2(b, dv__x_str(b, "0"), dv__x_seq2(b, digits(b, '1', 1, 1), digits(b, '0', 0, 17)));
        dv_gx fraction = dv__x_opt(b, dv__x_seq2(b, dv__x_str(b, "."), digits(b, '0', 1, 17)));
        dv_gx sign = dv__x_opt(b, hex_class(b, "+-")), minus = dv__x_opt(b, dv__x_str(b, "-"));
        dv_gx exponent = dv__x_opt(b, dv_gx_seq(b, (dv_gx[]){hex_class(b, "eE"), sign, digits(b, '0', 1, 2)}, 3));
        b->json_num =
            dv__rule_of(b, "number", DV__RULE_PLAIN, dv_gx_seq(b, (dv_gx[]){minus, whole, fraction, exponent}, 4));
    }
    return b->json_num;
}

dv_gx dv__json_key_text(dv_grammar_builder *b)
{
    return dv_gx_repeat(b, dv__x_class(b, (dv__range[]){{0x20, 0x21}, {0x23, 0x5b}, {0x5d, 0x10ffff}}, 3, false), 0,
                        DV_GRAMMAR_UNBOUNDED);
}

dv_gx dv__json_pair(dv_grammar_builder *b, dv_grammar_space space, dv_gx key, dv_gx value)
{
    return dv_gx_seq(b, (dv_gx[]){dv__x_str(b, "\""), key, dv__x_str(b, ":"), dv__json_space(b, space, true), value},
                     5);
}

dv_gx dv__json_list(dv_grammar_builder *b, dv_grammar_space space, const char *open, dv_gx item, const char *close,
                    uint32_t min, uint32_t max)
{
    const bool counted = min > 1 || max < DV__INF;
    dv_gx more = counted ? dv__x_mark(b, DV__MARK_MORE) : dv__x_empty(b);
    dv_gx exit = counted ? dv__x_mark(b, DV__MARK_EXIT) : dv__x_empty(b);
    dv_gx count = counted ? dv__x_mark(b, DV__MARK_COUNT) : dv__x_empty(b);
    dv_gx in = dv__json_space(b, space, false), behind = dv__json_space(b, space, true);
    /* The guard stands in front of the white space before the bracket: behind it there would be no way but the bracket. */
    dv_gx end = dv__x_seq2(b, exit, dv__x_str(b, close)),
          last = dv_gx_seq(b, (dv_gx[]){exit, in, dv__x_str(b, close)}, 3);
    dv_gx next = dv_gx_seq(b, (dv_gx[]){more, dv__x_str(b, ","), behind, item, count}, 5);
    dv_gx some = dv_gx_seq(b, (dv_gx[]){more, item, count, dv_gx_repeat(b, next, 0, DV_GRAMMAR_UNBOUNDED), last}, 5);
    dv_gx body =
        dv_gx_seq(b, (dv_gx[]){dv__x_str(b, open), in, min == 1 && !counted ? some : dv__x_alt2(b, end, some)}, 3);
    dv_gx ref = dv__rule_of(b, "list", counted ? DV__RULE_COUNTED : DV__RULE_PLAIN, body);
    if (counted && ref >= 0 && !dv__failed(b)) {
        dv__rule_src *r = &DV__AT(b->rule, dv__rule_src, rule_of_ref(b, ref));
        r->min = min;
        r->max = DV_MIN(max, (uint32_t)DV__INF);
    }
    return ref;
}

dv_gx dv__json_object(dv_grammar_builder *b, dv_grammar_space space)
{
    if (b->json_object[space] < 0 && !dv__failed(b)) {
        dv_gx value = dv__json_value(b, space);
        if (b->json_object[space] >= 0)
            return b->json_object[space]; /* the value made it */
        dv_gx key = dv__rule_of(b, "key", DV__RULE_KEY, dv__x_seq2(b, dv__json_key_text(b), dv__x_str(b, "\"")));
        b->json_object[space] = dv__json_list(b, space, "{", dv__json_pair(b, space, key, value), "}", 0, DV__INF);
    }
    return b->json_object[space];
}

dv_gx dv__json_value(dv_grammar_builder *b, dv_grammar_space space)
{
    if (b->json_any[space] < 0 && !dv__failed(b)) {
        const int32_t rule = dv__rule_new(b, "value", 5, DV__RULE_PLAIN);
        b->json_any[space] = dv__x_ref(b, rule);
        dv_gx kinds[] = {dv__json_object(b, space),
                         dv__json_list(b, space, "[", b->json_any[space], "]", 0, DV__INF),
                         dv__json_string(b, 0, DV__INF),
                         dv__json_number(b),
                         dv__x_str(b, "true"),
                         dv__x_str(b, "false"),
                         dv__x_str(b, "null")};
        dv_gx body = dv_gx_alt(b, kinds, DV_ARRAY_LEN(kinds));
        if (rule >= 0)
            dv__rule_body(b, rule, body);
    }
    return b->json_any[space];
}

dv_gx dv__json_text(dv_grammar_builder *b, const char *s, size_t n)
{
    dv_buf t;
    dv_buf_init(&t, 0);
    for (size_t i = 0; i < n; i++) {
        static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
        const char *p = s[i] != 0 ? strchr(from, s[i]) : NULL;
        if (p != NULL)
            dv_buf_printf(&t, "\\%c", to[p - from]);
        else if ((unsigned char)s[i] < 0x20)
            dv_buf_printf(&t, "\\u%04x", (unsigned)(unsigned char)s[i]);
        else
            dv_buf_addc(&t, s[i]);
    }
    dv_gx x = -1;
    if (t.code != 0)
        dv_fail(&b->err, t.code, "out of memory for a text");
    else if (dv__source(b, t.len))
        x = dv_gx_literal(b, dv_buf_str(&t), t.len);
    dv_buf_fini(&t);
    return x;
}

static dv_gx quoted(dv_grammar_builder *b, const char *s, size_t n)
{
    return dv_gx_seq(b, (dv_gx[]){dv__x_str(b, "\""), dv__json_text(b, s, n), dv__x_str(b, "\"")}, 3);
}

static dv_gx const_list(dv_grammar_builder *b, dv_grammar_space space, const json_t *v, uint32_t depth)
{
    const bool object = json_is_object(v);
    dv_gx x = dv__x_seq2(b, dv__x_str(b, object ? "{" : "["), dv__json_space(b, space, false));
    dv_gx comma = dv__x_seq2(b, dv__x_str(b, ","), dv__json_space(b, space, true)), first = x;
    dv__vec kids = {0};
    void *it = object ? json_object_iter((json_t *)v) : NULL;
    const size_t n = object ? json_object_size(v) : json_array_size(v);
    for (size_t i = 0; i < n && !dv__failed(b); i++) {
        dv_gx value = dv__json_const(b, space, object ? json_object_iter_value(it) : json_array_get(v, i), depth + 1);
        if (object) {
            const char *key = json_object_iter_key(it);
            dv_gx colon = dv__x_seq2(b, dv__x_str(b, ":"), dv__json_space(b, space, true));
            value = dv_gx_seq(b, (dv_gx[]){quoted(b, key, strlen(key)), colon, value}, 3);
            it = json_object_iter_next((json_t *)v, it);
        }
        dv_gx *p = dv__failed(b) ? NULL : dv__vec_push(&kids, sizeof *p, 2, &b->bud);
        if (p != NULL) {
            p[0] = i == 0 ? first : comma;
            p[1] = value;
        }
    }
    if (!dv__failed(b))
        x = n == 0 ? first : dv_gx_seq(b, kids.p, kids.n);
    dv__vec_free(&kids, sizeof(dv_gx), &b->bud);
    return dv_gx_seq(b, (dv_gx[]){x, dv__json_space(b, space, false), dv__x_str(b, object ? "}" : "]")}, 3);
}

dv_gx dv__json_const(dv_grammar_builder *b, dv_grammar_space space, const json_t *v, uint32_t depth)
{
    dv_buf t;
    if (depth > b->limits.max_depth)
        dv_fail(&b->err, DV_ELIMIT, "a constant is nested more than %u deep", (unsigned)b->limits.max_depth);
    if (dv__failed(b))
        return -1;
    switch (json_typeof(v)) {
    case JSON_STRING: return quoted(b, json_string_value(v), json_string_length(v));
    case JSON_TRUE: return dv__x_str(b, "true");
    case JSON_FALSE: return dv__x_str(b, "false");
    case JSON_NULL: return dv__x_str(b, "null");
    case JSON_OBJECT:
    case JSON_ARRAY: return const_list(b, space, v, depth);
    case JSON_INTEGER:
    case JSON_REAL: break;
    }
    dv_buf_init(&t, 0);
    if (json_is_integer(v))
        dv_buf_printf(&t, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    else
        dv_buf_json_num(&t, json_real_value(v));
    dv_gx x = -1;
    if (t.code != 0)
        dv_fail(&b->err, t.code, "out of memory for a number");
    else
        x = dv_gx_literal(b, dv_buf_str(&t), t.len);
    dv_buf_fini(&t);
    return x;
}
