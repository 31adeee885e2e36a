/* SPDX-License-Identifier: MIT */
/* Comparing every kernel of every instruction-set level with the C reference, bit for bit, on ordinary and on hostile input, in memory
 * that ends at an unmapped page; and timing them. One file per family of kernels. */
#ifndef DV_TESTS_CHECKASM_H
#define DV_TESTS_CHECKASM_H

#include "base/attr.h"
#include "base/rng.h"
#include "kern/kern.h"

typedef void (*ck_fn)(void);

typedef struct ck {
    const dv_kern *ref;  /* the C table */
    const dv_kern *prev; /* the level below the tested one */
    const dv_kern *now;  /* the tested level; the C table itself when only timing it */
    const char *level;
    const char *filter; /* substring of names to run; NULL: all */
    bool list, bench;
    dv_rng rng;
    unsigned n_run, n_failed;
    bool failed;    /* the current function has failed; later mismatches are not printed */
    char name[64];  /* current function */
    char what[192]; /* current case, for messages */
} ck;

/* --- families --- */
void ck_unpack(ck *c);
void ck_gemm(ck *c);
void ck_attn(ck *c);
void ck_vec(ck *c);

/* --- one function under test --- */

/** Start with a slot of the table; false: skip it, because the level does not have its own version, or by the filter. */
#define CK_BEGIN(c, slot, ...) ck_begin(c, (ck_fn)(c)->now->slot, (ck_fn)(c)->prev->slot, __VA_ARGS__)
bool ck_begin(ck *c, ck_fn now, ck_fn prev, const char *name, ...) DV_PRINTF(4, 5);
/** Whether checks are wanted (not when the C table is being timed). */
bool ck_checking(const ck *c);
/** Describe the case that comes next. */
void ck_case(ck *c, const char *fmt, ...) DV_PRINTF(2, 3);
/** Report a mismatch; the message gets the function, level and case in front. */
void ck_fail(ck *c, const char *fmt, ...) DV_PRINTF(2, 3);
/** Print the verdict. */
void ck_end(ck *c);

/* --- comparison: all NaN are equal, everything else by its bits --- */
void ck_same_f32(ck *c, const char *field, const float *got, const float *want, size_t n);
void ck_same_f16(ck *c, const char *field, const uint16_t *got, const uint16_t *want, size_t n);
void ck_same_bytes(ck *c, const char *field, const void *got, const void *want, size_t n);

/* --- guarded memory --- */
enum { CK_REGIONS = 8, CK_REGION_BYTES = 4 << 20 };

/**
 * size bytes in region i (0..CK_REGIONS-1), either ending at an unmapped page (up to alignment) or starting after one, at random. The
 * bytes around them are canaries that ck_canaries checks. Content: what the region held before.
 */
void *ck_mem(ck *c, int i, size_t size, size_t align);
void ck_canaries(ck *c);

/* --- input --- */
enum ck_floats {
    CK_NORMAL,
    CK_WIDE,
    CK_HUGE,
    CK_TINY,
    CK_ZERO,
    CK_SPARSE,
    CK_STEPS,
    CK_BITS,
    CK_NAN,
    CK_INF,
    CK_FLOATS_N
};
extern const char *const ck_floats_name[CK_FLOATS_N];
/** Fill with: normal; exponents of -20..20; near overflow; subnormal; zeros of both signs; one value; multiples of 1/2; any bits; one NaN; one infinity. */
void ck_fill_floats(ck *c, enum ck_floats how, float *x, size_t n);
void ck_fill_bytes(ck *c, void *p, size_t n);
/** Uniform in [lo, hi]. */
uint32_t ck_between(ck *c, uint32_t lo, uint32_t hi);

/* --- time --- */

/** Time statement `call` and print it; n elements (multiply-adds) per call. */
#define CK_BENCH(c, n, unit, call, ...)                               \
    do {                                                              \
        if ((c)->bench) {                                             \
            ck_timer ck_t;                                            \
            for (ck_timer_start(&ck_t); ck_timer_next(&ck_t);) {      \
                for (uint64_t ck_i = 0; ck_i < ck_t.repeat; ck_i++) { \
                    call;                                             \
                    __asm__ volatile("" ::: "memory");                \
                }                                                     \
            }                                                         \
            ck_timer_print(c, &ck_t, n, unit, __VA_ARGS__);           \
        }                                                             \
    } while (0)

typedef struct ck_timer {
    uint64_t repeat, began;
    int run;
    double ns[15]; /* per call, one of each run */
} ck_timer;
void ck_timer_start(ck_timer *t);
bool ck_timer_next(ck_timer *t);
void ck_timer_print(ck *c, ck_timer *t, double n, const char *unit, const char *fmt, ...) DV_PRINTF(5, 6);

#endif
