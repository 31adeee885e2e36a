/* SPDX-License-Identifier: MIT */
/* drover audit: what was done with the service. */
#include "store/audit.h"

#include "base/err.h"
#include "base/word.h"
#include "cli/config_args.h"
#include "cli/data.h"
#include "cli/group.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

/* ---- which rows ---- */

typedef struct values {
    const char *dir, *since, *until, *id, *action, *head;
    uint64_t limit;
    bool json;
} values;

/* clang-format off */
#define FILTER_ROWS \
    {.name = "since", .type = DV_OPT_STRING, .value = "TIME", .offset = offsetof(values, since), .help = "From this time on: '2h' ago, '2027-01-31' or '2027-01-31T12:00' (UTC)"}, \
    {.name = "until", .type = DV_OPT_STRING, .value = "TIME", .offset = offsetof(values, until), .help = "Before this time"}, \
    {.name = "id", .type = DV_OPT_STRING, .value = "NAME", .offset = offsetof(values, id), .help = "Only of this key, user or address"}, \
    {.name = "action", .type = DV_OPT_STRING, .value = "ACTION", .offset = offsetof(values, action), .help = "Only this, such as 'key.create'"}

static const dv_opt show_opts[] = {
    FILTER_ROWS,
    {.name = "limit", .short_name = 'n', .type = DV_OPT_UINT, .value = "N", .offset = offsetof(values, limit), .min = 1, .max = 100000, .def = "50", .help = "The newest so many"},
    {.name = "json", .type = DV_OPT_FLAG, .offset = offsetof(values, json), .help = "Whole rows, each a line of JSON"},
    DV_OPT_ROW_DATA_DIR(values, dir),
};
static const dv_opt export_opts[] = {
    FILTER_ROWS,
    DV_OPT_ROW_DATA_DIR(values, dir),
};
static const dv_opt verify_opts[] = {
    {.name = "head", .type = DV_OPT_STRING, .value = "ROW:HASH", .offset = offsetof(values, head), .help = "A head that was noted before: the log must still have it"},
    {.name = "json", .type = DV_OPT_FLAG, .offset = offsetof(values, json), .help = "One JSON object"},
    DV_OPT_ROW_DATA_DIR(values, dir),
};
/* clang-format on */

static bool get_filter(const dv_cmd *cmd, const values *v, dv_audit_filter *f, int *code)
{
    *f = (dv_audit_filter){.id = v->id, .action = v->action, .limit = (uint32_t)v->limit};
    if (v->since != NULL && !dv_data_time_parse(v->since, -1, &f->since_ms)) {
        *code = dv_cmd_usage(cmd, "--since must be a time such as 2h or 2027-01-31, not '%s'", v->since);
        return false;
    }
    if (v->until != NULL && !dv_data_time_parse(v->until, -1, &f->until_ms)) {
        *code = dv_cmd_usage(cmd, "--until must be a time such as 2h or 2027-01-31, not '%s'", v->until);
        return false;
    }
    return true;
}

/* ---- printing ---- */

typedef struct printer {
    dv_buf line;
    bool json;
    uint64_t n, last;
} printer;

static void put(dv_buf *b, const char *before, const char *text)
{
    if (text[0] == 0)
        return;
    dv_buf_adds(b, before);
    dv_buf_escaped(b, text, strlen(text));
}

static void put_row(dv_buf *b, const dv_audit_row *r)
{
    char time[DV_DATA_TIME_LEN];
    const dv_audit_entry *e = &r->entry;
    dv_buf_printf(b, "%7" PRIu64 "  %s  %s", r->seq, dv_data_time(time, r->wall_ms), dv_audit_kind_name(e->who.kind));
    put(b, " ", e->who.id);
    if (strcmp(e->who.id, e->who.address) != 0)
        put(b, " from ", e->who.address);
    put(b, "  ", e->action);
    dv_buf_printf(b, "  %s", dv_audit_outcome_name(e->outcome));
    if (e->status != 0)
        dv_buf_printf(b, " %d", e->status);
    put(b, "  model ", e->model);
    if (e->tokens_in != 0 || e->tokens_out != 0)
        dv_buf_printf(b, "  %" PRIu64 "+%" PRIu64 " tokens", e->tokens_in, e->tokens_out);
    put(b, "  ", e->detail);
}

