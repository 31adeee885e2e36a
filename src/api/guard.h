/* SPDX-License-Identifier: MIT */
/* Who may ask: the Host, Origin and key of a request. From its head alone, before anything else of it is looked at. */
#ifndef DV_API_GUARD_H
#define DV_API_GUARD_H

#include "api/server.h"

/**
 * Whether a Host field names this server: a loopback name or address, the name it listens on, or an allowed one; any port. A page on
 * another site that makes its own name point here (DNS rebinding) fails this. Addresses cannot be made to point elsewhere, so any of them
 * will do when the server listens on more than loopback.
 */
bool dv__guard_host(const dv_api_options *o, const char *host);
/** Whether pages of this origin may call: of this server itself (http://Host), or allowed. */
bool dv__guard_origin(const dv_api_options *o, const char *origin, const char *host);
/** Whether one of the keys is in `Authorization: Bearer` or `x-api-key`; either may be NULL. Takes the same time whichever key it is and
 *  however much of it is right. True if the server has no keys. */
bool dv__guard_key(const dv_api_options *o, const char *authorization, const char *x_api_key);

/** Whether s[0..n) is an IPv4 address, or an IPv6 one in brackets. */
bool dv__guard_is_address(const char *s, size_t n);
/** Whether s[0..n) is "localhost", a name below it, 127.x.x.x or [::1]. */
bool dv__guard_is_loopback(const char *s, size_t n);

#endif
