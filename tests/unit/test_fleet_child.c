/* SPDX-License-Identifier: MIT */
/* Child processes, on a kernel without pidfd_open and close_range: what there is instead does the same. */
#include <sys/syscall.h>

#undef SYS_pidfd_open
#undef SYS_close_range
#define SYS_pidfd_open (-1)
#define SYS_close_range (-1)
#include "../../src/fleet/child.c"

#include "base/buf.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

typedef struct run {
    dv__child child;
    dv_buf lines;
    unsigned n_lines, n_exits;
    int status;
} run;

static struct event_base *base;

static void on_line(void *arg, const char *line, size_t n)
{
    run *r = arg;
    assert_int_equal(strlen(line), n);
    assert_true(n > 0 && n <= DV__LINE_MAX);
    r->n_lines++;
    if (n < 200)
        dv_buf_printf(&r->lines, "%s|", line);
    else
        dv_buf_printf(&r->lines, "%zu|", n);
}

static void ended(void *arg, int status)
{
    run *r = arg;
    r->n_exits++;
    r->status = status;
}

static int start(run *r, const char *script, dv_err *err)
{
    static const char *const env[] = {"PATH=/usr/bin:/bin", NULL};
    const char *argv[] = {"sh", "-c", script, NULL};
    const dv__command cmd = {.file = "/bin/sh", .argv = argv, .env = env};
    *r = (run){.child = {.base = base, .arg = r, .on_line = on_line, .on_exit = ended}};
    dv_buf_init(&r->lines, 0);
    return dv__child_start(&r->child, &cmd, err);
}

static void wait_for(run *r)
{
    for (uint64_t end = dv_clock_ns() + UINT64_C(60000000000); r->n_exits == 0;) {
        assert_true(dv_clock_ns() < end);
        event_base_loop(base, EVLOOP_ONCE);
    }
}

/* Run a script to its end. */
static void run_script(run *r, const char *script)
{
    dv_err err = {0};
    if (start(r, script, &err) != 0)
        fail_msg("%s", err.msg);
    wait_for(r);
    assert_int_equal(r->n_exits, 1);
    assert_int_equal(r->child.pid, 0);
}

static void lines_and_status(void **state)
{
    run r;
    char how[96];
    run_script(&r, "echo one; echo; printf 'two\\r\\nthree\\000x\\n' >&2; printf last; exit 3");
    assert_string_equal(dv_buf_str(&r.lines), "one|two|threex|last|");
    assert_string_equal(dv__child_status(r.status, how, sizeof how), "exited with status 3");
    dv_buf_fini(&r.lines);
    run_script(&r, "kill -9 $$");
    assert_string_equal(dv__child_status(r.status, how, sizeof how), "was killed by signal 9 (Killed)");
    dv_buf_fini(&r.lines);
    run_script(&r, "head -c 40000 /dev/zero | tr '\\000' x; echo; echo y");
    assert_string_equal(dv_buf_str(&r.lines), "16384|y|"); /* the rest of the long line is dropped */
    dv_buf_fini(&r.lines);
}

/* Without ends of lines, without an end: slowed down, and killed like any other. */
static void floods(void **state)
{
    run r;
    dv_err err = {0};
    assert_int_equal(start(&r, "exec cat /dev/zero", &err), 0);
    for (int i = 0; i < 200; i++)
        event_base_loop(base, EVLOOP_ONCE);
    assert_true(r.child.window_bytes <= DV__OUTPUT_PER_SECOND + 8192);
    dv__child_signal(&r.child, SIGTERM);
    wait_for(&r);
    assert_int_equal(r.n_lines, 0);
    dv_buf_fini(&r.lines);
}

static void has_only_what_it_gets(void **state)
{
    run r;
    int fd = open("/dev/null", O_RDONLY), high = fcntl(fd, F_DUPFD, 200);
    signal(SIGPIPE, SIG_IGN);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    run_script(
        &r,
        "ls /proc/self/fd | tr '\\n' ' '; pwd; umask; ulimit -c; grep -E 'Sig(Blk|Ign)' /proc/self/status | tr -d '\\n\\t'");
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    close(fd);
    close(high);
    static const char want[] = "0 1 2 3 /|0077|0|SigBlk:0000000000000000SigIgn:";
    assert_true(r.lines.len > sizeof want);
    assert_memory_equal(r.lines.data, want, sizeof want - 1);
    /* 32 and 33 are the C library's own: its posix_spawn, which make uses, ignores them in children, and nobody can undo that. */
    assert_int_equal(strtoull(r.lines.data + sizeof want - 1, NULL, 16) & ~(3ull << 31), 0);
    dv_buf_fini(&r.lines);
}

