/* SPDX-License-Identifier: MIT */
/* API keys: what they are, what finds them, what they may do, and how soon everybody knows that one was revoked. */
#include "base/clock.h"
#include "base/mem.h"
#include "store/store_impl.h"
#include "store_util.h"

#include <ctype.h>
#include <pthread.h>

static int64_t last_id;
static char last_key[DV_KEY_LEN + 1];

static void make(dv_store *s, const char *name)
{
    const dv_key_spec spec = {.name = name};
    OK(dv_key_create(s, &spec, NULL, last_key, &last_id, &err));
}

static int find(dv_store *s, const char *key)
{
    const dv_key *k;
    int rc = dv_key_find(s, key, strlen(key), &k, NULL);
    dv_key_unref(k);
    return rc;
}

static void a_key_is_found_by_all_of_it(void **state)
{
    (void)state;
    dv_store *s = open_store();
    const dv_key *k;
    make(s, "first");
    assert_int_equal(strlen(last_key), DV_KEY_LEN);
    assert_memory_equal(last_key, "dv_", 3);
    OK(dv_key_find(s, last_key, DV_KEY_LEN, &k, &err));
    assert_string_equal(k->name, "first");
    assert_int_equal(k->id, last_id);
    assert_memory_equal(k->prefix, last_key, DV_KEY_PREFIX_LEN);
    assert_int_equal(strlen(k->prefix), DV_KEY_PREFIX_LEN);
    assert_false(k->scope.admin);
    assert_int_equal(k->scope.routes.n, 1);
    assert_string_equal(k->scope.routes.v[0], "*");
    assert_string_equal(k->scope.models.v[0], "*");
    dv_key_unref(k);
    for (size_t i = 0; i < DV_KEY_LEN; i++) {
        char other[DV_KEY_LEN + 1];
        memcpy(other, last_key, sizeof other);
        other[i] = (char)(other[i] == 'x' ? 'y' : 'x');
        FAILS(DV_EAUTH, dv_key_find(s, other, DV_KEY_LEN, &k, &err));
        assert_null(k);
        memcpy(other, last_key, sizeof other);
        other[i] = (char)(islower((unsigned char)other[i]) ? toupper((unsigned char)other[i])
                                                           : tolower((unsigned char)other[i]));
        if (other[i] != last_key[i])
            FAILS(DV_EAUTH, dv_key_find(s, other, DV_KEY_LEN, &k, &err));
        FAILS(DV_EAUTH, dv_key_find(s, last_key, i, &k, &err)); /* the beginning of a key is none */
    }
    char longer[DV_KEY_LEN + 2] = "";
    memcpy(longer, last_key, DV_KEY_LEN);
    FAILS(DV_EAUTH, dv_key_find(s, longer, DV_KEY_LEN + 1, &k, &err)); /* with a NUL behind it */
    FAILS(DV_EAUTH, dv_key_find(s, "", 0, &k, &err));
    FAILS(DV_EAUTH, dv_key_find(s, "dv_' OR 1=1; DROP TABLE api_keys; --aaaaaaaaaaa", DV_KEY_LEN, &k, &err));
    char *big = calloc(1, 1 << 20);
    FAILS(DV_EAUTH, dv_key_find(s, big, 1 << 20, &k, &err));
    free(big);
    assert_int_equal(find(s, last_key), 0);
    dv_store_close(&s);
}

static void the_key_is_nowhere_at_rest(void **state)
{
    (void)state;
    dv_store *s = open_as(true);
    for (int i = 0; i < 20; i++) {
        char name[16];
        snprintf(name, sizeof name, "key %d", i);
        make(s, name);
        assert_int_equal(find(s, last_key), 0);
    }
    OK(dv_audit_flush(s, 5000, &err));
    dv_store_close(&s);
    char cmd[200];
    snprintf(cmd, sizeof cmd, "grep -rqaF '%s' '%s'", last_key, dir);
    assert_int_not_equal(system(cmd), 0);
    snprintf(cmd, sizeof cmd, "grep -rqaF '%s' '%s'", last_key + DV_KEY_PREFIX_LEN, dir);
    assert_int_not_equal(system(cmd), 0);
    s = open_store();
    assert_int_equal(find(s, last_key), 0);
    dv_store_close(&s);
}

