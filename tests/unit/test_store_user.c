/* SPDX-License-Identifier: MIT */
/* Users, their passwords and sessions; guessing. */
#include "base/clock.h"
#include "store/login.h"
#include "store_util.h"

#include <pthread.h>
#include <sodium.h>

static const char good[] = "correct horse battery";

static int64_t add(dv_store *s, const char *name, dv_role role)
{
    int64_t id;
    OK(dv_user_add(s, name, strlen(name), role, good, strlen(good), NULL, &id, &err));
    return id;
}

static int login(dv_store *s, const char *name, const char *password, const char *address, uint32_t *wait)
{
    dv_user u;
    uint32_t retry;
    const dv_login in = {
        .name = name, .n_name = strlen(name), .password = password, .n_password = strlen(password), .address = address};
    int rc = dv_user_login(s, &in, &u, &retry, NULL);
    if (wait != NULL)
        *wait = retry;
    if (rc == 0)
        assert_true(u.id > 0);
    else
        assert_int_equal(u.id, 0);
    return rc;
}

/* ---- users ---- */

static void names_are_one_way_to_write_them(void **state)
{
    static const char *const bad[] = {"", ".a", "-a", " a", "a b", "a\nb", "\xc3\xa4", "a'--", "a/b", "a:b", "@a"};
    (void)state;
    char out[DV_NAME_MAX + 1], longname[DV_NAME_MAX + 2];
    OK(dv_user_name(out, "Ada.Lovelace+1@Example.ORG", 26, &err));
    assert_string_equal(out, "ada.lovelace+1@example.org");
    for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++)
        FAILS(DV_EINVAL, dv_user_name(out, bad[i], strlen(bad[i]), &err));
    FAILS(DV_EINVAL, dv_user_name(out, "a\0b", 3, &err));
    FAILS(DV_EINVAL, dv_user_name(out, "\0", 1, &err));
    memset(longname, 'x', sizeof longname);
    OK(dv_user_name(out, longname, DV_NAME_MAX, &err));
    FAILS(DV_EINVAL, dv_user_name(out, longname, DV_NAME_MAX + 1, &err));
}

static void users_come_and_go(void **state)
{
    (void)state;
    dv_store *s = open_store();
    dv_user u;
    dv_user_list l;
    int64_t id, ada = add(s, "Ada", DV_ROLE_ADMIN), bob = add(s, "bob", DV_ROLE_VIEWER);
    FAILS(DV_EEXIST, dv_user_add(s, "ADA", 3, DV_ROLE_USER, good, strlen(good), NULL, &id, &err));
    FAILS(DV_EINVAL, dv_user_add(s, "eve", 3, DV_ROLE_N, good, strlen(good), NULL, &id, &err));
    OK(dv_user_find(s, "aDa", 3, &u, &err));
    assert_int_equal(u.id, ada);
    assert_int_equal(u.role, DV_ROLE_ADMIN);
    assert_string_equal(u.name, "ada");
    FAILS(DV_ENOENT, dv_user_find(s, "x' OR '1'='1", 12, &u, &err));
    FAILS(DV_ENOENT, dv_user_find(s, "nobody", 6, &u, &err));
    OK(dv_user_set_role(s, bob, DV_ROLE_USER, NULL, &err));
    OK(dv_user_list_get(s, &l, &err));
    assert_int_equal(l.n, 2);
    assert_string_equal(l.v[1].name, "bob");
    assert_int_equal(l.v[1].role, DV_ROLE_USER);
    dv_user_list_fini(&l);
    OK(dv_user_delete(s, bob, NULL, &err));
    FAILS(DV_ENOENT, dv_user_delete(s, bob, NULL, &err));
    FAILS(DV_ENOENT, dv_user_get(s, bob, &u, &err));
    FAILS(DV_ENOENT, dv_user_set_role(s, bob, DV_ROLE_USER, NULL, &err));
    FAILS(DV_ENOENT, dv_user_set_password(s, bob, good, strlen(good), NULL, &err));
    assert_true(add(s, "carol", DV_ROLE_USER) > bob); /* a number is never given twice */
    dv_store_close(&s);
}

