/* SPDX-License-Identifier: MIT */
#include "cli/format.h"

#include "base/attr.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

const char *dv_format_bytes(char buf[DV_FORMAT_BYTES_LEN], uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double v = (double)bytes;
    size_t u = 0;
    for (; v >= 1024 && u + 1 < DV_ARRAY_LEN(units); u++)
        v /= 1024;
    snprintf(buf, DV_FORMAT_BYTES_LEN, u == 0 ? "%.0f %s" : "%.2f %s", v, units[u]);
    return buf;
}

const char *dv_format_count(char buf[DV_FORMAT_COUNT_LEN], uint64_t n)
{
    static const char units[] = {0, 'K', 'M', 'B', 'T'};
    double v = (double)n;
    size_t u = 0;
    for (; v >= 999.5 && u + 1 < sizeof units; u++)
        v /= 1000;
    snprintf(buf, DV_FORMAT_COUNT_LEN, u == 0 || v >= 99.95 ? "%.0f%c" : "%.1f%c", v, units[u]);
    return buf;
}

const char *dv_format_span(char buf[DV_FORMAT_SPAN_LEN], uint64_t seconds)
{
    static const struct {
        uint64_t seconds, from; /* two weeks are more telling than fourteen days, thirteen days than a week */
        const char *name;
    } units[] = {{31556952, 2 * 31556952, "year"},
                 {2629746, 3 * 2629746, "month"},
                 {604800, 14 * 86400, "week"},
                 {86400, 2 * 86400, "day"},
                 {3600, 2 * 3600, "hour"},
                 {60, 2 * 60, "minute"},
                 {1, 0, "second"}};
    size_t i = 0;
    while (seconds < units[i].from)
        i++;
    uint64_t n = seconds / units[i].seconds;
    snprintf(buf, DV_FORMAT_SPAN_LEN, "%" PRIu64 " %s%s", n, units[i].name, n == 1 ? "" : "s");
    return buf;
}

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

dv_stats dv_stats_of(double *v, size_t n)
{
    qsort(v, n, sizeof *v, compare_double);
    double median = n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
    return (dv_stats){.min = v[0], .median = median, .max = v[n - 1]};
}

double dv_per_second(uint64_t n, uint64_t ns) { return ns == 0 ? 0 : (double)n * 1e9 / (double)ns; }
