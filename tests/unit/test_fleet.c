/* SPDX-License-Identifier: MIT */
/* Instances: loaded when they are used, shared out, watched, restarted, given up, with real processes that behave badly. */
#include "fleet_util.h"

static fu t;

static int setup(void **state)
{
    fu_begin(&t);
    return 0;
}

static int teardown(void **state)
{
    fu_end(&t);
    return 0;
}

/* ---- uses ---- */

static void loads_on_first_use(void **state)
{
    fu_use a, b;
    dv_err err = {0};
    uint64_t load;
    fu_model(&t, "m.gguf", "run=slow anon=5000000", 1000000);
    fu_open(&t, "");
    assert_int_equal(fu_ask(&t, &a, "m", 1, &err), 0);
    assert_int_equal(fu_ask(&t, &b, "m.gguf", 2, &err), 0);
    assert_false(a.called); /* never from within the call */
    assert_null(dv_use_model(a.use));
    FU_UNTIL(&t, a.called && b.called);
    assert_int_equal(a.code, 0);
    assert_int_equal(b.code, 0);
    assert_string_equal(dv_use_model(b.use), "m");
    assert_int_equal(dv_use_backend(a.use), DV_CONF_BACKEND_NATIVE);
    assert_null(dv_use_remote_name(a.use));
    assert_memory_equal(dv_use_target(a.use)->socket, t.run, strlen(t.run));
    assert_true(dv_use_waited_ms(a.use, &load) >= load && load > 0);
    fu_find f = fu_instance(&t, "m");
    assert_int_equal(f.info.state, DV_INSTANCE_READY);
    assert_int_equal(f.info.starts, 1); /* both waited for the same start */
    assert_int_equal(f.info.busy, 2);
    assert_int_equal(f.info.places, 5);
    assert_int_equal(f.info.estimate_bytes, 6000000);
    assert_true(f.info.pid > 0 && f.info.rss_bytes > 0 && f.info.health_us > 0);
    dv_use_release(&a.use, DV_USE_OK);
    dv_use_release(&b.use, DV_USE_OK);
    assert_null(a.use);
    dv_use_release(&a.use, DV_USE_OK);
    assert_int_equal(fu_instance(&t, "m").info.busy, 0);
    assert_int_equal(fu_ask(&t, &a, NULL, 1, &err), 0); /* the only one is the default */
    FU_UNTIL(&t, a.called);
    assert_int_equal(dv_use_waited_ms(a.use, &load) == 0 ? 0 : load, 0);
    dv_use_release(&a.use, DV_USE_OK);
}

static void refuses_what_is_not_there(void **state)
{
    fu_use u;
    dv_err err = {0};
    fu_open(&t, "");
    assert_int_equal(fu_ask(&t, &u, NULL, 1, &err), DV_ENOENT);
    assert_null(u.use);
    static const char *const names[] = {"x", "../x", "/etc/passwd", "x/../../y", ".gguf", "", "\xff"};
    fu_model(&t, "x.gguf.part", "", 0);
    for (size_t i = 0; i < DV_ARRAY_LEN(names); i++) {
        err = (dv_err){0};
        assert_int_equal(fu_ask(&t, &u, names[i], 1, &err), DV_ENOENT);
        assert_null(strstr(err.msg, t.dir));
    }
    fu_model(&t, "m.gguf", "", 0);
    dv_fleet_rescan(t.fleet);
    FU_UNTIL(&t, fu_info(&t, "m").found);
    const dv_use_ask ask = {.model = "m", .profile = -1, .no_load = true, .arg = &u, .ready = fu_ready};
    err = (dv_err){0};
    assert_int_equal(dv_use_begin(t.fleet, &ask, &u.use, &err), DV_ENOENT);
    assert_int_equal(fu_instance(&t, "m").found, false);
    fu_use_once(&t, "m");
    memset(&u, 0, sizeof u);
    assert_int_equal(dv_use_begin(t.fleet, &ask, &u.use, &err), 0);
    FU_UNTIL(&t, u.called);
    dv_use_release(&u.use, DV_USE_OK);
}

