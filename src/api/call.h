/* SPDX-License-Identifier: MIT */
/* The insides of the API server that its routes share. A route is a row in a table (route.h) with a handler; the handler gets a
 * dv__call, the state of one exchange, reads its body with params.h, and either replies or starts jobs with run.h.
 *
 * A call lives as long as its HTTP request. Its lock guards what more than one thread touches once jobs run: everything below `lock`. */
#ifndef DV_API_CALL_H
#define DV_API_CALL_H

#include "api/server.h"
#include "base/arena.h"
#include "chat/format.h"
#include "engine/session.h"
#include "web/guard.h"
#include "web/problem.h"

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

typedef struct dv__call dv__call;
typedef struct dv__route dv__route;
typedef struct dv__run dv__run;
typedef struct dv_work dv_work;

/** Counted for /metrics. Relaxed atomics: numbers for people, they order nothing. */
typedef struct dv__counters {
    atomic_ullong status[6]; /**< replies by the first digit of their status; [0]: clients that left before */
    atomic_ullong refused;   /**< of them those refused because of load or draining */
} dv__counters;

struct dv_api {
    dv_api_options o;
    atomic_bool ready; /**< the model is there, and with it: */
    dv_engine *engine;
    dv_sched *sched;
    dv_http_server *http;
    dv_work *work;
    dv_chatfmt *fmt; /**< NULL: chat_err says why */
    dv_err chat_err;
    dv_grammar_cache *grammars;
    dv_grammar_limits grammar_limits;
    char *model; /**< id; owned */
    time_t started;
    dv__counters count;
    atomic_bool draining;
    uint64_t drain_end_ns; /**< I/O thread */
    pthread_mutex_t lock;
    dv__call *active; /**< calls with jobs, for pings; guarded by lock */
};

struct dv__call {
    dv_api *api;
    dv_http_req *req; /**< the call is its user pointer */
    const dv__route *route;
    const char *tail;  /**< what the path has in place of a route's '*'; "" */
    json_t *body;      /**< parsed; NULL for routes without one */
    dv_arena arena;    /**< what lives as long as the call; the handler, then the sink */
    char param[96];    /**< field that an error is about; "" */
    uint32_t n_prompt; /**< of the prompt that an error of size is about */
    void *state;       /**< of the route, dropped with `fini` at the call's end */
    void (*fini)(void *state);

    pthread_mutex_t lock;
    dv__run *run;          /**< jobs; NULL before dv__run_start */
    dv_buf out;            /**< what is to be sent: of a stream what was not taken yet, else the body */
    bool stream;           /**< the answer is an event stream */
    bool begun;            /**< its head is out */
    bool blocked;          /**< the connection takes no more for now */
    bool ended, gone;      /**< nothing will be added to out; the client is not there */
    uint64_t written_ns;   /**< when something was sent last */
    dv__call *prev, *next; /**< list of dv_api.active */
};

/** A new call for a request, which owns it. NULL: out of memory. */
dv__call *dv__call_new(dv_api *api, dv_http_req *req, const dv__route *route, const char *tail);

/** Parse the body into c->body: a JSON object. Errors: DV_EFORMAT, DV_ELIMIT, DV_ENOMEM. */
int dv__call_parse(dv__call *c, dv_err *err);

/** Reply with JSON: the content of b, which may have failed (then 500 is sent). */
int dv__call_json(dv__call *c, int status, dv_buf *b);
/** What a code of it means, for people. */
const char *dv__call_text(int code);

/** What the client is told of a failure. Points into c and err. */
dv_problem dv__call_problem(const dv__call *c, const dv_err *err);
/** Reply with the error in the shape of the route's API. Does nothing useful once a reply was begun. */
void dv__call_fail(dv__call *c, const dv_err *err);

/** The name of a model that a reply shows: what the request says, or the server's own. */
const char *dv__call_model(const dv__call *c);

/** What Host and Origin may be. Points into o. */
dv_guard dv__api_guard(const dv_api_options *o);
/** A log line: DV_HTTP_LOG_*. What comes from outside is escaped. */
void dv__api_log(const dv_api *api, int level, const char *fmt, ...) DV_PRINTF(3, 4);

#endif
