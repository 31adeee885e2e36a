/* SPDX-License-Identifier: MIT */
/* A connection as a state machine: bytes, deadlines and ends come in by calls, bytes go out through dv__io_ops. It knows no
 * socket and no event loop, so that TLS is another set of operations, and a test feeds it from memory. I/O thread only.
 *
 * Every function may end the connection. It has then called ops->close as its last call on the transport, and the connection
 * must not be used again: those that can tell return false or DV__CONN_CLOSED, the transport itself knows by its close. */
#ifndef DV_HTTP_CONN_H
#define DV_HTTP_CONN_H

#include "http/core.h"
#include "http/peer.h"

#define DV__CONN_CLOSED SIZE_MAX

typedef struct dv__io_ops {
    int (*write)(void *io, const void *p, size_t n); /**< queue all of it, copied; 0 or DV_ENOMEM */
    size_t (*pending)(void *io);                     /**< bytes queued that the socket has not taken */
    uint64_t (*taken)(void *io);             /**< bytes that the socket took since it was opened, with what TLS adds */
    void (*deadline)(void *io, unsigned ms); /**< call dv__conn_timeout once after ms; replaces the one before */
    void (*finish)(void *io);                /**< everything is written: tell the client that no more comes (FIN) */
    void (*resume)(void *io);                /**< offer the input again that dv__conn_input has left */
    void (*close)(void *io,
                  bool reset); /**< drop what is queued, close and free io; reset: the client must notice (RST) */
} dv__io_ops;

/** A new connection in k's list; NULL when out of memory (io is then the caller's). Sets its first deadline. */
dv__conn *dv__conn_new(dv__core *k, const dv__io_ops *ops, void *io, const dv__peer *peer);
/**
 * Bytes from the client.
 * @return  how many were used; the rest waits for ops->resume. DV__CONN_CLOSED: the connection is gone
 */
size_t dv__conn_input(dv__conn *c, const char *p, size_t n);
/** So many bytes wait in the transport after dv__conn_input; false if that was too much and the connection is gone. */
bool dv__conn_waiting(dv__conn *c, size_t n);
/** The transport's queue got shorter, or empty. */
void dv__conn_output(dv__conn *c);
/** The client has closed its side. */
void dv__conn_eof(dv__conn *c);
/** The transport failed. */
void dv__conn_error(dv__conn *c);
void dv__conn_timeout(dv__conn *c);
/** One line about the connection, for those who look for a fault. */
void dv__conn_note(const dv__conn *c, const char *text);
/** Look at the reply of the present request. */
void dv__conn_pump(dv__conn *c);

#endif
