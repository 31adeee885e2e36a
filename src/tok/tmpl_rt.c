/* SPDX-License-Identifier: MIT */
/* Limits, memory, arguments and string building of the evaluator. */
#include "base/err.h"
#include "base/num.h"
#include "base/utf8.h"
#include "tok/tmpl_eval.h"

#include <stdarg.h>
#include <stdio.h>

val dv__fail(dv__ev *ev, int code, const char *fmt, ...)
{
    if (ev->code == 0) {
        char text[256];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        ev->code = code;
        if (code == DV_ETEMPLATE)
            dv_fail(ev->err, code, "%s", text);
        else
            dv__tmpl_fail_at(ev->err, code, ev->t->src, ev->t->len, ev->pos, "%s", text);
    }
    return dv__undef();
}

bool dv__charge(dv__ev *ev, size_t n)
{
    if (ev->steps >= n) {
        ev->steps -= n;
        return ev->code == 0;
    }
    ev->steps = 0;
    dv__fail(ev, DV_ELIMIT, "the template takes too many steps");
    return false;
}

void *dv__alloc(dv__ev *ev, size_t n)
{
    if (!dv__charge(ev, n / 64))
        return NULL;
    void *p = dv_arena_alloc(&ev->arena, n);
    if (p == NULL)
        dv__fail(ev, dv__arena_why(&ev->arena, n), "the template takes too much memory");
    return p;
}

bool dv__truth(val v)
{
    switch (v.kind) {
    case V_UNDEF:
    case V_NONE: return false;
    case V_BOOL: return v.u.b;
    case V_INT: return v.u.i != 0;
    case V_FLOAT: return v.u.f != 0 && v.u.f == v.u.f;
    case V_STR: return v.u.s.n > 0;
    case V_LIST: return v.u.l->n > 0;
    case V_DICT: return v.u.d->n > 0;
    default: return true;
    }
}

/* ---- string builder ------------------------------------------------------------------------------------------------ */

static bool sb_room(dv__sb *b, size_t n)
{
    dv__ev *ev = b->ev;
    if (ev->code != 0)
        return false;
    if (n > ev->max_output || b->n > ev->max_output - n) {
        dv__fail(ev, DV_ELIMIT, "the output of the template is too large");
        return false;
    }
    if (b->n + n <= b->cap)
        return dv__charge(ev, n / 64);
    size_t cap = DV_MAX(b->n + n, DV_MIN(DV_MAX(b->cap * 2, (size_t)48), ev->max_output));
    char *p = dv__alloc(ev, cap);
    uint8_t *mask = p != NULL && b->mask != NULL ? dv__alloc(ev, cap) : NULL;
    if (p == NULL || (b->mask != NULL && mask == NULL))
        return false;
    if (b->n > 0) {
        memcpy(p, b->p, b->n);
        if (mask != NULL)
            memcpy(mask, b->mask, b->n);
    }
    b->p = p;
    b->mask = mask;
    b->cap = cap;
    return true;
}

/* Make the origin explicit per byte, when bytes of another origin join. */
static bool sb_split(dv__sb *b)
{
    if (b->mask != NULL)
        return true;
    b->mask = dv__alloc(b->ev, b->cap);
    if (b->mask == NULL)
        return false;
    memset(b->mask, b->trusted, b->n);
    return true;
}

void dv__sb_add(dv__sb *b, const char *p, size_t n, bool trusted)
{
    if (n == 0 || !sb_room(b, n))
        return;
    if (b->n == 0 && b->mask == NULL)
        b->trusted = trusted;
    if ((b->mask != NULL || b->trusted != trusted) && !sb_split(b))
        return;
    memcpy(b->p + b->n, p, n);
    if (b->mask != NULL)
        memset(b->mask + b->n, trusted, n);
    b->n += n;
}

void dv__sb_adds(dv__sb *b, const char *s, bool trusted) { dv__sb_add(b, s, strlen(s), trusted); }

void dv__sb_cp(dv__sb *b, uint32_t cp, bool trusted)
{
    char s[4];
    int n = dv_utf8_encode(cp, s);
    dv__sb_add(b, s, (size_t)n, trusted);
}

void dv__sb_str(dv__sb *b, val s)
{
    if (s.kind != V_STR || s.u.s.n == 0)
        return;
    if (s.u.s.mask == NULL) {
        dv__sb_add(b, s.u.s.p, s.u.s.n, s.trusted);
        return;
    }
    if (!sb_room(b, s.u.s.n) || !sb_split(b))
        return;
    memcpy(b->p + b->n, s.u.s.p, s.u.s.n);
    memcpy(b->mask + b->n, s.u.s.mask, s.u.s.n);
    b->n += s.u.s.n;
}

void dv__sb_fill(dv__sb *b, char c, size_t n, bool trusted)
{
    char block[64];
    memset(block, c, sizeof block);
    for (size_t k; n > 0 && b->ev->code == 0; n -= k) {
        k = DV_MIN(n, sizeof block);
        dv__sb_add(b, block, k, trusted);
    }
}

