/* SPDX-License-Identifier: MIT */
/* Networks in CIDR notation, for lists of trusted proxies. */
#ifndef DV_CONF_NET_H
#define DV_CONF_NET_H

#include <stdbool.h>
#include <stdint.h>

/** IPv4 is kept as ::ffff:a.b.c.d, so that a mapped address and the address itself are one. */
typedef struct dv_net {
    uint8_t addr[16]; /**< bits beyond the prefix are 0 */
    unsigned bits;    /**< of addr, 0..128 */
} dv_net;

/** "10.0.0.0/8", "::1", "fd00::/8"; bits beyond the prefix must be 0. False if it is none. */
bool dv_net_parse(const char *text, dv_net *out);
/** addr as in dv_net. */
bool dv_net_has(const dv_net *net, const uint8_t addr[16]);

#endif
