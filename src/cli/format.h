/* SPDX-License-Identifier: MIT */
/* Numbers for people: sizes, and the statistics of repeated measurements. */
#ifndef DV_CLI_FORMAT_H
#define DV_CLI_FORMAT_H

#include <stddef.h>
#include <stdint.h>

enum { DV_FORMAT_BYTES_LEN = 24 };

/** "512 B", "5.98 MiB"; returns buf. */
const char *dv_format_bytes(char buf[DV_FORMAT_BYTES_LEN], uint64_t bytes);

typedef struct dv_stats {
    double min, median, max;
} dv_stats;

/** Statistics of v[0..n), n > 0; sorts v. The median of an even count is the mean of the middle two. */
dv_stats dv_stats_of(double *v, size_t n);

/** Things per second; 0 when no time passed. */
double dv_per_second(uint64_t n, uint64_t ns);

#endif