static void weak_passwords_are_refused(void **state)
{
    (void)state;
    dv_store *s = open_store();
    int64_t id;
    char *big = malloc(DV_PASSWORD_MAX + 1);
    memset(big, 'p', DV_PASSWORD_MAX + 1);
    FAILS(DV_EINVAL, dv_user_add(s, "ada", 3, DV_ROLE_USER, "1234567", 7, NULL, &id, &err));
    FAILS(DV_EINVAL, dv_user_add(s, "ada", 3, DV_ROLE_USER, "", 0, NULL, &id, &err));
    FAILS(DV_EINVAL, dv_user_add(s, "ada", 3, DV_ROLE_USER, big, DV_PASSWORD_MAX + 1, NULL, &id, &err));
    FAILS(DV_EINVAL, dv_user_add(s, "ada", 3, DV_ROLE_USER, "good\0good", 9, NULL, &id, &err));
    FAILS(DV_EINVAL, dv_user_add(s, "ada", 3, DV_ROLE_USER, "bad\xff\xfe utf-8", 11, NULL, &id, &err));
    FAILS(DV_EINVAL, dv_user_add(s, "ada.lovelace", 12, DV_ROLE_USER, "Ada.Lovelace", 12, NULL, &id, &err));
    assert_null(strstr(err.msg, "Lovelace"));
    OK(dv_user_add(s, "ada", 3, DV_ROLE_USER, big, DV_PASSWORD_MAX, NULL, &id, &err));
    big[DV_PASSWORD_MAX] = 0;
    assert_int_equal(login(s, "ada", big, NULL, NULL), 0);
    big[DV_PASSWORD_MAX - 1] = 0;
    assert_int_equal(login(s, "ada", big, NULL, NULL), DV_EAUTH);
    free(big);
    dv_store_close(&s);
}

static void hashes_are_argon2id_and_made_anew(void **state)
{
    (void)state;
    dv_store *s = open_store();
    add(s, "ada", DV_ROLE_USER);
    assert_int_equal(raw_int("SELECT password LIKE '$argon2id$v=19$m=8,t=1,p=1$%' FROM users"), 1);
    dv_store_tuning t = test_options().tuning;
    t.password_ops = 2;
    t.password_bytes = 16384;
    dv_store_tune(s, &t);
    assert_int_equal(login(s, "ada", "wrong password", NULL, NULL), DV_EAUTH);
    assert_int_equal(raw_int("SELECT password LIKE '%$m=8,t=1,%' FROM users"), 1);
    assert_int_equal(login(s, "ada", good, NULL, NULL), 0);
    assert_int_equal(raw_int("SELECT password LIKE '%$m=16,t=2,%' FROM users"), 1);
    assert_int_equal(login(s, "ada", good, NULL, NULL), 0);
    assert_true(raw_int("SELECT login_ms FROM users") > 0);
    dv_store_close(&s);
    dv_store_options defaults = test_options();
    defaults.tuning = (dv_store_tuning){0};
    OK(dv_store_open(&s, &defaults, &err));
    assert_int_equal(login(s, "ada", good, NULL, NULL), 0);
    assert_int_equal(raw_int("SELECT password LIKE '%$m=65536,t=2,%' FROM users"), 1);
    dv_store_close(&s);
}

/* ---- guessing ---- */

static void what_a_guess_tells(void **state)
{
    (void)state;
    dv_store *s = open_store();
    dv_user u;
    uint32_t retry;
    add(s, "ada", DV_ROLE_USER);
    static const char *const names[] = {"ada", "nobody", "no body", "' OR 1=1 --", ""};
    char said[sizeof err.msg] = "";
    for (size_t i = 0; i < DV_ARRAY_LEN(names); i++) {
        const dv_login in = {.name = names[i], .n_name = strlen(names[i]), .password = "wrong", .n_password = 5};
        FAILS(DV_EAUTH, dv_user_login(s, &in, &u, &retry, &err));
        if (i == 0)
            strcpy(said, err.msg);
        assert_string_equal(err.msg, said);
    }
    /* The work is the same: a hash is computed whether there is somebody or not. With parameters that take long enough to tell. */
    dv_store_tuning t = test_options().tuning;
    t.password_ops = 3;
    t.password_bytes = 32 << 20;
    dv_store_tune(s, &t);
    bool ok;
    char hash[DV__PASSWORD_HASH];
    uint64_t real, none, start;
    OK(dv__password_hash(s, "x", good, strlen(good), hash, &err));

    start = dv_clock_ns();
    OK(dv__password_check(s, hash, "wrong", 5, &ok, &err));
    real = dv_clock_ns() - start;
    assert_false(ok);
    start = dv_clock_ns();
    OK(dv__password_check(s, NULL, "wrong", 5, &ok, &err));
    none = dv_clock_ns() - start;
    assert_false(ok);
    print_message("# %.1f ms with a user, %.1f ms without\n", (double)real / 1e6, (double)none / 1e6);
    dv_store_close(&s);
}