/* parallel + 1 places, then in turn by identity; who gives back wakes the next. */
static void shares_places(void **state)
{
    enum { N = 8 };
    fu_use u[N];
    dv_err err = {0};
    fu_model(&t, "m.gguf", "", 0);
    fu_open(&t, "defaults:\n  parallel: 1\nlimits:\n  queue: 6\n");
    fu_use_once(&t, "m");
    for (int i = 0; i < N; i++) /* six of one, two of another */
        assert_int_equal(fu_ask(&t, &u[i], "m", i < 6 ? 1 : 2, &err), 0);
    fu_use more;
    assert_int_equal(fu_ask(&t, &more, "m", 3, &err), DV_EBUSY);
    FU_UNTIL(&t, u[1].called);
    fu_pass(&t, 30);
    assert_true(u[0].called && !u[2].called && !u[6].called);
    assert_int_equal(fu_instance(&t, "m").info.waiting, 6);
    static const int order[] = {0, 1, 2, 6, 3, 7, 4, 5};
    for (int i = 0; i < N; i++) {
        FU_UNTIL(&t, u[order[i]].called);
        for (int k = i + 2; k < N; k++)
            assert_false(u[order[k]].called);
        assert_int_equal(u[order[i]].code, 0);
        dv_use_release(&u[order[i]].use, DV_USE_OK);
    }
    const dv_use_ask look = {.model = "m", .profile = -1, .arg = &more, .ready = fu_ready};
    fu_use a, b;
    assert_int_equal(fu_get(&t, &a, "m"), 0);
    assert_int_equal(fu_get(&t, &b, "m"), 0);
    memset(&more, 0, sizeof more);
    assert_int_equal(dv_use_begin(t.fleet, &look, &more.use, &err), 0); /* needs no place */
    FU_UNTIL(&t, more.called);
    dv_use_release(&a.use, DV_USE_OK);
    dv_use_release(&b.use, DV_USE_OK);
    dv_use_release(&more.use, DV_USE_OK);
}

/* Without a queue, whoever gets a place as soon as the model is there still waits for that. */
static void no_queue(void **state)
{
    fu_use u[4];
    dv_err err = {0};
    fu_model(&t, "m.gguf", "run=slow", 0);
    fu_open(&t, "defaults:\n  parallel: 1\nlimits:\n  queue: 0\n");
    assert_int_equal(fu_ask(&t, &u[0], "m", 1, &err), 0);
    assert_int_equal(fu_ask(&t, &u[1], "m", 1, &err), 0);
    assert_int_equal(fu_ask(&t, &u[2], "m", 1, &err), DV_EBUSY);
    FU_UNTIL(&t, u[0].called && u[1].called);
    assert_int_equal(fu_ask(&t, &u[2], "m", 1, &err), DV_EBUSY);
    dv_use_release(&u[0].use, DV_USE_OK);
    fu_use_once(&t, "m");
    dv_use_release(&u[1].use, DV_USE_OK);
}

static void waits_no_longer_than_it_may(void **state)
{
    fu_use a, b, c;
    dv_err err = {0};
    fu_model(&t, "m.gguf", "", 0);
    fu_open(&t, "defaults:\n  parallel: 1\nlimits:\n  queue_time: 1s\n");
    assert_int_equal(fu_get(&t, &a, "m"), 0);
    assert_int_equal(fu_get(&t, &b, "m"), 0);
    assert_int_equal(fu_ask(&t, &c, "m", 1, &err), 0);
    FU_UNTIL(&t, c.called);
    assert_int_equal(c.code, DV_EBUSY);
    dv_use_release(&c.use, DV_USE_OK);
    dv_use_release(&a.use, DV_USE_OK);
    dv_use_release(&b.use, DV_USE_OK);
    fu_use_once(&t, "m");
}

