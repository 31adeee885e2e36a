/* SPDX-License-Identifier: MIT */
#include "base/work.h"

#include "base/err.h"
#include "base/mem.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

typedef struct task {
    void (*fn)(void *arg);
    void *arg;
} task;

struct dv_work {
    pthread_mutex_t lock;
    pthread_cond_t some; /* there is something to do, or the end */
    task *ring;          /* [cap] */
    size_t cap, first, n;
    unsigned n_threads, n_running;
    bool end;
    pthread_t thread[];
};

/* Waits for a task; false when there will be none. */
static bool next_task(dv_work *w, task *t)
{
    pthread_mutex_lock(&w->lock);
    while (w->n == 0 && !w->end)
        pthread_cond_wait(&w->some, &w->lock);
    bool found = w->n > 0;
    if (found) {
        *t = w->ring[w->first];
        w->first = (w->first + 1) % w->cap;
        w->n--;
        w->n_running++;
    }
    pthread_mutex_unlock(&w->lock);
    return found;
}

static void *run(void *arg)
{
    dv_work *w = arg;
    task t;
    while (next_task(w, &t)) {
        t.fn(t.arg);
        pthread_mutex_lock(&w->lock);
        w->n_running--;
        pthread_mutex_unlock(&w->lock);
    }
    return NULL;
}

/* Signals are for the I/O thread. */
static int start_thread(dv_work *w)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&w->thread[w->n_threads], NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    w->n_threads += rc == 0;
    return rc;
}

int dv_work_open(dv_work **out, unsigned n_threads, size_t n_queue, dv_err *err)
{
    *out = NULL;
    dv_work *w = dv_calloc(DV_MEM_BASE, 1, sizeof *w + n_threads * sizeof w->thread[0]);
    task *ring = dv_calloc(DV_MEM_BASE, n_queue, sizeof *ring);
    if (w == NULL || ring == NULL) {
        dv_free(w);
        dv_free(ring);
        return dv_fail(err, DV_ENOMEM, "workers: %s", dv_error_text(DV_ENOMEM));
    }
    w->ring = ring;
    w->cap = n_queue;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->some, NULL);
    for (unsigned i = 0; i < n_threads; i++) {
        int rc = start_thread(w);
        if (rc != 0) {
            dv_work_close(&w);
            return dv_fail(err, DV_EIO, "workers: %s", strerror(rc));
        }
    }
    *out = w;
    return 0;
}

void dv_work_close(dv_work **pw)
{
    dv_work *w = *pw;
    if (w == NULL)
        return;
    pthread_mutex_lock(&w->lock);
    w->end = true;
    pthread_cond_broadcast(&w->some);
    pthread_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < w->n_threads; i++)
        pthread_join(w->thread[i], NULL);
    pthread_cond_destroy(&w->some);
    pthread_mutex_destroy(&w->lock);
    dv_free(w->ring);
    dv_free(w);
    *pw = NULL;
}

int dv_work_add(dv_work *w, void (*fn)(void *arg), void *arg)
{
    pthread_mutex_lock(&w->lock);
    bool full = w->n == w->cap;
    if (!full) {
        w->ring[(w->first + w->n++) % w->cap] = (task){.fn = fn, .arg = arg};
        pthread_cond_signal(&w->some);
    }
    pthread_mutex_unlock(&w->lock);
    return full ? DV_EBUSY : 0;
}

bool dv_work_idle(dv_work *w)
{
    pthread_mutex_lock(&w->lock);
    bool idle = w->n == 0 && w->n_running == 0;
    pthread_mutex_unlock(&w->lock);
    return idle;
}
