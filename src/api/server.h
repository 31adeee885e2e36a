/* SPDX-License-Identifier: MIT */
/* The HTTP APIs of an engine: one model, served to many clients. Who may ask (Host, Origin, key), what a request means, and how its
 * answer is written are here; the protocol is in http, the work in sched.
 *
 * Threads: the I/O thread (dv_api_run) looks at heads, refuses, and hands complete requests to a few workers, which parse, validate,
 * render and tokenize them and submit jobs; the scheduler's thread writes answers as tokens come. docs/api.md is the reference. */
#ifndef DV_API_SERVER_H
#define DV_API_SERVER_H

#include "drover/engine.h"
#include "http/server.h"
#include "sched/sched.h"

typedef struct dv_api dv_api;

enum {
    DV_API_PING_MS = 10 * 1000,  /**< silence of a stream after which a comment line is sent */
    DV_API_DRAIN_MS = 30 * 1000, /**< how long running answers may take after dv_api_drain */
    DV_API_WORKERS = 2,
    DV_API_BACKLOG = 256,         /**< requests that wait for a worker */
    DV_API_MAX_INPUTS = 2048,     /**< prompts or texts of one request */
    DV_API_MAX_TOKENS = 1 << 22,  /**< of a prompt: the largest context that there may be */
    DV_API_MAX_LISTED = 1 << 20,  /**< tokens in a request or reply of /tokenize and /detokenize */
    DV_API_MAX_REPLY = 128 << 20, /**< bytes of a reply that is not streamed */
};

/** Zero-initialise; what is 0 or NULL stands for its default. Strings are borrowed until dv_api_close. */
typedef struct dv_api_options {
    const char *model_path;  /**< for /props and the model's default id */
    const char *alias;       /**< id of the model; NULL: the file's name */
    const char *host;        /**< the name or address that is listened on: Host may say it; NULL: loopback only */
    const char *const *keys; /**< [n_keys] API keys; none: nobody is asked for one */
    size_t n_keys;
    const char *const *hosts; /**< [n_hosts] further names that Host may have, without port */
    size_t n_hosts;
    const char *const
        *origins; /**< [n_origins] origins whose pages may call, "https://app.example"; "*": all of them */
    size_t n_origins;
    const char *chat_template;  /**< used instead of the file's; "chatml" stands for that format; NULL: the file's */
    const char *slot_save_path; /**< folder of slot files; NULL: slots cannot be saved or restored */
    dv_sampling sampling;       /**< defaults of requests; its seed counts only with fixed_seed */
    bool fixed_seed;            /**< a request without seed gets sampling.seed, not a random one */
    uint32_t max_tokens;        /**< of an answer whose request does not say; 0: until the context is full */
    bool metrics;               /**< GET /metrics */
    bool slots;                 /**< GET /slots */
    unsigned ping_ms, drain_ms, workers;
    /** Levels as DV_HTTP_LOG_*; text is one line, safe to print. Any thread. NULL: none. */
    void (*log)(void *arg, int level, const char *text);
    void *log_arg;
} dv_api_options;

/**
 * A server that has no model yet: until it is given one, every request that may come in gets a 503 that says so.
 * Errors: DV_EINVAL (an option, named), DV_ENOMEM, DV_EIO.
 */
int dv_api_open(dv_api **out, const dv_api_options *o, dv_err *err);
/**
 * The model is there: from now on requests are served. Once; any thread, also while dv_api_run runs.
 * @param engine  its immutable parts are used from any thread: tokenizer, file, info; borrowed until dv_api_close
 * @param sched   of that engine; borrowed until dv_api_close
 * Errors: DV_ENOMEM, those of a template in the options. One of the file's that is broken is no error: chats are refused with its own.
 */
int dv_api_serve(dv_api *api, dv_engine *engine, dv_sched *sched, dv_err *err);
/** dv_api_run returns at once, whatever is being answered. Any thread. */
void dv_api_stop(dv_api *api);
/** After dv_api_run has returned and the scheduler is closed. *api may be NULL, becomes NULL. */
void dv_api_close(dv_api **api);

/** As dv_http_listen. */
int dv_api_listen_tcp(dv_api *api, const char *host, uint16_t port, uint16_t *bound, dv_err *err);
int dv_api_listen_unix(dv_api *api, const char *path, unsigned mode, dv_err *err);

/** Serve until everything is drained after dv_api_drain. SIGTERM and SIGINT drain; the second of them stops at once. */
int dv_api_run(dv_api *api);
/** New requests get 503 from now on; dv_api_run returns when the running ones are answered, or after the limit. I/O thread. */
void dv_api_drain(dv_api *api);

#endif
