/* SPDX-License-Identifier: MIT */
/* hiredis on our event loop. */
#ifndef DV_LIMIT_REDIS_LINK_H
#define DV_LIMIT_REDIS_LINK_H

#include <hiredis/async.h>
#include <stdbool.h>

struct event_base;

/** Watch ac's socket from now until hiredis frees it. False when there is no memory. */
bool dv__redis_link(redisAsyncContext *ac, struct event_base *base);

/** GCRA in Lua. KEYS: the counter. ARGV: limit, window in microseconds, burst, cost, 1 to charge in any case. Returns whether it
 *  is allowed, what remains, and the microseconds until everything is allowed and until this is. The time is Redis's own. */
extern const char dv__redis_script[];

#endif
