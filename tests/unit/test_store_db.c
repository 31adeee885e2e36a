/* SPDX-License-Identifier: MIT */
/* The database below the store: statements, transactions, errors told apart, migrations, the folder's permissions and locks. */
#include "base/clock.h"
#include "base/mem.h"
#include "store/db_impl.h"
#include "store/migrate.h"
#include "store_util.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>

static dv_db *db;

static int open_db(void **state)
{
    dv_conn *c;
    if (new_dir(state) != 0)
        return -1;
    OK(dv__db_open(&db, in_dir("drover.db"), true, &err));
    OK(dv_db_write(db, &c, &err));
    dv_stmt_run(dv_stmt_get(
        c, "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE, data BLOB CHECK (length(data) < 100), up INTEGER"
           " REFERENCES t (id)) STRICT"));
    OK(dv_db_commit(&c, &err));
    return 0;
}

static int close_db(void **state)
{
    dv__db_close(&db);
    return remove_dir(state);
}

static void put(dv_conn *c, int64_t id, const char *name)
{
    dv_stmt *st = dv_stmt_get(c, "INSERT INTO t (id, name) VALUES (?1, ?2)");
    dv_stmt_int(st, 1, id);
    dv_stmt_str(st, 2, name);
    dv_stmt_run(st);
}

static int64_t count(void)
{
    dv_conn *c;
    OK(dv_db_read(db, &c, &err));
    dv_stmt *st = dv_stmt_get(c, "SELECT count(*) FROM t");
    assert_true(dv_stmt_row(st));
    int64_t n = dv_stmt_get_int(st, 0);
    OK(dv_db_commit(&c, &err));
    return n;
}

/* ---- statements and transactions ---- */

static void values_come_back(void **state)
{
    static const char *const texts[] = {
        "", "a", "Robert'); DROP TABLE t;--", "\"', ?1 -- /* \\", "\xc3\xa4\xf0\x9f\xa6\x99", "\xff\xfe"};
    static const char blob[] = {0, 1, 0, (char)255};
    (void)state;
    dv_conn *c;
    OK(dv_db_write(db, &c, &err));
    for (size_t i = 0; i < DV_ARRAY_LEN(texts); i++)
        put(c, (int64_t)i + 1, texts[i]);
    dv_stmt *st = dv_stmt_get(c, "INSERT INTO t (id, data) VALUES (?1, ?2)");
    dv_stmt_int(st, 1, INT64_MAX);
    dv_stmt_blob(st, 2, blob, sizeof blob);
    assert_int_equal(dv_stmt_run(st), 0);
    assert_int_equal(dv_conn_changes(c), 1);
    assert_int_equal(dv_conn_last_id(c), INT64_MAX);
    OK(dv_db_commit(&c, &err));
    assert_null(c);

    OK(dv_db_read(db, &c, &err));
    st = dv_stmt_get(c, "SELECT id, name, data, up FROM t ORDER BY id");
    for (size_t i = 0; i < DV_ARRAY_LEN(texts); i++) {
        size_t n;
        assert_true(dv_stmt_row(st));
        assert_int_equal(dv_stmt_get_int(st, 0), i + 1);
        assert_string_equal(dv_stmt_get_text(st, 1, &n), texts[i]);
        assert_int_equal(n, strlen(texts[i]));
        assert_true(dv_stmt_is_null(st, 2));
    }
    size_t n;
    assert_true(dv_stmt_row(st));
    assert_true(dv_stmt_is_null(st, 1));
    assert_string_equal(dv_stmt_get_text(st, 1, &n), "");
    assert_int_equal(n, 0);
    assert_memory_equal(dv_stmt_get_blob(st, 2, &n), blob, sizeof blob);
    assert_int_equal(n, sizeof blob);
    assert_false(dv_stmt_row(st));
    OK(dv_db_commit(&c, &err));
}

