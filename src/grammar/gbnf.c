/* SPDX-License-Identifier: MIT */
/* GBNF, the grammar notation of llama.cpp, by its documentation (grammars/README.md): rules `name ::= ...`, literals, character classes,
 * groups, `|`, the repetitions ? * + {m,n}, `.`, comments, and tokens as <[12]>, <name> and with `!`. A rule ends with its line; inside
 * of parentheses and behind `|` lines go on. */
#include "grammar/expr.h"

#include "base/err.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

typedef struct parser {
    dv_grammar_builder *b;
    const char *text, *p, *end;
    uint32_t depth;
    dv__vec slot; /* uint32_t: rule + 1 by hash of its name */
    uint32_t n_name;
} parser;

static dv_gx parse_alternatives(parser *s, bool nested);

static int fail_at(parser *s, const char *at, const char *what)
{
    unsigned line = 1, column = 1;
    for (const char *p = s->text; p < at; p++) {
        line += *p == '\n';
        column = *p == '\n' ? 1 : column + 1;
    }
    return dv_fail(&s->b->err, DV_EFORMAT, "grammar, line %u, column %u: %s", line, column, what);
}

static bool at(const parser *s, char c) { return s->p < s->end && *s->p == c; }

/* Blanks and comments; line ends too if they mean nothing here. */
static void skip(parser *s, bool lines)
{
    while (s->p < s->end) {
        if (*s->p == '#')
            while (s->p < s->end && *s->p != '\n' && *s->p != '\r')
                s->p++;
        else if (*s->p == ' ' || *s->p == '\t' || (lines && (*s->p == '\n' || *s->p == '\r')))
            s->p++;
        else
            return;
    }
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static size_t name_len(const parser *s)
{
    size_t n = 0;
    while (s->p + n < s->end && is_name(s->p[n]))
        n++;
    return n;
}

static uint64_t hash_name(const char *p, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)p[i]) * 0x100000001b3u;
    return h ^ h >> 31;
}

static bool same_name(const parser *s, uint32_t rule, const char *p, size_t n)
{
    const dv__rule_src *r = &DV__AT(s->b->rule, dv__rule_src, rule);
    return r->name_n == n && memcmp(&DV__AT(s->b->byte, char, r->name_at), p, n) == 0;
}

static size_t find_slot(const parser *s, const char *p, size_t n)
{
    const size_t mask = s->slot.n - 1;
    size_t i = hash_name(p, n) & mask;
    while (DV__AT(s->slot, uint32_t, i) != 0 && !same_name(s, DV__AT(s->slot, uint32_t, i) - 1, p, n))
        i = (i + 1) & mask;
    return i;
}

static bool grow_names(parser *s)
{
    dv__vec old = s->slot;
    const size_t cap = old.n == 0 ? 64 : old.n * 2;
    s->slot = (dv__vec){0};
    void *p = dv__vec_push(&s->slot, sizeof(uint32_t), cap, &s->b->bud);
    if (p != NULL)
        memset(p, 0, cap * sizeof(uint32_t));
    for (size_t i = 0; p != NULL && i < old.n; i++) {
        const uint32_t rule1 = DV__AT(old, uint32_t, i);
        if (rule1 == 0)
            continue;
        const dv__rule_src *r = &DV__AT(s->b->rule, dv__rule_src, rule1 - 1);
        DV__AT(s->slot, uint32_t, find_slot(s, &DV__AT(s->b->byte, char, r->name_at), r->name_n)) = rule1;
    }
    dv__vec_free(&old, sizeof(uint32_t), &s->b->bud);
    return p != NULL;
}

