/* SPDX-License-Identifier: MIT */
/* Operators: equality, order, membership, arithmetic. A result is trusted when both operands are. */
#include "tok/tmpl_eval.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static bool numeric(val v) { return v.kind == V_INT || v.kind == V_FLOAT || v.kind == V_BOOL; }
static double as_double(val v) { return v.kind == V_FLOAT ? v.u.f : v.kind == V_INT ? (double)v.u.i : v.u.b; }
static int64_t as_int(val v) { return v.kind == V_BOOL ? v.u.b : v.u.i; }

static bool enter(dv__ev *ev)
{
    if (ev->depth >= ev->max_depth)
        dv__fail(ev, DV_ELIMIT, "a value is nested too deeply");
    else
        ev->depth++;
    return ev->code == 0;
}

static bool equal_lists(dv__ev *ev, const dv__list *a, const dv__list *b)
{
    if (a == b)
        return true;
    /* Two of the caller's lists: the reference implementation compares identity, and templates look for "the last
     * message" that way. A list written in the template compares by content. */
    if (a->n != b->n || (!ev->py && a->outside && b->outside) || !enter(ev))
        return false;
    bool same = true;
    for (size_t i = 0; same && i < a->n; i++)
        same = dv__equal(ev, a->at[i], b->at[i]);
    ev->depth -= ev->code == 0;
    return same;
}

static bool equal_dicts(dv__ev *ev, const dv__dict *a, const dv__dict *b)
{
    if (a == b)
        return true;
    if (a->n != b->n || (!ev->py && a->outside && b->outside) || !enter(ev))
        return false;
    bool same = true;
    for (size_t i = 0; same && i < a->n; i++) {
        const dv__entry *e = dv__charge(ev, 1 + b->n / 8) ? dv__dict_find(b, a->at[i].key) : NULL;
        same = e != NULL && dv__equal(ev, a->at[i].v, e->v);
    }
    ev->depth -= ev->code == 0;
    return same;
}

bool dv__equal(dv__ev *ev, val a, val b)
{
    if (!dv__charge(ev, 1))
        return false;
    if (a.kind == V_INT && b.kind == V_INT)
        return a.u.i == b.u.i;
    if (numeric(a) && numeric(b))
        return as_double(a) == as_double(b);
    bool a_empty = a.kind == V_NONE || a.kind == V_UNDEF, b_empty = b.kind == V_NONE || b.kind == V_UNDEF;
    if (a_empty && b_empty)
        return a.kind == b.kind || !ev->py;
    if (a.kind != b.kind)
        return false;
    switch (a.kind) {
    case V_STR: return dv__charge(ev, a.u.s.n / 64) && dv__same_bytes(a, b);
    case V_LIST: return equal_lists(ev, a.u.l, b.u.l);
    case V_DICT: return equal_dicts(ev, a.u.d, b.u.d);
    case V_NS: return a.u.d == b.u.d;
    case V_LOOP: return a.u.loop == b.u.loop;
    case V_FUNC: return a.u.fn == b.u.fn;
    default: return false;
    }
}

static int order_strings(dv__ev *ev, val a, val b, bool fold)
{
    if (fold) {
        a = dv__u_lower(ev, a);
        b = dv__u_lower(ev, b);
        if (ev->code != 0)
            return 0;
    }
    size_t n = DV_MIN(a.u.s.n, b.u.s.n);
    dv__charge(ev, n / 64);
    int c = n > 0 ? memcmp(a.u.s.p, b.u.s.p, n) : 0;
    return c != 0 ? (c > 0) - (c < 0) : (a.u.s.n > b.u.s.n) - (a.u.s.n < b.u.s.n);
}

static int order_lists(dv__ev *ev, const dv__list *a, const dv__list *b, bool fold)
{
    if (!enter(ev))
        return 0;
    int c = 0;
    for (size_t i = 0; c == 0 && i < a->n && i < b->n && ev->code == 0; i++)
        if (!dv__equal(ev, a->at[i], b->at[i]))
            c = dv__order(ev, a->at[i], b->at[i], fold);
    ev->depth -= ev->code == 0;
    return c != 0 ? c : (a->n > b->n) - (a->n < b->n);
}

int dv__order(dv__ev *ev, val a, val b, bool fold_case)
{
    if (!dv__charge(ev, 1))
        return 0;
    if (a.kind == V_INT && b.kind == V_INT)
        return (a.u.i > b.u.i) - (a.u.i < b.u.i);
    if (numeric(a) && numeric(b))
        return (as_double(a) > as_double(b)) - (as_double(a) < as_double(b));
    if (a.kind == V_STR && b.kind == V_STR)
        return order_strings(ev, a, b, fold_case);
    if (a.kind == V_LIST && b.kind == V_LIST)
        return order_lists(ev, a.u.l, b.u.l, fold_case);
    if (a.kind == b.kind && (a.kind == V_NONE || a.kind == V_UNDEF) && !ev->py)
        return 0;
    dv__fail(ev, DV_EINVAL, "cannot compare %s with %s", dv__kind_name(a), dv__kind_name(b));
    return 0;
}

