/* SPDX-License-Identifier: MIT */
/* A set in another machine of the same grammar: the contexts and keys that it needs, oldest first, since each refers to older ones
 * only. */
#include "grammar/machine.h"

typedef struct mover {
    dv__machine *to;
    const dv__machine *from;
    uint32_t *ctx, *key; /* new numbers + 1 of what is needed; before that, DV__NONE marks it as needed */
} mover;

static void want_key(mover *v, uint32_t key)
{
    if (key == DV__UNTRACKED || key <= DV__KEY_EMPTY)
        return;
    v->key[key] = DV__NONE;
}

/* Marks what is needed, newest first. */
static void mark(mover *v, uint32_t set)
{
    const dv__machine *m = v->from;
    for (uint32_t i = 0; i < dv__set(m, set)->n; i++) {
        const dv__config *c = dv__set_at(m, set, i);
        v->ctx[c->ctx] = DV__NONE;
        want_key(v, c->key);
    }
    for (size_t k = m->ctxs.item.n; k-- > 0;) {
        const dv__item *it = &DV__AT(m->ctxs.item, dv__item, k);
        for (uint32_t i = 0; v->ctx[k] != 0 && i < it->n; i++) {
            const dv__config *f = &DV__AT(m->ctxs.pool, dv__config, it->at + i);
            if (f->q == DV__Q_END)
                continue;
            v->ctx[f->ctx] = DV__NONE;
            want_key(v, f->key);
        }
    }
    for (size_t k = m->keys.n; k-- > DV__KEY_EMPTY + 1;) {
        const dv__key *x = &DV__AT(m->keys, dv__key, k);
        if (v->key[k] == 0)
            continue;
        want_key(v, x->parent);
        if (x->of_set)
            want_key(v, x->last);
    }
}

static uint32_t new_key(const mover *v, uint32_t key)
{
    return key == DV__UNTRACKED || key <= DV__KEY_EMPTY ? key : v->key[key] - 1;
}

static bool move_keys(mover *v)
{
    const dv__machine *m = v->from;
    for (size_t k = DV__KEY_EMPTY + 1; k < m->keys.n; k++) {
        const dv__key *x = &DV__AT(m->keys, dv__key, k);
        if (v->key[k] == 0)
            continue;
        uint32_t to = dv__key_add(v->to, new_key(v, x->parent), x->of_set ? new_key(v, x->last) : x->last, x->of_set);
        if (to == DV__S_ERROR)
            return false;
        v->key[k] = to + 1;
    }
    return true;
}

/* Numbers of an item's configurations replaced, in to->frames. */
static bool translate(mover *v, const dv__store *s, const dv__item *it)
{
    v->to->frames.n = 0;
    for (uint32_t i = 0; i < it->n; i++) {
        dv__config *c = dv__vec_push(&v->to->frames, sizeof *c, 1, &v->to->bud);
        if (c == NULL)
            return false;
        *c = DV__AT(s->pool, dv__config, it->at + i);
        if (c->q == DV__Q_END)
            continue;
        c->ctx = v->ctx[c->ctx] - 1;
        c->key = new_key(v, c->key);
    }
    return true;
}

static uint32_t move(mover *v, uint32_t set)
{
    const dv__machine *m = v->from;
    mark(v, set);
    if (!move_keys(v))
        return DV__S_ERROR;
    for (size_t k = 0; k < m->ctxs.item.n; k++) {
        const dv__item *it = &DV__AT(m->ctxs.item, dv__item, k);
        if (v->ctx[k] == 0)
            continue;
        uint32_t to = translate(v, &m->ctxs, it)
                          ? dv__store_add(&v->to->ctxs, v->to->frames.p, it->n, it->tag, &v->to->bud)
                          : DV__S_ERROR;
        if (to == DV__S_ERROR)
            return to;
        v->ctx[k] = to + 1;
    }
    const dv__item *it = dv__set(m, set);
    return translate(v, &m->sets, it) ? dv__machine_intern(v->to, v->to->frames.p, it->n, it->tag != 0) : DV__S_ERROR;
}

uint32_t dv__machine_move(dv__machine *to, const dv__machine *from, uint32_t set)
{
    mover v = {.to = to, .from = from};
    uint32_t at = DV__S_ERROR;
    v.ctx = dv__take(from->ctxs.item.n, sizeof *v.ctx, &to->bud);
    v.key = dv__take(from->keys.n, sizeof *v.key, &to->bud);
    if (v.ctx != NULL && v.key != NULL)
        at = move(&v, set);
    dv__take_back(v.ctx, from->ctxs.item.n, sizeof *v.ctx, &to->bud);
    dv__take_back(v.key, from->keys.n, sizeof *v.key, &to->bud);
    return at;
}
