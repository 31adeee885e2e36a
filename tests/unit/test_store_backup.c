/* SPDX-License-Identifier: MIT */
/* Backups while others write, and what comes back from them. */
#include "base/clock.h"
#include "store/db_impl.h"
#include "store_util.h"

#include <fcntl.h>
#include <pthread.h>

static const char good[] = "correct horse battery";
static char key[DV_KEY_LEN + 1];
static dv_backup_info info;

static void fill(dv_store *s, const char *name)
{
    int64_t id;
    const dv_key_spec spec = {.name = name};
    OK(dv_key_create(s, &spec, NULL, key, &id, &err));
    OK(dv_user_add(s, name, strlen(name), DV_ROLE_ADMIN, good, strlen(good), NULL, &id, &err));
}

static int find(dv_store *s, const char *text)
{
    const dv_key *k;
    int rc = dv_key_find(s, text, DV_KEY_LEN, &k, NULL);
    dv_key_unref(k);
    return rc;
}

static uint64_t problems(dv_store *s)
{
    dv_audit_report r;
    OK(dv_audit_verify(s, NULL, NULL, NULL, &r, &err));
    return r.problems;
}

static int restore(const char *from, dv_buf *old)
{
    char path[512];
    snprintf(path, sizeof path, "%s", in_dir(from));
    dv_buf_init(old, 0);
    err = (dv_err){0};
    return dv_restore(dir, path, NULL, &info, old, &err);
}

static void backup(dv_store *s, const char *to)
{
    char path[512];
    snprintf(path, sizeof path, "%s", in_dir(to));
    OK(dv_backup(s, path, NULL, &info, &err));
}

static void what_was_there_comes_back(void **state)
{
    (void)state;
    char before[DV_KEY_LEN + 1], cookie[DV_SESSION_LEN + 1];
    dv_session session;
    dv_buf old;
    dv_store *s = open_as(true);
    fill(s, "ada");
    memcpy(before, key, sizeof before);
    OK(dv_session_begin(s, 1, NULL, 0, NULL, cookie, &err));
    backup(s, "backup");
    assert_int_equal(info.keys, 1);
    assert_int_equal(info.users, 1);
    assert_int_equal(info.audit_seq, 2);
    assert_true(info.bytes > 4096);
    assert_int_equal(mode_of("backup"), 0600);
    fill(s, "bob");
    OK(dv_audit_flush(s, 5000, &err));
    assert_int_equal(restore("backup", &old), DV_EBUSY);
    assert_non_null(strstr(err.msg, "in use"));
    dv_store_close(&s);
    OK(restore("backup", &old));
    assert_non_null(strstr(dv_buf_str(&old), "/drover.db.old-"));
    assert_int_equal(access(dv_buf_str(&old), F_OK), 0);
    s = open_as(true);
    assert_int_equal(find(s, before), 0);
    assert_int_equal(find(s, key), DV_EAUTH);
    assert_int_equal(dv_session_find(s, cookie, DV_SESSION_LEN, &session, NULL),
                     DV_EAUTH); /* logins are not restored */
    assert_int_equal(problems(s), 0);
    dv_store_close(&s);
    assert_int_equal(raw_int("SELECT count(*) FROM users"), 1);
    assert_int_equal(raw_int("SELECT count(*) FROM meta WHERE name = 'backup_secret'"), 0);
    assert_int_equal(
        raw_int("SELECT count(*) FROM audit WHERE action = 'store.restore' AND detail LIKE '%ended with row 5 %'"), 1);
    /* The one that was replaced is whole. */
    dv_buf again;
    OK(restore(strrchr(dv_buf_str(&old), '/') + 1, &again));
    assert_string_not_equal(dv_buf_str(&old), dv_buf_str(&again));
    s = open_store();
    assert_int_equal(find(s, key), 0);
    dv_store_close(&s);
    dv_buf_fini(&old);
    dv_buf_fini(&again);
}

