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

int dv__listen_tcp(dv__listeners *l, const char *host, uint16_t port, uint16_t *bound, dv_err *err);
int dv__listen_unix(dv__listeners *l, const char *path, unsigned mode, dv_err *err);
/** Close them all and remove their socket files. */
void dv__listen_stop(dv__listeners *l);

#endif
