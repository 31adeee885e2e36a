/* SPDX-License-Identifier: MIT */
/* Passwords as they are kept, and how often one may guess. */
#ifndef DV_STORE_LOGIN_H
#define DV_STORE_LOGIN_H

#include "store/store_impl.h"

enum { DV__PASSWORD_HASH = 128 };

/** Argon2id of a password that is good enough for the user. Errors: DV_EINVAL, DV_ENOMEM, DV_EBUSY. */
int dv__password_hash(dv_store *s, const char *name, const char *password, size_t n, char out[DV__PASSWORD_HASH],
                      dv_err *err);
/** Whether it is the password of the hash; hash NULL: no, in the same time. Errors: DV_EBUSY, DV_ENOMEM. */
int dv__password_check(dv_store *s, const char *hash, const char *password, size_t n, bool *ok, dv_err *err);

/** Failures before waiting begins, and the longest wait. */
typedef struct dv__throttle {
    int64_t free_tries;
    uint64_t max_ms;
} dv__throttle;

extern const dv__throttle dv__throttle_user, dv__throttle_address;

/** Key of a row of failures: kind is 'u' or 'a'. */
void dv__throttle_key(dv_store *s, char kind, const char *name, size_t n, uint8_t out[DV__MAC]);
/** Milliseconds until the next try is allowed. */
uint64_t dv__throttle_wait(dv_conn *c, const dv__throttle *t, const uint8_t key[DV__MAC], uint64_t now);
/** Count a try that is about to be made. */
void dv__throttle_count(dv_conn *c, const dv__throttle *t, const uint8_t key[DV__MAC], uint64_t now);
/** It was no failure: forget all of them, or only this one. */
void dv__throttle_forget(dv_conn *c, const uint8_t key[DV__MAC], bool all);

#endif
