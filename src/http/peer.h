/* SPDX-License-Identifier: MIT */
/* Who is at the other end of a connection, and how many connections come from there. I/O thread only. */
#ifndef DV_HTTP_PEER_H
#define DV_HTTP_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { DV__PEER_BUCKETS = 512 };

/** What a connection is known by from its first moment, and a request after it. */
typedef struct dv__peer {
    char text[64];    /**< "127.0.0.1:5123", "[::1]:5123", "unix" */
    uint8_t addr[16]; /**< IPv4 as ::ffff:a.b.c.d */
    bool has_addr;
    bool is_unix, tls; /**< of the listener */
    int tag;           /**< of the listener */
} dv__peer;

/** Fill text, addr and has_addr. */
void dv__peer_set(dv__peer *p, const struct sockaddr *sa, socklen_t len);

/** A place in a dv__peers; zero-initialised: in none. */
typedef struct dv__peer_link {
    struct dv__peer_link *prev, *next;
    uint8_t key[16];
    bool linked;
} dv__peer_link;

/** Connections by address. An IPv6 address counts with the rest of its /64, which is what one household or host gets. Zero-initialise, then
 * dv__peers_init. */
typedef struct dv__peers {
    uint64_t seed[2]; /**< secret: nobody can choose addresses that share a bucket */
    dv__peer_link *buckets[DV__PEER_BUCKETS];
} dv__peers;

void dv__peers_init(dv__peers *all);
/** Nothing happens for a peer without an address. */
void dv__peers_add(dv__peers *all, dv__peer_link *l, const dv__peer *p);
void dv__peers_remove(dv__peers *all, dv__peer_link *l);
/** First connection of p's address, or of those after `after`; NULL: none. */
dv__peer_link *dv__peers_next(const dv__peers *all, const dv__peer *p, const dv__peer_link *after);

#endif
