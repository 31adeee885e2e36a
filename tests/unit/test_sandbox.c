/* SPDX-License-Identifier: MIT */
/* Children that give up their rights and then try what they must not, and what they must still be able to do. */
#include "base/attr.h"
#include "base/err.h"
#include "sandbox/extended.h"
#include "sandbox/landlock.h"
#include "sandbox/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char top[] = "/tmp/drover-sandbox-XXXXXX";
static char model[64], other[64], folder[64], in_folder[80], escape[80], sock[64], other_sock[80];
static int listener, pair[2];
static uint16_t port, port_other;
static int abi;

/* ---- children ---- */

static dv_sandbox_options options(void)
{
    static const char *read[1], *folders[1];
    read[0] = model;
    folders[0] = folder;
    return (dv_sandbox_options){
        .read = read, .n_read = 1, .folders = folders, .n_folders = 1, .socket = sock, .tcp = true, .port = port};
}

/* A child's claim: says which one failed. */
#define MUST(x)                                                                           \
    do {                                                                                  \
        if (!(x)) {                                                                       \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #x, strerror(errno)); \
            _exit(1);                                                                     \
        }                                                                                 \
    } while (0)
#define FAILS_WITH(code, x) MUST((errno = 0, (x) < 0) && errno == (code))

static dv_sandbox_report confined(void)
{
    dv_sandbox_options o = options();
    dv_sandbox_report r;
    dv_err err = {0};
    if (dv_sandbox_confine(&o, &r, &err) != 0) {
        fprintf(stderr, "%s\n", err.msg);
        _exit(2);
    }
    return r;
}

static void seal(dv_sandbox_report *r, const dv_sandbox_options *o)
{
    dv_err err = {0};
    if (dv_sandbox_seal(o, r, &err) != 0) {
        fprintf(stderr, "%s\n", err.msg);
        _exit(2);
    }
}

static void sealed(void)
{
    dv_sandbox_options o = options();
    dv_sandbox_report r = confined();
    seal(&r, &o);
    MUST(dv_sandbox_whole(&r) == (abi > 0));
}

/* No folder and no socket: nothing to open any more. */
static void sealed_shut(void)
{
    dv_sandbox_options o = options();
    o.n_folders = 0;
    o.socket = NULL;
    dv_sandbox_report r;
    dv_err err = {0};
    MUST(dv_sandbox_confine(&o, &r, &err) == 0);
    seal(&r, &o);
}

/* What waitpid says about a child that does this. */
static int child(void (*fn)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(30);
        fn();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void ends_well(void (*fn)(void))
{
    int status = child(fn);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("status %x", (unsigned)status);
}

static int open_close(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return fd;
}

static int tcp(void) { return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); }

static struct sockaddr_in loopback(uint16_t at)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(at), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int connect_to(uint16_t at)
{
    struct sockaddr_in sa = loopback(at);
    return connect(tcp(), (struct sockaddr *)&sa, sizeof sa);
}

static int bind_to(uint16_t at)
{
    struct sockaddr_in sa = loopback(at);
    return bind(tcp(), (struct sockaddr *)&sa, sizeof sa);
}

static int bind_unix(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
    return bind(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), (struct sockaddr *)&sa, sizeof sa);
}

/* ---- the first step ---- */

static void try_files(void)
{
    confined();
    MUST(open_close(model, O_RDONLY) >= 0);
    FAILS_WITH(EACCES, open_close(model, O_WRONLY));
    FAILS_WITH(EACCES, open_close(other, O_WRONLY));
    FAILS_WITH(EACCES, open_close("/etc/passwd", O_WRONLY));
    FAILS_WITH(EACCES, unlink(other));
    FAILS_WITH(EACCES, mkdir(other_sock, 0700));
    FAILS_WITH(ENOENT, open_close("/nobody/is/here", O_RDONLY));
    if (DV_SANDBOX_EXTENDED)
        return;
    FAILS_WITH(EACCES, open_close(other, O_RDONLY));
    FAILS_WITH(EACCES, open_close("/etc/passwd", O_RDONLY));
    FAILS_WITH(EACCES, open_close("/proc/self/mem", O_RDONLY));
    MUST(opendir(top) == NULL && errno == EACCES);
}

