/* SPDX-License-Identifier: MIT */
/* The insides of the service that its routes share: the server, and the state of one exchange on its way through the steps.
 *
 * An exchange lives as long as its HTTP request. It belongs to the I/O thread, but for the time between dv__check_start and its return, when a worker
 * has it (`working`); what frees anything of it waits until then. */
#ifndef DV_SERVE_EXCHANGE_H
#define DV_SERVE_EXCHANGE_H

#include "base/work.h"
#include "client/client.h"
#include "conf/net.h"
#include "fleet/fleet.h"
#include "limit/rate.h"
#include "limit/share.h"
#include "serve/row.h"
#include "serve/serve.h"
#include "store/audit.h"
#include "store/key.h"
#include "store/session.h"
#include "web/guard.h"

#include <stdatomic.h>
#include <time.h>

typedef struct dv__config dv__config;
typedef struct dv__relay dv__relay;

/** A configuration in effect, and what is made of it once. Counted: an exchange keeps the one it began with. */
struct dv__config {
    atomic_uint refs;
    dv_conf *conf;
    dv_guard guard;
    const char **listens; /**< of guard */
    dv_net *proxies;      /**< [n_proxies] trusted ones */
    size_t n_proxies;
    bool keyless; /**< loopback needs no key */
};

/** Relaxed atomics: numbers for people, they order nothing. */
typedef struct dv__totals {
    atomic_ullong status[6]; /**< replies by the first digit of their status; [0]: clients that left before */
    atomic_ullong limited, retried, tokens_in, tokens_out;
    atomic_ullong audit_refused;
} dv__totals;

enum { DV__WORKERS = 4, DV__BACKLOG = 1024, DV__REPLY_BUFFER = 256 << 10, DV__IDENTITY = 96, DV__MODEL_NAME = 256 };

/** A listener and its certificate. */
struct dv__place {
    dv_conf_api api;
    dv_http_tls *tls; /**< NULL: none */
    uint16_t port;
};

struct dv_serve {
    dv_serve_options o;
    dv__config *cfg;
    dv_http_server *http;
    dv_client *client;
    dv_fleet *fleet;
    dv_rate *rate;
    dv_share *share;
    dv_work *work;
    struct dv__place *listeners; /**< [n_listeners] by their tag */
    size_t n_listeners;
    struct dv__log *log;
    dv_buf document; /**< of the API */
    dv__totals totals;
    uint64_t started_ms; /**< wall clock */
    unsigned n_active;   /**< exchanges between on_head and on_end that are not public */
    unsigned n_working;  /**< of them those that workers have */
    bool draining, fleet_draining, fleet_gone, stopping;
    unsigned ticks;
    uint64_t drain_end_ns;
    bool audit_blocked; /**< the audit log takes no more: what must be recorded is refused */
};

typedef enum dv__who_kind { DV__WHO_NONE, DV__WHO_ADDRESS, DV__WHO_LOCAL, DV__WHO_KEY, DV__WHO_USER } dv__who_kind;

/** Who asks: the first of key, user, address that there is. */
typedef struct dv__who {
    dv__who_kind kind;
    const dv_key *key;  /**< counted; with WHO_KEY */
    dv_session session; /**< with WHO_USER */
    bool admin, may_write;
    char id[DV__IDENTITY]; /**< "key:12", "user:3", "ip:192.0.2.1", "ip:2001:db8::/64", "local": what limits count by */
    char address[64];      /**< of the client, behind trusted proxies too; "" for a unix socket */
    char address_net[64];  /**< the same for counting: of IPv6 its network */
    uint64_t hash;         /**< of id */
} dv__who;

struct dv__xchg {
    dv_serve *s;
    dv_http_req *req; /**< the exchange is its user pointer */
    const dv__row *row;
    dv__params params;
    dv__config *cfg;
    dv__who who;
    dv_style style;

    /* Steps. */
    dv_rate_ask *rate_ask;
    bool counted;   /**< in n_active */
    bool rate_wait; /**< the body has to wait for an answer about the rate */
    bool body_here;
    bool working; /**< a worker has it */
    bool ended;   /**< on_end was called */
    bool held;    /**< a reference to req until then */
    bool headed;  /**< dv__xchg_headers was called */
    dv_http_task task;
    dv_claim claim;
    dv_rate_answer rate; /**< valid if rate_said */
    bool rate_said;
    uint64_t rate_limit, rate_window_ms;

    /* Of the body: by a worker. */
    json_t *body;
    dv_buf rewritten; /**< what is forwarded instead of the body, if it has content */
    dv__check check;
    int code; /**< of the worker's work */
    dv_err err;
    bool handled; /**< a worker ran the handler */

