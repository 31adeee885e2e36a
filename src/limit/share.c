/* SPDX-License-Identifier: MIT */
/* Identities that have claims lie in a hash table that grows with them; one without is forgotten. */
#include "limit/share.h"

#include "base/attr.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOOK_MS = 100, SMOOTH_MS = 1000, CAP_MIN = 64 };

typedef struct dv_share_entry entry;
struct dv_share_entry {
    entry *next; /* of its bucket */
    uint64_t identity;
    unsigned running;
    dv_claim *claims;
};

struct dv_share {
    dv_share_options o;
    entry **buckets; /* [cap], a power of two */
    size_t cap, n;
    unsigned total;
    bool looked;
    uint64_t looked_ms, mem_available;
    unsigned cpu; /* percent, smoothed */
};

/* Threads that run or wait for a core, of all the machine's cores: what the system counts is the machine's, whatever part of it
 * is ours. 0 where it does not say. */
static unsigned run_queue(void)
{
    dv_buf text;
    unsigned long n = 0;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    dv_buf_init(&text, 1 << 20);
    if (dv_file_read(&text, "/proc/stat", NULL) == 0) {
        const char *at = strstr(dv_buf_str(&text), "procs_running ");
        n = at != NULL ? strtoul(at + 14, NULL, 10) : 0;
    }
    dv_buf_fini(&text);
    return (unsigned)(DV_MIN(n, 1000000ul) * 100 / (unsigned long)DV_MAX(cores, 1l));
}

static void look_here(void *arg, uint64_t *mem_available, unsigned *cpu_percent)
{
    const dv_share *s = arg;
    if (s->o.memory_reserve != 0) {
        dv_limits now;
        dv_limits_read(&now, "");
        *mem_available = now.mem_available;
    }
    if (s->o.cpu_load != 0)
        *cpu_percent = run_queue();
}

/* A moment's run queue says little, so it is smoothed over a second. */
static void look(dv_share *s)
{
    uint64_t now = s->o.now_ms != NULL ? s->o.now_ms() : dv_clock_ns() / 1000000, since = now - s->looked_ms;
    if (s->looked && since < LOOK_MS)
        return;
    uint64_t mem = UINT64_MAX, weight = s->looked ? DV_MIN(since, (uint64_t)SMOOTH_MS) : SMOOTH_MS;
    unsigned cpu = 0;
    if (s->o.look != NULL)
        s->o.look(s->o.look_arg, &mem, &cpu);
    else
        look_here(s, &mem, &cpu);
    s->mem_available = mem;
    s->cpu = (unsigned)((s->cpu * (SMOOTH_MS - weight) + cpu * weight) / SMOOTH_MS);
    s->looked_ms = now;
    s->looked = true;
}

static int check_machine(dv_share *s, dv_err *err)
{
    if (s->o.memory_reserve == 0 && s->o.cpu_load == 0)
        return 0;
    look(s);
    if (s->o.memory_reserve != 0 && s->mem_available < s->o.memory_reserve)
        return dv_fail(err, DV_EBUSY, "the machine is short of memory");
    if (s->o.cpu_load != 0 && s->cpu > s->o.cpu_load)
        return dv_fail(err, DV_EBUSY, "the machine's cores are overloaded");
    return 0;
}

static size_t bucket_of(const dv_share *s, uint64_t identity)
{
    return (size_t)((identity * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & (s->cap - 1);
}

static entry *find(const dv_share *s, uint64_t identity)
{
    for (entry *e = s->buckets[bucket_of(s, identity)]; e != NULL; e = e->next)
        if (e->identity == identity)
            return e;
    return NULL;
}

/* Without memory the chains get longer, and that is all. */
static void grow(dv_share *s)
{
    size_t n_old = s->cap;
    entry **old = s->buckets, **buckets = dv_calloc(DV_MEM_LIMIT, 2 * n_old, sizeof *buckets);
    if (buckets == NULL)
        return;
    s->buckets = buckets;
    s->cap = 2 * n_old;
    for (size_t i = 0; i < n_old; i++) {
        while (old[i] != NULL) {
            entry *e = old[i], **at = &buckets[bucket_of(s, e->identity)];
            old[i] = e->next;
            e->next = *at;
            *at = e;
        }
    }
    dv_free(old);
}

static entry *add_entry(dv_share *s, uint64_t identity)
{
    entry *e = dv_calloc(DV_MEM_LIMIT, 1, sizeof *e);
    if (e == NULL)
        return NULL;
    if (s->n >= s->cap)
        grow(s);
    entry **at = &s->buckets[bucket_of(s, identity)];
    e->identity = identity;
    e->next = *at;
    *at = e;
    s->n++;
    return e;
}

static void drop_entry(dv_share *s, entry *e)
{
    entry **at = &s->buckets[bucket_of(s, e->identity)];
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    s->n--;
    dv_free(e);
}

int dv_share_open(dv_share **out, const dv_share_options *o, dv_err *err)
{
    *out = NULL;
    dv_share *s = dv_calloc(DV_MEM_LIMIT, 1, sizeof *s);
    if (s != NULL) {
        s->o = *o;
        s->cap = CAP_MIN;
        s->buckets = dv_calloc(DV_MEM_LIMIT, s->cap, sizeof(entry *));
    }
    if (s == NULL || s->buckets == NULL) {
        dv_free(s);
        return dv_fail(err, DV_ENOMEM, "claims: %s", dv_error_text(DV_ENOMEM));
    }
    *out = s;
    return 0;
}

void dv_share_close(dv_share **share)
{
    dv_share *s = *share;
    if (s == NULL)
        return;
    *share = NULL;
    for (size_t i = 0; i < s->cap; i++)
        while (s->buckets[i] != NULL)
            dv_share_release(s->buckets[i]->claims); /* the last one takes the entry with it */
    dv_free(s->buckets);
    dv_free(s);
}

void dv_share_tune(dv_share *s, const dv_share_options *o)
{
    s->o = *o;
    s->looked = false;
}

int dv_share_claim(dv_share *s, dv_claim *c, uint64_t identity, unsigned max, dv_err *err)
{
    if (c->entry != NULL)
        return dv_fail(err, DV_EINVAL, "it has a claim already");
    entry *e = find(s, identity);
    if (max != 0 && e != NULL && e->running >= max)
        return dv_fail(err, DV_ERATE, "%u requests of yours run already, the most that may", e->running);
    int code = check_machine(s, err);
    if (code != 0)
        return code;
    if (e == NULL)
        e = add_entry(s, identity);
    if (e == NULL)
        return dv_fail(err, DV_ENOMEM, "claims: %s", dv_error_text(DV_ENOMEM));
    *c = (dv_claim){.share = s, .entry = e, .next = e->claims};
    if (c->next != NULL)
        c->next->prev = c;
    e->claims = c;
    e->running++;
    s->total++;
    return 0;
}

void dv_share_release(dv_claim *c)
{
    entry *e = c->entry;
    if (e == NULL)
        return;
    dv_share *s = c->share;
    if (c->next != NULL)
        c->next->prev = c->prev;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        e->claims = c->next;
    *c = (dv_claim){0};
    s->total--;
    if (--e->running == 0)
        drop_entry(s, e);
}

unsigned dv_share_running(const dv_share *s, uint64_t identity)
{
    const entry *e = find(s, identity);
    return e != NULL ? e->running : 0;
}

unsigned dv_share_total(const dv_share *s) { return s->total; }
