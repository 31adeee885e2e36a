/* SPDX-License-Identifier: MIT */
/* Connections of a database and transactions on them. */
#include "store/db.h"

#include "base/err.h"
#include "base/mem.h"
#include "store/db_impl.h"

#include <string.h>
#include <time.h>

/* ---- connections ---- */

int dv__db_conn_open(dv_conn **out, dv_db *db, dv__sqlite_mode mode, dv_err *err)
{
    *out = NULL;
    dv_conn *c = dv_calloc(DV_MEM_STORE, 1, sizeof *c);
    if (c == NULL)
        return dv_fail(err, DV_ENOMEM, "%s: %s", db->path, dv_error_text(DV_ENOMEM));
    c->db = db;
    c->writer = mode != DV__SQLITE_READ;
    c->dead.conn = c;
    int rc = dv__sqlite_open(&c->h, db->path, mode, err);
    if (rc != 0) {
        dv_free(c);
        return rc;
    }
    int prepared = sqlite3_prepare_v3(c->h, "ROLLBACK", -1, SQLITE_PREPARE_PERSISTENT, &c->rollback, NULL);
    if (prepared != SQLITE_OK) {
        rc = dv__sqlite_fail(c->h, prepared, db->path, err);
        dv__db_conn_close(&c);
        return rc;
    }
    /* The WAL stays when the last connection closes, so that its space is there when the disk is full at the next start. */
    int keep = 1;
    sqlite3_file_control(c->h, "main", SQLITE_FCNTL_PERSIST_WAL, &keep);
    *out = c;
    return 0;
}

void dv__db_conn_close(dv_conn **c)
{
    if (*c == NULL)
        return;
    for (size_t i = 0; i < DV__STMTS; i++)
        sqlite3_finalize((*c)->stmts[i].p);
    sqlite3_finalize((*c)->rollback);
    sqlite3_close((*c)->h);
    dv_free(*c);
    *c = NULL;
}

int64_t dv__db_conn_version(dv_conn *c)
{
    dv_stmt *st = dv_stmt_get(c, "PRAGMA data_version");
    int64_t v = dv_stmt_row(st) ? dv_stmt_get_int(st, 0) : -1;
    dv_stmt_end(st);
    return v;
}

/* ---- opening ---- */

/* A file that is new, or drover's. SQLite has not looked into it so far; the first look finds damage and locks. */
static int check_kind(dv_db *db, bool create, dv_err *err)
{
    sqlite3 *h = db->writer->h;
    sqlite3_int64 id = 0, version = 0, tables = 0;
    int rc = dv__sqlite_int(h, "PRAGMA application_id", db->path, &id, err);
    if (rc == 0)
        rc = dv__sqlite_int(h, "PRAGMA schema_version", db->path, &version, err);
    if (rc == 0)
        rc = dv__sqlite_int(h, "SELECT count(*) FROM sqlite_schema", db->path, &tables, err);
    if (rc != 0 || id == DV__APPLICATION_ID)
        return rc;
    if (id != 0 || tables != 0)
        return dv_fail(err, DV_EFORMAT, "%s: this is not a database of drover", db->path);
    if (!create)
        return dv_fail(err, DV_EFORMAT, "%s: the file is empty", db->path);
    return dv__sqlite_exec(h, "PRAGMA application_id=0x64726f76", db->path, err);
}

static int use_wal(dv_db *db, dv_err *err)
{
    sqlite3_stmt *st = NULL;
    sqlite3 *h = db->writer->h;
    int rc = sqlite3_prepare_v2(h, "PRAGMA journal_mode=WAL", -1, &st, NULL), code = 0;
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    if (rc != SQLITE_ROW)
        code = dv__sqlite_fail(h, rc, db->path, err);
    else if (strcmp((const char *)sqlite3_column_text(st, 0), "wal") != 0)
        code = dv_fail(err, DV_EUNSUPPORTED, "%s: the file system cannot hold it (no shared memory: a network drive?)",
                       db->path);
    sqlite3_finalize(st);
    return code;
}

int dv__db_open(dv_db **out, const char *path, bool create, dv_err *err)
{
    *out = NULL;
    dv_db *db = dv_calloc(DV_MEM_STORE, 1, sizeof *db);
    if (db == NULL)
        return dv_fail(err, DV_ENOMEM, "%s: %s", path, dv_error_text(DV_ENOMEM));
    pthread_condattr_t mono;
    pthread_condattr_init(&mono);
    pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
    pthread_cond_init(&db->freed, &mono);
    pthread_condattr_destroy(&mono);
    pthread_mutex_init(&db->mu, NULL);
    db->path = dv_strndup(DV_MEM_STORE, path, strlen(path));
    int rc = db->path != NULL ? 0 : dv_fail(err, DV_ENOMEM, "%s: %s", path, dv_error_text(DV_ENOMEM));
    if (rc == 0)
        rc = dv__db_conn_open(&db->writer, db, create ? DV__SQLITE_CREATE : DV__SQLITE_WRITE, err);
    if (rc == 0)
        rc = check_kind(db, create, err);
    if (rc == 0)
        rc = use_wal(db, err);
    if (rc != 0)
        dv__db_close(&db);
    *out = db;
    return rc;
}