static void grandchildren_go_along(void **state)
{
    run r;
    run_script(&r, "sleep 1000 & echo $!");
    pid_t pid = (pid_t)atoi(dv_buf_str(&r.lines));
    char path[64], text[64] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    for (int i = 0; i < 200; i++) { /* it is killed; whoever adopts it has to notice */
        FILE *f = fopen(path, "r");
        if (f == NULL)
            break;
        bool some = fgets(text, sizeof text, f) != NULL;
        fclose(f);
        if (!some || strstr(text, ") Z ") != NULL)
            break;
        usleep(20000);
        assert_true(i < 199);
    }
    dv_buf_fini(&r.lines);
}

static void what_cannot_be_run(void **state)
{
    static const char *const env[] = {NULL};
    const char *argv[] = {"x", NULL};
    const char *const files[] = {"/nowhere/x", "/etc/passwd", "/"};
    const int codes[] = {DV_ENOENT, DV_EACCES, DV_EACCES};
    for (size_t i = 0; i < DV_ARRAY_LEN(files); i++) {
        dv_err err = {0};
        run r = {.child = {.base = base, .arg = &r, .on_line = on_line, .on_exit = ended}};
        const dv__command cmd = {.file = files[i], .argv = argv, .env = env};
        assert_int_equal(dv__child_start(&r.child, &cmd, &err), codes[i]);
        assert_int_equal(r.child.pid, 0);
        assert_non_null(strstr(err.msg, files[i]));
    }
    dv_err err = {0};
    run r = {.child = {.base = base, .arg = &r, .on_line = on_line, .on_exit = ended}};
    const dv__command cmd = {.file = "/bin/true", .argv = argv, .env = env, .dir = "/nowhere"};
    assert_int_equal(dv__child_start(&r.child, &cmd, &err), DV_ENOENT);
}

static void limits_hold(void **state)
{
    static const char *const env[] = {NULL};
    const char *argv[] = {"sh", "-c", "ulimit -d; ulimit -t", NULL};
    dv_err err = {0};
    run r = {.child = {.base = base, .arg = &r, .on_line = on_line, .on_exit = ended}};
    dv_buf_init(&r.lines, 0);
    const dv__command cmd = {.file = "/bin/sh", .argv = argv, .env = env, .max_data = 100 << 20, .max_cpu_s = 7};
    assert_int_equal(dv__child_start(&r.child, &cmd, &err), 0);
    wait_for(&r);
    assert_string_equal(dv_buf_str(&r.lines), "102400|7|");
    dv_buf_fini(&r.lines);
}

static void ends_with_us(void **state)
{
    run r;
    dv_err err = {0};
    assert_int_equal(start(&r, "sleep 1000", &err), 0);
    pid_t pid = r.child.pid;
    dv__child_fini(&r.child);
    dv__child_fini(&r.child);
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(r.n_exits, 0);
    dv_buf_fini(&r.lines);
    /* And when there is nobody to say so. */
    int out[2];
    assert_int_equal(pipe(out), 0);
    pid_t middle = fork();
    if (middle == 0) {
        base = event_base_new();
        if (start(&r, "sleep 1000", &err) != 0 || write(out[1], &r.child.pid, sizeof pid) != sizeof pid)
            _exit(1);
        _exit(0);
    }
    assert_int_equal(read(out[0], &pid, sizeof pid), sizeof pid);
    waitpid(middle, NULL, 0);
    char path[64], text[64];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    for (int i = 0;; i++) {
        FILE *f = fopen(path, "r");
        bool some = f != NULL && fgets(text, sizeof text, f) != NULL;
        if (f != NULL)
            fclose(f);
        if (!some || strstr(text, ") Z ") != NULL)
            break;
        usleep(20000);
        assert_true(i < 500);
    }
    close(out[0]);
    close(out[1]);
}

static void out_of_memory(void **state)
{
    run r;
    dv_err err = {0};
    dv_mem_fail_after(1);
    assert_int_equal(start(&r, "true", &err), DV_ENOMEM);
    dv_mem_fail_after(0);
    assert_int_equal(r.child.pid, 0);
    assert_int_equal(dv_mem_used(DV_MEM_CAT_N), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_and_status),      cmocka_unit_test(floods),
        cmocka_unit_test(has_only_what_it_gets), cmocka_unit_test(grandchildren_go_along),
        cmocka_unit_test(what_cannot_be_run),    cmocka_unit_test(limits_hold),
        cmocka_unit_test(ends_with_us),          cmocka_unit_test(out_of_memory),
    };
    base = event_base_new();
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    event_base_free(base);
    return rc;
}
