/* SPDX-License-Identifier: MIT */
/* Three answers to a system call. Those on the list pass. Those that a server has no use for, ever, but an intruder has, end the process: there
 * is nothing to go on with, and the supervisor starts a clean one. Any other gets ENOSYS: a C library that is newer than this list then takes
 * its older way (it does so for no other error), and a call that was forgotten here costs a request and not the server. */
#include "sandbox/filter.h"

#include "base/attr.h"
#include "base/err.h"
#include "sandbox/extended.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

/* What runs in the steady state and on the way out. A name that libseccomp does not know is skipped. */
static const char *const always[] = {
    /* descriptors that are open */
    "read", "write", "readv", "writev", "close", "fstat", "newfstatat", "lseek",
    /* connections */
    "accept4", "accept", "recvfrom", "sendto", "shutdown", "getsockopt", "setsockopt", "getsockname", "epoll_wait",
    "epoll_pwait", "epoll_pwait2", "epoll_ctl", "poll", "ppoll",
    /* memory; mmap and mprotect below */
    "munmap", "mremap", "brk", "madvise",
    /* threads */
    "futex", "futex_wait", "futex_wake", "futex_waitv", "exit", "exit_group", "set_robust_list", "rseq", "sched_yield",
    "sched_getaffinity", "sched_getparam", "sched_getscheduler", "gettid", "getpid", "membarrier", "restart_syscall",
    /* signals */
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack",
    /* time, random numbers, facts */
    "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "getrandom", "getrusage",
    "sysinfo", "uname", "getuid", "geteuid", "getgid", "getegid"};

/* The end of a unix socket: its file is looked at, and removed if it is still ours. */
static const char *const names[] = {"lstat", "stat", "statx", "unlink", "unlinkat"};

/* Cache and slot files; Landlock says where. */
static const char *const files[] = {"openat",    "open",      "rename",     "renameat",  "renameat2",
                                    "pread64",   "pwrite64",  "getdents64", "utimensat", "fsync",
                                    "fdatasync", "ftruncate", "access",     "faccessat", "faccessat2"};

/* A model is opened, and expressions of its tokenizer become code (PCRE2); then the next filter takes this away. Landlock says which files. */
static const char *const load[] = {"openat", "open", "pread64", "mmap", "mprotect", "seccomp", "prctl"};

/* Programs and processes, other processes, other privileges, other name spaces, the kernel itself, new ways out. */
/* clang-format off */
static const char *const deadly[] = {
    "execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_open", "pidfd_getfd",
    "pidfd_send_signal", "kcmp", "kill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "setuid", "setgid", "setreuid",
    "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid", "setgroups", "capset", "personality", "mount", "umount2",
    "pivot_root", "chroot", "open_tree", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "unshare",
    "setns", "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff",
    "acct", "settimeofday", "clock_settime", "sethostname", "setdomainname", "iopl", "ioperm", "modify_ldt", "bpf",
    "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "keyctl", "add_key",
    "request_key", "open_by_handle_at", "mknod", "mknodat", "memfd_create", "memfd_secret", "shmget", "shmat", "socket",
    "connect", "bind", "listen",
};
/* clang-format on */

#if DV_SANDBOX_EXTENDED
/* LeakSanitizer's process, and reports. */
static const char *const sanitizer[] = {
    "clone",     "wait4",   "waitid",  "prctl", "process_madvise", "readlink",   "readlinkat", "open",       "openat",
    "dup",       "dup2",    "pipe2",   "stat",  "lstat",           "newfstatat", "getdents",   "getdents64", "tgkill",
    "prlimit64", "mincore", "getppid", "ptrace"};
enum { N_SANITIZER = DV_ARRAY_LEN(sanitizer) };
#else
static const char *const *const sanitizer = NULL;
enum { N_SANITIZER = 0 };
#endif

typedef struct filter {
    scmp_filter_ctx ctx;
    unsigned n;
    int rc; /* first failure, negative errno */
} filter;

static int number(const char *name)
{
    int nr = seccomp_syscall_resolve_name(name);
    return nr == __NR_SCMP_ERROR ? -1 : nr;
}

static bool is_listed(const char *const *list, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], name) == 0)
            return true;
    return false;
}

static void rule(filter *f, uint32_t action, const char *name, const struct scmp_arg_cmp *cmp)
{
    int nr = number(name);
    if (nr < 0 || f->rc != 0) /* below 0 too: calls of other architectures */
        return;
    if ((cmp != NULL || action != SCMP_ACT_ALLOW) && is_listed(sanitizer, N_SANITIZER, name))
        return; /* they pass in any case */
    f->rc = seccomp_rule_add_array(f->ctx, action, nr, cmp != NULL ? 1 : 0, cmp);
    f->n += f->rc == 0 && action == SCMP_ACT_ALLOW;
}

