/* SPDX-License-Identifier: MIT */
/* Who may run: jobs from the inbox into the queue, from there into slots; jobs that nobody waits for any more out of both. A sequence whose
 * reader is slow gives its slot to whoever waits for one, and gets one again when its reader goes on. */
#include "base/err.h"
#include "sched/impl.h"

/* --- jobs in and out --- */

static void enqueue(dv_sched *s, dv_job *j)
{
    dv_job **at = &s->queue;
    while (*at != NULL && (*at)->p.priority >= j->p.priority)
        at = &(*at)->next;
    j->next = *at;
    *at = j;
}

void dv__take_inbox(dv_sched *s)
{
    pthread_mutex_lock(&s->mutex);
    dv_job *j = s->inbox_first;
    s->inbox_first = s->inbox_last = NULL;
    pthread_mutex_unlock(&s->mutex);
    for (dv_job *next; j != NULL; j = next) {
        next = j->next;
        enqueue(s, j);
    }
}

static void leave_queue(dv_sched *s, dv_job **link)
{
    *link = (*link)->next;
    pthread_mutex_lock(&s->mutex);
    s->n_waiting--;
    pthread_mutex_unlock(&s->mutex);
}

static bool is_canceled(const dv_job *j)
{
    /* Relaxed: whoever set it pokes the scheduler under the mutex, or is this thread. */
    return atomic_load_explicit(&j->canceled, memory_order_relaxed);
}

bool dv__is_paused(const dv_job *j) { return atomic_load_explicit(&j->paused, memory_order_relaxed); }

bool dv__has_slot(const dv_sched *s, const dv__seq *q) { return q->slot < s->o.parallel; }

static void cancel(dv_sched *s, dv_job *j)
{
    dv_err err = {0};
    dv_fail(&err, DV_ECANCELED, "the request was canceled");
    j->dead = true;
    dv__seq_fail(s, j, DV_ECANCELED, &err);
}

void dv__drop_canceled(dv_sched *s)
{
    for (dv_job **link = &s->queue; *link != NULL;) {
        dv_job *j = *link;
        if (!is_canceled(j)) {
            link = &j->next;
            continue;
        }
        leave_queue(s, link);
        cancel(s, j);
    }
    for (uint32_t i = 0; i < s->n_seq; i++)
        if (s->seq[i].job != NULL && is_canceled(s->seq[i].job))
            cancel(s, s->seq[i].job);
}

/* --- slots --- */

static int slot_wanted(const dv_job *j) { return j->p.n == 1 ? j->p.slot : -1; }

/* This slot, or for -1 one that was never used, or else the one unused for longest: slot files stay possible. */
static dv__seq *free_slot(dv_sched *s, int wanted)
{
    dv__seq *best = NULL;
    for (uint32_t i = 0; i < s->n_seq; i++) {
        dv__seq *q = &s->seq[i];
        if (q->job == NULL && dv__has_slot(s, q) && (wanted < 0 || q->slot == (uint32_t)wanted) &&
            (best == NULL || q->order < best->order))
            best = q;
    }
    return best;
}

static void swap_slots(dv__seq *a, dv__seq *b)
{
    uint32_t slot = a->slot;
    a->slot = b->slot;
    b->slot = slot;
}

/* The slot of a sequence whose reader is slow; it keeps its state and, while nobody else needs them, its pages. The oldest. */
static dv__seq *slow_slot(dv_sched *s, int wanted)
{
    dv__seq *best = NULL;
    for (uint32_t i = 0; i < s->n_seq; i++) {
        dv__seq *q = &s->seq[i];
        if (q->job != NULL && dv__has_slot(s, q) && dv__is_paused(q->job) &&
            (wanted < 0 || q->slot == (uint32_t)wanted) && (best == NULL || q->order < best->order))
            best = q;
    }
    return best;
}

static dv__seq *spare_seq(dv_sched *s)
{
    for (uint32_t i = 0; i < s->n_seq; i++)
        if (s->seq[i].job == NULL && !dv__has_slot(s, &s->seq[i]))
            return &s->seq[i];
    return NULL;
}

static dv__seq *find_slot(dv_sched *s, int wanted)
{
    dv__seq *q = free_slot(s, wanted), *slow, *spare;
    if (q != NULL || (slow = slow_slot(s, wanted)) == NULL || (spare = spare_seq(s)) == NULL)
        return q;
    swap_slots(slow, spare);
    return spare;
}

/* Those whose readers read again get a slot before anybody new. */
static void take_up_again(dv_sched *s)
{
    for (;;) {
        dv__seq *first = NULL;
        for (uint32_t i = 0; i < s->n_seq; i++) {
            dv__seq *q = &s->seq[i];
            if (q->job != NULL && !dv__has_slot(s, q) && !dv__is_paused(q->job) &&
                (first == NULL || q->order < first->order))
                first = q;
        }
        dv__seq *place = first == NULL ? NULL : free_slot(s, -1);
        if (place == NULL && first != NULL)
            place = slow_slot(s, -1);
        if (place == NULL)
            return;
        swap_slots(first, place);
    }
}

/* Choices after the first wait until the first one's prompt is computed: then they find it. */
void dv__admit(dv_sched *s)
{
    take_up_again(s);
    for (dv_job **link = &s->queue; *link != NULL;) {
        dv_job *j = *link;
        dv_err err = {0};
        dv__seq *q;
        int rc = 0;
        while (rc == 0 && j->n_begun < j->p.n && (j->n_begun == 0 || j->shareable) &&
               (q = find_slot(s, slot_wanted(j))) != NULL)
            rc = dv__seq_begin(s, q, j, &err);
        if (rc != 0) {
            leave_queue(s, link);
            dv__seq_fail(s, j, rc, &err);
        } else if (j->n_begun == j->p.n) {
            leave_queue(s, link);
        } else {
            link = &j->next;
        }
    }
}
