/* SPDX-License-Identifier: MIT */
#include "checkasm.h"

#include "base/clock.h"
#include "base/cpu.h"

#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static ck context;

/* --- guarded memory --- */

enum { CANARY = 0xa5, CANARY_BYTES = 256 };

static struct {
    uint8_t *base; /* between two unmapped pages */
    uint8_t *at;   /* the part handed out last */
    size_t size;
} region[CK_REGIONS];

static void regions_open(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = CK_REGION_BYTES;
    for (int i = 0; i < CK_REGIONS; i++) {
        uint8_t *p = mmap(NULL, size + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED || mprotect(p, page, PROT_NONE) != 0 || mprotect(p + page + size, page, PROT_NONE) != 0) {
            perror("checkasm: guarded memory");
            exit(2);
        }
        region[i].base = p + page;
    }
}

/* Calls f on up to CANARY_BYTES before and after the part in use. */
static void around(int i, void (*f)(int i, uint8_t *p, size_t n))
{
    uint8_t *base = region[i].base, *end = base + CK_REGION_BYTES, *at = region[i].at, *after = at + region[i].size;
    size_t before = DV_MIN((size_t)(at - base), (size_t)CANARY_BYTES),
           behind = DV_MIN((size_t)(end - after), (size_t)CANARY_BYTES);
    f(i, at - before, before);
    f(i, after, behind);
}

static void put_canary(int i, uint8_t *p, size_t n)
{
    (void)i;
    memset(p, CANARY, n);
}

static void check_canary(int i, uint8_t *p, size_t n)
{
    for (size_t k = 0; k < n; k++)
        if (p[k] != CANARY) {
            ck_fail(&context, "wrote outside of buffer %d (byte %td of %zu)", i, p + k - region[i].at, region[i].size);
            return;
        }
}

void *ck_mem(ck *c, int i, size_t size, size_t align)
{
    size_t room = (size + align - 1) / align * align;
    if (room > CK_REGION_BYTES)
        abort();
    region[i].at = region[i].base + (dv_rng_below(&c->rng, 4) == 0 ? 0 : CK_REGION_BYTES - room);
    region[i].size = size;
    around(i, put_canary);
    return region[i].at;
}

void ck_canaries(ck *c)
{
    (void)c;
    for (int i = 0; i < CK_REGIONS; i++)
        if (region[i].at != NULL)
            around(i, check_canary);
}

/* --- one function under test --- */

bool ck_checking(const ck *c) { return c->now != c->ref; }

bool ck_begin(ck *c, ck_fn now, ck_fn prev, const char *name, ...)
{
    va_list ap;
    va_start(ap, name);
    vsnprintf(c->name, sizeof c->name, name, ap);
    va_end(ap);
    if (c->filter != NULL && strstr(c->name, c->filter) == NULL)
        return false;
    if (now == prev && ck_checking(c))
        return false;
    if (c->list) {
        printf("%-12s %s\n", c->level, c->name);
        return false;
    }
    dv_rng_seed(&c->rng, 1); /* a function's input does not depend on the filter */
    for (int i = 0; i < CK_REGIONS; i++)
        region[i].at = NULL;
    c->failed = false;
    ck_case(c, "start");
    return true;
}

void ck_case(ck *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->what, sizeof c->what, fmt, ap);
    va_end(ap);
}

void ck_fail(ck *c, const char *fmt, ...)
{
    if (c->failed)
        return;
    c->failed = true;
    printf("FAIL %s %s [%s]: ", c->level, c->name, c->what);
    va_list ap;
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
}

void ck_end(ck *c)
{
    if (!ck_checking(c))
        return;
    c->n_run++;
    c->n_failed += c->failed;
    if (!c->failed && !c->bench)
        printf("ok   %s %s\n", c->level, c->name);
}

