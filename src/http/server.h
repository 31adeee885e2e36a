/* SPDX-License-Identifier: MIT */
/* An HTTP/1.1 server: protocol without policy. Routes, authentication, JSON and the meaning of a request are the
 * application's.
 *
 * Threads: the thread that is in dv_http_run, the I/O thread, owns every socket and calls every callback; a callback must not
 * block. What says "any thread" may be called by workers and from inside callbacks alike; everything else belongs to the I/O
 * thread, or to the only thread while dv_http_run has not begun or has returned.
 *
 * Life of an exchange: on_head, on_request (unless a reply was begun before), reply or stream, on_gone (only if the client
 * left or was cut before the reply was ended), on_end (always, last). A request lives on until its last reference is gone,
 * but calls on it then return DV_ECANCELED. */
#ifndef DV_HTTP_SERVER_H
#define DV_HTTP_SERVER_H

#include "base/buf.h"
#include "drover/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct dv_http_server dv_http_server;
typedef struct dv_http_req dv_http_req;
typedef struct dv_http_tls dv_http_tls;
struct event_base;

typedef enum dv_http_verb {
    DV_HTTP_OTHER, /**< any other token; see dv_http_method_text */
    DV_HTTP_GET,
    DV_HTTP_HEAD,
    DV_HTTP_POST,
    DV_HTTP_PUT,
    DV_HTTP_PATCH,
    DV_HTTP_DELETE,
    DV_HTTP_OPTIONS,
    DV_HTTP_VERB_N
} dv_http_verb;

/** Defaults of dv_http_options. Sizes in bytes, times in milliseconds. */
enum {
    DV_HTTP_MAX_HEAD = 32 << 10,
    DV_HTTP_MAX_FIELDS = 64,
    DV_HTTP_MAX_URI = 8 << 10,
    DV_HTTP_MAX_BODY = 32 << 20,
    DV_HTTP_MAX_BODIES = 256 << 20,
    DV_HTTP_SMALL_REPLY = 64 << 10, /* replies up to this size do not count */
    DV_HTTP_MAX_CONNECTIONS = 1024,
    DV_HTTP_MAX_AHEAD = 64 << 10,
    DV_HTTP_STREAM_QUEUE = 256 << 10,
    DV_HTTP_HEAD_MS = 10 * 1000,
    DV_HTTP_BODY_MS = 60 * 1000,
    DV_HTTP_IDLE_MS = 75 * 1000,
    DV_HTTP_WRITE_STALL_MS = 30 * 1000,
    DV_HTTP_LINGER_MS = 2 * 1000,
};

enum { DV_HTTP_LOG_ERROR, DV_HTTP_LOG_WARN, DV_HTTP_LOG_INFO, DV_HTTP_LOG_DEBUG }; /**< levels of dv_http_options.log */

