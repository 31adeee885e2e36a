/* SPDX-License-Identifier: MIT */
/* The audit log: what is written, by several at once, what verification finds, and that nothing in it is more than text. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "store/store_impl.h"
#include "store_util.h"

#include <inttypes.h>
#include <pthread.h>
#include <sodium.h>

static dv_audit_entry entry(const char *action)
{
    return (dv_audit_entry){.who = {.kind = DV_AUDIT_KEY, .id = "my key", .address = "192.0.2.1", .request = "req-7"},
                            .action = action,
                            .status = 200,
                            .tokens_in = 12,
                            .tokens_out = 34,
                            .model = "llama"};
}

static void add(dv_store *s, const char *action)
{
    const dv_audit_entry e = entry(action);
    OK(dv_audit_log(s, &e, NULL, NULL, &err));
}

/* A log of n rows, as a server leaves it. */
static void make_log(int n)
{
    dv_store *s = open_as(true);
    for (int i = 1; i <= n; i++) {
        char action[32];
        snprintf(action, sizeof action, "action %d", i);
        add(s, action);
    }
    OK(dv_audit_flush(s, 10000, &err));
    dv_store_close(&s);
}

/* ---- what verification says ---- */

static char found[4096];
static dv_audit_report report;

static void note(void *arg, const dv_audit_problem *p)
{
    size_t n = strlen(found);
    snprintf(found + n, sizeof found - n, "%s:%" PRIu64 " row %" PRIu64 ": %s\n", p->file != NULL ? p->file : "db",
             p->line, p->seq, p->text);
}

static uint64_t verify_with(dv_store *s, const dv_audit_head *known)
{
    found[0] = 0;
    OK(dv_audit_verify(s, known, note, NULL, &report, &err));
    return report.problems;
}

static uint64_t verify(void)
{
    dv_store *s = open_store();
    uint64_t n = verify_with(s, NULL);
    dv_store_close(&s);
    return n;
}

/* At least one problem, and one that says this. */
static void found_it(const char *what)
{
    uint64_t n = verify();
    if (n == 0 || strstr(found, what) == NULL)
        fail_msg("'%s' is not among %d problems: %s", what, (int)n, found);
}

static void sound(void)
{
    if (verify() != 0)
        fail_msg("%s", found);
}

/* ---- writing ---- */

static atomic_int done_ok, done_bad;

static void count_done(void *arg, int rc)
{
    atomic_fetch_add(rc == 0 ? &done_ok : &done_bad, 1);
    assert_ptr_equal(arg, &done_ok);
}

static void a_row_has_what_was_said(void **state)
{
    (void)state;
    for (int server = 0; server < 2; server++) {
        dv_store *s = open_as(server);
        dv_audit_entry e = entry("POST /v1/chat/completions");
        e.outcome = DV_AUDIT_LIMITED;
        e.detail = "some detail";
        e.prompt = "a secret prompt";
        atomic_store(&done_ok, 0);
        OK(dv_audit_log(s, &e, count_done, &done_ok, &err));
        OK(dv_audit_flush(s, 10000, &err));
        assert_int_equal(atomic_load(&done_ok), 1);
        dv_store_close(&s);
    }
    size_t n;
    char *text = read_all("audit.jsonl", &n);
    static const char *const parts[] = {
        "{\"seq\":1,\"prev\":\"0000",
        "\"time\":\"20",
        "\"run\":\"",
        "\"kind\":\"key\",\"id\":\"my key\"",
        "\"address\":\"192.0.2.1\"",
        "\"request\":\"req-7\"",
        "\"action\":\"POST /v1/chat/completions\",\"outcome\":\"limited\",\"status\":200",
        "\"tokens_in\":12,\"tokens_out\":34,\"model\":\"llama\",\"detail\":\"some detail\",\"hash\":\"",
        "\n{\"seq\":2,"};
    for (size_t i = 0; i < DV_ARRAY_LEN(parts); i++)
        if (strstr(text, parts[i]) == NULL)
            fail_msg("%s is not in %s", parts[i], text);
    assert_null(strstr(text, "secret prompt"));
    free(text);
    assert_int_equal(raw_int("SELECT count(*) FROM audit WHERE prompt = ''"), 2);
    sound();
    assert_int_equal(report.rows, 2);
    assert_int_equal(report.lines, 2);
}

