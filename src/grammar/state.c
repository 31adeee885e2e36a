/* SPDX-License-Identifier: MIT */
/* States: what callers hold. A state keeps its machine and its grammar alive. */
#include "grammar/machine.h"

#include "base/err.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

/* Called with the lock held. A machine that is not current goes with its last state. */
static void drop_machine(dv__machine *m)
{
    if (--m->refs == 0 && m != m->g->cur)
        dv__machine_free(m);
}

/* The machine for new states: made if there is none for this vocabulary, or if it has grown to its limit. Lock held. */
static int current(dv_grammar *g, dv_grammar_vocab *v, dv__machine **out, dv_err *err)
{
    *out = g->cur;
    if (g->cur != NULL && g->cur->v == v && g->cur->bud.used < g->limits.max_cache)
        return 0;
    dv__machine *m;
    int rc = dv__machine_make(&m, g, v, err);
    if (rc != 0)
        return rc;
    if (g->cur != NULL && g->cur->refs == 0)
        dv__machine_free(g->cur);
    *out = g->cur = m;
    return 0;
}

int dv_grammar_state_init(dv_grammar_state *s, dv_grammar *g, dv_grammar_vocab *v, dv_err *err)
{
    dv__machine *m;
    *s = (dv_grammar_state){0};
    pthread_mutex_lock(&g->lock);
    int rc = current(g, v, &m, err);
    if (rc == 0) {
        m->refs++;
        g->refs++;
        *s = (dv_grammar_state){.m = m, .at = m->start};
    }
    pthread_mutex_unlock(&g->lock);
    return rc;
}

void dv_grammar_state_copy(dv_grammar_state *s, const dv_grammar_state *from)
{
    *s = *from;
    if (s->m == NULL)
        return;
    pthread_mutex_lock(&s->m->g->lock);
    s->m->refs++;
    s->m->g->refs++;
    pthread_mutex_unlock(&s->m->g->lock);
}

void dv_grammar_state_fini(dv_grammar_state *s)
{
    dv__machine *m = s->m;
    *s = (dv_grammar_state){0};
    if (m == NULL)
        return;
    dv_grammar *g = m->g;
    pthread_mutex_lock(&g->lock);
    drop_machine(m);
    pthread_mutex_unlock(&g->lock);
    dv_grammar_unref(&g);
}

/* Leave a machine that has grown to its limit for the current one, or for a new one. Lock held. */
static int refresh(dv_grammar_state *s, dv_err *err)
{
    dv__machine *old = s->m, *m;
    if (old->bud.used < old->g->limits.max_cache)
        return 0;
    int rc = current(old->g, old->v, &m, err);
    if (rc != 0 || m == old)
        return rc;
    dv_err first = {0};
    m->bud.err = &first;
    m->bud.work = 0;
    const uint32_t at = dv__machine_move(m, old, s->at);
    m->bud.err = NULL;
    if (at == DV__S_ERROR)
        return dv_fail(err, first.code, "%s", first.msg);
    m->refs++;
    s->m = m;
    s->at = at;
    drop_machine(old);
    return 0;
}

/* Runs op on the machine of s, under the lock, with its errors going to err. */
static int with_machine(dv_grammar_state *s, int (*op)(dv_grammar_state *, void *), void *arg, dv_err *err)
{
    if (s->m == NULL)
        return dv_fail(err, DV_EINVAL, "a grammar state that is not initialised");
    dv_err first = {0};
    dv_grammar *g = s->m->g;
    pthread_mutex_lock(&g->lock);
    int rc = refresh(s, &first);
    if (rc == 0) {
        s->m->bud.err = &first;
        s->m->bud.work = 0;
        rc = op(s, arg);
        s->m->bud.err = NULL;
    }
    pthread_mutex_unlock(&g->lock);
    if (rc == 0)
        return 0;
    rc = first.code != 0 ? first.code : rc;
    return dv_fail(err, rc, "%s", first.code != 0 ? first.msg : dv_error_text(rc));
}

static int op_mask(dv_grammar_state *s, void *out)
{
    dv__machine *m = s->m;
    uint32_t *bits = out;
    if (!dv__machine_mask(m, s->at, bits))
        return DV_ENOMEM;
    for (uint32_t i = 0; dv__set(m, s->at)->tag != 0 && i < m->v->n_end; i++)
        bits[m->v->end[i] / 32] |= (uint32_t)1 << m->v->end[i] % 32;
    return 0;
}

int dv_grammar_state_mask(dv_grammar_state *s, uint32_t *out, dv_err *err)
{
    const size_t words = s->m != NULL ? dv_grammar_mask_words(s->m->v->n) : 0;
    memset(out, 0, words * sizeof *out);
    if (s->done)
        return 0;
    int rc = with_machine(s, op_mask, out, err);
    if (rc != 0)
        memset(out, 0, words * sizeof *out);
    return rc;
}