static void into_another_folder(void **state)
{
    (void)state;
    char other[96], path[96];
    dv_buf old;
    dv_store *s = open_store();
    fill(s, "ada");
    backup(s, "backup");
    dv_store_close(&s);
    snprintf(other, sizeof other, "%s/other", dir);
    snprintf(path, sizeof path, "%s/backup", dir);
    dv_buf_init(&old, 0);
    OK(dv_restore(other, path, NULL, &info, &old, &err));
    assert_string_equal(dv_buf_str(&old), "");
    dv_store_options o = test_options();
    o.dir = other;
    o.server = true;
    OK(dv_store_open(&s, &o, &err));
    assert_int_equal(find(s, key), 0); /* the secret came along */
    assert_int_equal(problems(s), 0);
    dv_store_close(&s);
    /* Over a folder with a secret of its own. */
    snprintf(other, sizeof other, "%s/third", dir);
    OK(dv_store_open(&s, &o, &err));
    fill(s, "bob");
    dv_store_close(&s);
    OK(dv_restore(other, path, NULL, &info, &old, &err));
    OK(dv_store_open(&s, &o, &err));
    dv_store_close(&s);
    dv_buf_fini(&old);
}

static atomic_bool stop_writing;

static void *write_on(void *arg)
{
    for (int i = 0; !atomic_load(&stop_writing); i++) {
        const dv_audit_entry e = {.action = "meanwhile"};
        dv_audit_log(arg, &e, NULL, NULL, NULL);
        if (i % 64 == 0)
            dv_audit_flush(arg, 1000, NULL);
    }
    return NULL;
}

static void while_others_write(void **state)
{
    (void)state;
    dv_store *s = open_as(true);
    pthread_t t;
    dv_buf old;
    fill(s, "ada");
    atomic_store(&stop_writing, false);
    assert_int_equal(pthread_create(&t, NULL, write_on, s), 0);
    for (int i = 0; i < 5; i++) {
        char name[24];
        snprintf(name, sizeof name, "backup%d", i);
        backup(s, name);
    }
    atomic_store(&stop_writing, true);
    pthread_join(t, NULL);
    dv_store_close(&s);
    for (int i = 0; i < 5; i++) {
        char name[24];
        snprintf(name, sizeof name, "backup%d", i);
        OK(restore(name, &old));
        s = open_store();
        assert_int_equal(find(s, key), 0);
        assert_int_equal(problems(s), 0);
        dv_store_close(&s);
        dv_buf_fini(&old);
    }
}

static void where_a_backup_cannot_go(void **state)
{
    (void)state;
    dv_store *s = open_store();
    fill(s, "ada");
    backup(s, "backup");
    FAILS(DV_EEXIST, dv_backup(s, in_dir("backup"), NULL, &info, &err));
    FAILS(DV_ENOENT, dv_backup(s, in_dir("none/backup"), NULL, &info, &err));
    FAILS(DV_EINVAL, dv_backup(s, "", NULL, &info, &err));
    FAILS(DV_EINVAL, dv_backup(s, in_dir(""), NULL, &info, &err));
    FAILS(DV_EEXIST, dv_backup(s, dir, NULL, &info, &err));
    assert_int_equal(symlink("not-to-be-made", in_dir("link")), 0);
    FAILS(DV_EEXIST, dv_backup(s, in_dir("link"), NULL, &info, &err));
    assert_int_equal(access(in_dir("not-to-be-made"), F_OK), -1);
    char *longname = malloc(70000);
    memset(longname, 'a', 69999);
    longname[69999] = 0;
    FAILS(DV_EINVAL, dv_backup(s, longname, NULL, &info, &err));
    free(longname);
    /* Nothing is left of what failed. */
    DIR *d = opendir(dir);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        assert_null(strstr(e->d_name, ".part"));
    closedir(d);
    dv_store_close(&s);
}

