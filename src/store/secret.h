/* SPDX-License-Identifier: MIT */
/* The folder's secret, 256 random bits in the file secret.key: hashes of keys and sessions, CSRF tokens and the seal of the audit log need it, so
 * who can only write to the database cannot make a key that is valid, nor cut the log unnoticed. The database names the one it was made
 * with; the file may hold several, of which a restore puts the backup's beside the old one before it exchanges the databases. */
#ifndef DV_STORE_SECRET_H
#define DV_STORE_SECRET_H

#include "store/db.h"
#include "store/files.h"

#include <stdint.h>

enum { DV__SECRET = 32, DV__SECRET_ID = 32, DV__SECRETS_MAX = 16, DV__MAC = 32 };

/** What a derived key is for; a number is never used for something else. */
typedef enum dv__secret_use {
    DV__FOR_ID,
    DV__FOR_KEYS,
    DV__FOR_SESSIONS,
    DV__FOR_CSRF,
    DV__FOR_AUDIT,
    DV__FOR_LOGINS,
    DV__SECRET_USES
} dv__secret_use;

typedef struct dv__secret {
    uint8_t master[DV__SECRET];
    uint8_t derived[DV__SECRET_USES][DV__MAC];
    char id[DV__SECRET_ID + 1]; /**< hexadecimal; not secret */
} dv__secret;

/** The secret of the database; a database that names none gets the file's, or a new one. Errors: DV_EFORMAT (the file is damaged, or has not the
 *  database's), those of files and of the database. */
int dv__secret_load(dv__secret *s, const dv__folder *f, dv_db *db, dv_err *err);
/** Put master beside those in the file. */
int dv__secret_add(const dv__folder *f, const uint8_t master[DV__SECRET], dv_err *err);
void dv__secret_wipe(dv__secret *s);
/** BLAKE2b-256 of p[0..n), keyed for a use. */
void dv__secret_mac(const dv__secret *s, dv__secret_use use, const void *p, size_t n, uint8_t out[DV__MAC]);

#endif
