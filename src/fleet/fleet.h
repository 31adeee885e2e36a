/* SPDX-License-Identifier: MIT */
/* The models of the service and what runs them. A model is a name with what it stands for: a file, or a URL. An instance runs a model in a
 * profile: a native engine process, a supervised llama-server, or a remote server; all three are started, watched, used and stopped by the same
 * state machine:
 *
 *     stopped -> starting -> ready -> draining -> stopped
 *                   |          | (died, does not answer)
 *                   +----> waiting (back-off) -> starting ...        after too many crashes: broken, until the cool-down is over
 *
 * Files are never opened here: what a file holds is asked of a confined child process (`drover engine --describe`).
 * Residency: instances are loaded when a request needs them and leave when they were idle for long, or when another one needs their bytes: then the
 * least recently used idle ones go, as few as will do, never a busy or pinned one. Under load, busy ones take turns: their answers are finished
 * first. docs/models.md.
 *
 * Threads: the I/O thread only; callbacks run in the loop, never from within a call of a function below. */
#ifndef DV_FLEET_FLEET_H
#define DV_FLEET_FLEET_H

#include "base/buf.h"
#include "client/client.h"
#include "conf/conf.h"

typedef struct dv_fleet dv_fleet;
typedef struct dv_use dv_use; /* a request's place in an instance */

typedef enum dv_instance_state {
    DV_INSTANCE_STOPPED,
    DV_INSTANCE_STARTING,
    DV_INSTANCE_READY,
    DV_INSTANCE_DRAINING,
    DV_INSTANCE_WAITING, /**< for the next try */
    DV_INSTANCE_BROKEN,
    DV_INSTANCE_STATE_N
} dv_instance_state;

/** "stopped", "starting"...; static. */
const char *dv_instance_state_name(dv_instance_state s);

typedef struct dv_fleet_options {
    const dv_conf *conf; /**< borrowed until dv_fleet_configure gives another or the fleet is closed */
    dv_http_server *http;
    dv_client *client;
    const char *program; /**< drover itself; NULL: /proc/self/exe */
    const char *run_dir; /**< absolute, 0700, of this process alone: sockets of engines are made in it */
    void (*log)(void *arg, int level, const char *text); /**< DV_HTTP_LOG_*; one line, escaped */
    /** Something worth an audit row or an event happened: "model.load" (detail: the profile), "model.unload", "model.crash" (why), "model.switch" (the old
     * default). Texts are borrowed. May be NULL. It may ask what there is, and use, order and release nothing. */
    void (*event)(void *arg, const char *what, const char *model, int code, const char *detail);
    void *arg;
} dv_fleet_options;

/** Models that are to be preloaded begin to load. Errors: DV_EINVAL, DV_ENOMEM, DV_EIO. */
int dv_fleet_open(dv_fleet **out, const dv_fleet_options *o, dv_err *err);
/** Stop everything: SIGTERM, and SIGKILL after supervision.stop_ms. done is called when no child is left. New uses are refused with DV_ECANCELED. */
void dv_fleet_drain(dv_fleet *f, void (*done)(void *arg), void *arg);
/** Children that are left are killed. *f may be NULL. After dv_http_run has returned, before the client is closed, when all uses are released. */
void dv_fleet_close(dv_fleet **f);
/** Another configuration is in effect: models come, go and change; an instance that runs otherwise than it should is replaced when it is idle.
 * Nothing of the old configuration is used any more when this returns. */
void dv_fleet_configure(dv_fleet *f, const dv_conf *conf);

/* ---- uses ---- */

typedef struct dv_use_ask {
    const char *model; /**< name, alias or file name; NULL or "": the default model */
    int profile;       /**< index in conf->profiles; -1: the model's own */
    uint64_t identity; /**< whose share it counts for */
    bool
        job; /**< takes one of the instance's places and waits for it; else (tokenize, props) it only needs an instance that is ready */
    bool no_load;  /**< do not start an instance: DV_ENOENT if none is ready (slots, metrics) */
    uint64_t cost; /**< estimated tokens, for fair shares; 0: 1 */
    void *arg;
    /** The instance is ready and has a place for this use (code 0), or will not be: DV_ENOENT, DV_EBUSY (no place in time; it failed too often and
     * is left alone), DV_ECANCELED (shutting down), DV_EIO (it does not start; err says why), DV_ELIMIT (it does not fit into memory; numbers in err). Exactly once, unless released before. */
    void (*ready)(void *arg, int code, const dv_err *err);
} dv_use_ask;