static void bad_names_and_scopes_are_named(void **state)
{
    static const char *const bad[] = {"", " a", "a ", "a\nb", "a\x1b[31m", "\xff", "a\xe2\x80\xae", "\x7f", NULL};
    (void)state;
    dv_store *s = open_store();
    char key[DV_KEY_LEN + 1], longname[DV_NAME_MAX + 2];
    int64_t id;
    for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
        const dv_key_spec spec = {.name = bad[i]};
        FAILS(DV_EINVAL, dv_key_create(s, &spec, NULL, key, &id, &err));
        assert_string_equal(key, "");
        if (bad[i] == NULL)
            continue;
        const dv_key_spec route = {.name = "x", .scope.routes = {&bad[i], 1}},
                          model = {.name = "x", .scope.models = {&bad[i], 1}};
        FAILS(DV_EINVAL, dv_key_create(s, &route, NULL, key, &id, &err));
        assert_non_null(strstr(err.msg, "routes"));
        FAILS(DV_EINVAL, dv_key_create(s, &model, NULL, key, &id, &err));
        assert_non_null(strstr(err.msg, "models"));
    }
    memset(longname, 'a', sizeof longname - 1);
    longname[sizeof longname - 1] = 0;
    dv_key_spec spec = {.name = longname};
    FAILS(DV_EINVAL, dv_key_create(s, &spec, NULL, key, &id, &err));
    longname[DV_NAME_MAX] = 0;
    OK(dv_key_create(s, &spec, NULL, key, &id, &err));
    FAILS(DV_EEXIST, dv_key_create(s, &spec, NULL, key, &id, &err));
    spec = (dv_key_spec){.name = "late", .scope.expires_ms = 1};
    FAILS(DV_EINVAL, dv_key_create(s, &spec, NULL, key, &id, &err));
    spec.scope.expires_ms = UINT64_MAX;
    FAILS(DV_EINVAL, dv_key_create(s, &spec, NULL, key, &id, &err));
    spec = (dv_key_spec){.name = "whose", .owner = 99};
    FAILS(DV_ENOENT, dv_key_create(s, &spec, NULL, key, &id, &err));
    const char *many[DV_SCOPE_PATTERNS + 1];
    char pattern[DV_SCOPE_PATTERN + 2];
    memset(pattern, 'm', sizeof pattern - 1);
    pattern[DV_SCOPE_PATTERN] = 0;
    for (size_t i = 0; i < DV_ARRAY_LEN(many); i++)
        many[i] = pattern;
    spec = (dv_key_spec){.name = "many", .scope.models = {many, DV_ARRAY_LEN(many)}};
    FAILS(DV_EINVAL, dv_key_create(s, &spec, NULL, key, &id, &err));
    spec.scope.models.n--;
    spec.scope.routes = spec.scope.models;
    OK(dv_key_create(s, &spec, NULL, key, &id, &err));
    const dv_key *k;
    OK(dv_key_find(s, key, DV_KEY_LEN, &k, &err));
    assert_int_equal(k->scope.models.n, DV_SCOPE_PATTERNS);
    assert_string_equal(k->scope.models.v[DV_SCOPE_PATTERNS - 1], pattern);
    dv_key_unref(k);
    dv_store_close(&s);
}