static void text_with_nul_is_damage_where_a_string_is_wanted(void **state)
{
    (void)state;
    dv_conn *c;
    char out[8];
    OK(dv_db_write(db, &c, &err));
    dv_stmt *st = dv_stmt_get(c, "INSERT INTO t (id, name) VALUES (1, ?1)");
    dv_stmt_text(st, 1, "a\0b", 3);
    dv_stmt_run(st);
    st = dv_stmt_get(c, "SELECT name FROM t");
    assert_true(dv_stmt_row(st));
    dv_stmt_get_str(st, 0, out, sizeof out);
    assert_int_equal(dv_conn_code(c), DV_ECORRUPT);
    assert_string_equal(out, "");
    FAILS(DV_ECORRUPT, dv_db_commit(&c, &err));
    OK(dv_db_write(db, &c, &err));
    put(c, 1, "12345678");
    st = dv_stmt_get(c, "SELECT name FROM t");
    assert_true(dv_stmt_row(st));
    dv_stmt_get_str(st, 0, out, sizeof out);
    assert_int_equal(dv_conn_code(c), DV_ECORRUPT);
    dv_db_rollback(&c);
}

static void nothing_of_a_failed_transaction_stays(void **state)
{
    (void)state;
    dv_conn *c;
    OK(dv_db_write(db, &c, &err));
    put(c, 1, "one");
    put(c, 1, "again"); /* the failure */
    put(c, 2, "two");   /* does nothing */
    assert_int_equal(dv_conn_code(c), DV_EEXIST);
    dv_stmt *st = dv_stmt_get(c, "SELECT 1");
    assert_false(dv_stmt_row(st));
    assert_int_equal(dv_stmt_get_int(st, 0), 0);
    FAILS(DV_EEXIST, dv_db_commit(&c, &err));
    assert_int_equal(count(), 0);
    OK(dv_db_write(db, &c, &err));
    put(c, 1, "one");
    dv_db_rollback(&c);
    dv_db_rollback(&c); /* nothing any more */
    assert_int_equal(count(), 0);
    OK(dv_db_write(db, &c, &err));
    put(c, 1, "one");
    assert_int_equal(dv_conn_fail(c, DV_EINVAL, "no %s", "reason"), DV_EINVAL);
    FAILS(DV_EINVAL, dv_db_commit(&c, &err));
    assert_string_equal(err.msg, "no reason");
    assert_int_equal(count(), 0);
}

static void failures_are_told_apart(void **state)
{
    (void)state;
    dv_conn *c;
    static const struct {
        const char *sql;
        int code;
    } cases[] = {
        {"INSERT INTO t (id, name) VALUES (5, 'a'), (6, 'a')", DV_EEXIST},
        {"INSERT INTO t (id) VALUES (5), (5)", DV_EEXIST},
        {"INSERT INTO t (id, data) VALUES (5, zeroblob(100))", DV_EINVAL},
        {"INSERT INTO t (id, name) VALUES (5, x'00')", DV_EINVAL},
        {"INSERT INTO t (id, name) VALUES (5, hex(zeroblob(16000000)))", DV_ELIMIT},
        {"SELECT zeroblob(100000000)", DV_ELIMIT},
        {"SELECT * FROM nothing", DV_EINTERNAL},
        {"SELECT \"quoted\"", DV_EINTERNAL}, /* no string in double quotes */
        {"ATTACH '/tmp/drover-attached' AS other", DV_EINTERNAL},
        {"SELECT load_extension('x')", DV_EINTERNAL},
        {"CREATE VIEW v AS SELECT 1", DV_OK},
        {"PRAGMA writable_schema=ON", DV_OK},
        {"UPDATE sqlite_schema SET sql = 'x'", DV_EINTERNAL}, /* defensive */
    };
    for (size_t i = 0; i < DV_ARRAY_LEN(cases); i++) {
        OK(dv_db_write(db, &c, &err));
        int rc = dv_stmt_run(dv_stmt_prepared(c, cases[i].sql));
        if (rc != cases[i].code)
            fail_msg("%s: %s", cases[i].sql, c->err.msg);
        dv_db_rollback(&c);
    }
    OK(dv_db_write(db, &c, &err));
    dv_stmt_run(dv_stmt_get(c, "INSERT INTO t (id, up) VALUES (1, 77)")); /* refers to nothing */
    FAILS(DV_EINVAL, dv_db_commit(&c, &err));
    OK(dv_db_read(db, &c, &err));
    put(c, 1, "a reader does not write");
    FAILS(DV_EACCES, dv_db_commit(&c, &err));
    assert_int_equal(count(), 0);
    assert_int_equal(dv__db_state(db).code, 0); /* none of this is the database's fault */
}