static void prompts_only_if_they_are_wanted(void **state)
{
    (void)state;
    dv_store *s = open_store();
    dv_store_tuning t = test_options().tuning;
    t.audit_prompts = true;
    dv_audit_entry e = entry("chat");
    char *big = malloc(DV_AUDIT_PROMPT * 2);
    memset(big, 'x', DV_AUDIT_PROMPT * 2);
    big[DV_AUDIT_PROMPT * 2 - 1] = 0;
    e.prompt = big;
    OK(dv_audit_log(s, &e, NULL, NULL, &err));
    dv_store_tune(s, &t);
    OK(dv_audit_log(s, &e, NULL, NULL, &err));
    dv_store_close(&s);
    free(big);
    assert_int_equal(raw_int("SELECT length(prompt) FROM audit WHERE seq = 1"), 0);
    assert_int_equal(raw_int("SELECT length(prompt) FROM audit WHERE seq = 2"), DV_AUDIT_PROMPT);
    sound();
}

static void a_line_is_its_own_proof(void **state)
{
    (void)state;
    make_log(3);
    size_t n;
    char *text = read_all("audit.jsonl", &n), *line = strtok(text, "\n"), last[65] = "";
    memset(last, '0', 64);
    for (; line != NULL; line = strtok(NULL, "\n")) {
        /* As any program would check it: the hash is that of the line without it. */
        char own[2048], hex[65];
        uint8_t hash[32];
        char *end = strstr(line, ",\"hash\":\"");
        assert_non_null(end);
        snprintf(own, sizeof own, "%.*s}", (int)(end - line), line);
        crypto_generichash(hash, 32, (unsigned char *)own, strlen(own), NULL, 0);
        sodium_bin2hex(hex, sizeof hex, hash, 32);
        assert_memory_equal(end + 9, hex, 64);
        assert_memory_equal(strstr(line, "\"prev\":\"") + 8, last, 64);
        memcpy(last, hex, 64);
    }
    free(text);
}

static void text_stays_text(void **state)
{
    static const char *const bad[] = {"two\nlines",
                                      "{\"seq\":9}\r\n{\"seq\":10}",
                                      "\x1b[2J\x1b[31mred",
                                      "\",\"outcome\":\"ok\"}",
                                      "back\\slash",
                                      "\xff\xc0\x80 broken",
                                      "\xe2\x80\xae"
                                      "evil\xe2\x80\xa8",
                                      "\xc2\x9b"
                                      "31m",
                                      "a\x7f\x01",
                                      "x'); DELETE FROM audit; --",
                                      "\xf0\x9f\xa6\x99"};
    (void)state;
    dv_store *s = open_as(true);
    for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
        const dv_audit_entry e = {
            .who = {DV_AUDIT_USER, bad[i], bad[i], bad[i]}, .action = bad[i], .model = bad[i], .detail = bad[i]};
        OK(dv_audit_log(s, &e, NULL, NULL, &err));
    }
    OK(dv_audit_flush(s, 10000, &err));
    dv_store_close(&s);
    size_t n, lines = 0;
    char *text = read_all("audit.jsonl", &n);
    for (size_t i = 0; i < n;) {
        int k = dv_utf8_printable(text + i, n - i);
        assert_true(k > 0 || text[i] == '\n');
        lines += text[i] == '\n';
        i += k > 0 ? (size_t)k : 1;
    }
    assert_int_equal(lines, DV_ARRAY_LEN(bad));
    assert_non_null(strstr(text, "two\\nlines"));
    assert_non_null(strstr(text, "\\u202eevil\\u2028"));
    assert_non_null(strstr(text, "\\u009b31m"));
    free(text);
    sound();
    assert_int_equal(report.rows, DV_ARRAY_LEN(bad));
}

