/* SPDX-License-Identifier: MIT */
#include "fleet/child.h"

#include "base/attr.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { POLL_MS = 50 }; /* where there are no pidfds: how often a child is asked for */

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 4
#endif

/* ---- between fork and exec: only what may be called there, no allocation ---- */

static void set_limit(int what, rlim_t value)
{
    struct rlimit l;
    if (getrlimit(what, &l) != 0)
        return;
    l.rlim_cur = DV_MIN(value, l.rlim_max);
    l.rlim_max = l.rlim_cur;
    (void)setrlimit(what, &l);
}

/* Before us: an engine that eats the machine's memory is what the system shall end. */
static void offer_to_oom_killer(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = write(fd, "800", 3);
    (void)n;
    close(fd);
}

static void close_others(int keep)
{
    if (syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC) == 0)
        return;
    struct rlimit l;
    int max = getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < 65536 ? (int)l.rlim_cur : 65536;
    for (int fd = 3; fd < max; fd++)
        if (fd != keep)
            close(fd);
}

static void reset_signals(void)
{
    sigset_t none;
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void become(const dv__command *cmd, int in, int out, int status, pid_t parent)
{
    setpgid(0, 0);
    reset_signals();
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(127);
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        _exit(127);
    offer_to_oom_killer();
    close_others(status);
    set_limit(RLIMIT_CORE, 0);
    if (cmd->max_data != 0 && !cmd->plain)
        set_limit(RLIMIT_DATA, cmd->max_data);
    if (cmd->max_cpu_s != 0)
        set_limit(RLIMIT_CPU, cmd->max_cpu_s);
    umask(077);
    if (chdir(cmd->dir != NULL ? cmd->dir : "/") == 0)
        execve(cmd->file, (char *const *)cmd->argv, (char *const *)cmd->env);
    int e = errno;
    ssize_t n = write(status, &e, sizeof e);
    (void)n;
    _exit(127);
}

/* ---- output ---- */

static void end_line(dv__child *c)
{
    size_t n = c->len;
    if (n > 0 && c->line[n - 1] == '\r')
        n--;
    c->line[n] = 0;
    c->len = 0;
    c->cut = false;
    if (n > 0)
        c->on_line(c->arg, c->line, n);
}

static void take_output(dv__child *c, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\n')
            end_line(c);
        else if (c->len == DV__LINE_MAX)
            c->cut = true;
        else if (p[i] != 0)
            c->line[c->len++] = p[i];
    }
}

/* Whether a little more may be read in this second. */
static bool may_read(dv__child *c)
{
    uint64_t now = dv_clock_ns();
    if (now - c->window_ns >= 1000000000) {
        c->window_ns = now;
        c->window_bytes = 0;
    }
    return c->window_bytes < DV__OUTPUT_PER_SECOND;
}

/* What there is; 0 at the end of it. */
static ssize_t read_some(dv__child *c)
{
    char chunk[8192];
    ssize_t n = read(c->out, chunk, sizeof chunk);
    if (n > 0) {
        c->window_bytes += (size_t)n;
        take_output(c, chunk, (size_t)n);
    }
    return n;
}

static void on_output(evutil_socket_t fd, short what, void *arg)
{
    dv__child *c = arg;
    if (!may_read(c)) {
        const struct timeval wait = {.tv_usec = 200000};
        event_del(c->on_output);
        event_add(c->on_pause, &wait);
        return;
    }
    ssize_t n = read_some(c);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        event_del(c->on_output); /* it has closed them; it will end, or not */
}

static void on_pause(evutil_socket_t fd, short what, void *arg)
{
    dv__child *c = arg;
    event_add(c->on_output, NULL);
}

/* ---- the end ---- */

