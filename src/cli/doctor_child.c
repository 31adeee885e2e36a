/* SPDX-License-Identifier: MIT */
/* Other programs, asked one question. */
#include "base/clock.h"
#include "base/err.h"
#include "cli/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CPU_S = 30, DATA_MIB = 2048, ENV_MAX = 16 };

/* Nothing of ours that is secret. */
static const char *const kept[] = {"PATH",         "HOME",          "LANG",  "LC_ALL", "LD_LIBRARY_PATH",
                                   "ASAN_OPTIONS", "UBSAN_OPTIONS", "TMPDIR"};

static void keep_environment(char *lines[ENV_MAX])
{
    size_t n = 0;
    for (char **e = environ; *e != NULL; e++)
        for (size_t i = 0; i < DV_ARRAY_LEN(kept) && n + 1 < ENV_MAX; i++)
            if (strncmp(*e, kept[i], strlen(kept[i])) == 0 && (*e)[strlen(kept[i])] == '=')
                lines[n++] = *e;
    lines[n] = NULL;
}

static void limit(int what, rlim_t v)
{
    struct rlimit l;
    if (getrlimit(what, &l) != 0)
        return;
    l.rlim_cur = l.rlim_max = DV_MIN(v, l.rlim_max);
    (void)setrlimit(what, &l);
}

static _Noreturn void become(const char *const *argv, const char *dir, char *const *env, int out)
{
    int in = open("/dev/null", O_RDONLY);
    setpgid(0, 0);
    signal(SIGPIPE, SIG_DFL);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_CPU, CPU_S);
#ifndef __SANITIZE_ADDRESS__
    limit(RLIMIT_DATA, (rlim_t)DATA_MIB << 20);
#endif
    if (in < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0 || chdir(dir != NULL ? dir : "/") != 0)
        _exit(127);
    execve(argv[0], (char *const *)(uintptr_t)argv, env);
    _exit(127);
}

/* Until it has said all. 0, DV_EBUSY: too late; DV_ELIMIT, DV_ENOMEM of the buffer. */
static int listen_to(int fd, uint64_t end_ns, dv_buf *out)
{
    char chunk[4096];
    for (;;) {
        uint64_t now = dv_clock_ns();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (now >= end_ns)
            return DV_EBUSY;
        if (poll(&p, 1, (int)((end_ns - now) / 1000000) + 1) <= 0)
            continue;
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return DV_EIO;
        if (n > 0 && dv_buf_add(out, chunk, (size_t)n) != 0)
            return out->code;
    }
}

/* A program may close its outputs and live on. */
static int reap(pid_t pid, uint64_t end_ns, bool kill_now)
{
    int status = 0;
    for (;; usleep(5000)) {
        if (kill_now || dv_clock_ns() >= end_ns) {
            kill(-pid, SIGKILL);
            kill(pid, SIGKILL); /* it may not have its group yet */
        }
        pid_t got = waitpid(pid, &status, WNOHANG);
        if (got == pid || (got < 0 && errno != EINTR))
            return status;
    }
}

int dv__doctor_run(const char *const *argv, const char *dir, unsigned timeout_ms, dv_buf *out, dv_err *err)
{
    char *env[ENV_MAX];
    int pipes[2], status = 0;
    keep_environment(env);
    if (pipe2(pipes, O_CLOEXEC) != 0)
        return dv_fail(err, DV_EIO, "%s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0)
        become(argv, dir, env, pipes[1]);
    close(pipes[1]);
    uint64_t end_ns = dv_clock_ns() + (uint64_t)timeout_ms * 1000000;
    int rc = pid > 0 ? listen_to(pipes[0], end_ns, out) : DV_EIO;
    close(pipes[0]);
    if (pid > 0)
        status = reap(pid, end_ns, rc != 0);
    if (rc == DV_EBUSY)
        return dv_fail(err, rc, "it took longer than %u s", timeout_ms / 1000);
    if (rc != 0)
        return dv_fail(err, rc, "%s", dv_error_text(rc));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
