/* SPDX-License-Identifier: MIT */
/* Statements: output, conditions, loops, assignments, macros, call and filter blocks. */
#include "tok/tmpl_eval.h"

/* ---- variables ----------------------------------------------------------------------------------------------------- */

dv__env *dv__env_new(dv__ev *ev, dv__env *parent)
{
    dv__env *e = dv__alloc(ev, sizeof *e);
    if (e != NULL)
        *e = (dv__env){.parent = parent};
    return e;
}

void dv__bind(dv__ev *ev, dv__env *env, const dv__sym *sym, val v)
{
    size_t looked = 0;
    for (dv__binding *b = env->vars; b != NULL; b = b->next, looked++) {
        if (b->sym == sym) {
            b->v = v;
            dv__charge(ev, looked / 16);
            return;
        }
    }
    dv__binding *b = dv__charge(ev, looked / 16) ? dv__alloc(ev, sizeof *b) : NULL;
    if (b == NULL)
        return;
    *b = (dv__binding){sym, v, env->vars};
    env->vars = b;
}

static void assign_attr(dv__ev *ev, dv__env *env, const dv__node *target, val v)
{
    val object = dv__eval(ev, env, target->a);
    if (object.kind != V_NS) {
        dv__fail(ev, DV_EINVAL, "only a namespace's attributes can be set, not those of %s", dv__kind_name(object));
        return;
    }
    dv__put(ev, object.u.d, dv__strn(target->sym->p, target->sym->n), v);
}

void dv__assign(dv__ev *ev, dv__env *env, const dv__node *target, val v)
{
    if (ev->code != 0)
        return;
    if (target->kind == N_NAME) {
        dv__bind(ev, env, target->sym, v);
        return;
    }
    if (target->kind == N_ATTR) {
        assign_attr(ev, env, target, v);
        return;
    }
    size_t want = 0, i = 0;
    for (const dv__node *t = target->list; t != NULL; t = t->next)
        want++;
    ev->pos = target->pos;
    const dv__list *items = v.kind == V_UNDEF ? NULL : dv__items(ev, v, "unpacking");
    if (items == NULL || items->n != want) {
        dv__fail(ev, DV_EINVAL, "cannot unpack %zu values into %zu names", items != NULL ? items->n : 0, want);
        return;
    }
    for (const dv__node *t = target->list; t != NULL; t = t->next)
        dv__assign(ev, env, t, items->at[i++]);
}

/* ---- loops --------------------------------------------------------------------------------------------------------- */

/* The items for which the loop's "if" holds. */
static const dv__list *filtered(dv__ev *ev, dv__env *env, const dv__node *n, const dv__list *items)
{
    dv__env *inner = dv__env_new(ev, env);
    dv__list *out = dv__new_list(ev, 0);
    for (size_t i = 0; out != NULL && inner != NULL && i < items->n && ev->code == 0; i++) {
        dv__assign(ev, inner, n->a, items->at[i]);
        if (dv__truth(dv__eval(ev, inner, n->c)))
            dv__push(ev, out, items->at[i]);
    }
    return ev->code == 0 ? out : NULL;
}

static void run_loop(dv__ev *ev, dv__env *env, const dv__node *n, val over, unsigned depth0, dv__sb *out)
{
    const dv__list *items = dv__items(ev, over, "for");
    if (items != NULL && n->c != NULL)
        items = filtered(ev, env, n, items);
    dv__loop *loop = items != NULL ? dv__alloc(ev, sizeof *loop) : NULL;
    dv__env *inner = loop != NULL ? dv__env_new(ev, env) : NULL;
    if (inner == NULL)
        return;
    *loop = (dv__loop){.items = items, .depth0 = depth0, .node = n, .env = env};
    for (; loop->i < items->n && dv__charge(ev, 1); loop->i++) {
        if (ev->py && loop->i > 0) { /* in Python a name set in one turn is gone in the next */
            if ((inner = dv__env_new(ev, env)) == NULL)
                return;
        }
        dv__bind(ev, inner, ev->t->sym_loop, (val){.kind = V_LOOP, .u.loop = loop});
        dv__assign(ev, inner, n->a, items->at[loop->i]);
        if (dv__exec(ev, inner, n->body, out) == FLOW_BREAK)
            return;
    }
    if (items->n == 0 && ev->code == 0)
        dv__exec(ev, inner, n->other, out);
}

val dv__call_loop(dv__ev *ev, dv__loop *loop, const dv__args *a)
{
    dv__sb out = dv__sb_new(ev);
    if (!loop->node->flag)
        return dv__fail(ev, DV_EINVAL, "the loop is not recursive");
    if (a->n != 1)
        return dv__fail(ev, DV_EINVAL, "loop() takes one argument");
    if (ev->depth >= ev->max_depth)
        return dv__fail(ev, DV_ELIMIT, "the template is nested too deeply");
    ev->depth++;
    run_loop(ev, loop->env, loop->node, a->pos[0], loop->depth0 + 1, &out);
    ev->depth--;
    return dv__sb_val(&out);
}