static void long_text_is_cut_at_a_character(void **state)
{
    (void)state;
    char big[8000];
    for (size_t i = 0; i + 2 < sizeof big; i += 2)
        memcpy(big + i, "\xc3\xa4", 3);
    dv_store *s = open_store();
    big[0] = 'x'; /* broken, which takes three bytes, and everything after it is odd */
    const dv_audit_entry e = {.who = {DV_AUDIT_KIND_N, big, big, big},
                              .action = big,
                              .outcome = DV_AUDIT_OUTCOME_N,
                              .detail = big,
                              .tokens_in = UINT64_MAX};
    OK(dv_audit_log(s, &e, NULL, NULL, &err));
    dv_store_close(&s);
    assert_int_equal(
        raw_int(
            "SELECT max(length(CAST(id AS BLOB)), length(CAST(action AS BLOB)), length(CAST(address AS BLOB))) <= 128 FROM audit"),
        1);
    assert_int_equal(raw_int("SELECT length(CAST(detail AS BLOB)) BETWEEN 1020 AND 1024 FROM audit"), 1);
    assert_int_equal(raw_int("SELECT tokens_in FROM audit"), INT64_MAX);
    sound();
}

static void *log_many(void *arg)
{
    dv_store *s = arg;
    for (int i = 0; i < 500; i++) {
        dv_audit_entry e = entry("threads");
        while (dv_audit_log(s, &e, count_done, &done_ok, NULL) != 0)
            usleep(1000);
    }
    return NULL;
}

static void rows_of_threads_and_processes_are_one_chain(void **state)
{
    (void)state;
    dv_store *s = open_as(true), *command = open_store();
    pthread_t t[4];
    char key[DV_KEY_LEN + 1];
    int64_t id;
    atomic_store(&done_ok, 0);
    for (size_t i = 0; i < DV_ARRAY_LEN(t); i++)
        assert_int_equal(pthread_create(&t[i], NULL, log_many, s), 0);
    for (int i = 0; i < 20; i++) {
        char name[16];
        snprintf(name, sizeof name, "k%d", i);
        const dv_key_spec spec = {.name = name};
        OK(dv_key_create(i % 2 ? s : command, &spec, NULL, key, &id, &err));
        add(command, "from a command");
    }
    for (size_t i = 0; i < DV_ARRAY_LEN(t); i++)
        pthread_join(t[i], NULL);
    OK(dv_audit_flush(s, 10000, &err));
    assert_int_equal(atomic_load(&done_ok), 2000);
    assert_int_equal(verify_with(command, NULL), 0); /* while the server runs */
    assert_int_equal(report.head.seq, 2040);
    dv_store_close(&command);
    dv_store_close(&s);
    sound();
    assert_int_equal(report.lines, 2040);
    assert_int_equal(report.behind, 0);
}

static void rows_of_a_command_get_into_the_file_of_an_idle_server(void **state)
{
    (void)state;
    dv_store *s = open_as(true), *command = open_store();
    add(command, "from a command");
    size_t n = 0;
    for (int i = 0; i < 300 && n == 0; i++) {
        free(read_all("audit.jsonl", &n));
        usleep(10000);
    }
    assert_true(n > 0);
    dv_store_close(&command);
    dv_store_close(&s);
    sound();
    assert_int_equal(report.lines, 1);
}

/* ---- tampering ---- */

static void an_empty_log_is_sound(void **state)
{
    (void)state;
    sound();
    assert_int_equal(report.head.seq, 0);
    make_log(1);
    sound();
}

static void changed_rows_are_found(void **state)
{
    static const char *const columns[] = {"wall_ms = wall_ms + 1",
                                          "mono_ns = 5",
                                          "run = 'x'",
                                          "kind = 'user'",
                                          "id = 'somebody'",
                                          "address = ''",
                                          "request = 'r'",
                                          "action = 'a'",
                                          "outcome = 'denied'",
                                          "status = 401",
                                          "tokens_in = 0",
                                          "tokens_out = 35",
                                          "model = 'other'",
                                          "detail = 'd'",
                                          "prompt = 'p'",
                                          "kind = 'no such kind'",
                                          "id = 'my key' || char(0) || 'x'",
                                          "id = CAST(x'6d79206b6579ff' AS TEXT)",
                                          "status = 200 + 4294967296",
                                          "run = run || 'x'"};
    (void)state;
    make_log(6);
    for (size_t i = 0; i < DV_ARRAY_LEN(columns); i++) {
        char sql[160], undo[] = "DELETE FROM audit; INSERT INTO audit SELECT * FROM saved; DROP TABLE saved";
        snprintf(sql, sizeof sql, "CREATE TABLE saved AS SELECT * FROM audit; UPDATE audit SET %s WHERE seq = 4",
                 columns[i]);
        raw_sql(sql);
        found_it("db:0 row 4: the row was changed");
        assert_int_equal(report.problems, 1);
        raw_sql(undo);
        sound();
    }
    raw_sql("UPDATE audit SET hash = zeroblob(32) WHERE seq = 4");
    found_it("row 4: the row was changed");
}

