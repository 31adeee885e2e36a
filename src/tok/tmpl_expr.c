/* SPDX-License-Identifier: MIT */
/* Expressions: a walk over the tree. */
#include "tok/tmpl_eval.h"

/* ---- attributes, items, slices ------------------------------------------------------------------------------------- */

static val bound(dv__ev *ev, const dv__fn_row *row, val self)
{
    dv__func *f = dv__alloc(ev, sizeof *f);
    if (f == NULL)
        return dv__undef();
    *f = (dv__func){.row = row, .self = self};
    return (val){.kind = V_FUNC, .u.fn = f};
}

static val undefined(val name)
{
    val v = dv__undef();
    v.u.s.p = name.u.s.p;
    v.u.s.n = name.u.s.n;
    return v;
}

static const dv__entry *item(dv__ev *ev, const dv__dict *d, val key)
{
    return dv__charge(ev, d->n / 8) ? dv__dict_find(d, key) : NULL;
}

val dv__attr(dv__ev *ev, val object, val name, bool item_first)
{
    const dv__entry *e = NULL;
    bool found = false;
    if (object.kind == V_DICT || object.kind == V_NS)
        e = item(ev, object.u.d, name);
    if (e != NULL && item_first)
        return e->v;
    const dv__fn_row *row = dv__method_find(object.kind, name.u.s.p, name.u.s.n);
    if (row != NULL)
        return bound(ev, row, object);
    if (e != NULL)
        return e->v;
    if (object.kind == V_LOOP) {
        val v = dv__loop_attr(ev, object.u.loop, name, &found);
        return found ? v : undefined(name);
    }
    if (object.kind == V_FUNC)
        return dv__func_attr(ev, object, name);
    if (object.kind == V_LIST && object.tuple && object.u.l->n == 2 &&
        (dv__is(name, "grouper") || dv__is(name, "list")))
        return object.u.l->at[dv__is(name, "list")];
    if (!ev->py && dv__is(name, "length") && (object.kind == V_LIST || object.kind == V_STR))
        return dv__int((int64_t)(object.kind == V_LIST ? object.u.l->n : dv__u_count(object)));
    if (ev->py && object.kind == V_UNDEF)
        return dv__fail(ev, DV_EINVAL, "\"%.*s\" is undefined", (int)DV_MIN(object.u.s.n, (size_t)80),
                        object.u.s.p != NULL ? object.u.s.p : "");
    return undefined(name);
}

/* A position counted from the end if negative; false if outside. */
static bool position(int64_t i, size_t n, size_t *out)
{
    if (i < 0)
        i += (int64_t)n;
    *out = (size_t)i;
    return i >= 0 && (size_t)i < n;
}

val dv__index(dv__ev *ev, val object, val key)
{
    size_t i;
    if (key.kind == V_BOOL)
        key = (val){.kind = V_INT, .trusted = key.trusted, .u.i = key.u.b};
    switch (object.kind) {
    case V_DICT:
    case V_NS: {
        const dv__entry *e = item(ev, object.u.d, key);
        if (e != NULL)
            return e->v;
        break;
    }
    case V_LIST:
        if (key.kind == V_INT)
            return position(key.u.i, object.u.l->n, &i) ? object.u.l->at[i] : dv__undef();
        break;
    case V_STR:
        if (key.kind == V_INT) {
            if (!dv__charge(ev, object.u.s.n / 8) || !position(key.u.i, dv__u_count(object), &i))
                return dv__undef();
            i = dv__u_offset(object, i);
            return dv__sub(object, i, dv__u_len(object, i, NULL));
        }
        break;
    default: break;
    }
    return key.kind == V_STR ? dv__attr(ev, object, key, true) : dv__undef();
}

