/* SPDX-License-Identifier: MIT */
/* Is the audit log what was written? Nothing is changed here, and a server may go on writing meanwhile. */
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "store/store_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 2000 };

typedef struct verify {
    dv_store *s;
    void (*found)(void *arg, const dv_audit_problem *p);
    void *arg;
    dv_audit_report *report;
    dv__chain chain;
    uint64_t last;          /**< row before, 0: none */
    uint8_t hash[DV__HASH]; /**< its hash */
} verify;

static void problem(verify *v, uint64_t seq, const char *file, uint64_t line, const char *fmt, ...) DV_PRINTF(5, 6);

static void problem(verify *v, uint64_t seq, const char *file, uint64_t line, const char *fmt, ...)
{
    char raw[320];
    dv_err safe = {0}; /* what is quoted may be anything */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(raw, sizeof raw, fmt, ap);
    va_end(ap);
    dv_fail(&safe, DV_ECORRUPT, "%s", raw);
    v->report->problems++;
    dv_audit_problem p = {.seq = seq, .file = file, .line = line, .text = safe.msg};
    if (v->found != NULL)
        v->found(v->arg, &p);
}

/* ---- rows ---- */

static void check_place(verify *v, const dv_audit_row *r)
{
    if (r->seq == v->last + 1) {
        if (memcmp(r->prev, v->hash, DV__HASH) != 0)
            problem(v, r->seq, NULL, 0, "it does not follow row %" PRIu64 ": one of them was put in or exchanged",
                    v->last);
    } else if (r->seq == v->last + 2) {
        problem(v, v->last + 1, NULL, 0, "the row is missing");
    } else {
        problem(v, v->last + 1, NULL, 0, "rows %" PRIu64 " to %" PRIu64 " are missing", v->last + 1, r->seq - 1);
    }
}

static void check_row(verify *v, const dv_audit_row *r, bool exact, dv_buf *text)
{
    uint8_t hash[DV__HASH];
    check_place(v, r);
    dv_buf_clear(text);
    if (dv__row_text(text, r) != 0)
        return;
    dv__row_hash(text->data, text->len, hash);
    if (!exact || memcmp(hash, r->hash, DV__HASH) != 0)
        problem(v, r->seq, NULL, 0, "the row was changed");
    else if (strcmp(r->entry.action, "audit.gap") == 0)
        problem(v, r->seq, NULL, 0, "the row says: %s", r->entry.detail);
    v->last = r->seq;
    memcpy(v->hash, r->hash, DV__HASH);
    v->report->rows++;
}

/* A few rows from one snapshot, so that a long check does not keep the WAL from being taken in. Returns how many, or an error. */
static int check_chunk(verify *v, dv_buf *text, dv_err *err)
{
    dv_conn *c;
    int n = 0, rc = dv_db_read(v->s->db, &c, err);
    if (rc != 0)
        return rc;
    dv_stmt *st =
        dv_stmt_get(c, "SELECT " DV__ROW_COLUMNS " FROM audit WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3");
    dv_stmt_int(st, 1, (int64_t)v->last);
    dv_stmt_int(st, 2, (int64_t)v->chain.seq);
    dv_stmt_int(st, 3, CHUNK);
    for (; dv_stmt_row(st); n++) {
        dv_audit_row r;
        bool exact = dv__chain_row(st, &r);
        check_row(v, &r, exact, text);
    }
    if (text->code != 0)
        dv_conn_fail(c, text->code, "%s", dv_error_text(text->code));
    rc = dv_db_commit(&c, err);
    return rc != 0 ? rc : n;
}

static int check_rows(verify *v, dv_err *err)
{
    dv_buf text;
    dv_buf_init(&text, 0);
    v->last = v->chain.first > 0 ? v->chain.first - 1 : 0;
    memcpy(v->hash, v->chain.first_prev, DV__HASH);
    int n = CHUNK;
    while (n == CHUNK)
        n = check_chunk(v, &text, err);
    dv_buf_fini(&text);
    if (n < 0)
        return n;
    if (v->last < v->chain.seq)
        problem(v, v->last + 1, NULL, 0, "rows %" PRIu64 " to %" PRIu64 " at the end are missing", v->last + 1,
                v->chain.seq);
    else if (memcmp(v->hash, v->chain.hash, DV__HASH) != 0)
        problem(v, v->last, NULL, 0, "it is not the row that the log should end with");
    return 0;
}

/* Hash of a row; false if it is not there. */
static int get_hash(verify *v, uint64_t seq, uint8_t hash[DV__HASH], bool *there, dv_err *err)
{
    dv_conn *c;
    size_t n = 0;
    int rc = dv_db_read(v->s->db, &c, err);
    if (rc != 0)
        return rc;
    dv_stmt *st = dv_stmt_get(c, "SELECT hash FROM audit WHERE seq = ?1");
    dv_stmt_int(st, 1, (int64_t)seq);
    const void *p = dv_stmt_row(st) ? dv_stmt_get_blob(st, 0, &n) : NULL;
    *there = p != NULL && n == DV__HASH;
    if (*there)
        memcpy(hash, p, DV__HASH);
    dv_stmt_end(st);
    return dv_db_commit(&c, err);
}

