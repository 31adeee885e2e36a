/* SPDX-License-Identifier: MIT */
/* What this process may use of its machine: cores and memory, as its CPU affinity and its control groups leave them. */
#ifndef DV_BASE_LIMITS_H
#define DV_BASE_LIMITS_H

#include <stdint.h>

typedef struct dv_limits {
    unsigned cores; /**< affinity mask or the smallest quota of a control group; at least 1 */
    uint64_t mem;   /**< bytes: physical memory, or the smallest limit of a control group */
    uint64_t
        mem_available; /**< bytes that can be had now: MemAvailable, or what a control group leaves. Cached files count as free */
} dv_limits;

/**
 * Look at the system below a root folder: proc/meminfo, proc/self/cgroup and the groups it names in sys/fs/cgroup, version 1 and 2,
 * each with the groups above it. What is missing is no limit. Any thread.
 * @param root  "" for the system's own
 */
void dv_limits_read(dv_limits *out, const char *root);
/**
 * This system's, as it was when they were first asked for: somebody who gives up the right to read these files asks before. Any thread;
 * the same pointer always.
 */
const dv_limits *dv_limits_get(void);

#endif
