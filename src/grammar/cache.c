/* SPDX-License-Identifier: MIT */
/* Compiled grammars by their source. A short list, searched in order: a server has few grammars, and compiling one costs more than
 * comparing a hundred hashes. Compiling happens outside of the lock, so two requests may compile the same grammar once each. */
#include "grammar/grammar.h"

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const size_t max_bytes = 64u << 20; /* of all grammars together; they grow while they are used */

typedef struct entry {
    char *key; /* owned */
    size_t n;
    uint64_t hash, used;
    dv_grammar *g; /* a reference; NULL: free */
} entry;

struct dv_grammar_cache {
    pthread_mutex_t lock;
    dv_grammar_limits limits;
    uint64_t clock;
    size_t n;
    entry *entry; /* [n] */
};

int dv_grammar_cache_open(dv_grammar_cache **out, size_t n, const dv_grammar_limits *limits, dv_err *err)
{
    dv_grammar_cache *c = dv_calloc(DV_MEM_GRAMMAR, 1, sizeof *c);
    *out = c;
    if (c != NULL && (c->entry = dv_calloc(DV_MEM_GRAMMAR, n, sizeof *c->entry)) != NULL) {
        c->n = n;
        c->limits = limits != NULL ? *limits : (dv_grammar_limits){0};
        pthread_mutex_init(&c->lock, NULL);
        return 0;
    }
    dv_free(c);
    *out = NULL;
    return dv_fail(err, DV_ENOMEM, "out of memory for a cache of grammars");
}

static void drop(entry *e)
{
    dv_grammar_unref(&e->g);
    dv_free(e->key);
    *e = (entry){0};
}

void dv_grammar_cache_close(dv_grammar_cache **pc)
{
    dv_grammar_cache *c = *pc;
    *pc = NULL;
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->n; i++)
        drop(&c->entry[i]);
    pthread_mutex_destroy(&c->lock);
    dv_free(c->entry);
    dv_free(c);
}

static uint64_t hash_key(const char *p, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)p[i]) * 0x100000001b3u;
    return h;
}

static entry *find(dv_grammar_cache *c, const char *key, size_t n, uint64_t hash)
{
    for (size_t i = 0; i < c->n; i++) {
        entry *e = &c->entry[i];
        if (e->g != NULL && e->hash == hash && e->n == n && (n == 0 || memcmp(e->key, key, n) == 0))
            return e;
    }
    return NULL;
}

/* Let go of the grammars that were not used for the longest time, until the rest is within the bound; under the lock. Requests that use
 * one keep it alive. */
static void trim(dv_grammar_cache *c)
{
    for (;;) {
        size_t total = 0, n = 0;
        entry *oldest = NULL;
        for (size_t i = 0; i < c->n; i++) {
            entry *e = &c->entry[i];
            if (e->g == NULL)
                continue;
            n++;
            total += dv_grammar_bytes(e->g);
            oldest = oldest == NULL || e->used < oldest->used ? e : oldest;
        }
        if (total <= max_bytes || n <= 1)
            return;
        drop(oldest);
    }
}

int dv_grammar_cache_get(dv_grammar_cache *c, dv_grammar **out, const char *key, size_t n)
{
    *out = NULL;
    pthread_mutex_lock(&c->lock);
    trim(c);
    entry *e = find(c, key, n, hash_key(key, n));
    if (e != NULL) {
        e->used = ++c->clock;
        *out = dv_grammar_ref(e->g);
    }
    pthread_mutex_unlock(&c->lock);
    return 0;
}

int dv_grammar_cache_put(dv_grammar_cache *c, const char *key, size_t n, dv_grammar *g, dv_err *err)
{
    char *copy = dv_strndup(DV_MEM_GRAMMAR, key, n);
    entry new = {.key = copy, .n = n, .hash = hash_key(key, n)}, old = {0};
    if (copy == NULL)
        return dv_fail(err, DV_ENOMEM, "out of memory for a cache of grammars");
    pthread_mutex_lock(&c->lock);
    entry *e = find(c, key, n, new.hash);
    for (size_t i = 0; e == NULL && i < c->n; i++)
        if (c->entry[i].g == NULL)
            e = &c->entry[i];
    if (e == NULL && c->n > 0) {
        e = &c->entry[0];
        for (size_t i = 1; i < c->n; i++)
            if (c->entry[i].used < e->used)
                e = &c->entry[i];
    }
    if (e != NULL) {
        old = *e;
        new.used = ++c->clock;
        new.g = dv_grammar_ref(g);
        *e = new;
        copy = NULL;
    }
    pthread_mutex_unlock(&c->lock);
    drop(&old);
    dv_free(copy);
    return 0;
}

/* The grammar of a key, or else the one that is made; the key is freed. */
static int get_or_keep(dv_grammar_cache *c, dv_grammar **out, dv_buf *key,
                       int (*make)(dv_grammar_cache *, dv_grammar **, const void *, dv_err *), const void *arg,
                       dv_err *err)
{
    int rc = key->code != 0 ? dv_fail(err, key->code, "out of memory for a cache of grammars") : 0;
    *out = NULL;
    if (rc == 0)
        rc = dv_grammar_cache_get(c, out, dv_buf_str(key), key->len);
    if (rc == 0 && *out == NULL) {
        rc = make(c, out, arg, err);
        /* A grammar that cannot be kept is still one. */
        if (rc == 0)
            dv_grammar_cache_put(c, dv_buf_str(key), key->len, *out, NULL);
    }
    dv_buf_fini(key);
    return rc;
}

static int make_gbnf(dv_grammar_cache *c, dv_grammar **out, const void *arg, dv_err *err)
{
    const dv_str *text = arg;
    return dv_grammar_from_gbnf(out, text->p, text->n, &c->limits, err);
}

int dv_grammar_cache_gbnf(dv_grammar_cache *c, dv_grammar **out, const char *text, size_t len, dv_err *err)
{
    dv_buf key;
    dv_buf_init(&key, 0);
    dv_buf_addc(&key, 'g');
    dv_buf_add(&key, text, len);
    return get_or_keep(c, out, &key, make_gbnf, &(dv_str){text, len}, err);
}

typedef struct schema_arg {
    const json_t *schema;
    const dv_grammar_schema_options *options;
} schema_arg;

static int make_schema(dv_grammar_cache *c, dv_grammar **out, const void *arg, dv_err *err)
{
    const schema_arg *a = arg;
    return dv_grammar_from_schema(out, a->schema, a->options, &c->limits, err);
}

int dv_grammar_cache_schema(dv_grammar_cache *c, dv_grammar **out, const json_t *schema,
                            const dv_grammar_schema_options *options, dv_err *err)
{
    dv_buf key;
    *out = NULL;
    if (schema == NULL)
        return dv_fail(err, DV_EINVAL, "there is no schema");
    dv_buf_init(&key, 0);
    dv_buf_printf(&key, "s%d", options != NULL ? (int)options->space : 0);
    dv_json_dump(&key, schema, JSON_COMPACT);
    return get_or_keep(c, out, &key, make_schema, &(schema_arg){schema, options}, err);
}