static int check_known(verify *v, const dv_audit_head *known, dv_err *err)
{
    uint8_t hash[DV__HASH];
    bool there;
    int rc = get_hash(v, known->seq, hash, &there, err);
    if (rc != 0)
        return rc;
    if (!there && known->seq < v->chain.first)
        problem(v, known->seq, NULL, 0, "the row that was noted is too old: it was removed");
    else if (!there)
        problem(v, known->seq, NULL, 0, "the row that was noted is not there");
    else if (memcmp(hash, known->hash, DV__HASH) != 0)
        problem(v, known->seq, NULL, 0, "it is not the row that was noted");
    return 0;
}

/* ---- lines ---- */

typedef struct reader {
    int fd;
    char chunk[65536];
    size_t at, n;
    dv_buf line;
} reader;

/* The next line without its line feed: 1, 0 at the end (half a line is none), or an error. DV_ELIMIT: the line is too long. */
static int next_line(reader *r)
{
    dv_buf_clear(&r->line);
    for (;;) {
        if (r->at == r->n) {
            ssize_t k = read(r->fd, r->chunk, sizeof r->chunk);
            if (k < 0 && errno == EINTR)
                continue;
            if (k <= 0)
                return k < 0 ? DV_EIO : 0;
            r->at = 0;
            r->n = (size_t)k;
        }
        const char *from = r->chunk + r->at, *end = memchr(from, '\n', r->n - r->at);
        size_t len = end != NULL ? (size_t)(end - from) : r->n - r->at;
        int rc = dv_buf_add(&r->line, from, len);
        r->at += len + (end != NULL);
        if (rc != 0 || end != NULL)
            return rc != 0 ? rc : 1;
    }
}

static int check_line(verify *v, const char *file, uint64_t n, const dv_buf *text, dv_err *err)
{
    dv__line line;
    uint8_t hash[DV__HASH];
    bool there;
    if (!dv__line_parse(&line, text->data, text->len)) {
        problem(v, 0, file, n, "the line is not a row of the log");
        return 0;
    }
    if (!line.intact)
        problem(v, line.seq, file, n, "the line was changed");
    if (v->last != 0 && line.seq != v->last + 1)
        problem(v, line.seq, file, n, "row %" PRIu64 " follows row %" PRIu64, line.seq, v->last);
    else if (v->last != 0 && memcmp(line.prev, v->hash, DV__HASH) != 0)
        problem(v, line.seq, file, n, "it does not follow the line before: one of them was put in or exchanged");
    v->last = line.seq;
    memcpy(v->hash, line.hash, DV__HASH);
    v->report->lines++;
    if (line.seq < v->chain.first)
        return 0;
    int rc = get_hash(v, line.seq, hash, &there, err);
    if (rc == 0 && !there)
        problem(v, line.seq, file, n, "the database does not have this row");
    else if (rc == 0 && memcmp(hash, line.hash, DV__HASH) != 0)
        problem(v, line.seq, file, n, "the database has another row");
    return rc;
}

static int check_file(verify *v, const dv__lines_file *f, reader *r, dv_err *err)
{
    int rc = 1;
    *r = (reader){.fd = dv__file_open(&v->s->folder, f->name, O_RDONLY, err)};
    if (r->fd == DV_ENOENT) /* a server renamed it just now */
        return 0;
    if (r->fd < 0)
        return r->fd;
    dv_buf_init(&r->line, DV__LINE_MAX);
    for (uint64_t n = 1; rc > 0; n++) {
        rc = next_line(r);
        if (rc == DV_ELIMIT) {
            problem(v, 0, f->name, n, "the line is not a row of the log: it has more than %d bytes", DV__LINE_MAX);
            rc = 0;
        } else if (rc < 0) {
            dv_fail(err, rc, "%s: %s", f->name, dv_error_text(rc));
        } else if (rc > 0) {
            int failed = check_line(v, f->name, n, &r->line, err);
            rc = failed != 0 ? failed : 1;
        }
    }
    close(r->fd);
    dv_buf_fini(&r->line);
    return rc;
}

static int check_files(verify *v, dv_err *err)
{
    dv__lines_file *files;
    size_t n;
    int rc = dv__lines_files(&v->s->folder, &files, &n, err);
    reader *r = rc == 0 ? dv_alloc(DV_MEM_STORE, sizeof *r) : NULL;
    if (rc == 0 && r == NULL)
        rc = dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    v->last = 0;
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = check_file(v, &files[i], r, err);
    if (v->last < v->chain.seq)
        v->report->behind = v->chain.seq - DV_MAX(v->last, v->chain.first > 0 ? v->chain.first - 1 : 0);
    dv_free(r);
    dv_free(files);
    return rc;
}

int dv_audit_verify(dv_store *s, const dv_audit_head *known, void (*found)(void *arg, const dv_audit_problem *p),
                    void *arg, dv_audit_report *report, dv_err *err)
{
    verify v = {.s = s, .found = found, .arg = arg, .report = report};
    char text[128];
    *report = (dv_audit_report){0};
    int rc = dv__audit_compare(s, &v.chain, text, sizeof text, err);
    if (rc != 0)
        return rc;
    if (text[0] != 0)
        problem(&v, 0, NULL, 0, "%s", text);
    report->head.first = v.chain.first;
    report->head.seq = v.chain.seq;
    memcpy(report->head.hash, v.chain.hash, DV__HASH);
    rc = check_rows(&v, err);
    if (rc == 0 && known != NULL)
        rc = check_known(&v, known, err);
    return rc != 0 ? rc : check_files(&v, err);
}
