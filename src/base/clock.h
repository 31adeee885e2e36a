/* SPDX-License-Identifier: MIT */
#ifndef DV_BASE_CLOCK_H
#define DV_BASE_CLOCK_H

#include <stdint.h>

/** Monotonic time in nanoseconds. */
uint64_t dv_clock_ns(void);
/** Wall clock: milliseconds since 1970, UTC. Jumps when somebody sets it. */
uint64_t dv_clock_wall_ms(void);

#endif