static void free_event(struct event **e)
{
    if (*e != NULL)
        event_free(*e);
    *e = NULL;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void forget(dv__child *c)
{
    free_event(&c->on_end);
    free_event(&c->on_output);
    free_event(&c->on_pause);
    close_fd(&c->pidfd);
    close_fd(&c->out);
    dv_free(c->line);
    c->line = NULL;
    c->pid = 0;
}

static void on_end(evutil_socket_t fd, short what, void *arg)
{
    dv__child *c = arg;
    siginfo_t seen = {0};
    int status = 0;
    if (waitid(P_PID, (id_t)c->pid, &seen, WEXITED | WNOHANG | WNOWAIT) != 0 || seen.si_pid == 0)
        return;
    kill(-c->pid, SIGKILL); /* what it started goes with it; its number is not anybody else's before it is waited for */
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    for (size_t all = 0; all < DV__OUTPUT_PER_SECOND;) {
        ssize_t n = read_some(c);
        if (n <= 0)
            break;
        all += (size_t)n;
    }
    end_line(c);
    forget(c);
    c->on_exit(c->arg, status);
}

void dv__child_signal(const dv__child *c, int signo)
{
    if (c->pid > 0)
        kill(-c->pid, signo);
}

void dv__child_fini(dv__child *c)
{
    if (c->pid <= 0)
        return;
    kill(-c->pid, SIGKILL);
    kill(c->pid, SIGKILL);
    while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    forget(c);
}

const char *dv__child_status(int status, char *buf, size_t cap)
{
    if (WIFSIGNALED(status))
        snprintf(buf, cap, "was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(buf, cap, "exited with status %d", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    return buf;
}

/* ---- the beginning ---- */

typedef struct pipes {
    int in, out[2], status[2];
} pipes;

static int open_pipes(pipes *p, dv_err *err)
{
    *p = (pipes){-1, {-1, -1}, {-1, -1}};
    p->in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (p->in < 0 || pipe2(p->out, O_CLOEXEC) != 0 || pipe2(p->status, O_CLOEXEC) != 0 ||
        fcntl(p->out[0], F_SETFL, O_NONBLOCK) != 0)
        return dv_fail(err, DV_EIO, "pipe: %s", strerror(errno));
    return 0;
}

static void close_pipes(pipes *p)
{
    close_fd(&p->in);
    close_fd(&p->out[0]);
    close_fd(&p->out[1]);
    close_fd(&p->status[0]);
    close_fd(&p->status[1]);
}

/* What kept it from running the program: an errno that comes through the pipe, which a program that runs has closed. */
static int exec_error(int fd)
{
    int e = 0;
    ssize_t n;
    do
        n = read(fd, &e, sizeof e);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof e ? e : 0;
}

static int watch(dv__child *c)
{
    const struct timeval poll = {.tv_usec = POLL_MS * 1000};
    c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
    if (c->pidfd >= 0) {
        fcntl(c->pidfd, F_SETFD, FD_CLOEXEC);
        c->on_end = event_new(c->base, c->pidfd, EV_READ | EV_PERSIST, on_end, c);
    } else {
        c->on_end = event_new(c->base, -1, EV_PERSIST, on_end, c);
    }
    c->on_output = event_new(c->base, c->out, EV_READ | EV_PERSIST, on_output, c);
    c->on_pause = event_new(c->base, -1, 0, on_pause, c);
    if (c->on_end == NULL || c->on_output == NULL || c->on_pause == NULL)
        return DV_ENOMEM;
    if (event_add(c->on_end, c->pidfd >= 0 ? NULL : &poll) != 0 || event_add(c->on_output, NULL) != 0)
        return DV_ENOMEM;
    return 0;
}

static int spawn(dv__child *c, const dv__command *cmd, pipes *p, dv_err *err)
{
    pid_t self = getpid();
    c->pid = fork();
    if (c->pid == 0)
        become(cmd, p->in, p->out[1], p->status[1], self);
    if (c->pid < 0) {
        c->pid = 0;
        return dv_fail(err, errno == ENOMEM ? DV_ENOMEM : DV_EIO, "fork: %s", strerror(errno));
    }
    setpgid(c->pid, c->pid); /* whoever of us comes first */
    c->out = p->out[0];
    p->out[0] = -1;
    close_fd(&p->status[1]);
    int e = exec_error(p->status[0]), rc = 0;
    if (e != 0)
        rc = dv_fail(err, e == EACCES ? DV_EACCES : e == ENOENT ? DV_ENOENT : DV_EIO, "%s: %s", cmd->file, strerror(e));
    else if (watch(c) != 0)
        rc = dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    if (rc != 0)
        dv__child_fini(c);
    return rc;
}

int dv__child_start(dv__child *c, const dv__command *cmd, dv_err *err)
{
    pipes p;
    c->pidfd = c->out = -1;
    c->pid = 0;
    c->len = c->window_bytes = 0;
    c->cut = false;
    c->on_end = c->on_output = c->on_pause = NULL;
    c->line = dv_alloc(DV_MEM_FLEET, DV__LINE_MAX + 1);
    if (c->line == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    int rc = open_pipes(&p, err);
    if (rc == 0)
        rc = spawn(c, cmd, &p, err);
    close_pipes(&p);
    if (rc != 0)
        forget(c);
    return rc;
}
