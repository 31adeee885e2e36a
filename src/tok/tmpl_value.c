/* SPDX-License-Identifier: MIT */
/* Values: makers for callers, and the containers beneath them. */
#include "tok/tmpl_value.h"

#include "base/num.h"

const char *dv__kind_name(val v)
{
    static const char *const names[] = {"undefined", "none",      "a boolean",   "an integer", "a float", "a string",
                                        "a list",    "a mapping", "a namespace", "a function", "a loop"};
    return v.kind < DV_ARRAY_LEN(names) ? names[v.kind] : "unknown";
}

/* ---- containers ---------------------------------------------------------------------------------------------------- */

/* A larger copy of n items; the old array stays behind in the arena, so growth is geometric to keep that waste in proportion. */
static void *grow(dv_arena *a, void *old, size_t n, size_t *cap, size_t size)
{
    size_t want, bytes;
    if (!dv_mul_size(DV_MAX(*cap, (size_t)4), 2, &want) || !dv_mul_size(want, size, &bytes))
        return NULL;
    void *p = dv_arena_alloc(a, bytes);
    if (p == NULL)
        return NULL;
    if (n > 0)
        memcpy(p, old, n * size);
    *cap = want;
    return p;
}

dv__list *dv__list_new(dv_arena *a, size_t cap)
{
    dv__list *l = dv_arena_calloc(a, 1, sizeof *l);
    if (l == NULL || cap == 0)
        return l;
    l->at = dv_arena_calloc(a, cap, sizeof *l->at);
    l->cap = cap;
    return l->at != NULL ? l : NULL;
}

int dv__list_push(dv_arena *a, dv__list *l, val v)
{
    if (l->n == l->cap) {
        val *p = grow(a, l->at, l->n, &l->cap, sizeof *p);
        if (p == NULL)
            return DV_ENOMEM;
        l->at = p;
    }
    l->at[l->n++] = v;
    return 0;
}

dv__dict *dv__dict_new(dv_arena *a, size_t cap)
{
    dv__dict *d = dv_arena_calloc(a, 1, sizeof *d);
    if (d == NULL || cap == 0)
        return d;
    d->at = dv_arena_calloc(a, cap, sizeof *d->at);
    d->cap = cap;
    return d->at != NULL ? d : NULL;
}

static bool key_equal(val a, val b)
{
    if (a.kind == V_STR && b.kind == V_STR)
        return dv__same_bytes(a, b);
    if (a.kind == V_INT && b.kind == V_INT)
        return a.u.i == b.u.i;
    if (a.kind == V_BOOL && b.kind == V_BOOL)
        return a.u.b == b.u.b;
    if (dv__is_num(a) && dv__is_num(b))
        return (a.kind == V_INT ? (double)a.u.i : a.u.f) == (b.kind == V_INT ? (double)b.u.i : b.u.f);
    return a.kind == V_NONE && b.kind == V_NONE;
}

dv__entry *dv__dict_find(const dv__dict *d, val key)
{
    for (size_t i = 0; i < d->n; i++)
        if (key_equal(d->at[i].key, key))
            return &d->at[i];
    return NULL;
}

dv__entry *dv__dict_finds(const dv__dict *d, const char *key, size_t n) { return dv__dict_find(d, dv__strn(key, n)); }

int dv__dict_add(dv_arena *a, dv__dict *d, val key, val v)
{
    if (d->n == d->cap) {
        dv__entry *p = grow(a, d->at, d->n, &d->cap, sizeof *p);
        if (p == NULL)
            return DV_ENOMEM;
        d->at = p;
    }
    d->at[d->n++] = (dv__entry){key, v};
    return 0;
}

int dv__dict_set(dv_arena *a, dv__dict *d, val key, val v)
{
    dv__entry *e = dv__dict_find(d, key);
    if (e == NULL)
        return dv__dict_add(a, d, key, v);
    e->v = v;
    return 0;
}

/* ---- makers -------------------------------------------------------------------------------------------------------- */

static dv_value *keep(dv_arena *a, val v)
{
    dv_value *p = dv_arena_alloc(a, sizeof *p);
    if (p != NULL)
        *p = v;
    return p;
}

static val outside(val v)
{
    v.trusted = false;
    return v;
}

dv_value *dv_value_none(dv_arena *a) { return keep(a, outside(dv__none())); }
dv_value *dv_value_bool(dv_arena *a, bool b) { return keep(a, outside(dv__bool(b))); }
dv_value *dv_value_int(dv_arena *a, int64_t i) { return keep(a, outside(dv__int(i))); }
dv_value *dv_value_float(dv_arena *a, double f) { return keep(a, outside(dv__float(f))); }

