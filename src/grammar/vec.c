/* SPDX-License-Identifier: MIT */
#include "grammar/vec.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/num.h"

static bool charge(dv__budget *bud, size_t bytes)
{
    size_t used;
    if (dv_add_size(bud->used, bytes, &used) && used <= bud->limit) {
        bud->used = used;
        return true;
    }
    dv_fail(bud->err, DV_ELIMIT, "the grammar needs more than %zu bytes of memory", bud->limit);
    return false;
}

void *dv__vec_push(dv__vec *v, size_t elem, size_t k, dv__budget *bud)
{
    size_t need, bytes;
    if (!dv_add_size(v->n, k, &need) || !dv_mul_size(need, elem, &bytes)) {
        dv_fail(bud->err, DV_ELIMIT, "the grammar is too large");
        return NULL;
    }
    if (need > v->cap || v->p == NULL) { /* also for no elements: NULL means failure */
        size_t cap = v->cap + v->cap / 2 + 16;
        cap = cap > need ? cap : need;
        if (!charge(bud, (cap - v->cap) * elem))
            return NULL;
        void *p = dv_realloc(DV_MEM_GRAMMAR, v->p, cap * elem);
        if (p == NULL) {
            bud->used -= (cap - v->cap) * elem;
            dv_fail(bud->err, DV_ENOMEM, "out of memory for a grammar");
            return NULL;
        }
        v->p = p;
        v->cap = cap;
    }
    void *at = (char *)v->p + v->n * elem;
    v->n = need;
    return at;
}

void dv__vec_free(dv__vec *v, size_t elem, dv__budget *bud)
{
    bud->used -= v->cap * elem;
    dv_free(v->p);
    *v = (dv__vec){0};
}

void *dv__take(size_t n, size_t elem, dv__budget *bud)
{
    size_t bytes;
    if (!dv_mul_size(n, elem, &bytes) || !charge(bud, bytes)) {
        dv_fail(bud->err, DV_ELIMIT, "the grammar is too large");
        return NULL;
    }
    void *p = dv_calloc(DV_MEM_GRAMMAR, n, elem);
    if (p == NULL) {
        bud->used -= bytes;
        dv_fail(bud->err, DV_ENOMEM, "out of memory for a grammar");
    }
    return p;
}

void dv__take_back(void *p, size_t n, size_t elem, dv__budget *bud)
{
    if (p == NULL)
        return;
    bud->used -= n * elem;
    dv_free(p);
}

bool dv__work(dv__budget *bud, uint64_t steps)
{
    bud->work += steps;
    if (bud->work <= bud->max_work)
        return true;
    dv_fail(bud->err, DV_ELIMIT, "the grammar is too complex to compile");
    return false;
}