static void more_statements_than_places(void **state)
{
    static char sql[2 * DV__STMTS][32]; /* they live as long as literals do */
    (void)state;
    dv_conn *c;
    OK(dv_db_read(db, &c, &err));
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 2 * DV__STMTS; i++) {
            snprintf(sql[i], sizeof sql[i], "SELECT %d", i);
            dv_stmt *st = dv_stmt_prepared(c, sql[i]);
            assert_true(dv_stmt_row(st));
            assert_int_equal(dv_stmt_get_int(st, 0), i);
            assert_false(dv_stmt_row(st));
        }
    /* The same text twice at once are two statements. */
    dv_stmt *a = dv_stmt_get(c, "SELECT 1 UNION SELECT 2"), *b = dv_stmt_get(c, "SELECT 1 UNION SELECT 2");
    assert_ptr_not_equal(a, b);
    assert_true(dv_stmt_row(a) && dv_stmt_row(a) && dv_stmt_row(b));
    assert_int_equal(dv_stmt_get_int(a, 0), 2);
    assert_int_equal(dv_stmt_get_int(b, 0), 1);
    OK(dv_db_commit(&c, &err)); /* ends both */
    OK(dv_db_read(db, &c, &err));
    for (int i = 0; i < DV__STMTS + 1; i++) {
        snprintf(sql[i], sizeof sql[i], "SELECT %d", 1000 + i);
        dv_stmt_row(dv_stmt_prepared(c, sql[i]));
    }
    FAILS(DV_ELIMIT, dv_db_commit(&c, &err)); /* all in the middle */
}

static void settings_are_what_they_should_be(void **state)
{
    (void)state;
    dv_conn *c;
    static const struct {
        const char *sql;
        int64_t want;
    } cases[] = {
        {"PRAGMA synchronous", 2},
        {"PRAGMA foreign_keys", 1},
        {"PRAGMA trusted_schema", 0},
        {"PRAGMA cell_size_check", 1},
        {"PRAGMA mmap_size", 0},
        {"PRAGMA secure_delete", 1},
        {"PRAGMA application_id", DV__APPLICATION_ID},
        {"PRAGMA temp_store", 2},
    };
    for (int writer = 0; writer < 2; writer++) {
        OK(writer ? dv_db_write(db, &c, &err) : dv_db_read(db, &c, &err));
        for (size_t i = 0; i < DV_ARRAY_LEN(cases); i++) {
            dv_stmt *st = dv_stmt_prepared(c, cases[i].sql);
            int64_t v = dv_stmt_row(st) ? dv_stmt_get_int(st, 0) : -1;
            if (v != cases[i].want)
                fail_msg("%s: %d", cases[i].sql, (int)v);
            dv_stmt_end(st);
        }
        OK(dv_db_commit(&c, &err));
    }
    size_t n;
    OK(dv_db_read(db, &c, &err));
    dv_stmt *st = dv_stmt_get(c, "PRAGMA journal_mode");
    assert_true(dv_stmt_row(st));
    assert_string_equal(dv_stmt_get_text(st, 0, &n), "wal");
    OK(dv_db_commit(&c, &err));
}

/* ---- several at once ---- */

static void readers_see_one_moment(void **state)
{
    (void)state;
    dv_conn *r, *w;
    OK(dv_db_read(db, &r, &err));
    dv_stmt *st = dv_stmt_get(r, "SELECT count(*) FROM t");
    assert_true(dv_stmt_row(st));
    OK(dv_db_write(db, &w, &err));
    put(w, 1, "one");
    OK(dv_db_commit(&w, &err));
    dv_stmt_end(st);
    st = dv_stmt_get(r, "SELECT count(*) FROM t");
    assert_true(dv_stmt_row(st));
    assert_int_equal(dv_stmt_get_int(st, 0), 0);
    OK(dv_db_commit(&r, &err));
    assert_int_equal(count(), 1);
}

enum { WRITERS = 4, EACH = 50 };

static void *write_some(void *arg)
{
    for (int i = 0; i < EACH; i++) {
        dv_conn *c;
        if (dv_db_write(db, &c, NULL) != 0)
            return arg;
        dv_stmt *st = dv_stmt_get(c, "INSERT INTO t (up) VALUES (NULL)");
        dv_stmt_run(st);
        if (dv_db_commit(&c, NULL) != 0)
            return arg;
    }
    return NULL;
}

