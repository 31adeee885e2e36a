/* SPDX-License-Identifier: MIT */
/* API keys: "dv_" and 256 random bits. Only a keyed BLAKE2b-256 of a key is stored; the key itself is shown once. A key has scopes.
 * All live keys are kept in memory: finding one takes about a microsecond and no query, so strangers with wrong keys cost nothing. */
#ifndef DV_STORE_KEY_H
#define DV_STORE_KEY_H

#include "store/audit.h"
#include "store/store.h"

enum {
    DV_KEY_LEN = 46,        /* "dv_" and 43 characters of A-Z a-z 0-9 - _ */
    DV_KEY_PREFIX_LEN = 9,  /* "dv_" and the first six of them: to tell keys apart in lists */
    DV_NAME_MAX = 64,       /* names of keys and users, in bytes */
    DV_SCOPE_PATTERNS = 32, /* patterns in a scope's list */
    DV_SCOPE_PATTERN = 128, /* bytes of a pattern */
    DV_KEYS_MAX = 100000    /* live keys in a store */
};

/** Texts in which '*' stands for any run of characters and '?' for one. */
typedef struct dv_patterns {
    const char *const *v;
    size_t n; /**< 0: in a spec the default "*" */
} dv_patterns;

/** What a key may do. 0 in a number: the server's own limit applies. */
typedef struct dv_scope {
    dv_patterns
        routes; /**< groups of routes ("chat"), or paths when they begin with '/'; "*" is every route that needs no admin */
    dv_patterns models; /**< names of models */
    bool admin;         /**< may also use routes for admins */
    uint32_t requests_per_min, tokens_per_min, concurrency, max_context;
    uint64_t expires_ms; /**< wall clock; 0: never */
} dv_scope;

/** A key as it was when it was found; immutable, counted. */
typedef struct dv_key {
    int64_t id;    /**< never given to another key */
    int64_t owner; /**< user; 0: nobody's */
    char name[DV_NAME_MAX + 1];
    char prefix[DV_KEY_PREFIX_LEN + 1];
    dv_scope scope;
    uint64_t created_ms, used_ms, revoked_ms; /**< wall clock; 0: never. used_ms is written every half a minute */
} dv_key;

typedef struct dv_key_spec {
    const char *name; /**< 1 to DV_NAME_MAX bytes, printable UTF-8, no blank at either end; no other live key has it */
    int64_t owner;    /**< user whose removal revokes it; 0: nobody's */
    dv_scope scope;
} dv_key_spec;

/**
 * Make a key. It is valid for everybody from here on, and the audit log has who made it.
 * @param key  the key, terminated; nowhere else is it to be had. The caller wipes it (sodium_memzero)
 * Errors: DV_EINVAL (says which field), DV_EEXIST (name), DV_ENOENT (owner), DV_ELIMIT (DV_KEYS_MAX), those of writing.
 */
int dv_key_create(dv_store *s, const dv_key_spec *spec, const dv_audit_who *by, char key[DV_KEY_LEN + 1], int64_t *id,
                  dv_err *err);
/**
 * The live key that text[0..n) is. Its time does not depend on how much of a key is right. A key that another process made is found at once
 * (within 10 ms), one that it revoked is found no more within 100 ms.
 * @param out  counted: dv_key_unref; NULL on failure
 * Errors: DV_EAUTH (none, revoked or expired; err does not say which); DV_EIO (the database could not be read for five seconds, so that
 * revoked keys would go unnoticed), DV_ENOMEM.
 */
int dv_key_find(dv_store *s, const char *text, size_t n, const dv_key **out, dv_err *err);
const dv_key *dv_key_ref(const dv_key *k);
/** k may be NULL. Also after the store is closed. */
void dv_key_unref(const dv_key *k);

typedef struct dv_key_list {
    const dv_key **v; /**< newest last */
    size_t n;
} dv_key_list;

/** All keys, revoked ones too. Errors: those of reading. */
int dv_key_list_get(dv_store *s, dv_key_list *out, dv_err *err);
void dv_key_list_fini(dv_key_list *l);
/** Revoke a live key; this process knows at once, others within 100 ms. Errors: DV_ENOENT, those of writing. */
int dv_key_revoke(dv_store *s, int64_t id, const dv_audit_who *by, dv_err *err);

/**
 * A key for the first start: if no key was ever made, make one named "admin" for everything and write it to the file admin.key (0600).
 * @param made  whether it did; path gets the file's path, also when it did not but the file is there ("" if it is not)
 */
int dv_key_bootstrap(dv_store *s, bool *made, dv_buf *path, dv_err *err);

/** Whether the scope covers a route: its group ("chat") or its path matches, and admin is there if the route needs it. */
bool dv_scope_route(const dv_scope *scope, const char *group, const char *path, bool needs_admin);
bool dv_scope_model(const dv_scope *scope, const char *model);
/** Whether text[0..n) matches pattern as a whole. Time is linear in practice and at most the product of the lengths. */
bool dv_pattern_match(const char *pattern, const char *text, size_t n);

#endif