/** How a use ended, as far as the instance's health goes. */
typedef enum dv_use_result {
    DV_USE_OK,    /**< answered, or the client left */
    DV_USE_LOST,  /**< no connection, or it broke: the instance is looked at before anybody else gets it */
    DV_USE_SILENT /**< it did not answer in time */
} dv_use_result;

/**
 * Ask for a place. *out is valid until dv_use_release, which must follow whatever `ready` said.
 * Errors (then there is no use): DV_ENOENT (no such model), DV_EBUSY (the queue is full; retry after 1 s), DV_ECANCELED (shutting down), DV_ENOMEM.
 */
int dv_use_begin(dv_fleet *f, const dv_use_ask *ask, dv_use **out, dv_err *err);
/** Where to send the request; valid while the use is ready and not released. */
const dv_fetch_target *dv_use_target(const dv_use *u);
/** The configured entry; its name is what a reply and the audit log show. NULL before it is ready. Borrowed from the fleet until release. */
const char *dv_use_model(const dv_use *u);
int dv_use_backend(const dv_use *u); /**< dv_conf_backend, never AUTO */
/** What a remote calls the model, always said for one; NULL: the name in the request need not be changed. */
const char *dv_use_remote_name(const dv_use *u);
/** Time from dv_use_begin to ready, ms, of which loading the model took `load_ms`. */
uint64_t dv_use_waited_ms(const dv_use *u, uint64_t *load_ms);
/** Give it back; *u may be NULL, becomes NULL. From any callback. */
void dv_use_release(dv_use **u, dv_use_result result);

/* ---- what there is ---- */

typedef struct dv_model_info {
    const char *name;
    dv_conf_list aliases;
    const char *path, *url; /**< as dv_conf_model */
    int backend;            /**< resolved; AUTO while the file was not described yet */
    int profile;
    bool pin, is_default, from_folder;
    dv_instance_state state; /**< of its instance in its own profile; the most alive one if there are several */
    uint64_t file_bytes, modified_s;
    /* Of the description; "" and 0 while there is none. */
    const char *architecture, *quantization, *problem; /**< problem: why it cannot be used; "" */
    uint64_t parameters, context_train, embedding;
    uint64_t estimate_bytes; /**< what an instance will take */
} dv_model_info;

/** Call fn for each model by name; false stops. Strings are borrowed for the call. */
void dv_fleet_models(dv_fleet *f, bool (*fn)(void *arg, const dv_model_info *m), void *arg);
/** One of them by name, alias or "" (the default); false: none. */
bool dv_fleet_model(dv_fleet *f, const char *name, bool (*fn)(void *arg, const dv_model_info *m), void *arg);
/** The name that a request's model stands for: NULL if there is none. Borrowed until the loop goes on. */
const char *dv_fleet_resolve(dv_fleet *f, const char *name);

typedef struct dv_instance_info {
    const char *model;
    int profile, backend;
    dv_instance_state state;
    int pid; /**< 0: none */
    unsigned busy, waiting, places;
    uint64_t estimate_bytes, rss_bytes, anon_bytes;         /**< measured ones 0 for remotes */
    uint64_t loaded_wall_ms, used_wall_ms, expires_wall_ms; /**< expires 0: never */
    uint64_t load_ms, starts, crashes;
    const char *last_error;
    uint64_t health_us; /**< latency of the last health check; 0: none yet */
} dv_instance_info;

void dv_fleet_instances(dv_fleet *f, bool (*fn)(void *arg, const dv_instance_info *i), void *arg);

typedef struct dv_fleet_stats {
    uint64_t budget_bytes, used_bytes;
    unsigned models, ready, starting, broken;
} dv_fleet_stats;
void dv_fleet_stats_get(dv_fleet *f, dv_fleet_stats *out);

/* ---- orders ---- */

/** Load a model (pin it until it is unloaded, if `pin`), like a use whose place is given back at once. done: as dv_use_ask.ready. */
int dv_fleet_load(dv_fleet *f, const char *model, int profile, bool pin,
                  void (*done)(void *arg, int code, const dv_err *err), void *arg, dv_err *err);
/** Unload all instances of a model when their answers are finished; at once if `force`: those get an error. Errors: DV_ENOENT. */
int dv_fleet_unload(dv_fleet *f, const char *model, bool force, void (*done)(void *arg, int code, const dv_err *err),
                    void *arg, dv_err *err);
/** Make model the default one, loaded; what was the default is unloaded when it is idle, unless it is pinned. */
int dv_fleet_switch(dv_fleet *f, const char *model, int profile, void (*done)(void *arg, int code, const dv_err *err),
                    void *arg, dv_err *err);
/** Look at the models folder now. */
void dv_fleet_rescan(dv_fleet *f);

#endif