val dv__sb_val(const dv__sb *b)
{
    if (b->ev->code != 0)
        return dv__undef();
    val v = dv__strn(b->p != NULL ? b->p : "", b->n);
    v.trusted = b->n == 0 || b->trusted;
    v.u.s.mask = b->mask;
    return v;
}

bool dv__trusted(val s, size_t from, size_t n)
{
    return s.u.s.mask == NULL ? s.trusted : memchr(s.u.s.mask + from, 0, n) == NULL;
}

/* ---- containers ---------------------------------------------------------------------------------------------------- */

dv__list *dv__new_list(dv__ev *ev, size_t cap)
{
    dv__list *l = dv__alloc(ev, sizeof *l);
    if (l == NULL)
        return NULL;
    *l = (dv__list){0};
    if (cap > 0) {
        size_t bytes;
        l->at = dv_mul_size(cap, sizeof(val), &bytes) ? dv__alloc(ev, bytes) : NULL;
        if (l->at == NULL)
            return NULL;
        l->cap = cap;
    }
    return l;
}

void dv__push(dv__ev *ev, dv__list *l, val v)
{
    if (l == NULL || !dv__charge(ev, 1))
        return;
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 8;
        val *p = dv__alloc(ev, cap * sizeof *p);
        if (p == NULL)
            return;
        if (l->n > 0)
            memcpy(p, l->at, l->n * sizeof *p);
        l->at = p;
        l->cap = cap;
    }
    l->at[l->n++] = v;
}

val dv__pair(dv__ev *ev, val a, val b)
{
    dv__list *l = dv__new_list(ev, 2);
    dv__push(ev, l, a);
    dv__push(ev, l, b);
    val v = dv__list_val(l);
    v.tuple = true;
    return v;
}

dv__dict *dv__new_dict(dv__ev *ev)
{
    dv__dict *d = dv__alloc(ev, sizeof *d);
    if (d != NULL)
        *d = (dv__dict){0};
    return d;
}

void dv__put(dv__ev *ev, dv__dict *d, val key, val v)
{
    dv__entry *e = d != NULL && dv__charge(ev, 1 + d->n / 8) ? dv__dict_find(d, key) : NULL;
    if (e != NULL)
        e->v = v;
    if (e != NULL || d == NULL || ev->code != 0)
        return;
    if (d->n == d->cap) {
        size_t cap = d->cap ? d->cap * 2 : 8;
        dv__entry *p = dv__alloc(ev, cap * sizeof *p);
        if (p == NULL)
            return;
        if (d->n > 0)
            memcpy(p, d->at, d->n * sizeof *p);
        d->at = p;
        d->cap = cap;
    }
    d->at[d->n++] = (dv__entry){key, v};
}

/* ---- arguments ----------------------------------------------------------------------------------------------------- */

const val *dv__arg(const dv__args *a, size_t i, const char *name)
{
    if (i < a->n)
        return &a->pos[i];
    for (size_t k = 0; name != NULL && k < a->n_kw; k++)
        if (dv__is(a->kw[k].key, name))
            return &a->kw[k].v;
    return NULL;
}

bool dv__arg_bool(const dv__args *a, size_t i, const char *name, bool def)
{
    const val *v = dv__arg(a, i, name);
    return v != NULL ? dv__truth(*v) : def;
}

int64_t dv__arg_int(dv__ev *ev, const dv__args *a, size_t i, const char *name, int64_t def)
{
    const val *v = dv__arg(a, i, name);
    if (v == NULL || v->kind == V_NONE)
        return def;
    if (v->kind == V_BOOL)
        return v->u.b;
    if (v->kind == V_INT)
        return v->u.i;
    dv__fail(ev, DV_EINVAL, "argument %s must be an integer, not %s", name != NULL ? name : "", dv__kind_name(*v));
    return def;
}

val dv__arg_str(dv__ev *ev, const dv__args *a, size_t i, const char *name, const char *def)
{
    const val *v = dv__arg(a, i, name);
    if (v != NULL && v->kind == V_STR)
        return *v;
    if ((v == NULL || v->kind == V_NONE) && def != NULL)
        return dv__lit(def);
    return dv__fail(ev, DV_EINVAL, "argument %s must be a string%s%s", name != NULL ? name : "",
                    v != NULL ? ", not " : "", v != NULL ? dv__kind_name(*v) : "");
}

const dv__list *dv__items(dv__ev *ev, val v, const char *who)
{
    dv__list *l;
    switch (v.kind) {
    case V_LIST: return v.u.l;
    case V_STR: return dv__u_chars(ev, v);
    case V_UNDEF: return dv__new_list(ev, 0);
    case V_LOOP: return v.u.loop->items;
    case V_DICT:
        l = dv__new_list(ev, v.u.d->n);
        for (size_t i = 0; l != NULL && i < v.u.d->n; i++)
            dv__push(ev, l, v.u.d->at[i].key);
        return l;
    default: dv__fail(ev, DV_EINVAL, "%s needs a list, not %s", who, dv__kind_name(v)); return NULL;
    }
}
