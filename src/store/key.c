/* SPDX-License-Identifier: MIT */
/* Making, listing and revoking keys. */
#include "store/key.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "store/key_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

enum { RANDOM = 32, LIST_TEXT = DV_SCOPE_PATTERNS * (DV_SCOPE_PATTERN + 1) };

void dv__key_hash(const dv_store *s, const char *text, size_t n, uint8_t hash[DV__MAC])
{
    dv__secret_mac(&s->secret, DV__FOR_KEYS, text, n, hash);
}

/* ---- rows ---- */

/* Point list at the lines of text, which is cut at its line feeds; v has room for as many as DV_SCOPE_PATTERNS. */
static void cut_lines(dv_patterns *list, const char **v, char *text)
{
    list->v = v;
    list->n = 0;
    for (char *p = text; p != NULL && list->n < DV_SCOPE_PATTERNS;) {
        char *end = strchr(p, '\n');
        if (end != NULL)
            *end++ = 0;
        v[list->n++] = p;
        p = end;
    }
}

/* The lists of patterns, in one piece with the key. */
static dv__key *with_patterns(dv_stmt *st)
{
    size_t n_routes, n_models;
    const char *routes = dv_stmt_get_text(st, 6, &n_routes), *models = dv_stmt_get_text(st, 7, &n_models);
    dv__key *k = dv_alloc(DV_MEM_STORE, sizeof *k + n_routes + n_models + 2);
    if (k == NULL)
        return NULL;
    *k = (dv__key){0};
    char *second = k->text + n_routes + 1;
    memcpy(k->text, routes, n_routes);
    k->text[n_routes] = 0;
    memcpy(second, models, n_models);
    second[n_models] = 0;
    cut_lines(&k->key.scope.routes, k->pattern, k->text);
    cut_lines(&k->key.scope.models, k->pattern + DV_SCOPE_PATTERNS, second);
    return k;
}

