/* SPDX-License-Identifier: MIT */
/* The provider with drover's service: the real program, DROVER, with two copies of the model that ships with it, MODEL. */
#include "provider_util.h"

#include <sys/stat.h>
#include <sys/wait.h>

static const dv_provider_message question = {"user", "What is a llama?"};
static char dir[] = "/tmp/drover-provider-XXXXXX", url[64], key[256];
static pid_t service;

static void copy_model(const char *name)
{
    static char data[1 << 16];
    char to[128];
    snprintf(to, sizeof to, "%s/models/%s", dir, name);
    FILE *in = fopen(getenv("MODEL"), "re"), *out = fopen(to, "we");
    assert_true(in != NULL && out != NULL);
    for (size_t n; (n = fread(data, 1, sizeof data, in)) > 0;)
        assert_int_equal(fwrite(data, 1, n, out), n);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

static _Noreturn void become_service(void)
{
    char data[64], run[64], models[64], listen[96];
    snprintf(data, sizeof data, "data_dir=%s/data", dir);
    snprintf(run, sizeof run, "run_dir=%s/run", dir);
    snprintf(models, sizeof models, "models_dir=%s/models", dir);
    snprintf(listen, sizeof listen, "listen.openai=%s", url);
    const char *const sets[] = {data, run, models, listen, "listen.app=off", "limits.requests=0", "default_model=one"};
    const char *argv[2 * (sizeof sets / sizeof sets[0]) + 3] = {"drover", "serve"};
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        argv[2 + 2 * i] = "--set";
        argv[3 + 2 * i] = sets[i];
    }
    if (chdir(dir) == 0 && freopen("log", "ae", stderr) != NULL)
        execv(getenv("DROVER"), (char *const *)(uintptr_t)argv);
    _exit(127);
}

static void start_service(void)
{
    const struct timespec tick = {.tv_nsec = 20000000};
    const dv_provider_model *m;
    dv_provider *p;
    size_t n;
    service = fork();
    if (service == 0)
        become_service();
    assert_true(service > 0);
    assert_int_equal(dv_provider_open(&p, url, NULL, NULL), 0);
    while (dv_provider_models(p, &m, &n, NULL) != 0) {
        assert_int_equal(waitpid(service, NULL, WNOHANG), 0);
        nanosleep(&tick, NULL);
    }
    dv_provider_close(&p);
}

static void stop_service(int signo)
{
    assert_int_equal(kill(service, signo), 0);
    assert_int_equal(waitpid(service, NULL, 0), service);
    service = 0;
}

static int setup(void **state)
{
    char path[128];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/models", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(url, sizeof url, "unix:%s/sock", dir);
    copy_model("one.gguf");
    copy_model("two.gguf");
    start_service();
    snprintf(path, sizeof path, "%s/data/admin.key", dir);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_non_null(fgets(key, sizeof key, f));
    key[strcspn(key, "\r\n")] = 0;
    return fclose(f);
}

static int teardown(void **state)
{
    char command[64];
    if (service > 0)
        stop_service(SIGTERM);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) == 0 && dv_mem_used(DV_MEM_CLIENT) == 0 && dv_mem_used(DV_MEM_BASE) == 0 ? 0 : -1;
}

static dv_provider *open_with(const char *model, const char *secret)
{
    dv_provider *p;
    const dv_provider_options o = {.model = model, .key = secret};
    assert_int_equal(dv_provider_open(&p, url, &o, NULL), 0);
    return p;
}

/* Who answers a request that names nobody but the provider's model. */
static void check_answer(dv_provider *p, const char *model)
{
    dv_err err = {0};
    dv_provider_result r;
    dv_provider_request rq = ask(&question);
    int code = dv_provider_generate(p, &rq, &r, &err);
    if (code != 0 || strncmp(r.text, "llama (noun): ", 14) != 0 || strcmp(r.model, model) != 0)
        fail_msg("%d \"%s\" of '%s' %s", code, r.text, r.model, err.msg);
}

static void test_models(void **state)
{
    const dv_provider_model *m;
    dv_provider_model one;
    size_t n, n_default = 0;
    dv_provider *p = open_with(NULL, NULL);
    assert_int_equal(dv_provider_models(p, &m, &n, NULL), 0);
    assert_int_equal(n, 2);
    for (size_t i = 0; i < n; i++) {
        n_default += m[i].is_default;
        assert_true(m[i].bytes > 1000000 && m[i].n_params > 100000 && m[i].n_ctx_train > 0);
        assert_string_equal(m[i].arch, "llama");
    }
    assert_int_equal(n_default, 1);
    assert_int_equal(dv_provider_model_info(p, NULL, &one, NULL), 0);
    assert_string_equal(one.name, "one");
    assert_int_equal(dv_provider_model_info(p, "two", &one, NULL), 0);
    assert_int_equal(dv_provider_model_info(p, "three", &one, NULL), DV_ENOENT);
    dv_provider_close(&p);
}

static void test_errors(void **state)
{
    dv_provider_result r;
    dv_provider_request rq = ask(&question);
    dv_provider *p = open_with("three", NULL);
    assert_int_equal(dv_provider_generate(p, &rq, &r, NULL), DV_ENOENT);
    dv_provider_close(&p);
    p = open_with("one", "dv_wrong");
    assert_int_equal(dv_provider_generate(p, &rq, &r, NULL), DV_EAUTH);
    dv_provider_close(&p);
    p = open_with("one", NULL);
    rq.profile = "slow";
    assert_int_equal(dv_provider_generate(p, &rq, &r, NULL), DV_EINVAL);
    rq.profile = "fast";
    assert_int_equal(dv_provider_generate(p, &rq, &r, NULL), 0);
    dv_provider_close(&p);
}

static void test_switch(void **state)
{
    dv_err err = {0};
    dv_provider *admin = open_with(NULL, key), *other = open_with(NULL, NULL);
    check_answer(other, "one");
    int code = dv_provider_switch_model(other, "two", NULL, &err);
    assert_true(code == DV_EAUTH || code == DV_EACCES);
    assert_true(err.msg[0] != 0);
    check_answer(other, "one");
    assert_int_equal(dv_provider_switch_model(admin, "three", NULL, NULL), DV_ENOENT);
    assert_int_equal(dv_provider_switch_model(admin, "two", "slow", NULL), DV_EINVAL);
    assert_int_equal(dv_provider_switch_model(admin, "two", "memory", NULL), 0);
    check_answer(admin, "two");
    check_answer(other, "two"); /* the default is everybody's */
    dv_provider_close(&admin);
    dv_provider_close(&other);
}

/* A service that went away and is back, without a word to the provider. */
static void test_restarted(void **state)
{
    dv_provider_result r;
    dv_provider_request rq = ask(&question);
    dv_provider *p = open_with("one", NULL);
    check_answer(p, "one");
    stop_service(SIGKILL);
    assert_int_equal(dv_provider_generate(p, &rq, &r, NULL), DV_EIO);
    assert_true(r.retried);
    start_service();
    check_answer(p, "one");
    dv_provider_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_switch),
        cmocka_unit_test(test_restarted),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
