/* SPDX-License-Identifier: MIT */
/* The disk is full, or another program holds the database: reading goes on, writers are told, health says so, nothing acknowledged is lost, and
 * afterwards everything works without anybody's help. The disk is a small tmpfs in a namespace of a process of its own. */
#include "base/clock.h"
#include "store/key.h"
#include "store/store_impl.h"
#include "store/user.h"
#include "store_util.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { SKIP = 77 };

/* ---- in the process with the small disk, where cmocka's asserts would go on with the other tests ---- */

#define CHECK(x)                                                    \
    do {                                                            \
        if (!(x)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); \
            _exit(1);                                               \
        }                                                           \
    } while (0)
#define WORKS(x)                                                                                               \
    do {                                                                                                       \
        err = (dv_err){0};                                                                                     \
        int works_rc = (x);                                                                                    \
        if (works_rc != 0) {                                                                                   \
            fprintf(stderr, "%s:%d: %s: %s (%s)\n", __FILE__, __LINE__, #x, err.msg, dv_error_name(works_rc)); \
            _exit(1);                                                                                          \
        }                                                                                                      \
    } while (0)

/* Run f in a process of its own; a test that cannot be made here is skipped. */
static void in_process(void (*f)(void))
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        f();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIP) {
        print_message(
            "# this kernel gives no file system to a test\n"); /* not by skip(): what cmocka prints for it counts as a failure */
        return;
    }
    assert_int_equal(status, 0);
}

/* Namespaces are off on some systems, and in some containers. */
static void mount_small_disk(void)
{
    char map[32];
    unsigned uid = getuid();
    if (unshare(CLONE_NEWNS | (uid != 0 ? CLONE_NEWUSER : 0)) != 0)
        _exit(SKIP);
    if (uid != 0) {
        int fd = open("/proc/self/uid_map", O_WRONLY);
        int n = snprintf(map, sizeof map, "%u %u 1", uid, uid);
        if (fd < 0 || write(fd, map, (size_t)n) != n || close(fd) != 0)
            _exit(SKIP);
    }
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", dir, "tmpfs", MS_NOSUID | MS_NODEV, "size=2m,mode=700") != 0)
        _exit(SKIP);
}

static void fill_disk(void)
{
    static const char block[4096];
    int fd = open(in_dir("ballast"), O_WRONLY | O_CREAT, 0600);
    CHECK(fd >= 0);
    while (write(fd, block, sizeof block) > 0)
        continue;
    CHECK(errno == ENOSPC);
    close(fd);
}

static dv_store *open_server(void)
{
    dv_store *s = NULL;
    dv_store_options o = test_options();
    o.server = true;
    WORKS(dv_store_open(&s, &o, &err));
    return s;
}

static char key[DV_KEY_LEN + 1];
static int64_t key_id;

static int make_key(dv_store *s, const char *name)
{
    const dv_key_spec spec = {.name = name};
    err = (dv_err){0};
    return dv_key_create(s, &spec, NULL, key, &key_id, &err);
}

static int find(dv_store *s, const char *text)
{
    const dv_key *k;
    int rc = dv_key_find(s, text, strlen(text), &k, NULL);
    dv_key_unref(k);
    return rc;
}

/* The write-ahead log may have room for a few. Returns how many keys were made. */
static int make_keys_until_full(dv_store *s)
{
    char name[32];
    for (int i = 0; i < 10000; i++) {
        snprintf(name, sizeof name, "more %d", i);
        int rc = make_key(s, name);
        if (rc != 0) {
            CHECK(rc == DV_ENOSPC);
            CHECK(strstr(err.msg, "full") != NULL);
            return i;
        }
    }
    CHECK(!"it is never full");
    return -1;
}

static atomic_int rows_ok, rows_lost;

static void on_row(void *arg, int rc) { atomic_fetch_add(rc == 0 ? &rows_ok : &rows_lost, 1); }

static void log_rows(dv_store *s, int n)
{
    for (int i = 0; i < n; i++) {
        const dv_audit_entry e = {.action = "request", .status = 200};
        WORKS(dv_audit_log(s, &e, on_row, NULL, &err));
    }
}

static uint64_t n_keys(dv_store *s)
{
    dv_key_list l;
    WORKS(dv_key_list_get(s, &l, &err));
    uint64_t n = l.n;
    dv_key_list_fini(&l);
    return n;
}