static void a_row_made_to_fit_itself_does_not_fit_the_next(void **state)
{
    (void)state;
    make_log(6);
    /* Change row 4, and its hash so that it is right. */
    dv_store *s = open_store();
    dv_conn *c;
    dv_audit_row r;
    dv_buf text;
    dv_buf_init(&text, 0);
    OK(dv_db_write(dv_store_db(s), &c, &err));
    dv_stmt *st = dv_stmt_get(c, "SELECT " DV__ROW_COLUMNS " FROM audit WHERE seq = 4");
    assert_true(dv_stmt_row(st));
    dv__chain_row(st, &r);
    r.entry.status = 500;
    dv__row_text(&text, &r);
    dv__row_hash(text.data, text.len, r.hash);
    dv_stmt_end(st);
    st = dv_stmt_get(c, "UPDATE audit SET status = 500, hash = ?1 WHERE seq = 4");
    dv_stmt_blob(st, 1, r.hash, 32);
    dv_stmt_run(st);
    OK(dv_db_commit(&c, &err));
    dv_buf_fini(&text);
    dv_store_close(&s);
    found_it("db:0 row 5: it does not follow row 4");
    assert_non_null(strstr(found, "audit.jsonl:4 row 4: the database has another row"));
}

static void removed_moved_and_added_rows_are_found(void **state)
{
    (void)state;
    make_log(9);
    raw_sql("CREATE TABLE saved AS SELECT * FROM audit");
    raw_sql("DELETE FROM audit WHERE seq = 4");
    found_it("row 4: the row is missing");
    raw_sql("DELETE FROM audit WHERE seq IN (5, 6)");
    found_it("row 4: rows 4 to 6 are missing");
    raw_sql("DELETE FROM audit WHERE seq < 4");
    found_it("row 1: rows 1 to 6 are missing");
    static const char back[] = "DELETE FROM audit; INSERT INTO audit SELECT * FROM saved";
    raw_sql(back);
    sound();
    raw_sql(
        "UPDATE audit SET seq = 100 WHERE seq = 4; UPDATE audit SET seq = 4 WHERE seq = 5; UPDATE audit SET seq = 5 WHERE seq = 100");
    found_it("row 4: ");
    assert_non_null(strstr(found, "row 5: "));
    raw_sql(back);
    raw_sql("DELETE FROM audit WHERE seq = 4; UPDATE audit SET seq = seq - 1 WHERE seq > 4"); /* closing the gap */
    found_it("row 4: ");
    raw_sql(back);
    raw_sql(
        "INSERT INTO audit SELECT 10, wall_ms, mono_ns, run, kind, id, address, request, action, outcome, status, tokens_in, tokens_out, model,"
        " detail, prompt, prev, hash FROM audit WHERE seq = 9");
    found_it("the head of the log in the database was changed");
    assert_non_null(strstr(found, "row 10: "));
}

static void a_log_that_was_cut_off_is_found(void **state)
{
    (void)state;
    make_log(9);
    raw_sql("CREATE TABLE saved AS SELECT * FROM audit");
    raw_sql("DELETE FROM audit WHERE seq > 7");
    found_it("row 8: rows 8 to 9 at the end are missing");
    raw_sql("DELETE FROM audit");
    found_it("row 1: rows 1 to 9 at the end are missing");
    raw_sql("INSERT INTO audit SELECT * FROM saved WHERE seq <= 7");
    /* Also if the head is made to fit: its seal is the secret's. */
    raw_sql("UPDATE audit_head SET seq = 7, hash = (SELECT hash FROM audit WHERE seq = 7)");
    found_it("the head of the log in the database was changed");
    raw_sql("DELETE FROM audit_head");
    found_it("the head of the log in the database was changed");
    raw_sql("DELETE FROM audit");
    found_it("rows 1 to 9 were there and are missing"); /* the file knows */
    assert_non_null(strstr(found, "audit.jsonl:1 row 1: the database does not have this row"));
}