static void *read_some(void *arg)
{
    int64_t last = 0;
    for (int i = 0; i < 4 * EACH; i++) {
        dv_conn *c;
        if (dv_db_read(db, &c, NULL) != 0)
            return arg;
        dv_stmt *st = dv_stmt_get(c, "SELECT count(*) FROM t");
        int64_t n = dv_stmt_row(st) ? dv_stmt_get_int(st, 0) : -1;
        if (dv_db_commit(&c, NULL) != 0 || n < last)
            return arg;
        last = n;
    }
    return NULL;
}

static void threads_wait_for_each_other(void **state)
{
    (void)state;
    pthread_t w[WRITERS], r[2 * DV__READERS];
    void *bad;
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&w[i], NULL, write_some, &db), 0);
    for (int i = 0; i < 2 * DV__READERS; i++)
        assert_int_equal(pthread_create(&r[i], NULL, read_some, &db), 0);
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(w[i], &bad);
        assert_null(bad);
    }
    for (int i = 0; i < 2 * DV__READERS; i++) {
        pthread_join(r[i], &bad);
        assert_null(bad);
    }
    assert_int_equal(count(), WRITERS * EACH);
}

/* ---- out of memory ---- */

static void every_allocation_may_fail(void **state)
{
    (void)state;
    int rc = -1, failures = 0;
    for (uint64_t n = 1; rc != 0; n++) {
        dv_db *other = NULL;
        dv_conn *c = NULL;
        dv_err e = {0};
        dv_mem_fail_after(n);
        rc = dv__db_open(&other, in_dir("drover.db"), false, &e);
        if (rc == 0)
            rc = dv_db_write(other, &c, &e);
        if (rc == 0) {
            put(c, 1, "one");
            put(c, 2, "two");
            dv_stmt_run(dv_stmt_get(c, "DELETE FROM t"));
            rc = dv_db_commit(&c, &e);
        }
        if (rc == 0)
            rc = dv_db_read(other, &c, &e);
        if (rc == 0) {
            dv_stmt *st = dv_stmt_get(c, "SELECT name FROM t ORDER BY name");
            dv_stmt_row(st);
            rc = dv_db_commit(&c, &e);
        }
        dv_mem_fail_after(0);
        dv__db_close(&other);
        failures += rc != 0;
        if (rc != 0 && rc != DV_ENOMEM)
            fail_msg("allocation %d: %s (%s)", (int)n, e.msg, dv_error_name(rc));
        assert_int_equal(count(), 0);
    }
    assert_true(failures > 50);
}

/* ---- files ---- */

