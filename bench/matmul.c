/* SPDX-License-Identifier: MIT */
/* Speed of dv_mm_run on one weight matrix that is larger than the caches, beside a plain read of the same bytes by the same threads:
 * with one token the product should run at the speed of the memory, with hundreds at the speed of the integer units.
 * Usage: bench_matmul TYPE N_OUT N_IN N_TOK THREADS [LEVEL] */
#include "kern/matmul.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/mem.h"
#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { RUNS = 9 };

typedef struct reader {
    const uint8_t *data;
    size_t bytes;
    uint64_t sink[256];
} reader;

enum { READ_PART = 1 << 18 };

static void read_part(void *arg, size_t part, size_t n_parts, unsigned thread)
{
    reader *r = arg;
    const uint64_t *p = (const uint64_t *)(r->data + part * READ_PART);
    uint64_t sum[8] = {0};
    (void)n_parts;
    for (size_t i = 0; i < READ_PART / 8; i += 8)
        for (size_t j = 0; j < 8; j++)
            sum[j] |= p[i + j];
    for (size_t j = 0; j < 8; j++)
        r->sink[thread] |= sum[j];
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* s: wall time. cpu: processor time of all threads; on a busy machine with one thread, the one to look at. */
static void report(const char *what, double *s, double *cpu, double bytes, double macs)
{
    qsort(s, RUNS, sizeof *s, by_value);
    qsort(cpu, RUNS, sizeof *cpu, by_value);
    printf(
        "%-8s best %8.3f ms  median %8.3f ms  %7.2f GB/s of weights  %7.1f Gmac/s   per thread-second %7.2f GB %7.1f Gmac\n",
        what, s[0] * 1e3, s[RUNS / 2] * 1e3, bytes / s[0] / 1e9, macs / s[0] / 1e9, bytes / cpu[0] / 1e9,
        macs / cpu[0] / 1e9);
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Random bytes; scales may be anything, which costs no kernel time. */
static uint8_t *make_weights(size_t bytes)
{
    uint8_t *p = mmap(NULL, bytes + READ_PART, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    dv_rng r;
    dv_rng_seed(&r, 1);
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t v = dv_rng_u64(&r) & 0xbfbfbfbfbfbfbfbfu;
        memcpy(p + i, &v, 8);
    }
    return p;
}

int main(int argc, char **argv)
{
    int type = argc >= 6 ? dv_type_parse(argv[1]) : -1, level = argc >= 7 ? dv_cpu_level_parse(argv[6]) : -1;
    uint64_t row_bytes = 0;
    if (argc < 6 || type < 0 || !dv_type_row_bytes((uint32_t)type, strtoull(argv[3], NULL, 10), &row_bytes)) {
        fprintf(stderr, "usage: bench_matmul TYPE N_OUT N_IN N_TOK THREADS [LEVEL]\n");
        return 2;
    }
    uint32_t n_out = (uint32_t)atoi(argv[2]), n_in = (uint32_t)atoi(argv[3]), n_tok = (uint32_t)atoi(argv[4]);
    size_t bytes = (size_t)n_out * row_bytes;
    dv_kern k;
    dv_pool *pool;
    dv_mm *mm;
    dv_err e = {0};
    dv_kern_init(&k, level >= 0 ? (unsigned)level & dv_cpu_detect() : dv_cpu_detect());
    uint8_t *w = make_weights(bytes);
    float *x = dv_alloc_array(DV_MEM_BASE, (size_t)n_tok * n_in, sizeof *x),
          *y = dv_alloc_array(DV_MEM_BASE, (size_t)n_tok * n_out, sizeof *y);
    if (w == NULL || x == NULL || y == NULL || dv_pool_open(&pool, (unsigned)atoi(argv[5]), &e) != 0 ||
        dv_mm_open(&mm, &k, pool, (size_t)n_tok * (n_in + DV_SB), &e) != 0) {
        fprintf(stderr, "bench_matmul: %s\n", e.code != 0 ? e.msg : dv_error_text(DV_ENOMEM));
        return 1;
    }
    dv_rng r;
    dv_rng_seed(&r, 2);
    for (size_t i = 0; i < (size_t)n_tok * n_in; i++)
        x[i] = (float)dv_rng_normal(&r);
    dv_mat m = {.data = w, .row_bytes = row_bytes, .type = (dv_type)type, .n_in = n_in, .n_out = n_out};
    dv_mm_job job = {.w = &m, .x = x, .ldx = n_in, .y = y, .ldy = n_out, .n_tok = n_tok};
    static reader rd;
    rd.data = w;
    double t_mul[RUNS], t_read[RUNS], c_mul[RUNS], c_read[RUNS], macs = (double)n_out * n_in * n_tok;
    dv_mm_run(mm, &job, 1);
    for (int i = 0; i < RUNS; i++) {
        uint64_t t0 = dv_clock_ns();
        double c0 = cpu_seconds();
        dv_mm_run(mm, &job, 1);
        uint64_t t1 = dv_clock_ns();
        double c1 = cpu_seconds();
        dv_pool_run(pool, read_part, &rd, (bytes + READ_PART - 1) / READ_PART);
        uint64_t t2 = dv_clock_ns();
        t_mul[i] = (double)(t1 - t0) * 1e-9;
        t_read[i] = (double)(t2 - t1) * 1e-9;
        c_mul[i] = c1 - c0;
        c_read[i] = cpu_seconds() - c1;
    }
    printf("%s %u x %u, %u tokens, %s threads, %s, %.1f MB\n", dv_type_name((uint32_t)type), n_out, n_in, n_tok,
           argv[5], dv_cpu_level_name(k.cpu), (double)bytes / 1e6);
    report("product", t_mul, c_mul, (double)bytes, macs);
    report("read", t_read, c_read, (double)bytes, 0);
    dv_mm_close(&mm);
    dv_pool_close(&pool);
    return 0;
}
