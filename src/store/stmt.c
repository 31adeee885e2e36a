/* SPDX-License-Identifier: MIT */
/* Statements of a connection: prepared once, found again by their text, the least recently used one makes room. */
#include "base/err.h"
#include "store/db_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int dv_conn_code(const dv_conn *c) { return c->err.code; }

int dv_conn_fail(dv_conn *c, int code, const char *fmt, ...)
{
    char text[sizeof c->err.msg];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return dv_fail(&c->err, code, "%s", text);
}

static bool ok(const dv_stmt *st) { return st->p != NULL && st->conn->err.code == 0; }

static void check(dv_stmt *st, int rc)
{
    if (rc != SQLITE_OK)
        dv__sqlite_fail(st->conn->h, rc, st->conn->db->path, &st->conn->err);
}

/* Where sql may go: its own place if it was used before, a free one, or that of the statement not used for longest. NULL: all are busy. */
static dv_stmt *place(dv_conn *c, const char *sql)
{
    dv_stmt *best = NULL;
    for (size_t i = 0; i < DV__STMTS; i++) {
        dv_stmt *st = &c->stmts[i];
        if (st->busy)
            continue;
        if (st->p != NULL && (st->sql == sql || strcmp(st->sql, sql) == 0))
            return st;
        if (best == NULL || (best->p != NULL && (st->p == NULL || st->used < best->used)))
            best = st;
    }
    return best;
}

dv_stmt *dv_stmt_prepared(dv_conn *c, const char *sql)
{
    dv_stmt *st = c->err.code == 0 ? place(c, sql) : &c->dead;
    if (st == NULL)
        dv_conn_fail(c, DV_ELIMIT, "too many statements at once");
    if (st == NULL || st == &c->dead)
        return &c->dead;
    if (st->p == NULL || (st->sql != sql && strcmp(st->sql, sql) != 0)) {
        sqlite3_finalize(st->p);
        *st = (dv_stmt){.conn = c, .sql = sql};
        int rc = sqlite3_prepare_v3(c->h, sql, -1, SQLITE_PREPARE_PERSISTENT, &st->p, NULL);
        if (rc != SQLITE_OK) {
            dv__sqlite_fail(c->h, rc, c->db->path, &c->err);
            return &c->dead;
        }
    }
    st->busy = true;
    st->used = ++c->clock;
    return st;
}

void dv_stmt_int(dv_stmt *st, int i, int64_t v)
{
    if (ok(st))
        check(st, sqlite3_bind_int64(st->p, i, v));
}

void dv_stmt_text(dv_stmt *st, int i, const char *s, size_t n)
{
    if (ok(st))
        check(st, s != NULL ? sqlite3_bind_text64(st->p, i, s, n, SQLITE_STATIC, SQLITE_UTF8)
                            : sqlite3_bind_null(st->p, i));
}

void dv_stmt_str(dv_stmt *st, int i, const char *s) { dv_stmt_text(st, i, s, s != NULL ? strlen(s) : 0); }

void dv_stmt_blob(dv_stmt *st, int i, const void *p, size_t n)
{
    if (ok(st))
        check(st, p != NULL ? sqlite3_bind_blob64(st->p, i, p, n, SQLITE_STATIC) : sqlite3_bind_null(st->p, i));
}

void dv_stmt_end(dv_stmt *st)
{
    if (st->p == NULL)
        return;
    sqlite3_reset(st->p); /* repeats the failure of the last step, which is recorded already */
    sqlite3_clear_bindings(st->p);
    st->busy = false;
}

bool dv_stmt_row(dv_stmt *st)
{
    int rc = ok(st) ? sqlite3_step(st->p) : SQLITE_DONE;
    if (rc == SQLITE_ROW)
        return true;
    if (rc != SQLITE_DONE)
        check(st, rc);
    dv_stmt_end(st);
    return false;
}

int dv_stmt_run(dv_stmt *st)
{
    while (dv_stmt_row(st))
        continue;
    return st->conn->err.code;
}

int64_t dv_conn_changes(const dv_conn *c) { return sqlite3_changes64(c->h); }

int64_t dv_conn_last_id(const dv_conn *c) { return sqlite3_last_insert_rowid(c->h); }

int64_t dv_stmt_get_int(dv_stmt *st, int col) { return ok(st) ? sqlite3_column_int64(st->p, col) : 0; }

/* NULL for a value that is not NULL means that there was no memory for it. */
static const void *value(dv_stmt *st, int col, const void *p, size_t *n)
{
    if (p == NULL && sqlite3_column_type(st->p, col) != SQLITE_NULL && sqlite3_column_bytes(st->p, col) > 0)
        check(st, SQLITE_NOMEM);
    *n = p != NULL ? (size_t)sqlite3_column_bytes(st->p, col) : 0;
    return p != NULL ? p : "";
}

const char *dv_stmt_get_text(dv_stmt *st, int col, size_t *n)
{
    *n = 0;
    return ok(st) ? value(st, col, sqlite3_column_text(st->p, col), n) : "";
}

const void *dv_stmt_get_blob(dv_stmt *st, int col, size_t *n)
{
    *n = 0;
    return ok(st) ? value(st, col, sqlite3_column_blob(st->p, col), n) : "";
}

bool dv_stmt_is_null(dv_stmt *st, int col) { return !ok(st) || sqlite3_column_type(st->p, col) == SQLITE_NULL; }

void dv_stmt_get_str(dv_stmt *st, int col, char *out, size_t cap)
{
    size_t n;
    const char *s = dv_stmt_get_text(st, col, &n);
    out[0] = 0;
    if (n >= cap || memchr(s, 0, n) != NULL) {
        dv_conn_fail(st->conn, DV_ECORRUPT, "a text of %zu bytes where %zu are possible", n, cap - 1);
        return;
    }
    memcpy(out, s, n);
    out[n] = 0;
}

void dv__db_conn_reset(dv_conn *c)
{
    for (size_t i = 0; i < DV__STMTS; i++)
        if (c->stmts[i].busy)
            dv_stmt_end(&c->stmts[i]);
    c->err = (dv_err){0};
}