static void allow(filter *f, const char *const *name, size_t n)
{
    for (size_t i = 0; i < n; i++)
        rule(f, SCMP_ACT_ALLOW, name[i], NULL);
}

static void allow_if(filter *f, const char *name, struct scmp_arg_cmp cmp) { rule(f, SCMP_ACT_ALLOW, name, &cmp); }

static void refuse_if(filter *f, uint32_t action, const char *name, struct scmp_arg_cmp cmp)
{
    rule(f, action, name, &cmp);
}

/* Calls that may pass with some arguments only. */
static void add_conditions(filter *f, bool loading)
{
    static const int fcntl_commands[] = {F_GETFD, F_SETFD, F_GETFL, F_SETFL};
    /* No code but the program's own: EACCES, so that PCRE2 goes on without its compiler. */
    const char *const map[] = {"mmap", "mprotect"};
    for (size_t i = 0; i < DV_ARRAY_LEN(map) && !loading; i++) {
        allow_if(f, map[i], SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
        refuse_if(f, SCMP_ACT_ERRNO(EACCES), map[i], SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC));
    }
    for (size_t i = 0; i < DV_ARRAY_LEN(fcntl_commands); i++)
        allow_if(f, "fcntl", SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)fcntl_commands[i], 0));
    /* How much can be read: libevent asks before it does. Nothing else, above all not TIOCSTI. The kernel looks at 32 bits. */
    allow_if(f, "ioctl", SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, FIONREAD));
    /* Limits may be asked for, not set. */
    allow_if(f, "prlimit64", SCMP_A2(SCMP_CMP_EQ, 0, 0));
    /* abort and assert. Signals to others are refused; Landlock does so too. */
    allow_if(f, "tgkill", SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
    refuse_if(f, SCMP_ACT_KILL_PROCESS, "tgkill", SCMP_A0(SCMP_CMP_NE, (scmp_datum_t)getpid(), 0));
    /* A thread, never a process. clone3 has its arguments in memory, which no filter can look at: after ENOSYS the C library uses clone. */
    allow_if(f, "clone", SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    refuse_if(f, SCMP_ACT_KILL_PROCESS, "clone", SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
    /* Names of threads and of memory areas. */
    if (!loading)
        allow_if(f, "prctl", SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME, 0));
}

static void add_rules(filter *f, const dv_sandbox_options *o, bool loading)
{
    allow(f, always, DV_ARRAY_LEN(always));
    if (loading)
        allow(f, load, DV_ARRAY_LEN(load));
    if (o->socket != NULL || o->n_folders > 0)
        allow(f, names, DV_ARRAY_LEN(names));
    if (o->n_folders > 0)
        allow(f, files, DV_ARRAY_LEN(files));
    allow(f, sanitizer, N_SANITIZER);
    add_conditions(f, loading);
    for (size_t i = 0; i < DV_ARRAY_LEN(deadly); i++)
        rule(f, SCMP_ACT_KILL_PROCESS, deadly[i], NULL);
}

/* For every thread that runs, or none. No mitigation of speculative stores (before Linux 5.16 a filter switches it on, at some percent of all
 * speed): it is for programs that run other people's code. */
static int set_attributes(scmp_filter_ctx ctx)
{
    int rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
    rc = rc != 0 ? rc : seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    rc = rc != 0 ? rc : seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    (void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_SSB, 1);
    return rc;
}

bool dv__seccomp_there(int *why)
{
    *why = prctl(PR_GET_SECCOMP) < 0 ? errno : 0;
    return *why == 0;
}

int dv__seccomp_enforce(const dv_sandbox_options *o, bool loading, unsigned *n_calls, dv_err *err)
{
    filter f = {.ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS))};
    if (f.ctx == NULL)
        return dv_fail(err, DV_ENOMEM, "sandbox: seccomp: %s", dv_error_text(DV_ENOMEM));
    f.rc = set_attributes(f.ctx);
    add_rules(&f, o, loading);
    if (f.rc == 0)
        f.rc = seccomp_load(f.ctx);
    seccomp_release(f.ctx);
    if (f.rc != 0)
        return dv_fail(err, f.rc == -ENOMEM ? DV_ENOMEM : DV_EIO, "sandbox: seccomp: %s", strerror(-f.rc));
    *n_calls = f.n;
    return 0;
}
