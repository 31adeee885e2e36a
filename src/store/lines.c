/* SPDX-License-Identifier: MIT */
#include "store/lines.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(const dv__lines *l, int e, dv_err *err)
{
    return dv_fail(err, dv_errno_code(e), "%s/" DV__LINES_FILE ": %s", l->folder->path, strerror(e));
}

/* ---- where the file ends ---- */

/* Read the last DV__LINE_MAX bytes of the file into b. */
static int read_tail(dv__lines *l, uint64_t size, dv_buf *b, dv_err *err)
{
    uint64_t at = size > DV__LINE_MAX ? size - DV__LINE_MAX : 0;
    int rc = dv_buf_reserve(b, (size_t)(size - at));
    if (rc != 0)
        return dv_fail(err, rc, "%s/" DV__LINES_FILE ": %s", l->folder->path, dv_error_text(rc));
    while (at < size) {
        char chunk[4096];
        ssize_t k = pread(l->fd, chunk, DV_MIN(sizeof chunk, (size_t)(size - at)), (off_t)at);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return fail(l, k < 0 ? errno : EIO, err);
        dv_buf_add(b, chunk, (size_t)k);
        at += (uint64_t)k;
    }
    return 0;
}

/* Length of s[0..n) up to and with its last line feed. */
static size_t whole_lines(const char *s, size_t n)
{
    while (n > 0 && s[n - 1] != '\n')
        n--;
    return n;
}

/* Whether the database has this row, with this hash unless it is NULL. */
static int row_is(dv_db *db, uint64_t seq, const uint8_t *hash, bool *is, dv_err *err)
{
    dv_conn *c;
    int rc = dv_db_read(db, &c, err);
    if (rc != 0)
        return rc;
    size_t n;
    dv_stmt *st = dv_stmt_get(c, "SELECT hash FROM audit WHERE seq = ?1");
    dv_stmt_int(st, 1, (int64_t)seq);
    *is = dv_stmt_row(st);
    const void *have = *is ? dv_stmt_get_blob(st, 0, &n) : NULL;
    *is = *is && (hash == NULL || (n == DV__HASH && memcmp(have, hash, DV__HASH) == 0));
    return dv_db_commit(&c, err);
}

/* The first row of the file: from the beginning of its first line. */
static uint64_t first_row(dv__lines *l)
{
    char head[64] = "";
    if (pread(l->fd, head, sizeof head - 1, 0) <= 8 || strncmp(head, "{\"seq\":", 7) != 0)
        return 0;
    return strtoull(head + 7, NULL, 10);
}

/* Find the last row. fits: the file goes with the database. */
static int find_end(dv__lines *l, dv_db *db, uint64_t size, bool *fits, dv_err *err)
{
    dv_buf b;
    dv__line line;
    dv_buf_init(&b, 0);
    int rc = read_tail(l, size, &b, err);
    size_t whole = rc == 0 ? whole_lines(b.data, b.len) : 0;
    l->size = size - b.len + whole;
    *fits = false;
    if (rc == 0 && whole == 0)
        *fits = l->size == 0; /* nothing but half a line */
    else if (rc == 0) {
        size_t start = whole_lines(b.data, whole - 1);
        if (dv__line_parse(&line, b.data + start, whole - 1 - start) && line.intact) {
            rc = row_is(db, line.seq, line.hash, fits, err);
            l->first = first_row(l);
            l->last = line.seq;
        }
    }
    dv_buf_fini(&b);
    return rc;
}

static int open_file(dv__lines *l, uint64_t *size, dv_err *err)
{
    struct stat st;
    l->fd = dv__file_open(l->folder, DV__LINES_FILE, O_RDWR | O_CREAT, err);
    if (l->fd < 0)
        return l->fd;
    if (fstat(l->fd, &st) != 0)
        return fail(l, errno, err);
    l->size = *size = (uint64_t)st.st_size;
    l->first = l->last = 0;
    return 0;
}

/* A file that is not this database's is evidence, or what a restore left behind: it keeps its content under another name. */
static int set_one_aside(dv__lines *l, dv__lines_note note, void *arg, dv_err *err)
{
    char name[64], text[160];
    uint64_t size;
    snprintf(name, sizeof name, "audit.other-%" PRIu64 ".jsonl", dv_clock_wall_ms());
    close(l->fd);
    l->fd = -1;
    if (renameat(l->folder->fd, DV__LINES_FILE, l->folder->fd, name) != 0)
        return fail(l, errno, err);
    snprintf(text, sizeof text, DV__LINES_FILE " does not end with a row of the database; it is %s now", name);
    note(arg, text);
    return open_file(l, &size, err);
}

