/* SPDX-License-Identifier: MIT */
/* Rows of the audit log: recorded, written with their lines, read. The thread of a server is in audit_thread.c. */
#include "store/audit.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "store/store_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { QUEUE_ROWS = 65536, QUEUE_BYTES = 32 << 20, PRUNE_ROWS = 1000, DAY_MS = 86400000 };

/* ---- writing ---- */

int dv__audit_write(dv_store *s, const dv__entry *list, dv_buf *lines, dv__chain *chain, uint64_t *first, dv_err *err)
{
    dv_conn *c;
    int rc = dv_db_write(s->db, &c, err);
    if (rc != 0)
        return rc;
    dv__chain_load(c, &s->secret, chain, NULL);
    *first = chain->seq + 1;
    for (const dv__entry *e = list; e != NULL && dv_conn_code(c) == 0; e = e->next)
        dv__chain_add(c, chain, e, s->audit.run, lines);
    dv__chain_save(c, &s->secret, chain);
    return dv_db_commit(&c, err);
}

/* One write into the file's one block; no fsync: the table has the same, and a head that is a little behind is no contradiction. */
static void write_anchor(dv_store *s, const dv__chain *chain)
{
    char text[DV__ANCHOR_LEN + 1];
    dv__anchor_text(&s->secret, chain, text);
    if (s->audit.anchor >= 0 && pwrite(s->audit.anchor, text, DV__ANCHOR_LEN, 0) != DV__ANCHOR_LEN)
        dv__store_log(s, DV_STORE_LOG_WARN, "audit.head: %s", strerror(errno));
}

/* Only the first of a row of failures is worth a line in the log. */
static void lines_failed(dv_store *s, int rc, const dv_err *e)
{
    if (rc != 0 && !s->audit.lines_behind)
        dv__store_log(s, DV_STORE_LOG_WARN, "%s; the database has these rows, the file gets them later", e->msg);
    if (rc == 0 && s->audit.lines_behind)
        dv__store_log(s, DV_STORE_LOG_INFO, DV__LINES_FILE " has all rows again");
    s->audit.lines_behind = rc != 0;
}

void dv__audit_follow(dv_store *s, const dv_buf *lines, const dv__chain *chain, uint64_t first)
{
    dv__audit *a = &s->audit;
    uint64_t max = dv__store_tuning(s).audit_file_bytes;
    dv_err e = {0};
    pthread_mutex_lock(&a->lines_mu);
    int rc = 0;
    if (a->lines.fd >= 0 && a->lines.last + 1 == first)
        rc = dv__lines_add(&a->lines, lines->data, lines->len, first, chain->seq, max, &e);
    else if (a->lines.fd >= 0) /* another process wrote rows, or the disk was full */
        rc = dv__lines_catch_up(&a->lines, s->db, max, &e);
    lines_failed(s, rc, &e);
    write_anchor(s, chain);
    pthread_mutex_unlock(&a->lines_mu);
}

static void note_lines(void *arg, const char *text) { dv__store_log(arg, DV_STORE_LOG_WARN, "%s", text); }

/* A command opens the file only when it has rows for it and no server has it open. */
static int open_lines(dv_store *s, dv_err *err)
{
    dv__audit *a = &s->audit;
    dv_err busy = {0};
    if (a->lines.fd >= 0 || dv__folder_lock(&s->folder, DV__LOCK_LINES, true, &busy) != 0)
        return 0;
    int rc = dv__lines_open(&a->lines, &s->folder, s->db, note_lines, s, err);
    if (rc != 0)
        dv__folder_unlock(&s->folder, DV__LOCK_LINES);
    return rc;
}

void dv__audit_catch_up(dv_store *s)
{
    dv__audit *a = &s->audit;
    dv_err e = {0};
    dv_conn *c;
    dv__chain chain;
    if (dv_db_read(s->db, &c, &e) != 0)
        return;
    dv__chain_load(c, &s->secret, &chain, NULL);
    if (dv_db_commit(&c, &e) != 0)
        return;
    pthread_mutex_lock(&a->lines_mu);
    int rc = open_lines(s, &e);
    if (rc == 0 && a->lines.fd >= 0 && a->lines.last < chain.seq)
        rc = dv__lines_catch_up(&a->lines, s->db, dv__store_tuning(s).audit_file_bytes, &e);
    lines_failed(s, rc, &e);
    write_anchor(s, &chain);
    pthread_mutex_unlock(&a->lines_mu);
}

void dv__audit_committed(dv_store *s)
{
    if (!s->audit.running) {
        dv__audit_catch_up(s);
        return;
    }
    pthread_mutex_lock(&s->audit.mu);
    s->audit.kick = true;
    pthread_cond_signal(&s->audit.wake);
    pthread_mutex_unlock(&s->audit.mu);
}

