/* SPDX-License-Identifier: MIT */
/* Tests: x is name(args). */
#include "tok/tmpl_eval.h"

static val t_defined(dv__ev *ev, val v, const dv__args *a) { return dv__bool(v.kind != V_UNDEF); }
static val t_undefined(dv__ev *ev, val v, const dv__args *a) { return dv__bool(v.kind == V_UNDEF); }
static val t_none(dv__ev *ev, val v, const dv__args *a) { return dv__bool(v.kind == V_NONE); }
static val t_boolean(dv__ev *ev, val v, const dv__args *a) { return dv__bool(v.kind == V_BOOL); }
static val t_true(dv__ev *ev, val v, const dv__args *a) { return dv__bool(v.kind == V_BOOL && v.u.b); }
static val t_false(dv__ev *ev, val v, const dv__args *a) { return dv__bool(v.kind == V_BOOL && !v.u.b); }
static val t_string(dv__ev *ev, val v, const dv__args *a) { return dv__bool(v.kind == V_STR); }
static val t_integer(dv__ev *ev, val v, const dv__args *a) { return dv__bool(v.kind == V_INT); }
static val t_float(dv__ev *ev, val v, const dv__args *a) { return dv__bool(v.kind == V_FLOAT); }
static val t_callable(dv__ev *ev, val v, const dv__args *a) { return dv__bool(v.kind == V_FUNC); }
static val t_escaped(dv__ev *ev, val v, const dv__args *a) { return dv__bool(false); }

static val t_number(dv__ev *ev, val v, const dv__args *a)
{
    return dv__bool(dv__is_num(v) || (ev->py && v.kind == V_BOOL));
}
static val t_mapping(dv__ev *ev, val v, const dv__args *a)
{
    return dv__bool(v.kind == V_DICT || (!ev->py && v.kind == V_LOOP));
}
static val t_sequence(dv__ev *ev, val v, const dv__args *a)
{
    return dv__bool(v.kind == V_STR || v.kind == V_LIST || v.kind == V_DICT);
}

static val t_iterable(dv__ev *ev, val v, const dv__args *a)
{
    bool py_too = v.kind == V_DICT || v.kind == V_UNDEF || v.kind == V_LOOP;
    return dv__bool(v.kind == V_STR || v.kind == V_LIST || (ev->py && py_too));
}

/* Cased characters exist, and all are of the wanted case; the default dialect lets text without any pass. */
static val case_test(dv__ev *ev, val v, bool upper)
{
    if (v.kind != V_STR && ev->py)
        v = dv__text(ev, v);
    if (v.kind != V_STR)
        return dv__bool(false);
    val up = dv__u_upper(ev, v), low = dv__u_lower(ev, v);
    if (ev->code != 0)
        return dv__undef();
    return dv__bool(dv__same_bytes(v, upper ? up : low) && (!ev->py || !dv__same_bytes(up, low)));
}

static val t_upper(dv__ev *ev, val v, const dv__args *a) { return case_test(ev, v, true); }
static val t_lower(dv__ev *ev, val v, const dv__args *a) { return case_test(ev, v, false); }

static val divisible(dv__ev *ev, val v, int64_t by)
{
    if (v.kind == V_FLOAT && by != 0)
        v = dv__binary(ev, '%', v, dv__int(by));
    else if (v.kind == V_INT || v.kind == V_BOOL)
        v = dv__binary(ev, '%', v, dv__int(by));
    else
        return dv__fail(ev, DV_EINVAL, "%s is neither odd nor even nor divisible", dv__kind_name(v));
    return dv__bool(ev->code == 0 && !dv__truth(v));
}

static val t_even(dv__ev *ev, val v, const dv__args *a) { return divisible(ev, v, 2); }
static val t_odd(dv__ev *ev, val v, const dv__args *a) { return dv__bool(!dv__truth(divisible(ev, v, 2))); }
static val t_divisibleby(dv__ev *ev, val v, const dv__args *a)
{
    return divisible(ev, v, dv__arg_int(ev, a, 0, "num", 0));
}

static val other(dv__ev *ev, const dv__args *a)
{
    const val *v = dv__arg(a, 0, "other");
    return v != NULL ? *v : dv__fail(ev, DV_EINVAL, "the test needs an argument");
}

static val t_eq(dv__ev *ev, val v, const dv__args *a) { return dv__bool(dv__equal(ev, v, other(ev, a))); }
static val t_ne(dv__ev *ev, val v, const dv__args *a) { return dv__bool(!dv__equal(ev, v, other(ev, a))); }
static val t_lt(dv__ev *ev, val v, const dv__args *a) { return dv__bool(dv__order(ev, v, other(ev, a), false) < 0); }
static val t_le(dv__ev *ev, val v, const dv__args *a) { return dv__bool(dv__order(ev, v, other(ev, a), false) <= 0); }
static val t_gt(dv__ev *ev, val v, const dv__args *a) { return dv__bool(dv__order(ev, v, other(ev, a), false) > 0); }
static val t_ge(dv__ev *ev, val v, const dv__args *a) { return dv__bool(dv__order(ev, v, other(ev, a), false) >= 0); }
static val t_in(dv__ev *ev, val v, const dv__args *a) { return dv__bool(dv__contains(ev, other(ev, a), v)); }

static val t_sameas(dv__ev *ev, val v, const dv__args *a)
{
    val o = other(ev, a);
    if (v.kind != o.kind)
        return dv__bool(false);
    if (v.kind == V_LIST || v.kind == V_DICT)
        return dv__bool(v.kind == V_LIST ? v.u.l == o.u.l : v.u.d == o.u.d);
    return dv__bool(dv__equal(ev, v, o));
}

static val t_filter(dv__ev *ev, val v, const dv__args *a)
{
    return dv__bool(v.kind == V_STR && dv__filter_find(v.u.s.p, v.u.s.n) != NULL);
}

static val t_test(dv__ev *ev, val v, const dv__args *a)
{
    return dv__bool(v.kind == V_STR && dv__test_find(v.u.s.p, v.u.s.n) != NULL);
}

const dv__fn_row *dv__test_find(const char *name, size_t n)
{
    /* clang-format off */
    static const dv__fn_row rows[] = {
        {"defined", t_defined, false}, {"undefined", t_undefined, false}, {"none", t_none, false}, {"boolean", t_boolean, false},
        {"true", t_true, false}, {"false", t_false, false}, {"string", t_string, false}, {"integer", t_integer, false},
        {"float", t_float, false}, {"number", t_number, false}, {"mapping", t_mapping, false}, {"sequence", t_sequence, false},
        {"iterable", t_iterable, false}, {"callable", t_callable, false}, {"escaped", t_escaped, false}, {"upper", t_upper, false},
        {"lower", t_lower, false}, {"odd", t_odd, false}, {"even", t_even, false}, {"divisibleby", t_divisibleby, true},
        {"eq", t_eq, true}, {"equalto", t_eq, true}, {"==", t_eq, true}, {"ne", t_ne, true}, {"!=", t_ne, true},
        {"lt", t_lt, true}, {"lessthan", t_lt, true}, {"<", t_lt, true}, {"le", t_le, true}, {"<=", t_le, true},
        {"gt", t_gt, true}, {"greaterthan", t_gt, true}, {">", t_gt, true}, {"ge", t_ge, true}, {">=", t_ge, true},
        {"in", t_in, true}, {"sameas", t_sameas, true}, {"filter", t_filter, false}, {"test", t_test, false},
    };
    /* clang-format on */
    return dv__row_find(rows, DV_ARRAY_LEN(rows), name, n);
}
