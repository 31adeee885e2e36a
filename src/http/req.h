/* SPDX-License-Identifier: MIT */
/* Inside of a request. */
#ifndef DV_HTTP_REQ_H
#define DV_HTTP_REQ_H

#include "http/core.h"
#include "http/parse.h"
#include "http/peer.h"

typedef enum dv__reply_state {
    DV__REPLY_NONE,
    DV__REPLY_STREAM, /**< begun, not ended */
    DV__REPLY_ENDED,
    DV__REPLY_ABORTED
} dv__reply_state;

struct dv_http_req {
    atomic_uint refs; /**< acquire-release at the drop to zero: the last owner sees what the others wrote */
    dv__core *core;   /**< valid while not gone */
    dv_http_server *server;
    dv__conn *conn; /**< I/O thread only; NULL once the exchange is over */
    bool told;      /**< I/O thread only: on_head was called, so on_end is owed */
    bool deciding;  /**< I/O thread only: on_head runs */

    /* The request: written by the I/O thread before the callbacks, then not changed. */
    dv__head head;
    dv_buf raw; /**< the head's bytes */
    dv__target target;
    char *decoded; /**< owns target's strings */
    dv_buf body;
    size_t counted; /**< bytes of body that count against max_bodies */
    char id[25];
    dv__peer peer;
    uint64_t begun_ns;
    void *user;
    void (*destroy)(void *user);

    /* The reply: what a worker gives and the I/O thread takes. */
    pthread_mutex_t mutex;
    dv__reply_state state;
    bool gone;  /**< no connection any more */
    bool ready; /**< on the ready list */
    bool full;  /**< a write was refused, on_writable is owed */
    bool head_sent;
    bool has_length; /**< length is the body's; else it is a stream */
    bool framed;     /**< the stream is chunked */
    int status;
    uint64_t length;
    uint64_t sent; /**< at the end: bytes that the socket took */
    dv_buf type;   /**< Content-Type, empty: none */
    dv_buf fields; /**< added fields, as they go out */
    dv_buf out;    /**< body bytes as they go out; those before out_at are taken */
    size_t out_at;
    size_t out_counted; /**< bytes of out that count against max_bodies */
    size_t in_flight;   /**< bytes in the transport */
    dv_http_req *next_ready;
};

/** A request with one reference. NULL when out of memory. */
dv_http_req *dv__req_new(dv__core *k);
/** Take the target apart. 0, DV_EFORMAT with *why, DV_ENOMEM. */
int dv__req_target(dv_http_req *r, const char **why);
/** Whether a reply of this status to r has a head only. */
bool dv__req_no_body(const dv_http_req *r, int status);
/** Write the reply's head to b. r's mutex is held. */
int dv__req_head(dv_http_req *r, dv_buf *b, bool close);
/** Append to the body. 0, DV_ELIMIT (max_body), DV_EBUSY (max_bodies), DV_ENOMEM. I/O thread. */
int dv__req_add_body(dv_http_req *r, const char *p, size_t n);
/** Count n bytes against max_bodies; false, and nothing is counted, if that is too much. Any thread. */
bool dv__req_hold(const dv__core *k, size_t n);
/** The opposite. */
void dv__req_release(size_t n);
/** Whether nothing was replied and nobody but the connection holds r, so that nothing ever will be. */
bool dv__req_orphan(dv_http_req *r);

#endif
