/* SPDX-License-Identifier: MIT */
#include "http/core.h"

#include "base/attr.h"
#include "base/utf8.h"
#include "http/conn.h"
#include "http/req.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>

void dv__core_init(dv__core *k, const dv_http_options *o)
{
    *k = (dv__core){.o = *o};
    pthread_mutex_init(&k->lock, NULL);
    k->ready_end = &k->ready;
    k->tasks_end = &k->tasks;
    dv__peers_init(&k->peers);
    /* Ids tell requests apart; nothing depends on their being unguessable, so a failure here only makes them repeat. */
    if (getrandom(&k->id_prefix, sizeof k->id_prefix, 0) != (ssize_t)sizeof k->id_prefix)
        k->id_prefix = (uint64_t)time(NULL);
}

void dv__core_ready(dv__core *k, dv_http_req *r)
{
    dv_http_ref(r);
    r->next_ready = NULL;
    pthread_mutex_lock(&k->lock);
    bool first = k->ready == NULL;
    *k->ready_end = r;
    k->ready_end = &r->next_ready;
    pthread_mutex_unlock(&k->lock);
    if (first && k->wake != NULL)
        k->wake(k->wake_arg);
}

/* The next ready request with its reference, NULL if there is none. */
static dv_http_req *take_list(dv__core *k)
{
    pthread_mutex_lock(&k->lock);
    dv_http_req *list = k->ready;
    k->ready = NULL;
    k->ready_end = &k->ready;
    pthread_mutex_unlock(&k->lock);
    return list;
}

bool dv__core_run_ready(dv__core *k)
{
    /* One round: what becomes ready meanwhile wakes again, so a busy stream cannot keep sockets from being read. */
    dv_http_req *next, *list = take_list(k);
    for (dv_http_req *r = list; r != NULL; r = next) {
        pthread_mutex_lock(&r->mutex);
        next = r->next_ready; /* before ready is cleared: from then on the link belongs to the next push */
        r->ready = false;
        pthread_mutex_unlock(&r->mutex);
        if (r->conn != NULL)
            dv__conn_pump(r->conn);
        dv_http_unref(r);
    }
    return list != NULL;
}

void dv__core_post(dv__core *k, dv_http_task *t)
{
    t->next = NULL;
    pthread_mutex_lock(&k->lock);
    bool first = k->tasks == NULL;
    *k->tasks_end = t;
    k->tasks_end = &t->next;
    pthread_mutex_unlock(&k->lock);
    if (first && k->wake != NULL)
        k->wake(k->wake_arg);
}

static dv_http_task *take_tasks(dv__core *k)
{
    pthread_mutex_lock(&k->lock);
    dv_http_task *list = k->tasks;
    k->tasks = NULL;
    k->tasks_end = &k->tasks;
    pthread_mutex_unlock(&k->lock);
    return list;
}

bool dv__core_run_tasks(dv__core *k)
{
    /* One round, as for ready requests. */
    dv_http_task *next, *list = take_tasks(k);
    for (dv_http_task *t = list; t != NULL; t = next) {
        next = t->next; /* before fn: it may free the task or post it again */
        t->fn(t);
    }
    return list != NULL;
}

void dv__core_fini(dv__core *k)
{
    /* No connections any more: this only drops references. Their ends may post, and what is posted may drop others. */
    while (dv__core_run_tasks(k) || dv__core_run_ready(k))
        continue;
    pthread_mutex_destroy(&k->lock);
}

const char *dv__core_date(dv__core *k)
{
    time_t now = time(NULL);
    if (now != k->date_at || k->date[0] == 0)
        dv__http_date(k->date, now);
    k->date_at = now;
    return k->date;
}

void dv__core_log(const dv__core *k, int level, const char *fmt, ...)
{
    if (k->o.log == NULL)
        return;
    char text[512];
    dv_buf line;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    dv_buf_init(&line, 0);
    if (n > 0 && dv_buf_escaped(&line, text, DV_MIN((size_t)n, sizeof text - 1)) == 0)
        k->o.log(k->o.arg, level, line.data);
    dv_buf_fini(&line);
}
