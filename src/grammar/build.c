/* SPDX-License-Identifier: MIT */
/* From an expression to nodes and edges, by the usual construction. Nothing ever leads into the node that a part starts from, nor out of
 * the one that it ends in, so alternatives can share both. */
#include "grammar/nfa.h"

#include "base/err.h"
#include "base/utf8.h"

#include <string.h>

static bool put_byte(dv_grammar_builder *b, dv__nfa *a, uint32_t from, uint8_t lo, uint8_t hi, uint32_t to)
{
    return dv__nfa_edge(a, from, (dv__nedge){.kind = DV__E_BYTE, .lo = lo, .hi = hi, .to = to}, &b->bud);
}

static uint32_t node(dv_grammar_builder *b, dv__nfa *a)
{
    if (a->node.n >= b->limits.max_nodes) {
        dv_fail(&b->err, DV_ELIMIT, "the grammar has more than %u parts with its repetitions written out",
                (unsigned)b->limits.max_nodes);
        return DV__NONE;
    }
    return dv__nfa_node(a, &b->bud);
}

static bool build_literal(dv_grammar_builder *b, dv__nfa *a, const dv__expr *x, uint32_t from, uint32_t to)
{
    uint32_t at = x->at, n = x->n;
    for (uint32_t i = 0; i < n; i++) {
        uint8_t c = DV__AT(b->byte, uint8_t, at + i);
        uint32_t next = i + 1 < n ? node(b, a) : to;
        if (!put_byte(b, a, from, c, c, next))
            return false;
        from = next;
    }
    return true;
}

/* Characters lo..hi whose encodings have the same length and differ in their last k + 1 bytes; tail[i]: the node from which i continuation bytes of
 * any value lead to the end. */
static bool build_span(dv_grammar_builder *b, dv__nfa *a, uint32_t from, uint32_t lo, uint32_t hi, unsigned k,
                       uint8_t head, uint32_t *tail)
{
    const uint32_t span = (uint32_t)1 << 6 * k, mask = span - 1;
    const uint32_t first = lo / span, last = hi / span;
    if (k == 0)
        return put_byte(b, a, from, (uint8_t)(head | lo), (uint8_t)(head | hi), tail[0]);
    const bool ragged_lo = (lo & mask) != 0, ragged_hi = (hi & mask) != mask;
    uint32_t whole_lo = first + ragged_lo, whole_hi = last;
    if (ragged_hi)
        whole_hi--;                 /* may wrap: then there is nothing whole, as first == last == 0 */
    const uint32_t low_bits = 0x3f; /* of the next byte */
    if (first == last && (ragged_lo || ragged_hi)) {
        uint32_t next = node(b, a);
        return put_byte(b, a, from, (uint8_t)(head | first), (uint8_t)(head | first), next) &&
               build_span(b, a, next, lo & mask, hi & mask, k - 1, 0x80, tail);
    }
    if (ragged_lo) {
        uint32_t next = node(b, a);
        if (!put_byte(b, a, from, (uint8_t)(head | first), (uint8_t)(head | first), next) ||
            !build_span(b, a, next, lo & mask, mask, k - 1, 0x80, tail))
            return false;
    }
    if (ragged_hi) {
        uint32_t next = node(b, a);
        if (!put_byte(b, a, from, (uint8_t)(head | last), (uint8_t)(head | last), next) ||
            !build_span(b, a, next, 0, hi & mask, k - 1, 0x80, tail))
            return false;
    }
    if (whole_lo > whole_hi || whole_hi == UINT32_MAX)
        return true;
    if (tail[k] == DV__NONE)
        for (unsigned i = 1; i <= k; i++)
            if (tail[i] == DV__NONE) {
                tail[i] = node(b, a);
                if (!put_byte(b, a, tail[i], 0x80, (uint8_t)(0x80 | low_bits), tail[i - 1]))
                    return false;
            }
    return put_byte(b, a, from, (uint8_t)(head | whole_lo), (uint8_t)(head | whole_hi), tail[k]);
}

/* RFC 3629: lengths change at these characters, and the surrogates have no encoding. */
static const struct {
    uint32_t lo, hi;
    uint8_t k, head;
} utf8_rows[] = {{0, 0x7f, 0, 0x00},
                 {0x80, 0x7ff, 1, 0xc0},
                 {0x800, 0xd7ff, 2, 0xe0},
                 {0xe000, 0xffff, 2, 0xe0},
                 {0x10000, 0x10ffff, 3, 0xf0}};