bool dv__contains(dv__ev *ev, val c, val item)
{
    switch (c.kind) {
    case V_UNDEF: return false;
    case V_STR:
        if (item.kind == V_STR)
            return dv__u_find(ev, c, item, 0) != SIZE_MAX;
        if (item.kind == V_UNDEF)
            return false;
        break;
    case V_LIST:
        for (size_t i = 0; i < c.u.l->n && ev->code == 0; i++)
            if (dv__equal(ev, c.u.l->at[i], item))
                return true;
        return false;
    case V_DICT: return dv__charge(ev, 1 + c.u.d->n / 8) && dv__dict_find(c.u.d, item) != NULL;
    default: break;
    }
    dv__fail(ev, DV_EINVAL, "cannot look for %s in %s", dv__kind_name(item), dv__kind_name(c));
    return false;
}

/* ---- arithmetic ---------------------------------------------------------------------------------------------------- */

static double int_power(double base, uint64_t e)
{
    double r = 1;
    for (; e > 0; e >>= 1, base *= base)
        if (e & 1)
            r *= base;
    return r;
}

static val power(dv__ev *ev, val a, val b)
{
    double x = as_double(a), y = as_double(b);
    if (x == 0 && y < 0)
        return dv__fail(ev, DV_EINVAL, "0 cannot be raised to a negative power");
    if (a.kind != V_FLOAT && b.kind != V_FLOAT && y >= 0) {
        int64_t r = 1, base = as_int(a);
        uint64_t e = (uint64_t)as_int(b);
        bool fits = true;
        for (uint64_t k = e; k > 0 && fits; k >>= 1) {
            if (k & 1)
                fits = !__builtin_mul_overflow(r, base, &r);
            if (k > 1)
                fits = fits && !__builtin_mul_overflow(base, base, &base);
        }
        if (fits)
            return dv__int(r);
        x = int_power(x, e);
    } else {
        x = pow(x, y);
    }
    return isfinite(x) ? dv__float(x) : dv__fail(ev, DV_EINVAL, "the power is not a finite real number");
}

static val int_arithmetic(dv__ev *ev, unsigned op, int64_t a, int64_t b)
{
    int64_t r = 0;
    bool over = false;
    switch (op) {
    case '+': over = __builtin_add_overflow(a, b, &r); break;
    case '-': over = __builtin_sub_overflow(a, b, &r); break;
    case '*': over = __builtin_mul_overflow(a, b, &r); break;
    case OP_FLOORDIV:
    case '%':
        if (b == 0)
            return dv__fail(ev, DV_EINVAL, "division by zero");
        if (b == -1) {
            over = op == OP_FLOORDIV && a == INT64_MIN;
            r = op == '%' || over ? 0 : -a;
        } else {
            int64_t rem = a % b, adjust = rem != 0 && (rem < 0) != (b < 0);
            r = op == '%' ? rem + (adjust ? b : 0) : a / b - adjust;
        }
        break;
    default: break;
    }
    if (!over)
        return dv__int(r);
    double x = (double)a, y = (double)b;
    return dv__float(op == '+' ? x + y : op == '-' ? x - y : op == '*' ? x * y : -x);
}

static val float_arithmetic(dv__ev *ev, unsigned op, double a, double b)
{
    if ((op == '/' || op == OP_FLOORDIV || op == '%') && b == 0)
        return dv__fail(ev, DV_EINVAL, "division by zero");
    switch (op) {
    case '+': return dv__float(a + b);
    case '-': return dv__float(a - b);
    case '*': return dv__float(a * b);
    case '/': return dv__float(a / b);
    case OP_FLOORDIV: return dv__float(floor(a / b));
    default: {
        double r = fmod(a, b);
        return dv__float(r != 0 && (r < 0) != (b < 0) ? r + b : r);
    }
    }
}

static val repeat_list(dv__ev *ev, val l, int64_t n)
{
    dv__list *out = dv__new_list(ev, 0);
    for (int64_t k = 0; k < n && l.u.l->n > 0 && ev->code == 0; k++)
        for (size_t i = 0; i < l.u.l->n && ev->code == 0; i++)
            dv__push(ev, out, l.u.l->at[i]);
    return dv__list_val(out);
}

static val repeat_str(dv__ev *ev, val s, int64_t n)
{
    dv__sb b = dv__sb_new(ev);
    for (int64_t k = 0; k < n && s.u.s.n > 0 && dv__charge(ev, 1); k++)
        dv__sb_str(&b, s);
    return dv__sb_val(&b);
}

static val repeat(dv__ev *ev, val a, val b)
{
    if (a.kind == V_INT || a.kind == V_BOOL)
        return repeat(ev, b, a);
    return a.kind == V_STR ? repeat_str(ev, a, as_int(b)) : repeat_list(ev, a, as_int(b));
}