static void an_older_database_is_found(void **state)
{
    (void)state;
    char cmd[256];
    make_log(3);
    raw_sql("PRAGMA wal_checkpoint(TRUNCATE)");
    snprintf(cmd, sizeof cmd, "cp -p %s/drover.db %s/saved.db", dir, dir);
    assert_int_equal(system(cmd), 0);
    make_log(3);
    sound();
    snprintf(cmd, sizeof cmd, "rm %s/drover.db-*; mv %s/saved.db %s/drover.db", dir, dir, dir);
    assert_int_equal(system(cmd), 0);
    found_it("rows 4 to 6 were there and are missing");
    /* A server that starts on it goes on, and the log says for ever what was seen. */
    make_log(1);
    found_it("row 4: the row says: rows 4 to 6 were there and are missing");
    assert_int_equal(report.head.seq, 5);
    make_log(1);
    found_it("row 4: the row says: ");
    unlink(in_dir("audit.head"));
    found_it("audit.head is missing");
    write_all("audit.head", "nonsense", 8);
    chmod(in_dir("audit.head"), 0600);
    found_it("audit.head is damaged");
}

static void a_noted_head_must_still_be_there(void **state)
{
    (void)state;
    make_log(3);
    sound();
    dv_audit_head known = report.head;
    assert_int_equal(known.seq, 3);
    assert_int_equal(known.first, 1);
    make_log(3);
    dv_store *s = open_store();
    assert_int_equal(verify_with(s, &known), 0);
    known.hash[5] ^= 1;
    assert_int_equal(verify_with(s, &known), 1);
    known.seq = 77;
    assert_int_equal(verify_with(s, &known), 1);
    dv_store_close(&s);
}

/* ---- the file of lines ---- */

static void changed_lines_are_found(void **state)
{
    (void)state;
    make_log(5);
    size_t n;
    char *good = read_all("audit.jsonl", &n), *bad = malloc(n + 100);
    memcpy(bad, good, n);
    char *at = strstr(bad, "action 3");
    at[7] = '4';
    write_all("audit.jsonl", bad, n);
    found_it("audit.jsonl:3 row 3: the line was changed");
    /* Without its third line; with two exchanged; with rubbish. */
    char *line[6] = {good};
    for (int i = 1; i < 6; i++)
        line[i] = strchr(line[i - 1], '\n') + 1;
    size_t k = (size_t)(line[2] - line[0]);
    memcpy(bad, good, k);
    memcpy(bad + k, line[3], n - (size_t)(line[3] - good));
    write_all("audit.jsonl", bad, n - (size_t)(line[3] - line[2]));
    found_it("audit.jsonl:3 row 4: row 4 follows row 2");
    memcpy(bad + k, line[3], (size_t)(line[4] - line[3]));
    memcpy(bad + k + (line[4] - line[3]), line[2], (size_t)(line[3] - line[2]));
    memcpy(bad + (line[4] - good), line[4], (size_t)(line[5] - line[4]));
    write_all("audit.jsonl", bad, n);
    found_it("audit.jsonl:3 row 4: row 4 follows row 2");
    memcpy(bad, good, n);
    memcpy(bad, "rubbish", 7);
    write_all("audit.jsonl", bad, n);
    found_it("audit.jsonl:1 row 0: the line is not a row of the log");
    write_all("audit.jsonl", good, n);
    sound();
    free(good);
    free(bad);
}

static void a_line_without_end_is_no_line(void **state)
{
    (void)state;
    make_log(2);
    FILE *f = fopen(in_dir("audit.jsonl"), "ab");
    assert_non_null(f);
    for (int i = 0; i < 300000; i++)
        fputc('x', f);
    fputc('\n', f);
    fclose(f);
    found_it("audit.jsonl:3 row 0: the line is not a row of the log: it has more than");
}

