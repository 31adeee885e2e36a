/* SPDX-License-Identifier: MIT */
/* Users: a name, a role, a password as Argon2id keeps it. Failed logins are counted per user and per address and stored, so neither a
 * restart nor many connections at once give more guesses. Nothing tells a caller whether a name exists. */
#ifndef DV_STORE_USER_H
#define DV_STORE_USER_H

#include "store/audit.h"
#include "store/key.h"
#include "store/store.h"

typedef enum dv_role { DV_ROLE_VIEWER, DV_ROLE_USER, DV_ROLE_ADMIN, DV_ROLE_N } dv_role;

enum { DV_PASSWORD_MIN = 8, DV_PASSWORD_MAX = 1024 };

typedef struct dv_user {
    int64_t id; /**< never given to another user */
    char name[DV_NAME_MAX + 1];
    dv_role role;
    uint64_t created_ms, login_ms; /**< wall clock; login_ms 0: never */
} dv_user;

/** "viewer", "user", "admin"; static. */
const char *dv_role_name(dv_role r);
/** False if s is none of them. */
bool dv_role_parse(const char *s, dv_role *out);
/** Lower-case the name s[0..n) into out. Names are ASCII letters, digits and ._@+-, begin with a letter or a digit, and have 1 to 64 characters, so no
 *  two look alike. Errors: DV_EINVAL. */
int dv_user_name(char out[DV_NAME_MAX + 1], const char *s, size_t n, dv_err *err);

/** Errors: DV_EINVAL (name; password shorter than DV_PASSWORD_MIN, longer than DV_PASSWORD_MAX, not UTF-8, or the name), DV_EEXIST, DV_ENOMEM, DV_EBUSY
 *  (too many passwords are being hashed), those of writing. Takes as long as Argon2id does, 0.1 s. */
int dv_user_add(dv_store *s, const char *name, size_t n, dv_role role, const char *password, size_t n_password,
                const dv_audit_who *by, int64_t *id, dv_err *err);
/** Ends all sessions of the user. Errors: as above, and DV_ENOENT. */
int dv_user_set_password(dv_store *s, int64_t id, const char *password, size_t n_password, const dv_audit_who *by,
                         dv_err *err);
/** Ends all sessions of the user. Errors: DV_ENOENT, those of writing. */
int dv_user_set_role(dv_store *s, int64_t id, dv_role role, const dv_audit_who *by, dv_err *err);
/** Ends all sessions of the user and revokes the keys that he owns. Errors: DV_ENOENT, those of writing. */
int dv_user_delete(dv_store *s, int64_t id, const dv_audit_who *by, dv_err *err);
/** Errors: DV_ENOENT, those of reading. */
int dv_user_get(dv_store *s, int64_t id, dv_user *out, dv_err *err);
/** By name as people type it. Errors: DV_ENOENT, those of reading. */
int dv_user_find(dv_store *s, const char *name, size_t n, dv_user *out, dv_err *err);

typedef struct dv_user_list {
    dv_user *v; /**< by name */
    size_t n;
} dv_user_list;

int dv_user_list_get(dv_store *s, dv_user_list *out, dv_err *err);
void dv_user_list_fini(dv_user_list *l);

typedef struct dv_login {
    const char *name, *password;
    size_t n_name, n_password;
    const char
        *address; /**< normalised; a network for IPv6, where a guest has 2^64 addresses; NULL: not counted by address */
    const char *request; /**< request id for the audit log; may be NULL */
} dv_login;

/**
 * Check a name and a password. After five failures a user, and after twenty an address, must wait 1, 2, 4... seconds, up to 5 and 15 minutes. A
 * check counts as a failure before it begins, so many at once give no more guesses. Hashes with old parameters are made anew. Audited as "login".
 * @param retry_s  seconds to wait after DV_ERATE
 * Errors: DV_EAUTH (wrong; not which part); DV_ERATE; DV_EBUSY (too many at once); DV_ENOMEM; those of writing. Takes 0.1 s and 64 MiB; at most
 * two run at a time, sixteen wait.
 */
int dv_user_login(dv_store *s, const dv_login *in, dv_user *out, uint32_t *retry_s, dv_err *err);

#endif