static val join_lists(dv__ev *ev, val a, val b)
{
    dv__list *out = dv__new_list(ev, a.u.l->n + b.u.l->n);
    for (size_t i = 0; i < a.u.l->n; i++)
        dv__push(ev, out, a.u.l->at[i]);
    for (size_t i = 0; i < b.u.l->n; i++)
        dv__push(ev, out, b.u.l->at[i]);
    val v = dv__list_val(out);
    v.tuple = a.tuple && b.tuple;
    return v;
}

static val concat(dv__ev *ev, val a, val b)
{
    dv__sb sb = dv__sb_new(ev);
    dv__text_add(&sb, a);
    dv__text_add(&sb, b);
    return dv__sb_val(&sb);
}

static bool repeatable(val a, val b)
{
    bool count = b.kind == V_INT || b.kind == V_BOOL;
    return count && (a.kind == V_STR || a.kind == V_LIST);
}

static const char *op_text(unsigned op, char text[3])
{
    snprintf(text, 3, "%s", op == OP_FLOORDIV ? "//" : op == OP_POW ? "**" : "");
    if (op < 128) {
        text[0] = (char)op;
        text[1] = 0;
    }
    return text;
}

static val compute(dv__ev *ev, unsigned op, val a, val b)
{
    char text[3];
    if (op == '~')
        return concat(ev, a, b);
    if (numeric(a) && numeric(b)) {
        if (op == OP_POW)
            return power(ev, a, b);
        if (op != '/' && a.kind != V_FLOAT && b.kind != V_FLOAT)
            return int_arithmetic(ev, op, as_int(a), as_int(b));
        return float_arithmetic(ev, op, as_double(a), as_double(b));
    }
    if (op == '+' && a.kind == V_LIST && b.kind == V_LIST)
        return join_lists(ev, a, b);
    if (op == '+' && a.kind == V_STR && b.kind == V_STR)
        return concat(ev, a, b);
    if (op == '+' && !ev->py && ((a.kind == V_STR && numeric(b)) || (b.kind == V_STR && numeric(a))))
        return concat(ev, a, b);
    if (op == '*' && (repeatable(a, b) || repeatable(b, a)))
        return repeat(ev, a, b);
    if (op == '%' && a.kind == V_STR) {
        if (b.kind == V_LIST && b.tuple)
            return dv__percent_format(ev, a, b.u.l->at, b.u.l->n, NULL);
        return dv__percent_format(ev, a, &b, 1, b.kind == V_DICT ? b.u.d : NULL);
    }
    val undef = a.kind == V_UNDEF ? a : b;
    if (undef.kind == V_UNDEF && undef.u.s.n > 0)
        return dv__fail(ev, DV_EINVAL, "\"%.*s\" is undefined, operator %s needs a value",
                        (int)DV_MIN(undef.u.s.n, (size_t)80), undef.u.s.p, op_text(op, text));
    return dv__fail(ev, DV_EINVAL, "operator %s does not work between %s and %s", op_text(op, text), dv__kind_name(a),
                    dv__kind_name(b));
}

val dv__binary(dv__ev *ev, unsigned op, val a, val b)
{
    val v = compute(ev, op, a, b);
    if (v.kind == V_INT || v.kind == V_FLOAT)
        v.trusted = a.trusted && b.trusted;
    return v;
}

val dv__negate(dv__ev *ev, val a, bool minus)
{
    if (!numeric(a))
        return dv__fail(ev, DV_EINVAL, "a sign does not work on %s", dv__kind_name(a));
    val v = a.kind == V_FLOAT ? dv__float(minus ? -a.u.f : a.u.f)
            : minus           ? int_arithmetic(ev, '-', 0, as_int(a))
                              : dv__int(as_int(a));
    v.trusted = a.trusted;
    return v;
}

/* ---- sorting ------------------------------------------------------------------------------------------------------- */

static void merge(dv__ev *ev, dv__entry *at, dv__entry *tmp, size_t n, bool fold, bool reverse)
{
    for (size_t width = 1; width < n && ev->code == 0; width *= 2) {
        for (size_t from = 0; from < n && ev->code == 0; from += 2 * width) {
            size_t mid = DV_MIN(from + width, n), end = DV_MIN(from + 2 * width, n), i = from, j = mid, o = from;
            while (i < mid && j < end && ev->code == 0) {
                int c = dv__order(ev, at[i].key, at[j].key, fold);
                tmp[o++] = (reverse ? c < 0 : c > 0) ? at[j++] : at[i++];
            }
            while (i < mid)
                tmp[o++] = at[i++];
            while (j < end && o < end)
                tmp[o++] = at[j++];
        }
        if (ev->code == 0)
            memcpy(at, tmp, n * sizeof *at);
    }
}

void dv__sort(dv__ev *ev, dv__entry *at, size_t n, bool fold_case, bool reverse)
{
    dv__entry *tmp = n > 1 ? dv__alloc(ev, n * sizeof *tmp) : NULL;
    if (tmp != NULL)
        merge(ev, at, tmp, n, fold_case, reverse);
}