static void injected_text_is_text(void **state)
{
    static const char *const names[] = {"x'); DROP TABLE api_keys; --", "'", "\"", "%s%n", "?1", "a\\",
                                        "\xe6\xbc\xa2\xe5\xad\x97"};
    (void)state;
    dv_store *s = open_store();
    for (size_t i = 0; i < DV_ARRAY_LEN(names); i++) {
        const dv_key_spec spec = {.name = names[i], .scope.models = {&names[i], 1}};
        const dv_key *k;
        OK(dv_key_create(s, &spec, NULL, last_key, &last_id, &err));
        OK(dv_key_find(s, last_key, DV_KEY_LEN, &k, &err));
        assert_string_equal(k->name, names[i]);
        assert_string_equal(k->scope.models.v[0], names[i]);
        dv_key_unref(k);
    }
    assert_int_equal(raw_int("SELECT count(*) FROM api_keys"), DV_ARRAY_LEN(names));
    dv_store_close(&s);
}

static void everything_of_a_scope_is_kept(void **state)
{
    static const char *const routes[] = {"chat", "/v1/models"}, *const models[] = {"llama*", "qwen-?b"};
    (void)state;
    dv_store *s = open_store();
    const dv_key *k;
    uint64_t later = dv_clock_wall_ms() + 100000;
    dv_key_spec spec = {.name = "all", .scope = {{routes, 2}, {models, 2}, true, UINT32_MAX, 2, 3, 4, later}};
    OK(dv_key_create(s, &spec, NULL, last_key, &last_id, &err));
    dv_store_close(&s);
    s = open_store();
    OK(dv_key_find(s, last_key, DV_KEY_LEN, &k, &err));
    dv_store_close(&s); /* a key outlives its store */
    assert_string_equal(k->scope.routes.v[1], "/v1/models");
    assert_string_equal(k->scope.models.v[1], "qwen-?b");
    assert_true(k->scope.admin);
    assert_int_equal(k->scope.requests_per_min, UINT32_MAX);
    assert_int_equal(k->scope.tokens_per_min, 2);
    assert_int_equal(k->scope.concurrency, 3);
    assert_int_equal(k->scope.max_context, 4);
    assert_int_equal(k->scope.expires_ms, later);
    assert_true(dv_scope_route(&k->scope, "chat", "/v1/chat/completions", false));
    assert_true(dv_scope_route(&k->scope, "chat", "/v1/chat/completions", true));
    assert_true(dv_scope_route(&k->scope, "models", "/v1/models", false));
    assert_false(dv_scope_route(&k->scope, "models", "/v1/models/x", false));
    assert_false(dv_scope_route(&k->scope, "models", "chat", false)); /* a path does not match a group's name */
    assert_false(dv_scope_route(&k->scope, "/v1/models", NULL, false));
    assert_false(dv_scope_route(&k->scope, NULL, NULL, false));
    assert_true(dv_scope_model(&k->scope, "llama-3"));
    assert_true(dv_scope_model(&k->scope, "qwen-7b"));
    assert_false(dv_scope_model(&k->scope, "qwen-70b"));
    assert_false(dv_scope_model(&k->scope, "Llama-3"));
    dv_key_unref(k);
}

static void admin_is_no_route(void **state)
{
    static const char *const star[] = {"*"};
    (void)state;
    const dv_scope all = {.routes = {star, 1}}, admin = {.routes = {star, 1}, .admin = true}, none = {.admin = true};
    assert_true(dv_scope_route(&all, "chat", "/v1/chat/completions", false));
    assert_false(dv_scope_route(&all, "admin", "/api/keys", true));
    assert_true(dv_scope_route(&admin, "admin", "/api/keys", true));
    assert_false(dv_scope_route(&none, "admin", "/api/keys", true));
    assert_false(dv_scope_model(&none, "any"));
}

