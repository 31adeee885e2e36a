/* SPDX-License-Identifier: MIT */
/* The address of a name, looked up by a thread of its own: the system's resolver blocks. */
#ifndef DV_LIMIT_LOOKUP_H
#define DV_LIMIT_LOOKUP_H

struct event_base;
typedef struct dv__lookup dv__lookup;

/** done gets the first address as text, NULL if there is none, once, in the loop; l is gone then. NULL: no memory, thread or
 *  descriptor. */
dv__lookup *dv__lookup_start(struct event_base *base, const char *host, void (*done)(void *arg, const char *ip),
                             void *arg);
/** done is not called. Does not wait. l may be NULL. */
void dv__lookup_cancel(dv__lookup *l);

#endif