dv_value *dv_value_str(dv_arena *a, const char *s, size_t n, bool trusted)
{
    char *copy = dv_arena_strndup(a, s, n);
    return copy != NULL ? dv_value_str_ref(a, copy, n, trusted) : NULL;
}

dv_value *dv_value_str_ref(dv_arena *a, const char *s, size_t n, bool trusted)
{
    val v = dv__strn(s, n);
    v.trusted = trusted;
    return keep(a, v);
}

dv_value *dv_value_list(dv_arena *a)
{
    dv__list *l = dv__list_new(a, 0);
    if (l == NULL)
        return NULL;
    l->outside = true;
    return keep(a, (val){.kind = V_LIST, .u.l = l});
}

dv_value *dv_value_dict(dv_arena *a)
{
    dv__dict *d = dv__dict_new(a, 0);
    if (d == NULL)
        return NULL;
    d->outside = true;
    return keep(a, (val){.kind = V_DICT, .u.d = d});
}

int dv_value_push(dv_arena *a, dv_value *list, const dv_value *item)
{
    if (list == NULL || item == NULL)
        return DV_ENOMEM;
    return list->kind == V_LIST ? dv__list_push(a, list->u.l, *item) : DV_EINVAL;
}

int dv_value_set(dv_arena *a, dv_value *dict, const char *key, size_t key_len, const dv_value *item)
{
    if (dict == NULL || item == NULL)
        return DV_ENOMEM;
    if (dict->kind != V_DICT)
        return DV_EINVAL;
    dv__entry *e = dv__dict_finds(dict->u.d, key, key_len);
    if (e != NULL) {
        e->v = *item;
        return 0;
    }
    char *copy = dv_arena_strndup(a, key, key_len);
    return copy != NULL ? dv__dict_add(a, dict->u.d, outside(dv__strn(copy, key_len)), *item) : DV_ENOMEM;
}

int dv_value_merge(dv_arena *a, dv_value *dict, const dv_value *from)
{
    int r = dict == NULL ? DV_ENOMEM : dict->kind != V_DICT || from == NULL || from->kind != V_DICT ? DV_EINVAL : 0;
    for (size_t i = 0; r == 0 && i < from->u.d->n; i++)
        r = dv__dict_set(a, dict->u.d, from->u.d->at[i].key, from->u.d->at[i].v);
    return r;
}

static int trust_role(dv_arena *a, val *message, bool (*known)(const char *s, size_t n))
{
    dv__entry *role = message->kind == V_DICT ? dv__dict_finds(message->u.d, "role", 4) : NULL;
    if (role == NULL || role->v.kind != V_STR)
        return 0;
    dv__dict *d = dv__dict_new(a, message->u.d->n);
    if (d == NULL)
        return DV_ENOMEM;
    memcpy(d->at, message->u.d->at, message->u.d->n * sizeof *d->at);
    d->n = message->u.d->n;
    d->outside = message->u.d->outside;
    val *v = &d->at[role - message->u.d->at].v;
    v->trusted = known(v->u.s.p, v->u.s.n);
    v->u.s.mask = NULL;
    message->u.d = d;
    return 0;
}

dv_value *dv_value_trust_roles(dv_arena *a, const dv_value *messages, bool (*known)(const char *s, size_t n))
{
    dv_value *out = dv_value_list(a);
    for (size_t i = 0; out != NULL && i < dv_value_len(messages); i++) {
        val m = messages->u.l->at[i];
        if (trust_role(a, &m, known) != 0 || dv__list_push(a, out->u.l, m) != 0)
            return NULL;
    }
    return out;
}

const dv_value *dv_value_get(const dv_value *dict, const char *key)
{
    if (dict == NULL || dict->kind != V_DICT)
        return NULL;
    const dv__entry *e = dv__dict_finds(dict->u.d, key, strlen(key));
    return e != NULL ? &e->v : NULL;
}

bool dv_value_is_none(const dv_value *v) { return v == NULL || v->kind == V_NONE || v->kind == V_UNDEF; }
bool dv_value_is_list(const dv_value *v) { return v != NULL && v->kind == V_LIST; }

size_t dv_value_len(const dv_value *v)
{
    if (v == NULL)
        return 0;
    return v->kind == V_LIST ? v->u.l->n : v->kind == V_DICT ? v->u.d->n : 0;
}