static void guessing_gets_slower_for_a_user(void **state)
{
    (void)state;
    uint32_t wait;
    uint64_t now = 1000000000;
    atomic_store(&fake_ms, now);
    dv_store *s = open_store();
    add(s, "ada", DV_ROLE_USER);
    for (int i = 0; i < 5; i++)
        assert_int_equal(login(s, "ada", "wrong password", NULL, NULL), DV_EAUTH);
    assert_int_equal(login(s, "ada", good, NULL, NULL), 0); /* and the count is 0 again */
    for (int i = 0; i < 6; i++)
        assert_int_equal(login(s, "ada", "wrong password", NULL, NULL), DV_EAUTH);
    uint64_t delay = 1;
    for (int i = 0; i < 12; i++) {
        assert_int_equal(login(s, "ADA", good, NULL, &wait), DV_ERATE); /* even the right one */
        assert_int_equal(wait, delay);
        assert_int_equal(login(s, "ada", good, NULL, &wait), DV_ERATE); /* trying in vain does not make it longer */
        assert_int_equal(wait, delay);
        dv_store_close(&s); /* nor does a restart make it shorter */
        s = open_store();
        now += delay * 1000;
        atomic_store(&fake_ms, now);
        assert_int_equal(login(s, "ada", "wrong password", NULL, NULL), DV_EAUTH);
        delay = DV_MIN(delay * 2, (uint64_t)300);
    }
    assert_int_equal(login(s, "bob", "wrong password", NULL, NULL), DV_EAUTH); /* others do not wait */
    /* A clock that was set back: nobody waits longer than the rule says. */
    atomic_store(&fake_ms, now - UINT64_C(900000000));
    assert_int_equal(login(s, "ada", good, NULL, &wait), DV_ERATE);
    assert_int_equal(wait, 300);
    atomic_store(&fake_ms, now + 300000);
    assert_int_equal(login(s, "ada", good, NULL, NULL), 0);
    dv_store_close(&s);
}

static void guessing_gets_slower_for_an_address(void **state)
{
    (void)state;
    uint32_t wait;
    atomic_store(&fake_ms, 1000000000);
    dv_store *s = open_store();
    add(s, "ada", DV_ROLE_USER);
    for (int i = 0; i < 21; i++) {
        char name[16];
        snprintf(name, sizeof name, "user%d", i);
        if (i % 4 == 0) /* who has a user of his own gets no more guesses by it */
            assert_int_equal(login(s, "ada", good, "192.0.2.1", NULL), 0);
        assert_int_equal(login(s, name, "wrong password", "192.0.2.1", NULL), DV_EAUTH);
    }
    assert_int_equal(login(s, "ada", good, "192.0.2.1", &wait), DV_ERATE);
    assert_int_equal(wait, 1);
    assert_int_equal(login(s, "ada", good, "192.0.2.2", NULL), 0);
    assert_int_equal(login(s, "ada", good, NULL, NULL), 0);
    dv_store_close(&s);
}

static atomic_int tries, refusals;

static void *guess(void *arg)
{
    for (int i = 0; i < 5; i++) {
        int rc = login(arg, "ada", "wrong password", "192.0.2.1", NULL);
        atomic_fetch_add(&tries, rc == DV_EAUTH);
        atomic_fetch_add(&refusals, rc == DV_ERATE);
    }
    return NULL;
}

