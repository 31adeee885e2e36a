/* SPDX-License-Identifier: MIT */
/* Filters on lists. */
#include "tok/tmpl_eval.h"

static val f_list(dv__ev *ev, val v, const dv__args *a)
{
    const dv__list *l = dv__items(ev, v, "list");
    return l != NULL ? (val){.kind = V_LIST, .u.l = (dv__list *)l} : dv__undef();
}

static val f_first(dv__ev *ev, val v, const dv__args *a)
{
    if (v.kind == V_STR)
        return v.u.s.n > 0 ? dv__sub(v, 0, dv__u_len(v, 0, NULL)) : dv__undef();
    const dv__list *l = dv__items(ev, v, "first");
    return l != NULL && l->n > 0 ? l->at[0] : dv__undef();
}

static val f_last(dv__ev *ev, val v, const dv__args *a)
{
    const dv__list *l = dv__items(ev, v, "last");
    return l != NULL && l->n > 0 ? l->at[l->n - 1] : dv__undef();
}

static val f_reverse(dv__ev *ev, val v, const dv__args *a)
{
    const dv__list *l = dv__items(ev, v, "reverse");
    if (v.kind == V_STR) {
        dv__sb b = dv__sb_new(ev);
        for (size_t i = l != NULL ? l->n : 0; i-- > 0 && ev->code == 0;)
            dv__sb_str(&b, l->at[i]);
        return dv__sb_val(&b);
    }
    dv__list *out = l != NULL ? dv__new_list(ev, l->n) : NULL;
    for (size_t i = l != NULL ? l->n : 0; i-- > 0 && ev->code == 0;)
        dv__push(ev, out, l->at[i]);
    return dv__list_val(out);
}

/* "a,b": a list of both attributes, so that sorting goes by the second where the first is equal. */
static val several(dv__ev *ev, val item, val attribute)
{
    const dv__list *names = dv__u_split(ev, attribute, dv__lit(","), -1);
    dv__list *out = dv__new_list(ev, 0);
    for (size_t i = 0; names != NULL && i < names->n && ev->code == 0; i++)
        dv__push(ev, out, dv__attr_path(ev, item, names->at[i]));
    return dv__list_val(out);
}

/* The value that sort, unique, min, groupby ... look at. */
static val key_of(dv__ev *ev, val item, const val *attribute, const val *def)
{
    if (attribute == NULL || attribute->kind == V_NONE)
        return item;
    if (attribute->kind == V_STR && memchr(attribute->u.s.p, ',', attribute->u.s.n) != NULL)
        return several(ev, item, *attribute);
    val v = dv__attr_path(ev, item, *attribute);
    return v.kind == V_UNDEF && def != NULL ? *def : v;
}

static dv__entry *keyed(dv__ev *ev, const dv__list *l, const val *attribute, const val *def)
{
    dv__entry *e = l != NULL && l->n > 0 ? dv__alloc(ev, l->n * sizeof *e) : NULL;
    for (size_t i = 0; e != NULL && i < l->n && ev->code == 0; i++)
        e[i] = (dv__entry){key_of(ev, l->at[i], attribute, def), l->at[i]};
    return ev->code == 0 ? e : NULL;
}

static val f_sort(dv__ev *ev, val v, const dv__args *a)
{
    const dv__list *l = dv__items(ev, v, "sort");
    const val *attribute = dv__arg(a, 2, "attribute");
    dv__entry *e = keyed(ev, l, attribute, NULL);
    dv__list *out = dv__new_list(ev, 0);
    if (e != NULL)
        dv__sort(ev, e, l->n, !dv__arg_bool(a, 1, "case_sensitive", false), dv__arg_bool(a, 0, "reverse", false));
    for (size_t i = 0; e != NULL && i < l->n && ev->code == 0; i++)
        dv__push(ev, out, e[i].v);
    return dv__list_val(out);
}

