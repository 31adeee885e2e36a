/* SPDX-License-Identifier: MIT */
/* Reading again: what changes, what must wait for a restart, what the new configuration says meanwhile. */
#include "conf_util.h"

/* "name: from -> to" a line, "!" in front of what needs a restart. */
static const char *reload(dv_conf **out, const dv_conf *old, const char *text)
{
    static char lines[4096];
    const dv_conf_input in = cu_input(text);
    dv_conf_changes changes;
    dv_err err = {0};
    size_t n = 0;
    if (dv_conf_reload(out, old, &in, &changes, &err) != 0)
        fail_msg("%s", err.msg);
    lines[0] = 0;
    for (size_t i = 0; i < changes.n; i++) {
        const dv_conf_change *c = &changes.v[i];
        n += (size_t)snprintf(lines + n, sizeof lines - n, "%s%s: %s -> %s\n", c->restart ? "!" : "", c->name,
                              c->from != NULL ? c->from : "(none)", c->to != NULL ? c->to : "(none)");
    }
    return lines;
}

static void nothing_changes(void **state)
{
    static const char text[] =
        "data_dir: d\nmodel: m.gguf\nlisteners: [{address: 'unix:s'}]\nmodels: [{path: a, aliases: [b]}]\n"
        "tls: {cert: c, key: k}\nredis: {url: 'redis://h'}\n";
    dv_conf *old = cu_open(text), *new;
    assert_string_equal(reload(&new, old, text), "");
    assert_int_equal(new->n_listeners, old->n_listeners);
    assert_int_equal(new->n_models, old->n_models);
    dv_conf_close(&old);
    assert_string_equal(new->data_dir, "/etc/drover/d");
    dv_conf_close(&new);
}

static void values(void **state)
{
    dv_conf *
        old = cu_open(
           "data_dir: /one\nlimits: {requests: 60, queue: 5}\nsecurity: {allowed_hosts: [a]}\nredis: {url: 'redis://:one@h'}\n"),
       *new;
    assert_string_equal(
        reload(&new, old,
               "data_dir: /other\nlimits: {requests: 90, queue: 5, body_size: 1MiB}\nlog: {level: debug}\n"
               "redis: {url: 'redis://:two@h'}\nlisten: {app: off}\n"),
        "!data_dir: /one -> /other\n"
        "!models_dir: /one/models -> /other/models\n"
        "!listen.app: 127.0.0.1:3001 -> off\n"
        "!limits.body_size: 32MiB -> 1MiB\n"
        "!redis.url: *** -> ***\n"
        "security.allowed_hosts: a -> \n"
        "limits.requests: 60 -> 90\n"
        "log.level: info -> debug\n");
    /* In effect is what could be changed; of the rest what was. */
    assert_string_equal(new->data_dir, old->data_dir);
    assert_string_equal(new->redis.url, "redis://:one@h");
    assert_int_equal(new->limits.requests, 90);
    assert_int_equal(new->limits.body_bytes, 32 << 20);
    assert_string_equal(cu_shown("limits.body_size", new), "32MiB (default)");
    assert_int_equal(new->n_listeners, 2);
    assert_int_equal(new->log.level, DV_CONF_LOG_DEBUG);
    assert_int_equal(old->limits.requests, 60);
    dv_conf_close(&old);
    dv_conf_close(&new);
}

static void models(void **state)
{
    dv_conf *old = cu_open("models: [{path: /a}, {path: /b, pin: true}, {path: /c}]\n"), *new;
    assert_string_equal(
        reload(&new, old,
               "defaults: {threads: 2}\nmodels: [{path: /d}, {path: /b2, name: b}, {path: /a, profile: fast}]\n"),
        "default_model: a -> d\n"
        "defaults.threads: auto -> 2\n"
        "models.a.profile: balanced -> fast\n"
        "models.a.context: 4096 -> 2048\n"
        "models.a.batch: 512 -> 256\n"
        "models.a.threads: auto -> 2\n"
        "models.a.parallel: 4 -> 2\n"
        "models.a.top_k: 40 -> 20\n"
        "models.b.path: /b -> /b2\n"
        "models.b.threads: auto -> 2\n"
        "models.b.pin: true -> false\n"
        "models.c: /c -> (none)\n"
        "models.d: (none) -> /d\n");
    assert_string_equal(new->default_model, "d");
    dv_conf_close(&old);
    dv_conf_close(&new);
}

static void profiles(void **state)
{
    dv_conf *old = cu_open("profiles: [{name: a, what: One}, {name: b}]\nmodels: [{path: /m, profile: b}]\n"), *new;
    assert_string_equal(reload(&new, old,
                               "profiles: [{name: fast, context: 512}, {name: b, top_p: 0.5}, {name: c}]\n"
                               "models: [{path: /m, profile: b}]\n"),
                        "profiles.fast.context: 2048 -> 512\n"
                        "profiles.a: One -> (none)\n"
                        "profiles.b.top_p: 0.95 -> 0.5\n"
                        "profiles.c: (none) -> c\n"
                        "models.m.top_p: 0.95 -> 0.5\n");
    dv_conf_close(&old);
    assert_string_equal(cu_shown("models.*.top_p", &new->models[0]), "0.5 (profile b)");
    dv_conf_close(&new);
}