/** Fill with dv_http_options_init, then change what should differ. Callbacks may be NULL except on_request. */
typedef struct dv_http_options {
    size_t max_head;     /**< request line and fields; 1 KiB to 1 MiB; over it: 431 */
    unsigned max_fields; /**< 1 to 128; over it: 431 */
    size_t max_uri;      /**< request target; 16 to max_head; over it: 414 */
    size_t
        max_body; /**< of one request, after chunked decoding; to 1 GiB; over it: 413, before it is read if that is announced */
    size_t
        max_bodies; /**< of all requests of the process that are alive, and of their replies above DV_HTTP_SMALL_REPLY until
                            they are sent; over it: 503 */
    unsigned
        max_connections; /**< 1 to 1000000; over it the longest idle one is closed; if none is idle: 503 (with TLS: closed) */
    unsigned max_per_address; /**< 0: no limit. The same for the connections of one address, or of one /64 of IPv6 */
    size_t max_ahead; /**< what a client may send while its reply is not complete; over it the connection is cut */
    size_t stream_queue_bytes; /**< bound of a stream's queue, see dv_http_stream_write */
    unsigned head_timeout_ms;  /**< from the first byte of a head (or from accept) to its end: 408 */
    unsigned body_timeout_ms;  /**< from the end of the head to the end of the body: 408 */
    unsigned idle_timeout_ms;  /**< between requests: closed */
    unsigned write_stall_ms;   /**< the client takes less than 4 KiB (or what there is) in this time: cut */
    unsigned linger_ms;        /**< how long input is discarded after a reply that leaves some of it unread */
    const char *server_name;   /**< for the Server field; NULL: none; borrowed */

    void *arg; /**< first argument of all callbacks */
    /** The head is complete, no byte of the body is parsed. May reply (401, 404, 403...): then the body is never parsed, and there is no
     * on_request. May call dv_http_limit_body. */
    void (*on_head)(void *arg, dv_http_req *r);
    /** The body is complete. The request is borrowed: a reply that comes later needs a dv_http_ref. If nothing was replied
     *  and no reference taken when this returns, the client gets a 500. */
    void (*on_request)(void *arg, dv_http_req *r);
    /** The client left or was cut before the application had ended its reply. At most once. A client that closes its sending side
     *  only counts as gone, too. */
    void (*on_gone)(void *arg, dv_http_req *r);
    /** A stream's queue is below half of its bound again, after a write had returned DV_EBUSY. */
    void (*on_writable)(void *arg, dv_http_req *r);
    /** The exchange is over; exactly once for each on_head, also if the server itself refused the rest of the request (408,
     * 413, 503) and there was no on_request. For access logs and counters: dv_http_status, dv_http_bytes_sent. */
    void (*on_end)(void *arg, dv_http_req *r);
    /** Body of a reply that the server itself makes (a refused request); default: the reason as text/plain. Sets
     * *content_type. */
    void (*on_refuse)(void *arg, int status, const char *why, dv_buf *body, const char **content_type);
    /** text: one line without its end, safe to print. */
    void (*log)(void *arg, int level, const char *text);
} dv_http_options;

void dv_http_options_init(dv_http_options *o);

/**
 * @param o  copied
 * Errors: DV_EINVAL (an option out of its range, named), DV_ENOMEM, DV_EIO (the system has no event loop for us).
 */
int dv_http_open(dv_http_server **out, const dv_http_options *o, dv_err *err);
/** Cut every connection and run what was posted, after dv_http_run has returned: for callbacks that use what is closed before the server itself is. */
void dv_http_finish(dv_http_server *s);
/** Free the server, after dv_http_run has returned, and run what is posted. Requests may outlive it. *s may be NULL, becomes NULL. */
void dv_http_close(dv_http_server **s);

/** A place to listen: host and port, or path. Strings are borrowed for the call, tls until the server is closed. */
typedef struct dv_http_where {
    const char *host; /**< "127.0.0.1", "::1", "localhost", "0.0.0.0": every address of it. NULL: a unix socket */
    uint16_t port;    /**< 0: any free one */
    const char *path; /**< of a unix socket. NULL: TCP */
    unsigned mode;    /**< permissions of the socket's file, 0600 for instance; never wider in between */
    int tag;          /**< what dv_http_tag tells of its requests */
    dv_http_tls *tls; /**< NULL: plain HTTP. Not for a unix socket */
} dv_http_where;

/**
 * A unix socket's file is removed when the server stops listening. A socket file that is there already is replaced if nobody
 * answers on it; any other file is not touched.
 * @param bound  the port; may be NULL
 * Errors: DV_EINVAL (host unknown, path too long or not a socket), DV_EACCES, DV_EBUSY (address in use, or somebody answers
 * on the socket), DV_ENOMEM, DV_EIO.
 */
int dv_http_listen(dv_http_server *s, const dv_http_where *w, uint16_t *bound, dv_err *err);

/**
 * Serve until dv_http_stop or the end of dv_http_drain. SIGPIPE is ignored from here on. Errors: DV_EIO.
 */
int dv_http_run(dv_http_server *s);
/**
 * Stop listening, close idle connections, say "Connection: close" in every reply that begins from now on, and let dv_http_run
 * return when no connection is left, or after timeout_ms, when the rest is cut. A second call may shorten the time. Any thread;
 * also from a signal handler.
 */
