/* SPDX-License-Identifier: MIT */
/* The regular part of ECMAScript's patterns (ECMA-262 22.2, with the u flag, as JSON Schema validators use them): alternatives, groups, classes,
 * quantifiers, and the anchors at the ends of the whole pattern's alternatives. Look-around, back references, \b and \p have no counterpart
 * here and are refused by name. In JSON mode a character stands for how a JSON string spells it: raw, or with the shortest escape. */
#include "grammar/json.h"

#include "base/err.h"
#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

typedef struct parser {
    dv_grammar_builder *b;
    const char *text, *p, *end;
    uint32_t depth;
    bool json, whole;
} parser;

static const dv__range digits[] = {{'0', '9'}};
static const dv__range word[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
static const dv__range space[] = {{9, 13},          {32, 32},         {0xa0, 0xa0},     {0x1680, 0x1680},
                                  {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f},
                                  {0x3000, 0x3000}, {0xfeff, 0xfeff}};

static dv_gx parse_alternatives(parser *s);

static dv_gx fail_at(parser *s, const char *at, const char *what)
{
    dv_fail(&s->b->err, DV_EINVAL, "pattern, at byte %zu: %s", (size_t)(at - s->text), what);
    return -1;
}

static bool at(const parser *s, char c) { return s->p < s->end && *s->p == c; }

/* How a JSON string spells characters that it cannot hold as they are. */
static dv_gx json_escape(dv_grammar_builder *b, uint32_t cp)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    char text[8];
    const char *short_form = cp != 0 ? strchr(from, (int)cp) : NULL;
    if (short_form != NULL)
        snprintf(text, sizeof text, "\\%c", to[short_form - from]);
    else
        snprintf(text, sizeof text, "\\u%04x", (unsigned)cp);
    return dv__x_str(b, text);
}

dv_gx dv__x_json_class(dv_grammar_builder *b, dv__range *r, size_t n)
{
    static const dv__range raw[] = {{0x20, 0x21}, {0x23, 0x5b}, {0x5d, 0x10ffff}};
    dv_gx part[48];
    size_t n_part = 0, m = 0;
    n = dv__ranges_normal(r, n);
    dv__range *keep = dv__take(3 * n + 1, sizeof *keep, &b->bud);
    if (keep == NULL)
        return -1;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < DV_ARRAY_LEN(raw); k++) {
            const uint32_t lo = DV_MAX(r[i].lo, raw[k].lo), hi = DV_MIN(r[i].hi, raw[k].hi);
            if (lo <= hi)
                keep[m++] = (dv__range){lo, hi};
        }
        for (uint32_t c = r[i].lo; c <= r[i].hi && c <= '\\'; c++)
            if (c < 0x20 || c == '"' || c == '\\')
                part[n_part++] = json_escape(b, c);
    }
    if (m > 0)
        part[n_part++] = dv__x_class(b, keep, m, false);
    dv__take_back(keep, 3 * n + 1, sizeof *keep, &b->bud);
    return dv_gx_alt(b, part, n_part);
}

static dv_gx class_of(parser *s, dv__range *r, size_t n)
{
    return s->json ? dv__x_json_class(s->b, r, n) : dv__x_class(s->b, r, n, false);
}

static dv_gx any_text(parser *s)
{
    return dv_gx_repeat(s->b, class_of(s, (dv__range[]){{0, 0x10ffff}}, 1), 0, DV_GRAMMAR_UNBOUNDED);
}

static bool add_ranges(parser *s, dv__vec *v, const dv__range *r, size_t n)
{
    dv__range *p = dv__vec_push(v, sizeof *p, n, &s->b->bud);
    if (p != NULL && n > 0)
        memcpy(p, r, n * sizeof *p);
    return p != NULL;
}

static bool add_not(parser *s, dv__vec *v, const dv__range *r, size_t n)
{
    dv__range in[16], out[17];
    memcpy(in, r, n * sizeof *r);
    return add_ranges(s, v, out, dv__ranges_not(in, n, out));
}

