/* SPDX-License-Identifier: MIT */
#include "grammar/expr.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { SURROGATE_LO = 0xd800, SURROGATE_HI = 0xdfff, MAX_CP = 0x10ffff };

dv_grammar_limits dv__limits(const dv_grammar_limits *l)
{
    dv_grammar_limits r = l != NULL ? *l : (dv_grammar_limits){0};
#define DEFAULT(member, value) r.member = r.member != 0 ? r.member : (value)
    DEFAULT(max_source, (size_t)1 << 20);
    DEFAULT(max_memory, (size_t)64 << 20);
    DEFAULT(max_rules, 20000);
    DEFAULT(max_nodes, 2000000);
    DEFAULT(max_states, 250000);
    DEFAULT(max_depth, 100);
    DEFAULT(max_stack, 512);
    DEFAULT(max_cache, (size_t)64 << 20);
#undef DEFAULT
    return r;
}

int dv_grammar_builder_open(dv_grammar_builder **out, const dv_grammar_limits *limits, dv_err *err)
{
    dv_grammar_builder *b = dv_calloc(DV_MEM_GRAMMAR, 1, sizeof *b);
    *out = b;
    if (b == NULL)
        return dv_fail(err, DV_ENOMEM, "out of memory for a grammar");
    b->limits = dv__limits(limits);
    b->bud = (dv__budget){.limit = b->limits.max_memory, .max_work = 200 * 1000 * 1000, .err = &b->err};
    for (int i = 0; i < 3; i++)
        b->json_any[i] = b->json_object[i] = -1;
    b->json_string = b->json_int = b->json_num = -1;
    return 0;
}

void dv_grammar_builder_close(dv_grammar_builder **pb)
{
    dv_grammar_builder *b = *pb;
    *pb = NULL;
    if (b == NULL)
        return;
    dv_free(b->expr.p);
    dv_free(b->kid.p);
    dv_free(b->byte.p);
    dv_free(b->range.p);
    dv_free(b->rule.p);
    dv_free(b->term.p);
    dv_free(b->trigger.p);
    dv_free(b);
}

bool dv__source(dv_grammar_builder *b, size_t len)
{
    if (dv__failed(b))
        return false;
    if (len > b->limits.max_source - b->source) {
        dv_fail(&b->err, DV_ELIMIT, "the grammar's text is longer than %zu bytes", b->limits.max_source);
        return false;
    }
    b->source += len;
    return true;
}

static dv_gx add(dv_grammar_builder *b, dv__expr x)
{
    if (dv__failed(b))
        return -1;
    if (x.depth > DV__MAX_EXPR_DEPTH) {
        dv_fail(&b->err, DV_ELIMIT, "the grammar is nested too deeply");
        return -1;
    }
    if (b->expr.n >= b->limits.max_nodes) {
        dv_fail(&b->err, DV_ELIMIT, "the grammar has more than %u parts", (unsigned)b->limits.max_nodes);
        return -1;
    }
    dv__expr *p = dv__vec_push(&b->expr, sizeof x, 1, &b->bud);
    if (p == NULL)
        return -1;
    *p = x;
    return (dv_gx)(b->expr.n - 1);
}

static bool good(dv_grammar_builder *b, dv_gx x)
{
    if (!dv__failed(b) && (x < 0 || (size_t)x >= b->expr.n))
        dv_fail(&b->err, DV_EINVAL, "there is no expression %d", (int)x);
    return !dv__failed(b);
}

static uint16_t depth_of(const dv_grammar_builder *b, dv_gx x) { return DV__AT(b->expr, dv__expr, x).depth; }

/* A copy in the byte pool. */
static bool keep(dv_grammar_builder *b, const char *s, size_t n, uint32_t *at)
{
    if (dv__failed(b))
        return false;
    *at = (uint32_t)b->byte.n;
    char *p = dv__vec_push(&b->byte, 1, n, &b->bud);
    if (p != NULL && n > 0)
        memcpy(p, s, n);
    return p != NULL || n == 0;
}

dv_gx dv__x_empty(dv_grammar_builder *b) { return add(b, (dv__expr){.kind = DV__X_EMPTY}); }
dv_gx dv__x_fail(dv_grammar_builder *b) { return add(b, (dv__expr){.kind = DV__X_FAIL}); }
dv_gx dv__x_mark(dv_grammar_builder *b, unsigned mark)
{
    return add(b, (dv__expr){.kind = DV__X_MARK, .flag = (uint8_t)mark});
}

dv_gx dv_gx_literal(dv_grammar_builder *b, const char *text, size_t n)
{
    uint32_t at;
    if (n == 0)
        return dv__x_empty(b);
    if (!keep(b, text, n, &at))
        return -1;
    return add(b, (dv__expr){.kind = DV__X_LIT, .at = at, .n = (uint32_t)n});
}

dv_gx dv__x_str(dv_grammar_builder *b, const char *s) { return dv_gx_literal(b, s, strlen(s)); }