void dv_http_drain(dv_http_server *s, unsigned timeout_ms);
/** dv_http_drain with no time. Any thread; also from a signal handler. */
void dv_http_stop(dv_http_server *s);
/** Whether dv_http_drain or dv_http_stop was called. Any thread. */
bool dv_http_draining(const dv_http_server *s);
/** Connections open now. Any thread. */
unsigned dv_http_connections(const dv_http_server *s);

/** Call fn on the I/O thread (not in a signal handler) when the process gets signo. Errors: DV_ENOMEM, DV_EIO. */
int dv_http_on_signal(dv_http_server *s, int signo, void (*fn)(void *arg, int signo), void *arg);
/** Call fn on the I/O thread every interval_ms (at least 1) until the server is closed. Errors: DV_ENOMEM, DV_EIO. */
int dv_http_timer(dv_http_server *s, unsigned interval_ms, void (*fn)(void *arg), void *arg);

/** The loop, for other sources of events: sockets of clients, children, timers. I/O thread, or before dv_http_run. Their events must be gone before
 * dv_http_close. */
struct event_base *dv_http_base(dv_http_server *s);

/** Something to do on the I/O thread. Part of the caller's own struct; the list's link is the server's until fn is called. */
typedef struct dv_http_task dv_http_task;
struct dv_http_task {
    dv_http_task *next;
    void (*fn)(dv_http_task *t);
};
/**
 * Call t->fn(t) on the I/O thread soon, in the order of posting, and never from inside of this call. From then on t is the
 * caller's again: fn may free it or post it again. It must not be posted a second time before. No allocation, cannot fail. Any
 * thread.
 * What dv_http_run leaves, and what is posted after it, runs in dv_http_close, when all connections are closed and the loop is
 * still there. Nothing may be posted after that.
 */
void dv_http_post(dv_http_server *s, dv_http_task *t);
/** Change max_per_address for connections from now on. I/O thread. */
void dv_http_set_max_per_address(dv_http_server *s, unsigned max);

/* Request. Strings are terminated, owned by the request and do not change after on_head. Any thread that holds a reference. */

dv_http_verb dv_http_method(const dv_http_req *r);
const char *dv_http_method_text(const dv_http_req *r);
/**
 * The target's path, percent-decoded once. Begins with '/' (only "OPTIONS *" gives "*"), is valid UTF-8 without control
 * characters and has no "." or ".." segment. An encoded slash is a slash here: whatever looks at a path looks at this one only.
 */
const char *dv_http_path(const dv_http_req *r);
/** The target as it was sent: printable ASCII. */
const char *dv_http_target(const dv_http_req *r);
/** First query parameter of this name, decoded ('+' is a space); "" if it has no value, NULL if it is not there. */
const char *dv_http_query(const dv_http_req *r, const char *name);
/** Query parameter i, decoded; false if there are not so many. Takes time in proportion to i. */
bool dv_http_param(const dv_http_req *r, size_t i, const char **name, const char **value);
/** First field of this name, in any case; NULL if absent. These come at most once or the request is refused: Host,
 * Content-Length, Content-Type, Content-Encoding, Transfer-Encoding, Authorization, X-Api-Key, Origin, Expect. */
const char *dv_http_header(const dv_http_req *r, const char *name);
/** Field i of the head, false if there are not so many. */
bool dv_http_field(const dv_http_req *r, size_t i, const char **name, const char **value);
/** The body, terminated by a NUL that is not counted; "" before on_request. Never NULL. */
const char *dv_http_body(const dv_http_req *r, size_t *len);
/** Free the body early, after it was parsed. By one thread, after on_request. */
void dv_http_drop_body(dv_http_req *r);
/** "127.0.0.1:5123", "[::1]:5123" or "unix". */
const char *dv_http_peer(const dv_http_req *r);
/** The peer's address, IPv4 as ::ffff:a.b.c.d; false, and addr untouched, for a unix socket. */
bool dv_http_address(const dv_http_req *r, uint8_t addr[16]);
bool dv_http_is_unix(const dv_http_req *r);
bool dv_http_is_tls(const dv_http_req *r);
/** Tag of the listener that the request came to. */
int dv_http_tag(const dv_http_req *r);
/** 24 hexadecimal digits, different for every request. Sent back as x-request-id in every reply, without the application's
 * help. */
