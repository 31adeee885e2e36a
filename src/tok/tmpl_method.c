/* SPDX-License-Identifier: MIT */
/* Methods of mappings and lists. What would change a value is refused: a rendering changes nothing but namespaces. */
#include "tok/tmpl_eval.h"

static val m_get(dv__ev *ev, val self, const dv__args *a)
{
    const val *key = dv__arg(a, 0, "key"), *def = dv__arg(a, 1, "default");
    if (key == NULL)
        return dv__fail(ev, DV_EINVAL, "get() needs a key");
    const dv__entry *e = dv__charge(ev, 1 + self.u.d->n / 8) ? dv__dict_find(self.u.d, *key) : NULL;
    return e != NULL ? e->v : def != NULL ? *def : dv__none();
}

static val collect(dv__ev *ev, val self, int what)
{
    dv__list *l = dv__new_list(ev, self.u.d->n);
    for (size_t i = 0; l != NULL && i < self.u.d->n && ev->code == 0; i++) {
        const dv__entry *e = &self.u.d->at[i];
        dv__push(ev, l, what == 0 ? e->key : what == 1 ? e->v : dv__pair(ev, e->key, e->v));
    }
    if (l != NULL)
        l->outside = false;
    return dv__list_val(l);
}

static val m_keys(dv__ev *ev, val self, const dv__args *a) { return collect(ev, self, 0); }
static val m_values(dv__ev *ev, val self, const dv__args *a) { return collect(ev, self, 1); }
static val m_items(dv__ev *ev, val self, const dv__args *a) { return collect(ev, self, 2); }

static val m_copy(dv__ev *ev, val self, const dv__args *a) { return self; }

static val m_refused(dv__ev *ev, val self, const dv__args *a)
{
    return dv__fail(ev, DV_EUNSUPPORTED, "a template cannot change %s", dv__kind_name(self));
}

static val m_index(dv__ev *ev, val self, const dv__args *a)
{
    for (size_t i = 0; a->n > 0 && i < self.u.l->n && ev->code == 0; i++)
        if (dv__equal(ev, self.u.l->at[i], a->pos[0]))
            return dv__int((int64_t)i);
    return dv__fail(ev, DV_EINVAL, "index(): the value is not in the list");
}

static val m_count(dv__ev *ev, val self, const dv__args *a)
{
    int64_t n = 0;
    for (size_t i = 0; a->n > 0 && i < self.u.l->n && ev->code == 0; i++)
        n += dv__equal(ev, self.u.l->at[i], a->pos[0]);
    return dv__int(n);
}

const dv__fn_row *dv__method_find(dv__kind kind, const char *name, size_t n)
{
    static const dv__fn_row of_dict[] = {
        {"get", m_get, false},       {"items", m_items, false},
        {"keys", m_keys, false},     {"values", m_values, false},
        {"copy", m_copy, false},     {"update", m_refused, false},
        {"pop", m_refused, false},   {"popitem", m_refused, false},
        {"clear", m_refused, false}, {"setdefault", m_refused, false},
    };
    static const dv__fn_row of_list[] = {
        {"index", m_index, false},    {"count", m_count, false},    {"copy", m_copy, false},
        {"append", m_refused, false}, {"extend", m_refused, false}, {"insert", m_refused, false},
        {"pop", m_refused, false},    {"remove", m_refused, false}, {"reverse", m_refused, false},
        {"sort", m_refused, false},   {"clear", m_refused, false},
    };
    size_t n_str;
    const dv__fn_row *of_str = dv__method_rows_str(&n_str);
    switch (kind) {
    case V_STR: return dv__row_find(of_str, n_str, name, n);
    case V_LIST: return dv__row_find(of_list, DV_ARRAY_LEN(of_list), name, n);
    case V_DICT: return dv__row_find(of_dict, DV_ARRAY_LEN(of_dict), name, n);
    default: return NULL;
    }
}