static void what_is_no_backup(void **state)
{
    (void)state;
    dv_buf old;
    dv_store *s = open_store();
    fill(s, "ada");
    backup(s, "backup");
    dv_store_close(&s);
    char *p;
    size_t n;
    p = read_all("backup", &n);
    write_all(
        "text",
        "this is no database, but it has more than a hundred bytes, which is what the head of a database has at least........",
        110);
    assert_int_equal(restore("text", &old), DV_ECORRUPT);
    write_all("empty", "", 0);
    assert_int_equal(restore("empty", &old), DV_EFORMAT);
    assert_int_equal(restore("none", &old), DV_ENOENT);
    mkdir(in_dir("folder"), 0700);
    assert_int_not_equal(restore("folder", &old), 0);
    write_all("half", p, n / 8192 * 4096);
    assert_int_equal(restore("half", &old), DV_ECORRUPT);
    /* Flipped bits in every page. */
    for (size_t page = 0; page < n / 4096; page++) {
        char *bad = malloc(n);
        memcpy(bad, p, n);
        for (size_t i = 0; i < 8; i++)
            bad[page * 4096 + i * 2 + (page == 0 ? 100 : 0)] ^= 0x55;
        write_all("bad", bad, n);
        int rc = restore("bad", &old);
        if (rc != DV_ECORRUPT && rc != DV_EFORMAT && rc != DV_EIO && rc != DV_EINTERNAL && rc != DV_ELIMIT)
            fail_msg("page %d: %s (%s)", (int)page, err.msg, dv_error_name(rc));
        free(bad);
    }
    free(p);
    sqlite3 *h;
    assert_int_equal(sqlite3_open(in_dir("newer"), &h), SQLITE_OK);
    sqlite3_close(h);
    char cmd[200];
    snprintf(cmd, sizeof cmd, "cp %s/backup %s/newer", dir, dir);
    assert_int_equal(system(cmd), 0);
    assert_int_equal(sqlite3_open(in_dir("newer"), &h), SQLITE_OK);
    assert_int_equal(sqlite3_exec(h, "INSERT INTO migrations VALUES (3, 'x', 'y', 1)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(h);
    assert_int_equal(restore("newer", &old), DV_EUNSUPPORTED);
    /* After all this the folder is what it was. */
    s = open_store();
    assert_int_equal(find(s, key), 0);
    assert_int_equal(problems(s), 0);
    dv_store_close(&s);
    assert_int_equal(access(in_dir("drover.db.restore"), F_OK), -1);
}

static void a_damaged_database_is_replaced(void **state)
{
    (void)state;
    dv_buf old;
    dv_store *s = open_store();
    fill(s, "ada");
    backup(s, "backup");
    dv_store_close(&s);
    size_t n;
    char *p = read_all("drover.db", &n);
    memset(p, 0x5a, n);
    write_all("drover.db", p, n);
    free(p);
    unlink(in_dir("drover.db-wal"));
    unlink(in_dir("drover.db-shm"));
    dv_store_options o = test_options();
    FAILS(DV_ECORRUPT, dv_store_open(&s, &o, &err));
    assert_non_null(strstr(err.msg, "drover restore"));
    OK(restore("backup", &old));
    dv_buf_fini(&old);
    s = open_as(true);
    assert_int_equal(find(s, key), 0);
    OK(dv_store_check(s, &err));
    assert_int_equal(problems(s), 0);
    dv_store_close(&s);
}

static void damage_inside_is_found_by_a_check(void **state)
{
    (void)state;
    dv_store *s = open_store();
    fill(s, "ada");
    OK(dv_store_check(s, &err));
    dv_store_close(&s);
    raw_sql("PRAGMA foreign_keys=OFF; INSERT INTO sessions VALUES (zeroblob(32), 77, 1, 1, 1, '')");
    s = open_store();
    FAILS(DV_ECORRUPT, dv_store_check(s, &err));
    FAILS(DV_ECORRUPT, dv_backup(s, in_dir("backup"), NULL, &info, &err));
    assert_int_equal(access(in_dir("backup"), F_OK), -1);
    dv_store_close(&s);
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, new_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(what_was_there_comes_back),         IN_DIR(into_another_folder), IN_DIR(while_others_write),
        IN_DIR(where_a_backup_cannot_go),          IN_DIR(what_is_no_backup),   IN_DIR(a_damaged_database_is_replaced),
        IN_DIR(damage_inside_is_found_by_a_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