static val f_dictsort(dv__ev *ev, val v, const dv__args *a)
{
    val by = dv__arg_str(ev, a, 1, "by", "key");
    if (v.kind != V_DICT)
        return dv__fail(ev, DV_EINVAL, "dictsort needs a mapping, not %s", dv__kind_name(v));
    if (ev->code == 0 && !dv__is(by, "key") && !dv__is(by, "value"))
        return dv__fail(ev, DV_EINVAL, "dictsort sorts by \"key\" or \"value\"");
    size_t n = v.u.d->n;
    dv__entry *e = n > 0 ? dv__alloc(ev, n * sizeof *e) : NULL;
    for (size_t i = 0; e != NULL && i < n; i++) {
        const dv__entry *d = &v.u.d->at[i];
        e[i] = (dv__entry){dv__is(by, "key") ? d->key : d->v, dv__pair(ev, d->key, d->v)};
    }
    dv__list *out = dv__new_list(ev, n);
    if (e != NULL && ev->code == 0)
        dv__sort(ev, e, n, !dv__arg_bool(a, 0, "case_sensitive", false), dv__arg_bool(a, 2, "reverse", false));
    for (size_t i = 0; e != NULL && i < n && ev->code == 0; i++)
        dv__push(ev, out, e[i].v);
    return dv__list_val(out);
}

static bool seen_before(dv__ev *ev, const dv__list *seen, val key)
{
    for (size_t i = 0; i < seen->n && ev->code == 0; i++)
        if (seen->at[i].kind == key.kind && dv__equal(ev, seen->at[i], key))
            return true;
    return false;
}

static val f_unique(dv__ev *ev, val v, const dv__args *a)
{
    const dv__list *l = dv__items(ev, v, "unique");
    const val *attribute = dv__arg(a, 1, "attribute");
    bool fold = !dv__arg_bool(a, 0, "case_sensitive", !ev->py && a->n == 0);
    dv__list *seen = dv__new_list(ev, 0), *out = dv__new_list(ev, 0);
    for (size_t i = 0; l != NULL && out != NULL && i < l->n && ev->code == 0; i++) {
        val key = key_of(ev, l->at[i], attribute, NULL);
        if (fold && key.kind == V_STR)
            key = dv__u_lower(ev, key);
        if (ev->code != 0 || seen_before(ev, seen, key))
            continue;
        dv__push(ev, seen, key);
        dv__push(ev, out, l->at[i]);
    }
    return dv__list_val(out);
}

static val extreme(dv__ev *ev, val v, const dv__args *a, int sign)
{
    const dv__list *l = dv__items(ev, v, "min or max");
    bool fold = !dv__arg_bool(a, 0, "case_sensitive", false);
    dv__entry *e = keyed(ev, l, dv__arg(a, 1, "attribute"), NULL), *best = e;
    for (size_t i = 1; e != NULL && i < l->n && ev->code == 0; i++)
        if (dv__order(ev, e[i].key, best->key, fold) * sign > 0)
            best = &e[i];
    return best != NULL ? best->v : dv__undef();
}

static val f_min(dv__ev *ev, val v, const dv__args *a) { return extreme(ev, v, a, -1); }
static val f_max(dv__ev *ev, val v, const dv__args *a) { return extreme(ev, v, a, 1); }

static val f_sum(dv__ev *ev, val v, const dv__args *a)
{
    const dv__list *l = dv__items(ev, v, "sum");
    const val *attribute = dv__arg(a, 0, "attribute"), *start = dv__arg(a, 1, "start");
    val total = start != NULL ? *start : dv__int(0);
    for (size_t i = 0; l != NULL && i < l->n && ev->code == 0; i++)
        total = dv__binary(ev, '+', total, key_of(ev, l->at[i], attribute, NULL));
    return total;
}