static void listeners(void **state)
{
    static const char before[] =
        "tls: {cert: /c, key: /k}\nlisteners: [{address: '127.0.0.1:1'}, {address: '127.0.0.1:2', tls_cert: /c2, tls_key: /k2}]\n";
    dv_conf *old = cu_open(before), *new;
    /* Certificates change. */
    assert_string_equal(
        reload(
            &new, old,
            "tls: {cert: /C, key: /k}\nlisteners: [{address: '127.0.0.1:1'}, {address: '127.0.0.1:2', tls_cert: /C2, tls_key: /k2}]\n"),
        "tls.cert: /c -> /C\n"
        "listeners.1.tls_cert: /c2 -> /C2\n");
    assert_string_equal(new->listeners[0].tls_cert, "/C");
    assert_string_equal(new->listeners[1].tls_cert, "/C2");
    assert_string_equal(new->listeners[2].tls_cert, "/C");
    dv_conf_close(&new);
    /* Addresses do not; the old ones still get the new certificate. */
    assert_string_equal(
        reload(&new, old, "tls: {cert: /C, key: /k}\nlisteners: [{address: '127.0.0.1:9'}]\nlisten: {app: off}\n"),
        "!listen.app: 127.0.0.1:3001 -> off\n"
        "!listeners: 127.0.0.1:1 (openai), 127.0.0.1:2 (openai) -> 127.0.0.1:9 (openai)\n"
        "tls.cert: /c -> /C\n");
    assert_int_equal(new->n_listeners, 4);
    assert_string_equal(new->listeners[0].address.text, "127.0.0.1:1");
    assert_string_equal(new->listeners[0].tls_cert, "/C");
    assert_true(new->listeners[0].tls_shared);
    assert_string_equal(new->listeners[1].address.host, "127.0.0.1");
    assert_int_equal(new->listeners[1].address.port, 2);
    assert_string_equal(new->listeners[1].tls_cert, "/c2");
    assert_false(new->listeners[1].tls_shared);
    dv_conf_close(&new);
    /* The API of an address does not either. */
    assert_string_equal(
        reload(
            &new, old,
            "tls: {cert: /c, key: /k}\nlisteners: [{address: '127.0.0.1:1', api: app}, {address: '127.0.0.1:2', tls_cert: /c2, tls_key: /k2}]\n"),
        "!listeners: 127.0.0.1:1 (openai), 127.0.0.1:2 (openai) -> 127.0.0.1:1 (app), 127.0.0.1:2 (openai)\n");
    assert_int_equal(new->listeners[0].api, DV_CONF_API_OPENAI);
    dv_conf_close(&new);
    dv_conf_close(&old);
}

static void what_is_refused(void **state)
{
    static const char *const bad[] = {"limits: {requests: x}\n", "models: [{path: a}, {path: a}]\n", "a: [\n",
                                      "tls: {cert: c}\n"};
    dv_conf *old = cu_open("limits: {requests: 5}\n");
    for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
        const dv_conf_input in = cu_input(bad[i]);
        dv_conf_changes changes;
        dv_conf *new = old;
        dv_err err = {0};
        assert_true(dv_conf_reload(&new, old, &in, &changes, &err) < 0);
        assert_null(new);
        assert_true(err.msg[0] != 0);
    }
    assert_int_equal(old->limits.requests, 5);
    dv_conf_close(&old);
}

/* Each reload is made from the last: values that wait for a restart go on being reported. */
static void again_and_again(void **state)
{
    dv_conf *old = cu_open(""), *new;
    for (int i = 0; i < 5; i++) {
        assert_string_equal(reload(&new, old, "limits: {connections: 7}\nlisteners: [{address: 'unix:/s'}]\n"),
                            "!limits.connections: 4096 -> 7\n!listeners:  -> unix:/s (openai)\n");
        dv_conf_close(&old);
        old = new;
    }
    assert_string_equal(reload(&new, old, ""), "");
    dv_conf_close(&old);
    dv_conf_close(&new);
}

static void every_allocation_may_fail(void **state)
{
    static const char before[] = "listeners: [{address: 'unix:/s'}]\nmodels: [{path: /a}]\n";
    dv_buf text;
    dv_buf_init(&text, 0);
    dv_buf_adds(&text, "data_dir: /d\nlisteners: [{address: 'unix:/t'}]\nlog: {level: warn}\nmodels:\n");
    for (int i = 0; i < 200; i++)
        dv_buf_printf(&text, "  - {path: /m%d, aliases: [x%d]}\n", i, i);
    dv_conf *old = cu_open(before), *new;
    const dv_conf_input in = cu_input(dv_buf_str(&text));
    size_t used = dv_mem_used(DV_MEM_CAT_N);
    uint64_t n = 0;
    int rc = DV_ENOMEM;
    while (rc != 0) {
        dv_conf_changes changes;
        dv_err err = {0};
        dv_mem_fail_after(++n);
        rc = dv_conf_reload(&new, old, &in, &changes, &err);
        dv_mem_fail_after(0);
        if (rc == 0)
            break;
        assert_int_equal(rc, DV_ENOMEM);
        assert_int_equal(dv_mem_used(DV_MEM_CAT_N), used);
    }
    assert_true(n > 20);
    dv_conf_close(&new);
    dv_conf_close(&old);
    dv_buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_changes), cmocka_unit_test(values),
        cmocka_unit_test(models),          cmocka_unit_test(profiles),
        cmocka_unit_test(listeners),       cmocka_unit_test(what_is_refused),
        cmocka_unit_test(again_and_again), cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
