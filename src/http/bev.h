/* SPDX-License-Identifier: MIT */
/* A connection's transport on libevent: a socket, plain or with TLS. */
#ifndef DV_HTTP_BEV_H
#define DV_HTTP_BEV_H

#include "http/core.h"

#include <event2/event.h>

/** Serve an accepted socket. fd is taken, also on failure. tls: NULL for a plain one. 0 or DV_ENOMEM. */
int dv__bev_open(dv__core *k, struct event_base *base, evutil_socket_t fd, const dv__peer *peer, dv_http_tls *tls);

#endif
