/* SPDX-License-Identifier: MIT */
/* The fleet with the real program: a model is described, loaded, asked; what it takes is what was estimated. */
#include "fleet_util.h"

static fu t;

static int setup(void **state)
{
    fu_begin(&t);
    t.program = DV_DROVER;
    return 0;
}

static int teardown(void **state)
{
    fu_end(&t);
    return 0;
}

static void copy_model(const char *name)
{
    char command[512];
    snprintf(command, sizeof command, "cp --reflink=auto models/pocket-dictionary.gguf %s/%s", t.models, name);
    assert_int_equal(system(command), 0);
}

typedef struct reply {
    dv_buf body;
    int status;
    bool ended;
} reply;

static size_t on_data(void *arg, dv_fetch *f, const char *p, size_t n)
{
    reply *r = arg;
    dv_buf_add(&r->body, p, n);
    return n;
}

static void on_end(void *arg, dv_fetch *f, dv_fetch_end end, const char *why)
{
    reply *r = arg;
    if (end != DV_FETCH_OK)
        fail_msg("%s", why);
    r->status = dv_fetch_status(f);
    r->ended = true;
}

static void runs_a_model(void **state)
{
    static const char body[] = "{\"prompt\":\"a\",\"n_predict\":8}";
    const dv_fetch_field type = {"Content-Type", "application/json"};
    fu_use u;
    dv_err err = {0};
    dv_fetch *f;
    reply r = {.ended = false};
    copy_model("pocket.gguf");
    fu_open(&t, "");
    assert_int_equal(fu_get(&t, &u, "pocket"), 0);
    dv_buf_init(&r.body, 0);
    const dv_fetch_request rq = {.verb = DV_HTTP_POST,
                                 .path = "/completion",
                                 .fields = &type,
                                 .n_fields = 1,
                                 .body = body,
                                 .n_body = sizeof body - 1,
                                 .arg = &r,
                                 .on_data = on_data,
                                 .on_end = on_end};
    assert_int_equal(dv_fetch_start(t.client, dv_use_target(u.use), &rq, &f, &err), 0);
    FU_UNTIL(&t, r.ended);
    assert_int_equal(r.status, 200);
    assert_non_null(strstr(dv_buf_str(&r.body), "\"content\":"));
    dv_buf_fini(&r.body);
    dv_use_release(&u.use, DV_USE_OK);
    fu_find m = fu_info(&t, "pocket");
    assert_string_equal(m.m.quantization, "Q8_0");
    assert_int_equal(m.m.context_train, 256);
    assert_int_equal(m.m.parameters, 5770496);
    assert_int_equal(m.m.backend, DV_CONF_BACKEND_NATIVE);
    assert_true(fu_instance(&t, "pocket").info.rss_bytes > 0);
    dv_fleet_drain(t.fleet, NULL, NULL);
    FU_UNTIL(&t, fu_instance(&t, "pocket").info.pid == 0);
    assert_true(t.n_crashes == 0);
}

/* ---- estimates ---- */

static void fill(fu_use *u, unsigned i, unsigned n)
{
    const dv_fetch_field type = {"Content-Type", "application/json"};
    dv_err err = {0};
    dv_fetch *f;
    reply r = {.ended = false};
    dv_buf body;
    dv_buf_init(&body, 0);
    dv_buf_init(&r.body, 0);
    dv_buf_adds(&body, "{\"n_predict\":4,\"prompt\":[");
    for (unsigned k = 0; k < n; k++)
        dv_buf_printf(&body, "%s%u", k > 0 ? "," : "", 300 + (k * 7 + i * 13) % 97);
    dv_buf_adds(&body, "]}");
    const dv_fetch_request rq = {.verb = DV_HTTP_POST,
                                 .path = "/completion",
                                 .fields = &type,
                                 .n_fields = 1,
                                 .body = dv_buf_str(&body),
                                 .n_body = body.len,
                                 .arg = &r,
                                 .on_data = on_data,
                                 .on_end = on_end};
    assert_int_equal(dv_fetch_start(t.client, dv_use_target(u->use), &rq, &f, &err), 0);
    FU_UNTIL(&t, r.ended);
    if (r.status != 200)
        fail_msg("%d %s", r.status, dv_buf_str(&r.body));
    dv_buf_fini(&r.body);
    dv_buf_fini(&body);
}

/* Bytes of a mapped file that are in memory. */
static uint64_t mapped(int pid, const char *name)
{
    char path[64], line[512];
    unsigned long long kib, sum = 0;
    bool in = false;
    snprintf(path, sizeof path, "/proc/%d/smaps", pid);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL) {
        if (strchr("0123456789abcdef", line[0]) != NULL)
            in = strstr(line, name) != NULL;
        else if (in && sscanf(line, "Rss: %llu kB", &kib) == 1)
            sum += kib << 10;
    }
    fclose(f);
    return sum;
}