static int32_t term_new(dv_grammar_builder *b, dv__term t)
{
    if (dv__failed(b))
        return -1;
    dv__term *p = dv__vec_push(&b->term, sizeof t, 1, &b->bud);
    if (p == NULL)
        return -1;
    *p = t;
    return (int32_t)(b->term.n - 1);
}

dv_gx dv__x_term(dv_grammar_builder *b, dv__term t)
{
    int32_t i = term_new(b, t);
    return i < 0 ? -1 : add(b, (dv__expr){.kind = DV__X_TERM, .at = (uint32_t)i});
}

dv_gx dv_gx_special(dv_grammar_builder *b, const char *text, size_t n)
{
    dv__term t = {.text_n = (uint32_t)n, .id = -1, .optional = true};
    if (!keep(b, text, n, &t.text_at))
        return -1;
    return dv__x_alt2(b, dv__x_term(b, t), dv_gx_literal(b, text, n));
}

static dv_gx with_kids(dv_grammar_builder *b, dv__expr_kind kind, const dv_gx *x, size_t n)
{
    dv__expr e = {.kind = (uint8_t)kind, .n = (uint32_t)n, .at = (uint32_t)b->kid.n};
    for (size_t i = 0; i < n; i++) {
        if (!good(b, x[i]))
            return -1;
        e.depth = DV_MAX(e.depth, depth_of(b, x[i]));
    }
    e.depth++;
    if (dv__failed(b))
        return -1;
    dv_gx *kid = dv__vec_push(&b->kid, sizeof *kid, n, &b->bud);
    if (kid == NULL)
        return -1;
    memcpy(kid, x, n * sizeof *kid);
    return add(b, e);
}

dv_gx dv_gx_seq(dv_grammar_builder *b, const dv_gx *x, size_t n)
{
    return n == 0 ? dv__x_empty(b) : n == 1 ? (good(b, x[0]) ? x[0] : -1) : with_kids(b, DV__X_SEQ, x, n);
}

dv_gx dv_gx_alt(dv_grammar_builder *b, const dv_gx *x, size_t n)
{
    return n == 0 ? dv__x_fail(b) : n == 1 ? (good(b, x[0]) ? x[0] : -1) : with_kids(b, DV__X_ALT, x, n);
}

dv_gx dv__x_and(dv_grammar_builder *b, dv_gx x, dv_gx y) { return with_kids(b, DV__X_AND, (dv_gx[]){x, y}, 2); }
dv_gx dv__x_minus(dv_grammar_builder *b, dv_gx x, dv_gx y) { return with_kids(b, DV__X_MINUS, (dv_gx[]){x, y}, 2); }

dv_gx dv_gx_repeat(dv_grammar_builder *b, dv_gx x, uint32_t min, uint32_t max)
{
    if (!good(b, x))
        return -1;
    if (min > max) {
        dv_fail(&b->err, DV_EINVAL, "a repetition of at least %u and at most %u", (unsigned)min, (unsigned)max);
        return -1;
    }
    if (min == 1 && max == 1)
        return x;
    return add(
        b,
        (dv__expr){
            .kind = DV__X_REPEAT, .at = (uint32_t)x, .min = min, .max = max, .depth = (uint16_t)(depth_of(b, x) + 1)});
}

/* The markup that may stand in a text; -1 after an error. */
static int32_t text_markup(dv_grammar_builder *b, const dv_grammar_trigger *trigger, size_t n)
{
    dv__term t = {.id = -1, .optional = true, .markup = true};
    uint32_t at;
    if (!keep(b, NULL, 0, &t.text_at))
        return -1;
    for (size_t i = 0; i < n; i++, t.text_n++) {
        if (!keep(b, trigger[i].text, trigger[i].n, &at) || !keep(b, "", 1, &at))
            return -1;
        t.text_n += (uint32_t)trigger[i].n;
    }
    return term_new(b, t);
}

dv_gx dv_gx_text(dv_grammar_builder *b, const dv_grammar_trigger *trigger, size_t n, bool may_end)
{
    dv__expr e = {.kind = DV__X_TEXT, .flag = may_end, .at = (uint32_t)b->trigger.n, .n = (uint32_t)n};
    if (n == 0 && !may_end)
        dv_fail(&b->err, DV_EINVAL, "free text that never ends");
    for (size_t i = 0; i < n; i++) {
        dv__trigger_src t = {.text_n = (uint32_t)trigger[i].n, .term = -1, .then = trigger[i].then};
        if (trigger[i].n == 0 || trigger[i].n > 256)
            dv_fail(&b->err, DV_EINVAL, "a trigger of %zu bytes", trigger[i].n);
        if (!good(b, t.then) || !keep(b, trigger[i].text, trigger[i].n, &t.text_at))
            return -1;
        if (trigger[i].special)
            t.term = term_new(b, (dv__term){.text_at = t.text_at, .text_n = t.text_n, .id = -1, .optional = true});
        dv__trigger_src *p = dv__failed(b) ? NULL : dv__vec_push(&b->trigger, sizeof t, 1, &b->bud);
        if (p == NULL)
            return -1;
        *p = t;
        e.depth = DV_MAX(e.depth, depth_of(b, t.then));
    }
    const int32_t markup = text_markup(b, trigger, n);
    if (markup < 0)
        return -1;
    e.min = (uint32_t)markup;
    e.depth++;
    return add(b, e);
}

