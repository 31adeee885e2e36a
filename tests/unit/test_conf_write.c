/* SPDX-License-Identifier: MIT */
/* Configurations written out: what is written reads back as the same; secrets stay out; docs/configuration.md says what the table says. */
#include "base/file.h"
#include "conf/write.h"
#include "conf_util.h"

#include <ctype.h>
#include <stdlib.h>

static bool same_value(const dv_conf_option *o, const void *a, const void *b)
{
    dv_buf x, y;
    dv_buf_init(&x, 0);
    dv_buf_init(&y, 0);
    dv_conf_value_text(&x, o, a);
    dv_conf_value_text(&y, o, b);
    bool same = strcmp(dv_buf_str(&x), dv_buf_str(&y)) == 0;
    if (!same)
        print_error("%s: %s, %s\n", o->name, dv_buf_str(&x), dv_buf_str(&y));
    dv_buf_fini(&x);
    dv_buf_fini(&y);
    return same;
}

static void same_objects(dv_conf_scope scope, const void *a, const void *b)
{
    size_t n;
    const dv_conf_option *o = dv_conf_options_of(scope, &n);
    for (size_t i = 0; i < n; i++)
        assert_true(same_value(&o[i], a, b));
}

static void same_confs(const dv_conf *a, const dv_conf *b)
{
    same_objects(DV_CONF_TOP, a, b);
    assert_int_equal(a->n_listeners, b->n_listeners);
    assert_int_equal(a->n_models, b->n_models);
    for (size_t i = 0; i < a->n_listeners; i++)
        same_objects(DV_CONF_LISTENER, &a->listeners[i], &b->listeners[i]);
    assert_int_equal(a->n_profiles, b->n_profiles);
    for (size_t i = 0; i < a->n_profiles; i++)
        same_objects(DV_CONF_PROFILE, &a->profiles[i], &b->profiles[i]);
    for (size_t i = 0; i < a->n_models; i++)
        same_objects(DV_CONF_MODEL, &a->models[i], &b->models[i]);
}

static void reads_back(const char *text)
{
    dv_conf *a = cu_open(text);
    dv_buf b;
    dv_buf_init(&b, 0);
    assert_int_equal(dv_conf_write_yaml(&b, a), 0);
    dv_conf *again = cu_open(dv_buf_str(&b));
    same_confs(a, again);
    dv_conf_close(&again);
    dv_conf_close(&a);
    dv_buf_fini(&b);
}

static void what_is_written_reads_back(void **state)
{
    reads_back("data_dir: /d\n");
    reads_back(
        "data_dir: '/with ''quotes'' and: colons # and {more} \xc3\xa9'\nlog: {file: 'null'}\n"
        "security: {allowed_hosts: ['::1', a.example], allowed_origins: ['*', 'https://a:1'], trusted_proxies: ['fd00::/8']}\n"
        "upstream: {flags: [--a, 'b,c', '[x]']}\nredis: {prefix: '- x:'}\n"
        "profiles: [{name: fast, top_p: 0.1, what: 'a: b'}, {name: p, base: memory, repeat_penalty: 1.0625}]\n"
        "tls: {cert: c, key: k}\ninsecure: true\nlisten: {openai: '[::]:1', app: off, chroma: 'unix:/s p'}\n"
        "listeners: [{address: '127.0.0.1:2'}, {address: '127.0.0.1:3', tls_cert: x, tls_key: y, api: chroma}]\n"
        "model: /m.gguf\nmodels: [{path: a, aliases: [b, 'c:1'], profile: memory}, {name: r, url: 'http://localhost:9/', key_env: K, keep_alive: forever}]\n");
}

static void secrets_stay_out(void **state)
{
    dv_conf *c = cu_open("redis: {url: 'redis://user:hunter2@host'}\n");
    dv_buf b;
    dv_buf_init(&b, 0);
    dv_conf_write_yaml(&b, c);
    dv_conf_write_json(&b, c);
    assert_null(strstr(dv_buf_str(&b), "hunter2"));
    assert_non_null(strstr(dv_buf_str(&b), "  url: '***'  # /etc/drover/drover.yaml:1:14\n"));
    assert_non_null(strstr(dv_buf_str(&b), "\"redis.url\":{\"value\":\"***\","));
    dv_conf_close(&c);
    dv_buf_fini(&b);
}

/* Comments have a blank behind '#', options that are commented out have none. */
static char *uncomment(const char *text)
{
    char *out = malloc(strlen(text) + 1), *at = out;
    assert_non_null(out);
    bool begin = true;
    for (; *text != 0; text++) {
        if (begin && *text == '#' && text[1] != ' ')
            continue;
        begin = *text == '\n' || (begin && *text == ' ');
        *at++ = *text;
    }
    *at = 0;
    return out;
}