/* What an engine takes once its cache is full is what was said before it was started, within 5 %. */
static void check_estimate(const char *model, const char *conf, unsigned n_prompts, unsigned n_tokens)
{
    fu_use u;
    fu_open(&t, conf);
    assert_int_equal(fu_get(&t, &u, model), 0);
    for (unsigned i = 0; i < n_prompts; i++)
        fill(&u, i, n_tokens);
    fu_pass(&t, 1100); /* numbers are up to a second old */
    fu_find f = fu_instance(&t, model);
    uint64_t measured = f.info.anon_bytes + mapped(f.info.pid, model), said = f.info.estimate_bytes;
    print_message("# %s: %llu KiB said, %llu KiB measured\n", model, (unsigned long long)said >> 10,
                  (unsigned long long)measured >> 10);
    assert_in_range(said, measured - measured / 20, measured + measured / 20);
    dv_use_release(&u.use, DV_USE_OK);
}

static void estimate_of_the_bundled_model(void **state)
{
    if (fu_is_sanitized())
        return; /* shadows and red zones are not estimated */
    copy_model("pocket.gguf");
    check_estimate("pocket", "defaults:\n  context: 4096\n  parallel: 2\n", 5, 1900);
}

static void estimate_of_a_random_model(void **state)
{
    char command[512];
    if (fu_is_sanitized())
        return; /* shadows and red zones are not estimated */
    snprintf(command, sizeof command, "%s tiny-llama Q8_0 %s/tiny.gguf >/dev/null", DV_SYNTH, t.models);
    assert_int_equal(system(command), 0);
    check_estimate("tiny", "defaults:\n  context: 8192\n  parallel: 4\n", 9, 1990);
}

/* A file that is no model, one that is cut off, one with bytes turned over: each costs a child, at most. */
static void damaged_files(void **state)
{
    char path[256];
    fu_use u;
    static char bytes[8 << 20];
    FILE *f = fopen("models/pocket-dictionary.gguf", "r");
    assert_non_null(f);
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/bad%d.gguf", t.models, i);
        f = fopen(path, "w");
        if (i == 0)
            fputs("GGUF, or not", f);
        for (size_t k = 100; i == 2 && k < 4000; k += 97)
            bytes[k] = (char)~bytes[k];
        if (i > 0)
            fwrite(bytes, 1, i == 1 ? n / 2 : n, f);
        fclose(f);
    }
    copy_model("good.gguf");
    fu_open(&t, "upstream:\n  program: /nowhere/x\n");
    FU_UNTIL(&t, fu_info(&t, "bad0").problem[0] != 0 && fu_info(&t, "bad1").problem[0] != 0 &&
                     fu_info(&t, "bad2").problem[0] != 0);
    assert_int_equal(fu_get(&t, &u, "bad1"), DV_EIO);
    assert_null(strstr(u.err.msg, t.dir)); /* where it is is nobody's business */
    dv_use_release(&u.use, DV_USE_OK);
    fu_use_once(&t, "good");
}

/* With Debian's program where there is one: DROVER_LLAMA_SERVER names it. */
static void real_llama_server(void **state)
{
    const char *program = getenv("DROVER_LLAMA_SERVER");
    char text[512];
    fu_use u;
    copy_model("pocket.gguf");
    snprintf(text, sizeof text,
             "models:\n  - path: pocket.gguf\n    backend: upstream\n    profile: fast\nupstream:\n  program: %s\n",
             program);
    fu_open(&t, text);
    assert_int_equal(fu_get(&t, &u, "pocket"), 0);
    assert_int_equal(dv_use_backend(u.use), DV_CONF_BACKEND_UPSTREAM);
    fill(&u, 0, 100);
    int pid = fu_instance(&t, "pocket").info.pid;
    kill(pid, SIGKILL);
    dv_use_release(&u.use, DV_USE_LOST);
    assert_int_equal(fu_get(&t, &u, "pocket"), 0);
    fill(&u, 0, 100);
    dv_use_release(&u.use, DV_USE_OK);
    dv_fleet_drain(t.fleet, NULL, NULL);
    FU_UNTIL(&t, fu_instance(&t, "pocket").info.pid == 0);
    assert_int_equal(t.n_crashes, 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {T(runs_a_model), T(estimate_of_the_bundled_model), T(estimate_of_a_random_model),
                                       T(damaged_files)};
    const struct CMUnitTest peer[] = {T(real_llama_server)};
    dv_json_use_mem();
    signal(SIGPIPE, SIG_IGN);
    /* One plan of tests for each run: the peer's is a run of its own. */
    return getenv("DROVER_LLAMA_SERVER") != NULL ? cmocka_run_group_tests(peer, NULL, NULL)
                                                 : cmocka_run_group_tests(tests, NULL, NULL);
}
