/* SPDX-License-Identifier: MIT */
#include "provider/process.h"

#include "base/attr.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 4
#endif

/* ---- between fork and exec: the program may have threads, so nothing here takes a lock or memory ---- */

static void reset_signals(void)
{
    sigset_t none;
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* All but the standard streams go at exec, so that failing to exec can still be told. */
static void close_others(void)
{
    struct rlimit l;
    if (syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC) == 0)
        return;
    int max = getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < 65536 ? (int)l.rlim_cur : 65536;
    for (int fd = 3; fd < max; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* Rather the engine than the program that asks it, should the machine run out of memory. */
static void offer_to_oom_killer(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = write(fd, "800", 3);
    (void)n;
    close(fd);
}

static _Noreturn void become(const dv__process *p, int in, int out, int status, pid_t parent)
{
    const struct rlimit no_core = {0, 0};
    setsid(); /* Ctrl-C is for the program in the terminal, which knows what it means */
    reset_signals();
    /* The parent may be gone already, and then nobody tells. */
    bool ok = prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent;
    /* Copies at 3 and above first: the pipes may have been given the numbers of standard streams that the program has closed. */
    in = fcntl(in, F_DUPFD_CLOEXEC, 3);
    out = fcntl(out, F_DUPFD_CLOEXEC, 3);
    status = fcntl(status, F_DUPFD_CLOEXEC, 3);
    ok = ok && in >= 0 && out >= 0 && status >= 0 && dup2(in, 0) == 0 && dup2(out, 1) == 1 && dup2(out, 2) == 2;
    close_others();
    offer_to_oom_killer();
    setrlimit(RLIMIT_CORE, &no_core);
    umask(077);
    if (ok && chdir("/") == 0)
        execve(p->argv[0], (char *const *)(uintptr_t)p->argv, (char *const *)(uintptr_t)p->env);
    int e = errno != 0 ? errno : EIO;
    ssize_t n = write(status, &e, sizeof e);
    (void)n;
    _exit(127);
}

/* ---- the keeper ---- */

typedef struct pipes {
    int in, out[2], status[2];
} pipes;

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void close_pipes(pipes *q)
{
    close_fd(&q->in);
    close_fd(&q->out[0]);
    close_fd(&q->out[1]);
    close_fd(&q->status[0]);
    close_fd(&q->status[1]);
}

static bool open_pipes(pipes *q)
{
    *q = (pipes){-1, {-1, -1}, {-1, -1}};
    q->in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return q->in >= 0 && pipe2(q->out, O_CLOEXEC | O_NONBLOCK) == 0 && pipe2(q->status, O_CLOEXEC) == 0;
}

/* An errno that comes through the pipe, which a program that runs has closed. */
static int exec_errno(int fd)
{
    int e = 0;
    ssize_t n;
    do
        n = read(fd, &e, sizeof e);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof e ? e : 0;
}

static int fork_child(dv__process *p)
{
    pipes q;
    pid_t self = getpid();
    int e = 0;
    if (!open_pipes(&q)) {
        e = errno;
    } else if ((p->pid = fork()) == 0) {
        /* What it writes shall wait for room, as writers expect; our own end need not. */
        fcntl(q.out[1], F_SETFL, 0);
        become(p, q.in, q.out[1], q.status[1], self);
    } else if (p->pid < 0) {
        e = errno;
    } else {
        p->pidfd = pidfd_open(p->pid, 0);
        e = p->pidfd < 0 ? errno : 0;
        close_fd(&q.status[1]);
        if (e == 0)
            e = exec_errno(q.status[0]);
        p->out = q.out[0];
        q.out[0] = -1;
        if (e != 0) {
            kill(p->pid, SIGKILL);
            waitpid(p->pid, NULL, 0);
            close_fd(&p->pidfd);
            close_fd(&p->out);
        }
    }
    close_pipes(&q);
    return e;
}

/* Keep the end of it. @return whether there was something */
static bool read_some(dv__process *p)
{
    char chunk[DV__LAST_WORDS];
    ssize_t n = read(p->out, chunk, sizeof chunk);
    if (n <= 0)
        return n < 0 && errno == EINTR;
    size_t keep = DV_MIN(p->n_last, DV__LAST_WORDS - (size_t)n);
    memmove(p->last, p->last + p->n_last - keep, keep);
    memcpy(p->last + keep, chunk, (size_t)n);
    p->n_last = keep + (size_t)n;
    return true;
}

static void *keep(void *arg)
{
    dv__process *p = arg;
    p->start_errno = fork_child(p);
    bool runs = p->start_errno == 0;
    sem_post(&p->started); /* what was set before is the starter's from here on, the rest ours until the end */
    if (!runs)
        return NULL;
    struct pollfd fds[] = {{.fd = p->out, .events = POLLIN}, {.fd = p->pidfd, .events = POLLIN}};
    while ((fds[1].revents & POLLIN) == 0) {
        if (poll(fds, 2, -1) > 0 && fds[0].revents != 0 && !read_some(p))
            fds[0].fd = -1; /* it has closed them; it will end, or not */
    }
    while (fds[0].fd >= 0 && read_some(p))
        continue;
    while (waitpid(p->pid, &p->status, 0) < 0 && errno == EINTR)
        continue;
    return NULL;
}

/* ---- for the thread that calls ---- */

static void forget(dv__process *p)
{
    pthread_join(p->keeper, NULL);
    sem_destroy(&p->started);
    close_fd(&p->pidfd);
    close_fd(&p->out);
    p->there = false;
}

int dv__process_start(dv__process *p, dv_err *err)
{
    sigset_t all, before;
    p->pidfd = p->out = p->status = -1;
    p->pid = 0;
    p->n_last = 0;
    sem_init(&p->started, 0, 0);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int e = pthread_create(&p->keeper, NULL, keep, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (e != 0) {
        sem_destroy(&p->started);
        return dv_fail(err, e == EAGAIN ? DV_ENOMEM : DV_EIO, "a thread: %s", strerror(e));
    }
    while (sem_wait(&p->started) != 0)
        continue;
    p->there = true;
    e = p->start_errno;
    if (e == 0)
        return 0;
    forget(p);
    return dv_fail(err,
                   e == ENOENT   ? DV_ENOENT
                   : e == EACCES ? DV_EACCES
                   : e == ENOMEM ? DV_ENOMEM
                                 : DV_EIO,
                   "%s: %s", p->argv[0], strerror(e));
}

bool dv__process_wait(const dv__process *p, unsigned ms)
{
    struct pollfd fd = {.fd = p->pidfd, .events = POLLIN};
    int n;
    do
        n = poll(&fd, 1, (int)ms);
    while (n < 0 && errno == EINTR);
    return n > 0;
}

bool dv__process_runs(const dv__process *p) { return p->there && !dv__process_wait(p, 0); }

void dv__process_stop(dv__process *p, unsigned grace_ms)
{
    if (!p->there)
        return;
    if (grace_ms > 0) {
        pidfd_send_signal(p->pidfd, SIGTERM, NULL, 0);
        pidfd_send_signal(p->pidfd, SIGCONT, NULL, 0);
    }
    if (grace_ms == 0 || !dv__process_wait(p, grace_ms))
        pidfd_send_signal(p->pidfd, SIGKILL, NULL, 0);
    forget(p);
}

int dv__process_why(const dv__process *p, int code, const char *what, dv_err *err)
{
    size_t end = p->n_last;
    while (end > 0 && (p->last[end - 1] == '\n' || p->last[end - 1] == '\r'))
        end--;
    size_t begin = end;
    while (begin > 0 && p->last[begin - 1] != '\n')
        begin--;
    const char *how = p->status == -1          ? "ended"
                      : WIFSIGNALED(p->status) ? strsignal(WTERMSIG(p->status))
                                               : "exited with status";
    int n = p->status != -1 && WIFEXITED(p->status) ? WEXITSTATUS(p->status) : 0;
    return dv_fail(err, code, "%s: %.*s (%s %d)", what, (int)(end - begin), p->last + begin, how, n);
}
