/* SPDX-License-Identifier: MIT */
/* Filters on any value, and the search for a filter by name. */
#include "tok/tmpl_eval.h"

#include <math.h>
#include <stdlib.h>

static val f_default(dv__ev *ev, val v, const dv__args *a)
{
    const val *def = dv__arg(a, 0, "default_value");
    bool boolean = dv__arg_bool(a, 1, "boolean", false);
    if (v.kind == V_UNDEF || (boolean && !dv__truth(v)))
        return def != NULL ? *def : dv__lit("");
    return v;
}

static val f_length(dv__ev *ev, val v, const dv__args *a)
{
    size_t n = 0;
    switch (v.kind) {
    case V_STR: n = dv__charge(ev, v.u.s.n / 16) ? dv__u_count(v) : 0; break;
    case V_LIST: n = v.u.l->n; break;
    case V_DICT: n = v.u.d->n; break;
    case V_LOOP: n = v.u.loop->items->n; break;
    case V_UNDEF: break;
    default: return dv__fail(ev, DV_EINVAL, "%s has no length", dv__kind_name(v));
    }
    val r = dv__int((int64_t)n);
    r.trusted = v.kind == V_STR ? v.trusted && v.u.s.mask == NULL : false;
    return r;
}

/* Text of a number's beginning in s, terminated, for the C library's parsers. */
static size_t number_text(val s, char text[64], bool is_float)
{
    val t = dv__u_strip(s, dv__undef(), true, true);
    size_t o = 0;
    for (size_t i = 0; i < t.u.s.n && o + 1 < 64; i++) {
        char c = t.u.s.p[i];
        bool sign = (c == '-' || c == '+') && (i == 0 || (is_float && (t.u.s.p[i - 1] | 0x20) == 'e'));
        if (!(c >= '0' && c <= '9') && !sign && !(is_float && (c == '.' || c == 'e' || c == 'E')))
            break;
        text[o++] = c;
    }
    text[o] = 0;
    return t.u.s.n;
}

static val to_int(double d)
{
    d = trunc(d);
    return d > -9.2e18 && d < 9.2e18 ? dv__int((int64_t)d) : dv__float(d);
}

static val parse_int(dv__ev *ev, val s, val def)
{
    char text[64], *end;
    size_t n = number_text(s, text, false);
    if (strpbrk(text, "0123456789") == NULL)
        return def;
    long long i = strtoll(text, &end, 10);
    if (!ev->py || strlen(text) == n)
        return end != text ? dv__int(i) : def;
    /* Python: all of it must be a number, if need be a float. */
    n = number_text(s, text, true);
    double d = strtod(text, &end);
    return end != text && *end == 0 && strlen(text) == n ? to_int(d) : def;
}

static val f_int(dv__ev *ev, val v, const dv__args *a)
{
    const val *given = dv__arg(a, 0, "default");
    val def = given != NULL ? *given : dv__int(0), r = def;
    int64_t base = dv__arg_int(ev, a, 1, "base", 10);
    switch (v.kind) {
    case V_INT: r = v; break;
    case V_BOOL: r = dv__int(v.u.b); break;
    case V_FLOAT: r = isfinite(v.u.f) ? to_int(ev->py ? v.u.f : floor(v.u.f)) : def; break;
    case V_STR:
        if (base != 10 && base >= 2 && base <= 36) {
            char text[64], *end;
            size_t n = DV_MIN(v.u.s.n, sizeof text - 1);
            memcpy(text, v.u.s.p, n);
            text[n] = 0;
            size_t skip = n > 2 && text[0] == '0' &&
                                  ((base == 16 && (text[1] | 0x20) == 'x') || (base == 2 && (text[1] | 0x20) == 'b') ||
                                   (base == 8 && (text[1] | 0x20) == 'o'))
                              ? 2
                              : 0;
            long long i = strtoll(text + skip, &end, (int)base);
            r = end != text + skip && *end == 0 ? dv__int(i) : def;
        } else {
            r = parse_int(ev, v, def);
        }
        break;
    default: break;
    }
    r.trusted = r.trusted && v.trusted && (v.kind != V_STR || v.u.s.mask == NULL);
    return r;
}

static val f_float(dv__ev *ev, val v, const dv__args *a)
{
    const val *given = dv__arg(a, 0, "default");
    val def = given != NULL ? *given : dv__float(0), r = def;
    char text[64], *end;
    size_t n;
    switch (v.kind) {
    case V_FLOAT: r = v; break;
    case V_INT: r = dv__float((double)v.u.i); break;
    case V_BOOL: r = dv__float(v.u.b); break;
    case V_STR: {
        n = number_text(v, text, true);
        double d = strtod(text, &end);
        if (end != text && (!ev->py || (*end == 0 && strlen(text) == n)))
            r = dv__float(d);
        break;
    }
    default: break;
    }
    r.trusted = r.trusted && v.trusted && (v.kind != V_STR || v.u.s.mask == NULL);
    return r;
}

static val f_bool(dv__ev *ev, val v, const dv__args *a) { return dv__bool(dv__truth(v)); }

static val f_abs(dv__ev *ev, val v, const dv__args *a)
{
    bool negative = (v.kind == V_INT && v.u.i < 0) || (v.kind == V_FLOAT && signbit(v.u.f));
    if (!dv__is_num(v) && v.kind != V_BOOL)
        return dv__fail(ev, DV_EINVAL, "abs needs a number, not %s", dv__kind_name(v));
    return dv__negate(ev, v, negative);
}

