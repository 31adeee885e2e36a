/* SPDX-License-Identifier: MIT */
/* The thread of a server: takes what waits, commits it together, writes the lines, tells who asked. While it commits, the next rows gather, so the
 * number of fsyncs adapts by itself. What cannot be written now is kept and tried again. It also does what is due from time to time. */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "store/store_impl.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

enum {
    BATCH = 1000,
    TICK_MS = 250,        /* keys that other processes changed */
    SECOND = 4,           /* ticks: rows of other processes, files to the disk */
    SAVE = 30 * SECOND,   /* when keys and sessions were used */
    FIRST = 600 * SECOND, /* old rows, for the first time: NTP may have to set the clock first */
    HOUR = 3600 * SECOND,
    BACKOFF_MIN_MS = 50,
    BACKOFF_MAX_MS = 2000,
    CLOSE_MS = 5000
};

static struct timespec in_ms(uint64_t ms)
{
    uint64_t at = dv_clock_ns() + ms * 1000000;
    return (struct timespec){.tv_sec = (time_t)(at / 1000000000), .tv_nsec = (long)(at % 1000000000)};
}

/* Wait for rows or a tick; takes at most BATCH rows. */
static dv__entry *take(dv__audit *a, uint64_t tick_ns, bool *stop)
{
    uint64_t now = dv_clock_ns();
    struct timespec end = in_ms(tick_ns > now ? (tick_ns - now) / 1000000 : 0);
    pthread_mutex_lock(&a->mu);
    int late = 0;
    while (a->head == NULL && !a->kick && !a->stop && late == 0)
        late = pthread_cond_timedwait(&a->wake, &a->mu, &end);
    dv__entry *list = a->head, *last = list;
    uint64_t n = list != NULL;
    for (; last != NULL && last->next != NULL && n < BATCH; n++)
        last = last->next;
    if (last != NULL) {
        a->head = last->next;
        last->next = NULL;
    }
    for (const dv__entry *e = list; e != NULL; e = e->next)
        a->bytes -= e->bytes;
    a->n -= n;
    a->kick = false;
    *stop = a->stop;
    pthread_mutex_unlock(&a->mu);
    return list;
}

/* They are written (rc 0) or given up. */
static void settle(dv_store *s, dv__entry *list, int rc)
{
    dv__audit *a = &s->audit;
    uint64_t n = 0;
    while (list != NULL) {
        dv__entry *next = list->next;
        if (list->done != NULL)
            list->done(list->arg, rc);
        dv_free(list);
        list = next;
        n++;
    }
    pthread_mutex_lock(&a->mu);
    a->settled += n;
    a->lost += rc != 0 ? n : 0;
    pthread_cond_broadcast(&a->done);
    pthread_mutex_unlock(&a->mu);
    if (rc != 0)
        dv__store_log(s, DV_STORE_LOG_ERROR, "%" PRIu64 " rows of the audit log are lost: %s", n, dv_error_text(rc));
}

static bool may_pass(int rc)
{
    return rc == DV_ENOSPC || rc == DV_EBUSY || rc == DV_EIO || rc == DV_EACCES || rc == DV_ENOMEM || rc == DV_ECORRUPT;
}

/* Sleep, but not longer than until the store closes. False: it does, and its patience is over. */
static bool pause_ms(dv__audit *a, uint64_t ms, uint64_t *give_up_ns)
{
    struct timespec end = in_ms(ms);
    pthread_mutex_lock(&a->mu);
    int late = 0;
    while (late == 0 && !(a->stop && *give_up_ns == 0))
        late = pthread_cond_timedwait(&a->wake, &a->mu, &end);
    if (a->stop && *give_up_ns == 0)
        *give_up_ns = dv_clock_ns() + (uint64_t)CLOSE_MS * 1000000;
    bool more = *give_up_ns == 0 || dv_clock_ns() < *give_up_ns;
    pthread_mutex_unlock(&a->mu);
    return more;
}

static void set_failing(dv_store *s, int rc, const dv_err *e)
{
    dv__audit *a = &s->audit;
    pthread_mutex_lock(&a->mu);
    int was = a->failing;
    a->failing = rc;
    pthread_mutex_unlock(&a->mu);
    if (rc != 0 && was != rc)
        dv__store_log(s, DV_STORE_LOG_ERROR, "the audit log cannot be written, its rows wait: %s", e->msg);
    if (rc == 0 && was != 0)
        dv__store_log(s, DV_STORE_LOG_INFO, "the audit log is written again");
}

static int write_once(dv_store *s, const dv__entry *list, dv_err *err)
{
    dv_buf lines;
    dv__chain chain;
    uint64_t first = 0;
    dv_buf_init(&lines, 0);
    int rc = dv__audit_write(s, list, &lines, &chain, &first, err);
    if (rc == 0)
        dv__audit_follow(s, &lines, &chain, first);
    dv_buf_fini(&lines);
    return rc;
}

