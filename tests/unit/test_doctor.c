/* SPDX-License-Identifier: MIT */
/* What drover doctor finds, in systems that a test makes up: a root folder with proc and sys, limits, clocks, descriptions of models. */
#include "cli/doctor.h"

#include "base/cpu.h"
#include "drover/error.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define GIB (UINT64_C(1) << 30)

static char root[64];
static dv_conf *conf;
static dv__doctor d;

static int make_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/drover-doctor-XXXXXX");
    return mkdtemp(root) != NULL ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    char cmd[100];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", root);
    return system(cmd);
}

static void full_path(char out[300], const char *path)
{
    snprintf(out, 300, "%s/%s", root, path);
    for (char *p = strchr(out + 1, '/'); p != NULL; p = strchr(p + 1, '/')) {
        *p = 0;
        assert_true(mkdir(out, 0700) == 0 || errno == EEXIST);
        *p = '/';
    }
}

static void put(const char *path, const char *text)
{
    char full[300];
    full_path(full, path);
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* A machine on which all is well, with this configuration. */
static void begin(const char *yaml)
{
    static const char *const env[] = {"HOME=/h/me", NULL};
    const dv_conf_input in = {.text = yaml, .len = strlen(yaml), .file = "/drover.yaml", .env = env, .dir = "/"};
    dv_err err = {0};
    if (dv_conf_open(&conf, &in, &err) != 0)
        fail_msg("%s", err.msg);
    put("proc/meminfo",
        "MemTotal:       16777216 kB\nMemAvailable:   12582912 kB\nSwapTotal:       4194304 kB\nSwapFree:        4194304 kB\n");
    put("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
    d = (dv__doctor){.conf = conf,
                     .root = root,
                     .env = env,
                     .limits = {.cores = 8, .mem = 16 * GIB, .mem_available = 12 * GIB},
                     .cpu = DV_CPU_AVX2,
                     .now_s = 1800000000,
                     .made_s = 1790000000,
                     .files = 8192,
                     .findings = json_array(),
                     .area = "test"};
}

static void end(void)
{
    assert_false(d.no_memory);
    json_decref(d.findings);
    dv_conf_close(&conf);
}

/* Findings with this level whose text has what; advice: a part of theirs, NULL: they have none. */
static unsigned found(dv__finding level, const char *what, const char *advice)
{
    size_t i;
    unsigned n = 0;
    const json_t *f;
    json_array_foreach(d.findings, i, f)
    {
        const char *a = json_string_value(json_object_get(f, "advice"));
        if (strcmp(json_string_value(json_object_get(f, "level")), dv__finding_name(level)) == 0 &&
            strstr(json_string_value(json_object_get(f, "text")), what) != NULL && (a != NULL) == (advice != NULL) &&
            (a == NULL || strstr(a, advice) != NULL))
            n++;
    }
    return n;
}

/* Every finding that is not ok says what to do. */
static void check_advice(void)
{
    size_t i;
    const json_t *f;
    json_array_foreach(d.findings, i, f) assert_int_equal(
        strcmp(json_string_value(json_object_get(f, "level")), "ok") == 0, json_object_get(f, "advice") == NULL);
}

static void expect(dv__finding level, const char *what, const char *advice)
{
    if (found(level, what, advice) == 1) {
        check_advice();
        return;
    }
    char *all = json_dumps(d.findings, JSON_INDENT(1));
    print_error("%s\n", all);
    free(all);
    fail_msg("not one finding %s: %s", dv__finding_name(level), what);
}

static void a_good_machine(void **state)
{
    (void)state;
    begin("{}");
    dv__doctor_machine(&d);
    assert_int_equal(d.n[DV__FINDING_WARNING] + d.n[DV__FINDING_PROBLEM], 0);
    expect(DV__FINDING_OK, "kernels avx2, 8 cores", NULL);
    expect(DV__FINDING_OK, "memory: 16.00 GiB, 12.00 GiB available", NULL);
    expect(DV__FINDING_OK, "swap: 0 B of 4.00 GiB used", NULL);
    expect(DV__FINDING_OK, "transparent huge pages: madvise", NULL);
    expect(DV__FINDING_OK, "open files: enough", NULL);
    expect(DV__FINDING_OK, "clock: plausible", NULL);
    end();
}

static void a_poor_machine(void **state)
{
    (void)state;
    begin("{defaults: {threads: 9}, residency: {memory: 17GiB}, limits: {connections: 7937}}");
    put("proc/meminfo", "MemTotal: 33554432 kB\nSwapTotal: 1024 kB\nSwapFree: 511 kB\n");
    d.cpu = 0;
    d.limits.mem_available = 255u << 20;
    d.now_s = d.made_s - 86401;
    dv__doctor_machine(&d);
    expect(DV__FINDING_WARNING, "kernels c, 8 cores", "AVX2");
    expect(DV__FINDING_WARNING, "defaults.threads is 9", "to 8");
    expect(DV__FINDING_WARNING,
           "memory: 16.00 GiB in this control group, of the machine's 32.00 GiB, 255.00 MiB available",
           "limits.memory_reserve (256.00 MiB)");
    expect(DV__FINDING_WARNING, "residency.memory (17.00 GiB) is more than there is (16.00 GiB)", "auto");
    expect(DV__FINDING_WARNING, "swap: 513.00 KiB of 1.00 MiB used", "residency.memory");
    expect(DV__FINDING_WARNING, "open files: this process may have 8192", "LimitNOFILE=8193");
    expect(DV__FINDING_PROBLEM, "clock: it is before this program was made", "timedatectl");
    end();
}

static void edges_of_a_machine(void **state)
{
    (void)state;
    begin("{residency: {reserve: 16GiB}, limits: {connections: 7936}}");
    put("proc/meminfo", "SwapTotal: 1024 kB\nSwapFree: 512 kB\n");
    d.now_s = 4102444800;
    d.limits.cores = 1;
    dv__doctor_machine(&d);
    expect(DV__FINDING_OK, "1 core", NULL);
    expect(DV__FINDING_PROBLEM, "residency.reserve (16.00 GiB) leaves nothing of 16.00 GiB", "residency.reserve lower");
    expect(DV__FINDING_OK, "swap: 512.00 KiB", NULL);
    expect(DV__FINDING_OK, "open files: enough", NULL);
    expect(DV__FINDING_PROBLEM, "clock: it is beyond the year 2100", "timedatectl");
    end();
}

static void a_machine_that_tells_nothing(void **state)
{
    (void)state;
    begin("{}");
    d.conf = NULL;
    d.root = "/nonexistent";
    dv__doctor_machine(&d);
    expect(DV__FINDING_OK, "swap: none", NULL);
    assert_int_equal(found(DV__FINDING_OK, "huge pages", NULL) + found(DV__FINDING_OK, "open files", NULL), 0);
    assert_int_equal(d.n[DV__FINDING_WARNING] + d.n[DV__FINDING_PROBLEM], 0);
    end();
}

static void sandboxes(void **state)
{
    (void)state;
    const dv_sandbox_report whole = {.landlock = 4, .net = true, .sealed = true, .n_calls = 70};
    const dv_sandbox_report half = {.landlock_error = ENOSYS, .sealed = true, .n_calls = 70};
    begin("{}");
    dv__doctor_sandbox(&d, DV_CONF_SANDBOX_REQUIRE, &whole);
    expect(DV__FINDING_OK, "Landlock ABI 4 (files, TCP), seccomp (70", NULL);
    dv__doctor_sandbox(&d, DV_CONF_SANDBOX_ON, &half);
    expect(DV__FINDING_WARNING, "NO Landlock", "docs/sandbox.md");
    dv__doctor_sandbox(&d, DV_CONF_SANDBOX_REQUIRE, &half);
    expect(DV__FINDING_PROBLEM, "NO Landlock", "docs/sandbox.md");
    dv__doctor_sandbox(&d, DV_CONF_SANDBOX_OFF, &whole);
    expect(DV__FINDING_WARNING, "security.sandbox is off; possible here is: sandbox: no new privileges, Landlock ABI 4",
           "take it away");
    end();
}

static void the_sandbox_is_tried(void **state)
{
    (void)state;
    dv_sandbox_report r = {0};
    dv_err err = {0};
    assert_int_equal(dv__doctor_try_sandbox(&r, &err), 0);
    assert_true(r.sealed);
}

#define SOCKET_LINE(port, state, inode)                                                                            \
    "   0: 0100007F:" port " 00000000:0000 " state " 00000000:00000000 00:00000000 00000000  1000        0 " inode \
    " 1 0000000000000000 100 0 0 10 0\n"

static void owners_of_ports(void **state)
{
    (void)state;
    char full[300];
    dv__owner o;
    put("proc/net/tcp",
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" SOCKET_LINE(
            "1F91", "01", "776") SOCKET_LINE("1F91", "0A", "777") SOCKET_LINE("1F92", "0A", "778"));
    put("proc/net/tcp6",
        "  sl\n"
        "   0: 00000000000000000000000000000000:0BB9 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 900 1 0 100 0 0 10 0\n");
    put("proc/41/comm", "other\n");
    put("proc/42/comm", "node\n");
    full_path(full, "proc/41/fd/3");
    assert_return_code(symlink("socket:[778]", full), errno);
    full_path(full, "proc/42/fd/7");
    assert_return_code(symlink("socket:[777]", full), errno);
    assert_true(dv__doctor_owner(root, 8081, &o));
    assert_int_equal(o.pid, 42);
    assert_int_equal(o.uid, 1000);
    assert_string_equal(o.name, "node");
    assert_true(dv__doctor_owner(root, 8082, &o));
    assert_int_equal(o.pid, 41);
    assert_true(dv__doctor_owner(root, 3001, &o)); /* a process that we may not look into */
    assert_int_equal(o.pid, 0);
    assert_int_equal(o.uid, 0);
    assert_string_equal(o.name, "");
    assert_false(dv__doctor_owner(root, 8083, &o));
    put("proc/net/tcp", "rubbish\n0: \n: : : :\n");
    assert_false(dv__doctor_owner(root, 8081, &o));
    assert_false(dv__doctor_owner("/nonexistent", 8081, &o));
}

/* ---- descriptions ---- */

static uint64_t describe(const char *text, bool named, int backend, bool *upstream)
{
    uint64_t bytes;
    json_t *j = json_loads(text, 0, NULL);
    assert_non_null(j);
    dv__doctor_describe(&d, "m", named, backend, j, upstream, &bytes);
    json_decref(j);
    return bytes;
}

static void descriptions(void **state)
{
    (void)state;
    bool up;
    begin("{}");
    const char *good =
        "{\"usable\":true,\"native\":true,\"problem\":\"\",\"architecture\":\"llama\",\"quantization\":\"Q8_0\","
        "\"plans\":[{\"weights_bytes\":1073741824,\"anonymous_bytes\":1073741824}]}";
    assert_int_equal(describe(good, true, DV_CONF_BACKEND_AUTO, &up), 2 * GIB);
    assert_false(up);
    expect(DV__FINDING_OK, "m: llama Q8_0, native, needs 2.00 GiB", NULL);
    assert_int_equal(describe(good, true, DV_CONF_BACKEND_UPSTREAM, &up), 2 * GIB + (256 << 20));
    assert_true(up);
    expect(DV__FINDING_OK, "m: llama Q8_0, upstream, needs 2.25 GiB", NULL);
    d.limits.mem_available = GIB;
    describe(good, true, DV_CONF_BACKEND_NATIVE, &up);
    expect(DV__FINDING_WARNING, "needs 2.00 GiB, and 1.00 GiB are available now", "memory");
    d.limits.mem = 2 * GIB;
    describe(good, true, DV_CONF_BACKEND_NATIVE, &up);
    expect(DV__FINDING_PROBLEM, "needs 2.00 GiB, and models may have 1.50 GiB", "smaller");
    end();
}

static void descriptions_of_what_cannot_run(void **state)
{
    (void)state;
    bool up;
    const char *foreign =
        "{\"usable\":true,\"native\":false,\"problem\":\"architecture 'x' is not supported\",\"architecture\":\"x\",\"plans\":[{\"problem\":\"\"}]}";
    const char *broken = "{\"usable\":false,\"native\":false,\"problem\":\"cut\\u001b[2J off\",\"plans\":[]}";
    begin("{}");
    assert_int_equal(describe(foreign, true, DV_CONF_BACKEND_AUTO, &up), 0);
    assert_true(up);
    expect(DV__FINDING_OK, "m: x, upstream; what it needs is not known", NULL);
    describe(foreign, true, DV_CONF_BACKEND_NATIVE, &up);
    assert_false(up);
    expect(DV__FINDING_PROBLEM, "architecture 'x' is not supported", "backend to upstream");
    describe(broken, true, DV_CONF_BACKEND_UPSTREAM, &up);
    assert_false(up);
    expect(DV__FINDING_PROBLEM, "m: cut\\x1b[2J off", "download");
    describe(broken, false, DV_CONF_BACKEND_AUTO, &up);
    expect(DV__FINDING_WARNING, "m: cut\\x1b[2J off", "download");
    describe("{}", true, DV_CONF_BACKEND_AUTO, &up);
    expect(DV__FINDING_PROBLEM, "m: it cannot be used", "download");
    end();
}

static void descriptions_with_wrong_types(void **state)
{
    (void)state;
    bool up;
    static const char *const odd[] = {
        "null", "[]",
        "1",    "\"x\"",
        "{}",   "-1",
        "1.5",  "9223372036854775807",
        "[[]]", "[{\"weights_bytes\":9223372036854775807,\"anonymous_bytes\":9223372036854775807}]"};
    begin("{}");
    for (size_t i = 0; i < DV_ARRAY_LEN(odd); i++) {
        char text[600];
        snprintf(
            text, sizeof text,
            "{\"usable\":true,\"native\":true,\"problem\":%s,\"architecture\":%s,\"quantization\":%s,\"plans\":%s}",
            odd[i], odd[i], odd[i], odd[i]);
        describe(text, true, DV_CONF_BACKEND_AUTO, &up);
        snprintf(text, sizeof text, "{\"usable\":%s,\"native\":%s}", odd[i], odd[i]);
        describe(text, true, DV_CONF_BACKEND_AUTO, &up);
    }
    expect(DV__FINDING_PROBLEM, "needs 8.00 EiB", "smaller");
    end();
}

/* ---- children ---- */

static int run(const char *script, unsigned timeout_ms, size_t most, char out[256])
{
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    dv_err err = {0};
    dv_buf b;
    dv_buf_init(&b, most);
    int rc = dv__doctor_run(argv, NULL, timeout_ms, &b, &err);
    snprintf(out, 256, "%s", dv_buf_str(&b));
    dv_buf_fini(&b);
    assert_int_equal(rc < 0, err.code != 0);
    return rc;
}

static void children(void **state)
{
    (void)state;
    char out[256];
    setenv("DROVER_API_KEY", "secret", 1);
    assert_int_equal(run("echo a; echo b >&2; pwd; cat; exit 3", 60000, 4096, out), 3);
    assert_string_equal(out, "a\nb\n/\n");
    assert_int_equal(run("echo \"<$DROVER_API_KEY>\"", 60000, 4096, out), 0);
    assert_string_equal(out, "<>\n");
    assert_int_equal(run("kill -9 $$", 60000, 4096, out), 128 + SIGKILL);
    assert_int_equal(run("while :; do echo too much; done", 60000, 4096, out), DV_ELIMIT);
    assert_int_equal(run("sleep 1000", 200, 4096, out), DV_EBUSY);
    assert_int_equal(run("exec >&- 2>&-; sleep 1000", 200, 4096, out), 128 + SIGKILL);
    const char *const none[] = {"/nonexistent", NULL};
    dv_buf b;
    dv_buf_init(&b, 0);
    assert_int_equal(dv__doctor_run(none, NULL, 60000, &b, NULL), 127);
    dv_buf_fini(&b);
}

int main(void)
{
#define IN_ROOT(f) cmocka_unit_test_setup_teardown(f, make_root, remove_root)
    const struct CMUnitTest tests[] = {
        IN_ROOT(a_good_machine),
        IN_ROOT(a_poor_machine),
        IN_ROOT(edges_of_a_machine),
        IN_ROOT(a_machine_that_tells_nothing),
        IN_ROOT(sandboxes),
        cmocka_unit_test(the_sandbox_is_tried),
        IN_ROOT(owners_of_ports),
        IN_ROOT(descriptions),
        IN_ROOT(descriptions_of_what_cannot_run),
        IN_ROOT(descriptions_with_wrong_types),
        cmocka_unit_test(children),
    };
    return cmocka_run_group_tests_name("doctor", tests, NULL, NULL);
}
