/* SPDX-License-Identifier: MIT */
/* Inside of a connection, for conn.c (life and deadlines), conn_in.c (requests) and conn_out.c (replies) only. */
#ifndef DV_HTTP_CONN_STATE_H
#define DV_HTTP_CONN_STATE_H

#include "http/chunked.h"
#include "http/conn.h"
#include "http/req.h"

typedef enum dv__conn_state {
    DV__CONN_IDLE,   /* no byte of a request is there */
    DV__CONN_HEAD,   /* part of a head */
    DV__CONN_BODY,   /* on_head was called, the body is on its way */
    DV__CONN_REPLY,  /* everything is there, or as much as ever will be; the application's turn */
    DV__CONN_CLOSING /* the last reply is complete; what comes is discarded */
} dv__conn_state;

struct dv__conn {
    dv__core *core;
    const dv__io_ops *ops;
    void *io;
    dv__conn *prev, *next;
    dv_http_req *req; /* present exchange; NULL in DV__CONN_IDLE and DV__CONN_CLOSING */
    dv__conn_state state;
    unsigned depth; /* calls on the stack that use c after they may have closed it */
    bool closed;    /* transport gone; freed when depth is 0 */
    bool in_input;  /* dv__conn_input runs and goes on by itself */
    bool last;      /* no request after this one */
    bool linger;    /* unread input: close only after the client did, or it would lose the reply */
    bool finished;  /* FIN is sent */
    bool eof;       /* the client's FIN came */
    dv__chunked chunked;
    uint64_t body_left;
    uint64_t phase_end, stall_end; /* deadlines in ns, 0: none */
    uint64_t state_since;          /* ns */
    uint64_t timer_at;             /* when the transport's timer fires, 0: not set */
    uint64_t written;              /* bytes given to the transport */
    uint64_t stall_mark;           /* what the socket had taken when stall_end was set */
    uint64_t exchange_mark;        /* written at the beginning of the present reply */
    dv__peer peer;
    dv__peer_link same_peer;
};

/** Around everything that uses c after it may have been closed; leave tells whether it is open still, and frees it if not. */
void dv__conn_enter(dv__conn *c);
bool dv__conn_leave(dv__conn *c);

/** Enter a state, for at most ms (0: any time). */
void dv__conn_set_state(dv__conn *c, dv__conn_state state, unsigned ms);
/** See to it that the transport's timer fires at the next deadline. */
void dv__conn_set_timer(dv__conn *c);
/** Now and ms later, in ns. */
uint64_t dv__conn_after_ms(unsigned ms);

/** The exchange is over: the application's last callbacks, and its reference dropped. */
void dv__conn_end_exchange(dv__conn *c);
/** Take c from the list and close its transport. May be called twice. */
void dv__conn_close(dv__conn *c, bool reset);
/** Close with a reset, and log why. */
void dv__conn_cut(dv__conn *c, const char *why);
/** No request any more: close once everything is out. */
void dv__conn_finish(dv__conn *c);
/** In DV__CONN_CLOSING: close, or linger, if everything is out. */
void dv__conn_try_finish(dv__conn *c);

/** Bytes for the client; starts the clock for taking them. 0 or DV_ENOMEM. */
int dv__conn_put(dv__conn *c, const char *p, size_t n);
/** dv__conn_pump for callers that have entered. */
void dv__conn_serve(dv__conn *c);
/** The server's own reply to what it does not take. The rest of the input has no meaning any more. */
void dv__conn_refuse(dv__conn *c, int status, const char *why);

#endif
