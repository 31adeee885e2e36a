/* SPDX-License-Identifier: MIT */
/* A process that writes is killed two hundred times, wherever it happens to be: what it had acknowledged is there, and the audit log is whole. */
#include "base/mem.h"
#include "base/rng.h"
#include "store/key.h"
#include "store/user.h"
#include "store_util.h"

#include <inttypes.h>
#include <signal.h>
#include <sys/wait.h>

enum { ROUNDS = 200, ROUNDS_OF_A_FOLDER = 20, LONGEST_US = 30000, ACKS_MAX = 65536 };

/** What the writer says after a call returned, or a row's callback came: the parent holds the store to it. */
typedef struct ack {
    uint64_t kind; /* 'k' key made, 'r' key revoked, 'u' user added, 'a' audit row */
    uint64_t id;
} ack;

/* ---- the process that is killed ---- */

static int ack_fd;

static void acknowledge(char kind, uint64_t id)
{
    const ack a = {(uint64_t)kind, id};
    if (write(ack_fd, &a, sizeof a) != (ssize_t)sizeof a)
        _exit(3);
}

static void on_row(void *arg, int rc)
{
    if (rc == 0)
        acknowledge('a', (uint64_t)(uintptr_t)arg);
}

static void must(int rc, const dv_err *e)
{
    if (rc == 0)
        return;
    fprintf(stderr, "the writer: %s (%s)\n", e->msg, dv_error_name(rc));
    _exit(2);
}

static void log_row(dv_store *s, uint64_t n)
{
    char action[24];
    dv_err e = {0};
    snprintf(action, sizeof action, "n%" PRIu64, n);
    const dv_audit_entry row = {.who = {.kind = DV_AUDIT_ADDRESS, .id = "192.0.2.7"}, .action = action, .status = 200};
    must(dv_audit_log(s, &row, on_row, (void *)(uintptr_t)n, &e), &e);
}

static void make_and_revoke(dv_store *s, uint64_t n)
{
    char name[32], key[DV_KEY_LEN + 1];
    int64_t id;
    dv_err e = {0};
    snprintf(name, sizeof name, "key %" PRIu64, n);
    const dv_key_spec spec = {.name = name};
    must(dv_key_create(s, &spec, NULL, key, &id, &e), &e);
    acknowledge('k', (uint64_t)id);
    if (n % 3 != 0)
        return;
    must(dv_key_revoke(s, id, NULL, &e), &e);
    acknowledge('r', (uint64_t)id);
}

static void add_user(dv_store *s, uint64_t n)
{
    char name[32];
    int64_t id;
    dv_err e = {0};
    snprintf(name, sizeof name, "user%" PRIu64, n);
    must(dv_user_add(s, name, strlen(name), DV_ROLE_USER, "a password", 10, NULL, &id, &e), &e);
    acknowledge('u', (uint64_t)id);
}

/* Until somebody kills it. */
static void write_for_ever(int round)
{
    dv_store *s;
    dv_err e = {0};
    dv_store_options o = test_options();
    o.server = round % 3 != 0;           /* else as a command, which writes its rows itself */
    o.tuning.audit_file_bytes = 1 << 16; /* so that files are renamed meanwhile too */
    must(dv_store_open(&s, &o, &e), &e);
    for (uint64_t n = (uint64_t)round << 32;; n++) {
        log_row(s, n);
        if (n % 4 == 0)
            make_and_revoke(s, n);
        if (n % 16 == 0)
            add_user(s, n);
        if (n % 32 == 0)
            must(dv_audit_flush(s, 5000, &e), &e);
    }
}

/* ---- what was acknowledged ---- */

static ack acks[ACKS_MAX];
static size_t n_acks;
static bool was_said[256];

static void read_acks(int fd)
{
    ack a;
    while (read(fd, &a, sizeof a) == (ssize_t)sizeof a) {
        assert_true(n_acks < ACKS_MAX);
        acks[n_acks++] = a;
        was_said[a.kind & 255] = true;
    }
}

/* Let it write for so long, then kill it. The pipe holds what it says; should it be full the writer waits. */
static void one_round(int round, uint32_t us)
{
    int fd[2], status;
    assert_int_equal(pipe(fd), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(fd[0]);
        ack_fd = fd[1];
        write_for_ever(round);
    }
    close(fd[1]);
    usleep(us);
    kill(pid, SIGKILL);
    read_acks(fd[0]); /* up to its end, which is the writer's */
    close(fd[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status))
        fail_msg("round %d: the writer ended with %d", round, WEXITSTATUS(status));
}

