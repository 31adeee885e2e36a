/* SPDX-License-Identifier: MIT */
/* audit.jsonl: the rows of the audit log as lines of JSON, written after their transaction by whoever holds DV__LOCK_LINES. The database is the
 * original: what a crash or a full disk kept from the file is written from there later. Full files are renamed to audit-FIRST-LAST.jsonl. */
#ifndef DV_STORE_LINES_H
#define DV_STORE_LINES_H

#include "store/chain.h"
#include "store/files.h"

#define DV__LINES_FILE "audit.jsonl"

typedef struct dv__lines {
    const dv__folder *folder;
    int fd;               /**< -1: not open */
    uint64_t size;        /**< of what is whole */
    uint64_t first, last; /**< rows in the file; 0: none */
    bool unsynced;
} dv__lines;

/** What was wrong with the file and was done about it. */
typedef void (*dv__lines_note)(void *arg, const char *text);

/** Open or make the file, and find where it ends: half a line at the end is cut off; a file that does not fit the database is set aside under
 *  another name. The caller has the lock. */
int dv__lines_open(dv__lines *l, const dv__folder *f, dv_db *db, dv__lines_note note, void *arg, dv_err *err);
/** Append text[0..n), lines of the rows first to last, if they follow what is there; else nothing. Then, and when the file is full: rename it.
 *  Errors: those of writing; the file then ends where it ended before. */
int dv__lines_add(dv__lines *l, const char *text, size_t n, uint64_t first, uint64_t last, uint64_t max_bytes,
                  dv_err *err);
/** Append all rows of the database that the file lacks. */
int dv__lines_catch_up(dv__lines *l, dv_db *db, uint64_t max_bytes, dv_err *err);
/** Put what was written on the disk. */
void dv__lines_sync(dv__lines *l);
void dv__lines_close(dv__lines *l);

/** A file of lines: its name, and for a full one its rows (0 for the current one). */
typedef struct dv__lines_file {
    char name[64];
    uint64_t first, last;
} dv__lines_file;

/** All files in the order of their rows. *v is freed by dv_free. */
int dv__lines_files(const dv__folder *f, dv__lines_file **v, size_t *n, dv_err *err);
/** Remove full files whose rows are all before first. */
void dv__lines_prune(const dv__folder *f, uint64_t first);
/** Set all files aside in the new folder audit-old-STAMP. */
int dv__lines_set_aside(const dv__folder *f, const char *stamp, dv_err *err);

#endif