static void many_guesses_at_once_are_no_more(void **state)
{
    (void)state;
    pthread_t t[8];
    atomic_store(&fake_ms, 1000000000);
    dv_store *s = open_as(true);
    add(s, "ada", DV_ROLE_USER);
    for (size_t i = 0; i < DV_ARRAY_LEN(t); i++)
        assert_int_equal(pthread_create(&t[i], NULL, guess, s), 0);
    for (size_t i = 0; i < DV_ARRAY_LEN(t); i++)
        pthread_join(t[i], NULL);
    assert_int_equal(atomic_load(&tries), 6); /* five free ones, and the one that begins the first wait */
    assert_int_equal(atomic_load(&refusals), 34);
    dv_store_close(&s);
}

static void what_is_typed_into_the_name_is_not_kept(void **state)
{
    (void)state;
    dv_store *s = open_as(true);
    assert_int_equal(login(s, "hunter2-my-secret", "ada", "192.0.2.1", NULL), DV_EAUTH);
    assert_int_equal(login(s, good, "wrong password", "192.0.2.1", NULL), DV_EAUTH);
    OK(dv_audit_flush(s, 5000, &err));
    dv_store_close(&s);
    char cmd[256];
    snprintf(cmd, sizeof cmd, "grep -rqaF -e hunter2 -e '%s' '%s'", good, dir);
    assert_int_not_equal(system(cmd), 0);
    assert_int_equal(raw_int("SELECT count(*) FROM login_failures"), 3);
    assert_int_equal(
        raw_int("SELECT count(*) FROM audit WHERE action = 'login' AND outcome = 'denied' AND address = '192.0.2.1'"),
        2);
}

static void invented_names_do_not_fill_the_database(void **state)
{
    (void)state;
    dv_store *s = open_store();
    dv_conn *c;
    uint8_t key[DV__MAC];
    OK(dv_db_write(dv_store_db(s), &c, &err));
    for (int i = 0; i < 30000; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        dv__throttle_key(s, 'u', name, strlen(name), key);
        dv__throttle_count(c, &dv__throttle_user, key, 1000000 + (uint64_t)i);
    }
    /* Who really guesses is not forgotten for them. */
    dv__throttle_key(s, 'u', "ada", 3, key);
    for (int i = 0; i < 9; i++)
        dv__throttle_count(c, &dv__throttle_user, key, 500000);
    for (int i = 0; i < 5000; i++) {
        char name[16];
        uint8_t other[DV__MAC];
        snprintf(name, sizeof name, "m%d", i);
        dv__throttle_key(s, 'u', name, strlen(name), other);
        dv__throttle_count(c, &dv__throttle_user, other, 2000000 + (uint64_t)i);
    }
    assert_true(dv__throttle_wait(c, &dv__throttle_user, key, 500000) > 0);
    OK(dv_db_commit(&c, &err));
    assert_true(raw_int("SELECT count(*) FROM login_failures") < 23000);
    dv_store_close(&s);
}

/* ---- sessions ---- */

static char cookie[DV_SESSION_LEN + 1];

static void begin(dv_store *s, int64_t user)
{
    OK(dv_session_begin(s, user, NULL, 0, "192.0.2.1", cookie, &err));
    assert_int_equal(strlen(cookie), DV_SESSION_LEN);
}

static int find(dv_store *s, const char *id)
{
    dv_session x;
    return dv_session_find(s, id, strlen(id), &x, NULL);
}

static void a_session_is_its_user(void **state)
{
    (void)state;
    dv_store *s = open_store();
    dv_session x;
    int64_t ada = add(s, "ada", DV_ROLE_USER);
    begin(s, ada);
    OK(dv_session_find(s, cookie, DV_SESSION_LEN, &x, &err));
    assert_string_equal(x.user.name, "ada");
    assert_int_equal(x.user.role, DV_ROLE_USER);
    char cmd[256];
    snprintf(cmd, sizeof cmd, "grep -rqaF -e '%s' '%s'", cookie, dir);
    assert_int_not_equal(system(cmd), 0); /* only its hash */
    for (size_t i = 0; i < DV_SESSION_LEN; i++) {
        char other[DV_SESSION_LEN + 1];
        memcpy(other, cookie, sizeof other);
        other[i] = (char)(other[i] == 'A' ? 'B' : 'A');
        FAILS(DV_EAUTH, dv_session_find(s, other, DV_SESSION_LEN, &x, &err));
        FAILS(DV_EAUTH, dv_session_find(s, cookie, i, &x, &err));
    }
    FAILS(DV_EAUTH, dv_session_find(s, NULL, 0, &x, &err));
    FAILS(DV_EAUTH, dv_session_find(s, "' OR 1=1; --aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", DV_SESSION_LEN, &x, &err));
    FAILS(DV_ENOENT, dv_session_begin(s, 99, NULL, 0, NULL, cookie, &err));
    assert_string_equal(cookie, "");
    dv_store_close(&s);
}