dv__key *dv__key_row(dv_stmt *st, dv_conn *c)
{
    size_t n;
    dv__key *k = with_patterns(st);
    if (k == NULL) {
        dv_conn_fail(c, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
        return NULL;
    }
    dv_key *key = &k->key;
    key->id = dv_stmt_get_int(st, 0);
    const void *hash = dv_stmt_get_blob(st, 1, &n);
    if (n == DV__MAC)
        memcpy(k->hash, hash, DV__MAC);
    else
        dv_conn_fail(c, DV_ECORRUPT, "a key without its hash");
    dv_stmt_get_str(st, 2, key->prefix, sizeof key->prefix);
    dv_stmt_get_str(st, 3, key->name, sizeof key->name);
    key->owner = dv_stmt_get_int(st, 4);
    key->scope.admin = dv_stmt_get_int(st, 5) != 0;
    key->scope.requests_per_min = (uint32_t)dv_stmt_get_int(st, 8);
    key->scope.tokens_per_min = (uint32_t)dv_stmt_get_int(st, 9);
    key->scope.concurrency = (uint32_t)dv_stmt_get_int(st, 10);
    key->scope.max_context = (uint32_t)dv_stmt_get_int(st, 11);
    key->scope.expires_ms = (uint64_t)dv_stmt_get_int(st, 12);
    key->created_ms = (uint64_t)dv_stmt_get_int(st, 13);
    key->used_ms = k->saved_ms = (uint64_t)dv_stmt_get_int(st, 14);
    key->revoked_ms = (uint64_t)dv_stmt_get_int(st, 15);
    atomic_init(&k->refs, 1);
    atomic_init(&k->used_ms, key->used_ms);
    if (dv_conn_code(c) != 0) {
        dv_free(k);
        return NULL;
    }
    return k;
}

/* ---- making ---- */

/* Length of s if it is printable UTF-8 of 1 to max bytes without a blank at either end; else 0. */
static size_t good_text(const char *s, size_t max)
{
    size_t n = s != NULL ? strnlen(s, max + 1) : 0;
    if (n == 0 || n > max || s[0] == ' ' || s[n - 1] == ' ')
        return 0;
    for (size_t i = 0; i < n;) {
        int k = dv_utf8_printable(s + i, n - i);
        if (k == 0)
            return 0;
        i += (size_t)k;
    }
    return n;
}

/* One line for each; "*" if there is none. */
static int join(char out[LIST_TEXT], const dv_patterns *list, const char *what, dv_err *err)
{
    char *at = out;
    if (list->n > DV_SCOPE_PATTERNS)
        return dv_fail(err, DV_EINVAL, "%s: more than %d patterns", what, DV_SCOPE_PATTERNS);
    for (size_t i = 0; i < list->n; i++) {
        size_t n = good_text(list->v[i], DV_SCOPE_PATTERN);
        if (n == 0)
            return dv_fail(err, DV_EINVAL, "%s: a pattern has 1 to %d bytes of printable UTF-8", what,
                           DV_SCOPE_PATTERN);
        memcpy(at, list->v[i], n);
        at += n;
        *at++ = '\n';
    }
    if (list->n == 0)
        memcpy(out, "*", 2);
    else
        at[-1] = 0;
    return 0;
}

typedef struct fresh_key {
    uint8_t hash[DV__MAC];
    char prefix[DV_KEY_PREFIX_LEN + 1], routes[LIST_TEXT], models[LIST_TEXT];
} fresh_key;

static int check_spec(const dv_key_spec *spec, fresh_key *f, uint64_t now, dv_err *err)
{
    if (good_text(spec->name, DV_NAME_MAX) == 0)
        return dv_fail(err, DV_EINVAL,
                       "the name of a key has 1 to %d bytes of printable UTF-8 and no blank at its ends", DV_NAME_MAX);
    if (spec->scope.expires_ms != 0 && spec->scope.expires_ms <= now)
        return dv_fail(err, DV_EINVAL, "the key would have expired already");
    if (spec->scope.expires_ms > INT64_MAX)
        return dv_fail(err, DV_EINVAL, "the key would expire too late");
    int rc = join(f->routes, &spec->scope.routes, "routes", err);
    return rc != 0 ? rc : join(f->models, &spec->scope.models, "models", err);
}

static void make_key(dv_store *s, char key[DV_KEY_LEN + 1], fresh_key *f)
{
    uint8_t random[RANDOM];
    randombytes_buf(random, sizeof random);
    memcpy(key, "dv_", 3);
    sodium_bin2base64(key + 3, DV_KEY_LEN + 1 - 3, random, sizeof random, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(random, sizeof random);
    memcpy(f->prefix, key, DV_KEY_PREFIX_LEN);
    f->prefix[DV_KEY_PREFIX_LEN] = 0;
    dv__key_hash(s, key, DV_KEY_LEN, f->hash);
}

static void check_free(dv_conn *c, const dv_key_spec *spec)
{
    dv_stmt *st = dv_stmt_get(c, "SELECT count(*), ifnull(sum(name = ?1), 0) FROM api_keys WHERE revoked_ms = 0");
    dv_stmt_str(st, 1, spec->name);
    if (dv_stmt_row(st) && dv_stmt_get_int(st, 0) >= DV_KEYS_MAX)
        dv_conn_fail(c, DV_ELIMIT, "there are %d keys already", DV_KEYS_MAX);
    else if (dv_stmt_get_int(st, 1) > 0)
        dv_conn_fail(c, DV_EEXIST, "there is a key named '%s' already", spec->name);
    dv_stmt_end(st);
    if (spec->owner == 0)
        return;
    st = dv_stmt_get(c, "SELECT 1 FROM users WHERE id = ?1");
    dv_stmt_int(st, 1, spec->owner);
    if (!dv_stmt_row(st))
        dv_conn_fail(c, DV_ENOENT, "there is no such user");
    dv_stmt_end(st);
}

static void insert(dv_conn *c, const dv_key_spec *spec, const fresh_key *f, uint64_t now)
{
    dv_stmt *st = dv_stmt_get(
        c,
        "INSERT INTO api_keys (hash, prefix, name, owner, admin, routes, models, requests_per_min, tokens_per_min, concurrency,"
        " max_context, expires_ms, created_ms) VALUES (?1, ?2, ?3, nullif(?4, 0), ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)");
    dv_stmt_blob(st, 1, f->hash, DV__MAC);
    dv_stmt_str(st, 2, f->prefix);
    dv_stmt_str(st, 3, spec->name);
    dv_stmt_int(st, 4, spec->owner);
    dv_stmt_int(st, 5, spec->scope.admin);
    dv_stmt_str(st, 6, f->routes);
    dv_stmt_str(st, 7, f->models);
    dv_stmt_int(st, 8, spec->scope.requests_per_min);
    dv_stmt_int(st, 9, spec->scope.tokens_per_min);
    dv_stmt_int(st, 10, spec->scope.concurrency);
    dv_stmt_int(st, 11, spec->scope.max_context);
    dv_stmt_int(st, 12, (int64_t)spec->scope.expires_ms);
    dv_stmt_int(st, 13, (int64_t)now);
    dv_stmt_run(st);
}

/* Make the key valid. */
static int add_key(dv_store *s, const dv_key_spec *spec, const fresh_key *f, const dv_audit_who *by, int64_t *id,
                   dv_err *err)
{
    dv_conn *c;
    int rc = dv_db_write(s->db, &c, err);
    if (rc != 0)
        return rc;
    check_free(c, spec);
    insert(c, spec, f, s->wall_ms());
    *id = dv_conn_last_id(c);
    dv__audit_in(s, c, by, "key.create", DV_AUDIT_OK, "key %" PRId64 " '%s' %s...%s", *id, spec->name, f->prefix,
                 spec->scope.admin ? ", admin" : "");
    rc = dv_db_commit(&c, err);
    if (rc != 0)
        return rc;
    dv__audit_committed(s);
    dv__keys_refresh(s, true, NULL); /* should it fail, the next search does it */
    return 0;
}

int dv_key_create(dv_store *s, const dv_key_spec *spec, const dv_audit_who *by, char key[DV_KEY_LEN + 1], int64_t *id,
                  dv_err *err)
{
    fresh_key f;
    *id = 0;
    key[0] = 0;
    int rc = check_spec(spec, &f, s->wall_ms(), err);
    if (rc != 0)
        return rc;
    make_key(s, key, &f);
    rc = add_key(s, spec, &f, by, id, err);
    if (rc != 0)
        sodium_memzero(key, DV_KEY_LEN + 1);
    return rc;
}

/* ---- listing, revoking ---- */

int dv_key_list_get(dv_store *s, dv_key_list *out, dv_err *err)
{
    dv_conn *c;
    size_t cap = 0;
    *out = (dv_key_list){0};
    int rc = dv_db_read(s->db, &c, err);
    if (rc != 0)
        return rc;
    dv_stmt *st = dv_stmt_get(c, "SELECT " DV__KEY_COLUMNS " FROM api_keys ORDER BY id");
    while (dv_stmt_row(st)) {
        if (out->n == cap) {
            cap = cap * 2 + 16;
            const dv_key **more = dv_realloc(DV_MEM_STORE, out->v, cap * sizeof *more);
            if (more == NULL) {
                dv_conn_fail(c, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
                break;
            }
            out->v = more;
        }
        dv__key *k = dv__key_row(st, c);
        if (k == NULL)
            break;
        out->v[out->n++] = &k->key;
    }
    dv_stmt_end(st);
    rc = dv_db_commit(&c, err);
    if (rc != 0)
        dv_key_list_fini(out);
    return rc;
}

void dv_key_list_fini(dv_key_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        dv_key_unref(l->v[i]);
    dv_free(l->v);
    *l = (dv_key_list){0};
}

int dv_key_revoke(dv_store *s, int64_t id, const dv_audit_who *by, dv_err *err)
{
    dv_conn *c;
    int rc = dv_db_write(s->db, &c, err);
    if (rc != 0)
        return rc;
    dv_stmt *st = dv_stmt_get(c, "UPDATE api_keys SET revoked_ms = ?2 WHERE id = ?1 AND revoked_ms = 0");
    dv_stmt_int(st, 1, id);
    dv_stmt_int(st, 2, (int64_t)DV_MAX(s->wall_ms(), (uint64_t)1));
    if (dv_stmt_run(st) == 0 && dv_conn_changes(c) == 0)
        dv_conn_fail(c, DV_ENOENT, "there is no live key %" PRId64, id);
    dv__audit_in(s, c, by, "key.revoke", DV_AUDIT_OK, "key %" PRId64, id);
    rc = dv_db_commit(&c, err);
    if (rc != 0)
        return rc;
    dv__audit_committed(s);
    dv__keys_revoked(s);
    return 0;
}

/* ---- the first key ---- */

static int count_keys(dv_store *s, int64_t *n, dv_err *err)
{
    dv_conn *c;
    int rc = dv_db_read(s->db, &c, err);
    if (rc != 0)
        return rc;
    dv_stmt *st = dv_stmt_get(c, "SELECT count(*) FROM api_keys");
    *n = dv_stmt_row(st) ? dv_stmt_get_int(st, 0) : 0;
    dv_stmt_end(st);
    return dv_db_commit(&c, err);
}

/* The file first: a key that is valid and that nobody knows would be worse than a file with one that is not yet. */
static int make_first(dv_store *s, const char *file, dv_err *err)
{
    char key[DV_KEY_LEN + 1];
    int64_t id;
    fresh_key f;
    const dv_key_spec spec = {.name = "admin", .scope = {.admin = true}};
    int rc = check_spec(&spec, &f, s->wall_ms(), err);
    if (rc != 0)
        return rc;
    make_key(s, key, &f);
    key[DV_KEY_LEN] = '\n';
    rc = dv__file_replace(&s->folder, file, key, DV_KEY_LEN + 1, err);
    sodium_memzero(key, sizeof key);
    return rc != 0 ? rc : add_key(s, &spec, &f, NULL, &id, err);
}

int dv_key_bootstrap(dv_store *s, bool *made, dv_buf *path, dv_err *err)
{
    static const char file[] = "admin.key";
    int64_t n = 0;
    int rc = count_keys(s, &n, err);
    *made = rc == 0 && n == 0;
    if (*made)
        rc = make_first(s, file, err);
    if (rc != 0 || faccessat(s->folder.fd, file, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        return rc;
    rc = dv_buf_printf(path, "%s/%s", s->folder.path, file);
    return rc != 0 ? dv_fail(err, rc, "%s", dv_error_text(rc)) : 0;
}