static void what_the_file_lacks_is_written_later(void **state)
{
    (void)state;
    make_log(5);
    size_t n;
    char *good = read_all("audit.jsonl", &n);
    for (size_t cut = 0; cut < n; cut += 97) { /* as a crash leaves it, at every so many bytes */
        write_all("audit.jsonl", good, cut);
        sound();
        assert_true(report.behind > 0);
        dv_store *s = open_as(true);
        dv_store_close(&s);
        size_t m;
        char *now = read_all("audit.jsonl", &m);
        assert_int_equal(m, n);
        assert_memory_equal(now, good, n);
        free(now);
    }
    /* Zeros at the end, which some file systems leave after a power failure. */
    char *zeros = calloc(1, n + 500);
    memcpy(zeros, good, n);
    write_all("audit.jsonl", zeros, n + 500);
    make_log(1);
    sound();
    unlink(in_dir("audit.jsonl"));
    make_log(1);
    sound();
    assert_int_equal(report.lines, 7);
    free(zeros);
    free(good);
}

static void a_file_of_another_log_is_set_aside(void **state)
{
    (void)state;
    make_log(3);
    size_t n;
    char *text = read_all("audit.jsonl", &n);
    char *at = strstr(text, "action 3");
    at[0] = 'X';
    write_all("audit.jsonl", text, n);
    make_log(1);
    sound();
    assert_int_equal(report.lines, 4);
    char cmd[256];
    snprintf(cmd, sizeof cmd, "grep -q 'Xction 3' %s/audit.other-*.jsonl", dir);
    assert_int_equal(system(cmd), 0);
    free(text);
}

static void full_files_are_renamed(void **state)
{
    (void)state;
    dv_store_options o = test_options();
    dv_store *s;
    o.server = true;
    o.tuning.audit_file_bytes = 2000;
    for (int round = 0; round < 4; round++) {
        OK(dv_store_open(&s, &o, &err));
        for (int i = 0; i < 7; i++) {
            add(s, "rotate");
            OK(dv_audit_flush(s, 10000, &err));
        }
        dv_store_close(&s);
    }
    dv__lines_file *v;
    size_t n;
    s = open_store();
    OK(dv__lines_files(&s->folder, &v, &n, &err));
    dv_store_close(&s);
    assert_true(n >= 4);
    for (size_t i = 0; i + 1 < n; i++)
        assert_int_equal(v[i].first, i == 0 ? 1 : v[i - 1].last + 1);
    assert_string_equal(v[n - 1].name, "audit.jsonl");
    sound();
    assert_int_equal(report.lines, 28);
    /* Without one of them. */
    unlink(in_dir(v[1].name));
    found_it("audit-");

    dv_free(v);
}

static void old_rows_go_and_the_rest_is_still_a_chain(void **state)
{
    (void)state;
    uint64_t start = UINT64_C(1700000000000), day = 86400000;
    dv_store_options o = test_options();
    dv_store *s;
    o.server = true;
    o.tuning.audit_days = 10;
    o.tuning.audit_file_bytes = 3000;
    for (int d = 0; d < 20; d++) {
        atomic_store(&fake_ms, start + (uint64_t)d * day);
        OK(dv_store_open(&s, &o, &err));
        for (int i = 0; i < 5; i++)
            add(s, "daily");
        OK(dv_audit_flush(s, 10000, &err));
        dv_store_close(&s);
    }
    atomic_store(&fake_ms, start + 20 * day);
    OK(dv_store_open(&s, &o, &err));
    dv__audit_prune(s);
    dv__audit_prune(s); /* nothing more */
    dv_store_close(&s);
    sound();
    assert_int_equal(report.head.first, 51);
    assert_int_equal(report.head.seq, 101);
    assert_int_equal(
        raw_int("SELECT count(*) FROM audit WHERE action = 'audit.prune' AND detail = 'removed rows 1 to 50'"), 1);
    raw_sql("DELETE FROM audit WHERE seq < 60"); /* more than was removed for its age */
    found_it("rows 51 to 59 are missing");
}