size_t dv_grammar_mask_logits(const uint32_t *mask, float *logits, size_t n_vocab)
{
    size_t n = 0;
    for (size_t i = 0; i < n_vocab; i++) {
        const bool allowed = (mask[i / 32] >> (i % 32) & 1) != 0;
        n += allowed;
        logits[i] = allowed ? logits[i] : -INFINITY;
    }
    return n;
}

static int refuse(dv_grammar_state *s, int32_t token)
{
    return dv_fail(s->m->bud.err, DV_EINVAL, "the grammar does not allow token %d here", (int)token);
}

static int op_token(dv_grammar_state *s, void *arg)
{
    const int32_t token = *(const int32_t *)arg;
    const dv_grammar_vocab *v = s->m->v;
    if (s->done || token < 0 || (uint32_t)token >= v->n)
        return refuse(s, token);
    if (v->flag[token] & DV__TOKEN_END) {
        s->done = dv__set(s->m, s->at)->tag != 0;
        if (s->done)
            return 0;
    }
    const uint32_t to = dv__machine_token(s->m, s->at, (uint32_t)token);
    if (to == DV__S_DEAD)
        return refuse(s, token);
    if (to == DV__S_ERROR)
        return DV_ENOMEM;
    s->at = to;
    return 0;
}

int dv_grammar_state_accept(dv_grammar_state *s, int32_t token, dv_err *err)
{
    return with_machine(s, op_token, &token, err);
}

typedef struct bytes {
    const char *p;
    size_t n;
} bytes;

static int op_bytes(dv_grammar_state *s, void *arg)
{
    const bytes *b = arg;
    uint32_t at = s->done ? DV__S_DEAD : s->at;
    for (size_t i = 0; i < b->n && at != DV__S_ERROR; i++) {
        at = at == DV__S_DEAD ? at : dv__machine_next(s->m, at, (uint8_t)b->p[i]);
        if (at == DV__S_DEAD)
            return dv_fail(s->m->bud.err, DV_EINVAL, "the grammar does not allow byte %zu of the text", i);
    }
    if (at == DV__S_ERROR)
        return DV_ENOMEM;
    s->at = at;
    return 0;
}

int dv_grammar_state_accept_bytes(dv_grammar_state *s, const char *p, size_t n, dv_err *err)
{
    return with_machine(s, op_bytes, &(bytes){p, n}, err);
}

/* The only byte that may follow a set; -1 if there is a choice or none. Guards of counted rules are not looked at: what they forbid counts
 * as a choice. */
static int only_byte(const dv__machine *m, uint32_t set)
{
    const dv__item *it = dv__set(m, set);
    int found = -1;
    if (it->tag != 0)
        return -1;
    for (uint32_t i = 0; i < it->n; i++) {
        const dv__pstate *st = &m->g->state[dv__set_at(m, set, i)->q];
        if (st[1].term0 > st->term0)
            return -1;
        for (uint32_t e = st->byte0; e < st[1].byte0; e++) {
            const dv__byte_edge *x = &m->g->byte[e];
            if (x->lo != x->hi || (found >= 0 && found != x->lo))
                return -1;
            found = x->lo;
        }
    }
    return found;
}

typedef struct forced {
    size_t max;
    dv_buf *out;
} forced;

static int op_forced(dv_grammar_state *s, void *arg)
{
    const forced *f = arg;
    uint32_t at = s->at;
    for (size_t i = 0; i < f->max && !s->done; i++) {
        const int c = only_byte(s->m, at);
        if (c < 0)
            break;
        at = dv__machine_next(s->m, at, (uint8_t)c);
        if (at == DV__S_DEAD)
            break;
        if (at == DV__S_ERROR)
            return DV_ENOMEM;
        if (dv_buf_addc(f->out, (char)c) != 0)
            return f->out->code;
    }
    return 0;
}

int dv_grammar_state_forced(dv_grammar_state *s, size_t max, dv_buf *out, dv_err *err)
{
    return with_machine(s, op_forced, &(forced){max, out}, err);
}

bool dv_grammar_state_can_end(const dv_grammar_state *s)
{
    if (s->m == NULL || s->done)
        return false;
    dv_grammar *g = s->m->g;
    pthread_mutex_lock(&g->lock);
    const bool end = dv__set(s->m, s->at)->tag != 0;
    pthread_mutex_unlock(&g->lock);
    return end;
}

bool dv_grammar_state_is_done(const dv_grammar_state *s) { return s->done; }

size_t dv_grammar_bytes(dv_grammar *g)
{
    pthread_mutex_lock(&g->lock);
    const size_t n = g->bytes + (g->cur != NULL ? g->cur->bud.used : 0);
    pthread_mutex_unlock(&g->lock);
    return n;
}