void dv__db_close(dv_db **p)
{
    dv_db *db = *p;
    if (db == NULL)
        return;
    /* The writer last: whoever is last moves the WAL into the database, which only it may. */
    for (int i = 0; i < DV__READERS; i++)
        dv__db_conn_close(&db->reader[i]);
    dv__db_conn_close(&db->writer);
    pthread_cond_destroy(&db->freed);
    pthread_mutex_destroy(&db->mu);
    dv_free(db->path);
    dv_free(db);
    *p = NULL;
}

/* ---- taking and giving back ---- */

static struct timespec deadline(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += DV__BUSY_MS / 1000;
    return t;
}

static bool has_free_reader(const dv_db *db)
{
    for (int i = 0; i < DV__READERS; i++)
        if (!db->reading[i])
            return true;
    return false;
}

/* Wait until the writer, or a reader, is free; false if it does not get free. db->mu is held. */
static bool wait_locked(dv_db *db, bool writer)
{
    struct timespec end = deadline();
    while (writer ? db->writing : !has_free_reader(db))
        if (pthread_cond_timedwait(&db->freed, &db->mu, &end) != 0)
            return false;
    return true;
}

static void give_back(dv_conn *c)
{
    dv_db *db = c->db;
    dv__db_conn_reset(c);
    pthread_mutex_lock(&db->mu);
    if (c->writer)
        db->writing = false;
    for (int i = 0; i < DV__READERS; i++)
        if (db->reader[i] == c)
            db->reading[i] = false;
    pthread_cond_broadcast(&db->freed);
    pthread_mutex_unlock(&db->mu);
}

/* The outcome of an attempt to write. A request that makes no sense says nothing about the database. */
static void set_state(dv_db *db, const dv_err *e)
{
    int code = e->code;
    if (code != 0 && code != DV_ENOSPC && code != DV_EBUSY && code != DV_ECORRUPT && code != DV_EACCES &&
        code != DV_EIO)
        return;
    pthread_mutex_lock(&db->mu);
    db->state = *e;
    pthread_mutex_unlock(&db->mu);
}

dv_err dv__db_state(dv_db *db)
{
    pthread_mutex_lock(&db->mu);
    dv_err state = db->state;
    pthread_mutex_unlock(&db->mu);
    return state;
}

/* ---- transactions ---- */

/* SQLite ends a transaction by itself after some failures. */
static void roll_back(dv_conn *c)
{
    dv__db_conn_reset(c);
    if (sqlite3_get_autocommit(c->h) == 0) {
        sqlite3_step(c->rollback); /* whatever it says: nothing was committed */
        sqlite3_reset(c->rollback);
    }
}

static int begin(dv_conn **out, dv_conn *c, dv_err *err)
{
    if (dv_stmt_run(c->writer ? dv_stmt_get(c, "BEGIN IMMEDIATE") : dv_stmt_get(c, "BEGIN")) == 0) {
        *out = c;
        return 0;
    }
    dv_err e = c->err;
    roll_back(c); /* it may have begun nevertheless */
    if (c->writer)
        set_state(c->db, &e);
    give_back(c);
    return dv_fail(err, e.code, "%s", e.msg);
}

int dv_db_write(dv_db *db, dv_conn **out, dv_err *err)
{
    *out = NULL;
    pthread_mutex_lock(&db->mu);
    bool mine = wait_locked(db, true);
    if (mine)
        db->writing = true;
    pthread_mutex_unlock(&db->mu);
    if (!mine)
        return dv_fail(err, DV_EBUSY, "%s: others have been writing for %d ms", db->path, DV__BUSY_MS);
    return begin(out, db->writer, err);
}

/* Index of a reader that is now ours, -1 if none got free. */
static int take_reader(dv_db *db)
{
    int found = -1;
    pthread_mutex_lock(&db->mu);
    if (wait_locked(db, false))
        for (int i = 0; i < DV__READERS && found < 0; i++)
            if (!db->reading[i]) {
                db->reading[i] = true;
                found = i;
            }
    pthread_mutex_unlock(&db->mu);
    return found;
}

int dv_db_read(dv_db *db, dv_conn **out, dv_err *err)
{
    *out = NULL;
    int i = take_reader(db);
    if (i < 0)
        return dv_fail(err, DV_EBUSY, "%s: all connections have been in use for %d ms", db->path, DV__BUSY_MS);
    /* The place is ours, so nobody else looks at reader[i] for opening; give_back compares pointers under the lock. */
    dv_conn *c = db->reader[i];
    if (c == NULL) {
        int rc = dv__db_conn_open(&c, db, DV__SQLITE_READ, err);
        pthread_mutex_lock(&db->mu);
        db->reader[i] = c;
        db->reading[i] = rc == 0;
        pthread_cond_broadcast(&db->freed);
        pthread_mutex_unlock(&db->mu);
        if (rc != 0)
            return rc;
    }
    return begin(out, c, err);
}

int dv_db_commit(dv_conn **p, dv_err *err)
{
    dv_conn *c = *p;
    *p = NULL;
    dv_err e = c->err;
    if (e.code == 0) {
        /* A statement that was left in the middle would keep the snapshot, or the lock. */
        dv__db_conn_reset(c);
        dv_stmt_run(dv_stmt_get(c, "COMMIT"));
        e = c->err;
    }
    if (e.code != 0)
        roll_back(c);
    if (c->writer)
        set_state(c->db, &e);
    give_back(c);
    return e.code != 0 ? dv_fail(err, e.code, "%s", e.msg) : 0;
}

void dv_db_rollback(dv_conn **p)
{
    if (*p == NULL)
        return;
    dv_conn *c = *p;
    *p = NULL;
    roll_back(c);
    give_back(c);
}
