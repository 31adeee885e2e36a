/* SPDX-License-Identifier: MIT */
/* Fork-join with spinning first and a futex-backed sleep after: a forward pass runs a few hundred jobs per token, so a
 * worker usually gets its next job within microseconds, and an idle program must still use no CPU.
 *
 * A job is published by raising the generation in `state`. A worker enters the open job by counting itself in, takes parts from `next`
 * and counts itself out. When no part is left, the owner closes the job and waits only for workers that are inside: one that the
 * system has not scheduled in the meantime delays nobody, which matters on machines that do other work too. A worker outside never
 * touches a job's fields, so the owner may write the next job's as soon as it has returned. */
#include "base/pool.h"

#include "base/attr.h"
#include "base/err.h"
#include "base/mem.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { SPIN_ROUNDS = 20000, WAIT_ROUNDS = 2000, MAX_THREADS = 256 };

typedef struct worker {
    dv_pool *pool;
    pthread_t thread;
    unsigned index;
} worker;

/* state: generation in the upper half, CLOSED, number of workers inside. */
#define GENERATION(s) ((uint32_t)((s) >> 32))
static const uint64_t closed_flag = 1u << 31, inside_mask = (1u << 31) - 1;

struct dv_pool {
    /* The job: written by the owner while nobody is inside, read by workers that have entered. */
    dv_pool_fn fn;
    void *arg;
    size_t n_parts;
    DV_ALIGNED(64) atomic_size_t next; /* first part nobody has taken */
    DV_ALIGNED(64) _Atomic uint64_t state;
    atomic_bool stop;
    atomic_uint sleepers;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    unsigned n_workers; /* threads besides the owner */
    worker workers[];
};

static void cpu_relax(void)
{
#if DV_ARCH_X86_64
    __builtin_ia32_pause();
#endif
}

static void take_parts(dv_pool *p, unsigned thread)
{
    for (;;) {
        /* Relaxed: only the number matters, the job's fields were ordered by `state`. */
        size_t part = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
        if (part >= p->n_parts)
            return;
        p->fn(p->arg, part, p->n_parts, thread);
    }
}

/* Wait until the generation is not `seen`. */
static void await_job(dv_pool *p, uint32_t seen)
{
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        if (GENERATION(atomic_load_explicit(&p->state, memory_order_relaxed)) != seen)
            return;
        cpu_relax();
    }
    pthread_mutex_lock(&p->mutex);
    /* Sequentially consistent with the owner's "raise generation, then look for sleepers": one of the two sees the other. */
    atomic_fetch_add(&p->sleepers, 1);
    while (GENERATION(atomic_load(&p->state)) == seen)
        pthread_cond_wait(&p->wake, &p->mutex);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->mutex);
}

/* Count this worker into the present job unless it is closed; *seen becomes the job's generation. */
static bool enter(dv_pool *p, uint32_t *seen)
{
    uint64_t s = atomic_load_explicit(&p->state, memory_order_relaxed);
    do {
        *seen = GENERATION(s);
        if (s & closed_flag)
            return false;
        /* Acquire: the job's fields are visible once the count is in. */
    } while (!atomic_compare_exchange_weak_explicit(&p->state, &s, s + 1, memory_order_acquire, memory_order_relaxed));
    return true;
}

static void *worker_main(void *arg)
{
    worker *w = arg;
    dv_pool *p = w->pool;
    uint32_t seen = 0;
    for (;;) {
        await_job(p, seen);
        if (atomic_load_explicit(&p->stop, memory_order_acquire))
            return NULL;
        if (!enter(p, &seen))
            continue;
        take_parts(p, w->index);
        /* Release: what this worker wrote is visible to the owner once it sees the count drop. */
        atomic_fetch_sub_explicit(&p->state, 1, memory_order_release);
    }
}

static void publish(dv_pool *p, uint64_t flags)
{
    uint32_t next = GENERATION(atomic_load_explicit(&p->state, memory_order_relaxed)) + 1;
    atomic_store(&p->state, (uint64_t)next << 32 | flags);
    if (atomic_load(&p->sleepers) == 0)
        return;
    pthread_mutex_lock(&p->mutex);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->mutex);
}

void dv_pool_run(dv_pool *p, dv_pool_fn fn, void *arg, size_t n_parts)
{
    if (p->n_workers == 0 || n_parts <= 1) {
        for (size_t i = 0; i < n_parts; i++)
            fn(arg, i, n_parts, 0);
        return;
    }
    p->fn = fn;
    p->arg = arg;
    p->n_parts = n_parts;
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    publish(p, 0);
    take_parts(p, 0);
    atomic_fetch_or_explicit(&p->state, closed_flag, memory_order_relaxed);
    for (unsigned i = 0; (atomic_load_explicit(&p->state, memory_order_acquire) & inside_mask) != 0; i++) {
        if (i < WAIT_ROUNDS)
            cpu_relax();
        else
            sched_yield(); /* more threads than cores: let the others finish */
    }
}

unsigned dv_pool_threads(const dv_pool *p) { return p->n_workers + 1; }

int dv_pool_open(dv_pool **out, unsigned n_threads, dv_err *err)
{
    *out = NULL;
    if (n_threads < 1 || n_threads > MAX_THREADS)
        return dv_fail(err, DV_EINVAL, "threads: %u is not between 1 and %d", n_threads, MAX_THREADS);
    dv_pool *p = dv_calloc(DV_MEM_BASE, 1, sizeof *p + (n_threads - 1) * sizeof p->workers[0]);
    if (p == NULL)
        return dv_fail(err, DV_ENOMEM, "thread pool: %s", dv_error_text(DV_ENOMEM));
    atomic_init(&p->state, closed_flag);
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->wake, NULL);
    for (unsigned i = 1; i < n_threads; i++) {
        worker *w = &p->workers[i - 1];
        *w = (worker){.pool = p, .index = i};
        if (pthread_create(&w->thread, NULL, worker_main, w) != 0) {
            dv_pool_close(&p);
            return dv_fail(err, DV_ENOMEM, "cannot start thread %u", i);
        }
        p->n_workers = i;
    }
    *out = p;
    return 0;
}

void dv_pool_close(dv_pool **pool)
{
    dv_pool *p = *pool;
    if (p == NULL)
        return;
    atomic_store_explicit(&p->stop, true, memory_order_release);
    publish(p, closed_flag);
    for (unsigned i = 0; i < p->n_workers; i++)
        pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->mutex);
    dv_free(p);
    *pool = NULL;
}