static val f_join(dv__ev *ev, val v, const dv__args *a)
{
    val sep = dv__arg_str(ev, a, 0, dv__arg(a, 0, "separator") != NULL ? "separator" : "d", "");
    const val *attribute = dv__arg(a, 1, "attribute");
    if (v.kind == V_STR && sep.kind == V_STR && sep.u.s.n == 0)
        return v;
    const dv__list *l = dv__items(ev, v, "join");
    dv__sb b = dv__sb_new(ev);
    for (size_t i = 0; l != NULL && i < l->n && ev->code == 0; i++) {
        if (i > 0)
            dv__sb_str(&b, sep);
        dv__text_add(&b, key_of(ev, l->at[i], attribute, NULL));
    }
    return dv__sb_val(&b);
}

/* ---- map, select and the like -------------------------------------------------------------------------------------- */

/* The arguments behind the first `skip`. */
static dv__args rest(const dv__args *a, size_t skip)
{
    dv__args r = *a;
    skip = DV_MIN(skip, a->n);
    r.pos = a->n > skip ? a->pos + skip : NULL;
    r.n -= skip;
    return r;
}

static val f_map(dv__ev *ev, val v, const dv__args *a)
{
    const dv__list *l = dv__items(ev, v, "map");
    dv__list *out = dv__new_list(ev, 0);
    const val *attribute = dv__arg(a, SIZE_MAX, "attribute"), *def = dv__arg(a, SIZE_MAX, "default");
    const dv__fn_row *row = NULL;
    dv__args more = rest(a, 1);
    if (attribute == NULL) {
        val name = dv__arg_str(ev, a, 0, "filter", NULL);
        row = ev->code == 0 ? dv__filter_find(name.u.s.p, name.u.s.n) : NULL;
        if (row == NULL)
            return dv__fail(ev, DV_EINVAL, "map needs the name of a filter or attribute=");
    }
    for (size_t i = 0; l != NULL && i < l->n && dv__charge(ev, 1); i++)
        dv__push(ev, out, row != NULL ? row->fn(ev, l->at[i], &more) : key_of(ev, l->at[i], attribute, def));
    return dv__list_val(out);
}

/* Items for which the test in the arguments holds (or, with reject, does not); no test: truth. */
static val choose(dv__ev *ev, val v, const dv__args *a, bool reject, bool by_attr)
{
    const dv__list *l = dv__items(ev, v, "select or reject");
    dv__list *out = dv__new_list(ev, 0);
    size_t at = by_attr;
    const val *test = dv__arg(a, at, NULL);
    const dv__fn_row *row = NULL;
    dv__args more = rest(a, at + 1);
    if (by_attr && a->n == 0)
        return dv__fail(ev, DV_EINVAL, "selectattr and rejectattr need an attribute");
    if (test != NULL) {
        row = test->kind == V_STR ? dv__test_find(test->u.s.p, test->u.s.n) : NULL;
        if (row == NULL)
            return dv__fail(ev, DV_EINVAL, "unknown test \"%.*s\"",
                            test->kind == V_STR ? (int)DV_MIN(test->u.s.n, (size_t)80) : 0,
                            test->kind == V_STR ? test->u.s.p : "");
    }
    for (size_t i = 0; l != NULL && i < l->n && dv__charge(ev, 1); i++) {
        val x = by_attr ? dv__attr_path(ev, l->at[i], a->pos[0]) : l->at[i];
        /* In the default dialect an attribute that is missing passes no test, not even "undefined". */
        bool missing = by_attr && x.kind == V_UNDEF && !ev->py;
        bool hit = !missing && (row != NULL ? dv__truth(row->fn(ev, x, &more)) : dv__truth(x));
        if (hit != reject)
            dv__push(ev, out, l->at[i]);
    }
    return dv__list_val(out);
}

static val f_select(dv__ev *ev, val v, const dv__args *a) { return choose(ev, v, a, false, false); }
static val f_reject(dv__ev *ev, val v, const dv__args *a) { return choose(ev, v, a, true, false); }
static val f_selectattr(dv__ev *ev, val v, const dv__args *a) { return choose(ev, v, a, false, true); }
static val f_rejectattr(dv__ev *ev, val v, const dv__args *a) { return choose(ev, v, a, true, true); }

/* ---- grouping ------------------------------------------------------------------------------------------------------ */