/* ---- recording ---- */

static dv__entry *new_entry(dv_store *s, const dv_audit_entry *e)
{
    dv__entry *copy = dv__entry_copy(e, dv__store_tuning(s).audit_prompts);
    if (copy != NULL) {
        copy->wall_ms = s->wall_ms();
        copy->mono_ns = dv_clock_ns();
    }
    return copy;
}

void dv__audit_in(dv_store *s, dv_conn *c, const dv_audit_who *by, const char *action, dv_audit_outcome outcome,
                  const char *detail, ...)
{
    char text[DV_AUDIT_DETAIL + 1];
    va_list ap;
    va_start(ap, detail);
    vsnprintf(text, sizeof text, detail, ap);
    va_end(ap);
    dv_audit_entry e = {.who = {.kind = DV_AUDIT_SYSTEM}, .action = action, .outcome = outcome, .detail = text};
    if (by != NULL)
        e.who = *by;
    dv__entry *copy = new_entry(s, &e);
    if (copy == NULL) {
        dv_conn_fail(c, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
        return;
    }
    dv__chain chain;
    dv_buf line;
    dv_buf_init(&line, 0);
    dv__chain_load(c, &s->secret, &chain, NULL);
    dv__chain_add(c, &chain, copy, s->audit.run, &line);
    dv__chain_save(c, &s->secret, &chain);
    dv_buf_fini(&line);
    dv_free(copy);
}

static int log_now(dv_store *s, dv__entry *e, dv_err *err)
{
    dv_buf lines;
    dv__chain chain;
    uint64_t first;
    dv_buf_init(&lines, 0);
    int rc = dv__audit_write(s, e, &lines, &chain, &first, err);
    dv_buf_fini(&lines);
    if (rc == 0)
        dv__audit_committed(s);
    if (rc == 0 && e->done != NULL)
        e->done(e->arg, 0);
    dv_free(e);
    return rc;
}

static int queue(dv__audit *a, dv__entry *e, dv_err *err)
{
    pthread_mutex_lock(&a->mu);
    bool full = a->n >= QUEUE_ROWS || a->bytes + e->bytes > QUEUE_BYTES || a->stop;
    if (full) {
        a->lost++;
    } else {
        *(a->head == NULL ? &a->head : &a->tail->next) = e;
        a->tail = e;
        a->n++;
        a->bytes += e->bytes;
        a->queued++;
        pthread_cond_signal(&a->wake);
    }
    int failing = a->failing;
    pthread_mutex_unlock(&a->mu);
    if (!full)
        return 0;
    dv_free(e);
    return dv_fail(err, DV_EBUSY, "the audit log cannot keep up: %s",
                   failing != 0 ? dv_error_text(failing) : "too many rows wait");
}

int dv_audit_log(dv_store *s, const dv_audit_entry *e, dv_audit_done done, void *arg, dv_err *err)
{
    dv__entry *copy = new_entry(s, e);
    if (copy == NULL)
        return dv_fail(err, DV_ENOMEM, "the audit log: %s", dv_error_text(DV_ENOMEM));
    copy->done = done;
    copy->arg = arg;
    return s->audit.running ? queue(&s->audit, copy, err) : log_now(s, copy, err);
}

int dv_audit_state(dv_store *s)
{
    dv__audit *a = &s->audit;
    if (!a->running)
        return dv__db_state(s->db).code;
    pthread_mutex_lock(&a->mu);
    int rc = a->failing != 0 ? a->failing : a->n >= QUEUE_ROWS || a->bytes >= QUEUE_BYTES ? DV_EBUSY : 0;
    pthread_mutex_unlock(&a->mu);
    return rc;
}

int dv_audit_flush(dv_store *s, uint32_t timeout_ms, dv_err *err)
{
    dv__audit *a = &s->audit;
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += timeout_ms / 1000;
    end.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (end.tv_nsec >= 1000000000) {
        end.tv_sec++;
        end.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&a->mu);
    uint64_t want = a->queued;
    int late = 0;
    while (a->settled < want && late == 0)
        late = pthread_cond_timedwait(&a->done, &a->mu, &end);
    bool ok = a->settled >= want;
    int failing = a->failing;
    pthread_mutex_unlock(&a->mu);
    if (ok)
        return 0;
    return dv_fail(err, failing != 0 ? failing : DV_EBUSY, "rows of the audit log are not written yet: %s",
                   dv_error_text(failing != 0 ? failing : DV_EBUSY));
}

/* ---- opening ---- */

static bool read_anchor(dv_store *s, dv__chain *out, bool *there)
{
    char text[DV__ANCHOR_LEN + 1];
    ssize_t n = s->audit.anchor >= 0 ? pread(s->audit.anchor, text, sizeof text, 0) : 0;
    *there = n > 0;
    return n > 0 && dv__anchor_parse(&s->secret, text, (size_t)n, out);
}

static void compare(dv_conn *c, const dv__chain *chain, const dv__chain *anchor, char *out, size_t cap)
{
    size_t n = 0;
    if (anchor->seq > chain->seq) {
        snprintf(out, cap, "rows %" PRIu64 " to %" PRIu64 " were there and are missing", chain->seq + 1, anchor->seq);
        return;
    }
    if (anchor->seq < chain->first || anchor->seq == 0)
        return;
    dv_stmt *st = dv_stmt_get(c, "SELECT hash FROM audit WHERE seq = ?1");
    dv_stmt_int(st, 1, (int64_t)anchor->seq);
    const void *hash = dv_stmt_row(st) ? dv_stmt_get_blob(st, 0, &n) : NULL;
    if (hash == NULL || n != DV__HASH || memcmp(hash, anchor->hash, DV__HASH) != 0)
        snprintf(out, cap, "row %" PRIu64 " is not the one that audit.head names", anchor->seq);
    dv_stmt_end(st);
}

int dv__audit_compare(dv_store *s, dv__chain *chain, char *text, size_t cap, dv_err *err)
{
    dv__chain anchor = {0};
    /* The file first: it never runs ahead of the table. */
    bool sound, there, valid = read_anchor(s, &anchor, &there);
    dv_conn *c;
    int rc = dv_db_read(s->db, &c, err);
    if (rc != 0)
        return rc;
    text[0] = 0;
    dv__chain_load(c, &s->secret, chain, &sound);
    if (!sound)
        snprintf(text, cap, "the head of the log in the database was changed");
    else if (there && !valid)
        snprintf(text, cap, "audit.head is damaged or belongs to another log");
    else if (!there && chain->seq > 0)
        snprintf(text, cap, "audit.head is missing");
    else if (there)
        compare(c, chain, &anchor, text, cap);
    return dv_db_commit(&c, err);
}

/* What contradicts the log at a start becomes a row of it, which verification reports for as long as it is kept. */
static int check_anchor(dv_store *s, dv_err *err)
{
    dv__chain chain;
    char text[128];
    dv_conn *c;
    int rc = dv__audit_compare(s, &chain, text, sizeof text, err);
    if (rc != 0 || text[0] == 0)
        return rc;
    dv__store_log(s, DV_STORE_LOG_ERROR, "audit log: %s", text);
    rc = dv_db_write(s->db, &c, err);
    if (rc != 0)
        return rc;
    dv__audit_in(s, c, NULL, "audit.gap", DV_AUDIT_FAILED, "%s", text);
    return dv_db_commit(&c, err);
}

/* The file has a head before there is a row: a process that is killed between its first row and the head of it leaves no log without one. */
static int begin_anchor(dv_store *s, dv_err *err)
{
    dv__chain chain;
    bool there;
    dv_conn *c;
    (void)read_anchor(s, &chain, &there);
    if (there)
        return 0;
    int rc = dv_db_read(s->db, &c, err);
    if (rc != 0)
        return rc;
    dv__chain_load(c, &s->secret, &chain, NULL);
    rc = dv_db_commit(&c, err);
    if (rc == 0 && chain.seq == 0)
        write_anchor(s, &chain);
    return rc;
}

static void init_locks(dv__audit *a)
{
    pthread_condattr_t mono;
    pthread_condattr_init(&mono);
    pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
    pthread_cond_init(&a->wake, &mono);
    pthread_cond_init(&a->done, &mono);
    pthread_condattr_destroy(&mono);
    pthread_mutex_init(&a->mu, NULL);
    pthread_mutex_init(&a->lines_mu, NULL);
}

int dv__audit_open(dv_store *s, dv_err *err)
{
    dv__audit *a = &s->audit;
    uint8_t run[8];
    init_locks(a);
    a->anchor = a->lines.fd = -1;
    randombytes_buf(run, sizeof run);
    sodium_bin2hex(a->run, sizeof a->run, run, sizeof run);
    a->start_wall_ms = s->wall_ms();
    a->start_ns = dv_clock_ns();
    a->anchor = dv__file_open(&s->folder, "audit.head", O_RDWR | O_CREAT, err);
    if (a->anchor < 0)
        return a->anchor;
    int rc = begin_anchor(s, err);
    if (rc != 0 || !s->server)
        return rc;
    rc = check_anchor(s, err);
    if (rc == DV_ENOSPC) { /* a full disk does not keep a server from starting */
        dv__store_log(s, DV_STORE_LOG_ERROR, "%s", err->msg);
        *err = (dv_err){0};
        rc = 0;
    }
    if (rc == 0)
        dv__audit_catch_up(s);
    return rc != 0 ? rc : dv__audit_start(s, err);
}

void dv__audit_close(dv_store *s)
{
    dv__audit *a = &s->audit;
    dv__audit_stop(s);
    dv__lines_close(&a->lines);
    if (a->anchor >= 0) {
        fdatasync(a->anchor);
        close(a->anchor);
    }
    pthread_cond_destroy(&a->wake);
    pthread_cond_destroy(&a->done);
    pthread_mutex_destroy(&a->mu);
    pthread_mutex_destroy(&a->lines_mu);
}

/* ---- old rows ---- */

/* A clock that was set forward must not age the log: time passes no faster than the monotonic clock says. */
static uint64_t cautious_now(dv_store *s)
{
    uint64_t wall = s->wall_ms(), slow = s->audit.start_wall_ms + (dv_clock_ns() - s->audit.start_ns) / 1000000;
    return DV_MIN(wall, slow);
}

static uint64_t prune_some(dv_store *s, uint64_t before, dv__chain *chain, dv_err *err)
{
    dv_conn *c;
    if (dv_db_write(s->db, &c, err) != 0)
        return 0;
    dv__chain_load(c, &s->secret, chain, NULL);
    uint64_t from = chain->first, n = dv__chain_prune(c, chain, before, PRUNE_ROWS);
    if (n > 0) {
        dv__chain_save(c, &s->secret, chain);
        dv__audit_in(s, c, NULL, "audit.prune", DV_AUDIT_OK, "removed rows %" PRIu64 " to %" PRIu64, from,
                     chain->first - 1);
    } else if (dv_conn_code(c) == 0) {
        dv_db_rollback(&c);
        return 0;
    }
    return dv_db_commit(&c, err) == 0 ? n : 0;
}

void dv__audit_prune(dv_store *s)
{
    uint32_t days = dv__store_tuning(s).audit_days;
    uint64_t now = cautious_now(s), n = 0, k;
    dv__chain chain = {0};
    dv_err e = {0};
    if (days == UINT32_MAX || now < (uint64_t)days * DAY_MS)
        return;
    do {
        k = prune_some(s, now - (uint64_t)days * DAY_MS, &chain, &e);
        n += k;
    } while (k == PRUNE_ROWS);
    if (e.code != 0)
        dv__store_log(s, DV_STORE_LOG_WARN, "old rows of the audit log stay: %s", e.msg);
    if (n == 0)
        return;
    dv__audit_catch_up(s);
    dv__lines_prune(&s->folder, chain.first);
    dv__store_log(s, DV_STORE_LOG_INFO, "%" PRIu64 " rows of the audit log were older than %u days", n, days);
}

/* ---- reading ---- */

#define MATCHING                                                                \
    " FROM audit WHERE seq > ?1 AND wall_ms >= ?2 AND (?3 = 0 OR wall_ms < ?3)" \
    " AND (?4 IS NULL OR id = ?4) AND (?5 IS NULL OR action = ?5) ORDER BY seq"

/* The newest matching rows are found from the end; the place where they begin is then where reading in order begins. */
static dv_stmt *select_rows(dv_conn *c, const dv_audit_filter *f)
{
    dv_stmt *st =
        f->oldest ? dv_stmt_get(c, "SELECT " DV__ROW_COLUMNS MATCHING " LIMIT ?6")
                  : dv_stmt_get(c, "SELECT " DV__ROW_COLUMNS " FROM (SELECT *" MATCHING " DESC LIMIT ?6) ORDER BY seq");
    dv_stmt_int(st, 1, (int64_t)DV_MIN(f->after_seq, (uint64_t)INT64_MAX));
    dv_stmt_int(st, 2, (int64_t)DV_MIN(f->since_ms, (uint64_t)INT64_MAX));
    dv_stmt_int(st, 3, (int64_t)DV_MIN(f->until_ms, (uint64_t)INT64_MAX));
    dv_stmt_str(st, 4, f->id);
    dv_stmt_str(st, 5, f->action);
    dv_stmt_int(st, 6, f->limit != 0 ? f->limit : 1000);
    return st;
}

int dv_audit_query(dv_store *s, const dv_audit_filter *f, bool (*row)(void *arg, const dv_audit_row *r), void *arg,
                   dv_err *err)
{
    dv_conn *c;
    int rc = dv_db_read(s->db, &c, err);
    if (rc != 0)
        return rc;
    dv_stmt *st = select_rows(c, f);
    while (dv_stmt_row(st)) {
        dv_audit_row r;
        dv__chain_row(st, &r);
        if (dv_conn_code(c) == 0 && !row(arg, &r))
            break;
    }
    dv_stmt_end(st);
    return dv_db_commit(&c, err);
}