const char *dv_http_id(const dv_http_req *r);
/** Monotonic time at which the head was complete, ns. */
uint64_t dv_http_begun_ns(const dv_http_req *r);
dv_http_server *dv_http_server_of(const dv_http_req *r);

/**
 * A tighter bound than max_body for this request's body, in on_head only. The first byte over it is a 413.
 * @param max  at least 1
 * Errors: DV_ELIMIT (the head announces more: 413 when on_head returns, unless it replies itself), DV_EINVAL (not in on_head).
 */
int dv_http_limit_body(dv_http_req *r, size_t max);

/** The application's own pointer. Not locked: set it in on_head or on_request. destroy (may be NULL) runs with the request's
 * end, on whichever thread drops the last reference. */
void *dv_http_user(const dv_http_req *r);
void dv_http_set_user(dv_http_req *r, void *user, void (*destroy)(void *user));

/** Any thread. Returns r. */
dv_http_req *dv_http_ref(dv_http_req *r);
/** Any thread. r may be NULL. */
void dv_http_unref(dv_http_req *r);

/* Replies. Any thread that holds a reference; calls for one request by one thread at a time. Every one returns DV_ECANCELED
 * once the client is gone, and DV_EINVAL for what makes no sense in the reply's state (a second reply, a write without
 * begin...). */

/**
 * Add a field to the reply that has not begun. Date, Server, Connection, Content-Length, Content-Type, Transfer-Encoding and
 * X-Request-Id are the server's own.
 * Errors: DV_EINVAL (a bad name, one of the server's own, control characters in the value), DV_ELIMIT (16 KiB), DV_ENOMEM.
 */
int dv_http_add_header(dv_http_req *r, const char *name, const char *value);
/**
 * The whole reply. HEAD gets the head only; 204 and 304 have no body.
 * @param status        200 to 599
 * @param content_type  NULL: none
 * @param body          copied; may be NULL when len is 0
 * Errors: DV_EBUSY (the server holds too many replies that are not read, see max_bodies), DV_ENOMEM. Nothing is sent then: a smaller
 * reply may be tried.
 */
int dv_http_reply(dv_http_req *r, int status, const char *content_type, const void *body, size_t len);

/** Begin a reply of unknown length: chunked in HTTP/1.1, up to the close in HTTP/1.0. The head goes out at once. */
int dv_http_stream_begin(dv_http_req *r, int status, const char *content_type);
/**
 * Queue data as one piece.
 * @return  0: taken, all of it
 *          DV_EBUSY: the queue is at its bound, nothing was taken; on_writable tells when to go on
 *          DV_ECANCELED: the client is gone
 *          DV_ENOMEM: nothing was taken; the application may abort
 * A piece is taken whole while the queue is below its bound, so the queue holds at most the bound and one piece. For HEAD data
 * is dropped.
 */
int dv_http_stream_write(dv_http_req *r, const void *data, size_t len);
/** The reply is complete. */
int dv_http_stream_end(dv_http_req *r);
/** Bytes that the client's socket has not taken yet, framing included. */
size_t dv_http_stream_pending(dv_http_req *r);
/**
 * Cut the connection so that what was sent does not look complete: for a reply that fails after it was begun. What a chunked
 * stream has queued still goes out, without the end; any other connection is reset. There is no on_gone. Nothing happens once
 * the reply is ended.
 */
void dv_http_abort(dv_http_req *r);
/** Whether the client is gone: for loops that write nothing. Any thread. */
bool dv_http_gone(dv_http_req *r);

/** In on_end: the reply's status, 0 if none was begun. */
int dv_http_status(const dv_http_req *r);
/** In on_end: bytes of the reply that the socket took, head included. */
uint64_t dv_http_bytes_sent(const dv_http_req *r);

/** Whether s can be a field's name: a token of RFC 9110 5.6.2. Any thread. */
bool dv_http_is_token(const char *s, size_t n);
/** Whether s can be a field's value: no control character but a tab. Any thread. */
bool dv_http_is_value(const char *s, size_t n);
/** Reason phrase of a status, "Unknown" for one that has none. Static string. */
const char *dv_http_reason(int status);

#endif