static void try_folder(void)
{
    char renamed[100];
    struct stat st;
    snprintf(renamed, sizeof renamed, "%s.kv", in_folder);
    confined();
    int fd = open(in_folder, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    MUST(fd >= 0 && write(fd, "x", 1) == 1 && close(fd) == 0);
    MUST(rename(in_folder, renamed) == 0 && stat(renamed, &st) == 0 && st.st_size == 1);
    MUST(open_close(renamed, O_RDONLY) >= 0);
    DIR *d = opendir(folder);
    MUST(d != NULL && readdir(d) != NULL && closedir(d) == 0);
    MUST(unlink(renamed) == 0);
    FAILS_WITH(EACCES, open_close(escape, O_WRONLY)); /* a link that leads out of the folder */
    FAILS_WITH(EACCES, mkdir(renamed, 0700));
    FAILS_WITH(EACCES, symlink("/etc/passwd", renamed));
    FAILS_WITH(EACCES, rename(escape, other_sock)); /* to elsewhere */
}

static void try_programs(void)
{
    char *const args[] = {(char[]){"true"}, NULL};
    confined();
    MUST(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    FAILS_WITH(EACCES, execv("/bin/true", args));
}

static void try_limits(void)
{
    struct rlimit r;
    confined();
    MUST(getrlimit(RLIMIT_CORE, &r) == 0 && r.rlim_cur <= 1 && r.rlim_max <= 1);
    MUST(getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur == r.rlim_max && r.rlim_max <= DV_SANDBOX_FILES);
}

static void try_network(void)
{
    dv_sandbox_report r = confined();
    MUST(r.net == (abi >= 4));
    MUST(bind_to(port) == 0);
    FAILS_WITH(EACCES, bind_to(port_other));
    FAILS_WITH(EACCES, connect_to(port_other));
}

static void try_any_port(void)
{
    dv_sandbox_options o = {.tcp = true};
    dv_sandbox_report r;
    dv_err err = {0};
    MUST(dv_sandbox_confine(&o, &r, &err) == 0);
    MUST(bind_to(0) == 0);
    FAILS_WITH(EACCES, bind_to(port));
}

static void try_unix(void)
{
    confined();
    MUST(bind_unix(sock) == 0);
    FAILS_WITH(EACCES, bind_unix(other_sock));
    MUST(unlink(sock) == 0);
    FAILS_WITH(EACCES, open_close(sock, O_WRONLY | O_CREAT));
}

static void try_signals(void)
{
    confined();
    FAILS_WITH(EPERM, kill(getppid(), 0));
    MUST(kill(getpid(), 0) == 0);
}

/* Not by skip(): what cmocka prints for it counts as a failure. */
static bool has_landlock(int at_least)
{
    if (abi < at_least)
        print_message("# Landlock ABI %d is needed, this kernel has %d\n", at_least, abi);
    return abi >= at_least;
}

static void files_but_the_named_ones_are_closed_off(void **state)
{
    if (has_landlock(1)) {
        ends_well(try_files);
    }
}
static void a_folder_is_for_plain_files(void **state)
{
    if (has_landlock(1)) {
        ends_well(try_folder);
    }
}
static void no_program_starts(void **state)
{
    if (has_landlock(1)) {
        ends_well(try_programs);
    }
}
static void limits_are_set(void **state) { ends_well(try_limits); }
static void tcp_is_for_one_port(void **state)
{
    if (has_landlock(4)) {
        ends_well(try_network);
        ends_well(try_any_port);
    }
}
static void a_unix_socket_has_its_folder(void **state)
{
    if (has_landlock(1)) {
        ends_well(try_unix);
    }
}
static void signals_stay_inside(void **state)
{
    if (has_landlock(6)) {
        ends_well(try_signals);
    }
}

static void *wait_for_ever(void *arg)
{
    pause();
    return NULL;
}

static void try_late(void)
{
    pthread_t t;
    dv_sandbox_options o = options();
    dv_sandbox_report r;
    dv_err err = {0};
    MUST(pthread_create(&t, NULL, wait_for_ever, NULL) == 0);
    MUST(dv_sandbox_confine(&o, &r, &err) == DV_EINVAL && strstr(err.msg, "threads") != NULL);
    MUST(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
}

static void threads_that_run_already_are_an_error(void **state) { ends_well(try_late); }

/* ---- the second step ---- */

static long clone_process(void) { return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); }

/* clang-format off */
static void do_execve(void) { char *const none[] = {NULL}; sealed(); execve("/bin/true", none, none); }
static void do_fork(void) { sealed(); syscall(SYS_fork); }
static void do_clone(void) { sealed(); clone_process(); }
static void do_ptrace(void) { sealed(); syscall(SYS_ptrace, 16 /* attach */, getpid(), 0, 0); }
static void do_inet(void) { sealed(); socket(AF_INET, SOCK_STREAM, 0); }
static void do_unix(void) { sealed(); socket(AF_UNIX, SOCK_STREAM, 0); }
static void do_netlink(void) { sealed(); socket(AF_NETLINK, SOCK_RAW, 0); }
static void do_connect(void) { sealed(); syscall(SYS_connect, pair[0], NULL, 0); }
static void do_bind(void) { sealed(); syscall(SYS_bind, pair[0], NULL, 0); }
static void do_mount(void) { sealed(); syscall(SYS_mount, "a", "/", "tmpfs", 0, NULL); }
static void do_setuid(void) { sealed(); syscall(SYS_setuid, 0); }
static void do_kill(void) { sealed(); kill(getppid(), 0); }
static void do_tgkill(void) { sealed(); syscall(SYS_tgkill, getppid(), getppid(), 0); }
static void do_memfd(void) { sealed(); syscall(SYS_memfd_create, "x", 0); }
static void do_uring(void) { sealed(); syscall(SYS_io_uring_setup, 1, NULL); }
static void do_unshare(void) { sealed(); syscall(SYS_unshare, CLONE_NEWUSER); }
static void do_bpf(void) { sealed(); syscall(SYS_bpf, 0, NULL, 0); }
static void latched(void) { dv_sandbox_options o = options(); dv_err err = {0}; confined(); MUST(dv_sandbox_latch(&o, &err) == 0); }
static void do_early_fork(void) { latched(); syscall(SYS_fork); }
static void do_early_socket(void) { latched(); socket(AF_INET, SOCK_STREAM, 0); }

static const struct { const char *name; void (*fn)(void); bool sanitizer; } deadly[] = {
    {"execve", do_execve, false}, {"fork", do_fork, false}, {"clone", do_clone, true}, {"ptrace", do_ptrace, true}, {"inet", do_inet, false},
    {"unix", do_unix, false}, {"netlink", do_netlink, false}, {"connect", do_connect, false}, {"bind", do_bind, false},
    {"mount", do_mount, false}, {"setuid", do_setuid, false}, {"kill", do_kill, false}, {"tgkill", do_tgkill, true},
    {"memfd_create", do_memfd, false}, {"io_uring_setup", do_uring, false}, {"unshare", do_unshare, false}, {"bpf", do_bpf, false},
    {"fork while loading", do_early_fork, false}, {"socket while loading", do_early_socket, false},
};
/* clang-format on */

static void an_intruders_calls_end_the_process(void **state)
{
    for (size_t i = 0; i < DV_ARRAY_LEN(deadly); i++) {
        if (DV_SANDBOX_EXTENDED && deadly[i].sanitizer)
            continue;
        int status = child(deadly[i].fn);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
            fail_msg("%s: status %x", deadly[i].name, (unsigned)status);
    }
}

static void try_others(void)
{
    int n = 0;
    sealed();
    FAILS_WITH(ENOSYS, syscall(SYS_inotify_init1, 0));
    FAILS_WITH(ENOSYS, syscall(SYS_clone3, NULL, 0));
    FAILS_WITH(ENOSYS, syscall(SYS_chmod, model, 0777));
    FAILS_WITH(ENOSYS, syscall(SYS_link, model, other_sock));
    FAILS_WITH(ENOSYS, syscall(9999));
    FAILS_WITH(ENOSYS, ioctl(0, TIOCSTI, "x"));
    FAILS_WITH(ENOSYS, fcntl(0, F_DUPFD, 10));
    MUST(ioctl(pair[0], FIONREAD, &n) == 0);
    FAILS_WITH(EACCES, -(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED));
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(p != MAP_FAILED);
    FAILS_WITH(EACCES, mprotect(p, 4096, PROT_READ | PROT_EXEC));
    MUST(mprotect(p, 4096, PROT_READ) == 0);
    const struct rlimit r = {0};
    if (!DV_SANDBOX_EXTENDED)
        FAILS_WITH(ENOSYS, setrlimit(RLIMIT_NOFILE, &r));
}

static void other_calls_are_refused(void **state) { ends_well(try_others); }

static void try_shut(void)
{
    sealed_shut();
    FAILS_WITH(ENOSYS, syscall(SYS_unlink, model));
    FAILS_WITH(ENOSYS, syscall(SYS_rename, model, other));
    if (!DV_SANDBOX_EXTENDED)
        FAILS_WITH(ENOSYS, open_close(model, O_RDONLY));
}

/* Between the second step and the third a model is loaded, and nothing else. */
static void try_latch(void)
{
    dv_sandbox_options o = options();
    o.n_folders = 0;
    o.socket = NULL;
    dv_sandbox_report r;
    dv_err err = {0};
    MUST(dv_sandbox_confine(&o, &r, &err) == 0 && dv_sandbox_latch(&o, &err) == 0);
    FAILS_WITH(ENOSYS, syscall(SYS_unlink, model));
    FAILS_WITH(ENOSYS, syscall(SYS_inotify_init1, 0));
    MUST(open_close(model, O_RDONLY) >= 0);
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(p != MAP_FAILED && mprotect(p, 4096, PROT_READ | PROT_EXEC) == 0);
    seal(&r, &o);
    MUST(dv_sandbox_whole(&r) == (abi > 0));
    FAILS_WITH(EACCES, mprotect(p, 4096, PROT_READ | PROT_WRITE | PROT_EXEC));
    if (!DV_SANDBOX_EXTENDED)
        FAILS_WITH(ENOSYS, open_close(model, O_RDONLY));
}

static void a_model_is_loaded_between_two_filters(void **state) { ends_well(try_latch); }

static void without_folders_nothing_is_opened(void **state) { ends_well(try_shut); }

/* Threads from before and after the seal are held by it, and by the first step. */
static int go[2];
static void *try_in_thread(void *arg)
{
    char c;
    if (arg != NULL)
        MUST(read(go[0], &c, 1) == 1);
    FAILS_WITH(ENOSYS, syscall(SYS_inotify_init1, 0));
    if (abi > 0)
        FAILS_WITH(EACCES, open_close(model, O_WRONLY));
    return NULL;
}

static void try_threads(void)
{
    pthread_t before, after;
    dv_sandbox_options o = options();
    dv_sandbox_report r = confined();
    MUST(pipe(go) == 0);
    MUST(pthread_create(&before, NULL, try_in_thread, go) == 0);
    seal(&r, &o);
    MUST(pthread_create(&after, NULL, try_in_thread, NULL) == 0);
    MUST(write(go[1], "x", 1) == 1);
    MUST(pthread_join(before, NULL) == 0 && pthread_join(after, NULL) == 0);
}

static void every_thread_is_held(void **state) { ends_well(try_threads); }

/* What a server does. */
static void try_service(void)
{
    char text[8] = "", *big;
    int on = 1;
    sealed();
    MUST(accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC) >= 0);
    MUST(setsockopt(pair[0], SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) == 0);
    MUST(write(pair[0], "hello", 6) == 6 && recv(pair[1], text, sizeof text, 0) == 6 && strcmp(text, "hello") == 0);
    MUST(shutdown(pair[0], SHUT_WR) == 0 && read(pair[1], text, 1) == 0);
    MUST((big = malloc(64 << 20)) != NULL);
    memset(big, 1, 64 << 20);
    free(big);
    MUST(getentropy(text, sizeof text) == 0);
    MUST(open_close(in_folder, O_WRONLY | O_CREAT | O_EXCL) >= 0 && unlink(in_folder) == 0);
    struct sigaction sa = {.sa_handler = SIG_IGN};
    MUST(sigaction(SIGPIPE, &sa, NULL) == 0);
    exit(0); /* with all that runs at the end */
}

static void what_a_server_does_goes_on(void **state)
{
    struct sockaddr_in sa = loopback(port_other);
    int fd = tcp();
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    ends_well(try_service);
    close(fd);
}

static void try_abort(void)
{
    sealed();
    abort();
}

static void abort_still_works(void **state)
{
    int status = child(try_abort);
    assert_true(WIFSIGNALED(status) || DV_SANDBOX_EXTENDED);
    assert_true(!WIFSIGNALED(status) || WTERMSIG(status) == SIGABRT);
}

/* ---- kernels that lack something ---- */

/* From now on this call fails as on such a kernel. */
static void take_away(int call, int code, const struct scmp_arg_cmp *cmp)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
    MUST(ctx != NULL && seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO((unsigned)code), call, cmp != NULL, cmp) == 0);
    MUST(seccomp_load(ctx) == 0);
    seccomp_release(ctx);
}

