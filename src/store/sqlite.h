/* SPDX-License-Identifier: MIT */
/* SQLite's own interface as this folder sets it up: memory, limits, safety switches, error codes. */
#ifndef DV_STORE_SQLITE_H
#define DV_STORE_SQLITE_H

#include "drover/error.h"

#include <sqlite3.h>
#include <stdbool.h>

/** Marks a file as drover's: "drov". SQLite's own file(1) magic uses it too. */
enum { DV__APPLICATION_ID = 0x64726f76, DV__BUSY_MS = 5000 };

/** Once for the process, before anything else of SQLite or libsodium. Errors: DV_EINTERNAL. Any thread. */
int dv__sqlite_start(dv_err *err);

/** The DV_E* for a result of SQLite; h may be NULL and gives the system's errno. */
int dv__sqlite_code(sqlite3 *h, int rc);
/** Record a result that is not SQLITE_OK, ROW or DONE, with SQLite's text, in err. Returns its code. */
int dv__sqlite_fail(sqlite3 *h, int rc, const char *path, dv_err *err);

typedef enum dv__sqlite_mode {
    DV__SQLITE_READ,  /**< of a database in use: everything but writing */
    DV__SQLITE_WRITE, /**< the file is there */
    DV__SQLITE_CREATE,
    DV__SQLITE_FOREIGN /**< a file from somewhere, only read: its schema cannot run anything */
} dv__sqlite_mode;

/** Open with all limits and switches; not yet in WAL. path is absolute and no link. *h is NULL on failure. */
int dv__sqlite_open(sqlite3 **h, const char *path, dv__sqlite_mode mode, dv_err *err);
/** Run SQL that gives no rows. */
int dv__sqlite_exec(sqlite3 *h, const char *sql, const char *path, dv_err *err);
/** The first column of the first row as a number; dflt if there is none. */
int dv__sqlite_int(sqlite3 *h, const char *sql, const char *path, sqlite3_int64 *out, dv_err *err);
/** All of it: pages, indexes, constraints, references. Errors: DV_ECORRUPT with the first problem, and reading's. */
int dv__sqlite_check(sqlite3 *h, const char *path, dv_err *err);
/** Copy everything from one to the other as it is at one moment. */
int dv__sqlite_copy(sqlite3 *from, sqlite3 *to, const char *path, dv_err *err);

#endif