static void patterns_match(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool match;
    } cases[] = {
        {"", "", true},          {"", "a", false},          {"*", "", true},
        {"*", "anything", true}, {"a*", "a", true},         {"a*", "ba", false},
        {"*a", "bca", true},     {"a*c", "abbbc", true},    {"a*c", "abbbcd", false},
        {"a**c", "ac", true},    {"?", "", false},          {"?", "a", true},
        {"?", "\xc3\xa4", true}, {"??", "\xc3\xa4", false}, {"a?c", "abc", true},
        {"*b*d", "abcbd", true}, {"*ab*ab*", "aab", false}, {"*ab*ab*", "xabyabz", true},
        {"a\\*", "a*", false},   {"[a]", "a", false},       {"llama*q4*", "llama-3-q8", false},
    };
    (void)state;
    for (size_t i = 0; i < DV_ARRAY_LEN(cases); i++)
        if (dv_pattern_match(cases[i].pattern, cases[i].text, strlen(cases[i].text)) != cases[i].match)
            fail_msg("'%s' on '%s'", cases[i].pattern, cases[i].text);
    assert_false(dv_pattern_match("a", "a\0b", 3));
    assert_true(dv_pattern_match("a*", "a\0b", 3));
    assert_false(dv_pattern_match("", "\0", 1));
    /* Stars that backtrack without end where they are tried recursively. */
    char pattern[DV_SCOPE_PATTERN + 1], text[DV_SCOPE_PATTERN];
    for (size_t i = 0; i < DV_SCOPE_PATTERN; i++)
        pattern[i] = i % 2 == 0 ? '*' : 'a';
    pattern[DV_SCOPE_PATTERN - 1] = 'b';
    pattern[DV_SCOPE_PATTERN] = 0;
    memset(text, 'a', sizeof text);
    assert_false(dv_pattern_match(pattern, text, sizeof text));
}

static void expired_keys_are_not_found(void **state)
{
    (void)state;
    dv_store *s = open_store();
    atomic_store(&fake_ms, 1000000);
    dv_key_spec spec = {.name = "short", .scope.expires_ms = 1005000};
    OK(dv_key_create(s, &spec, NULL, last_key, &last_id, &err));
    assert_int_equal(find(s, last_key), 0);
    atomic_store(&fake_ms, 1004999);
    assert_int_equal(find(s, last_key), 0);
    atomic_store(&fake_ms, 1005000);
    assert_int_equal(find(s, last_key), DV_EAUTH);
    atomic_store(&fake_ms, UINT64_C(4000000000000));
    assert_int_equal(find(s, last_key), DV_EAUTH);
    dv_store_close(&s);
}

static void a_revoked_key_is_gone_at_once(void **state)
{
    (void)state;
    for (int server = 0; server < 2; server++) {
        dv_store *s = open_as(server);
        const dv_key *held;
        make(s, "to revoke");
        int64_t id = last_id;
        OK(dv_key_find(s, last_key, DV_KEY_LEN, &held, &err));
        OK(dv_key_revoke(s, id, NULL, &err));
        assert_int_equal(find(s, last_key), DV_EAUTH);
        assert_string_equal(held->name, "to revoke"); /* who has it may finish */
        dv_key_unref(held);
        FAILS(DV_ENOENT, dv_key_revoke(s, id, NULL, &err));
        FAILS(DV_ENOENT, dv_key_revoke(s, 12345, NULL, &err));
        make(s, "to revoke"); /* the name is free again */
        assert_true(last_id > id);
        assert_int_equal(find(s, last_key), 0);
        OK(dv_key_revoke(s, last_id, NULL, &err));
        dv_store_close(&s);
    }
}

/* Until find gives rc; false if it does not within a second. */
static bool within_a_second(dv_store *s, int rc)
{
    for (int i = 0; i < 100; i++) {
        if (find(s, last_key) == rc)
            return true;
        usleep(10000);
    }
    return false;
}

