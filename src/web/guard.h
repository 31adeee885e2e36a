/* SPDX-License-Identifier: MIT */
/* Which names a server answers to and which pages may call it: the Host and Origin of a request, from its head alone. */
#ifndef DV_WEB_GUARD_H
#define DV_WEB_GUARD_H

#include <stdbool.h>
#include <stddef.h>

/** All borrowed. */
typedef struct dv_guard {
    const char *const *listens; /**< [n_listens] names or addresses that are listened on; none: loopback only */
    size_t n_listens;
    const char *const *hosts; /**< [n_hosts] further names that Host may have, without port */
    size_t n_hosts;
    const char *const
        *origins; /**< [n_origins] origins whose pages may call, "https://app.example"; "*": all of them */
    size_t n_origins;
} dv_guard;

/**
 * Whether a Host field names this server: a loopback name or address, a name it listens on, or an allowed one; any port. A page on
 * another site that makes its own name point here (DNS rebinding) fails this. Addresses cannot be made to point elsewhere, so any of them
 * will do when the server listens on more than loopback.
 */
bool dv_guard_host(const dv_guard *g, const char *host);
/** Whether pages of this origin may call: of this server itself (its scheme and Host), or allowed. */
bool dv_guard_origin(const dv_guard *g, const char *origin, const char *host, bool tls);
/** Whether the origin is this server's own or was named: "*" does not count. For what cookies may do. */
bool dv_guard_origin_named(const dv_guard *g, const char *origin, const char *host, bool tls);

/** Whether s[0..n) is an IPv4 address, or an IPv6 one in brackets. */
bool dv_guard_is_address(const char *s, size_t n);
/** Whether s[0..n) is "localhost", a name below it, 127.x.x.x or [::1]. */
bool dv_guard_is_loopback(const char *s, size_t n);

#endif
