/* SPDX-License-Identifier: MIT */
#include "client/memory.h"

#include "base/attr.h"
#include "base/mem.h"
#include "base/num.h"
#include "drover/error.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum { RESERVE_BLOCKS = 256, RESERVE_SIZE = 512 };

typedef union block {
    union block *next; /* of those that are free */
    char bytes[RESERVE_SIZE];
    max_align_t align;
} block;

/* libcurl's threads that look up names allocate, too. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static block reserve[RESERVE_BLOCKS];
static block *unused;
static atomic_uint_fast64_t n_failed; /* relaxed: compared before and after by one thread */

static bool reserved(const void *p)
{
    uintptr_t at = (uintptr_t)p, begin = (uintptr_t)reserve;
    return at >= begin && at < begin + sizeof reserve;
}

static void *take(size_t n)
{
    void *p = dv_mem_plain_alloc(DV_MEM_CLIENT, n);
    if (p != NULL)
        return p;
    atomic_fetch_add_explicit(&n_failed, 1, memory_order_relaxed);
    if (n > RESERVE_SIZE)
        return NULL;
    pthread_mutex_lock(&lock);
    block *b = unused;
    if (b != NULL)
        unused = b->next;
    pthread_mutex_unlock(&lock);
    return b;
}

static size_t size_of(const void *p) { return reserved(p) ? (size_t)RESERVE_SIZE : dv_mem_plain_size(p); }

static void give(void *p)
{
    block *b = p;
    if (p == NULL)
        return;
    explicit_bzero(p, size_of(p));
    if (!reserved(p)) {
        dv_mem_plain_free(DV_MEM_CLIENT, p);
        return;
    }
    pthread_mutex_lock(&lock);
    b->next = unused;
    unused = b;
    pthread_mutex_unlock(&lock);
}

static void *take_zeroed(size_t n, size_t size)
{
    size_t total;
    void *p = dv_mul_size(n, size, &total) ? take(total) : NULL;
    return p != NULL ? memset(p, 0, total) : NULL;
}

static void *change(void *p, size_t n)
{
    void *q = take(n);
    if (q == NULL || p == NULL)
        return q;
    memcpy(q, p, DV_MIN(n, size_of(p)));
    give(p);
    return q;
}

static char *copy(const char *s)
{
    size_t n = strlen(s) + 1;
    char *p = take(n);
    return p != NULL ? memcpy(p, s, n) : NULL;
}

/* Once in a process: blocks may be out when a client closes and the next one opens. */
static void fill(void)
{
    for (size_t i = 0; i < RESERVE_BLOCKS; i++) {
        reserve[i].next = unused;
        unused = &reserve[i];
    }
}

int dv__curl_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill);
    return curl_global_init_mem(CURL_GLOBAL_DEFAULT, take, give, change, copy, take_zeroed) == CURLE_OK ? 0 : DV_EIO;
}

void dv__curl_fini(void) { curl_global_cleanup(); }

uint64_t dv__curl_failures(void) { return atomic_load_explicit(&n_failed, memory_order_relaxed); }
