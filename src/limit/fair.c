/* SPDX-License-Identifier: MIT */
/* A flow is an identity with what waits for it. Its start tag is the virtual time at which its next item is due: when it begins to wait, the
 * later one of now and of where its last item ended. Now is the start tag of what was taken last. The history of flows is forgotten when nothing
 * waits (whoever comes to an idle queue owes nothing), or when there are too many of them. */
#include "limit/fair.h"

#include "base/attr.h"
#include "base/mem.h"
#include "drover/error.h"

enum { BUCKETS = 256, IDLE_MAX = 1024 };

/* Tags are sums of costs; so large that no sum of a busy period wraps. */
#define COST_MAX (UINT64_C(1) << 32)

typedef struct dv_fair_flow {
    struct dv_fair_flow *next; /* of its bucket */
    uint64_t identity, tag;    /* tag: start of its first item; of an idle flow, where its last one ended */
    uint64_t order;            /* among equal tags: who began to wait first */
    size_t at;                 /* in the heap; SIZE_MAX: idle */
    dv_fair_item *first, *last;
} flow;

struct dv_fair {
    size_t n, max;
    uint64_t now, order;
    flow *buckets[BUCKETS];
    size_t n_flows;
    flow **heap; /* [n_heap] flows with items, the earliest first */
    size_t n_heap, cap;
};

/* ---- heap ---- */

static bool before(const flow *a, const flow *b) { return a->tag != b->tag ? a->tag < b->tag : a->order < b->order; }

static void put_at(dv_fair *f, flow *w, size_t i)
{
    f->heap[i] = w;
    w->at = i;
}

static void sift_up(dv_fair *f, flow *w, size_t i)
{
    for (; i > 0 && before(w, f->heap[(i - 1) / 2]); i = (i - 1) / 2)
        put_at(f, f->heap[(i - 1) / 2], i);
    put_at(f, w, i);
}

static void sift_down(dv_fair *f, flow *w, size_t i)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < f->n_heap && before(f->heap[child + 1], f->heap[child]))
            child++;
        if (child >= f->n_heap || !before(f->heap[child], w))
            break;
        put_at(f, f->heap[child], i);
        i = child;
    }
    put_at(f, w, i);
}

static void leave_heap(dv_fair *f, flow *w)
{
    size_t i = w->at;
    flow *last = f->heap[--f->n_heap];
    w->at = SIZE_MAX;
    if (last == w)
        return;
    sift_down(f, last, i);
    sift_up(f, last, last->at);
}

/* Room for every flow that could wait, so that only putting needs memory. */
static int reserve(dv_fair *f)
{
    if (f->n_heap < f->cap)
        return 0;
    size_t cap = f->cap != 0 ? 2 * f->cap : 16;
    flow **p = dv_realloc(DV_MEM_BASE, f->heap, cap * sizeof *p);
    if (p == NULL)
        return DV_ENOMEM;
    f->heap = p;
    f->cap = cap;
    return 0;
}

/* ---- flows ---- */

/* Identities are hashes already; a few rounds more in case they are not. */
static flow **bucket_of(dv_fair *f, uint64_t identity)
{
    uint64_t h = (identity ^ identity >> 33) * UINT64_C(0x9e3779b97f4a7c15);
    return &f->buckets[h >> 56 & (BUCKETS - 1)];
}

static void forget_idle(dv_fair *f)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (flow **p = &f->buckets[i]; *p != NULL;) {
            flow *w = *p;
            if (w->at != SIZE_MAX) {
                p = &w->next;
                continue;
            }
            *p = w->next;
            f->n_flows--;
            dv_free(w);
        }
}

static flow *flow_of(dv_fair *f, uint64_t identity)
{
    flow **bucket = bucket_of(f, identity);
    for (flow *w = *bucket; w != NULL; w = w->next)
        if (w->identity == identity)
            return w;
    if (f->n_flows > 2 * f->n_heap + IDLE_MAX)
        forget_idle(f);
    flow *w = dv_calloc(DV_MEM_BASE, 1, sizeof *w);
    if (w == NULL)
        return NULL;
    *w = (flow){.identity = identity, .at = SIZE_MAX, .next = *bucket};
    *bucket = w;
    f->n_flows++;
    return w;
}

/* Its first item went away, or all of them: where is it now? */
static void settle(dv_fair *f, flow *w)
{
    if (w->first == NULL)
        leave_heap(f, w);
    else
        sift_down(f, w, w->at);
    if (f->n > 0)
        return;
    forget_idle(f);
    f->now = 0;
}

/* ---- the queue ---- */

dv_fair *dv_fair_new(size_t max)
{
    dv_fair *f = dv_calloc(DV_MEM_BASE, 1, sizeof *f);
    if (f != NULL)
        f->max = max;
    return f;
}

void dv_fair_free(dv_fair *f)
{
    if (f == NULL)
        return;
    forget_idle(f);
    dv_free(f->heap);
    dv_free(f);
}

void dv_fair_set_max(dv_fair *f, size_t max) { f->max = max; }

int dv_fair_put(dv_fair *f, dv_fair_item *it, uint64_t identity, uint64_t cost)
{
    if (f->n >= f->max)
        return DV_EBUSY;
    flow *w = reserve(f) == 0 ? flow_of(f, identity) : NULL;
    if (w == NULL)
        return DV_ENOMEM;
    *it = (dv_fair_item){.prev = w->last, .flow = w, .cost = DV_MIN(DV_MAX(cost, 1), COST_MAX)};
    if (w->last != NULL)
        w->last->next = it;
    else
        w->first = it;
    w->last = it;
    f->n++;
    if (w->at != SIZE_MAX)
        return 0;
    w->tag = DV_MAX(w->tag, f->now);
    w->order = f->order++;
    sift_up(f, w, f->n_heap++);
    return 0;
}

static void unlink_item(dv_fair *f, dv_fair_item *it)
{
    flow *w = it->flow;
    if (it->prev != NULL)
        it->prev->next = it->next;
    else
        w->first = it->next;
    if (it->next != NULL)
        it->next->prev = it->prev;
    else
        w->last = it->prev;
    it->prev = it->next = NULL;
    it->flow = NULL;
    f->n--;
}

dv_fair_item *dv_fair_peek(dv_fair *f) { return f->n_heap > 0 ? f->heap[0]->first : NULL; }

dv_fair_item *dv_fair_take(dv_fair *f)
{
    dv_fair_item *it = dv_fair_peek(f);
    if (it == NULL)
        return NULL;
    flow *w = it->flow;
    f->now = w->tag;
    w->tag += it->cost;
    w->order = f->order++;
    unlink_item(f, it);
    settle(f, w);
    return it;
}

void dv_fair_remove(dv_fair *f, dv_fair_item *it)
{
    flow *w = it->flow;
    if (w == NULL)
        return;
    unlink_item(f, it);
    settle(f, w); /* its tag stays: what was never taken is not charged */
}

size_t dv_fair_len(const dv_fair *f) { return f->n; }
