/* SPDX-License-Identifier: MIT */
/* Sessions of users in browsers: 256 random bits in a cookie, of which a keyed hash is stored. They end when they are idle for too long, at
 * an absolute time, at logout, and with the user's password or role. */
#ifndef DV_STORE_SESSION_H
#define DV_STORE_SESSION_H

#include "store/user.h"

enum { DV_SESSION_LEN = 43, DV_CSRF_LEN = 43, DV_SESSIONS_PER_USER = 32 };

typedef struct dv_session {
    dv_user user; /**< as it is now */
    uint64_t created_ms, expires_ms;
} dv_session;

/**
 * Begin a session after a login. The session that the browser had before ends, whoever's it was, so nobody can plant one (fixation).
 * Of more than DV_SESSIONS_PER_USER sessions of a user the oldest ends.
 * @param old  the cookie the browser sent, n_old bytes; may be NULL
 * @param id   the new cookie's value, terminated
 * Errors: DV_ENOENT (no such user any more), those of writing.
 */
int dv_session_begin(dv_store *s, int64_t user, const char *old, size_t n_old, const char *address,
                     char id[DV_SESSION_LEN + 1], dv_err *err);
/** Errors: DV_EAUTH (none, ended or expired), those of reading. A query of about 20 microseconds. */
int dv_session_find(dv_store *s, const char *id, size_t n, dv_session *out, dv_err *err);
/** Logout. 0 also if there is no such session. Errors: those of writing. */
int dv_session_end(dv_store *s, const char *id, size_t n, const dv_audit_who *by, dv_err *err);
/** All of a user. Errors: those of writing. */
int dv_session_end_all(dv_store *s, int64_t user, const dv_audit_who *by, dv_err *err);

/** The token that forms and scripts of this session send along: an HMAC of the session's id. Errors: DV_EAUTH (id is not the shape of one). */
int dv_session_csrf(dv_store *s, const char *id, size_t n, char token[DV_CSRF_LEN + 1]);
/** In constant time. */
bool dv_session_csrf_ok(dv_store *s, const char *id, size_t n, const char *token, size_t n_token);

#endif
