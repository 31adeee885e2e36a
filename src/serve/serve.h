/* SPDX-License-Identifier: MIT */
/* The service: `drover serve`. One process that owns the listeners, identities, limits, the store and the engine processes; what a request may do is
 * decided here, what it computes elsewhere.
 *
 * Order of a request, and nothing before its turn: connection limits, Host and Origin, route, identity and scope, rate, size of the body (all
 * of it from the head alone), JSON, schema, model, concurrency and resources, instance. The audit log and the log have the outcome.
 *
 * Threads: the I/O thread (dv_serve_run) has connections, timers, children and other servers; workers parse bodies and wait for the disk.
 * docs/service.md is the reference. */
#ifndef DV_SERVE_SERVE_H
#define DV_SERVE_SERVE_H

#include "conf/conf.h"
#include "store/store.h"

typedef struct dv_serve dv_serve;

typedef struct dv_serve_options {
    dv_conf *conf;       /**< taken */
    dv_store *store;     /**< borrowed until dv_serve_close */
    const char *run_dir; /**< for the engines' sockets: absolute, of this process alone */
    const char *program; /**< drover, for engines; NULL: /proc/self/exe */
    /** Read the configuration again for SIGHUP; as dv_conf_reload. */
    int (*reload)(void *arg, const dv_conf *old, dv_conf **out, dv_conf_changes *changes, dv_err *err);
    void *reload_arg;
} dv_serve_options;

/**
 * Check what must be so before anybody is served, listen, and begin to load models that are to be there.
 * Errors: DV_EINVAL (a listener that others reach without keys and TLS, without `insecure`), those of dv_http_listen_*, of TLS files, DV_ENOMEM, DV_EIO.
 */
int dv_serve_open(dv_serve **out, const dv_serve_options *o, dv_err *err);
/** Serve until SIGTERM or SIGINT has drained everything; the second of them stops at once. SIGHUP reloads. */
int dv_serve_run(dv_serve *s);
/** Engines that are left are killed. *s may be NULL, becomes NULL. */
void dv_serve_close(dv_serve **s);

/** Append a line for each listener, "http://127.0.0.1:8081 (openai)", with the ports that they got. */
int dv_serve_addresses(dv_buf *b, const dv_serve *s);

#endif