enum { CREATE_RULESET = 444, RESTRICT_SELF = 446 };

static void try_without_landlock(void)
{
    char text[DV_SANDBOX_TEXT];
    dv_sandbox_options o = options();
    take_away(CREATE_RULESET, ENOSYS, NULL);
    dv_sandbox_report r = confined();
    MUST(r.landlock == 0 && r.landlock_error == ENOSYS && !r.net);
    seal(&r, &o);
    MUST(r.n_calls > 0 && !dv_sandbox_whole(&r));
    dv_sandbox_text(&r, text);
    MUST(strstr(text, "NO Landlock (Function not implemented)") != NULL);
    MUST(strstr(text, "every file of this user") != NULL);
    MUST(strstr(text, "NO seccomp") == NULL);
}

static void try_without_seccomp(void)
{
    char text[DV_SANDBOX_TEXT];
    struct rlimit limit;
    dv_sandbox_options o = options();
    const struct scmp_arg_cmp get = SCMP_A0(SCMP_CMP_EQ, PR_GET_SECCOMP, 0);
    take_away(SYS_prctl, EINVAL, &get);
    dv_err err = {0};
    dv_sandbox_report r = confined();
    MUST(dv_sandbox_latch(&o, &err) == 0);
    seal(&r, &o);
    MUST(r.n_calls == 0 && r.seccomp_error == EINVAL && !dv_sandbox_whole(&r));
    MUST(getrlimit(RLIMIT_NPROC, &limit) == 0 && limit.rlim_max == 0);
    dv_sandbox_text(&r, text);
    MUST(strstr(text, "NO seccomp (Invalid argument)") != NULL);
}