/* Which kernel was running when it touched a guard page or an instruction the CPU lacks. */
static void on_signal(int sig)
{
    static const char mid[] = " [", crash[] = "FAIL crash in ", end[] = "]\n";
    ssize_t n = write(STDOUT_FILENO, crash, sizeof crash - 1);
    n += write(STDOUT_FILENO, context.level, strlen(context.level));
    n += write(STDOUT_FILENO, " ", 1);
    n += write(STDOUT_FILENO, context.name, strlen(context.name));
    n += write(STDOUT_FILENO, mid, sizeof mid - 1);
    n += write(STDOUT_FILENO, context.what, strlen(context.what));
    n += write(STDOUT_FILENO, end, sizeof end - 1);
    _exit(n > 0 ? 128 + sig : 128);
}

/* --- comparison --- */

static uint32_t bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

void ck_same_f32(ck *c, const char *field, const float *got, const float *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (bits(got[i]) != bits(want[i]) && !(isnan(got[i]) && isnan(want[i]))) {
            ck_fail(c, "%s[%zu] is %a, not %a", field, i, (double)got[i], (double)want[i]);
            return;
        }
}

void ck_same_f16(ck *c, const char *field, const uint16_t *got, const uint16_t *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (got[i] != want[i] && !((got[i] & 0x7fff) > 0x7c00 && (want[i] & 0x7fff) > 0x7c00)) {
            ck_fail(c, "%s[%zu] is 0x%04x, not 0x%04x", field, i, got[i], want[i]);
            return;
        }
}

void ck_same_bytes(ck *c, const char *field, const void *got, const void *want, size_t n)
{
    const uint8_t *g = got, *w = want;
    for (size_t i = 0; i < n; i++)
        if (g[i] != w[i]) {
            ck_fail(c, "%s: byte %zu is 0x%02x, not 0x%02x", field, i, g[i], w[i]);
            return;
        }
}

/* --- input --- */

const char *const ck_floats_name[CK_FLOATS_N] = {"normal", "wide",  "huge", "tiny", "zero",
                                                 "sparse", "steps", "bits", "nan",  "inf"};

uint32_t ck_between(ck *c, uint32_t lo, uint32_t hi)
{
    return lo + (uint32_t)dv_rng_below(&c->rng, (uint64_t)hi - lo + 1);
}

void ck_fill_bytes(ck *c, void *p, size_t n)
{
    uint8_t *b = p;
    for (size_t i = 0; i < n; i++)
        b[i] = (uint8_t)dv_rng_u64(&c->rng);
}

static float one_float(ck *c, enum ck_floats how)
{
    uint64_t r = dv_rng_u64(&c->rng);
    uint32_t u = (uint32_t)r;
    float f = (float)dv_rng_normal(&c->rng);
    switch (how) {
    case CK_WIDE: return ldexpf(f, (int)(r % 41) - 20);
    case CK_HUGE: return copysignf(r % 8 == 0 ? 0x1.fffffep127f : 1e38f, f);
    case CK_TINY:
        u &= 0x807fffff;
        memcpy(&f, &u, sizeof f);
        return f;
    case CK_ZERO: return r % 2 ? 0.0f : -0.0f;
    case CK_SPARSE: return 0.0f;
    case CK_STEPS: return (float)(r % 65535) * 0.5f - 16383.5f;
    case CK_BITS: memcpy(&f, &u, sizeof f); return f;
    default: return f;
    }
}

void ck_fill_floats(ck *c, enum ck_floats how, float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = one_float(c, how);
    if (n == 0)
        return;
    size_t at = dv_rng_below(&c->rng, n);
    if (how == CK_SPARSE)
        x[at] = -3.25f;
    if (how == CK_STEPS) /* the quantised range is exactly hit, so that halves are halves */
        x[at] = 32767.0f;
    if (how == CK_NAN)
        x[at] = NAN;
    if (how == CK_INF)
        x[at] = dv_rng_below(&c->rng, 2) ? INFINITY : -INFINITY;
}

