/* SPDX-License-Identifier: MIT */
/* Argon2id by libsodium; RFC 9106. A few at a time: each takes 64 MiB. */
#include "base/err.h"
#include "base/utf8.h"
#include "store/login.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

_Static_assert(DV__PASSWORD_HASH >= crypto_pwhash_argon2id_STRBYTES, "a hash fits");

enum { AT_ONCE = 2, WAITING = 16 };

static int enter(dv__hashing *h, dv_err *err)
{
    pthread_mutex_lock(&h->mu);
    bool full = h->running >= AT_ONCE && h->waiting >= WAITING;
    h->waiting++;
    while (!full && h->running >= AT_ONCE)
        pthread_cond_wait(&h->freed, &h->mu);
    h->waiting--;
    h->running += !full;
    pthread_mutex_unlock(&h->mu);
    return full ? dv_fail(err, DV_EBUSY, "too many passwords are being checked") : 0;
}

static void leave(dv__hashing *h)
{
    pthread_mutex_lock(&h->mu);
    h->running--;
    pthread_cond_signal(&h->freed);
    pthread_mutex_unlock(&h->mu);
}

static int check_password(const char *name, const char *p, size_t n, dv_err *err)
{
    if (n < DV_PASSWORD_MIN || n > DV_PASSWORD_MAX)
        return dv_fail(err, DV_EINVAL, "a password has %d to %d bytes", DV_PASSWORD_MIN, DV_PASSWORD_MAX);
    if (!dv_utf8_valid(p, n) || memchr(p, 0, n) != NULL)
        return dv_fail(err, DV_EINVAL, "a password is UTF-8 without NUL");
    if (n == strlen(name) && strncasecmp(p, name, n) == 0)
        return dv_fail(err, DV_EINVAL, "a password is not the user's name");
    return 0;
}

int dv__password_hash(dv_store *s, const char *name, const char *password, size_t n, char out[DV__PASSWORD_HASH],
                      dv_err *err)
{
    dv_store_tuning t = dv__store_tuning(s);
    int rc = check_password(name, password, n, err);
    rc = rc != 0 ? rc : enter(&s->hashing, err);
    if (rc != 0)
        return rc;
    if (crypto_pwhash_argon2id_str(out, password, n, t.password_ops, t.password_bytes) != 0)
        rc = dv_fail(err, DV_ENOMEM, "no memory to hash a password");
    leave(&s->hashing);
    return rc;
}

/* A hash that no password has, with the parameters that new ones get: checking against it takes as long. */
static void nobody(const dv_store_tuning *t, char out[DV__PASSWORD_HASH])
{
    uint8_t random[32];
    char salt[23], hash[44];
    randombytes_buf(random, sizeof random);
    sodium_bin2base64(salt, sizeof salt, random, 16, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
    randombytes_buf(random, sizeof random);
    sodium_bin2base64(hash, sizeof hash, random, 32, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
    snprintf(out, DV__PASSWORD_HASH, "$argon2id$v=19$m=%llu,t=%u,p=1$%s$%s",
             (unsigned long long)(t->password_bytes / 1024), t->password_ops, salt, hash);
}

int dv__password_check(dv_store *s, const char *hash, const char *password, size_t n, bool *ok, dv_err *err)
{
    dv_store_tuning t = dv__store_tuning(s);
    char none[DV__PASSWORD_HASH];
    *ok = false;
    int rc = enter(&s->hashing, err);
    if (rc != 0)
        return rc;
    nobody(&t, none);
    /* One that is too long is refused after the same work, on an empty one. */
    bool fits = n <= DV_PASSWORD_MAX;
    bool same = crypto_pwhash_argon2id_str_verify(hash != NULL ? hash : none, password, fits ? n : 0) == 0;
    *ok = same && fits && hash != NULL;
    leave(&s->hashing);
    return 0;
}