static dv_audit_report verify(dv_store *s)
{
    dv_audit_report r;
    WORKS(dv_audit_verify(s, NULL, NULL, NULL, &r, &err));
    CHECK(r.problems == 0);
    return r;
}

/* What must go on while nothing can be written: for the server, and for a command that is started now. */
static void check_reading(dv_store *s, const char *before, uint64_t keys)
{
    dv_store_options o = test_options();
    dv_store *command;
    dv_store_health h;
    CHECK(find(s, before) == 0);
    CHECK(find(s, "dv_0000000000000000000000000000000000000000000") == DV_EAUTH);
    CHECK(n_keys(s) == keys);
    dv_store_health_get(s, &h);
    CHECK(h.readable);
    CHECK(h.code == DV_ENOSPC);
    CHECK(strstr(h.text, "full") != NULL);
    CHECK(h.free_bytes < 65536);
    o.create = false;
    WORKS(dv_store_open(&command, &o, &err));
    CHECK(n_keys(command) == keys);
    verify(command);
    CHECK(make_key(command, "of a command") == DV_ENOSPC);
    dv_store_close(&command);
}

static void a_full_disk(void)
{
    char before[DV_KEY_LEN + 1];
    mount_small_disk();
    dv_store *s = open_server();
    WORKS(make_key(s, "before"));
    memcpy(before, key, sizeof before);
    WORKS(dv_audit_flush(s, 5000, &err));
    fill_disk();
    uint64_t keys = 1 + (uint64_t)make_keys_until_full(s);
    log_rows(s, 3000); /* more than the write-ahead log may still have room for */
    CHECK(dv_audit_flush(s, 500, &err) == DV_ENOSPC);
    CHECK(dv_audit_state(s) == DV_ENOSPC);
    check_reading(s, before, keys);
    /* Space again: the rows that waited are written, nobody has to do anything. */
    unlink(in_dir("ballast"));
    WORKS(dv_audit_flush(s, 10000, &err));
    CHECK(atomic_load(&rows_ok) == 3000 && atomic_load(&rows_lost) == 0);
    CHECK(dv_audit_state(s) == 0);
    WORKS(make_key(s, "after"));
    dv_store_health h;
    dv_store_health_get(s, &h);
    CHECK(h.code == 0 && h.text[0] == 0 && h.audit_lost == 0);
    dv_store_close(&s);
    s = open_server(); /* writes the lines that could not be written */
    dv_store_close(&s);
    s = open_server();
    dv_audit_report r = verify(s);
    CHECK(r.rows == keys + 1 + 3000 && r.lines == r.rows && r.behind == 0);
    dv_store_close(&s);
}

static void closing_and_starting_on_a_full_disk(void)
{
    mount_small_disk();
    dv_store *s = open_server();
    WORKS(make_key(s, "before"));
    WORKS(dv_audit_flush(s, 5000, &err));
    fill_disk();
    make_keys_until_full(s);
    log_rows(s, 3000);
    dv_store_close(&s); /* after five seconds it gives up, and says so to those who wait */
    CHECK(atomic_load(&rows_ok) + atomic_load(&rows_lost) == 3000);
    CHECK(atomic_load(&rows_lost) > 0);
    s = open_server();
    uint64_t keys = n_keys(s);
    CHECK(keys >= 1);
    verify(s);
    unlink(in_dir("ballast"));
    WORKS(make_key(s, "after"));
    CHECK(find(s, key) == 0);
    dv_store_close(&s);
    s = open_server();
    dv_audit_report r = verify(s);
    CHECK(r.rows == keys + 1 + (uint64_t)atomic_load(&rows_ok));
    dv_store_close(&s);
}