static void a_thousand_leave(void **state)
{
    enum { N = 1000 };
    static fu_use u[N];
    dv_err err = {0};
    fu_model(&t, "m.gguf", "run=slow", 0);
    fu_open(&t, "limits:\n  queue: 2000\n");
    for (int i = 0; i < N; i++)
        assert_int_equal(fu_ask(&t, &u[i], "m", (uint64_t)i % 7, &err), 0);
    for (int i = 0; i < N; i += 2)
        dv_use_release(&u[i].use, DV_USE_OK);
    FU_UNTIL(&t, fu_state(&t, "m") == DV_INSTANCE_READY);
    fu_once(&t);
    for (int i = 1; i < N; i += 2)
        dv_use_release(&u[i].use, DV_USE_OK); /* with or without a place */
    fu_find f = fu_instance(&t, "m");
    assert_int_equal(f.info.busy, 0);
    assert_int_equal(f.info.waiting, 0);
    for (int i = 0; i < N; i += 2)
        assert_false(u[i].called);
    fu_use_once(&t, "m");
}

/* A callback may give back what it got, and ask again. */
static unsigned n_again;

static void ask_again(void *arg, int code, const dv_err *err)
{
    fu_use *u = arg;
    assert_int_equal(code, 0);
    dv_use_release(&u->use, DV_USE_OK);
    const dv_use_ask ask = {.model = "m", .profile = -1, .job = true, .arg = u, .ready = ask_again};
    if (++n_again < 100)
        assert_int_equal(dv_use_begin(t.fleet, &ask, &u->use, NULL), 0);
}

static void callbacks_may_do_anything(void **state)
{
    fu_use u = {0};
    const dv_use_ask ask = {.model = "m", .profile = -1, .job = true, .arg = &u, .ready = ask_again};
    fu_model(&t, "m.gguf", "", 0);
    fu_open(&t, "");
    n_again = 0;
    assert_int_equal(dv_use_begin(t.fleet, &ask, &u.use, NULL), 0);
    FU_UNTIL(&t, n_again == 100);
    assert_int_equal(fu_instance(&t, "m").info.busy, 0);
}

/* ---- faults ---- */

static void killed(void **state)
{
    fu_use a, b;
    dv_err err = {0};
    fu_model(&t, "m.gguf", "", 0);
    fu_open(&t, "");
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(fu_get(&t, &a, "m"), 0);
        int pid = fu_instance(&t, "m").info.pid;
        char socket_path[128];
        snprintf(socket_path, sizeof socket_path, "%s", dv_use_target(a.use)->socket);
        assert_int_equal(kill(pid, SIGKILL), 0);
        dv_use_release(&a.use, DV_USE_LOST);
        assert_int_equal(fu_ask(&t, &b, "m", 1, &err), 0);
        FU_UNTIL(&t, b.called);
        assert_int_equal(b.code, 0);
        assert_true(fu_instance(&t, "m").info.pid != pid);
        assert_string_not_equal(dv_use_target(b.use)->socket, socket_path);
        assert_int_equal(access(socket_path, F_OK), -1);
        dv_use_release(&b.use, DV_USE_OK);
    }
    assert_int_equal(t.n_crashes, 3);
    assert_int_equal(fu_instance(&t, "m").info.crashes, 3);
    assert_true(fu_logged(&t, "signal 9"));
}

/* The requests that it had give their places back late: they do not count in the new process. */
static void old_uses_do_not_count(void **state)
{
    fu_use a, b, c;
    fu_model(&t, "m.gguf", "", 0);
    fu_open(&t, "defaults:\n  parallel: 1\n");
    assert_int_equal(fu_get(&t, &a, "m"), 0);
    kill(fu_instance(&t, "m").info.pid, SIGKILL);
    FU_UNTIL(&t, t.n_crashes == 1);
    FU_UNTIL(&t, fu_state(&t, "m") == DV_INSTANCE_READY); /* it was in use, so it comes back by itself */
    assert_int_equal(fu_instance(&t, "m").info.busy, 0);
    assert_int_equal(fu_get(&t, &b, "m"), 0);
    assert_int_equal(fu_get(&t, &c, "m"), 0);
    assert_int_equal(fu_instance(&t, "m").info.busy, 2);
    dv_use_release(&a.use, DV_USE_LOST);
    assert_int_equal(fu_instance(&t, "m").info.busy, 2);
    dv_use_release(&b.use, DV_USE_OK);
    dv_use_release(&c.use, DV_USE_OK);
    assert_int_equal(fu_instance(&t, "m").info.busy, 0);
}