/* ---- what is there ---- */

typedef struct rows {
    uint64_t n[ACKS_MAX]; /* of the writers' own rows */
    size_t len;
    uint64_t keys_made, last;
    size_t page;
} rows;

static rows seen;

static bool on_seen(void *arg, const dv_audit_row *r)
{
    rows *v = arg;
    v->page++;
    v->last = r->seq;
    v->keys_made += strcmp(r->entry.action, "key.create") == 0;
    if (r->entry.action[0] == 'n') {
        uint64_t n = strtoull(r->entry.action + 1, NULL, 10);
        assert_true(v->len < ACKS_MAX && (v->len == 0 || v->n[v->len - 1] < n)); /* in the order of events */
        v->n[v->len++] = n;
    }
    return true;
}

static void read_rows(dv_store *s)
{
    dv_audit_filter f = {.oldest = true};
    seen = (rows){.page = 1};
    while (seen.page > 0) {
        seen.page = 0;
        OK(dv_audit_query(s, &f, on_seen, &seen, &err));
        f.after_seq = seen.last;
    }
}

static const dv_key *key_of(const dv_key_list *l, uint64_t id)
{
    for (size_t i = 0; i < l->n; i++)
        if ((uint64_t)l->v[i]->id == id)
            return l->v[i];
    return NULL;
}

static bool row_is_there(uint64_t n)
{
    size_t from = 0, to = seen.len;
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        if (seen.n[mid] == n)
            return true;
        *(seen.n[mid] < n ? &from : &to) = seen.n[mid] < n ? mid + 1 : mid;
    }
    return false;
}

static void check_ack(dv_store *s, const dv_key_list *l, const ack *a)
{
    dv_user u;
    const dv_key *k = key_of(l, a->id);
    bool there = false;
    switch (a->kind) {
    case 'k': there = k != NULL; break;
    case 'r': there = k != NULL && k->revoked_ms != 0; break;
    case 'u': there = dv_user_get(s, (int64_t)a->id, &u, NULL) == 0; break;
    case 'a': there = row_is_there(a->id); break;
    default: break;
    }
    if (!there)
        fail_msg("'%c' %" PRIu64 " was acknowledged and is not there", (char)a->kind, a->id);
}

static void print_problem(void *arg, const dv_audit_problem *p)
{
    print_message("row %" PRIu64 ", %s line %" PRIu64 ": %s\n", p->seq, p->file != NULL ? p->file : "no file", p->line,
                  p->text);
}

static dv_audit_report verify(dv_store *s)
{
    dv_audit_report r;
    OK(dv_audit_verify(s, NULL, print_problem, NULL, &r, &err));
    assert_int_equal(r.problems, 0);
    return r;
}

static void check(void)
{
    dv_key_list l;
    dv_store *s = open_store();
    verify(s);
    read_rows(s);
    OK(dv_key_list_get(s, &l, &err));
    for (size_t i = 0; i < n_acks; i++)
        check_ack(s, &l, &acks[i]);
    assert_int_equal(seen.keys_made, l.n); /* a key and its row are one transaction */
    dv_key_list_fini(&l);
    dv_store_close(&s);
    n_acks = 0;
}

/* A server that starts afterwards brings everything up to date. */
static void check_repaired(void)
{
    dv_store *s = open_as(true);
    OK(dv_store_check(s, &err));
    dv_store_close(&s);
    s = open_store();
    dv_audit_report r = verify(s);
    assert_int_equal(r.lines, r.rows);
    assert_int_equal(r.behind, 0);
    dv_store_close(&s);
}

static void nothing_acknowledged_is_lost(void **state)
{
    uint64_t seed = dv_clock_ns();
    size_t total = 0;
    dv_rng rng;
    dv_rng_seed(&rng, seed);
    print_message("# seed %" PRIu64 "\n", seed);
    for (int round = 0; round < ROUNDS; round++) {
        if (round > 0 && round % ROUNDS_OF_A_FOLDER == 0) {
            check_repaired();
            remove_dir(state);
            assert_int_equal(new_dir(state), 0);
        }
        one_round(round, (uint32_t)(dv_rng_below(&rng, LONGEST_US)));
        total += n_acks;
        check();
    }
    check_repaired();
    print_message("# %d acknowledgements\n", (int)total);
    for (const char *kind = "krua"; *kind != 0; kind++)
        assert_true(was_said[(unsigned char)*kind]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_acknowledged_is_lost, new_dir, remove_dir)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