/* A backup that does not fit leaves nothing, and a restore leaves what was there. */
static void no_space_for_copies(void)
{
    dv_backup_info info;
    dv_buf old;
    char from[96];
    mount_small_disk();
    dv_store *s = open_server();
    WORKS(make_key(s, "before"));
    WORKS(dv_audit_flush(s, 5000, &err));
    snprintf(from, sizeof from, "%s/backup", dir);
    WORKS(dv_backup(s, from, NULL, &info, &err));
    fill_disk();
    err = (dv_err){0};
    CHECK(dv_backup(s, in_dir("another"), NULL, &info, &err) == DV_ENOSPC);
    dv_store_close(&s);
    dv_buf_init(&old, 0);
    err = (dv_err){0};
    CHECK(dv_restore(dir, from, NULL, &info, &old, &err) == DV_ENOSPC);
    dv_buf_fini(&old);
    DIR *d = opendir(dir);
    CHECK(d != NULL);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        CHECK(strstr(e->d_name, ".part") == NULL && strstr(e->d_name, "restore") == NULL &&
              strcmp(e->d_name, "another") != 0);
    closedir(d);
    s = open_server();
    CHECK(find(s, key) == 0);
    verify(s);
    dv_store_close(&s);
}

/* The same where no file may grow: a limit of the process, which needs no rights. */
static void a_limit_of_file_sizes(void)
{
    struct rlimit limit = {.rlim_cur = 200 << 10, .rlim_max = RLIM_INFINITY};
    char before[DV_KEY_LEN + 1];
    dv_store_health h;
    signal(SIGXFSZ, SIG_IGN);
    dv_store *s = open_server();
    WORKS(make_key(s, "before"));
    memcpy(before, key, sizeof before);
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    int rc = 0;
    for (int i = 0; i < 1000 && rc == 0; i++) {
        char name[32];
        snprintf(name, sizeof name, "more %d", i);
        rc = make_key(s, name);
    }
    CHECK(rc == DV_ENOSPC);
    CHECK(find(s, before) == 0);
    dv_store_health_get(s, &h);
    CHECK(h.readable && h.code == DV_ENOSPC);
    limit.rlim_cur = RLIM_INFINITY;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    WORKS(make_key(s, "after"));
    WORKS(dv_audit_flush(s, 5000, &err));
    verify(s);
    dv_store_close(&s);
}

#define IN_PROCESS(name)                  \
    static void test_##name(void **state) \
    {                                     \
        (void)state;                      \
        in_process(name);                 \
    }
IN_PROCESS(a_full_disk)
IN_PROCESS(closing_and_starting_on_a_full_disk)
IN_PROCESS(no_space_for_copies)
IN_PROCESS(a_limit_of_file_sizes)

/* ---- locked ---- */

static void a_locked_database(void **state)
{
    (void)state;
    sqlite3 *h;
    dv_store_health health;
    dv_session session;
    char before[DV_KEY_LEN + 1], cookie[DV_SESSION_LEN + 1];
    int64_t ada;
    dv_store *s = open_as(true);
    OK(make_key(s, "before"));
    memcpy(before, key, sizeof before);
    OK(dv_user_add(s, "ada", 3, DV_ROLE_USER, "a password", 10, NULL, &ada, &err));
    OK(dv_session_begin(s, ada, NULL, 0, NULL, cookie, &err));
    OK(dv_audit_flush(s, 5000, &err));
    assert_int_equal(sqlite3_open(in_dir("drover.db"), &h), SQLITE_OK);
    assert_int_equal(sqlite3_exec(h, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_busy_timeout(dv_store_db(s)->writer->h, 50); /* not five seconds */
    assert_int_equal(make_key(s, "now"), DV_EBUSY);
    assert_non_null(strstr(err.msg, "locked"));
    log_rows(s, 10);
    assert_int_equal(dv_audit_flush(s, 500, &err), DV_EBUSY);
    assert_int_equal(dv_audit_state(s), DV_EBUSY);
    assert_int_equal(find(s, before), 0);
    OK(dv_session_find(s, cookie, DV_SESSION_LEN, &session, &err));
    dv_store_health_get(s, &health);
    assert_true(health.readable);
    assert_int_equal(health.code, DV_EBUSY);
    sqlite3_close(h);
    OK(dv_audit_flush(s, 10000, &err));
    OK(make_key(s, "now"));
    dv_store_health_get(s, &health);
    assert_int_equal(health.code, 0);
    verify(s);
    dv_store_close(&s);
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, new_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(test_a_full_disk),         IN_DIR(test_closing_and_starting_on_a_full_disk),
        IN_DIR(test_no_space_for_copies), IN_DIR(test_a_limit_of_file_sizes),
        IN_DIR(a_locked_database),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
