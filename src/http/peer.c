/* SPDX-License-Identifier: MIT */
#include "http/peer.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

static void set_address(dv__peer *p, const struct sockaddr *sa)
{
    p->has_addr = sa->sa_family == AF_INET || sa->sa_family == AF_INET6;
    if (sa->sa_family == AF_INET) {
        memcpy(p->addr, mapped, sizeof mapped);
        memcpy(p->addr + 12, &((const struct sockaddr_in *)sa)->sin_addr, 4);
    } else if (p->has_addr) {
        memcpy(p->addr, &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
    }
}

void dv__peer_set(dv__peer *p, const struct sockaddr *sa, socklen_t len)
{
    char host[48], port[8];
    set_address(p, sa);
    if (!p->has_addr ||
        getnameinfo(sa, len, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        snprintf(p->text, sizeof p->text, p->has_addr ? "unknown" : "unix");
    else
        snprintf(p->text, sizeof p->text, sa->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static void key_of(uint8_t key[16], const dv__peer *p)
{
    memcpy(key, p->addr, 16);
    if (memcmp(p->addr, mapped, sizeof mapped) != 0)
        memset(key + 8, 0, 8);
}

static size_t bucket_of(const dv__peers *all, const uint8_t key[16])
{
    uint64_t half[2];
    memcpy(half, key, 16);
    uint64_t h = (half[0] ^ all->seed[0]) * 0x9e3779b97f4a7c15u;
    h = ((h ^ h >> 32) + (half[1] ^ all->seed[1])) * 0xd6e8feb86659fd93u;
    return (size_t)((h ^ h >> 32) % DV__PEER_BUCKETS);
}

void dv__peers_init(dv__peers *all)
{
    /* Without random bytes collisions can be made, which costs the walk of a list and no more. */
    if (getrandom(all->seed, sizeof all->seed, 0) != (ssize_t)sizeof all->seed)
        all->seed[0] = (uint64_t)time(NULL);
}

void dv__peers_add(dv__peers *all, dv__peer_link *l, const dv__peer *p)
{
    if (!p->has_addr)
        return;
    key_of(l->key, p);
    dv__peer_link **head = &all->buckets[bucket_of(all, l->key)];
    l->linked = true;
    l->prev = NULL;
    l->next = *head;
    if (*head != NULL)
        (*head)->prev = l;
    *head = l;
}

void dv__peers_remove(dv__peers *all, dv__peer_link *l)
{
    if (!l->linked)
        return;
    l->linked = false;
    if (l->prev != NULL)
        l->prev->next = l->next;
    else
        all->buckets[bucket_of(all, l->key)] = l->next;
    if (l->next != NULL)
        l->next->prev = l->prev;
}

dv__peer_link *dv__peers_next(const dv__peers *all, const dv__peer *p, const dv__peer_link *after)
{
    uint8_t key[16];
    key_of(key, p);
    dv__peer_link *l = after != NULL ? after->next : p->has_addr ? all->buckets[bucket_of(all, key)] : NULL;
    while (l != NULL && memcmp(l->key, key, 16) != 0)
        l = l->next;
    return l;
}