/* Until it is written, or the store closes and five seconds are over. */
static int write_list(dv_store *s, const dv__entry *list, uint64_t *give_up_ns)
{
    for (uint64_t wait = BACKOFF_MIN_MS;; wait = DV_MIN(wait * 2, (uint64_t)BACKOFF_MAX_MS)) {
        dv_err e = {0};
        int rc = write_once(s, list, &e);
        set_failing(s, rc, &e);
        if (rc == 0 || !may_pass(rc) || !pause_ms(&s->audit, wait, give_up_ns))
            return rc;
    }
}

/* A row that can never be written must not hold up the others: after such a failure they go one by one. */
static void write_rows(dv_store *s, dv__entry *list, uint64_t *give_up_ns)
{
    int rc = write_list(s, list, give_up_ns);
    if (rc == 0 || may_pass(rc)) {
        settle(s, list, rc);
        return;
    }
    while (list != NULL) {
        dv__entry *next = list->next;
        list->next = NULL;
        settle(s, list, write_list(s, list, give_up_ns));
        list = next;
    }
}

/* Rows that had no place are a row, as soon as there is place again. */
static void tell_lost(dv_store *s)
{
    dv__audit *a = &s->audit;
    dv_conn *c;
    dv_err e = {0};
    pthread_mutex_lock(&a->mu);
    uint64_t n = a->failing == 0 ? a->lost - a->told : 0;
    pthread_mutex_unlock(&a->mu);
    if (n == 0 || dv_db_write(s->db, &c, &e) != 0)
        return;
    dv__audit_in(s, c, NULL, "audit.lost", DV_AUDIT_FAILED, "%" PRIu64 " rows could not be recorded", n);
    if (dv_db_commit(&c, &e) != 0)
        return;
    a->told += n; /* of this thread only */
    dv__store_log(s, DV_STORE_LOG_ERROR, "%" PRIu64 " rows of the audit log could not be recorded", n);
    dv__audit_catch_up(s);
}

/* While writing fails nobody may want to write; a try tells when it works again. */
static void try_again(dv_store *s)
{
    dv_conn *c;
    dv_err e = {0};
    if (dv__db_state(s->db).code == 0 || dv_db_write(s->db, &c, &e) != 0)
        return;
    dv_stmt *st =
        dv_stmt_get(c, "INSERT INTO meta (name, value) VALUES ('probe', ?1) ON CONFLICT DO UPDATE SET value = ?1");
    dv_stmt_int(st, 1, (int64_t)s->wall_ms());
    dv_stmt_run(st);
    dv_db_commit(&c, &e);
}

static void tick(dv_store *s, uint64_t n)
{
    dv_err ignored = {0}; /* dv_key_find tells those who ask */
    dv__keys_refresh(s, false, &ignored);
    tell_lost(s);
    if (n % SECOND == 0) {
        dv__audit_catch_up(s);
        pthread_mutex_lock(&s->audit.lines_mu);
        dv__lines_sync(&s->audit.lines);
        pthread_mutex_unlock(&s->audit.lines_mu);
    }
    if (n % (2 * SECOND) == 0)
        try_again(s);
    if (n % SAVE == 0) {
        dv__keys_save_used(s);
        dv__seen_save(s);
    }
    if (n == FIRST || n % HOUR == 0) {
        dv__audit_prune(s);
        dv__sessions_prune(s);
        dv__logins_prune(s);
    }
}

static void *run(void *arg)
{
    dv_store *s = arg;
    dv__audit *a = &s->audit;
    uint64_t tick_ns = dv_clock_ns() + (uint64_t)TICK_MS * 1000000, ticks = 0, give_up_ns = 0;
    for (;;) {
        bool stop;
        dv__entry *list = take(a, tick_ns, &stop);
        if (list != NULL)
            write_rows(s, list, &give_up_ns);
        else if (stop)
            return NULL;
        else if (dv_clock_ns() < tick_ns)
            dv__audit_catch_up(s); /* kicked: somebody committed rows of his own */
        if (dv_clock_ns() >= tick_ns && !stop) {
            tick(s, ++ticks);
            tick_ns = dv_clock_ns() + (uint64_t)TICK_MS * 1000000;
        }
    }
}

int dv__audit_start(dv_store *s, dv_err *err)
{
    int e = pthread_create(&s->audit.thread, NULL, run, s);
    s->audit.running = e == 0;
    return e != 0 ? dv_fail(err, DV_ENOMEM, "no thread for the audit log: %s", strerror(e)) : 0;
}

void dv__audit_stop(dv_store *s)
{
    dv__audit *a = &s->audit;
    if (!a->running)
        return;
    pthread_mutex_lock(&a->mu);
    a->stop = true;
    pthread_cond_broadcast(&a->wake);
    pthread_mutex_unlock(&a->mu);
    pthread_join(a->thread, NULL);
    a->running = false;
    dv__audit_catch_up(s); /* rows of others since the last tick */
    dv__keys_save_used(s);
    dv__seen_save(s);
}
