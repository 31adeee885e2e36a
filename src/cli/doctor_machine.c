/* SPDX-License-Identifier: MIT */
/* CPU, memory and what else the system gives a process. */
#include "base/cpu.h"
#include "base/err.h"
#include "cli/doctor.h"
#include "cli/format.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FILES_BESIDE = 256 }; /* besides connections: database, logs, engines, models */

/* "Name:  123 kB" of meminfo, in bytes. */
static uint64_t meminfo(const dv__doctor *d, const char *name)
{
    char path[PATH_MAX], line[128];
    uint64_t v = 0;
    size_t n = strlen(name);
    snprintf(path, sizeof path, "%s/proc/meminfo", d->root);
    FILE *f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, name, n) == 0 && line[n] == ':')
            v = strtoull(line + n + 1, NULL, 10) * 1024;
    if (f != NULL)
        fclose(f);
    return v;
}

static void check_cpu(dv__doctor *d)
{
    const char *level = dv_cpu_level_name(d->cpu), *name = dv_cpu_model_name();
    dv__doctor_say(d, (d->cpu & DV_CPU_AVX2) != 0 ? DV__FINDING_OK : DV__FINDING_WARNING,
                   "CPU: %s, kernels %s, %u core%s", name[0] != 0 ? name : "unknown", level, d->limits.cores,
                   d->limits.cores == 1 ? "" : "s");
    if ((d->cpu & DV_CPU_AVX2) == 0)
        dv__doctor_advise(
            d,
            "without AVX2 models are many times slower: in a virtual machine let the guest see the host's CPU (host-passthrough)");
    if (d->conf == NULL || d->conf->defaults.threads <= (int64_t)d->limits.cores)
        return;
    dv__doctor_say(d, DV__FINDING_WARNING, "defaults.threads is %" PRId64 ", more than the cores",
                   d->conf->defaults.threads);
    dv__doctor_advise(d, "set it to auto, or to %u: threads that wait for a core hold up the others", d->limits.cores);
}

static void check_memory(dv__doctor *d)
{
    char all[DV_FORMAT_BYTES_LEN], free_now[DV_FORMAT_BYTES_LEN], machine[DV_FORMAT_BYTES_LEN],
        reserve[DV_FORMAT_BYTES_LEN];
    const dv_limits *l = &d->limits;
    bool grouped = meminfo(d, "MemTotal") > l->mem;
    uint64_t keep = d->conf != NULL ? (uint64_t)d->conf->limits.memory_reserve_bytes : 0;
    dv_format_bytes(all, l->mem);
    dv_format_bytes(free_now, l->mem_available);
    dv__doctor_say(d, l->mem_available < keep ? DV__FINDING_WARNING : DV__FINDING_OK, "memory: %s%s%s, %s available",
                   all, grouped ? " in this control group, of the machine's " : "",
                   grouped ? dv_format_bytes(machine, meminfo(d, "MemTotal")) : "", free_now);
    if (l->mem_available < keep)
        dv__doctor_advise(d, "less than limits.memory_reserve (%s): new work is refused. Make room, or set it lower",
                          dv_format_bytes(reserve, keep));
}

static void check_residency(dv__doctor *d)
{
    char wanted[DV_FORMAT_BYTES_LEN], there[DV_FORMAT_BYTES_LEN];
    uint64_t bytes = (uint64_t)d->conf->residency.bytes, reserve = (uint64_t)d->conf->residency.reserve_bytes;
    if (bytes > d->limits.mem) {
        dv__doctor_say(d, DV__FINDING_WARNING, "residency.memory (%s) is more than there is (%s)",
                       dv_format_bytes(wanted, bytes), dv_format_bytes(there, d->limits.mem));
        dv__doctor_advise(
            d,
            "set it to auto: models that are counted into memory that is not there make the machine swap, or end processes");
    } else if (bytes == 0 && reserve >= d->limits.mem) {
        dv__doctor_say(d, DV__FINDING_PROBLEM, "residency.reserve (%s) leaves nothing of %s for models",
                       dv_format_bytes(wanted, reserve), dv_format_bytes(there, d->limits.mem));
        dv__doctor_advise(d, "set residency.reserve lower");
    }
}

static void check_swap(dv__doctor *d)
{
    char used[DV_FORMAT_BYTES_LEN], all[DV_FORMAT_BYTES_LEN];
    uint64_t total = meminfo(d, "SwapTotal"), rest = meminfo(d, "SwapFree"), taken = total > rest ? total - rest : 0;
    if (total == 0) {
        dv__doctor_say(d, DV__FINDING_OK, "swap: none");
        return;
    }
    dv__doctor_say(d, taken > total / 2 ? DV__FINDING_WARNING : DV__FINDING_OK, "swap: %s of %s used",
                   dv_format_bytes(used, taken), dv_format_bytes(all, total));
    if (taken > total / 2)
        dv__doctor_advise(
            d,
            "a model that is swapped out answers very slowly: load fewer (residency.memory), or give the machine more memory");
}