int32_t dv__rule_new(dv_grammar_builder *b, const char *name, size_t n, dv__rule_kind kind)
{
    dv__rule_src r = {.body = -1, .kind = (uint8_t)kind, .name_n = (uint32_t)n, .same_as = -1};
    if (dv__failed(b))
        return -1;
    if (b->rule.n >= b->limits.max_rules) {
        dv_fail(&b->err, DV_ELIMIT, "the grammar has more than %u rules", (unsigned)b->limits.max_rules);
        return -1;
    }
    if (!keep(b, name, n, &r.name_at))
        return -1;
    dv__rule_src *p = dv__vec_push(&b->rule, sizeof r, 1, &b->bud);
    if (p == NULL)
        return -1;
    *p = r;
    return (int32_t)(b->rule.n - 1);
}

void dv__rule_body(dv_grammar_builder *b, int32_t rule, dv_gx body)
{
    if (good(b, body))
        DV__AT(b->rule, dv__rule_src, rule).body = body;
}

dv_gx dv__rule_of(dv_grammar_builder *b, const char *name, dv__rule_kind kind, dv_gx body)
{
    int32_t r = dv__rule_new(b, name, strlen(name), kind);
    if (r < 0)
        return -1;
    dv__rule_body(b, r, body);
    return dv__x_ref(b, r);
}

dv_gx dv__rule_counted(dv_grammar_builder *b, int32_t rule, uint32_t min, uint32_t max)
{
    int32_t r = dv__rule_new(b, "counted", 7, DV__RULE_COUNTED);
    if (r < 0)
        return -1;
    dv__rule_src *p = &DV__AT(b->rule, dv__rule_src, r);
    p->body = DV__AT(b->rule, dv__rule_src, rule).body;
    p->same_as = rule;
    p->min = min;
    p->max = max;
    return dv__x_ref(b, r);
}

dv_gx dv__x_ref(dv_grammar_builder *b, int32_t rule)
{
    return rule < 0 ? -1 : add(b, (dv__expr){.kind = DV__X_REF, .at = (uint32_t)rule});
}

static int by_lo(const void *a, const void *b)
{
    const dv__range *x = a, *y = b;
    return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* Cuts the surrogates out of sorted, disjoint ranges by moving what is around them; the range that holds all of them is split, which
 * UTF-8 encoding does by itself, so here only ranges that touch them at an end change. */
size_t dv__ranges_normal(dv__range *r, size_t n)
{
    size_t m = 0;
    qsort(r, n, sizeof *r, by_lo);
    for (size_t i = 0; i < n; i++) {
        dv__range x = {r[i].lo, DV_MIN(r[i].hi, (uint32_t)MAX_CP)};
        if (x.lo >= SURROGATE_LO && x.lo <= SURROGATE_HI)
            x.lo = SURROGATE_HI + 1;
        if (x.hi >= SURROGATE_LO && x.hi <= SURROGATE_HI)
            x.hi = SURROGATE_LO - 1;
        if (x.lo > x.hi)
            continue;
        if (m > 0 && x.lo <= r[m - 1].hi + 1)
            r[m - 1].hi = DV_MAX(r[m - 1].hi, x.hi);
        else
            r[m++] = x;
    }
    return m;
}

size_t dv__ranges_not(const dv__range *r, size_t n, dv__range *out)
{
    uint32_t next = 0;
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        if (r[i].lo > next)
            out[m++] = (dv__range){next, r[i].lo - 1};
        next = r[i].hi + 1;
    }
    if (next <= MAX_CP)
        out[m++] = (dv__range){next, MAX_CP};
    return dv__ranges_normal(out, m);
}

dv_gx dv__x_class(dv_grammar_builder *b, dv__range *r, size_t n, bool negated)
{
    n = dv__ranges_normal(r, n);
    if (dv__failed(b))
        return -1;
    size_t at = b->range.n;
    dv__range *p = dv__vec_push(&b->range, sizeof *p, n + 1, &b->bud);
    if (p == NULL)
        return -1;
    if (negated)
        n = dv__ranges_not(r, n, p);
    else if (n > 0)
        memcpy(p, r, n * sizeof *p);
    b->range.n = at + n;
    if (n == 0)
        return dv__x_fail(b);
    return add(b, (dv__expr){.kind = DV__X_CLASS, .at = (uint32_t)at, .n = (uint32_t)n});
}
