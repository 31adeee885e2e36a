/* SPDX-License-Identifier: MIT */
#include "cli/format.h"

#include "base/attr.h"

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
