/* SPDX-License-Identifier: MIT */
/* Numbered changes of the schema, each applied once in a transaction of its own. What was applied is recorded with its hash, so that a
 * migration that was edited afterwards, or a database that somebody else changed, is noticed. */
#ifndef DV_STORE_MIGRATE_H
#define DV_STORE_MIGRATE_H

#include "store/db_impl.h"

#include <stddef.h>

typedef struct dv__migration {
    int version; /**< 1, 2, 3... */
    const char *name;
    const char *sql;
} dv__migration;

/** Those of schema/, in order. */
extern const dv__migration dv__migrations[];
extern const size_t dv__n_migrations;

/** Version that the database has; 0: empty. Errors: DV_EUNSUPPORTED (newer than the list), DV_EFORMAT (a recorded migration is not the list's), those
 *  of reading. */
int dv__migrate_version(dv_db *db, const dv__migration *list, size_t n, int *version, dv_err *err);
/**
 * Apply what is missing. Only one process does so at a time (the caller holds the folder's lock).
 * @param saved  when the database is not empty it is copied to <path>.before-N first; that path, or ""
 * Errors: as above, and those of writing; the migrations before the failed one stay applied.
 */
int dv__migrate(dv_db *db, const dv__migration *list, size_t n, dv_buf *saved, dv_err *err);

#endif