static void hangs(void **state)
{
    fu_use a, b;
    dv_err err = {0};
    fu_model(&t, "m.gguf", "run=stubborn", 0);
    fu_open(&t, "  health_time: 300ms\n  health_interval: 1h\n");
    assert_int_equal(fu_get(&t, &a, "m"), 0);
    int pid = fu_instance(&t, "m").info.pid;
    kill(pid, SIGSTOP);
    dv_use_release(&a.use, DV_USE_SILENT);
    assert_int_equal(fu_ask(&t, &b, "m", 1, &err), 0);
    fu_once(&t);
    assert_false(b.called); /* it is looked at before anybody gets it */
    FU_UNTIL(&t, b.called);
    assert_int_equal(b.code, 0);
    assert_int_equal(t.n_crashes, 1);
    assert_true(fu_logged(&t, "did not answer"));
    pid = fu_instance(&t, "m").info.pid;
    kill(pid, SIGSTOP); /* a doubt that is unfounded */
    dv_use_release(&b.use, DV_USE_SILENT);
    kill(pid, SIGCONT);
    assert_int_equal(fu_get(&t, &a, "m"), 0);
    assert_int_equal(fu_instance(&t, "m").info.pid, pid);
    dv_use_release(&a.use, DV_USE_OK);
}

/* Nobody has to ask for it. */
static void hangs_while_idle(void **state)
{
    fu_model(&t, "m.gguf", "", 0);
    fu_open(&t, "  health_time: 300ms\n  health_interval: 100ms\n");
    fu_use_once(&t, "m");
    kill(fu_instance(&t, "m").info.pid, SIGSTOP);
    FU_UNTIL(&t, t.n_crashes == 1);
    FU_UNTIL(&t, fu_state(&t, "m") == DV_INSTANCE_READY);
}

static void fails_to_start(void **state)
{
    fu_use a;
    fu_model(&t, "m.gguf", "run=exit", 0);
    fu_model(&t, "once.gguf", "run=fail:1", 0);
    fu_open(&t, "");
    assert_int_equal(fu_get(&t, &a, "m"), DV_EIO);
    assert_non_null(strstr(a.err.msg, "no luck today"));
    assert_non_null(strstr(a.err.msg, "status 3"));
    dv_use_release(&a.use, DV_USE_OK);
    assert_int_equal(fu_instance(&t, "m").info.starts, 2);
    assert_int_equal(fu_get(&t, &a, "once"), 0); /* the second try worked */
    dv_use_release(&a.use, DV_USE_OK);
}

static void crash_loop(void **state)
{
    fu_use a;
    fu_model(&t, "m.gguf", "run=fail:3", 0);
    fu_open(&t, "  crash_limit: 3\n  cooldown: 1s\n");
    assert_int_equal(fu_get(&t, &a, "m"), DV_EIO);
    dv_use_release(&a.use, DV_USE_OK);
    assert_int_equal(fu_get(&t, &a, "m"), DV_EBUSY);
    assert_non_null(strstr(a.err.msg, "left alone"));
    dv_use_release(&a.use, DV_USE_OK);
    assert_int_equal(fu_state(&t, "m"), DV_INSTANCE_BROKEN);
    dv_fleet_stats s;
    dv_fleet_stats_get(t.fleet, &s);
    assert_int_equal(s.broken, 1);
    assert_int_equal(fu_get(&t, &a, "m"), DV_EBUSY); /* at once, nothing is started */
    assert_non_null(strstr(a.err.msg, "left alone"));
    dv_use_release(&a.use, DV_USE_OK);
    assert_int_equal(fu_instance(&t, "m").info.starts, 3);
    FU_UNTIL(&t, fu_state(&t, "m") == DV_INSTANCE_STOPPED);
    fu_use_once(&t, "m");
}