/* --- time --- */

enum { RUNS = DV_ARRAY_LEN(((ck_timer *)0)->ns) };
static const uint64_t run_ns = 1000000; /* short runs, so that a median of them steps over other programs */

void ck_timer_start(ck_timer *t) { *t = (ck_timer){.repeat = 1, .run = -1}; }

/* Doubles the repeat count until a run is long enough, then takes RUNS of them. */
bool ck_timer_next(ck_timer *t)
{
    uint64_t now = dv_clock_ns();
    if (t->began != 0) {
        if (t->run >= 0)
            t->ns[t->run++] = (double)(now - t->began) / (double)t->repeat;
        else if (now - t->began >= run_ns)
            t->run = 0;
        else
            t->repeat *= 2;
    }
    if (t->run == RUNS)
        return false;
    t->began = dv_clock_ns();
    return true;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void ck_timer_print(ck *c, ck_timer *t, double n, const char *unit, const char *fmt, ...)
{
    char text[96];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    qsort(t->ns, RUNS, sizeof t->ns[0], by_value);
    double ns = t->ns[RUNS / 2];
    printf("%-12s %-16s %-26s %10.1f ns  %9.4f ns/%-4s %9.2f G%s/s\n", c->level, c->name, text, ns, ns / n, unit,
           n / ns, unit);
}

/* --- main --- */

static int usage(FILE *f, int code)
{
    fprintf(
        f,
        "usage: checkasm [--list] [--bench] [--filter TEXT] [--level c|avx2|avx-vnni|avx512|avx512-vnni]\n"
        "Compares every kernel of every level of this CPU with the C reference; --bench times them too (and the C ones).\n");
    return code;
}

static void run_level(ck *c, unsigned flags, unsigned below)
{
    static dv_kern ref, prev, now;
    dv_kern_init(&ref, 0);
    dv_kern_init(&prev, below);
    dv_kern_init(&now, flags);
    c->ref = &ref;
    c->prev = &prev;
    c->now = flags == 0 ? &ref : &now;
    c->level = dv_cpu_level_name(flags);
    ck_unpack(c);
    ck_gemm(c);
    ck_attn(c);
    ck_vec(c);
}

int main(int argc, char **argv)
{
    static const unsigned levels[] = {0, DV_CPU_AVX2, DV_CPU_AVX2 | DV_CPU_AVX_VNNI, DV_CPU_AVX2 | DV_CPU_AVX512,
                                      DV_CPU_AVX2 | DV_CPU_AVX512 | DV_CPU_AVX512_VNNI};
    ck *c = &context;
    const char *only = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--list") == 0)
            c->list = true;
        else if (strcmp(argv[i], "--bench") == 0)
            c->bench = true;
        else if (strcmp(argv[i], "--filter") == 0 && i + 1 < argc)
            c->filter = argv[++i];
        else if (strcmp(argv[i], "--level") == 0 && i + 1 < argc)
            only = argv[++i];
        else
            return usage(strcmp(argv[i], "--help") == 0 ? stdout : stderr, strcmp(argv[i], "--help") == 0 ? 0 : 2);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    regions_open();
    signal(SIGSEGV, on_signal);
    signal(SIGBUS, on_signal);
    signal(SIGILL, on_signal);
    signal(SIGFPE, on_signal);
    unsigned have = dv_cpu_detect();
    for (size_t i = 0; i < DV_ARRAY_LEN(levels); i++) {
        if ((levels[i] & have) != levels[i] || (only != NULL && strcmp(only, dv_cpu_level_name(levels[i])) != 0))
            continue;
        if (levels[i] != 0 || c->bench || c->list)
            run_level(c, levels[i], i == 0 ? 0 : levels[i - 1]);
    }
    if (!c->list)
        printf("%u functions checked, %u failed\n", c->n_run, c->n_failed);
    return c->n_failed > 0;
}
