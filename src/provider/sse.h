/* SPDX-License-Identifier: MIT */
/* Reading a stream of server-sent events as it comes, in pieces of any size (HTML Living Standard, 9.2.6). Only the data of events is
 * kept; names, ids and comments are read over, since the APIs spoken here say everything in data. */
#ifndef DV_PROVIDER_SSE_H
#define DV_PROVIDER_SSE_H

#include "base/buf.h"

#include <stdbool.h>

enum { DV__SSE_MAX = 1 << 20 }; /**< bytes of an event's data, and of a line */

typedef struct dv__sse {
    dv_buf line, data;
    bool any;      /* the event has data, which may be empty */
    bool after_cr; /* a line feed now belongs to the line end before */
    bool started;  /* the byte order mark that may come first was looked for */
} dv__sse;

void dv__sse_init(dv__sse *s);
void dv__sse_fini(dv__sse *s);
/** A new stream. */
void dv__sse_reset(dv__sse *s);
/**
 * The next n bytes.
 * @param on_event  data of an event, terminated, borrowed; non-zero stops, and is returned
 * Errors: DV_ELIMIT, DV_ENOMEM; the stream is of no use then.
 */
int dv__sse_feed(dv__sse *s, const char *p, size_t n, int (*on_event)(void *arg, const char *data, size_t len),
                 void *arg);

#endif