/* A file without lines goes on where the last full one ends. */
static int after_full_files(dv__lines *l, dv_db *db, dv_err *err)
{
    dv__lines_file *v;
    size_t n;
    bool there = false;
    int rc = dv__lines_files(l->folder, &v, &n, err);
    uint64_t last = 0;
    for (size_t i = 0; i < n; i++)
        last = DV_MAX(last, v[i].last);
    if (rc == 0 && last > 0)
        rc = row_is(db, last, NULL, &there, err);
    l->last = there ? last : 0;
    dv_free(v);
    return rc;
}

int dv__lines_open(dv__lines *l, const dv__folder *f, dv_db *db, dv__lines_note note, void *arg, dv_err *err)
{
    uint64_t size;
    bool fits = true;
    *l = (dv__lines){.folder = f, .fd = -1};
    int rc = open_file(l, &size, err);
    if (rc == 0 && size > 0)
        rc = find_end(l, db, size, &fits, err);
    if (rc == 0 && !fits)
        rc = set_one_aside(l, note, arg, err);
    else if (rc == 0 && l->size < size && ftruncate(l->fd, (off_t)l->size) != 0)
        rc = fail(l, errno, err);
    if (rc == 0 && l->size == 0)
        rc = after_full_files(l, db, err);
    if (rc != 0)
        dv__lines_close(l);
    return rc;
}

void dv__lines_sync(dv__lines *l)
{
    if (l->fd >= 0 && l->unsynced && fdatasync(l->fd) == 0)
        l->unsynced = false;
}

void dv__lines_close(dv__lines *l)
{
    dv__lines_sync(l);
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}

/* ---- writing ---- */

static int rotate(dv__lines *l, dv_err *err)
{
    char name[64];
    uint64_t size;
    snprintf(name, sizeof name, "audit-%" PRIu64 "-%" PRIu64 ".jsonl", l->first, l->last);
    uint64_t last = l->last;
    dv__lines_close(l);
    if (renameat(l->folder->fd, DV__LINES_FILE, l->folder->fd, name) != 0)
        return fail(l, errno, err);
    int rc = open_file(l, &size, err);
    l->last = last; /* the new file goes on there */
    return rc;
}

int dv__lines_add(dv__lines *l, const char *text, size_t n, uint64_t first, uint64_t last, uint64_t max_bytes,
                  dv_err *err)
{
    if (l->fd < 0 || n == 0 || (l->last != 0 && first != l->last + 1))
        return 0;
    int e = lseek(l->fd, (off_t)l->size, SEEK_SET) < 0 ? errno : dv__write_all(l->fd, text, n);
    if (e != 0) {
        if (ftruncate(l->fd, (off_t)l->size) != 0)
            e = errno;
        return fail(l, e, err);
    }
    if (l->size == 0)
        l->first = first;
    l->size += n;
    l->last = last;
    l->unsynced = true;
    return l->size >= max_bytes ? rotate(l, err) : 0;
}

enum { CATCH_UP = 200 };

/* Rows after the last one of the file, a few at a time. *n: how many. */
static int read_rows(dv__lines *l, dv_db *db, dv_buf *b, uint64_t *first, uint64_t *last, uint64_t *n, dv_err *err)
{
    dv_conn *c;
    int rc = dv_db_read(db, &c, err);
    if (rc != 0)
        return rc;
    dv_stmt *st = dv_stmt_get(c, "SELECT " DV__ROW_COLUMNS " FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2");
    dv_stmt_int(st, 1, (int64_t)l->last);
    dv_stmt_int(st, 2, CATCH_UP);
    for (*n = 0; dv_stmt_row(st); (*n)++) {
        dv_audit_row r;
        dv__chain_row(st, &r);
        *first = *n == 0 ? r.seq : *first;
        *last = r.seq;
        dv_audit_row_json(b, &r);
        dv_buf_addc(b, '\n');
    }
    if (b->code != 0)
        dv_conn_fail(c, b->code, DV__LINES_FILE ": %s", dv_error_text(b->code));
    return dv_db_commit(&c, err);
}