static void login_gives_another_session(void **state)
{
    (void)state;
    dv_store *s = open_store();
    int64_t ada = add(s, "ada", DV_ROLE_USER), eve = add(s, "eve", DV_ROLE_USER);
    char planted[DV_SESSION_LEN + 1];
    begin(s, eve);
    memcpy(planted, cookie, sizeof planted);
    OK(dv_session_begin(s, ada, planted, DV_SESSION_LEN, NULL, cookie, &err));
    assert_string_not_equal(planted, cookie);
    assert_int_equal(find(s, planted), DV_EAUTH);
    assert_int_equal(find(s, cookie), 0);
    OK(dv_session_begin(s, ada, "not a session", 13, NULL, cookie, &err));
    assert_int_equal(find(s, cookie), 0);
    dv_store_close(&s);
}

static void sessions_end(void **state)
{
    (void)state;
    dv_store *s = open_store();
    int64_t ada = add(s, "ada", DV_ROLE_USER), bob = add(s, "bob", DV_ROLE_USER);
    char bobs[DV_SESSION_LEN + 1];
    begin(s, bob);
    memcpy(bobs, cookie, sizeof bobs);
    begin(s, ada);
    OK(dv_session_end(s, cookie, DV_SESSION_LEN, NULL, &err));
    OK(dv_session_end(s, cookie, DV_SESSION_LEN, NULL, &err));
    OK(dv_session_end(s, "nonsense", 8, NULL, &err));
    assert_int_equal(find(s, cookie), DV_EAUTH);
    begin(s, ada);
    OK(dv_session_end_all(s, ada, NULL, &err));
    assert_int_equal(find(s, cookie), DV_EAUTH);
    begin(s, ada);
    OK(dv_user_set_password(s, ada, "another password", 16, NULL, &err));
    assert_int_equal(find(s, cookie), DV_EAUTH);
    begin(s, ada);
    OK(dv_user_set_role(s, ada, DV_ROLE_VIEWER, NULL, &err));
    assert_int_equal(find(s, cookie), DV_EAUTH);
    begin(s, ada);
    OK(dv_user_delete(s, ada, NULL, &err));
    assert_int_equal(find(s, cookie), DV_EAUTH);
    assert_int_equal(find(s, bobs), 0);
    dv_store_close(&s);
}

static void a_user_has_only_so_many_sessions(void **state)
{
    (void)state;
    dv_store *s = open_store();
    int64_t ada = add(s, "ada", DV_ROLE_USER);
    char first[DV_SESSION_LEN + 1], second[DV_SESSION_LEN + 1];
    uint64_t now = 1000000;
    for (int i = 0; i < DV_SESSIONS_PER_USER; i++) {
        atomic_store(&fake_ms, now += 10);
        begin(s, ada);
        if (i < 2)
            memcpy(i == 0 ? first : second, cookie, sizeof first);
    }
    assert_int_equal(find(s, first), 0);
    atomic_store(&fake_ms, now - 5000); /* even if the clock went back */
    begin(s, ada);
    assert_int_equal(find(s, first), DV_EAUTH);
    assert_int_equal(find(s, second), 0);
    assert_int_equal(find(s, cookie), 0);
    assert_int_equal(raw_int("SELECT count(*) FROM sessions"), DV_SESSIONS_PER_USER);
    dv_store_close(&s);
}