val dv__attr_path(dv__ev *ev, val object, val path)
{
    if (path.kind == V_INT)
        return dv__index(ev, object, path);
    if (path.kind != V_STR)
        return dv__fail(ev, DV_EINVAL, "an attribute must be a string or an integer");
    for (size_t i = 0; i <= path.u.s.n && ev->code == 0;) {
        const char *dot = memchr(path.u.s.p + i, '.', path.u.s.n - i);
        size_t n = dot != NULL ? (size_t)(dot - path.u.s.p) - i : path.u.s.n - i;
        val part = dv__sub(path, i, n);
        int64_t number = 0;
        bool digits = n > 0 && n < 10;
        for (size_t k = 0; digits && k < n; k++) {
            digits = part.u.s.p[k] >= '0' && part.u.s.p[k] <= '9';
            number = number * 10 + (part.u.s.p[k] - '0');
        }
        if (digits && object.kind != V_DICT)
            object = dv__index(ev, object, dv__int(number));
        else if (object.kind == V_DICT || object.kind == V_NS || object.kind == V_LIST || object.kind == V_LOOP)
            object = dv__attr(ev, object, part, true);
        else
            object = dv__undef();
        i += n + 1;
    }
    return object;
}

/* A slice bound as Python clamps it. */
static int64_t clamp(const val *v, int64_t n, int64_t def, bool backwards)
{
    if (v == NULL)
        return def;
    int64_t i = v->u.i, low = backwards ? -1 : 0, high = backwards ? n - 1 : n;
    if (i < 0)
        i = i < -n ? low : i + n;
    return DV_MAX(low, DV_MIN(i, high));
}

static val slice_str(dv__ev *ev, val s, int64_t from, int64_t to, int64_t step)
{
    if (!dv__charge(ev, s.u.s.n / 8))
        return dv__undef();
    if (step == 1) {
        size_t a = dv__u_offset(s, (size_t)from), b = from < to ? dv__u_offset(s, (size_t)to) : a;
        return dv__sub(s, a, b - a);
    }
    const dv__list *chars = dv__u_chars(ev, s);
    dv__sb b = dv__sb_new(ev);
    for (int64_t i = from; chars != NULL && ev->code == 0 && (step > 0 ? i < to : i > to); i += step)
        dv__sb_str(&b, chars->at[i]);
    return dv__sb_val(&b);
}

static val slice_list(dv__ev *ev, val l, int64_t from, int64_t to, int64_t step)
{
    dv__list *out = dv__new_list(ev, 0);
    for (int64_t i = from; ev->code == 0 && (step > 0 ? i < to : i > to); i += step)
        dv__push(ev, out, l.u.l->at[i]);
    val v = dv__list_val(out);
    v.tuple = l.tuple;
    return v;
}

static val eval_slice(dv__ev *ev, dv__env *env, const dv__node *n)
{
    const dv__node *part[3] = {n->b, n->c, n->body};
    val object = dv__eval(ev, env, n->a), v[3];
    const val *given[3] = {0};
    for (int i = 0; i < 3; i++) {
        if (part[i] == NULL)
            continue;
        v[i] = dv__eval(ev, env, part[i]);
        if (v[i].kind == V_INT)
            given[i] = &v[i];
        else if (v[i].kind != V_NONE && v[i].kind != V_UNDEF)
            return dv__fail(ev, DV_EINVAL, "a slice needs integers, not %s", dv__kind_name(v[i]));
    }
    if (ev->code != 0 || object.kind == V_UNDEF)
        return dv__undef();
    if (object.kind != V_STR && object.kind != V_LIST)
        return dv__fail(ev, DV_EINVAL, "cannot slice %s", dv__kind_name(object));
    int64_t len = (int64_t)(object.kind == V_STR ? dv__u_count(object) : object.u.l->n);
    int64_t step = given[2] != NULL ? given[2]->u.i : 1;
    if (step == 0)
        return dv__fail(ev, DV_EINVAL, "the step of a slice is 0");
    step = DV_MAX(-len - 1, DV_MIN(step, len + 1)); /* the same items, and i + step cannot overflow */
    int64_t from = clamp(given[0], len, step > 0 ? 0 : len - 1, step < 0);
    int64_t to = clamp(given[1], len, step > 0 ? len : -1, step < 0);
    return object.kind == V_STR ? slice_str(ev, object, from, to, step) : slice_list(ev, object, from, to, step);
}

/* ---- calls --------------------------------------------------------------------------------------------------------- */

