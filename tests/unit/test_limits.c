/* SPDX-License-Identifier: MIT */
/* Limits of control groups, in systems that a test makes up: folders with proc and sys in them. */
#include "base/limits.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define MIB (UINT64_C(1) << 20)

static char root[64];

static int make_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/drover-limits-XXXXXX");
    return mkdtemp(root) != NULL ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    char cmd[100];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", root);
    return system(cmd);
}

/* A file below root, and the folders that it is in. */
static void put(const char *path, const char *text)
{
    char full[300];
    snprintf(full, sizeof full, "%s/%s", root, path);
    for (char *p = strchr(full + 1, '/'); p != NULL; p = strchr(p + 1, '/')) {
        *p = 0;
        assert_true(mkdir(full, 0700) == 0 || errno == EEXIST);
        *p = '/';
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void put_meminfo(void)
{
    put("proc/meminfo", "MemTotal:        8388608 kB\nMemFree:         1048576 kB\nMemAvailable:    6291456 kB\n");
}

static void check(unsigned cores, uint64_t mem, uint64_t available)
{
    dv_limits l, without;
    dv_limits_read(&l, root);
    dv_limits_read(&without, "/nonexistent"); /* nothing but the affinity limits */
    assert_int_equal(l.cores, cores < without.cores ? cores : without.cores);
    assert_int_equal(l.mem, mem);
    assert_int_equal(l.mem_available, available);
}

static void a_machine_without_groups(void **state)
{
    (void)state;
    put_meminfo();
    check(1024, 8192 * MIB, 6144 * MIB);
    put("proc/self/cgroup", "0::/\n");
    check(1024, 8192 * MIB, 6144 * MIB);
    put("sys/fs/cgroup/cpu.max", "max 100000\n");
    put("sys/fs/cgroup/memory.max", "max\n");
    put("sys/fs/cgroup/memory.current", "1000\n");
    check(1024, 8192 * MIB, 6144 * MIB);
}

/* The smallest limit on the way up counts, and cached files do not. */
static void version_2(void **state)
{
    (void)state;
    put_meminfo();
    put("proc/self/cgroup", "0::/system.slice/drover.service\n");
    put("sys/fs/cgroup/system.slice/drover.service/memory.max", "4294967296\n");
    put("sys/fs/cgroup/system.slice/drover.service/memory.current", "1073741824\n");
    put("sys/fs/cgroup/system.slice/drover.service/memory.stat",
        "anon 100\nfile 900000000\nactive_file 268435456\ninactive_file 536870912\n");
    check(1024, 4096 * MIB, (4096 - 256) * MIB);
    put("sys/fs/cgroup/system.slice/memory.max", "2147483648\n");
    put("sys/fs/cgroup/system.slice/memory.current", "1610612736\n");
    check(1024, 2048 * MIB, 512 * MIB);
    put("sys/fs/cgroup/system.slice/memory.current", "3221225472\n"); /* over its limit already */
    check(1024, 2048 * MIB, 0);
    put("sys/fs/cgroup/system.slice/drover.service/cpu.max", "150000 100000\n");
    check(2, 2048 * MIB, 0);
    put("sys/fs/cgroup/cpu.max", "1000 100000\n");
    check(1, 2048 * MIB, 0);
}

static void version_1(void **state)
{
    (void)state;
    put_meminfo();
    put("proc/self/cgroup", "9:name=systemd:/\n5:cpu,cpuacct:/a\n4:memory:/a/b\n3:cpuset:/memory\n0::/\n");
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("sys/fs/cgroup/memory/memory.usage_in_bytes", "6000000000\n");
    check(1024, 8192 * MIB, 6144 * MIB);
    put("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1073741824\n");
    put("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "805306368\n");
    put("sys/fs/cgroup/memory/a/memory.stat", "inactive_file 1\ntotal_inactive_file 268435456\ntotal_active_file 0\n");
    put("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "2147483648\n");
    put("sys/fs/cgroup/memory/a/b/memory.usage_in_bytes", "1048576\n");
    check(1024, 1024 * MIB, 512 * MIB);
    put("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "-1\n");
    put("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
    check(1024, 1024 * MIB, 512 * MIB);
    put("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "100000\n");
    check(1, 1024 * MIB, 512 * MIB);
}

/* A container sees its own group at the top, and may be told the host's path. */
static void in_a_container(void **state)
{
    (void)state;
    put_meminfo();
    put("proc/self/cgroup", "4:memory:/docker/0123456789abcdef\n0::/../../elsewhere\n");
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n");
    put("sys/fs/cgroup/memory/memory.usage_in_bytes", "0\n");
    put("elsewhere/memory.max", "1\n");
    put("elsewhere/memory.current", "1\n");
    check(1024, 1024 * MIB, 1024 * MIB);
}

static void files_that_make_no_sense(void **state)
{
    (void)state;
    static char lines[20000];
    memset(lines, 'x', sizeof lines - 1);
    memcpy(lines, "0::/", 4);
    put_meminfo();
    put("proc/self/cgroup", lines);
    check(1024, 8192 * MIB, 6144 * MIB);
    put("proc/self/cgroup", "\n:\n::\n4:memory\n0::\n0:::/\n4:memory:\n");
    put("sys/fs/cgroup/memory.max", "");
    put("sys/fs/cgroup/memory.current", "-5\n");
    put("sys/fs/cgroup/cpu.max", "5 0\n");
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "99999999999999999999999999\n");
    put("sys/fs/cgroup/memory/memory.usage_in_bytes", "99999999999999999999999999\n");
    check(1024, 8192 * MIB, 0);
}

static void the_system_has_some(void **state)
{
    (void)state;
    const dv_limits *l = dv_limits_get();
    assert_true(l->cores >= 1 && l->mem > 0 && l->mem_available > 0 && l->mem_available <= l->mem);
    assert_ptr_equal(l, dv_limits_get());
}

int main(void)
{
#define IN_ROOT(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)
    const struct CMUnitTest tests[] = {
        IN_ROOT(a_machine_without_groups),
        IN_ROOT(version_2),
        IN_ROOT(version_1),
        IN_ROOT(in_a_container),
        IN_ROOT(files_that_make_no_sense),
        cmocka_unit_test(the_system_has_some),
    };
    return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