static void never_ready(void **state)
{
    fu_use a;
    fu_model(&t, "m.gguf", "run=never", 0);
    fu_open(&t, "  start_time: 1s\n  crash_limit: 1\n");
    assert_int_equal(fu_get(&t, &a, "m"), DV_EBUSY);
    assert_non_null(strstr(a.err.msg, "not ready after 1 s"));
    dv_use_release(&a.use, DV_USE_OK);
    assert_int_equal(fu_instance(&t, "m").info.pid, 0);
}

static void program_is_not_there(void **state)
{
    fu_use a;
    fu_model(&t, "m.gguf", "", 0);
    t.program = "/nowhere/drover";
    fu_open(&t, "");
    assert_int_equal(fu_get(&t, &a, "m"), DV_EIO);
    assert_non_null(strstr(a.err.msg, "No such file"));
    dv_use_release(&a.use, DV_USE_OK);
}

/* Its memory is bounded by what it was expected to take, twice, and some. */
static void eats_memory(void **state)
{
    fu_use a;
    unsigned mib = 0;
    if (fu_is_sanitized())
        return; /* they need far more themselves, so nothing is bounded */
    fu_model(&t, "m.gguf", "run=eat anon=41943040", 0);
    fu_open(&t, "");
    assert_int_equal(fu_get(&t, &a, "m"), DV_EIO);
    const char *p = strstr(a.err.msg, "no more after ");
    assert_non_null(p);
    assert_int_equal(sscanf(p, "no more after %u", &mib), 1);
    assert_in_range(mib, 100, 700);
    dv_use_release(&a.use, DV_USE_OK);
}

/* A flood is slowed down and left out, and the loop goes on. */
static void floods(void **state)
{
    fu_model(&t, "m.gguf", "run=flood", 0);
    fu_open(&t, "");
    fu_use_once(&t, "m");
    for (int i = 0; i < 20; i++) {
        fu_use_once(&t, "m");
        fu_pass(&t, 60);
    }
    assert_true(fu_logged(&t, "lines of its output were left out"));
    assert_true(t.n_lines < 400);
}

/* What a child leaves behind goes with it. */
static void takes_its_children_along(void **state)
{
    fu_use a;
    fu_model(&t, "m.gguf", "run=spill", 0);
    fu_open(&t, "");
    assert_int_equal(fu_get(&t, &a, "m"), 0);
    kill(fu_instance(&t, "m").info.pid, SIGKILL);
    FU_UNTIL(&t, t.n_crashes == 1);
    FU_UNTIL(&t, fu_state(&t, "m") == DV_INSTANCE_READY);
    dv_use_release(&a.use, DV_USE_LOST);
}

static void gets_nothing_of_ours(void **state)
{
    char path[256];
    setenv("DROVER_SECRET_THING", "hunter2", 1);
    setenv("LLAMA_API_KEY", "hunter3", 1);
    int fd = open("/dev/null", O_RDONLY); /* without CLOEXEC */
    fu_model(&t, "m.gguf", "run=show", 0);
    fu_open(&t, "log:\n  level: debug\n");
    fu_use_once(&t, "m");
    close(fd);
    FU_UNTIL(&t, fu_logged(&t, "colour"));
    assert_false(fu_logged(&t, "hunter"));
    assert_false(fu_logged(&t, "m: fd "));
    assert_true(fu_logged(&t, "m: own group 1, folder /"));
    assert_true(fu_logged(&t, "line with \\x1b[31m colour and \\xff"));
    int pid = fu_instance(&t, "m").info.pid;
    snprintf(path, sizeof path, "/proc/%d/oom_score_adj", pid);
    char score[16] = "";
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(score, sizeof score, f));
    fclose(f);
    assert_int_equal(atoi(score), 800);
    unsetenv("DROVER_SECRET_THING");
    unsetenv("LLAMA_API_KEY");
}

/* ---- ends ---- */

static void on_drained(void *arg) { ((fu *)arg)->drained = true; }