/* ---- macros -------------------------------------------------------------------------------------------------------- */

/* The keyword argument of a parameter, marked as used by an undefined key. */
static const val *take_kw(dv__args *a, const dv__sym *sym)
{
    val name = dv__strn(sym->p, sym->n);
    for (size_t i = 0; i < a->n_kw; i++) {
        if (a->kw[i].key.kind == V_STR && dv__same_bytes(a->kw[i].key, name)) {
            a->kw[i].key = dv__undef();
            return &a->kw[i].v;
        }
    }
    return NULL;
}

static void bind_rest(dv__ev *ev, dv__env *env, const dv__node *m, const dv__args *a, size_t n_params)
{
    int name = (int)DV_MIN(m->sym->n, (size_t)80);
    dv__dict *kwargs = m->kwargs ? dv__new_dict(ev) : NULL;
    for (size_t i = 0; i < a->n_kw && ev->code == 0; i++) {
        if (a->kw[i].key.kind != V_STR)
            continue;
        if (kwargs == NULL && dv__is(a->kw[i].key, "caller"))
            dv__bind(ev, env, ev->t->sym_caller, a->kw[i].v);
        else if (kwargs == NULL)
            dv__fail(ev, DV_EINVAL, "macro %.*s takes no argument \"%.*s\"", name, m->sym->p,
                     (int)DV_MIN(a->kw[i].key.u.s.n, (size_t)80), a->kw[i].key.u.s.p);
        else
            dv__put(ev, kwargs, a->kw[i].key, a->kw[i].v);
    }
    if (kwargs != NULL)
        dv__bind(ev, env, ev->t->sym_kwargs, (val){.kind = V_DICT, .u.d = kwargs});
    if (!m->varargs && a->n > n_params)
        dv__fail(ev, DV_EINVAL, "macro %.*s takes at most %zu arguments", name, m->sym->p, n_params);
    if (!m->varargs || ev->code != 0)
        return;
    dv__list *varargs = dv__new_list(ev, 0);
    for (size_t i = n_params; i < a->n; i++)
        dv__push(ev, varargs, a->pos[i]);
    val v = dv__list_val(varargs);
    v.tuple = true;
    dv__bind(ev, env, ev->t->sym_varargs, v);
}

/* Undefined, marked (by the tuple flag) if a default is to come. */
static val not_given(const dv__node *param)
{
    val v = dv__undef();
    v.tuple = param->a != NULL;
    v.u.s.p = param->sym->p;
    v.u.s.n = param->sym->n;
    return v;
}

/* Every parameter is bound before a default is evaluated, so that none is looked up outside. */
static void bind_params(dv__ev *ev, dv__env *env, const dv__node *m, const dv__args *args)
{
    dv__args a = *args;
    size_t i = 0;
    if (a.n_kw > 0) { /* a copy, to mark what is used */
        a.kw = dv__alloc(ev, a.n_kw * sizeof *a.kw);
        if (a.kw == NULL)
            return;
        memcpy(a.kw, args->kw, a.n_kw * sizeof *a.kw);
    }
    for (const dv__node *q = m->list; q != NULL; q = q->next, i++) {
        const val *v = i < a.n ? &a.pos[i] : dv__charge(ev, 1 + a.n_kw / 8) ? take_kw(&a, q->sym) : NULL;
        dv__bind(ev, env, q->sym, v != NULL ? *v : not_given(q));
    }
    bind_rest(ev, env, m, &a, i);
    for (const dv__node *q = m->list; q != NULL && ev->code == 0; q = q->next) {
        if (q->a == NULL)
            continue;
        for (dv__binding *b = env->vars; b != NULL; b = b->next)
            if (b->sym == q->sym && b->v.kind == V_UNDEF && b->v.tuple)
                b->v = dv__eval(ev, env, q->a);
    }
}

val dv__call_macro(dv__ev *ev, dv__env *env, const dv__func *f, const dv__args *a)
{
    /* The default dialect's macros see the caller's variables, Python's those around the definition. */
    bool caller = f->macro->sym == ev->t->sym_caller && f->env != NULL;
    dv__env *inner = dv__env_new(ev, caller || ev->py ? f->env : env);
    dv__sb out = dv__sb_new(ev);
    if (inner == NULL)
        return dv__undef();
    if (ev->depth >= ev->max_depth)
        return dv__fail(ev, DV_ELIMIT, "the template is nested too deeply");
    ev->depth++;
    bind_params(ev, inner, f->macro, a);
    if (ev->code == 0)
        dv__exec(ev, inner, f->macro->body, &out);
    ev->depth--;
    return dv__sb_val(&out);
}

static val make_macro(dv__ev *ev, dv__env *env, const dv__node *n)
{
    dv__func *f = dv__alloc(ev, sizeof *f);
    if (f == NULL)
        return dv__undef();
    *f = (dv__func){.macro = n, .env = env};
    return (val){.kind = V_FUNC, .u.fn = f};
}

