/* SPDX-License-Identifier: MIT */
/* The routes of the service: every method and path, who may call it, what its request may say and who answers. A family of routes is a file with a
 * table of rows and a line in rows.c; nothing else knows which routes there are, and the OpenAPI document is made of these tables. */
#ifndef DV_SERVE_ROW_H
#define DV_SERVE_ROW_H

#include "conf/conf.h"
#include "serve/schema.h"
#include "web/problem.h"

typedef struct dv__row dv__row;
typedef struct dv__xchg dv__xchg; /* one exchange, exchange.h */

/** Groups of routes that the scopes of keys name. X(id, name, help) */
#define DV__GROUPS(X)                                                \
    X(STATUS, "status", "health")                                    \
    X(MODELS, "models", "lists of models")                           \
    X(CHAT, "chat", "chats, messages, responses")                    \
    X(COMPLETIONS, "completions", "text that goes on from a prompt") \
    X(EMBEDDINGS, "embeddings", "embeddings")                        \
    X(TOKENS, "tokens", "tokenizing, templates, counting")           \
    X(SLOTS, "slots", "slots and properties of an engine")           \
    X(METRICS, "metrics", "Prometheus metrics")                      \
    X(APP, "app", "profiles, sessions and the document of this API") \
    X(ADMIN, "admin", "models loaded and unloaded, keys, users, the audit log")

typedef enum dv__group {
#define DV__GROUP_ID(id, name, help) DV__GROUP_##id,
    DV__GROUPS(DV__GROUP_ID)
#undef DV__GROUP_ID
        DV__GROUP_N
} dv__group;

/** "chat"; static. */
const char *dv__group_name(dv__group g);

/* Flags of a row. */
enum {
    DV__ROW_PUBLIC = 1u << 0, /**< nobody is asked who he is, nothing is counted against a limit */
    DV__ROW_ADMIN = 1u << 1,  /**< for admins: a key with the scope, a user with the role */
    DV__ROW_LOGIN = 1u << 2, /**< may be called without an identity of its own, but is counted by address: logging in */
    DV__ROW_WRITE = 1u << 3, /**< changes something: viewers may not, cookies need their CSRF token */
    DV__ROW_JOB = 1u << 4,   /**< runs a model: takes a place and counts for concurrency and tokens */
    DV__ROW_BARE = 1u << 5,  /**< also served without "/v1" in front */
    DV__ROW_WORK = 1u << 6,  /**< `handle` runs on a worker, since it waits for a disk; else on the I/O thread */
    DV__ROW_ALWAYS = 1u << 7,   /**< served while draining too */
    DV__ROW_OPTIONAL = 1u << 8, /**< the body may be absent */
    DV__ROW_SESSION = 1u << 9,  /**< for users' sessions only: not for keys */
};

struct dv__row {
    dv_http_verb verb; /**< a GET row serves HEAD too */
    const char *path;  /**< "/v1/models/{model}": {name} is a segment, a last one may be {name*}, one or more */
    dv_conf_api api;   /**< whose path it is, where several have the same one */
    dv__group group;
    dv_style style;
    unsigned flags;
    const dv__schema *body;  /**< a JSON object; NULL: there may be no body */
    const dv__schema *query; /**< NULL: there may be no parameters */
    /**
     * Answer, or begin to; whatever goes wrong comes back and is told in the row's style. dv__proxy forwards to the model's instance.
     * Errors: any; then nothing was replied.
     */
    int (*handle)(dv__xchg *x, dv_err *err);
    const char *summary; /**< a line for the OpenAPI document */
    const char *reply;   /**< what a success is: a name among the document's reply schemas, or a sentence */
    const char *type;    /**< content type of a success; NULL: application/json */
};

typedef struct dv__rows {
    const dv__row *row;
    size_t n;
} dv__rows;

/** Row i of all tables; NULL behind the last one. */
const dv__row *dv__row_at(size_t i);

enum { DV__ROW_PARAMS = 3 };

/** What stands for the {names} of a path, in order: slices of the request's path. */
typedef struct dv__params {
    const char *v[DV__ROW_PARAMS];
    size_t len[DV__ROW_PARAMS];
    unsigned n;
} dv__params;

/**
 * Find the row of a request; of several with the same path that of the listener's own API, else the first.
 * @param allow  of at least 96 bytes: the methods of the path, for 405 and OPTIONS; "" if there is no such path
 */
const dv__row *dv__rows_find(dv_http_verb verb, const char *path, dv_conf_api own, char allow[96], dv__params *params);

#endif