static bool print_row(void *arg, const dv_audit_row *r)
{
    printer *p = arg;
    dv_buf_clear(&p->line);
    if (p->json)
        dv_audit_row_json(&p->line, r);
    else
        put_row(&p->line, r);
    if (dv_buf_addc(&p->line, '\n') != 0)
        return false;
    fwrite(p->line.data, 1, p->line.len, stdout);
    p->n++;
    p->last = r->seq;
    return ferror(stdout) == 0;
}

/* ---- show, export ---- */

enum { PAGE = 1000 };

/* Page by page, so that a long log neither takes memory nor holds up others. */
static int query_all(dv_store *s, dv_audit_filter *f, printer *p, dv_err *err)
{
    uint64_t before;
    f->oldest = true;
    f->limit = PAGE;
    do {
        before = p->n;
        int rc = dv_audit_query(s, f, print_row, p, err);
        if (rc != 0)
            return rc;
        f->after_seq = p->last;
    } while (p->n - before == PAGE && ferror(stdout) == 0);
    return 0;
}

static int print(const dv_cmd *cmd, int argc, char **argv, bool all)
{
    values v;
    size_t n_args;
    int code;
    dv_audit_filter f;
    if (!dv_data_parse(cmd, argc, argv, &v, sizeof v, &v.dir, &n_args, &code) || !get_filter(cmd, &v, &f, &code))
        return code;
    printer p = {.json = all || v.json};
    dv_err err = {0};
    dv_store *s = NULL;
    dv_buf_init(&p.line, 0);
    int rc = dv_data_open(cmd, v.dir, false, &s, &err);
    if (rc == 0)
        rc = all ? query_all(s, &f, &p, &err) : dv_audit_query(s, &f, print_row, &p, &err);
    if (rc == 0 && p.line.code != 0)
        rc = dv_fail(&err, p.line.code, "%s", dv_error_text(p.line.code));
    code = rc != 0 ? dv_cmd_fail_err(cmd, &err) : DV_EXIT_OK;
    dv_buf_fini(&p.line);
    dv_store_close(&s);
    return code;
}

static int show(const dv_cmd *cmd, int argc, char **argv) { return print(cmd, argc, argv, false); }
static int export(const dv_cmd *cmd, int argc, char **argv) { return print(cmd, argc, argv, true); }

static const dv_cmd cmd_show = {
    .name = "audit show",
    .args = "",
    .summary = "Show the newest rows",
    .details = "Rows are numbered in the order of events; times are what the clock said then.",
    .opts = show_opts,
    .n_opts = DV_ARRAY_LEN(show_opts),
    .run = show,
};

static const dv_cmd cmd_export = {
    .name = "audit export",
    .args = "",
    .summary = "Print all rows as lines of JSON",
    .details = "Each line has its own hash and that of the line before, as in audit.jsonl.",
    .opts = export_opts,
    .n_opts = DV_ARRAY_LEN(export_opts),
    .run = export,
};

/* ---- verify ---- */

typedef struct findings {
    dv_buf text;
    bool json;
    uint64_t n;
} findings;

enum { FINDINGS_MAX = 1000 };

static void note(void *arg, const dv_audit_problem *p)
{
    findings *f = arg;
    if (f->n++ >= FINDINGS_MAX)
        return;
    if (f->json) {
        dv_buf_printf(&f->text, "%s{\"row\":%" PRIu64, f->n > 1 ? "," : "", p->seq);
        if (p->file != NULL)
            dv_buf_printf(&f->text, ",\"file\":\"%s\",\"line\":%" PRIu64, p->file, p->line);
        dv_buf_adds(&f->text, ",\"problem\":");
        dv_buf_json_str(&f->text, p->text, strlen(p->text));
        dv_buf_addc(&f->text, '}');
        return;
    }
    if (p->file != NULL)
        dv_buf_printf(&f->text, "%s line %" PRIu64 ": ", p->file, p->line);
    else if (p->seq != 0)
        dv_buf_printf(&f->text, "row %" PRIu64 ": ", p->seq);
    dv_buf_printf(&f->text, "%s\n", p->text);
}

static bool parse_head(const char *text, dv_audit_head *out)
{
    char digits[24];
    size_t got = 0;
    const char *colon = strchr(text, ':');
    *out = (dv_audit_head){0};
    if (colon == NULL || (size_t)(colon - text) >= sizeof digits || strlen(colon + 1) != 2 * sizeof out->hash)
        return false;
    snprintf(digits, sizeof digits, "%.*s", (int)(colon - text), text);
    return dv_word_u64(digits, &out->seq) && out->seq > 0 && out->seq <= INT64_MAX &&
           sodium_hex2bin(out->hash, sizeof out->hash, colon + 1, 2 * sizeof out->hash, NULL, &got, NULL) == 0 &&
           got == sizeof out->hash;
}

