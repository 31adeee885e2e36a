/* SPDX-License-Identifier: MIT */
/* Which addresses are somebody's public server, and which lead back into this machine or its network. */
#ifndef DV_CLIENT_PUBLIC_H
#define DV_CLIENT_PUBLIC_H

#include <stdbool.h>
#include <sys/socket.h>

/**
 * Whether an address that is about to be dialled is a global unicast one: none of the special blocks of RFC 6890 and IANA's
 * registries (loopback, private, shared, link-local, benchmarking, documentation, multicast, reserved), and no IPv6 form that
 * carries such an IPv4 address. Anything but IPv4 and IPv6 is not public.
 */
bool dv__addr_is_public(const struct sockaddr *sa, socklen_t len);

#endif