static void add_kw(dv__ev *ev, dv__args *out, size_t cap, val key, val v)
{
    for (size_t i = 0; i < out->n_kw; i++)
        if (key.kind == V_STR && dv__same_bytes(out->kw[i].key, key)) {
            dv__fail(ev, DV_EINVAL, "keyword argument given twice");
            return;
        }
    if (key.kind != V_STR)
        dv__fail(ev, DV_EINVAL, "a keyword must be a string");
    else if (out->n_kw < cap && dv__charge(ev, 1 + out->n_kw / 8))
        out->kw[out->n_kw++] = (dv__entry){key, v};
}

/* Positional arguments first, in order, then keyword arguments. The lists grow: a star may bring any number. */
void dv__eval_args(dv__ev *ev, dv__env *env, const dv__node *list, dv__args *out)
{
    dv__list *pos = list != NULL ? dv__new_list(ev, 4) : NULL;
    *out = (dv__args){0};
    for (const dv__node *n = list; n != NULL && ev->code == 0; n = n->next) {
        if (n->kind == N_ARG_STAR) {
            const dv__list *more = dv__items(ev, dv__eval(ev, env, n->a), "* in a call");
            for (size_t i = 0; more != NULL && i < more->n; i++)
                dv__push(ev, pos, more->at[i]);
        } else if (n->kind != N_ARG_KW && n->kind != N_ARG_STAR2) {
            dv__push(ev, pos, dv__eval(ev, env, n));
        }
    }
    for (const dv__node *n = list; n != NULL && ev->code == 0; n = n->next) {
        if (n->kind != N_ARG_KW && n->kind != N_ARG_STAR2)
            continue;
        val v = dv__eval(ev, env, n->a);
        if (n->kind == N_ARG_STAR2 && v.kind != V_DICT)
            dv__fail(ev, DV_EINVAL, "** in a call needs a mapping, not %s", dv__kind_name(v));
        size_t more = n->kind == N_ARG_KW ? 1 : ev->code == 0 ? v.u.d->n : 0;
        dv__entry *kw = more > 0 ? dv__alloc(ev, (out->n_kw + more) * sizeof *kw) : NULL;
        if (kw == NULL)
            continue;
        if (out->n_kw > 0)
            memcpy(kw, out->kw, out->n_kw * sizeof *kw);
        out->kw = kw;
        for (size_t i = 0, cap = out->n_kw + more; i < more && ev->code == 0; i++)
            add_kw(ev, out, cap, n->kind == N_ARG_KW ? dv__strn(n->sym->p, n->sym->n) : v.u.d->at[i].key,
                   n->kind == N_ARG_KW ? v : v.u.d->at[i].v);
    }
    if (pos != NULL) {
        out->pos = pos->at;
        out->n = pos->n;
    }
}

static val call_row(dv__ev *ev, const dv__fn_row *row, val self, const dv__args *a)
{
    return ev->code == 0 && dv__charge(ev, 1) ? row->fn(ev, self, a) : dv__undef();
}

val dv__call(dv__ev *ev, dv__env *env, val fn, const dv__args *a)
{
    if (ev->code != 0)
        return dv__undef();
    if (fn.kind == V_LOOP)
        return dv__call_loop(ev, fn.u.loop, a);
    if (fn.kind == V_UNDEF)
        return dv__fail(ev, DV_EINVAL, "\"%.*s\" is undefined and cannot be called", (int)DV_MIN(fn.u.s.n, (size_t)80),
                        fn.u.s.p != NULL ? fn.u.s.p : "");
    if (fn.kind != V_FUNC)
        return dv__fail(ev, DV_EINVAL, "%s cannot be called", dv__kind_name(fn));
    if (fn.u.fn->macro != NULL)
        return dv__call_macro(ev, env, fn.u.fn, a);
    if (fn.u.fn->row == NULL)
        return dv__joiner_next(ev, fn.u.fn, a);
    return call_row(ev, fn.u.fn->row, fn.u.fn->self, a);
}

