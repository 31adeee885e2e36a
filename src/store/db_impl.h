/* SPDX-License-Identifier: MIT */
/* What db.c and stmt.c share. */
#ifndef DV_STORE_DB_IMPL_H
#define DV_STORE_DB_IMPL_H

#include "store/db.h"
#include "store/sqlite.h"

#include <pthread.h>

enum { DV__STMTS = 64, DV__READERS = 4 };

struct dv_stmt {
    dv_conn *conn;
    sqlite3_stmt *p; /**< NULL: preparing failed, every call does nothing */
    const char *sql; /**< a literal */
    bool busy;       /**< between dv_stmt_get and its end */
    uint64_t used;   /**< when: of the conn's clock */
};

struct dv_conn {
    dv_db *db;
    sqlite3 *h;
    sqlite3_stmt *rollback; /**< prepared at the beginning: ending a transaction must not need memory */
    bool writer;
    dv_err err; /**< first failure of this transaction */
    uint64_t clock;
    dv_stmt dead;
    dv_stmt stmts[DV__STMTS];
};

struct dv_db {
    char *path;
    pthread_mutex_t
        mu; /**< the fields below; held for moments only, and nothing is locked or waited for under it but freed */
    pthread_cond_t freed;
    dv_conn *writer;
    bool writing;
    dv_conn *reader[DV__READERS]; /**< opened when they are first needed */
    bool reading[DV__READERS];
    dv_err state; /**< what writing failed with last; code 0: it worked */
};

/** Open the database at path, an absolute path without links. create: the file may be missing. Errors: those of db.h; DV_EFORMAT (the file is
 *  somebody else's database), DV_EUNSUPPORTED (the file system cannot do WAL). */
int dv__db_open(dv_db **out, const char *path, bool create, dv_err *err);
/** Nobody uses it any more. */
void dv__db_close(dv_db **db);
/** Copy the database as it is now to a new file (0600), which is checked and appears under its name when it is whole. Errors: DV_EEXIST, those
 *  of files, DV_ECORRUPT. */
int dv__db_copy_to(dv_db *db, const char *path, dv_err *err);
/** What writing failed with last; code 0: it worked. */
dv_err dv__db_state(dv_db *db);
/** A number that changes when another connection, in this process or not, has committed; c must always be the same. */
int64_t dv__db_conn_version(dv_conn *c);
/** A connection for reading that is nobody else's. */
int dv__db_conn_open(dv_conn **out, dv_db *db, dv__sqlite_mode mode, dv_err *err);
void dv__db_conn_close(dv_conn **c);
/** End all statements and forget the failure. */
void dv__db_conn_reset(dv_conn *c);

#endif