int dv__lines_catch_up(dv__lines *l, dv_db *db, uint64_t max_bytes, dv_err *err)
{
    dv_buf b;
    uint64_t n = CATCH_UP, first = 0, last = 0;
    int rc = 0;
    dv_buf_init(&b, 0);
    while (rc == 0 && n == CATCH_UP && l->fd >= 0) {
        dv_buf_clear(&b);
        rc = read_rows(l, db, &b, &first, &last, &n, err);
        if (rc == 0 && n > 0 && l->last != 0 && first != l->last + 1)
            l->last = first - 1; /* rows are missing in the database; verification tells */
        if (rc == 0 && n > 0)
            rc = dv__lines_add(l, b.data, b.len, first, last, max_bytes, err);
    }
    dv_buf_fini(&b);
    return rc;
}

/* ---- all files ---- */

static bool parse_name(const char *name, dv__lines_file *out)
{
    char again[64];
    *out = (dv__lines_file){0};
    if (strlen(name) >= sizeof out->name)
        return false;
    memcpy(out->name, name, strlen(name) + 1);
    if (strcmp(name, DV__LINES_FILE) == 0)
        return true;
    if (sscanf(name, "audit-%" SCNu64 "-%" SCNu64 ".jsonl", &out->first, &out->last) != 2)
        return false;
    snprintf(again, sizeof again, "audit-%" PRIu64 "-%" PRIu64 ".jsonl", out->first, out->last);
    return strcmp(name, again) == 0;
}

static int by_rows(const void *a, const void *b)
{
    /* The current file has 0, which minus one makes the largest. */
    uint64_t x = ((const dv__lines_file *)a)->first - 1, y = ((const dv__lines_file *)b)->first - 1;
    return x < y ? -1 : x > y;
}

int dv__lines_files(const dv__folder *f, dv__lines_file **v, size_t *n, dv_err *err)
{
    size_t cap = 0;
    int rc = 0;
    *v = NULL;
    *n = 0;
    DIR *d = opendir(f->path);
    if (d == NULL)
        return dv_fail(err, dv_errno_code(errno), "%s: %s", f->path, strerror(errno));
    for (struct dirent *e = readdir(d); e != NULL && rc == 0; e = readdir(d)) {
        dv__lines_file file;
        if (!parse_name(e->d_name, &file))
            continue;
        if (*n == cap) {
            cap = cap * 2 + 8;
            dv__lines_file *more = dv_realloc(DV_MEM_STORE, *v, cap * sizeof *more);
            rc = more != NULL ? 0 : dv_fail(err, DV_ENOMEM, "%s: %s", f->path, dv_error_text(DV_ENOMEM));
            *v = more != NULL ? more : *v;
        }
        if (rc == 0)
            (*v)[(*n)++] = file;
    }
    closedir(d);
    if (*n > 1)
        qsort(*v, *n, sizeof **v, by_rows);
    return rc;
}

void dv__lines_prune(const dv__folder *f, uint64_t first)
{
    dv__lines_file *v;
    size_t n;
    dv_err ignored = {0}; /* what stays is found again the next time */
    if (dv__lines_files(f, &v, &n, &ignored) == 0)
        for (size_t i = 0; i < n; i++)
            if (v[i].last != 0 && v[i].last < first)
                unlinkat(f->fd, v[i].name, 0);
    dv_free(v);
}

int dv__lines_set_aside(const dv__folder *f, const char *stamp, dv_err *err)
{
    dv__lines_file *v;
    size_t n;
    char folder[48], to[120];
    snprintf(folder, sizeof folder, "audit-old-%s", stamp);
    int rc = dv__lines_files(f, &v, &n, err);
    if (rc == 0 && n > 0 && mkdirat(f->fd, folder, 0700) != 0 && errno != EEXIST)
        rc = dv_fail(err, dv_errno_code(errno), "%s/%s: %s", f->path, folder, strerror(errno));
    for (size_t i = 0; rc == 0 && i < n; i++) {
        snprintf(to, sizeof to, "%s/%s", folder, v[i].name);
        if (renameat(f->fd, v[i].name, f->fd, to) != 0)
            rc = dv_fail(err, dv_errno_code(errno), "%s/%s: %s", f->path, v[i].name, strerror(errno));
    }
    dv_free(v);
    return rc;
}
