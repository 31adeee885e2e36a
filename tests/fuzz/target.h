/* SPDX-License-Identifier: MIT */
/* What a fuzz target defines. It takes any bytes, never keeps state between calls, and survives any allocation
 * failing. */
#ifndef DV_FUZZ_TARGET_H
#define DV_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** An invariant of a target: abort, release builds included, so that the fuzzer sees it. */
#define DV_FUZZ_CHECK(x)      \
    do {                      \
        if (!(x))             \
            __builtin_trap(); \
    } while (0)

#endif