/* Something that is there and fails is no reason to go on without. */
static void try_broken_landlock(void)
{
    dv_sandbox_options o = options();
    dv_sandbox_report r;
    dv_err err = {0};
    take_away(RESTRICT_SELF, E2BIG, NULL);
    MUST(dv_sandbox_confine(&o, &r, &err) == DV_EIO && strstr(err.msg, "Landlock") != NULL && r.landlock == 0);
}

static void try_broken_seccomp(void)
{
    dv_sandbox_options o = options();
    dv_err err = {0};
    take_away(SYS_seccomp, EACCES, NULL);
    dv_sandbox_report r = confined();
    MUST(dv_sandbox_latch(&o, &err) == DV_EIO && strstr(err.msg, "seccomp") != NULL);
    err = (dv_err){0};
    MUST(dv_sandbox_seal(&o, &r, &err) == DV_EIO && strstr(err.msg, "seccomp") != NULL && r.n_calls == 0);
}

static void a_kernel_without_landlock_is_reported(void **state) { ends_well(try_without_landlock); }
static void a_kernel_without_seccomp_is_reported(void **state) { ends_well(try_without_seccomp); }
static void mechanisms_that_fail_are_errors(void **state)
{
    if (abi > 0)
        ends_well(try_broken_landlock);
    ends_well(try_broken_seccomp);
}