static bool take_hex(parser *s, int n, uint32_t *cp)
{
    const char *start = s->p;
    *cp = 0;
    for (int i = 0; i < n; i++, s->p++) {
        const char c = s->p < s->end ? *s->p : 0;
        if (!((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f')))
            return fail_at(s, start, "an escape without its hexadecimal digits") >= 0;
        *cp = *cp << 4 | (uint32_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
    return true;
}

/* \uXXXX, also as a surrogate pair, and \u{X...}. */
static bool take_unicode(parser *s, uint32_t *cp)
{
    const char *start = s->p;
    if (at(s, '{')) {
        *cp = 0;
        for (s->p++; !at(s, '}');) {
            uint32_t digit;
            if (!take_hex(s, 1, &digit))
                return false;
            *cp = *cp << 4 | digit;
            if (*cp > 0x10ffff)
                return fail_at(s, start, "not a Unicode character") >= 0;
        }
        s->p++;
        return true;
    }
    uint32_t low;
    if (!take_hex(s, 4, cp))
        return false;
    if (*cp >= 0xd800 && *cp <= 0xdbff && s->end - s->p >= 6 && s->p[0] == '\\' && s->p[1] == 'u') {
        s->p += 2;
        if (!take_hex(s, 4, &low))
            return false;
        *cp = 0x10000 + ((*cp - 0xd800) << 10) + ((low - 0xdc00) & 0x3ff);
    }
    return true;
}

/* Behind a backslash: one character in *cp, or a class that is added to v (*cp is then UINT32_MAX). */
static bool take_escape(parser *s, dv__vec *v, uint32_t *cp)
{
    const char *start = s->p - 1;
    const char c = s->p < s->end ? *s->p++ : 0;
    *cp = UINT32_MAX;
    switch (c) {
    case 'd': return add_ranges(s, v, digits, DV_ARRAY_LEN(digits));
    case 'D': return add_not(s, v, digits, DV_ARRAY_LEN(digits));
    case 'w': return add_ranges(s, v, word, DV_ARRAY_LEN(word));
    case 'W': return add_not(s, v, word, DV_ARRAY_LEN(word));
    case 's': return add_ranges(s, v, space, DV_ARRAY_LEN(space));
    case 'S': return add_not(s, v, space, DV_ARRAY_LEN(space));
    case 't': *cp = '\t'; return true;
    case 'n': *cp = '\n'; return true;
    case 'v': *cp = '\v'; return true;
    case 'f': *cp = '\f'; return true;
    case 'r': *cp = '\r'; return true;
    case '0': *cp = 0; return true;
    case 'x': return take_hex(s, 2, cp);
    case 'u': return take_unicode(s, cp);
    case 'b':
    case 'B': return fail_at(s, start, "\\b is not supported") >= 0;
    case 'p':
    case 'P': return fail_at(s, start, "\\p is not supported") >= 0;
    default: break;
    }
    if (c >= '1' && c <= '9')
        return fail_at(s, start, "back references are not supported") >= 0;
    if (c != 0 && strchr("^$\\.*+?()[]{}|/-\"'#&,:;<=>@!%~` _", c) != NULL) {
        *cp = (unsigned char)c;
        return true;
    }
    return fail_at(s, start, "an unknown escape") >= 0;
}

static bool take_char(parser *s, uint32_t *cp)
{
    const char *start = s->p;
    int n = dv_utf8_decode(s->p, (size_t)(s->end - s->p), cp);
    if (n <= 0)
        return fail_at(s, start, "not UTF-8, or the end of the text within a class") >= 0;
    s->p += n;
    return true;
}

/* One end of a range, or a class escape. */
static bool take_class_atom(parser *s, dv__vec *v, uint32_t *cp)
{
    if (!at(s, '\\'))
        return take_char(s, cp);
    s->p++;
    if (at(s, 'b')) {
        s->p++;
        *cp = '\b';
        return true;
    }
    return take_escape(s, v, cp);
}

static dv_gx parse_class(parser *s)
{
    dv__vec v = {0}, no = {0};
    dv_gx x = -1;
    const char *start = s->p++;
    const bool negated = at(s, '^');
    s->p += negated;
    while (!dv__failed(s->b) && !at(s, ']')) {
        dv__range r;
        if (!take_class_atom(s, &v, &r.lo))
            break;
        r.hi = r.lo;
        if (s->end - s->p >= 2 && s->p[0] == '-' && s->p[1] != ']') {
            s->p++;
            if (!take_class_atom(s, &v, &r.hi))
                break;
            if (r.lo == UINT32_MAX || r.hi == UINT32_MAX || r.hi < r.lo)
                fail_at(s, start, "a range that has no two ends in order");
        }
        if (r.lo != UINT32_MAX && !dv__failed(s->b))
            add_ranges(s, &v, &r, 1);
    }
    if (!dv__failed(s->b)) {
        s->p++;
        dv__range none[1] = {{0, 0}}, *r = v.n > 0 ? v.p : none;
        size_t n = dv__ranges_normal(r, v.n);
        if (negated && dv__vec_push(&no, sizeof *r, n + 1, &s->b->bud) != NULL) {
            n = dv__ranges_not(r, n, no.p);
            r = no.p;
        }
        x = dv__failed(s->b) ? -1 : class_of(s, r, n);
    }
    dv__vec_free(&v, sizeof(dv__range), &s->b->bud);
    dv__vec_free(&no, sizeof(dv__range), &s->b->bud);
    return x;
}

static dv_gx parse_group(parser *s)
{
    const char *start = s->p++;
    if (s->end - s->p >= 2 && s->p[0] == '?') {
        if (s->p[1] == ':') {
            s->p += 2;
        } else if (s->p[1] == '<' && s->end - s->p >= 3 && s->p[2] != '=' && s->p[2] != '!') {
            while (s->p < s->end && *s->p != '>')
                s->p++;
            s->p += s->p < s->end;
        } else {
            return fail_at(s, start, "look-around is not supported");
        }
    }
    if (++s->depth > s->b->limits.max_depth) {
        dv_fail(&s->b->err, DV_ELIMIT, "pattern: groups are nested more than %u deep",
                (unsigned)s->b->limits.max_depth);
        return -1;
    }
    dv_gx x = parse_alternatives(s);
    s->depth--;
    if (x >= 0 && !at(s, ')'))
        return fail_at(s, start, "a group that is not closed");
    s->p++;
    return x;
}

static dv_gx parse_atom(parser *s)
{
    const char *start = s->p;
    uint32_t cp;
    switch (*s->p) {
    case '(': return parse_group(s);
    case '[': return parse_class(s);
    case '.': s->p++; return class_of(s, (dv__range[]){{0, 9}, {11, 12}, {14, 0x2027}, {0x202a, 0x10ffff}}, 4);
    case '^':
    case '$': return fail_at(s, start, "an anchor that is not at an end of the pattern");
    case '*':
    case '+':
    case '?':
    case '{':
    case '}':
    case ']': return fail_at(s, start, "a character that needs a backslash here");
    default: break;
    }
    if (!at(s, '\\'))
        return take_char(s, &cp) ? class_of(s, (dv__range[]){{cp, cp}}, 1) : -1;
    dv__vec v = {0};
    dv_gx x = -1;
    s->p++;
    if (take_escape(s, &v, &cp))
        x = cp == UINT32_MAX ? class_of(s, v.p, v.n) : class_of(s, (dv__range[]){{cp, cp}}, 1);
    dv__vec_free(&v, sizeof(dv__range), &s->b->bud);
    return x;
}

static bool take_number(parser *s, uint32_t *out)
{
    const char *start = s->p;
    uint64_t v = 0;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9' && v < UINT32_MAX)
        v = v * 10 + (uint64_t)(*s->p++ - '0');
    *out = (uint32_t)v;
    if (s->p == start || v >= INT32_MAX)
        fail_at(s, start, "a repetition that is not {m}, {m,} or {m,n}, or too large");
    return !dv__failed(s->b);
}

static dv_gx parse_repeated(parser *s)
{
    dv_gx x = parse_atom(s);
    while (x >= 0 && s->p < s->end && *s->p != 0 && strchr("*+?{", *s->p) != NULL) {
        const char *start = s->p, c = *s->p++;
        uint32_t min = c == '+', max = c == '?' ? 1 : DV_GRAMMAR_UNBOUNDED;
        if (c == '{') {
            if (!take_number(s, &min))
                return -1;
            max = min;
            if (at(s, ',')) {
                s->p++;
                max = DV_GRAMMAR_UNBOUNDED;
                if (!at(s, '}') && !take_number(s, &max))
                    return -1;
            }
            if (!at(s, '}') || max < min)
                return fail_at(s, start, "a repetition that is not {m}, {m,} or {m,n}");
            s->p++;
        }
        s->p += at(s, '?'); /* as few as possible: the same texts */
        x = dv_gx_repeat(s->b, x, min, max);
        if (s->p < s->end && *s->p != 0 && strchr("*+?{", *s->p) != NULL)
            return fail_at(s, s->p, "a repetition of a repetition");
    }
    return x;
}

/* A sequence; at the outermost level its anchors say on which sides other text may be. */
static dv_gx parse_sequence(parser *s)
{
    dv__vec kids = {0};
    dv_gx x = -1, kid = 0;
    const bool outer = s->depth == 0;
    bool begin = s->whole, end = s->whole;
    while (outer && at(s, '^')) {
        begin = true;
        s->p++;
    }
    while (kid >= 0 && s->p < s->end && *s->p != '|' && *s->p != ')') {
        if (outer && *s->p == '$' && (s->end - s->p == 1 || s->p[1] == '|')) {
            end = true;
            s->p++;
            break;
        }
        kid = parse_repeated(s);
        dv_gx *p = kid < 0 ? NULL : dv__vec_push(&kids, sizeof kid, 1, &s->b->bud);
        if (p != NULL)
            *p = kid;
    }
    if (!dv__failed(s->b))
        x = dv_gx_seq(s->b, kids.p, kids.n);
    dv__vec_free(&kids, sizeof(dv_gx), &s->b->bud);
    if (outer && !begin && x >= 0)
        x = dv__x_seq2(s->b, any_text(s), x);
    if (outer && !end && x >= 0)
        x = dv__x_seq2(s->b, x, any_text(s));
    return x;
}

static dv_gx parse_alternatives(parser *s)
{
    dv__vec kids = {0};
    dv_gx x = -1;
    for (;;) {
        dv_gx kid = parse_sequence(s), *p = kid < 0 ? NULL : dv__vec_push(&kids, sizeof kid, 1, &s->b->bud);
        if (p == NULL)
            break;
        *p = kid;
        if (!at(s, '|'))
            break;
        s->p++;
    }
    if (!dv__failed(s->b))
        x = dv_gx_alt(s->b, kids.p, kids.n);
    dv__vec_free(&kids, sizeof(dv_gx), &s->b->bud);
    return x;
}

dv_gx dv__regex(dv_grammar_builder *b, const char *text, size_t len, bool whole, bool json)
{
    parser s = {.b = b, .text = text, .p = text, .end = text + len, .json = json, .whole = whole};
    if (!dv__source(b, len))
        return -1;
    dv_gx x = parse_alternatives(&s);
    if (x >= 0 && s.p < s.end)
        return fail_at(&s, s.p, "a parenthesis that is not open");
    return x;
}

dv_gx dv_gx_regex(dv_grammar_builder *b, const char *text, size_t len) { return dv__regex(b, text, len, true, false); }