static val f_round(dv__ev *ev, val v, const dv__args *a)
{
    int64_t precision = dv__arg_int(ev, a, 0, "precision", 0);
    val method = dv__arg_str(ev, a, 1, "method", "common");
    if (!dv__is_num(v) && v.kind != V_BOOL)
        return dv__fail(ev, DV_EINVAL, "round needs a number, not %s", dv__kind_name(v));
    if (ev->code == 0 && !dv__is(method, "common") && !dv__is(method, "ceil") && !dv__is(method, "floor"))
        return dv__fail(ev, DV_EINVAL, "round knows \"common\", \"ceil\" and \"floor\"");
    if (v.kind != V_FLOAT && precision >= 0 && dv__is(method, "common"))
        return v.kind == V_INT ? v : dv__int(v.u.b);
    double d = v.kind == V_FLOAT ? v.u.f : v.kind == V_INT ? (double)v.u.i : v.u.b;
    precision = DV_MAX((int64_t)-300, DV_MIN(precision, (int64_t)300));
    double scale = pow(10, (double)precision), x = d * scale;
    if (!isfinite(x) || scale == 0)
        return dv__float(d);
    double r = dv__is(method, "ceil") ? ceil(x) : dv__is(method, "floor") ? floor(x) : nearbyint(x);
    val out = dv__float(r / scale);
    out.trusted = v.trusted;
    return out;
}

static val f_items(dv__ev *ev, val v, const dv__args *a)
{
    if (v.kind == V_UNDEF)
        return dv__list_val(dv__new_list(ev, 0));
    if (v.kind != V_DICT)
        return dv__fail(ev, DV_EINVAL, "items needs a mapping, not %s", dv__kind_name(v));
    return dv__method_find(V_DICT, "items", 5)->fn(ev, v, a);
}

/* keys, values and get work as filters in the default dialect. */
static val dict_filter(dv__ev *ev, val v, const dv__args *a, const char *name)
{
    if (v.kind != V_DICT)
        return dv__fail(ev, DV_EINVAL, "%s needs a mapping, not %s", name, dv__kind_name(v));
    return dv__method_find(V_DICT, name, strlen(name))->fn(ev, v, a);
}

static val f_keys(dv__ev *ev, val v, const dv__args *a) { return dict_filter(ev, v, a, "keys"); }
static val f_values(dv__ev *ev, val v, const dv__args *a) { return dict_filter(ev, v, a, "values"); }
static val f_get(dv__ev *ev, val v, const dv__args *a) { return dict_filter(ev, v, a, "get"); }

static val f_attr(dv__ev *ev, val v, const dv__args *a)
{
    val name = dv__arg_str(ev, a, 0, "name", NULL);
    return ev->code == 0 ? dv__attr(ev, v, name, true) : dv__undef();
}

static void separators(dv__ev *ev, const val *v, dv__json_opts *o)
{
    if (v == NULL || v->kind == V_NONE)
        return;
    if (v->kind != V_LIST || v->u.l->n != 2 || v->u.l->at[0].kind != V_STR || v->u.l->at[1].kind != V_STR) {
        dv__fail(ev, DV_EINVAL, "separators must be two strings");
        return;
    }
    o->item_sep = v->u.l->at[0];
    o->key_sep = v->u.l->at[1];
}

static val f_tojson(dv__ev *ev, val v, const dv__args *a)
{
    /* transformers' order: ensure_ascii, indent, separators, sort_keys; jinja2's own filter has indent first. */
    bool first_indent = a->n == 1 && a->pos[0].kind == V_INT;
    int64_t indent = first_indent ? a->pos[0].u.i : dv__arg_int(ev, a, 1, "indent", 0);
    dv__json_opts o = {.item_sep = dv__lit(indent > 0 ? "," : ", "), .key_sep = dv__lit(": ")};
    o.indent = (int)DV_MIN(DV_MAX(indent, (int64_t)0), (int64_t)1000);
    o.ascii = !first_indent && dv__arg_bool(a, 0, "ensure_ascii", false);
    o.sort_keys = dv__arg_bool(a, 3, "sort_keys", false);
    separators(ev, dv__arg(a, 2, "separators"), &o);
    dv__sb b = dv__sb_new(ev);
    if (ev->code == 0)
        dv__json_add(&b, v, &o);
    return dv__sb_val(&b);
}

static val f_pprint(dv__ev *ev, val v, const dv__args *a)
{
    dv__sb b = dv__sb_new(ev);
    dv__repr_add(&b, v);
    return dv__sb_val(&b);
}

static val f_refused(dv__ev *ev, val v, const dv__args *a)
{
    return dv__fail(ev, DV_EUNSUPPORTED, "the filters random, urlize, xmlattr and filesizeformat are not supported");
}

const dv__fn_row *dv__filter_find(const char *name, size_t n)
{
    /* clang-format off */
    static const dv__fn_row rows[] = {
        {"default", f_default, false}, {"d", f_default, false}, {"tojson", f_tojson, false}, {"length", f_length, false},
        {"count", f_length, false}, {"int", f_int, false}, {"float", f_float, false}, {"bool", f_bool, false},
        {"abs", f_abs, false}, {"round", f_round, false}, {"items", f_items, false}, {"keys", f_keys, false},
        {"values", f_values, false}, {"get", f_get, false}, {"attr", f_attr, false}, {"pprint", f_pprint, false},
        {"random", f_refused, false}, {"urlize", f_refused, false}, {"xmlattr", f_refused, false},
        {"filesizeformat", f_refused, false},
    };
    /* clang-format on */
    size_t n_str, n_seq;
    const dv__fn_row *str = dv__filter_rows_str(&n_str), *seq = dv__filter_rows_seq(&n_seq);
    const dv__fn_row *row = dv__row_find(rows, DV_ARRAY_LEN(rows), name, n);
    if (row == NULL)
        row = dv__row_find(str, n_str, name, n);
    return row != NULL ? row : dv__row_find(seq, n_seq, name, n);
}