static void texts_say_what_is_open(void **state)
{
    char text[DV_SANDBOX_TEXT];
    dv_sandbox_report r = {.landlock = 2, .sealed = true, .n_calls = 90};
    dv_sandbox_text(&r, text);
    assert_string_equal(text, "sandbox: no new privileges, Landlock ABI 2 (files), seccomp (90 system calls)");
    assert_true(dv_sandbox_whole(&r));
    r = (dv_sandbox_report){.landlock_error = EOPNOTSUPP, .sealed = true, .n_calls = 90};
    dv_sandbox_text(&r, text);
    assert_non_null(strstr(text, "closed off by seccomp only"));
    r = (dv_sandbox_report){.landlock = 7, .net = true};
    dv_sandbox_text(&r, text);
    assert_non_null(strstr(text, "(files, TCP), no seccomp yet"));
}

/* ---- set-up ---- */

static int listen_anywhere(uint16_t *at)
{
    struct sockaddr_in sa = loopback(0);
    socklen_t len = sizeof sa;
    int fd = tcp();
    if (bind(fd, (struct sockaddr *)&sa, sizeof sa) != 0 || listen(fd, 8) != 0 ||
        getsockname(fd, (struct sockaddr *)&sa, &len) != 0)
        return -1;
    *at = ntohs(sa.sin_port);
    return fd;
}