static void files_of_others_are_refused(void **state)
{
    (void)state;
    dv_db *other;
    write_all(
        "text",
        "this is no database, but it has more than a hundred bytes, which is what the head of a database has at least........",
        110);
    FAILS(DV_ECORRUPT, dv__db_open(&other, in_dir("text"), false, &err));
    assert_null(other);
    sqlite3 *h;
    assert_int_equal(sqlite3_open(in_dir("theirs"), &h), SQLITE_OK);
    assert_int_equal(sqlite3_exec(h, "CREATE TABLE x (y)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(h);
    FAILS(DV_EFORMAT, dv__db_open(&other, in_dir("theirs"), true, &err));
    write_all("empty", "", 0);
    FAILS(DV_EFORMAT, dv__db_open(&other, in_dir("empty"), false, &err));
    FAILS(DV_ENOENT, dv__db_open(&other, in_dir("none"), false, &err));
    assert_int_equal(symlink("drover.db", in_dir("link")), 0);
    assert_int_not_equal(dv__db_open(&other, in_dir("link"), false, &err), 0);
}

static void a_damaged_file_says_so(void **state)
{
    (void)state;
    size_t n;
    dv_conn *c;
    dv_db *other;
    OK(dv_db_write(db, &c, &err));
    for (int i = 1; i < 2000; i++) {
        char name[64];
        snprintf(name, sizeof name, "a name that is somewhat longer, number %d", i);
        put(c, i, name);
    }
    OK(dv_db_commit(&c, &err));
    dv__db_close(&db);
    char *data = read_all("drover.db", &n);
    assert_true(n > 20 * 4096);
    for (size_t page = 1; page < n / 4096; page++)
        memset(data + page * 4096, 0x5a, 64);
    write_all("drover.db", data, n);
    free(data);
    int rc = dv__db_open(&other, in_dir("drover.db"), false, &err);
    if (rc == 0) {
        OK(dv_db_read(other, &c, &err));
        dv_stmt *st = dv_stmt_get(c, "SELECT count(name) FROM t NOT INDEXED");
        dv_stmt_row(st);
        FAILS(DV_ECORRUPT, dv_db_commit(&c, &err));
        assert_non_null(strstr(err.msg, "drover restore"));
        dv__db_close(&other);
    } else {
        assert_int_equal(rc, DV_ECORRUPT);
    }
    assert_int_equal(dv__db_open(&db, in_dir("empty.db"), true, &err), 0); /* for the teardown */
}

/* ---- locked by another process ---- */

static void another_program_that_writes_is_waited_for(void **state)
{
    (void)state;
    int ready[2];
    char byte;
    dv_conn *c;
    assert_int_equal(pipe(ready), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        sqlite3 *h;
        bool ok = sqlite3_open(in_dir("drover.db"), &h) == SQLITE_OK &&
                  sqlite3_exec(h, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK && write(ready[1], "x", 1) == 1;
        usleep(200000);
        ok = ok && sqlite3_exec(h, "INSERT INTO t (id) VALUES (1); COMMIT", NULL, NULL, NULL) == SQLITE_OK;
        _exit(!ok);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    assert_int_equal(count(), 0); /* reading goes on */
    OK(dv_db_write(db, &c, &err));
    put(c, 2, "after it");
    OK(dv_db_commit(&c, &err));
    assert_int_equal(count(), 2);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void another_program_that_never_ends_is_busy(void **state)
{
    (void)state;
    sqlite3 *h;
    dv_conn *c;
    assert_int_equal(sqlite3_open(in_dir("drover.db"), &h), SQLITE_OK);
    assert_int_equal(sqlite3_exec(h, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_busy_timeout(db->writer->h, 50); /* not five seconds */
    FAILS(DV_EBUSY, dv_db_write(db, &c, &err));
    assert_null(c);
    assert_int_equal(dv__db_state(db).code, DV_EBUSY);
    assert_int_equal(count(), 0);
    sqlite3_close(h);
    OK(dv_db_write(db, &c, &err));
    OK(dv_db_commit(&c, &err));
    assert_int_equal(dv__db_state(db).code, 0);
}

/* ---- migrations ---- */

static const dv__migration three[] = {
    {1, "one", "CREATE TABLE a (x INTEGER) STRICT; INSERT INTO a VALUES (1);"},
    {2, "two", "ALTER TABLE a ADD COLUMN y TEXT; UPDATE a SET y = 'new';"},
    {3, "three", "CREATE TABLE b (z INTEGER) STRICT;"},
};

static void migrations_are_applied_once(void **state)
{
    (void)state;
    dv_buf saved;
    int version;
    dv_buf_init(&saved, 0);
    OK(dv__migrate_version(db, three, 3, &version, &err));
    assert_int_equal(version, 0);
    OK(dv__migrate(db, three, 1, &saved, &err));
    OK(dv__migrate(db, three, 1, &saved, &err));
    assert_int_equal(saved.len, 0); /* there was nothing to save */
    OK(dv__migrate(db, three, 3, &saved, &err));
    assert_string_equal(dv_buf_str(&saved) + strlen(dir), "/drover.db.before-2");
    assert_int_equal(mode_of("drover.db.before-2"), 0600);
    OK(dv__migrate_version(db, three, 3, &version, &err));
    assert_int_equal(version, 3);
    assert_int_equal(raw_int("SELECT count(*) FROM migrations"), 3);
    assert_int_equal(raw_int("SELECT count(*) FROM a WHERE y = 'new'"), 1);
    dv_buf_fini(&saved);
    /* The copy is the database of before. */
    dv_db *old;
    OK(dv__db_open(&old, in_dir("drover.db.before-2"), false, &err));
    OK(dv__migrate_version(old, three, 3, &version, &err));
    assert_int_equal(version, 1);
    dv__db_close(&old);
}

static void a_failed_migration_leaves_the_one_before(void **state)
{
    static const dv__migration bad[] = {
        {1, "one", "CREATE TABLE a (x INTEGER) STRICT;"},
        {2, "bad", "INSERT INTO a VALUES (7); CREATE TABLE a (x INTEGER);"},
    };
    (void)state;
    dv_buf saved;
    int version;
    dv_buf_init(&saved, 0);
    FAILS(DV_EINTERNAL, dv__migrate(db, bad, 2, &saved, &err));
    assert_non_null(strstr(err.msg, "migration 2 (bad)"));
    OK(dv__migrate_version(db, bad, 2, &version, &err));
    assert_int_equal(version, 1);
    assert_int_equal(raw_int("SELECT count(*) FROM a"), 0);
    dv_buf_fini(&saved);
}

static void newer_and_other_databases_are_refused(void **state)
{
    static const dv__migration edited[] = {{1, "one", "CREATE TABLE a (x INTEGER) STRICT;"}};
    (void)state;
    dv_buf saved;
    int version;
    dv_buf_init(&saved, 0);
    OK(dv__migrate(db, three, 3, &saved, &err));
    FAILS(DV_EUNSUPPORTED, dv__migrate(db, three, 2, &saved, &err));
    assert_non_null(strstr(err.msg, "newer drover"));
    FAILS(DV_EFORMAT, dv__migrate_version(db, edited, 1, &version, &err));
    raw_sql("DELETE FROM migrations WHERE version = 2");
    FAILS(DV_EFORMAT, dv__migrate_version(db, three, 3, &version, &err));
    dv_buf_fini(&saved);
}

/* ---- the folder ---- */

static void the_folder_is_for_the_owner(void **state)
{
    (void)state;
    char deep[96];
    umask(0);
    snprintf(deep, sizeof deep, "%s/a/b", dir);
    dv_store_options o = test_options();
    dv_store *s;
    o.dir = deep;
    OK(dv_store_open(&s, &o, &err));
    assert_string_equal(dv_store_dir(s), deep);
    dv_store_close(&s);
    umask(022);
    assert_int_equal(mode_of("a"), 0700);
    assert_int_equal(mode_of("a/b"), 0700);
    DIR *d = opendir(deep);
    assert_non_null(d);
    int n = 0;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        char name[400];
        if (e->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "a/b/%s", e->d_name);
        assert_int_equal(mode_of(name), 0600);
        n++;
    }
    closedir(d);
    assert_true(n >= 4);
}

static void what_others_may_touch_is_refused(void **state)
{
    (void)state;
    dv_store *s = open_store();
    dv_store_close(&s);
    dv_store_options o = test_options();
    static const char *const names[] = {"drover.db", "secret.key", "lock", "audit.head"};
    for (size_t i = 0; i < DV_ARRAY_LEN(names); i++) {
        chmod(in_dir(names[i]), 0640);
        FAILS(DV_EACCES, dv_store_open(&s, &o, &err));
        assert_non_null(strstr(err.msg, names[i]));
        chmod(in_dir(names[i]), 0600);
    }
    chmod(dir, 0770);
    FAILS(DV_EACCES, dv_store_open(&s, &o, &err));
    chmod(dir, 0700);
    char moved[96];
    snprintf(moved, sizeof moved, "%s/moved", dir);
    assert_int_equal(rename(in_dir("secret.key"), moved), 0);
    assert_int_equal(symlink(moved, in_dir("secret.key")), 0);
    FAILS(DV_EACCES, dv_store_open(&s, &o, &err));
    unlink(in_dir("secret.key"));
    /* Without its secret every key would be worthless: that is not repaired in silence. */
    FAILS(DV_EFORMAT, dv_store_open(&s, &o, &err));
    write_all("secret.key", "abc\n", 4);
    chmod(in_dir("secret.key"), 0600);
    FAILS(DV_EFORMAT, dv_store_open(&s, &o, &err));
    assert_null(s);
}

static void a_folder_that_is_not_there(void **state)
{
    (void)state;
    dv_store *s;
    dv_store_options o = test_options();
    o.create = false;
    FAILS(DV_ENOENT, dv_store_open(&s, &o, &err)); /* a folder without a database */
    assert_int_equal(access(in_dir("drover.db"), F_OK), -1);
    o.dir = "/tmp/drover-no-such-folder";
    FAILS(DV_ENOENT, dv_store_open(&s, &o, &err));
    o.dir = "/dev/null";
    FAILS(DV_ENOENT, dv_store_open(&s, &o, &err));
    o.dir = "/proc/drover";
    o.create = true;
    assert_int_not_equal(dv_store_open(&s, &o, &err), 0);
}

static void one_server_and_many_commands(void **state)
{
    (void)state;
    dv_store *s = open_as(true), *second;
    dv_store_options o = test_options();
    char pid[32];
    o.server = true;
    FAILS(DV_EBUSY, dv_store_open(&second, &o, &err));
    snprintf(pid, sizeof pid, "process %d", (int)getpid());
    assert_non_null(strstr(err.msg, pid));
    dv_store *a = open_store(), *b = open_store();
    dv_store_close(&a);
    dv_store_close(&b);
    FAILS(DV_EBUSY, dv_store_open(&second, &o, &err)); /* closing others' descriptors does not lose the lock */
    dv_store_close(&s);
    s = open_as(true);
    dv_store_close(&s);
}

static void *open_and_close(void *arg)
{
    dv_store_options o = test_options();
    dv_store *s;
    dv_err *e = arg;
    if (dv_store_open(&s, &o, e) == 0)
        dv_store_close(&s);
    return NULL;
}

static void several_set_the_folder_up_at_once(void **state)
{
    (void)state;
    enum { N = 6 };
    pthread_t t[N];
    dv_err e[N] = {{0}};
    for (int i = 0; i < N; i++)
        assert_int_equal(pthread_create(&t[i], NULL, open_and_close, &e[i]), 0);
    for (int i = 0; i < N; i++)
        pthread_join(t[i], NULL);
    for (int i = 0; i < N; i++)
        if (e[i].code != 0)
            fail_msg("%s (%s)", e[i].msg, dv_error_name(e[i].code));
    dv_store *s = open_store();
    dv_store_close(&s);
}

static void where_the_folder_is(void **state)
{
    (void)state;
    dv_buf b;
    dv_buf_init(&b, 0);
    setenv("DROVER_DATA_DIR", "/somewhere/else", 1);
    OK(dv_store_default_dir(&b, &err));
    assert_string_equal(dv_buf_str(&b), "/somewhere/else");
    setenv("DROVER_DATA_DIR", "relative", 1);
    FAILS(DV_EINVAL, dv_store_default_dir(&b, &err));
    unsetenv("DROVER_DATA_DIR");
    setenv("XDG_DATA_HOME", "/xdg", 1);
    setenv("HOME", "/h", 1);
    bool root = geteuid() == 0;
    for (int i = 0; i < 3; i++) {
        static const char *const want[] = {"/xdg/drover", "/h/.local/share/drover"};
        dv_buf_clear(&b);
        if (i == 2 && !root) {
            unsetenv("HOME");
            FAILS(DV_ENOENT, dv_store_default_dir(&b, &err));
            break;
        }
        OK(dv_store_default_dir(&b, &err));
        assert_string_equal(dv_buf_str(&b), root ? "/var/lib/drover" : want[i]);
        setenv("XDG_DATA_HOME", "relative is to be ignored", 1);
    }
    dv_buf_fini(&b);
}

#define IN_DB(f) cmocka_unit_test_setup_teardown(f, open_db, close_db)
#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, new_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DB(values_come_back),
        IN_DB(text_with_nul_is_damage_where_a_string_is_wanted),
        IN_DB(nothing_of_a_failed_transaction_stays),
        IN_DB(failures_are_told_apart),
        IN_DB(more_statements_than_places),
        IN_DB(settings_are_what_they_should_be),
        IN_DB(readers_see_one_moment),
        IN_DB(threads_wait_for_each_other),
        IN_DB(every_allocation_may_fail),
        IN_DB(files_of_others_are_refused),
        IN_DB(a_damaged_file_says_so),
        IN_DB(another_program_that_writes_is_waited_for),
        IN_DB(another_program_that_never_ends_is_busy),
        IN_DB(migrations_are_applied_once),
        IN_DB(a_failed_migration_leaves_the_one_before),
        IN_DB(newer_and_other_databases_are_refused),
        IN_DIR(the_folder_is_for_the_owner),
        IN_DIR(what_others_may_touch_is_refused),
        IN_DIR(a_folder_that_is_not_there),
        IN_DIR(one_server_and_many_commands),
        IN_DIR(several_set_the_folder_up_at_once),
        IN_DIR(where_the_folder_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
