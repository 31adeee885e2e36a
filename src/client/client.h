/* SPDX-License-Identifier: MIT */
/* HTTP requests to other servers, on the event loop of our own: libcurl's multi interface. Redirects are never followed,
 * credentials go where the caller says and nowhere else, replies are bounded by what their reader takes.
 *
 * Connections are kept for the next request (64 idle ones, 55 s). A request on a kept connection that the other side closes
 * without a byte is sent again on a new one.
 *
 * Threads: the I/O thread only. Callbacks run in the loop, never from within a call of a function below; they may call all of
 * them but dv_client_close. */
#ifndef DV_CLIENT_CLIENT_H
#define DV_CLIENT_CLIENT_H

#include "drover/error.h"
#include "http/server.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct dv_client dv_client;
typedef struct dv_fetch dv_fetch; /* one exchange */

typedef struct dv_fetch_field {
    const char *name, *value;
} dv_fetch_field;

/** Where to: copied by dv_fetch_start. */
typedef struct dv_fetch_target {
    /** "http://127.0.0.1:8080", "https://api.example/v1": the request's path is appended. No slash at its end, no name and
     *  password. */
    const char *base;
    const char *socket;  /**< path of a unix socket to connect to instead of base's host; NULL: none */
    const char *ca_file; /**< PEM file of the authorities to trust for https; NULL: the system's */
    const char *bearer;  /**< sent as Authorization: Bearer; NULL: none. Wiped when it is not needed any more */
    /** Refuse addresses that are not public (loopback, private, link-local, mapped...), checked on the address that is dialled. */
    bool public_only;
} dv_fetch_target;

/** How an exchange ended. */
typedef enum dv_fetch_end {
    DV_FETCH_OK,          /**< the reply is complete */
    DV_FETCH_UNREACHABLE, /**< no connection (in time): nothing of the request was sent */
    DV_FETCH_TLS,         /**< the other side's certificate is not right */
    DV_FETCH_REFUSED,     /**< an address that public_only forbids, or a URL that makes no sense */
    DV_FETCH_BROKEN, /**< the connection ended, or the reply is no HTTP: dv_fetch_status is 0 if it was before the head */
    DV_FETCH_TIMEOUT,
    DV_FETCH_ABORTED, /**< a callback said so */
    DV_FETCH_NOMEM
} dv_fetch_end;

typedef struct dv_fetch_request {
    dv_http_verb verb;            /**< GET, HEAD, POST, PUT, PATCH, DELETE */
    const char *path;             /**< "/v1/chat/completions?x=1"; copied */
    const dv_fetch_field *fields; /**< [n_fields] copied; no Host, Content-Length, Connection */
    size_t n_fields;
    const char *body; /**< [n_body] borrowed until on_end; NULL: none */
    size_t n_body;
    unsigned connect_ms; /**< name, connection, TLS; 0: 10 s */
    unsigned head_ms;    /**< from the start to the reply's head; 0: no limit */
    unsigned silence_ms; /**< without a byte of the body; not counted while paused; 0: no limit */
    void *arg;           /**< first argument of all callbacks */
    /** The head is complete. dv_fetch_status, dv_fetch_header can be asked from here on. May be NULL. */
    void (*on_head)(void *arg, dv_fetch *f);
    /** A piece of the body, borrowed. Returns how much was taken: n, or 0 to pause until dv_fetch_resume (then it comes again,
     *  maybe with more); anything else (SIZE_MAX) ends the exchange with DV_FETCH_ABORTED. While paused, up to 64 KiB wait here
     *  and the rest at the other side. */
    size_t (*on_data)(void *arg, dv_fetch *f, const char *p, size_t n);
    /** The end, after all of the body was taken; exactly once unless dv_fetch_cancel was called. why is a sentence without
     *  secrets, "" for DV_FETCH_OK. f is freed afterwards. */
    void (*on_end)(void *arg, dv_fetch *f, dv_fetch_end end, const char *why);
} dv_fetch_request;

/** @param http  whose loop is used; it outlives the client. Errors: DV_ENOMEM, DV_EIO. */
int dv_client_open(dv_client **out, dv_http_server *http, dv_err *err);
/** Exchanges that run are cancelled. *c may be NULL, becomes NULL. After dv_http_run has returned. */
void dv_client_close(dv_client **c);

/** Begin. *out is valid until on_end or dv_fetch_cancel. Errors: DV_EINVAL (a field or a target that cannot be sent), DV_ENOMEM. */
int dv_fetch_start(dv_client *c, const dv_fetch_target *to, const dv_fetch_request *rq, dv_fetch **out, dv_err *err);
/** Take up a paused exchange. */
void dv_fetch_resume(dv_fetch *f);
/** The connection is closed, no callback comes any more, f is freed. Also from within callbacks: what they were given is gone
 *  then. *f may be NULL, becomes NULL. */
void dv_fetch_cancel(dv_fetch **f);

/** 0 before the head is there. */
int dv_fetch_status(const dv_fetch *f);
/** A field of the reply's head, in any case; NULL if it is not there. Borrowed until the end. */
const char *dv_fetch_header(const dv_fetch *f, const char *name);
/** Field i of the reply's head; false if there are not so many. */
bool dv_fetch_field_at(const dv_fetch *f, size_t i, const char **name, const char **value);

#endif