static void sessions_expire(void **state)
{
    (void)state;
    uint64_t start = 1000000000000;
    atomic_store(&fake_ms, start);
    dv_store_options o = test_options();
    dv_store *s;
    o.server = true;
    o.tuning.session_idle_s = 3600;
    o.tuning.session_max_s = 7200;
    OK(dv_store_open(&s, &o, &err));
    int64_t ada = add(s, "ada", DV_ROLE_USER);
    begin(s, ada);
    atomic_store(&fake_ms, start + 3599999);
    assert_int_equal(find(s, cookie), 0); /* used: idle time begins anew, once that is written */
    dv_store_close(&s);
    OK(dv_store_open(&s, &o, &err));
    atomic_store(&fake_ms, start + 2 * 3599999);
    assert_int_equal(find(s, cookie), 0);
    atomic_store(&fake_ms, start + 7200000);
    assert_int_equal(find(s, cookie), DV_EAUTH); /* absolutely */
    atomic_store(&fake_ms, start);
    begin(s, ada);
    atomic_store(&fake_ms, start + 3600000);
    assert_int_equal(find(s, cookie), DV_EAUTH); /* idle */
    /* Clock jumps. Forward: they end. Back by more than clocks differ: their age is unknown, and they end as well. */
    atomic_store(&fake_ms, start);
    begin(s, ada);
    atomic_store(&fake_ms, start - 60000);
    assert_int_equal(find(s, cookie), 0);
    atomic_store(&fake_ms, start - 3600000);
    assert_int_equal(find(s, cookie), DV_EAUTH);
    atomic_store(&fake_ms, start * 3);
    assert_int_equal(find(s, cookie), DV_EAUTH);
    /* A shorter time in the settings counts for sessions that exist. */
    atomic_store(&fake_ms, start);
    begin(s, ada);
    o.tuning.session_max_s = 10;
    dv_store_tune(s, &o.tuning);
    atomic_store(&fake_ms, start + 10000);
    assert_int_equal(find(s, cookie), DV_EAUTH);
    dv__sessions_prune(s);
    dv_store_close(&s);
}

static void old_rows_are_removed(void **state)
{
    (void)state;
    uint64_t start = 1000000000000;
    atomic_store(&fake_ms, start);
    dv_store *s = open_store();
    begin(s, add(s, "ada", DV_ROLE_USER));
    login(s, "ada", "wrong password", NULL, NULL);
    atomic_store(&fake_ms, start + UINT64_C(8) * 86400000);
    begin(s, 1);
    login(s, "bob", "wrong password", NULL, NULL);
    dv__sessions_prune(s);
    dv__logins_prune(s);
    assert_int_equal(raw_int("SELECT count(*) FROM sessions"), 1);
    assert_int_equal(raw_int("SELECT count(*) FROM login_failures"), 1);
    dv_store_close(&s);
}

static void tokens_belong_to_a_session(void **state)
{
    (void)state;
    dv_store *s = open_store();
    int64_t ada = add(s, "ada", DV_ROLE_USER);
    char token[DV_CSRF_LEN + 1], other[DV_CSRF_LEN + 1], first[DV_SESSION_LEN + 1];
    begin(s, ada);
    memcpy(first, cookie, sizeof first);
    assert_int_equal(dv_session_csrf(s, cookie, DV_SESSION_LEN, token), 0);
    assert_int_equal(strlen(token), DV_CSRF_LEN);
    assert_string_not_equal(token, cookie);
    assert_true(dv_session_csrf_ok(s, cookie, DV_SESSION_LEN, token, DV_CSRF_LEN));
    begin(s, ada);
    assert_int_equal(dv_session_csrf(s, cookie, DV_SESSION_LEN, other), 0);
    assert_string_not_equal(token, other);
    assert_false(dv_session_csrf_ok(s, cookie, DV_SESSION_LEN, token, DV_CSRF_LEN));
    assert_false(dv_session_csrf_ok(s, first, DV_SESSION_LEN, token, DV_CSRF_LEN - 1));
    assert_false(dv_session_csrf_ok(s, first, DV_SESSION_LEN, NULL, 0));
    assert_false(dv_session_csrf_ok(s, first, DV_SESSION_LEN, "", 0));
    assert_int_equal(dv_session_csrf(s, "short", 5, token), DV_EAUTH);
    assert_int_equal(dv_session_csrf(s, NULL, 0, token), DV_EAUTH);
    dv_store_close(&s);
    s = open_store(); /* the same after a restart */
    assert_int_equal(dv_session_csrf(s, cookie, DV_SESSION_LEN, token), 0);
    assert_string_equal(token, other);
    dv_store_close(&s);
}

