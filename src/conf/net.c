/* SPDX-License-Identifier: MIT */
#include "conf/net.h"

#include "base/word.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum { V4_AT = 96 }; /* bits before an IPv4 address in its mapped form, RFC 4291 2.5.5.2 */

static bool parse_addr(const char *text, dv_net *out)
{
    *out = (dv_net){.bits = 128};
    if (inet_pton(AF_INET6, text, out->addr) == 1)
        return true;
    out->addr[10] = out->addr[11] = 0xff;
    return inet_pton(AF_INET, text, out->addr + 12) == 1;
}

static bool bit(const uint8_t addr[16], unsigned i) { return (addr[i / 8] >> (7 - i % 8) & 1) != 0; }

bool dv_net_parse(const char *text, dv_net *out)
{
    char addr[INET6_ADDRSTRLEN];
    uint64_t bits = 0;
    size_t n = strcspn(text, "/");
    if (n >= sizeof addr)
        return false;
    memcpy(addr, text, n);
    addr[n] = 0;
    if (!parse_addr(addr, out))
        return false;
    if (text[n] == 0)
        return true;
    unsigned before = strchr(addr, ':') == NULL ? V4_AT : 0;
    if (!dv_word_u64(text + n + 1, &bits) || bits > 128 - before)
        return false;
    out->bits = (unsigned)bits + before;
    for (unsigned i = out->bits; i < 128; i++)
        if (bit(out->addr, i))
            return false;
    return true;
}

bool dv_net_has(const dv_net *net, const uint8_t addr[16])
{
    for (unsigned i = 0; i < net->bits; i++)
        if (bit(net->addr, i) != bit(addr, i))
            return false;
    return true;
}