static void a_clock_that_jumps_removes_nothing(void **state)
{
    (void)state;
    uint64_t start = UINT64_C(1700000000000);
    atomic_store(&fake_ms, start);
    dv_store *s = open_as(true);
    add(s, "before");
    OK(dv_audit_flush(s, 10000, &err));
    atomic_store(&fake_ms, start * 2); /* fifty years later, in no time */
    add(s, "after");
    OK(dv_audit_flush(s, 10000, &err));
    dv__audit_prune(s);
    atomic_store(&fake_ms, 1000); /* and 1970 */
    add(s, "back");
    OK(dv_audit_flush(s, 10000, &err));
    dv__audit_prune(s);
    dv_store_close(&s);
    sound();
    assert_int_equal(report.head.first, 1);
    assert_int_equal(report.head.seq, 3);
    /* The order is that of events, whatever the clock said; the monotonic one tells how far they are apart. */
    assert_int_equal(
        raw_int("SELECT group_concat(action, ' ') = 'before after back' FROM (SELECT action FROM audit ORDER BY seq)"),
        1);
    assert_int_equal(raw_int("SELECT max(mono_ns) - min(mono_ns) < 60000000000 FROM audit"), 1);
}

/* ---- reading ---- */

typedef struct seen {
    uint64_t seq[64];
    size_t n, stop;
} seen;

static bool collect(void *arg, const dv_audit_row *r)
{
    seen *v = arg;
    assert_true(v->n < 64);
    v->seq[v->n++] = r->seq;
    return v->n != v->stop;
}

static void rows_are_found_by_what_they_are(void **state)
{
    (void)state;
    atomic_store(&fake_ms, 5000);
    dv_store *s = open_store();
    for (int i = 1; i <= 9; i++) {
        dv_audit_entry e = entry(i % 3 == 0 ? "third" : "other");
        e.who.id = i % 2 == 0 ? "even" : "x' OR '1'='1";
        atomic_store(&fake_ms, (uint64_t)i * 1000);
        OK(dv_audit_log(s, &e, NULL, NULL, &err));
    }
    static const struct {
        dv_audit_filter f;
        uint64_t first, last;
        size_t n;
    } cases[] = {
        {{0}, 1, 9, 9},
        {{.limit = 2}, 8, 9, 2},
        {{.limit = 2, .oldest = true}, 1, 2, 2},
        {{.limit = 3, .oldest = true, .after_seq = 2, .action = "other"}, 4, 7, 3},
        {{.after_seq = 4}, 5, 9, 5},
        {{.after_seq = UINT64_MAX}, 0, 0, 0},
        {{.since_ms = 3000, .until_ms = 5000}, 3, 4, 2},
        {{.action = "third"}, 3, 9, 3},
        {{.id = "even", .action = "third"}, 6, 6, 1},
        {{.id = "x' OR '1'='1"}, 1, 9, 5},
        {{.id = "' OR 1=1 --"}, 0, 0, 0},
        {{.since_ms = UINT64_MAX}, 0, 0, 0},
    };
    for (size_t i = 0; i < DV_ARRAY_LEN(cases); i++) {
        seen v = {.n = 0};
        OK(dv_audit_query(s, &cases[i].f, collect, &v, &err));
        assert_int_equal(v.n, cases[i].n);
        if (v.n > 0) {
            assert_int_equal(v.seq[0], cases[i].first);
            assert_int_equal(v.seq[v.n - 1], cases[i].last);
        }
    }
    seen v = {.stop = 3};
    OK(dv_audit_query(s, &(dv_audit_filter){0}, collect, &v, &err));
    assert_int_equal(v.n, 3);
    dv_store_close(&s);
}

/* ---- out of memory, out of space in the queue ---- */