static void keys_of_a_user_go_with_him(void **state)
{
    (void)state;
    dv_store *s = open_store();
    int64_t id, ada = add(s, "ada", DV_ROLE_USER);
    char key[2][DV_KEY_LEN + 1];
    const dv_key *k;
    const dv_key_spec mine = {.name = "mine", .owner = ada}, nobodys = {.name = "nobody's"};
    OK(dv_key_create(s, &mine, NULL, key[0], &id, &err));
    OK(dv_key_create(s, &nobodys, NULL, key[1], &id, &err));
    OK(dv_key_find(s, key[0], DV_KEY_LEN, &k, &err));
    assert_int_equal(k->owner, ada);
    dv_key_unref(k);
    OK(dv_user_delete(s, ada, NULL, &err));
    FAILS(DV_EAUTH, dv_key_find(s, key[0], DV_KEY_LEN, &k, &err));
    OK(dv_key_find(s, key[1], DV_KEY_LEN, &k, &err));
    dv_key_unref(k);
    ada = add(s, "ada", DV_ROLE_USER);
    const dv_key_spec again = {.name = "again", .owner = ada};
    OK(dv_key_create(s, &again, NULL, key[0], &id, &err));
    raw_sql("PRAGMA foreign_keys=ON; DELETE FROM users"); /* without drover */
    assert_int_equal(raw_int("SELECT count(*) FROM api_keys WHERE revoked_ms = 0"), 1);
    dv_store_close(&s);
}

static void every_change_is_audited(void **state)
{
    (void)state;
    dv_store *s = open_store();
    const dv_audit_who by = {.kind = DV_AUDIT_COMMAND, .id = "root", .request = "req-1"};
    int64_t id;
    OK(dv_user_add(s, "ada", 3, DV_ROLE_USER, good, strlen(good), &by, &id, &err));
    OK(dv_user_set_password(s, id, "another password", 16, &by, &err));
    OK(dv_user_set_role(s, id, DV_ROLE_ADMIN, &by, &err));
    begin(s, id);
    OK(dv_session_end(s, cookie, DV_SESSION_LEN, &by, &err));
    OK(dv_session_end_all(s, id, &by, &err));
    OK(dv_user_delete(s, id, &by, &err));
    assert_int_equal(
        raw_int(
            "SELECT count(DISTINCT action) FROM audit WHERE id = 'root' AND kind = 'command' AND request = 'req-1' AND action IN"
            " ('user.add', 'user.password', 'user.role', 'logout', 'logout.all', 'user.delete')"),
        6);
    /* What failed is no change, and no row. */
    int64_t rows = raw_int("SELECT count(*) FROM audit");
    FAILS(DV_ENOENT, dv_user_delete(s, id, &by, &err));
    assert_int_equal(raw_int("SELECT count(*) FROM audit"), rows);
    dv_audit_report report;
    OK(dv_audit_verify(s, NULL, NULL, NULL, &report, &err));
    assert_int_equal(report.problems, 0);
    dv_store_close(&s);
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, new_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(names_are_one_way_to_write_them),
        IN_DIR(users_come_and_go),
        IN_DIR(weak_passwords_are_refused),
        IN_DIR(hashes_are_argon2id_and_made_anew),
        IN_DIR(what_a_guess_tells),
        IN_DIR(guessing_gets_slower_for_a_user),
        IN_DIR(guessing_gets_slower_for_an_address),
        IN_DIR(many_guesses_at_once_are_no_more),
        IN_DIR(what_is_typed_into_the_name_is_not_kept),
        IN_DIR(invented_names_do_not_fill_the_database),
        IN_DIR(a_session_is_its_user),
        IN_DIR(login_gives_another_session),
        IN_DIR(sessions_end),
        IN_DIR(a_user_has_only_so_many_sessions),
        IN_DIR(sessions_expire),
        IN_DIR(old_rows_are_removed),
        IN_DIR(tokens_belong_to_a_session),
        IN_DIR(keys_of_a_user_go_with_him),
        IN_DIR(every_change_is_audited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
