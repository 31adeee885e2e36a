/* SPDX-License-Identifier: MIT */
/* The provider with engines of its own: the real program, DROVER, and the model that ships with it, MODEL. */
#include "base/json.h"
#include "provider_util.h"

#include <dirent.h>
#include <errno.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const dv_provider_message question = {"user", "What is a llama?"};
static const char *const two_threads[] = {"--threads", "1"};

static dv_provider_options options(void)
{
    return (dv_provider_options){.program = getenv("DROVER"), .engine_args = two_threads, .n_engine_args = 2};
}

static dv_provider *open_model(const dv_provider_options *o)
{
    dv_provider *p;
    dv_err err = {0};
    int code = dv_provider_open(&p, getenv("MODEL"), o, &err);
    if (code != 0)
        fail_msg("%d %s", code, err.msg);
    return p;
}

/* The model knows this one by heart. */
static void check_answer(dv_provider *p, dv_provider_result *r)
{
    dv_err err = {0};
    dv_provider_request rq = ask(&question);
    int code = dv_provider_generate(p, &rq, r, &err);
    if (code != 0 || strncmp(r->text, "llama (noun): ", 14) != 0)
        fail_msg("%d \"%s\" %s", code, r->text, err.msg);
    assert_int_equal(r->finish, DV_FINISH_STOP);
}

static void test_answer(void **state)
{
    const dv_provider_options o = options();
    const char *const stop[] = {"noun"};
    dv_provider_result r;
    dv_provider *p = open_model(&o);
    check_answer(p, &r);
    assert_string_equal(r.model, "pocket-dictionary.gguf");
    assert_true(r.prompt_tokens > 5 && r.completion_tokens > 5 && r.status == 200 && !r.retried);
    check_answer(p, &r);
    assert_true(r.cached_tokens > 0);

    dv_provider_request rq = ask(&question);
    rq.max_tokens = 3;
    assert_int_equal(dv_provider_generate(p, &rq, &r, NULL), 0);
    assert_int_equal(r.finish, DV_FINISH_LENGTH);
    assert_int_equal(r.completion_tokens, 3);
    rq.max_tokens = 0;
    rq.stop = stop;
    rq.n_stop = 1;
    assert_int_equal(dv_provider_generate(p, &rq, &r, NULL), 0);
    assert_string_equal(r.text, "llama (");
    rq = dv_provider_request_default();
    rq.prompt = "llama";
    rq.max_tokens = 4;
    rq.seed = 3;
    assert_int_equal(dv_provider_generate(p, &rq, &r, NULL), 0);
    assert_true(r.completion_tokens >= 1 && r.completion_tokens <= 4);
    rq.top_p = 0.5;
    rq.json_schema = "{\"type\":\"array\",\"items\":{\"const\":7},\"minItems\":2,\"maxItems\":2}";
    rq.max_tokens = 50;
    assert_int_equal(dv_provider_generate(p, &rq, &r, NULL), 0);
    json_t *v = json_loads(r.text, 0, NULL);
    assert_int_equal(json_array_size(v), 2);
    json_decref(v);
    dv_provider_close(&p);
}

static void test_models(void **state)
{
    dv_provider_options o = options();
    const dv_provider_model *m;
    dv_provider_model one;
    size_t n;
    o.model = "dictionary";
    dv_provider *p = open_model(&o);
    assert_int_equal(dv_provider_models(p, &m, &n, NULL), 0);
    assert_int_equal(n, 1);
    assert_string_equal(m->name, "dictionary");
    assert_true(m->loaded && m->is_default && m->n_ctx > 0 && m->n_ctx_train > 0 && m->n_params > 100000 &&
                m->bytes > 1000000);
    assert_int_equal(dv_provider_model_info(p, NULL, &one, NULL), 0);
    assert_string_equal(one.name, "dictionary");
    assert_int_equal(dv_provider_model_info(p, "other", &one, NULL), DV_ENOENT);
    dv_provider_close(&p);
}

/* ---- engines that die, hang, or do not start ---- */

static void kill_engine(dv_provider *p, int signo) { assert_int_equal(kill(dv_provider_engine_pid(p), signo), 0); }