    dv__relay *relay;
    void (*stop)(dv__xchg *x); /**< what waits for something is told that the exchange is over; NULL: nothing does */
    void (*writable)(dv__xchg *x);
    void *waiting; /**< of the handler that set stop */

    /* For the logs. */
    char model[DV__MODEL_NAME];
    uint64_t tokens_in, tokens_out;
    bool limited;       /**< refused by a limit */
    bool failed;        /**< the answer broke off */
    bool of_model;      /**< failures are those of a model and its server, not of the request */
    unsigned retry_s;   /**< what a refusal by a limit tells; 0: as usual */
    char *prompt;       /**< for the audit log, if it keeps them; owned */
    const char *detail; /**< static, or the exchange's own */
};

/* exchange.c */

/** Reply with a failure in the row's style. */
void dv__xchg_fail(dv__xchg *x, const dv_err *err);
void dv__xchg_problem(dv__xchg *x, const dv_problem *p);
/** Reply with JSON: the content of b, which may have failed (then 500 is sent). b is finished. */
int dv__xchg_json(dv__xchg *x, int status, dv_buf *b);
/** What the client is told of a failure: as dv_problem, with err's text. Points into x and err. */
dv_problem dv__xchg_problem_of(const dv__xchg *x, const dv_err *err);
/** Fields of every reply: security, limits. Before the first byte of it. */
void dv__xchg_headers(dv__xchg *x);
/** Parameter i of the path, copied and terminated. Errors: DV_EINVAL (too long). */
int dv__xchg_param(const dv__xchg *x, unsigned i, char *out, size_t cap, dv_err *err);
/** Who acts, for the audit log. Points into x. */
dv_audit_who dv__xchg_who(const dv__xchg *x);
/** Go on with the handler of the row, on the I/O thread; replies if it fails. */
void dv__xchg_handle(dv__xchg *x);

/* identity.c */

/** Find out who asks, from the head. Errors: DV_EAUTH (a key that is none), DV_EACCES, DV_EINVAL (CSRF), and the store's. */
int dv__who_find(dv__xchg *x, dv_err *err);
/** The value of the session's cookie, [*n]; NULL: none. */
const char *dv__who_cookie(const dv__xchg *x, size_t *n);
/** Whether he may use the row. Errors: DV_EAUTH (nobody without a key), DV_EACCES. */
int dv__who_may(dv__xchg *x, dv_err *err);
/** Whether he may use the model. */
bool dv__who_may_model(const dv__xchg *x, const char *model);
void dv__who_fini(dv__who *w);
/** Write the identity of an address: itself, or for IPv6 its network of 64 bits. */
void dv__who_address(const uint8_t addr[16], char id[DV__IDENTITY], char text[64]);

/* admit.c */

/** Count the request against its identity's rate. True: go on, or wait (rate_wait); false: refused and replied. */
bool dv__admit_rate(dv__xchg *x);
/** Take its place among those that run. 0, or DV_ERATE, DV_EBUSY. */
int dv__admit_claim(dv__xchg *x, dv_err *err);
/** See whether its identity has tokens left in this minute, and go on with dv__proxy_go, at once or later. */
void dv__admit_tokens(dv__xchg *x);
/** At its end: tokens that were used count against the budget, and its place is free. */
void dv__admit_end(dv__xchg *x);

/* check.c */

/** Hand the request to a worker, who parses and checks it, and runs the handler if the row says so; then go on. What has no body is checked at once. */
void dv__check_start(dv__xchg *x);

/* proxy.c */

/** Forward the request to the instance of its model, and its reply to the client. */
int dv__proxy(dv__xchg *x, dv_err *err);
/** The tokens are there, or used up. */
void dv__proxy_go(dv__xchg *x, bool tokens);
/** The same for what needs an instance but takes no place in it; dv__proxy_loaded does not load one. */
int dv__proxy_light(dv__xchg *x, dv_err *err);
int dv__proxy_loaded(dv__xchg *x, dv_err *err);

/* config.c */

/** Takes conf. Errors: DV_ENOMEM; then conf is closed. */
int dv__config_new(dv__config **out, dv_conf *conf, dv_err *err);
dv__config *dv__config_ref(dv__config *c);
void dv__config_unref(dv__config *c);

/* record.c */

/** The exchange is over: a line in the log, a row in the audit log, counters. */
void dv__record_end(dv__xchg *x);
/** Record what drover itself did. */
void dv__record_event(dv_serve *s, const char *what, const char *model, int code, const char *detail);

#endif
