/* SPDX-License-Identifier: MIT */
/* Numbers for people: sizes, times, and the statistics of repeated measurements. */
#ifndef DV_CLI_FORMAT_H
#define DV_CLI_FORMAT_H

#include <stddef.h>
#include <stdint.h>

enum { DV_FORMAT_BYTES_LEN = 24, DV_FORMAT_COUNT_LEN = 24, DV_FORMAT_SPAN_LEN = 32 };

/** "512 B", "5.98 MiB"; returns buf. */
const char *dv_format_bytes(char buf[DV_FORMAT_BYTES_LEN], uint64_t bytes);

/** "950", "596M", "3.2B": as the parameters of models are counted; returns buf. */
const char *dv_format_count(char buf[DV_FORMAT_COUNT_LEN], uint64_t n);

/** A time in its largest unit, rounded down: "90 seconds", "5 minutes", "3 hours", "2 days", "7 weeks", "4 months", "2 years"; returns buf. */
const char *dv_format_span(char buf[DV_FORMAT_SPAN_LEN], uint64_t seconds);

typedef struct dv_stats {
    double min, median, max;
} dv_stats;

/** Statistics of v[0..n), n > 0; sorts v. The median of an even count is the mean of the middle two. */
dv_stats dv_stats_of(double *v, size_t n);

/** Things per second; 0 when no time passed. */
double dv_per_second(uint64_t n, uint64_t ns);

#endif