static int make_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd >= 0 && write(fd, "text", 4) == 4 ? close(fd) : -1;
}

static int set_up(void **state)
{
    int why, fd;
    abi = dv__landlock_abi(&why);
    if (mkdtemp(top) == NULL)
        return -1;
    snprintf(model, sizeof model, "%s/model.gguf", top);
    snprintf(other, sizeof other, "%s/other.gguf", top);
    snprintf(folder, sizeof folder, "%s/cache", top);
    snprintf(in_folder, sizeof in_folder, "%s/cache/file", top);
    snprintf(escape, sizeof escape, "%s/cache/escape", top);
    snprintf(other_sock, sizeof other_sock, "%s/other.sock", top);
    snprintf(sock, sizeof sock, "%s/run", top);
    if (mkdir(folder, 0700) != 0 || mkdir(sock, 0700) != 0 || make_file(model) != 0 || make_file(other) != 0 ||
        symlink(other, escape) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        return -1;
    snprintf(sock + strlen(sock), sizeof sock - strlen(sock), "/sock");
    listener = listen_anywhere(&port_other);
    fd = listen_anywhere(&port); /* a port that was free a moment ago */
    if (fd >= 0)
        close(fd);
    return listener >= 0 && fd >= 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    unlink(model);
    unlink(other);
    unlink(escape);
    unlink(in_folder);
    unlink(sock);
    unlink(other_sock);
    rmdir(folder);
    sock[strlen(top) + 4] = 0;
    rmdir(sock);
    return rmdir(top);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_but_the_named_ones_are_closed_off),
        cmocka_unit_test(a_folder_is_for_plain_files),
        cmocka_unit_test(no_program_starts),
        cmocka_unit_test(limits_are_set),
        cmocka_unit_test(tcp_is_for_one_port),
        cmocka_unit_test(a_unix_socket_has_its_folder),
        cmocka_unit_test(signals_stay_inside),
        cmocka_unit_test(threads_that_run_already_are_an_error),
        cmocka_unit_test(an_intruders_calls_end_the_process),
        cmocka_unit_test(other_calls_are_refused),
        cmocka_unit_test(without_folders_nothing_is_opened),
        cmocka_unit_test(a_model_is_loaded_between_two_filters),
        cmocka_unit_test(every_thread_is_held),
        cmocka_unit_test(what_a_server_does_goes_on),
        cmocka_unit_test(abort_still_works),
        cmocka_unit_test(a_kernel_without_landlock_is_reported),
        cmocka_unit_test(a_kernel_without_seccomp_is_reported),
        cmocka_unit_test(mechanisms_that_fail_are_errors),
        cmocka_unit_test(texts_say_what_is_open),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
