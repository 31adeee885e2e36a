/* SPDX-License-Identifier: MIT */
/* Fork-join with spinning first and a futex-backed sleep after: a forward pass runs a few hundred jobs per token, so a
 * worker usually gets its next job within microseconds, and an idle program must still use no CPU.
 *
 * A job is published by raising `generation`. Workers take parts from `next`; the last worker to leave the job lets the
 * owner return, so no worker can still touch a job's argument afterwards. */
#include "base/pool.h"

#include "base/attr.h"
#include "base/err.h"
#include "base/mem.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { SPIN_ROUNDS = 20000, MAX_THREADS = 256 };

typedef struct worker {
    dv_pool *pool;
    pthread_t thread;
    unsigned index;
} worker;

struct dv_pool {
    /* The job: written by the owner before `generation` is raised, read by workers after they saw it. */
    dv_pool_fn fn;
    void *arg;
    size_t n_parts;
    DV_ALIGNED(64) atomic_size_t next;      /* first part nobody has taken */
    DV_ALIGNED(64) atomic_uint busy;        /* workers still inside the current job */
    DV_ALIGNED(64) atomic_uint generation;  /* job number; release on publish, acquire on pick-up orders the fields above */
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
        /* Relaxed: only the number matters, the job's fields were ordered by `generation`. */
        size_t part = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
        if (part >= p->n_parts)
            return;
        p->fn(p->arg, part, p->n_parts, thread);
    }
}

/* Wait until the generation is not `seen`; returns the new one. */
static unsigned await_job(dv_pool *p, unsigned seen)
{
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        unsigned g = atomic_load_explicit(&p->generation, memory_order_acquire);
        if (g != seen)
            return g;
        cpu_relax();
    }
    pthread_mutex_lock(&p->mutex);
    /* Sequentially consistent with the owner's "raise generation, then look for sleepers": one of the two sees the other. */
    atomic_fetch_add(&p->sleepers, 1);
    while (atomic_load(&p->generation) == seen)
        pthread_cond_wait(&p->wake, &p->mutex);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->mutex);
    return atomic_load_explicit(&p->generation, memory_order_acquire);
}

static void *worker_main(void *arg)
{
    worker *w = arg;
    dv_pool *p = w->pool;
    unsigned seen = 0;
    for (;;) {
        seen = await_job(p, seen);
        if (atomic_load_explicit(&p->stop, memory_order_acquire))
            return NULL;
        take_parts(p, w->index);
        /* Release: what this worker wrote is visible to the owner once it sees the count drop. */
        atomic_fetch_sub_explicit(&p->busy, 1, memory_order_release);
    }
}

static void publish(dv_pool *p)
{
    atomic_fetch_add(&p->generation, 1);
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
    atomic_store_explicit(&p->busy, p->n_workers, memory_order_relaxed);
    publish(p);
    take_parts(p, 0);
    for (unsigned i = 0; atomic_load_explicit(&p->busy, memory_order_acquire) != 0; i++) {
        if (i < SPIN_ROUNDS)
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
    publish(p);
    for (unsigned i = 0; i < p->n_workers; i++)
        pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->mutex);
    dv_free(p);
    *pool = NULL;
}
