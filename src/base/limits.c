/* SPDX-License-Identifier: MIT */
#include "base/limits.h"

#include "base/attr.h"

#include <ctype.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 4200, LINE_SIZE = 4200 };

static FILE *open_in(const char *folder, const char *name)
{
    char path[2 * PATH_SIZE];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return fopen(path, "re");
}

/* One or two numbers of a small file; false when it is missing or holds no number ("max", "-1"). */
static bool read_numbers(const char *folder, const char *name, uint64_t *first, uint64_t *second)
{
    char text[64], *end;
    FILE *f = open_in(folder, name);
    if (f == NULL)
        return false;
    bool ok = fgets(text, sizeof text, f) != NULL && isdigit((unsigned char)text[0]);
    fclose(f);
    if (!ok)
        return false;
    *first = strtoull(text, &end, 10);
    if (second != NULL)
        *second = strtoull(end, NULL, 10);
    return true;
}

/* Sum of the numbers behind two keys, of lines such as "KEY 123" or "KEY:  123 kB". */
static uint64_t read_keys(const char *folder, const char *name, const char *a, const char *b)
{
    char line[128];
    uint64_t sum = 0;
    FILE *f = open_in(folder, name);
    if (f == NULL)
        return 0;
    while (fgets(line, sizeof line, f) != NULL) {
        size_t n = strcspn(line, ": ");
        bool wanted = (n == strlen(a) && memcmp(line, a, n) == 0) || (n == strlen(b) && memcmp(line, b, n) == 0);
        sum += wanted ? strtoull(line + n + 1, NULL, 10) : 0;
    }
    fclose(f);
    return sum;
}

static void limit_cores(dv_limits *l, uint64_t quota, uint64_t period)
{
    if (period > 0)
        l->cores = (unsigned)DV_MIN((uint64_t)l->cores, DV_MAX((quota + period - 1) / period, UINT64_C(1)));
}

/* Files in the cache are counted as used by their group, and are given up before anything else is. */
static void limit_memory(dv_limits *l, uint64_t limit, uint64_t used, uint64_t files)
{
    l->mem = DV_MIN(l->mem, limit);
    used -= DV_MIN(used, files);
    l->mem_available = DV_MIN(l->mem_available, limit - DV_MIN(limit, used));
}

/* A group says what it limits; each version has names of its own. */
static void apply_group(dv_limits *l, const char *folder)
{
    uint64_t a, b;
    if (read_numbers(folder, "memory.max", &a, NULL) && read_numbers(folder, "memory.current", &b, NULL))
        limit_memory(l, a, b, read_keys(folder, "memory.stat", "inactive_file", "active_file"));
    if (read_numbers(folder, "memory.limit_in_bytes", &a, NULL) &&
        read_numbers(folder, "memory.usage_in_bytes", &b, NULL))
        limit_memory(l, a, b, read_keys(folder, "memory.stat", "total_inactive_file", "total_active_file"));
    if (read_numbers(folder, "cpu.max", &a, &b))
        limit_cores(l, a, b);
    if (read_numbers(folder, "cpu.cfs_quota_us", &a, NULL) && read_numbers(folder, "cpu.cfs_period_us", &b, NULL))
        limit_cores(l, a, b);
}

/* The group and all above it. In a container the path may be that of the host: then there is only the top, which is the container's. */
static void apply_groups(dv_limits *l, const char *root, const char *tree, const char *group)
{
    char folder[PATH_SIZE];
    int top = snprintf(folder, sizeof folder, "%s/sys/fs/cgroup%s", root, tree);
    int n = top + snprintf(folder + top, sizeof folder - (size_t)top, "%s", group);
    if (n >= (int)sizeof folder || strstr(group, "/..") != NULL)
        folder[top] = 0;
    for (char *slash; (slash = strrchr(folder, '/')) >= folder + top; *slash = 0)
        apply_group(l, folder);
    apply_group(l, folder);
}

static bool has_name(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = list; at != NULL; at = strchr(at, ',') != NULL ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, name, n) == 0 && (at[n] == ',' || at[n] == 0))
            return true;
    return false;
}

/* A line of proc/self/cgroup: "4:memory:/group" of version 1, "0::/group" of version 2. */
static void apply_line(dv_limits *l, const char *root, char *line)
{
    char *names = strchr(line, ':'), *group = names != NULL ? strchr(++names, ':') : NULL;
    if (group == NULL)
        return;
    *group++ = 0;
    group[strcspn(group, "\n")] = 0;
    if (names[0] == 0) {
        apply_groups(l, root, "", group);
        apply_groups(l, root, "/unified", group);
    }
    if (has_name(names, "memory"))
        apply_groups(l, root, "/memory", group);
    if (has_name(names, "cpu"))
        apply_groups(l, root, "/cpu", group);
}

static unsigned cores_of_affinity(void)
{
    cpu_set_t set;
    long n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (unsigned)n : 1;
}

void dv_limits_read(dv_limits *out, const char *root)
{
    char proc[PATH_SIZE], line[LINE_SIZE];
    snprintf(proc, sizeof proc, "%s/proc", root);
    *out = (dv_limits){.cores = cores_of_affinity(),
                       .mem = read_keys(proc, "meminfo", "MemTotal", "") * 1024,
                       .mem_available = read_keys(proc, "meminfo", "MemAvailable", "") * 1024};
    FILE *f = open_in(proc, "self/cgroup");
    if (f == NULL)
        return;
    while (fgets(line, sizeof line, f) != NULL)
        apply_line(out, root, line);
    fclose(f);
}

static dv_limits of_the_system;

static void look(void) { dv_limits_read(&of_the_system, ""); }

const dv_limits *dv_limits_get(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, look);
    return &of_the_system;
}