/* object.name(...): a method wins over a key that is no function. */
static val eval_method_call(dv__ev *ev, dv__env *env, const dv__node *n)
{
    dv__args args;
    val name = dv__strn(n->a->sym->p, n->a->sym->n), object = dv__eval(ev, env, n->a->a);
    if (ev->code != 0)
        return dv__undef();
    const dv__fn_row *row = dv__method_find(object.kind, name.u.s.p, name.u.s.n);
    val fn = row == NULL || object.kind == V_DICT ? dv__attr(ev, object, name, true) : dv__undef();
    dv__eval_args(ev, env, n->list, &args);
    ev->pos = n->pos;
    if (fn.kind == V_FUNC || fn.kind == V_LOOP || row == NULL)
        return dv__call(ev, env, fn, &args);
    return call_row(ev, row, object, &args);
}

static val eval_call(dv__ev *ev, dv__env *env, const dv__node *n)
{
    dv__args args;
    if (n->a->kind == N_ATTR)
        return eval_method_call(ev, env, n);
    val fn = dv__eval(ev, env, n->a);
    dv__eval_args(ev, env, n->list, &args);
    ev->pos = n->pos;
    return dv__call(ev, env, fn, &args);
}

static val eval_filter(dv__ev *ev, dv__env *env, const dv__node *n, val v)
{
    dv__args args;
    if (n->fn == NULL) {
        ev->pos = n->pos;
        return dv__fail(ev, DV_EINVAL, "unknown filter \"%.*s\"", (int)DV_MIN(n->sym->n, (size_t)80), n->sym->p);
    }
    dv__eval_args(ev, env, n->list, &args);
    ev->pos = n->pos;
    return call_row(ev, n->fn, v, &args);
}

val dv__filter_chain(dv__ev *ev, dv__env *env, const dv__node *n, val v)
{
    if (n->a != NULL)
        v = dv__filter_chain(ev, env, n->a, v);
    return ev->code == 0 ? eval_filter(ev, env, n, v) : dv__undef();
}

static val eval_test(dv__ev *ev, dv__env *env, const dv__node *n)
{
    dv__args args;
    val v = dv__eval(ev, env, n->a);
    ev->pos = n->pos;
    if (n->fn == NULL)
        return dv__fail(ev, DV_EINVAL, "unknown test \"%.*s\"", (int)DV_MIN(n->sym->n, (size_t)80), n->sym->p);
    dv__eval_args(ev, env, n->list, &args);
    return dv__bool(dv__truth(call_row(ev, n->fn, v, &args)) != n->flag);
}

/* ---- the walk ------------------------------------------------------------------------------------------------------ */

static val eval_name(dv__ev *ev, dv__env *env, const dv__sym *sym)
{
    size_t looked = 0;
    for (; env != NULL; env = env->parent) {
        for (const dv__binding *b = env->vars; b != NULL; b = b->next, looked++)
            if (b->sym == sym)
                return dv__charge(ev, looked / 16) ? b->v : dv__undef();
    }
    val name = dv__strn(sym->p, sym->n);
    const dv__entry *e = ev->ctx != NULL ? item(ev, ev->ctx, name) : NULL;
    if (e != NULL)
        return e->v;
    const dv__fn_row *row = dv__charge(ev, looked / 16) ? dv__global_find(sym->p, sym->n) : NULL;
    return row != NULL ? bound(ev, row, dv__undef()) : undefined(name);
}

static val eval_items(dv__ev *ev, dv__env *env, const dv__node *n)
{
    dv__list *l = dv__new_list(ev, 0);
    for (const dv__node *i = n->list; i != NULL && ev->code == 0; i = i->next)
        dv__push(ev, l, dv__eval(ev, env, i));
    val v = dv__list_val(l);
    v.tuple = n->kind == N_TUPLE;
    return v;
}

static val eval_dict(dv__ev *ev, dv__env *env, const dv__node *n)
{
    dv__dict *d = dv__new_dict(ev);
    for (const dv__node *i = n->list; i != NULL && ev->code == 0; i = i->next) {
        val key = dv__eval(ev, env, i->a), v = dv__eval(ev, env, i->b);
        if (ev->code != 0)
            break;
        if (key.kind == V_UNDEF || key.kind > V_STR)
            dv__fail(ev, DV_EINVAL, "%s cannot be a key", dv__kind_name(key));
        else
            dv__put(ev, d, key, v);
    }
    return d != NULL ? (val){.kind = V_DICT, .u.d = d} : dv__undef();
}

