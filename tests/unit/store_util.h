/* SPDX-License-Identifier: MIT */
/* Folders for tests of the store, a clock that tests set, and a way past drover to the database. */
#ifndef STORE_UTIL_H
#define STORE_UTIL_H

#include "base/attr.h"
#include "base/clock.h"
#include "base/err.h"
#include "store/audit.h"
#include "store/backup.h"
#include "store/session.h"
#include "store/sqlite.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* Fails with the text of the error. */
#define OK(x)                                                           \
    do {                                                                \
        err = (dv_err){0};                                              \
        int ok_rc = (x);                                                \
        if (ok_rc != 0)                                                 \
            fail_msg("%s: %s (%s)", #x, err.msg, dv_error_name(ok_rc)); \
    } while (0)
#define FAILS(want, x)                                                     \
    do {                                                                   \
        err = (dv_err){0};                                                 \
        int fails_rc = (x);                                                \
        if (fails_rc != (want))                                            \
            fail_msg("%s: %s (%s)", #x, err.msg, dv_error_name(fails_rc)); \
        assert_int_equal(err.code, want);                                  \
        assert_true(err.msg[0] != 0);                                      \
    } while (0)

static dv_err err;
static char dir[64], path_buf[512];
static _Atomic uint64_t fake_ms; /* 0: the real clock */

static inline uint64_t test_wall_ms(void)
{
    uint64_t ms = atomic_load(&fake_ms);
    return ms != 0 ? ms : dv_clock_wall_ms();
}

/* A path in the folder; valid until the next call. */
static inline const char *in_dir(const char *name)
{
    snprintf(path_buf, sizeof path_buf, "%s/%s", dir, name);
    return path_buf;
}

/* In memory where there is such a place: hundreds of fsyncs are not what is tested. */
static inline int new_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "%s/drover-store-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    atomic_store(&fake_ms, 0);
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static inline int remove_dir(void **state)
{
    char cmd[128];
    (void)state;
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
    return system(cmd);
}

static inline dv_store_options test_options(void)
{
    /* The least that Argon2id takes: tests are not about its time. */
    return (dv_store_options){
        .dir = dir, .create = true, .wall_ms = test_wall_ms, .tuning = {.password_ops = 1, .password_bytes = 8192}};
}

static inline dv_store *open_as(bool server)
{
    dv_store *s;
    dv_store_options o = test_options();
    o.server = server;
    OK(dv_store_open(&s, &o, &err));
    return s;
}

static inline dv_store *open_store(void) { return open_as(false); }

/* Run SQL as somebody would who has the file and no drover. */
static inline void raw_sql(const char *sql)
{
    sqlite3 *h;
    char *text = NULL;
    assert_int_equal(sqlite3_open(in_dir("drover.db"), &h), SQLITE_OK);
    sqlite3_busy_timeout(h, 5000);
    if (sqlite3_exec(h, sql, NULL, NULL, &text) != SQLITE_OK)
        fail_msg("%s: %s", sql, text);
    sqlite3_close(h);
}

/* The first column of the first row; -1 if there is none. */
static inline int64_t raw_int(const char *sql)
{
    sqlite3 *h;
    sqlite3_stmt *st;
    int64_t v = -1;
    assert_int_equal(sqlite3_open(in_dir("drover.db"), &h), SQLITE_OK);
    sqlite3_busy_timeout(h, 5000);
    if (sqlite3_prepare_v2(h, sql, -1, &st, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(h));
    if (sqlite3_step(st) == SQLITE_ROW)
        v = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    sqlite3_close(h);
    return v;
}

/* A whole file of the folder; freed by free. */
static inline char *read_all(const char *name, size_t *n)
{
    FILE *f = fopen(in_dir(name), "rb");
    assert_non_null(f);
    char *p = malloc(1 << 22);
    assert_non_null(p);
    *n = fread(p, 1, (1 << 22) - 1, f);
    p[*n] = 0;
    fclose(f);
    return p;
}

static inline void write_all(const char *name, const void *p, size_t n)
{
    FILE *f = fopen(in_dir(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static inline unsigned mode_of(const char *name)
{
    struct stat st;
    assert_int_equal(lstat(in_dir(name), &st), 0);
    return (unsigned)st.st_mode & 07777;
}

#endif