static val f_groupby(dv__ev *ev, val v, const dv__args *a)
{
    const dv__list *l = dv__items(ev, v, "groupby");
    const val *attribute = dv__arg(a, 0, "attribute");
    bool fold = !dv__arg_bool(a, 2, "case_sensitive", false);
    if (attribute == NULL)
        return dv__fail(ev, DV_EINVAL, "groupby needs an attribute");
    dv__entry *e = keyed(ev, l, attribute, dv__arg(a, 1, "default"));
    dv__list *out = dv__new_list(ev, 0), *group = NULL;
    if (e != NULL)
        dv__sort(ev, e, l->n, fold, false);
    for (size_t i = 0; e != NULL && i < l->n && ev->code == 0; i++) {
        if (i == 0 || dv__order(ev, e[i].key, e[i - 1].key, fold) != 0) {
            group = dv__new_list(ev, 0);
            dv__push(ev, out, dv__pair(ev, e[i].key, dv__list_val(group)));
        }
        dv__push(ev, group, e[i].v);
    }
    return dv__list_val(out);
}

static val f_batch(dv__ev *ev, val v, const dv__args *a)
{
    const dv__list *l = dv__items(ev, v, "batch");
    int64_t size = dv__arg_int(ev, a, 0, "linecount", 0);
    const val *fill = dv__arg(a, 1, "fill_with");
    dv__list *out = dv__new_list(ev, 0), *line = NULL;
    if (size < 1)
        return dv__fail(ev, DV_EINVAL, "batch needs a positive size");
    for (size_t i = 0; l != NULL && i < l->n && ev->code == 0; i++) {
        if ((int64_t)(i % (uint64_t)size) == 0) {
            line = dv__new_list(ev, 0);
            dv__push(ev, out, dv__list_val(line));
        }
        dv__push(ev, line, l->at[i]);
    }
    while (fill != NULL && fill->kind != V_NONE && line != NULL && (int64_t)line->n < size && ev->code == 0)
        dv__push(ev, line, *fill);
    return dv__list_val(out);
}

static val f_slice(dv__ev *ev, val v, const dv__args *a)
{
    const dv__list *l = dv__items(ev, v, "slice");
    int64_t slices = dv__arg_int(ev, a, 0, "slices", 0);
    const val *fill = dv__arg(a, 1, "fill_with");
    dv__list *out = dv__new_list(ev, 0);
    if (slices < 1 || slices > DV_TMPL_MAX_RANGE)
        return dv__fail(ev, DV_EINVAL, "slice needs a positive number of slices");
    if (l == NULL)
        return dv__undef();
    size_t n = (size_t)slices, per = l->n / n, longer = l->n % n, at = 0;
    for (size_t i = 0; i < n && ev->code == 0; i++) {
        dv__list *part = dv__new_list(ev, 0);
        for (size_t k = per + (i < longer); k > 0; k--)
            dv__push(ev, part, l->at[at++]);
        if (fill != NULL && fill->kind != V_NONE && i >= longer && longer > 0)
            dv__push(ev, part, *fill);
        dv__push(ev, out, dv__list_val(part));
    }
    return dv__list_val(out);
}

const dv__fn_row *dv__filter_rows_seq(size_t *n)
{
    /* clang-format off */
    static const dv__fn_row rows[] = {
        {"list", f_list, false}, {"first", f_first, false}, {"last", f_last, false}, {"reverse", f_reverse, false},
        {"sort", f_sort, false}, {"dictsort", f_dictsort, false}, {"unique", f_unique, false}, {"min", f_min, false},
        {"max", f_max, false}, {"sum", f_sum, false}, {"join", f_join, false}, {"map", f_map, false},
        {"select", f_select, false}, {"reject", f_reject, false}, {"selectattr", f_selectattr, false},
        {"rejectattr", f_rejectattr, false}, {"groupby", f_groupby, false}, {"batch", f_batch, false},
        {"slice", f_slice, false},
    };
    /* clang-format on */
    *n = DV_ARRAY_LEN(rows);
    return rows;
}