static bool compare_one(dv__ev *ev, unsigned op, val a, val b)
{
    switch (op) {
    case OP_EQ: return dv__equal(ev, a, b);
    case OP_NE: return !dv__equal(ev, a, b);
    case OP_IN: return dv__contains(ev, b, a);
    case OP_NOT_IN: return !dv__contains(ev, b, a);
    case '<': return dv__order(ev, a, b, false) < 0;
    case '>': return dv__order(ev, a, b, false) > 0;
    case OP_LE: return dv__order(ev, a, b, false) <= 0;
    default: return dv__order(ev, a, b, false) >= 0;
    }
}

static val eval_compare(dv__ev *ev, dv__env *env, const dv__node *n)
{
    val left = dv__eval(ev, env, n->a);
    for (const dv__node *o = n->list; o != NULL && ev->code == 0; o = o->next) {
        val right = dv__eval(ev, env, o->a);
        ev->pos = o->pos;
        if (ev->code != 0 || !compare_one(ev, o->op, left, right))
            return dv__bool(false);
        left = right;
    }
    return dv__bool(true);
}

static val eval_binary(dv__ev *ev, dv__env *env, const dv__node *n)
{
    val a = dv__eval(ev, env, n->a), b = dv__eval(ev, env, n->b);
    ev->pos = n->pos;
    return ev->code == 0 ? dv__binary(ev, n->op, a, b) : dv__undef();
}

static val eval_cond(dv__ev *ev, dv__env *env, const dv__node *n)
{
    if (dv__truth(dv__eval(ev, env, n->a)))
        return dv__eval(ev, env, n->b);
    return n->c != NULL ? dv__eval(ev, env, n->c) : dv__undef();
}

static val eval_node(dv__ev *ev, dv__env *env, const dv__node *n)
{
    val v;
    switch (n->kind) {
    case N_CONST: return n->lit;
    case N_NAME: return eval_name(ev, env, n->sym);
    case N_LIST:
    case N_TUPLE: return eval_items(ev, env, n);
    case N_DICT: return eval_dict(ev, env, n);
    case N_ATTR: v = dv__eval(ev, env, n->a); return dv__attr(ev, v, dv__strn(n->sym->p, n->sym->n), !ev->py);
    case N_INDEX: v = dv__eval(ev, env, n->a); return dv__index(ev, v, dv__eval(ev, env, n->b));
    case N_SLICE: return eval_slice(ev, env, n);
    case N_CALL: return eval_call(ev, env, n);
    case N_FILTER: v = dv__eval(ev, env, n->a); return ev->code == 0 ? eval_filter(ev, env, n, v) : dv__undef();
    case N_TEST: return eval_test(ev, env, n);
    case N_NOT: return dv__bool(!dv__truth(dv__eval(ev, env, n->a)));
    case N_NEG:
    case N_POS: return dv__negate(ev, dv__eval(ev, env, n->a), n->kind == N_NEG);
    case N_AND: v = dv__eval(ev, env, n->a); return dv__truth(v) ? dv__eval(ev, env, n->b) : v;
    case N_OR: v = dv__eval(ev, env, n->a); return dv__truth(v) ? v : dv__eval(ev, env, n->b);
    case N_BIN: return eval_binary(ev, env, n);
    case N_COMPARE: return eval_compare(ev, env, n);
    case N_COND: return eval_cond(ev, env, n);
    default: return dv__fail(ev, DV_EINTERNAL, "unknown expression");
    }
}

val dv__eval(dv__ev *ev, dv__env *env, const dv__node *n)
{
    if (!dv__charge(ev, 1))
        return dv__undef();
    ev->pos = n->pos;
    if (ev->depth >= ev->max_depth)
        return dv__fail(ev, DV_ELIMIT, "the template is nested too deeply");
    ev->depth++;
    val v = eval_node(ev, env, n);
    ev->depth--;
    return ev->code == 0 ? v : dv__undef();
}