static void the_example(void **state)
{
    dv_buf b;
    dv_buf_init(&b, 0);
    assert_int_equal(dv_conf_write_example(&b), 0);
    /* As it is it says nothing. */
    dv_conf *nothing = cu_open(""), *c = cu_open(dv_buf_str(&b));
    same_confs(nothing, c);
    dv_conf_close(&c);
    /* Uncommented, it says what is so anyway, once for each option. */
    char *all = uncomment(dv_buf_str(&b));
    c = cu_open(all);
    size_t n = 0;
    for (size_t i = 0; dv_conf_option_at(i) != NULL; i++, n++) {
        const dv_conf_option *o = dv_conf_option_at(i);
        const void *object = cu_first(c, o->scope);
        dv_conf_from from = dv_conf_source_of(o, object)->from;
        if (from != DV_CONF_FROM_FILE)
            fail_msg("%s is not in the example", o->name);
        if (o->scope == DV_CONF_TOP && strcmp(o->name, "default_model") != 0)
            assert_true(same_value(o, nothing, c));
    }
    assert_string_equal(c->models[0].name, "Llama-3.2-3B-Instruct-Q4_K_M");
    dv_conf_close(&c);
    dv_conf_close(&nothing);
    free(all);
    for (const char *p = dv_buf_str(&b); *p != 0; p += strcspn(p, "\n") + 1)
        if (strcspn(p, "\n") > 130)
            fail_msg("a line of %zu characters: %.60s", strcspn(p, "\n"), p);
    dv_buf_fini(&b);
}

/* examples/drover.yaml means what its comments say. */
static void the_sample(void **state)
{
    const dv_conf_input in = {.file = DV_DOCS_DIR "/../examples/drover.yaml", .env = cu_home, .dir = "/cwd"};
    dv_conf *c = cu_open_input(&in);
    assert_int_equal(c->n_models, 4);
    assert_string_equal(c->default_model, "llama");
    assert_ptr_equal(dv_conf_find_model(c, "llama"), &c->models[0]);
    assert_string_equal(c->models[0].path, "/srv/models/Llama-3.2-3B-Instruct-Q4_K_M.gguf");
    assert_int_equal(c->models[1].run.context, 16384);
    assert_true(c->models[1].run.temperature == 0 && c->models[0].run.temperature > 0);
    assert_int_equal(c->models[2].backend, DV_CONF_BACKEND_UPSTREAM);
    assert_string_equal(c->models[2].upstream_program, "/opt/llama.cpp/bin/llama-server");
    assert_int_equal(c->models[3].backend, DV_CONF_BACKEND_REMOTE);
    assert_int_equal(c->n_listeners, 2);
    assert_true(!c->listeners[0].loopback && c->listeners[0].tls_shared && c->listeners[1].tls_cert == NULL);
    assert_false(dv_conf_loopback_keyless(c));
    dv_conf_close(&c);
}

/* The part of the page between its marks is dv_conf_write_reference's. DV_WRITE_DOCS=1 writes it anew. */
static void the_reference(void **state)
{
    static const char begin[] = "<!-- options -->\n", end[] = "<!-- end of options -->\n";
    const char *path = DV_DOCS_DIR "/configuration.md";
    dv_err err = {0};
    dv_buf page, want;
    dv_buf_init(&page, 1 << 20);
    dv_buf_init(&want, 0);
    assert_int_equal(dv_file_read(&page, path, &err), 0);
    const char *from = strstr(page.data, begin), *to = strstr(page.data, end);
    assert_true(from != NULL && to != NULL && from < to);
    from += strlen(begin);
    dv_buf_add(&want, page.data, (size_t)(from - page.data));
    assert_int_equal(dv_conf_write_reference(&want), 0);
    dv_buf_adds(&want, to);
    if (getenv("DV_WRITE_DOCS") != NULL) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        assert_int_equal(fwrite(want.data, 1, want.len, f), want.len);
        assert_int_equal(fclose(f), 0);
    } else if (want.len != page.len || memcmp(want.data, page.data, page.len) != 0) {
        fail_msg(
            "%s: its tables are not what the option table says; DV_WRITE_DOCS=1 tests/unit/test_conf_write writes them",
            path);
    }
    dv_buf_fini(&page);
    dv_buf_fini(&want);
}

/* A failed allocation is told by the buffer's code, wherever it happens. */
static void every_allocation_may_fail(void **state)
{
    dv_conf *c = cu_open(
        "model: /a\nprofiles: [{name: p}]\nmodels: [{path: /b, aliases: [c, d]}]\nlisteners: [{address: 'unix:/s'}]\n");
    int (*const writers[])(dv_buf *, const dv_conf *) = {dv_conf_write_yaml, dv_conf_write_json};
    size_t used = dv_mem_used(DV_MEM_CAT_N);
    for (size_t w = 0; w < 3; w++) {
        int rc = DV_ENOMEM;
        uint64_t n = 0;
        while (rc != 0) {
            dv_buf b;
            dv_buf_init(&b, 0);
            dv_mem_fail_after(++n);
            rc = w < 2 ? writers[w](&b, c) : dv_conf_write_example(&b);
            dv_mem_fail_after(0);
            assert_true(rc == 0 || rc == DV_ENOMEM);
            dv_buf_fini(&b);
            assert_int_equal(dv_mem_used(DV_MEM_CAT_N), used);
        }
        assert_true(n > 5);
    }
    dv_conf_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(secrets_stay_out),
        cmocka_unit_test(the_example),
        cmocka_unit_test(the_sample),
        cmocka_unit_test(the_reference),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
