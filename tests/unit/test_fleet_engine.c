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

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(runs_a_model),
    };
    dv_json_use_mem();
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
