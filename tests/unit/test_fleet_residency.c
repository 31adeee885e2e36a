/* SPDX-License-Identifier: MIT */
/* Who is in memory: budgets, the least recently used, pins, what never fits, idle time. */
#include "fleet_util.h"

static fu t;

enum { MIB = 1 << 20 };

/* Models of 100 MiB, of which 60 are weights (a sparse file). */
#define MIDDLE "anon=41943040"

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

static void add_models(const char *names)
{
    char name[32] = "x.gguf";
    for (; *names != 0; names++) {
        name[0] = *names;
        fu_model(&t, name, MIDDLE, 60 * MIB);
    }
}

static bool is_ready(const char *model) { return fu_state(&t, model) == DV_INSTANCE_READY; }

static uint64_t used(void)
{
    dv_fleet_stats s;
    dv_fleet_stats_get(t.fleet, &s);
    return s.used_bytes;
}

static void least_recently_used_goes(void **state)
{
    add_models("abcd");
    fu_open(&t, "residency:\n  memory: 320MiB\n");
    fu_use_once(&t, "a");
    fu_use_once(&t, "b");
    fu_use_once(&t, "c");
    assert_int_equal(used(), 300 * (uint64_t)MIB);
    fu_use_once(&t, "a");
    fu_use_once(&t, "d");
    assert_true(is_ready("a") && !is_ready("b") && is_ready("c") && is_ready("d"));
    assert_int_equal(t.n_unloads, 1);
    fu_use_once(&t, "b");
    assert_true(is_ready("a") && is_ready("b") && !is_ready("c") && is_ready("d"));
    assert_true(used() <= 320 * (uint64_t)MIB);
    assert_int_equal(t.n_crashes, 0);
}

/* A large one needs two of them gone, and not the small one that was used before both. */
static void as_few_as_will_do(void **state)
{
    add_models("bc");
    fu_model(&t, "a.gguf", "anon=1048576", 1 * MIB);
    fu_model(&t, "big.gguf", "anon=41943040", 200 * MIB);
    fu_open(&t, "residency:\n  memory: 250MiB\n");
    fu_use_once(&t, "a");
    fu_use_once(&t, "b");
    fu_use_once(&t, "c");
    fu_use_once(&t, "big");
    assert_true(is_ready("a") && !is_ready("b") && !is_ready("c") && is_ready("big"));
    assert_int_equal(t.n_unloads, 2);
}

static void busy_ones_stay(void **state)
{
    fu_use a, b, c;
    dv_err err = {0};
    add_models("abc");
    fu_open(&t, "residency:\n  memory: 250MiB\n");
    assert_int_equal(fu_get(&t, &a, "a"), 0);
    assert_int_equal(fu_get(&t, &b, "b"), 0);
    assert_int_equal(fu_ask(&t, &c, "c", 1, &err), 0);
    fu_pass(&t, 100);
    assert_true(!c.called && is_ready("a") && is_ready("b"));
    dv_use_release(&b.use, DV_USE_OK); /* though a is the less recently used one */
    FU_UNTIL(&t, c.called);
    assert_int_equal(c.code, 0);
    assert_true(is_ready("a") && !is_ready("b"));
    dv_use_release(&a.use, DV_USE_OK);
    dv_use_release(&c.use, DV_USE_OK);
}

static void gives_up_waiting(void **state)
{
    fu_use a, b;
    add_models("ab");
    fu_open(&t, "residency:\n  memory: 150MiB\nlimits:\n  queue_time: 1s\n");
    assert_int_equal(fu_get(&t, &a, "a"), 0);
    assert_int_equal(fu_get(&t, &b, "b"), DV_EBUSY);
    assert_non_null(strstr(b.err.msg, "memory"));
    dv_use_release(&b.use, DV_USE_OK);
    dv_use_release(&a.use, DV_USE_OK);
}

/* Under load neither of two is ever idle: they take turns, and no answer is cut. */
typedef struct client {
    fu_use u;
    const char *model;
    struct event *later;
    unsigned n;
} client;

static void client_asks(client *c);

static void client_done(evutil_socket_t fd, short what, void *arg)
{
    client *c = arg;
    dv_use_release(&c->u.use, DV_USE_OK);
    c->n++;
    client_asks(c);
}

static void client_ready(void *arg, int code, const dv_err *err)
{
    client *c = arg;
    const struct timeval tv = {.tv_usec = 20000};
    assert_int_equal(code, 0);
    event_add(c->later, &tv);
}

static void client_asks(client *c)
{
    const dv_use_ask ask = {
        .model = c->model, .profile = -1, .identity = (uint64_t)c, .job = true, .arg = c, .ready = client_ready};
    assert_int_equal(dv_use_begin(t.fleet, &ask, &c->u.use, NULL), 0);
}