/* The word in brackets: "always [madvise] never". */
static void check_huge_pages(dv__doctor *d)
{
    char path[PATH_MAX], text[128] = "";
    snprintf(path, sizeof path, "%s/sys/kernel/mm/transparent_hugepage/enabled", d->root);
    FILE *f = fopen(path, "re");
    char *got = f != NULL ? fgets(text, sizeof text, f) : NULL, *open = got != NULL ? strchr(got, '[') : NULL;
    if (f != NULL)
        fclose(f);
    if (open == NULL)
        return;
    open[strcspn(open, "]")] = 0;
    dv__doctor_say(d, DV__FINDING_OK, "transparent huge pages: %s (any setting will do)", open + 1);
}

static void check_open_files(dv__doctor *d)
{
    uint64_t need = (uint64_t)d->conf->limits.connections + FILES_BESIDE;
    if (d->files >= need) {
        dv__doctor_say(d, DV__FINDING_OK, "open files: enough for limits.connections");
        return;
    }
    dv__doctor_say(d, DV__FINDING_WARNING,
                   "open files: this process may have %" PRIu64 ", which is not enough for limits.connections (%" PRId64
                   ")",
                   d->files, d->conf->limits.connections);
    dv__doctor_advise(d,
                      "start drover serve after `ulimit -n %" PRIu64 "`, with LimitNOFILE=%" PRIu64
                      " in its unit, or with fewer connections",
                      need, need);
}

/* Keys, sessions, limits and certificates go by the clock. */
static void check_clock(dv__doctor *d)
{
    enum { DAY = 86400 };
    static const uint64_t last_s = 4102444800; /* 2100 */
    if (d->now_s + DAY >= d->made_s && d->now_s < last_s) {
        dv__doctor_say(d, DV__FINDING_OK, "clock: plausible");
        return;
    }
    dv__doctor_say(d, DV__FINDING_PROBLEM, "clock: it is %s",
                   d->now_s >= last_s ? "beyond the year 2100" : "before this program was made");
    dv__doctor_advise(d, "set it (timedatectl set-ntp true): what keys and certificates may do depends on it");
}

void dv__doctor_machine(dv__doctor *d)
{
    check_cpu(d);
    check_memory(d);
    if (d->conf != NULL)
        check_residency(d);
    check_swap(d);
    check_huge_pages(d);
    if (d->conf != NULL)
        check_open_files(d);
    check_clock(d);
}

/* ---- the sandbox ---- */

/* Between fork and _exit: the system is asked by doing it. */
static void confine_and_tell(int fd)
{
    dv_sandbox_report r = {0};
    dv_err err = {0};
    const dv_sandbox_options o = {0};
    int rc = dv_sandbox_confine(&o, &r, &err);
    rc = rc != 0 ? rc : dv_sandbox_seal(&o, &r, &err);
    if (rc == 0)
        rc = write(fd, &r, sizeof r) == sizeof r ? 0 : DV_EIO;
    _exit(rc == 0 ? 0 : 1);
}

int dv__doctor_try_sandbox(dv_sandbox_report *r, dv_err *err)
{
    int pipes[2], status = 0;
    if (pipe(pipes) != 0)
        return dv_fail(err, DV_EIO, "%s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0)
        confine_and_tell(pipes[1]);
    close(pipes[1]);
    ssize_t n = pid > 0 ? read(pipes[0], r, sizeof *r) : -1;
    close(pipes[0]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (n == sizeof *r && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return dv_fail(err, DV_EIO, "a process that gave up its rights did not live to tell");
}

void dv__doctor_sandbox(dv__doctor *d, int mode, const dv_sandbox_report *r)
{
    char text[DV_SANDBOX_TEXT];
    bool whole = dv_sandbox_whole(r);
    dv_sandbox_text(r, text);
    if (mode == DV_CONF_SANDBOX_OFF) {
        dv__doctor_say(d, DV__FINDING_WARNING, "security.sandbox is off; possible here is: %s", text);
        dv__doctor_advise(
            d,
            "take it away, unless something does not work with it: a model file that was made to break in would reach all of this user's files");
        return;
    }
    dv__doctor_say(d,
                   whole                             ? DV__FINDING_OK
                   : mode == DV_CONF_SANDBOX_REQUIRE ? DV__FINDING_PROBLEM
                                                     : DV__FINDING_WARNING,
                   "%s", text);
    if (!whole)
        dv__doctor_advise(
            d,
            "a kernel from 5.13 on with Landlock and seccomp has all of it (CONFIG_SECURITY_LANDLOCK, lsm=landlock,...); containers may "
            "forbid the system calls. docs/sandbox.md says what is missing without");
}