/* Its process id is nobody's: it has ended, and the provider has seen it. */
static void wait_gone(int pid)
{
    const struct timespec tick = {.tv_nsec = 1000000};
    while (kill(pid, 0) == 0)
        nanosleep(&tick, NULL);
}

static void test_killed_between(void **state)
{
    const dv_provider_options o = options();
    dv_provider_result r;
    dv_provider *p = open_model(&o);
    for (int i = 0; i < 4; i++) {
        int before = dv_provider_engine_pid(p);
        kill_engine(p, i < 2 ? SIGKILL : SIGTERM);
        if (i % 2 == 0)
            wait_gone(before);
        check_answer(p, &r); /* while it is about to end, too */
        wait_gone(before);
        check_answer(p, &r);
        assert_true(dv_provider_engine_pid(p) > 0 && dv_provider_engine_pid(p) != before);
    }
    dv_provider_close(&p);
}

static void *kill_soon(void *arg)
{
    const struct timespec wait = {.tv_nsec = 200000000};
    nanosleep(&wait, NULL);
    kill_engine(arg, SIGKILL);
    return NULL;
}

/* It is stopped, so that the call waits for it when it is killed. */
static void test_killed_during(void **state)
{
    const dv_provider_options o = options();
    dv_provider_result r;
    pthread_t t;
    dv_provider *p = open_model(&o);
    int before = dv_provider_engine_pid(p);
    kill_engine(p, SIGSTOP);
    assert_int_equal(pthread_create(&t, NULL, kill_soon, p), 0);
    check_answer(p, &r);
    pthread_join(t, NULL);
    assert_int_not_equal(dv_provider_engine_pid(p), before);
    dv_provider_close(&p);
}

typedef struct killer {
    dv_provider *p;
    unsigned calls;
} killer;

static int kill_at_first(void *arg, const char *text, size_t len)
{
    killer *k = arg;
    if (k->calls++ == 0)
        kill_engine(k->p, SIGKILL);
    return 0;
}

/* What was handed out cannot be taken back: an error, and the next call works. The answer takes some ten milliseconds and may be complete by
 * the time that its first text is seen here; then it is asked for again. */
static void test_killed_in_answer(void **state)
{
    const dv_provider_options o = options();
    dv_provider_result r;
    int code = 0;
    dv_provider *p = open_model(&o);
    for (int i = 0; i < 100 && code == 0; i++) {
        dv_err err = {0};
        killer k = {.p = p};
        const dv_provider_stream s = {.on_text = kill_at_first, .arg = &k};
        dv_provider_request rq = ask(&question);
        rq.json_schema =
            "{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":400}"; /* up to the end of the context */
        code = dv_provider_generate_stream(p, &rq, &s, &r, &err);
        assert_true(k.calls > 0 && r.len > 0 && !r.retried && (code != 0) == (err.msg[0] != 0));
    }
    assert_int_equal(code, DV_EIO);
    check_answer(p, &r);
    dv_provider_close(&p);
}

static void test_hung(void **state)
{
    dv_provider_options o = options();
    dv_provider_result r;
    dv_err err = {0};
    dv_provider_request rq = ask(&question);
    o.silence_ms = 5000;
    dv_provider *p = open_model(&o);
    int before = dv_provider_engine_pid(p);
    kill_engine(p, SIGSTOP);
    assert_int_equal(dv_provider_generate(p, &rq, &r, &err), DV_EIO);
    assert_non_null(strstr(err.msg, "silent"));
    check_answer(p, &r);
    assert_int_not_equal(dv_provider_engine_pid(p), before);
    kill_engine(p, SIGSTOP);
    dv_provider_close(&p); /* by force */
}