static void put_report(dv_buf *b, const dv_audit_report *r, findings *f)
{
    char hash[65];
    sodium_bin2hex(hash, sizeof hash, r->head.hash, sizeof r->head.hash);
    if (f->json) {
        dv_buf_printf(b, "{\"rows\":%" PRIu64 ",\"lines\":%" PRIu64 ",\"behind\":%" PRIu64 ",\"first\":%" PRIu64,
                      r->rows, r->lines, r->behind, r->head.first);
        dv_buf_printf(b, ",\"head\":\"%" PRIu64 ":%s\",\"problems\":%" PRIu64 ",\"found\":[", r->head.seq, hash,
                      r->problems);
        dv_buf_add(b, f->text.data, f->text.len);
        dv_buf_adds(b, "]}\n");
        return;
    }
    dv_buf_add(b, f->text.data, f->text.len);
    if (f->n > FINDINGS_MAX)
        dv_buf_printf(b, "and %" PRIu64 " more\n", f->n - FINDINGS_MAX);
    dv_buf_printf(b, "rows   %" PRIu64, r->rows);
    if (r->head.first > 1)
        dv_buf_printf(b, ", from row %" PRIu64 " on", r->head.first);
    dv_buf_printf(b, "\nlines  %" PRIu64, r->lines);
    if (r->behind > 0)
        dv_buf_printf(b, ", %" PRIu64 " are not written yet", r->behind);
    dv_buf_printf(b, "\nhead   %" PRIu64 ":%s\n", r->head.seq, hash);
    if (r->problems == 0)
        dv_buf_adds(b, "The log is whole.\n");
}

static int print_report(const dv_cmd *cmd, const dv_audit_report *r, findings *f)
{
    dv_buf b;
    dv_buf_init(&b, 0);
    put_report(&b, r, f);
    if (f->text.code != 0 && b.code == 0)
        b.code = f->text.code;
    int code = dv_config_print(cmd, &b);
    if (code != DV_EXIT_OK || r->problems == 0)
        return code;
    return dv_cmd_fail(cmd, "%" PRIu64 " problem%s", r->problems, r->problems > 1 ? "s" : "");
}

static int verify(const dv_cmd *cmd, int argc, char **argv)
{
    values v;
    size_t n_args;
    int code;
    dv_audit_head known;
    if (!dv_data_parse(cmd, argc, argv, &v, sizeof v, &v.dir, &n_args, &code))
        return code;
    if (v.head != NULL && !parse_head(v.head, &known))
        return dv_cmd_usage(cmd, "--head must be ROW:HASH as this command prints it, not '%s'", v.head);
    findings f = {.json = v.json};
    dv_audit_report report;
    dv_err err = {0};
    dv_store *s = NULL;
    dv_buf_init(&f.text, 0);
    int rc = dv_data_open(cmd, v.dir, false, &s, &err);
    rc = rc != 0 ? rc : dv_audit_verify(s, v.head != NULL ? &known : NULL, note, &f, &report, &err);
    code = rc != 0 ? dv_cmd_fail_err(cmd, &err) : print_report(cmd, &report, &f);
    dv_buf_fini(&f.text);
    dv_store_close(&s);
    return code;
}

static const dv_cmd cmd_verify = {
    .name = "audit verify",
    .args = "",
    .summary = "Check that the log is what was written",
    .details =
        "Every row, every line of audit*.jsonl and both records of where the log ends are checked, in this order: the first\n"
        "problem is the first row that is not as it was. Who can write to the data folder and read its secret can make a\n"
        "log that is whole: note the head somewhere else from time to time. The exit status is 1 if there is a problem.",
    .opts = verify_opts,
    .n_opts = DV_ARRAY_LEN(verify_opts),
    .run = verify,
};

/* ---- drover audit ---- */

static int run(const dv_cmd *cmd, int argc, char **argv)
{
    static const dv_cmd *const list[] = {&cmd_show, &cmd_verify, &cmd_export};
    return dv_group_run(cmd, list, DV_ARRAY_LEN(list), argc, argv);
}

const dv_cmd dv_cmd_audit = {
    .name = "audit", .args = "COMMAND", .summary = "Show and check the service's audit log", .run = run};
