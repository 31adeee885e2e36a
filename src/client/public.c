/* SPDX-License-Identifier: MIT */
#include "client/public.h"

#include "base/attr.h"
#include "conf/net.h"

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

/* https://www.iana.org/assignments/iana-ipv4-special-registry, and 224/3: multicast, reserved, broadcast. */
static const char *const special4[] = {
    "0.0.0.0/8",       "10.0.0.0/8",    "100.64.0.0/10",   "127.0.0.0/8",     "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24",    "192.0.2.0/24",  "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16",
    "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",  "224.0.0.0/3"};

/* https://www.iana.org/assignments/iana-ipv6-special-registry, of what lies in 2000::/3: protocol assignments with Teredo and
 * ORCHID, documentation, 6to4 (which may carry any IPv4 address). */
static const char *const special6[] = {"2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"};

static bool in(const uint8_t addr[16], const char *block)
{
    dv_net net;
    return !dv_net_parse(block, &net) ||
           dv_net_has(&net, addr); /* a block with a typing error refuses everything: seen by tests */
}

static bool in_any(const uint8_t addr[16], const char *const *blocks, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (in(addr, blocks[i]))
            return true;
    return false;
}

/* addr in the mapped form. */
static bool public4(const uint8_t addr[16]) { return !in_any(addr, special4, DV_ARRAY_LEN(special4)); }

static bool public6(const uint8_t addr[16])
{
    if (in(addr, "::ffff:0:0/96"))
        return public4(addr);
    if (in(addr, "64:ff9b::/96")) { /* translated by the network's NAT64, RFC 6052 */
        uint8_t v4[16] = {[10] = 0xff, [11] = 0xff};
        memcpy(v4 + 12, addr + 12, 4);
        return public4(v4);
    }
    return in(addr, "2000::/3") && !in_any(addr, special6, DV_ARRAY_LEN(special6));
}

bool dv__addr_is_public(const struct sockaddr *sa, socklen_t len)
{
    uint8_t addr[16] = {[10] = 0xff, [11] = 0xff};
    if (sa->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
        memcpy(addr + 12, (const char *)sa + offsetof(struct sockaddr_in, sin_addr), 4);
        return public4(addr);
    }
    if (sa->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
        memcpy(addr, (const char *)sa + offsetof(struct sockaddr_in6, sin6_addr), 16);
        return public6(addr);
    }
    return false;
}