/* ---- blocks -------------------------------------------------------------------------------------------------------- */

static void exec_call_block(dv__ev *ev, dv__env *env, const dv__node *n, dv__sb *out)
{
    dv__args args;
    dv__env *inner = dv__env_new(ev, env);
    if (inner == NULL)
        return;
    val fn = dv__eval(ev, env, n->a->a), caller = make_macro(ev, env, n->b);
    dv__eval_args(ev, env, n->a->list, &args);
    dv__bind(ev, inner, ev->t->sym_caller, caller);
    if (ev->py && fn.kind == V_FUNC && fn.u.fn->macro != NULL && ev->code == 0) { /* lexical: hand it over by name */
        dv__func bound = *fn.u.fn;
        inner->parent = bound.env;
        bound.env = inner;
        dv__text_add(out, dv__call_macro(ev, inner, &bound, &args));
        return;
    }
    ev->pos = n->pos;
    dv__text_add(out, dv__call(ev, inner, fn, &args));
}

static dv__flow exec_set(dv__ev *ev, dv__env *env, const dv__node *n)
{
    if (n->b != NULL) {
        dv__assign(ev, env, n->a, dv__eval(ev, env, n->b));
        return FLOW_NEXT;
    }
    dv__sb body = dv__sb_new(ev);
    dv__flow flow = dv__exec(ev, env, n->body, &body);
    if (flow != FLOW_NEXT)
        return flow;
    val v = dv__sb_val(&body);
    if (n->c != NULL && ev->code == 0)
        v = dv__filter_chain(ev, env, n->c, v);
    dv__assign(ev, env, n->a, v);
    return FLOW_NEXT;
}

static dv__flow exec_filter_block(dv__ev *ev, dv__env *env, const dv__node *n, dv__sb *out)
{
    dv__sb body = dv__sb_new(ev);
    dv__flow flow = dv__exec(ev, env, n->body, &body);
    if (flow == FLOW_NEXT && ev->code == 0)
        dv__text_add(out, dv__filter_chain(ev, env, n->a, dv__sb_val(&body)));
    return flow;
}

static dv__flow exec_with(dv__ev *ev, dv__env *env, const dv__node *n, dv__sb *out)
{
    dv__env *inner = dv__env_new(ev, env);
    for (const dv__node *q = n->list; inner != NULL && q != NULL && ev->code == 0; q = q->next)
        dv__assign(ev, inner, q->a, dv__eval(ev, env, q->b));
    return inner != NULL && ev->code == 0 ? dv__exec(ev, inner, n->body, out) : FLOW_NEXT;
}

static dv__flow exec_if(dv__ev *ev, dv__env *env, const dv__node *n, dv__sb *out)
{
    for (;; n = n->c) {
        if (dv__truth(dv__eval(ev, env, n->a)))
            return dv__exec(ev, env, n->body, out);
        if (ev->code != 0)
            return FLOW_NEXT;
        if (n->c == NULL)
            return dv__exec(ev, env, n->other, out);
    }
}

static dv__flow exec_one(dv__ev *ev, dv__env *env, const dv__node *n, dv__sb *out)
{
    switch (n->kind) {
    case N_TEXT: dv__sb_str(out, n->lit); break;
    case N_OUTPUT: {
        val v = dv__eval(ev, env, n->a);
        dv__text_add(out, v);
        break;
    }
    case N_IF: return exec_if(ev, env, n, out);
    case N_FOR: run_loop(ev, env, n, dv__eval(ev, env, n->b), 0, out); break;
    case N_SET: return exec_set(ev, env, n);
    case N_MACRO: dv__bind(ev, env, n->sym, make_macro(ev, env, n)); break;
    case N_CALL_BLOCK: exec_call_block(ev, env, n, out); break;
    case N_FILTER_BLOCK: return exec_filter_block(ev, env, n, out);
    case N_WITH: return exec_with(ev, env, n, out);
    case N_BREAK: return FLOW_BREAK;
    case N_CONTINUE: return FLOW_CONTINUE;
    case N_DO: dv__eval(ev, env, n->a); break;
    default: dv__fail(ev, DV_EINTERNAL, "unknown statement");
    }
    return FLOW_NEXT;
}

dv__flow dv__exec(dv__ev *ev, dv__env *env, const dv__node *list, dv__sb *out)
{
    dv__flow flow = FLOW_NEXT;
    if (ev->depth >= ev->max_depth) {
        dv__fail(ev, DV_ELIMIT, "the template is nested too deeply");
        return FLOW_NEXT;
    }
    ev->depth++;
    for (; list != NULL && flow == FLOW_NEXT && dv__charge(ev, 1); list = list->next) {
        ev->pos = list->pos;
        flow = exec_one(ev, env, list, out);
    }
    ev->depth--;
    return flow;
}
