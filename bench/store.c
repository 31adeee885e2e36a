/* SPDX-License-Identifier: MIT */
/* What the service's store costs: a thousand keys, a thousand sessions, an audit log that grows. Each line is one kind of call, timed one by one;
 * what writes is timed until it is on the disk, so the folder should be on the disk that matters.
 * Usage: bench_store [FOLDER]    a new folder is made in it, and removed; default: the working folder */
#include "base/attr.h"
#include "base/clock.h"
#include "base/mem.h"
#include "store/audit.h"
#include "store/key.h"
#include "store/session.h"
#include "store/user.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 1000, USERS = 32, SESSIONS = 1000, READS = 20000, WRITES = 1000, BURST = 100000 };

static dv_store *store;
static char keys[KEYS][DV_KEY_LEN + 1], cookies[SESSIONS][DV_SESSION_LEN + 1];
static int64_t users[USERS];
static uint64_t took[READS];

static void must(int rc, const dv_err *err)
{
    if (rc == 0)
        return;
    fprintf(stderr, "bench_store: %s\n", err->msg[0] != 0 ? err->msg : dv_error_text(rc));
    exit(1);
}

/* ---- measuring ---- */

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void measure(const char *what, int n, void (*call)(int i))
{
    for (int i = 0; i < n / 10; i++)
        call(i);
    for (int i = 0; i < n; i++) {
        uint64_t start = dv_clock_ns();
        call(i);
        took[i] = dv_clock_ns() - start;
    }
    qsort(took, (size_t)n, sizeof *took, by_value);
    printf("%-40s median %9.2f us   99 %% %9.2f us\n", what, (double)took[n / 2] / 1e3,
           (double)took[n * 99 / 100] / 1e3);
}

/* ---- what is measured ---- */

static void find_key(int i)
{
    const dv_key *k;
    dv_err err = {0};
    must(dv_key_find(store, keys[(i * 7) % KEYS], DV_KEY_LEN, &k, &err), &err);
    dv_key_unref(k);
}

static void find_wrong_key(int i)
{
    static const char wrong[] = "dv_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const dv_key *k;
    if (dv_key_find(store, wrong, DV_KEY_LEN, &k, NULL) == 0)
        exit(1);
}

static void find_session(int i)
{
    dv_session s;
    dv_err err = {0};
    must(dv_session_find(store, cookies[(i * 7) % SESSIONS], DV_SESSION_LEN, &s, &err), &err);
}

static void get_user(int i)
{
    dv_user u;
    dv_err err = {0};
    must(dv_user_get(store, users[i % USERS], &u, &err), &err);
}

static const dv_audit_entry request = {.who = {DV_AUDIT_KEY, "bench", "192.0.2.1", "req-0123456789abcdef"},
                                       .action = "POST /v1/chat/completions",
                                       .status = 200,
                                       .tokens_in = 1200,
                                       .tokens_out = 340,
                                       .model = "llama"};

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int written;

static void on_row(void *arg, int rc)
{
    if (rc != 0)
        exit(1);
    pthread_mutex_lock(&mu);
    written++;
    pthread_cond_signal(&cond);
    pthread_mutex_unlock(&mu);
}

static void wait_for(int n)
{
    pthread_mutex_lock(&mu);
    while (written < n)
        pthread_cond_wait(&cond, &mu);
    pthread_mutex_unlock(&mu);
}

static void queue_row(int i)
{
    dv_err err = {0};
    must(dv_audit_log(store, &request, NULL, NULL, &err), &err);
}

/* Until it is durable. */
static void write_row(int i)
{
    dv_err err = {0};
    int before = written; /* nobody else waits for rows */
    must(dv_audit_log(store, &request, on_row, NULL, &err), &err);
    wait_for(before + 1);
}

static void make_key(int i)
{
    char name[32], key[DV_KEY_LEN + 1];
    static int n;
    int64_t id;
    dv_err err = {0};
    snprintf(name, sizeof name, "made %d", n++);
    const dv_key_spec spec = {.name = name};
    must(dv_key_create(store, &spec, NULL, key, &id, &err), &err);
}

static void health(int i)
{
    dv_store_health h;
    dv_store_health_get(store, &h);
    if (h.code != 0)
        exit(1);
}

/* ---- the folder ---- */

static void fill(void)
{
    dv_err err = {0};
    char name[32];
    int64_t id;
    for (int i = 0; i < KEYS; i++) {
        snprintf(name, sizeof name, "key %d", i);
        const dv_key_spec spec = {.name = name};
        must(dv_key_create(store, &spec, NULL, keys[i], &id, &err), &err);
    }
    for (int i = 0; i < USERS; i++) {
        snprintf(name, sizeof name, "user%d", i);
        must(dv_user_add(store, name, strlen(name), DV_ROLE_USER, "a password", 10, NULL, &users[i], &err), &err);
    }
    for (int i = 0; i < SESSIONS; i++)
        must(dv_session_begin(store, users[i % USERS], NULL, 0, "192.0.2.1", cookies[i], &err), &err);
    must(dv_audit_flush(store, 60000, &err), &err);
}

static void burst(void)
{
    dv_err err = {0};
    uint64_t start = dv_clock_ns();
    for (int i = 0; i < BURST; i++)
        while (dv_audit_log(store, &request, NULL, NULL, &err) != 0) /* the queue is full */
            must(dv_audit_flush(store, 60000, &err), &err);
    must(dv_audit_flush(store, 60000, &err), &err);
    printf("%-40s %.0f rows/s\n", "audit rows of many requests, durable",
           BURST * 1e9 / (double)(dv_clock_ns() - start));
}

static void verify(void)
{
    dv_err err = {0};
    dv_audit_report r;
    uint64_t start = dv_clock_ns();
    must(dv_audit_verify(store, NULL, NULL, NULL, &r, &err), &err);
    printf("%-40s %.0f rows/s, %" PRIu64 " problems\n", "verification, rows and lines",
           (double)r.rows * 1e9 / (double)(dv_clock_ns() - start), r.problems);
}

int main(int argc, char **argv)
{
    char dir[4096], cmd[4200];
    dv_err err = {0};
    snprintf(dir, sizeof dir, "%s/drover-bench-XXXXXX", argc > 1 ? argv[1] : ".");
    if (mkdtemp(dir) == NULL) {
        perror(dir);
        return 1;
    }
    const dv_store_options o = {
        .dir = dir, .create = true, .server = true, .tuning = {.password_ops = 1, .password_bytes = 8192}};
    must(dv_store_open(&store, &o, &err), &err);
    fill();
    measure("a key is found", READS, find_key);
    measure("a wrong key is not", READS, find_wrong_key);
    measure("a session is found", READS, find_session);
    measure("a user by number", READS, get_user);
    measure("an audit row is queued", READS, queue_row);
    must(dv_audit_flush(store, 60000, &err), &err);
    measure("an audit row alone, durable", WRITES, write_row);
    measure("a key is made, durable", WRITES, make_key);
    measure("health", READS, health);
    burst();
    verify();
    dv_store_close(&store);
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
    return system(cmd) == 0 ? 0 : 1;
}