static bool build_class(dv_grammar_builder *b, dv__nfa *a, const dv__expr *x, uint32_t from, uint32_t to)
{
    uint32_t tail[4] = {to, DV__NONE, DV__NONE, DV__NONE};
    const uint32_t at = x->at, n = x->n;
    for (uint32_t i = 0; i < n; i++) {
        const dv__range r = DV__AT(b->range, dv__range, at + i);
        for (size_t k = 0; k < DV_ARRAY_LEN(utf8_rows); k++) {
            uint32_t lo = DV_MAX(r.lo, utf8_rows[k].lo), hi = DV_MIN(r.hi, utf8_rows[k].hi);
            if (lo <= hi && !build_span(b, a, from, lo, hi, utf8_rows[k].k, utf8_rows[k].head, tail))
                return false;
        }
    }
    return true;
}

static bool build_seq(dv_grammar_builder *b, dv__nfa *a, const dv__expr *x, uint32_t from, uint32_t to)
{
    const uint32_t at = x->at, n = x->n;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t next = i + 1 < n ? node(b, a) : to;
        if (next == DV__NONE || !dv__nfa_build(b, a, DV__AT(b->kid, dv_gx, at + i), from, next))
            return false;
        from = next;
    }
    return true;
}

static bool build_repeat(dv_grammar_builder *b, dv__nfa *a, dv__expr x, uint32_t from, uint32_t to)
{
    const dv_gx kid = (dv_gx)x.at;
    const bool open = x.max == DV_GRAMMAR_UNBOUNDED;
    /* The loop of an open end needs a node of its own on both sides. */
    const uint32_t copies = open ? x.min : x.max;
    for (uint32_t i = 0; i < copies; i++) {
        uint32_t next = node(b, a);
        if (next == DV__NONE || (i >= x.min && !dv__nfa_eps(a, from, to, 0, &b->bud)) ||
            !dv__nfa_build(b, a, kid, from, next))
            return false;
        from = next;
    }
    if (!open)
        return dv__nfa_eps(a, from, to, 0, &b->bud);
    uint32_t loop = node(b, a), back = node(b, a);
    return loop != DV__NONE && back != DV__NONE && dv__nfa_eps(a, from, loop, 0, &b->bud) &&
           dv__nfa_build(b, a, kid, loop, back) && dv__nfa_eps(a, back, loop, 0, &b->bud) &&
           dv__nfa_eps(a, loop, to, 0, &b->bud);
}

bool dv__nfa_build(dv_grammar_builder *b, dv__nfa *a, dv_gx gx, uint32_t from, uint32_t to)
{
    if (dv__failed(b) || gx < 0 || !dv__work(&b->bud, 1))
        return false;
    const dv__expr x = DV__AT(b->expr, dv__expr, gx); /* a copy: products compile, and compiling may move the pool */
    switch ((dv__expr_kind)x.kind) {
    case DV__X_EMPTY: return dv__nfa_eps(a, from, to, 0, &b->bud);
    case DV__X_FAIL: return true;
    case DV__X_LIT: return build_literal(b, a, &x, from, to);
    case DV__X_CLASS: return build_class(b, a, &x, from, to);
    case DV__X_SEQ: return build_seq(b, a, &x, from, to);
    case DV__X_ALT:
        for (uint32_t i = 0; i < x.n; i++)
            if (!dv__nfa_build(b, a, DV__AT(b->kid, dv_gx, x.at + i), from, to))
                return false;
        return true;
    case DV__X_REPEAT: return build_repeat(b, a, x, from, to);
    case DV__X_REF: return dv__nfa_edge(a, from, (dv__nedge){.kind = DV__E_CALL, .what = x.at, .to = to}, &b->bud);
    case DV__X_TERM: return dv__nfa_edge(a, from, (dv__nedge){.kind = DV__E_TERM, .what = x.at, .to = to}, &b->bud);
    case DV__X_TEXT: return dv__nfa_text(b, a, &x, from, to);
    case DV__X_AND:
    case DV__X_MINUS: return dv__nfa_product(b, a, &x, from, to);
    case DV__X_MARK: return dv__nfa_eps(a, from, to, x.flag, &b->bud);
    }
    return false;
}
