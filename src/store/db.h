/* SPDX-License-Identifier: MIT */
/* SQLite behind a small interface, the only way to it. A database has one connection that writes, handed to one thread at a time, and a few
 * that read, each with its prepared statements. SQL is literals with bound parameters; that text from outside becomes SQL does not compile.
 *
 * Errors stick to the connection: after the first failure every call on it does nothing, rows end, and dv_db_commit says what it was.
 * Codes: DV_ENOSPC the disk is full; DV_EBUSY another program holds the database; DV_ECORRUPT it is damaged; DV_ELIMIT a value or a result is
 * too large; DV_EEXIST a UNIQUE constraint; DV_EINVAL another constraint; DV_EACCES; DV_EIO; DV_ENOMEM; DV_EINTERNAL SQL that does not fit the schema.
 *
 * Writing: WAL with synchronous=FULL: when dv_db_commit returns 0 the transaction survives a crash of the program and of the machine. Readers see
 * the state of the moment they began and neither wait for writers nor stop them.
 * Order of locks: the writer's is taken first, before any lock of a caller's that is also taken while writing. */
#ifndef DV_STORE_DB_H
#define DV_STORE_DB_H

#include "base/buf.h"
#include "drover/error.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct dv_store dv_store;
typedef struct dv_db dv_db;
typedef struct dv_conn dv_conn;
typedef struct dv_stmt dv_stmt;

/** The database of a store, for code that has tables of its own in it. */
dv_db *dv_store_db(dv_store *s);

/** Begin reading; waits for one of four connections. *out is NULL on failure. Errors: as above. */
int dv_db_read(dv_db *db, dv_conn **out, dv_err *err);
/** Begin a transaction that writes; waits up to five seconds for others, in this process or not. A thread has one at a time. */
int dv_db_write(dv_db *db, dv_conn **out, dv_err *err);
/** End reading, or make what was written durable; on failure nothing of it was written. *c is given back and NULL in any case. */
int dv_db_commit(dv_conn **c, dv_err *err);
/** End it; nothing was written. *c may be NULL. */
void dv_db_rollback(dv_conn **c);

/** First failure so far, 0 if none. */
int dv_conn_code(const dv_conn *c);
/** Fail on purpose: the transaction will not be committed. Returns code. */
int dv_conn_fail(dv_conn *c, int code, const char *fmt, ...) DV_PRINTF(3, 4);

/** A statement, prepared once for each connection; never NULL. sql is a literal with ?1, ?2... for values. */
#define dv_stmt_get(c, sql) dv_stmt_prepared((c), "" sql)
dv_stmt *dv_stmt_prepared(dv_conn *c, const char *sql);

/** Bind parameter i (from 1). Texts and blobs are borrowed until the statement ends; NULL is SQL's NULL. */
void dv_stmt_int(dv_stmt *st, int i, int64_t v);
void dv_stmt_text(dv_stmt *st, int i, const char *s, size_t n);
void dv_stmt_str(dv_stmt *st, int i, const char *s);
void dv_stmt_blob(dv_stmt *st, int i, const void *p, size_t n);

/** The next row; false at the end or after a failure, and then the statement has ended and can be bound anew. */
bool dv_stmt_row(dv_stmt *st);
/** Run to the end. Returns the connection's code. */
int dv_stmt_run(dv_stmt *st);
/** End early. */
void dv_stmt_end(dv_stmt *st);
/** Rows that the last dv_stmt_run inserted, changed or deleted. */
int64_t dv_conn_changes(const dv_conn *c);
int64_t dv_conn_last_id(const dv_conn *c);

/** Columns of the row, from 0; texts and blobs live until the next row. A NULL is 0 or "" of length 0. */
int64_t dv_stmt_get_int(dv_stmt *st, int col);
const char *dv_stmt_get_text(dv_stmt *st, int col, size_t *n);
const void *dv_stmt_get_blob(dv_stmt *st, int col, size_t *n);
bool dv_stmt_is_null(dv_stmt *st, int col);
/** A text into out[cap], terminated; a longer one fails the connection with DV_ECORRUPT. */
void dv_stmt_get_str(dv_stmt *st, int col, char *out, size_t cap);

#endif