static void nobody_starves(void **state)
{
    client c[6];
    add_models("ab");
    fu_open(&t, "residency:\n  memory: 150MiB\ndefaults:\n  parallel: 1\n");
    for (int i = 0; i < 6; i++) {
        c[i] = (client){.model = i < 4 ? "a" : "b"};
        c[i].later = event_new(dv_http_base(t.http), -1, 0, client_done, &c[i]);
        client_asks(&c[i]);
    }
    FU_UNTIL(&t, c[0].n > 0 && c[4].n > 0);
    unsigned before = c[0].n;
    FU_UNTIL(&t, c[0].n > before);
    for (int i = 0; i < 6; i++) {
        dv_use_release(&c[i].u.use, DV_USE_OK);
        event_free(c[i].later);
    }
    assert_int_equal(t.n_crashes, 0);
}

static void never_fits(void **state)
{
    fu_use a;
    add_models("a");
    fu_model(&t, "huge.gguf", "anon=41943040", 400 * MIB);
    fu_open(&t, "residency:\n  memory: 300MiB\n");
    assert_int_equal(fu_get(&t, &a, "huge"), DV_ELIMIT);
    assert_non_null(strstr(a.err.msg, "440 MiB"));
    assert_non_null(strstr(a.err.msg, "300 MiB"));
    dv_use_release(&a.use, DV_USE_OK);
    fu_use_once(&t, "a");
    assert_int_equal(t.n_crashes, 0);
}

/* The machine's own budget: nothing of this size fits anywhere. */
static void never_fits_the_machine(void **state)
{
    fu_use a;
    add_models("a");
    fu_model(&t, "huge.gguf", "anon=1000000000000000", 1 * MIB);
    fu_open(&t, "");
    assert_int_equal(fu_get(&t, &a, "huge"), DV_ELIMIT);
    dv_use_release(&a.use, DV_USE_OK);
    dv_fleet_stats s;
    dv_fleet_stats_get(t.fleet, &s);
    assert_true(s.budget_bytes > 0);
    fu_use_once(&t, "a");
}

static void pins_stay(void **state)
{
    fu_use b;
    add_models("abc");
    fu_open(&t, "residency:\n  memory: 150MiB\nmodels:\n  - path: a.gguf\n    pin: true\n");
    fu_use_once(&t, "b");
    fu_use_once(&t, "a");
    assert_true(is_ready("a") && !is_ready("b"));
    assert_int_equal(fu_instance(&t, "a").info.expires_wall_ms, 0);
    assert_int_equal(fu_get(&t, &b, "b"), DV_ELIMIT);
    assert_non_null(strstr(b.err.msg, "pinned"));
    dv_use_release(&b.use, DV_USE_OK);
    assert_true(is_ready("a"));
}

static void so_many_at_a_time(void **state)
{
    add_models("abc");
    fu_open(&t, "residency:\n  models: 2\n");
    fu_use_once(&t, "a");
    fu_use_once(&t, "b");
    fu_use_once(&t, "c");
    assert_true(!is_ready("a") && is_ready("b") && is_ready("c"));
}

/* Two profiles of a model share its weights. */
static void weights_count_once(void **state)
{
    fu_use a = {0}, b = {0};
    dv_use_ask ask = {.model = "a", .profile = 0, .arg = &a, .ready = fu_ready};
    add_models("a");
    fu_open(&t, "");
    assert_int_equal(dv_use_begin(t.fleet, &ask, &a.use, NULL), 0);
    ask.profile = 1;
    ask.arg = &b;
    assert_int_equal(dv_use_begin(t.fleet, &ask, &b.use, NULL), 0);
    FU_UNTIL(&t, a.called && b.called);
    assert_true(strcmp(dv_use_target(a.use)->socket, dv_use_target(b.use)->socket) != 0);
    assert_int_equal(used(), 140 * (uint64_t)MIB);
    dv_use_release(&a.use, DV_USE_OK);
    dv_use_release(&b.use, DV_USE_OK);
}

static void idle_ones_go(void **state)
{
    fu_use a;
    add_models("ab");
    fu_open(&t, "defaults:\n  keep_alive: 50ms\nmodels:\n  - path: b.gguf\n    pin: true\n    preload: true\n");
    FU_UNTIL(&t, is_ready("b"));
    assert_int_equal(fu_get(&t, &a, "a"), 0);
    fu_pass(&t, 150);
    assert_true(is_ready("a")); /* as long as it is used */
    dv_use_release(&a.use, DV_USE_OK);
    FU_UNTIL(&t, fu_state(&t, "a") == DV_INSTANCE_STOPPED);
    assert_true(is_ready("b"));
    assert_int_equal(t.n_crashes, 0);
    fu_use_once(&t, "a");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(least_recently_used_goes), T(as_few_as_will_do),  T(busy_ones_stay),         T(gives_up_waiting),
        T(nobody_starves),           T(never_fits),         T(never_fits_the_machine), T(pins_stay),
        T(so_many_at_a_time),        T(weights_count_once), T(idle_ones_go),
    };
    dv_json_use_mem();
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
