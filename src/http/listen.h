/* SPDX-License-Identifier: MIT */
/* Listening sockets. I/O thread, or before it runs. */
#ifndef DV_HTTP_LISTEN_H
#define DV_HTTP_LISTEN_H

#include "http/core.h"

#include <event2/event.h>

typedef struct dv__listener dv__listener;

/** The listeners of a server. Zero-initialise, then set base and core. */
typedef struct dv__listeners {
    struct event_base *base;
    dv__core *core;
    dv__listener *list;
} dv__listeners;

/** dv_http_listen */
int dv__listen(dv__listeners *l, const dv_http_where *w, uint16_t *bound, dv_err *err);
/** Close them all and remove their socket files. */
void dv__listen_stop(dv__listeners *l);

#endif