static void the_queue_has_a_bound(void **state)
{
    (void)state;
    dv_store *s = open_as(true);
    sqlite3 *h;
    dv_store_health health;
    assert_int_equal(sqlite3_open(in_dir("drover.db"), &h), SQLITE_OK);
    assert_int_equal(sqlite3_exec(h, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK); /* nobody else writes now */
    atomic_store(&done_ok, 0);
    atomic_store(&done_bad, 0);
    int queued = 0, refused = 0;
    for (int i = 0; i < 70000; i++) {
        dv_audit_entry e = entry("many");
        err = (dv_err){0};
        int rc = dv_audit_log(s, &e, count_done, &done_ok, &err);
        assert_true(rc == 0 || rc == DV_EBUSY);
        queued += rc == 0;
        refused += rc != 0;
    }
    assert_true(queued >= 60000 && refused > 0);
    dv_store_health_get(s, &health);
    assert_true(health.audit_queue >= 60000);
    assert_int_equal(health.audit_lost, refused);
    assert_int_equal(dv_audit_state(s), DV_EBUSY);
    FAILS(DV_EBUSY, dv_audit_flush(s, 20, &err));
    sqlite3_close(h);
    OK(dv_audit_flush(s, 30000, &err));
    assert_int_equal(atomic_load(&done_ok), queued);
    assert_int_equal(atomic_load(&done_bad), 0);
    assert_int_equal(dv_audit_state(s), 0);
    for (int i = 0; i < 300 && raw_int("SELECT count(*) FROM audit WHERE action = 'audit.lost'") == 0; i++)
        usleep(10000);
    dv_store_close(&s);
    sound();
    assert_int_equal(report.rows, queued + 1);
    char lost[128];
    snprintf(lost, sizeof lost, "SELECT count(*) FROM audit WHERE action = 'audit.lost' AND detail LIKE '%d rows %%'",
             refused);
    assert_int_equal(raw_int(lost), 1);
}

static int log_one(dv_store *s, dv_err *e)
{
    const dv_audit_entry memory = entry("memory");
    return dv_audit_log(s, &memory, NULL, NULL, e);
}

static int verify_all(dv_store *s, dv_err *e) { return dv_audit_verify(s, NULL, NULL, NULL, &report, e); }

/* How often it failed before it did not, with one more allocation each time. */
static int starve(dv_store *s, int (*f)(dv_store *s, dv_err *e))
{
    int failures = 0;
    for (uint64_t n = 1; n < 5000; n++) {
        dv_err e = {0};
        dv_mem_fail_after(n);
        int rc = f(s, &e);
        dv_mem_fail_after(0);
        if (rc == 0)
            return failures;
        if (rc != DV_ENOMEM)
            fail_msg("allocation %d: %s (%s)", (int)n, e.msg, dv_error_name(rc));
        failures++;
    }
    fail_msg("it never works");
    return 0;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    make_log(4);
    dv_store *s = open_store();
    assert_true(starve(s, log_one) > 5);
    dv_store_close(&s);
    s = open_store();
    assert_true(starve(s, verify_all) > 5);
    dv_store_close(&s);
    make_log(1);
    sound();
    assert_int_equal(report.rows, 6);
}

static void lines_are_parsed_strictly(void **state)
{
    (void)state;
    make_log(1);
    size_t n;
    char *good = read_all("audit.jsonl", &n), *bad = malloc(n + 1);
    dv__line line;
    n--;
    assert_true(dv__line_parse(&line, good, n));
    assert_true(line.intact);
    assert_int_equal(line.seq, 1);
    for (size_t i = 0; i < n; i++) {
        assert_false(dv__line_parse(&line, good, i));
        memcpy(bad, good, n);
        bad[i] ^= 1;
        assert_false(dv__line_parse(&line, bad, n) && line.intact);
    }
    free(good);
    free(bad);
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, new_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(a_row_has_what_was_said),
        IN_DIR(prompts_only_if_they_are_wanted),
        IN_DIR(a_line_is_its_own_proof),
        IN_DIR(text_stays_text),
        IN_DIR(long_text_is_cut_at_a_character),
        IN_DIR(rows_of_threads_and_processes_are_one_chain),
        IN_DIR(rows_of_a_command_get_into_the_file_of_an_idle_server),
        IN_DIR(an_empty_log_is_sound),
        IN_DIR(changed_rows_are_found),
        IN_DIR(a_row_made_to_fit_itself_does_not_fit_the_next),
        IN_DIR(removed_moved_and_added_rows_are_found),
        IN_DIR(a_log_that_was_cut_off_is_found),
        IN_DIR(an_older_database_is_found),
        IN_DIR(a_noted_head_must_still_be_there),
        IN_DIR(changed_lines_are_found),
        IN_DIR(a_line_without_end_is_no_line),
        IN_DIR(what_the_file_lacks_is_written_later),
        IN_DIR(a_file_of_another_log_is_set_aside),
        IN_DIR(full_files_are_renamed),
        IN_DIR(old_rows_go_and_the_rest_is_still_a_chain),
        IN_DIR(a_clock_that_jumps_removes_nothing),
        IN_DIR(rows_are_found_by_what_they_are),
        IN_DIR(the_queue_has_a_bound),
        IN_DIR(every_allocation_may_fail),
        IN_DIR(lines_are_parsed_strictly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
