/* SPDX-License-Identifier: MIT */
/* Compiler spellings, in one place. */
#ifndef DV_BASE_ATTR_H
#define DV_BASE_ATTR_H

#define DV_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define DV_WARN_UNUSED __attribute__((warn_unused_result))
#define DV_NOINLINE __attribute__((noinline))
#define DV_INLINE static inline __attribute__((always_inline))
#define DV_LIKELY(x) __builtin_expect(!!(x), 1)
#define DV_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define DV_ALIGNED(n) __attribute__((aligned(n)))
#define DV_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define DV_MIN(a, b) ((a) < (b) ? (a) : (b))
#define DV_MAX(a, b) ((a) > (b) ? (a) : (b))

#if defined(__x86_64__)
#define DV_ARCH_X86_64 1
#else
#define DV_ARCH_X86_64 0
#endif

#endif