static void test_no_start(void **state)
{
    static const char *const unknown[] = {"--unknown"};
    const char *model = getenv("MODEL"), *source = getenv("SOURCE");
    const struct {
        const char *target;
        dv_provider_options o;
        int code;
        const char *says;
    } rows[] = {
        {source, {.program = getenv("DROVER")}, DV_EIO, "did not start"},
        {model, {.program = "/nonexistent/drover"}, DV_ENOENT, "/nonexistent/drover"},
        {model, {.program = source}, DV_ENOENT, "no program"},
        {model, {.program = "/bin/false"}, DV_EIO, "status 1"},
        {model, {.program = "/bin/true"}, DV_EIO, "status 0"},
        {model, {.program = getenv("DROVER"), .engine_args = unknown, .n_engine_args = 1}, DV_EIO, "status 2"},
        {model, {.program = getenv("DROVER"), .profile = "fats"}, DV_EINVAL, "fats"},
        {model, {.program = getenv("DROVER"), .n_engine_args = 1}, DV_EINVAL, "engine_args"},
        {"/dev/null", {.program = getenv("DROVER")}, DV_EINVAL, "not a file"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        dv_err err = {0};
        dv_provider *p;
        int code = dv_provider_open(&p, rows[i].target, &rows[i].o, &err);
        if (code != rows[i].code || strstr(err.msg, rows[i].says) == NULL)
            fail_msg("row %zu: %d %s", i, code, err.msg);
        assert_null(p);
    }
}

/* ---- what an engine is and has ---- */

/* The folder of the engine's socket. */
static void socket_of(int pid, char *out, size_t cap)
{
    char path[64], args[8192];
    snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    size_t n = fread(args, 1, sizeof args - 1, f);
    fclose(f);
    args[n] = 0;
    out[0] = 0;
    for (size_t i = 0; i < n; i += strlen(args + i) + 1)
        if (strncmp(args + i, "--socket=", 9) == 0)
            snprintf(out, cap, "%s", args + i + 9);
    assert_true(out[0] == '/');
}

static void test_clean(void **state)
{
    const dv_provider_options o = options();
    char path[300], target[300], ours[64], socket_path[108], *slash;
    struct stat st;
    int fds[2];
    setenv("SECRET_OF_THE_PROGRAM", "x", 1);
    assert_int_equal(pipe(fds), 0); /* without close-on-exec */
    fstat(fds[0], &st);
    snprintf(ours, sizeof ours, "pipe:[%lu]", (unsigned long)st.st_ino);
    dv_provider *p = open_model(&o);
    int pid = dv_provider_engine_pid(p);
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *d = opendir(path);
    assert_non_null(d);
    size_t n_fds = 0;
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        snprintf(path, sizeof path, "/proc/%d/fd/%s", pid, e->d_name);
        ssize_t n = readlink(path, target, sizeof target - 1);
        if (n <= 0)
            continue;
        target[n] = 0;
        n_fds++;
        assert_string_not_equal(target, ours);
    }
    closedir(d);
    assert_true(n_fds >= 3);
    assert_int_equal(getpgid(pid), pid); /* the terminal's signals do not reach it */
    snprintf(path, sizeof path, "/proc/%d/environ", pid);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    char env[8192] = {0};
    size_t n_env = fread(env, 1, sizeof env - 1, f);
    fclose(f);
    assert_null(memmem(env, n_env, "SECRET", 6));
    /* Nobody else can reach it, and nothing of it is left. */
    socket_of(pid, socket_path, sizeof socket_path);
    slash = strrchr(socket_path, '/');
    *slash = 0;
    assert_int_equal(stat(socket_path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    dv_provider_close(&p);
    assert_int_equal(stat(socket_path, &st), -1);
    assert_int_equal(kill(pid, 0), -1);
    close(fds[0]);
    close(fds[1]);
    unsetenv("SECRET_OF_THE_PROGRAM");
}

/* A process that ends without a word takes its engine along. */
static void test_dies_with_us(void **state)
{
    const dv_provider_options o = options();
    char dir[] = "/tmp/drover-provider-XXXXXX", command[64];
    int fds[2], pid = 0, status;
    assert_non_null(mkdtemp(dir)); /* for what nobody removes then */
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        dv_provider *p = NULL;
        setenv("XDG_RUNTIME_DIR", dir, 1);
        if (dv_provider_open(&p, getenv("MODEL"), &o, NULL) == 0)
            pid = dv_provider_engine_pid(p);
        _exit(write(fds[1], &pid, sizeof pid) != sizeof pid);
    }
    assert_int_equal(read(fds[0], &pid, sizeof pid), sizeof pid);
    assert_true(pid > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    while (waitpid(pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR); /* it is ours to wait for since its parent has ended */
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    close(fds[0]);
    close(fds[1]);
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
    snprintf(command, sizeof command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

static void *open_in_thread(void *arg)
{
    const dv_provider_options o = options();
    return open_model(&o);
}

/* A thread that opens a provider and ends does not. */
static void test_opened_by_thread(void **state)
{
    pthread_t t;
    void *opened;
    dv_provider_result r;
    assert_int_equal(pthread_create(&t, NULL, open_in_thread, NULL), 0);
    assert_int_equal(pthread_join(t, &opened), 0);
    dv_provider *p = opened;
    int pid = dv_provider_engine_pid(p);
    check_answer(p, &r);
    assert_int_equal(dv_provider_engine_pid(p), pid);
    dv_provider_close(&p);
}

static void test_key(void **state)
{
    static const char *const args[] = {"--threads", "1", "--api-key", "right"};
    dv_provider_options o = options(), with = {0};
    char url[128] = "unix:";
    dv_err err = {0};
    dv_provider_result r;
    dv_provider *p, *other;
    dv_provider_request rq = ask(&question);
    o.engine_args = args;
    o.n_engine_args = 4;
    p = open_model(&o);
    socket_of(dv_provider_engine_pid(p), url + 5, sizeof url - 5);
    static const char *const keys[] = {NULL, "wrong", "right"};
    for (int i = 0; i < 3; i++) {
        with.key = keys[i];
        assert_int_equal(dv_provider_open(&other, url, &with, NULL), 0);
        int code = dv_provider_generate(other, &rq, &r, &err);
        assert_int_equal(code, i == 2 ? 0 : DV_EAUTH);
        assert_int_equal(r.status, i == 2 ? 200 : 401);
        assert_null(strstr(err.msg, "wrong"));
        dv_provider_close(&other);
    }
    dv_provider_close(&p);
}

/* ---- profiles, other models ---- */

static uint64_t context_of(dv_provider *p)
{
    dv_provider_model m;
    assert_int_equal(dv_provider_model_info(p, NULL, &m, NULL), 0);
    return m.n_ctx;
}

static void test_profile(void **state)
{
    dv_provider_options o = {.program = getenv("DROVER"), .profile = "memory"};
    dv_provider_result r;
    dv_provider_request rq = ask(&question);
    dv_provider *p = open_model(&o);
    assert_int_equal(context_of(p), 1024);
    int pid = dv_provider_engine_pid(p);
    check_answer(p, &r);
    assert_int_equal(dv_provider_engine_pid(p), pid);
    rq.profile = "fast";
    assert_int_equal(dv_provider_generate(p, &rq, &r, NULL), 0);
    assert_int_not_equal(dv_provider_engine_pid(p), pid);
    rq.profile = "slow";
    assert_int_equal(dv_provider_generate(p, &rq, &r, NULL), DV_EINVAL);
    assert_int_equal(context_of(p), 1024);
    dv_provider_close(&p);
}

static void copy_file(const char *from, const char *to)
{
    static char data[1 << 16];
    FILE *in = fopen(from, "re"), *out = fopen(to, "we");
    assert_true(in != NULL && out != NULL);
    for (size_t n; (n = fread(data, 1, sizeof data, in)) > 0;)
        assert_int_equal(fwrite(data, 1, n, out), n);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

static void test_switch(void **state)
{
    const dv_provider_options o = options();
    char dir[] = "/tmp/drover-provider-XXXXXX", other[64];
    dv_provider_result r;
    dv_err err = {0};
    assert_non_null(mkdtemp(dir));
    snprintf(other, sizeof other, "%s/other.gguf", dir);
    copy_file(getenv("MODEL"), other);
    dv_provider *p = open_model(&o);
    assert_int_equal(dv_provider_switch_model(p, other, "memory", &err), 0);
    check_answer(p, &r);
    assert_string_equal(r.model, "other.gguf");
    assert_int_equal(context_of(p), 1024);
    /* What cannot be switched to changes nothing. */
    int pid = dv_provider_engine_pid(p);
    assert_int_equal(dv_provider_switch_model(p, "/nonexistent.gguf", NULL, &err), DV_ENOENT);
    assert_int_equal(dv_provider_switch_model(p, other, "slow", NULL), DV_EINVAL);
    assert_int_equal(dv_provider_engine_pid(p), pid);
    assert_int_equal(dv_provider_switch_model(p, getenv("SOURCE"), "fast", NULL), DV_EIO);
    check_answer(p, &r);
    assert_string_equal(r.model, "other.gguf");
    assert_int_equal(context_of(p), 1024);
    dv_provider_close(&p);
    unlink(other);
    rmdir(dir);
}

/* ---- threads, memory ---- */

static void *ask_often(void *arg)
{
    const dv_provider_options o = options();
    dv_provider_result r;
    dv_provider *p = open_model(&o);
    for (int i = 0; i < 3; i++) {
        check_answer(p, &r);
        if (i == 0)
            kill_engine(p, SIGKILL);
    }
    dv_provider_close(&p);
    return NULL;
}

static void test_two_threads(void **state)
{
    pthread_t t[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&t[i], NULL, ask_often, NULL), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
}

static void *cancel_open_ended(void *arg)
{
    const struct timespec wait = {.tv_nsec = 100000000};
    nanosleep(&wait, NULL);
    dv_provider_cancel(arg);
    return NULL;
}

/* While it waits for an engine that hangs. */
static void test_cancel(void **state)
{
    const dv_provider_options o = options();
    dv_provider_result r;
    dv_provider_request rq = ask(&question);
    pthread_t t;
    dv_provider *p = open_model(&o);
    int pid = dv_provider_engine_pid(p);
    kill_engine(p, SIGSTOP);
    assert_int_equal(pthread_create(&t, NULL, cancel_open_ended, p), 0);
    assert_int_equal(dv_provider_generate(p, &rq, &r, NULL), 0);
    assert_int_equal(r.finish, DV_FINISH_CANCELED);
    pthread_join(t, NULL);
    kill_engine(p, SIGCONT);
    check_answer(p, &r);
    assert_int_equal(dv_provider_engine_pid(p), pid);
    dv_provider_close(&p);
}

static void test_no_memory(void **state)
{
    const dv_provider_options o = {
        .program = getenv("DROVER"), .model = "m", .profile = "fast", .engine_args = two_threads, .n_engine_args = 2};
    int code = DV_ENOMEM, fails = 0;
    for (uint64_t n = 1; code != 0; n++) {
        dv_provider *p;
        dv_err err = {0};
        dv_mem_fail_after(n);
        code = dv_provider_open(&p, getenv("MODEL"), &o, &err);
        dv_mem_fail_after(0);
        dv_provider_close(&p);
        if (code != 0 && (code != DV_ENOMEM || err.msg[0] == 0))
            fail_msg("allocation %llu: %d %s", (unsigned long long)n, code, err.msg);
        fails += code != 0;
        assert_int_equal(dv_mem_used(DV_MEM_CLIENT), 0);
        assert_int_equal(dv_mem_used(DV_MEM_BASE), 0);
    }
    assert_true(fails > 5);
}

static int nothing_left(void **state)
{
    return dv_mem_used(DV_MEM_CLIENT) == 0 && dv_mem_used(DV_MEM_BASE) == 0 && waitpid(-1, NULL, WNOHANG) == -1 ? 0
                                                                                                                : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dies_with_us),  cmocka_unit_test(test_answer),
        cmocka_unit_test(test_models),        cmocka_unit_test(test_killed_between),
        cmocka_unit_test(test_killed_during), cmocka_unit_test(test_killed_in_answer),
        cmocka_unit_test(test_hung),          cmocka_unit_test(test_no_start),
        cmocka_unit_test(test_clean),         cmocka_unit_test(test_opened_by_thread),
        cmocka_unit_test(test_key),           cmocka_unit_test(test_profile),
        cmocka_unit_test(test_switch),        cmocka_unit_test(test_two_threads),
        cmocka_unit_test(test_cancel),        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, nothing_left);
}