/* The rule of a name, made when it is seen first; -1 after an error. */
static int32_t rule_of(parser *s, const char *p, size_t n)
{
    if (dv__failed(s->b) || (2 * (s->n_name + 1) > s->slot.n && !grow_names(s)))
        return -1;
    const size_t i = find_slot(s, p, n);
    if (DV__AT(s->slot, uint32_t, i) != 0)
        return (int32_t)(DV__AT(s->slot, uint32_t, i) - 1);
    int32_t rule = dv__rule_new(s->b, p, n, DV__RULE_PLAIN);
    if (rule >= 0) {
        DV__AT(s->slot, uint32_t, i) = (uint32_t)rule + 1;
        s->n_name++;
    }
    return rule;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool take_hex(parser *s, int digits, uint32_t *cp)
{
    const char *start = s->p;
    *cp = 0;
    for (int i = 0; i < digits; i++) {
        int v = s->p < s->end ? hex_value(*s->p) : -1;
        if (v < 0) {
            fail_at(s, start, "not the hexadecimal digits that the escape needs");
            return false;
        }
        *cp = *cp << 4 | (uint32_t)v;
        s->p++;
    }
    if (*cp <= 0x10ffff && (*cp < 0xd800 || *cp > 0xdfff))
        return true;
    fail_at(s, start, "not a Unicode character");
    return false;
}

/* A character of a literal or class, escapes undone. */
static bool take_char(parser *s, uint32_t *cp)
{
    const char *start = s->p;
    if (!at(s, '\\')) {
        int n = dv_utf8_decode(s->p, (size_t)(s->end - s->p), cp);
        if (n <= 0)
            fail_at(s, start, n == 0 ? "the text ends within a literal or class" : "not UTF-8");
        s->p += n > 0 ? n : 0;
        return n > 0;
    }
    s->p++;
    const char c = s->p < s->end ? *s->p++ : 0;
    switch (c) {
    case 'x': return take_hex(s, 2, cp);
    case 'u': return take_hex(s, 4, cp);
    case 'U': return take_hex(s, 8, cp);
    case 't': *cp = '\t'; return true;
    case 'r': *cp = '\r'; return true;
    case 'n': *cp = '\n'; return true;
    case '\\':
    case '"':
    case '[':
    case ']':
    case '^':
    case '-':
    case '/': *cp = (unsigned char)c; return true;
    default: fail_at(s, start, "an unknown escape"); return false;
    }
}

static dv_gx parse_literal(parser *s)
{
    dv_buf text;
    dv_buf_init(&text, 0);
    s->p++;
    dv_gx x = -1;
    while (!at(s, '"')) {
        uint32_t cp;
        char utf8[4];
        if (!take_char(s, &cp))
            break;
        dv_buf_add(&text, utf8, (size_t)dv_utf8_encode(cp, utf8));
    }
    if (text.code != 0)
        dv_fail(&s->b->err, text.code, "out of memory for a literal");
    if (!dv__failed(s->b)) {
        s->p++;
        x = dv_gx_literal(s->b, dv_buf_str(&text), text.len);
    }
    dv_buf_fini(&text);
    return x;
}

static dv_gx parse_class(parser *s)
{
    dv__vec r = {0};
    const char *start = s->p++;
    const bool negated = at(s, '^');
    s->p += negated;
    while (!dv__failed(s->b) && !at(s, ']')) {
        dv__range *x = dv__vec_push(&r, sizeof *x, 1, &s->b->bud);
        if (x == NULL || !take_char(s, &x->lo))
            break;
        x->hi = x->lo;
        if (s->end - s->p >= 2 && s->p[0] == '-' && s->p[1] != ']') {
            s->p++;
            if (take_char(s, &x->hi) && x->hi < x->lo)
                fail_at(s, start, "a range whose end is before its begin");
        }
    }
    dv_gx x = -1;
    if (!dv__failed(s->b)) {
        s->p++;
        /* dv__x_class needs an array also for no ranges. */
        dv__range none[1] = {{0, 0}};
        x = dv__x_class(s->b, r.n > 0 ? r.p : none, r.n, negated);
    }
    dv__vec_free(&r, sizeof(dv__range), &s->b->bud);
    return x;
}

static bool take_number(parser *s, uint32_t *out)
{
    const char *start = s->p;
    uint64_t v = 0;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9' && v < UINT32_MAX)
        v = v * 10 + (uint64_t)(*s->p++ - '0');
    *out = (uint32_t)v;
    if (s->p == start)
        fail_at(s, start, "a number is missing");
    else if (v >= INT32_MAX)
        fail_at(s, start, "a number that is too large");
    return !dv__failed(s->b);
}

/* <[12]> or <name>, the latter with its brackets. */
static dv_gx parse_token(parser *s)
{
    dv__term t = {.id = -1, .negated = at(s, '!')};
    s->p += t.negated;
    const char *start = s->p;
    if (!at(s, '<'))
        return fail_at(s, start, "'!' without a token behind it"), -1;
    s->p++;
    if (at(s, '[')) {
        uint32_t id;
        s->p++;
        if (!take_number(s, &id))
            return -1;
        t.id = (int32_t)id;
        if (s->end - s->p < 2 || s->p[0] != ']' || s->p[1] != '>')
            return fail_at(s, start, "a token that does not end with ']>'"), -1;
        s->p += 2;
        return dv__x_term(s->b, t);
    }
    while (s->p < s->end && *s->p != '>' && *s->p != '\n')
        s->p++;
    if (!at(s, '>'))
        return fail_at(s, start, "a token that does not end with '>'"), -1;
    s->p++;
    t.text_n = (uint32_t)(s->p - start);
    dv_gx keep = dv_gx_literal(s->b, start, t.text_n);
    if (keep < 0)
        return -1;
    t.text_at = DV__AT(s->b->expr, dv__expr, keep).at;
    return dv__x_term(s->b, t);
}

static dv_gx parse_group(parser *s)
{
    const char *start = s->p++;
    if (++s->depth > s->b->limits.max_depth) {
        dv_fail(&s->b->err, DV_ELIMIT, "grammar: parentheses are nested more than %u deep",
                (unsigned)s->b->limits.max_depth);
        return -1;
    }
    dv_gx x = parse_alternatives(s, true);
    s->depth--;
    if (x >= 0 && !at(s, ')'))
        return fail_at(s, start, "a parenthesis that is not closed"), -1;
    s->p++;
    return x;
}

static dv_gx parse_primary(parser *s)
{
    switch (*s->p) {
    case '"': return parse_literal(s);
    case '[': return parse_class(s);
    case '(': return parse_group(s);
    case '!':
    case '<': return parse_token(s);
    case '.': s->p++; return dv__x_class(s->b, (dv__range[]){{0, 0x10ffff}}, 1, false);
    default: break;
    }
    size_t n = name_len(s);
    if (n == 0)
        return fail_at(s, s->p, "a literal, class, rule name or group is missing"), -1;
    int32_t rule = rule_of(s, s->p, n);
    s->p += n;
    return dv__x_ref(s->b, rule);
}

static bool take_braces(parser *s, uint32_t *min, uint32_t *max)
{
    const char *start = s->p++;
    skip(s, false);
    if (!take_number(s, min))
        return false;
    *max = *min;
    skip(s, false);
    if (at(s, ',')) {
        s->p++;
        skip(s, false);
        *max = DV_GRAMMAR_UNBOUNDED;
        if (!at(s, '}') && !take_number(s, max))
            return false;
        skip(s, false);
    }
    if (!at(s, '}') || *min > *max)
        return fail_at(s, start, "a repetition that is not {m}, {m,} or {m,n}"), false;
    s->p++;
    return true;
}

static dv_gx parse_repeated(parser *s, bool nested)
{
    dv_gx x = parse_primary(s);
    for (;;) {
        skip(s, nested);
        uint32_t min = 0, max = DV_GRAMMAR_UNBOUNDED;
        if (x < 0 || s->p >= s->end || strchr("*+?{", *s->p) == NULL || *s->p == 0)
            return x;
        if (at(s, '{')) {
            if (!take_braces(s, &min, &max))
                return -1;
        } else {
            min = *s->p == '+';
            max = *s->p == '?' ? 1 : max;
            s->p++;
        }
        x = dv_gx_repeat(s->b, x, min, max);
    }
}

static bool sequence_ends(const parser *s)
{
    return s->p >= s->end || *s->p == '|' || *s->p == ')' || *s->p == '\n' || *s->p == '\r';
}

static bool push_gx(parser *s, dv__vec *v, dv_gx x)
{
    dv_gx *p = x < 0 ? NULL : dv__vec_push(v, sizeof x, 1, &s->b->bud);
    if (p != NULL)
        *p = x;
    return p != NULL;
}

static dv_gx parse_sequence(parser *s, bool nested)
{
    dv__vec kids = {0};
    dv_gx x = -1;
    skip(s, nested);
    while (!sequence_ends(s) && push_gx(s, &kids, parse_repeated(s, nested)))
        continue;
    if (!dv__failed(s->b))
        x = dv_gx_seq(s->b, kids.p, kids.n);
    dv__vec_free(&kids, sizeof(dv_gx), &s->b->bud);
    return x;
}

static dv_gx parse_alternatives(parser *s, bool nested)
{
    dv__vec kids = {0};
    dv_gx x = -1;
    while (push_gx(s, &kids, parse_sequence(s, nested)) && at(s, '|')) {
        s->p++;
        skip(s, true);
    }
    if (!dv__failed(s->b))
        x = dv_gx_alt(s->b, kids.p, kids.n);
    dv__vec_free(&kids, sizeof(dv_gx), &s->b->bud);
    return x;
}

static bool parse_rule(parser *s)
{
    const char *start = s->p;
    const size_t n = name_len(s);
    if (n == 0)
        return fail_at(s, start, "a rule's name is missing"), false;
    const int32_t rule = rule_of(s, start, n);
    s->p += n;
    skip(s, false);
    if (s->end - s->p < 3 || memcmp(s->p, "::=", 3) != 0)
        return fail_at(s, s->p, "'::=' is missing"), false;
    s->p += 3;
    skip(s, true);
    if (rule >= 0 && DV__AT(s->b->rule, dv__rule_src, rule).body >= 0)
        return fail_at(s, start, "a rule that is defined already"), false;
    dv_gx x = parse_alternatives(s, false);
    if (x < 0)
        return false;
    if (s->p < s->end && *s->p != '\n' && *s->p != '\r')
        return fail_at(s, s->p, "the end of the rule is missing"), false;
    dv__rule_body(s->b, rule, x);
    return !dv__failed(s->b);
}

dv_gx dv_gx_gbnf(dv_grammar_builder *b, const char *text, size_t len)
{
    parser s = {.b = b, .text = text, .p = text, .end = text + len};
    dv_gx x = -1;
    if (!dv__source(b, len))
        return -1;
    skip(&s, true);
    while (s.p < s.end && parse_rule(&s))
        skip(&s, true);
    if (!dv__failed(b)) {
        int32_t root = rule_of(&s, "root", 4);
        if (root >= 0 && DV__AT(b->rule, dv__rule_src, root).body < 0)
            dv_fail(&b->err, DV_EINVAL, "rule 'root' is not defined");
        x = dv__failed(b) ? -1 : dv__x_ref(b, root);
    }
    dv__vec_free(&s.slot, sizeof(uint32_t), &b->bud);
    return x;
}

int dv_grammar_from_gbnf(dv_grammar **out, const char *text, size_t len, const dv_grammar_limits *limits, dv_err *err)
{
    dv_grammar_builder *b;
    *out = NULL;
    int rc = dv_grammar_builder_open(&b, limits, err);
    if (rc != 0)
        return rc;
    rc = dv_grammar_build(out, b, dv_gx_gbnf(b, text, len), err);
    dv_grammar_builder_close(&b);
    return rc;
}
