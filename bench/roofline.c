/* SPDX-License-Identifier: MIT */
/* What this machine can do at most, as a measure for drover and for whatever it is compared with: bytes read per second from a buffer
 * that no cache holds, and multiply-adds per second with nothing else to do, by one thread and by several. The best of several passes
 * counts: what disturbs a pass is not the machine's limit, though on shared memory a neighbour is. Prints one JSON object after some seconds.
 * Usage: roofline [THREADS [MIB [PASSES [LEVEL]]]]; LEVEL as --cpu-mask of drover */
#include "roofline.h"

#include "base/attr.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/pool.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    MIB_DEFAULT = 1024,
    MIB_MAX = 1 << 16,
    PASSES_DEFAULT = 9,
    PASSES_MAX = 1000,
    THREADS_MAX = 256,
    READ_PART = 1 << 20,
    MULTIPLY_PARTS = 16,   /* of each thread: one that starts late takes fewer */
    MULTIPLY_NS = 10000000 /* of a pass */
};

typedef struct roof {
    dv_pool *pools[2]; /* of one thread, and of several or NULL */
    unsigned n_passes;
    unsigned cpu;
    const char *between; /* list entries of JSON */
    uint8_t *data;
    size_t bytes;
    const roof_read *read;
    const roof_multiply *multiply;
    uint64_t rounds; /* of a part */
} roof;

static void read_part(void *arg, size_t part, size_t n_parts, unsigned thread)
{
    const roof *r = arg;
    (void)n_parts;
    (void)thread;
    r->read->run(r->data + part * READ_PART, READ_PART);
}

static void multiply_part(void *arg, size_t part, size_t n_parts, unsigned thread)
{
    const roof *r = arg;
    (void)part;
    (void)n_parts;
    (void)thread;
    r->multiply->run(r->rounds);
}

/* Least nanoseconds of a pass, of which the first warms up. */
static double best(roof *r, dv_pool *pool, dv_pool_fn fn, size_t n_parts)
{
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i <= r->n_passes; i++) {
        uint64_t start = dv_clock_ns();
        dv_pool_run(pool, fn, r, n_parts);
        uint64_t ns = dv_clock_ns() - start;
        if (i > 0)
            least = DV_MIN(least, ns);
    }
    return (double)DV_MAX(least, 1u);
}

/* A buffer with all its pages. Small pages are what a mapped file has; large ones spare the core the translation of addresses. */
static uint8_t *map_pages(size_t bytes, bool huge)
{
    uint8_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    (void)madvise(p, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    for (size_t i = 0; i < bytes; i += 4096)
        p[i] = (uint8_t)(i >> 12);
    return p;
}

static void measure_read(roof *r, bool huge)
{
    for (int i = 0; i < 2 && r->pools[i] != NULL; i++) {
        double ns = best(r, r->pools[i], read_part, r->bytes / READ_PART);
        printf("%s{\"pages\":\"%s\",\"streams\":%u,\"threads\":%u,\"gb_per_second\":%.2f}", r->between,
               huge ? "huge" : "small", r->read->streams, dv_pool_threads(r->pools[i]), (double)r->bytes / ns);
        r->between = ",\n ";
    }
}

/* The widest way of each number of streams. */
static int measure_reads(roof *r)
{
    r->between = "";
    for (int huge = 0; huge < 2; huge++) {
        if ((r->data = map_pages(r->bytes, huge)) == NULL)
            return DV_ENOMEM;
        unsigned streams = 0;
        for (r->read = roof_reads; r->read->run != NULL; r->read++)
            if ((r->cpu & r->read->cpu) == r->read->cpu && r->read->streams > streams) {
                measure_read(r, huge);
                streams = r->read->streams;
            }
        munmap(r->data, r->bytes);
    }
    return 0;
}

/* So many that a pass takes about as long for every instruction. */
static uint64_t rounds_of_part(const roof_multiply *m)
{
    uint64_t n = 1 << 10, ns;
    do {
        n *= 2;
        uint64_t start = dv_clock_ns();
        m->run(n);
        ns = dv_clock_ns() - start;
    } while (ns < MULTIPLY_NS / MULTIPLY_PARTS);
    return DV_MAX(n * (MULTIPLY_NS / MULTIPLY_PARTS) / ns, 1u);
}

static void measure_multiplies(roof *r)
{
    r->between = "";
    for (r->multiply = roof_multiplies; r->multiply->run != NULL; r->multiply++) {
        if ((r->cpu & r->multiply->cpu) != r->multiply->cpu)
            continue;
        r->rounds = rounds_of_part(r->multiply);
        for (int i = 0; i < 2 && r->pools[i] != NULL; i++) {
            size_t n_parts = (size_t)MULTIPLY_PARTS * dv_pool_threads(r->pools[i]);
            double macs = (double)n_parts * (double)r->rounds * r->multiply->macs;
            printf("%s{\"with\":\"%s\",\"of\":\"%s\",\"threads\":%u,\"gmac_per_second\":%.1f}", r->between,
                   r->multiply->with, r->multiply->of, dv_pool_threads(r->pools[i]),
                   macs / best(r, r->pools[i], multiply_part, n_parts));
            r->between = ",\n ";
        }
    }
}

static int measure(roof *r)
{
    dv_buf cpu;
    dv_buf_init(&cpu, 0);
    dv_buf_json_str(&cpu, dv_cpu_model_name(), strlen(dv_cpu_model_name()));
    printf("{\"cpu\":%s,\"level\":\"%s\",\"mib\":%zu,\"passes\":%u,\n\"read\":[", dv_buf_str(&cpu),
           dv_cpu_level_name(r->cpu), r->bytes >> 20, r->n_passes);
    dv_buf_fini(&cpu);
    int code = measure_reads(r);
    printf("],\n\"multiply\":[");
    measure_multiplies(r);
    printf("]}\n");
    return code;
}

/* A number in [1, max], or 0. */
static unsigned number(const char *text, unsigned max)
{
    char *end;
    unsigned long v = strtoul(text, &end, 10);
    return *end == 0 && v <= max ? (unsigned)v : 0;
}

int main(int argc, char **argv)
{
    roof r = {0};
    dv_err err = {0};
    unsigned threads = argc > 1 ? number(argv[1], THREADS_MAX) : DV_MIN(dv_limits_get()->cores, THREADS_MAX);
    unsigned mib = argc > 2 ? number(argv[2], MIB_MAX) : MIB_DEFAULT;
    int level = argc > 4 ? dv_cpu_level_parse(argv[4]) : (int)dv_cpu_detect();
    r.n_passes = argc > 3 ? number(argv[3], PASSES_MAX) : PASSES_DEFAULT;
    if (argc > 5 || threads == 0 || mib == 0 || r.n_passes == 0 || level < 0) {
        fprintf(stderr, "usage: roofline [THREADS [MIB [PASSES [LEVEL]]]]\n");
        return 2;
    }
    r.bytes = (size_t)mib << 20;
    r.cpu = (unsigned)level & dv_cpu_detect();
    int code = dv_pool_open(&r.pools[0], 1, &err);
    if (code == 0 && threads > 1)
        code = dv_pool_open(&r.pools[1], threads, &err);
    if (code == 0 && measure(&r) != 0)
        code = dv_fail(&err, DV_ENOMEM, "no memory for a buffer of %u MiB", mib);
    if (code != 0)
        fprintf(stderr, "roofline: %s\n", err.msg);
    dv_pool_close(&r.pools[1]);
    dv_pool_close(&r.pools[0]);
    return code != 0;
}