static void drains(void **state)
{
    fu_use a, b, c;
    dv_err err = {0};
    fu_model(&t, "m.gguf", "run=stubborn", 0);
    fu_model(&t, "n.gguf", "", 0);
    fu_model(&t, "slow.gguf", "run=slow", 0);
    fu_open(&t, "defaults:\n  parallel: 1\n");
    fu_use_once(&t, "n");
    assert_int_equal(fu_get(&t, &a, "m"), 0);
    assert_int_equal(fu_ask(&t, &b, "slow", 1, &err), 0);
    fu_pass(&t, 20);
    dv_fleet_drain(t.fleet, on_drained, &t);
    assert_false(t.drained);
    assert_int_equal(fu_ask(&t, &c, "n", 1, &err), DV_ECANCELED);
    FU_UNTIL(&t, b.called);
    assert_int_equal(b.code, DV_ECANCELED);
    dv_use_release(&b.use, DV_USE_OK);
    FU_UNTIL(&t, t.drained); /* the stubborn one was killed */
    assert_int_equal(fu_instance(&t, "m").info.pid, 0);
    dv_use_release(&a.use, DV_USE_LOST);
}

static void closes_with_everything_open(void **state)
{
    fu_use a, b;
    dv_err err = {0};
    fu_model(&t, "m.gguf", "run=stubborn", 0);
    fu_model(&t, "slow.gguf", "run=slow", 0);
    fu_model(&t, "hang.gguf", "describe=hang", 0);
    fu_open(&t, "");
    assert_int_equal(fu_get(&t, &a, "m"), 0);
    assert_int_equal(fu_ask(&t, &b, "slow", 1, &err), 0);
    fu_pass(&t, 30);
    int pid = fu_instance(&t, "m").info.pid;
    dv_use_release(&a.use, DV_USE_OK);
    dv_use_release(&b.use, DV_USE_OK);
    dv_fleet_close(&t.fleet);
    assert_int_equal(kill(pid, 0), -1);
}

/* Every allocation fails in turn, on the way to a use and to the fleet itself. */
static void out_of_memory(void **state)
{
    fu_use u;
    fu_model(&t, "m.gguf", "", 0);
    fu_open_loop(&t);
    t.conf = fu_conf(&t, "models:\n  - path: m.gguf\n    name: named\n");
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        dv_err err = {0};
        dv_fleet_options o = fu_options(&t);
        dv_mem_fail_after(n);
        int rc = dv_fleet_open(&t.fleet, &o, &err);
        if (rc == 0)
            rc = fu_ask(&t, &u, "named", 1, &err);
        else
            u.use = NULL;
        dv_mem_fail_after(0);
        assert_true(rc == 0 || rc == DV_ENOMEM);
        done = rc == 0;
        if (done)
            FU_UNTIL(&t, u.called);
        dv_use_release(&u.use, DV_USE_OK);
        dv_fleet_close(&t.fleet);
        assert_int_equal(dv_mem_used(DV_MEM_FLEET), 0);
    }
    /* And in the middle of it: nothing is lost for good. */
    for (uint64_t n = 1; n < 60; n++) {
        dv_err err = {0};
        dv_fleet_options o = fu_options(&t);
        assert_int_equal(dv_fleet_open(&t.fleet, &o, &err), 0);
        assert_int_equal(fu_ask(&t, &u, "named", 1, &err), 0);
        dv_mem_fail_after(n);
        fu_once(&t);
        fu_once(&t);
        dv_mem_fail_after(0);
        FU_UNTIL(&t, u.called);
        assert_true(u.code == 0 || u.code == DV_EIO || u.code == DV_ENOMEM);
        dv_use_release(&u.use, DV_USE_OK);
        dv_fleet_close(&t.fleet);
        assert_int_equal(dv_mem_used(DV_MEM_FLEET), 0);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(loads_on_first_use),
        T(refuses_what_is_not_there),
        T(shares_places),
        T(no_queue),
        T(waits_no_longer_than_it_may),
        T(a_thousand_leave),
        T(callbacks_may_do_anything),
        T(killed),
        T(old_uses_do_not_count),
        T(hangs),
        T(hangs_while_idle),
        T(fails_to_start),
        T(crash_loop),
        T(never_ready),
        T(program_is_not_there),
        T(eats_memory),
        T(floods),
        T(takes_its_children_along),
        T(gets_nothing_of_ours),
        T(drains),
        T(closes_with_everything_open),
        T(out_of_memory),
    };
    dv_json_use_mem();
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