static void other_processes_learn_of_it_within_a_second(void **state)
{
    (void)state;
    for (int server = 0; server < 2; server++) {
        dv_store *s = open_as(server), *command = open_store();
        char name[16];
        snprintf(name, sizeof name, "key %d", server);
        make(command, name);
        assert_true(within_a_second(s, 0));
        OK(dv_key_revoke(command, last_id, NULL, &err));
        assert_true(within_a_second(s, DV_EAUTH));
        /* A new key at once, however many wrong ones were asked for. */
        snprintf(name, sizeof name, "new %d", server);
        for (int i = 0; i < 1000; i++)
            assert_int_equal(find(s, "dv_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), DV_EAUTH);
        make(command, name);
        usleep(20000);
        assert_int_equal(find(s, last_key), 0);
        /* Also of what a program does that is not drover. */
        snprintf(name, sizeof name, "raw %d", server);
        make(command, name);
        assert_true(within_a_second(s, 0));
        raw_sql("DELETE FROM api_keys");
        assert_true(within_a_second(s, DV_EAUTH));
        dv_store_close(&command);
        dv_store_close(&s);
    }
}

static void a_table_that_nobody_can_check_is_not_trusted(void **state)
{
    (void)state;
    dv_store *s = open_store();
    const dv_key *k;
    make(s, "one");
    assert_int_equal(find(s, last_key), 0);
    raw_sql("PRAGMA writable_schema=ON; DROP TABLE meta");
    pthread_mutex_lock(&s->keys.mu);
    s->keys.fresh_ns -= UINT64_C(2000000000); /* two seconds ago */
    pthread_mutex_unlock(&s->keys.mu);
    assert_int_equal(find(s, last_key), 0);
    pthread_mutex_lock(&s->keys.mu);
    s->keys.fresh_ns = 0;
    pthread_mutex_unlock(&s->keys.mu);
    FAILS(DV_EIO, dv_key_find(s, last_key, DV_KEY_LEN, &k, &err));
    assert_null(k);
    dv_store_close(&s);
}

static void lists_have_all_and_no_secrets(void **state)
{
    (void)state;
    dv_store *s = open_store();
    dv_key_list l;
    OK(dv_key_list_get(s, &l, &err));
    assert_int_equal(l.n, 0);
    dv_key_list_fini(&l);
    for (int i = 0; i < 40; i++) {
        char name[16];
        snprintf(name, sizeof name, "key %d", i);
        make(s, name);
    }
    OK(dv_key_revoke(s, last_id, NULL, &err));
    OK(dv_key_list_get(s, &l, &err));
    assert_int_equal(l.n, 40);
    assert_string_equal(l.v[3]->name, "key 3");
    assert_int_equal(l.v[38]->revoked_ms, 0);
    assert_true(l.v[39]->revoked_ms > 0);
    assert_memory_equal(l.v[39]->prefix, last_key, DV_KEY_PREFIX_LEN);
    dv_key_list_fini(&l);
    dv_store_close(&s);
}

static void the_last_use_is_written_late(void **state)
{
    (void)state;
    dv_store *s = open_as(true);
    make(s, "used");
    assert_int_equal(find(s, last_key), 0);
    assert_int_equal(raw_int("SELECT used_ms FROM api_keys"), 0);
    dv_store *command = open_store(); /* a change makes the server read its table anew */
    char mine[DV_KEY_LEN + 1];
    memcpy(mine, last_key, sizeof mine);
    make(command, "other");
    dv_store_close(&command);
    assert_true(within_a_second(s, 0));
    dv_store_close(&s);
    assert_true(raw_int("SELECT used_ms FROM api_keys WHERE name = 'used'") > 0);
    (void)mine;
}

static void the_first_start_makes_a_key(void **state)
{
    (void)state;
    dv_store *s = open_as(true);
    bool made;
    dv_buf path;
    size_t n;
    dv_buf_init(&path, 0);
    OK(dv_key_bootstrap(s, &made, &path, &err));
    assert_true(made);
    assert_string_equal(dv_buf_str(&path), in_dir("admin.key"));
    assert_int_equal(mode_of("admin.key"), 0600);
    char *key = read_all("admin.key", &n);
    assert_int_equal(n, DV_KEY_LEN + 1);
    key[DV_KEY_LEN] = 0;
    const dv_key *k;
    OK(dv_key_find(s, key, DV_KEY_LEN, &k, &err));
    assert_true(k->scope.admin);
    int64_t id = k->id;
    dv_key_unref(k);
    dv_buf_clear(&path);
    OK(dv_key_bootstrap(s, &made, &path, &err));
    assert_false(made);
    assert_string_equal(dv_buf_str(&path), in_dir("admin.key"));
    OK(dv_key_revoke(s, id, NULL, &err)); /* nobody gets another one by revoking it */
    unlink(in_dir("admin.key"));
    dv_buf_clear(&path);
    OK(dv_key_bootstrap(s, &made, &path, &err));
    assert_false(made);
    assert_string_equal(dv_buf_str(&path), "");
    dv_buf_fini(&path);
    free(key);
    dv_store_close(&s);
}

/* ---- threads, memory ---- */

static atomic_bool stop_threads;
static char shared_key[DV_KEY_LEN + 1];

static void *look_for_it(void *arg)
{
    dv_store *s = arg;
    while (!atomic_load(&stop_threads)) {
        const dv_key *k;
        if (dv_key_find(s, shared_key, DV_KEY_LEN, &k, NULL) != 0 || strcmp(k->name, "shared") != 0)
            return s;
        dv_key_unref(k);
    }
    return NULL;
}

static void finding_while_others_change(void **state)
{
    (void)state;
    dv_store *s = open_as(true);
    pthread_t t[3];
    void *bad;
    make(s, "shared");
    memcpy(shared_key, last_key, sizeof shared_key);
    atomic_store(&stop_threads, false);
    for (size_t i = 0; i < DV_ARRAY_LEN(t); i++)
        assert_int_equal(pthread_create(&t[i], NULL, look_for_it, s), 0);
    for (int i = 0; i < 60; i++) {
        char name[16];
        snprintf(name, sizeof name, "key %d", i);
        make(s, name);
        if (i % 2 == 0)
            OK(dv_key_revoke(s, last_id, NULL, &err));
    }
    atomic_store(&stop_threads, true);
    for (size_t i = 0; i < DV_ARRAY_LEN(t); i++) {
        pthread_join(t[i], &bad);
        assert_null(bad);
    }
    dv_store_close(&s);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    int rc = -1, failures = 0;
    dv_store *s = open_store();
    dv_store_close(&s);
    size_t used = dv_mem_used(DV_MEM_STORE);
    for (uint64_t n = 1; rc != 0; n += 1 + n / 256) {
        const dv_key_spec spec = {.name = "name"};
        dv_key_list l = {0};
        dv_err e = {0};
        dv_store_options o = test_options();
        dv_mem_fail_after(n);
        rc = dv_store_open(&s, &o, &e);
        if (rc == 0)
            rc = dv_key_create(s, &spec, NULL, last_key, &last_id, &e);
        if (rc == 0)
            rc = dv_key_list_get(s, &l, &e);
        if (rc == 0)
            rc = dv_key_revoke(s, last_id, NULL, &e);
        dv_mem_fail_after(0);
        dv_key_list_fini(&l);
        dv_store_close(&s);
        failures += rc != 0;
        if (rc != 0 && rc != DV_ENOMEM)
            fail_msg("allocation %d: %s (%s)", (int)n, e.msg, dv_error_name(rc));
        assert_int_equal(dv_mem_used(DV_MEM_STORE), used);
        raw_sql("DELETE FROM api_keys");
    }
    assert_true(failures > 50);
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, new_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(a_key_is_found_by_all_of_it),
        IN_DIR(the_key_is_nowhere_at_rest),
        IN_DIR(bad_names_and_scopes_are_named),
        IN_DIR(injected_text_is_text),
        IN_DIR(everything_of_a_scope_is_kept),
        IN_DIR(admin_is_no_route),
        IN_DIR(patterns_match),
        IN_DIR(expired_keys_are_not_found),
        IN_DIR(a_revoked_key_is_gone_at_once),
        IN_DIR(other_processes_learn_of_it_within_a_second),
        IN_DIR(a_table_that_nobody_can_check_is_not_trusted),
        IN_DIR(lists_have_all_and_no_secrets),
        IN_DIR(the_last_use_is_written_late),
        IN_DIR(the_first_start_makes_a_key),
        IN_DIR(finding_while_others_change),
        IN_DIR(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
