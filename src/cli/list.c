/* SPDX-License-Identifier: MIT */
/* drover list: the models that a running service has. */
#include "base/clock.h"
#include "cli/ask.h"
#include "cli/config_args.h"
#include "cli/format.h"
#include "cli/table.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

typedef struct values {
    dv_ask_opts ask;
} values;

static const dv_opt opts[] = {DV_OPT_ROWS_ASK(values, ask)};

/* "3 days ago"; "" for a model that is no file. */
static const char *ago(char buf[64], uint64_t seconds)
{
    char span[DV_FORMAT_SPAN_LEN];
    uint64_t now = dv_clock_wall_ms() / 1000;
    if (seconds == 0)
        return "";
    snprintf(buf, 64, "%s ago", dv_format_span(span, now > seconds ? now - seconds : 0));
    return buf;
}

static void put_row(dv_table *t, const json_t *m)
{
    char bytes[DV_FORMAT_BYTES_LEN], count[DV_FORMAT_COUNT_LEN], when[64];
    uint64_t size = dv_ask_number(m, "size"), parameters = dv_ask_number(m, "parameters");
    dv_table_cell(t, dv_ask_text(m, "name"));
    dv_table_cell(t, dv_ask_text(m, "state"));
    dv_table_cell(t, size > 0 ? dv_format_bytes(bytes, size) : "");
    dv_table_cell(t, parameters > 0 ? dv_format_count(count, parameters) : "");
    dv_table_cell(t, dv_ask_text(m, "quantization"));
    dv_table_cell(t, dv_ask_text(m, "backend"));
    dv_table_cell(t, dv_ask_text(m, "profile"));
    dv_table_cell(t, ago(when, dv_ask_number(m, "modified")));
    dv_table_cell(t, json_is_true(json_object_get(m, "default"))  ? "default"
                     : json_is_true(json_object_get(m, "pinned")) ? "pinned"
                                                                  : "");
}

/* What keeps a model from being used does not fit into a row. */
static void put_problem(dv_buf *b, const json_t *m)
{
    const char *name = dv_ask_text(m, "name"), *problem = dv_ask_text(m, "problem");
    if (name == NULL || problem == NULL)
        return;
    dv_buf_escaped(b, name, strlen(name));
    dv_buf_adds(b, ": ");
    dv_buf_escaped(b, problem, strlen(problem));
    dv_buf_addc(b, '\n');
}

static int print(const dv_cmd *cmd, const json_t *models)
{
    static const char *const titles[] = {"NAME",    "STATE",    ">SIZE", ">PARAMETERS", "TYPE", "BACKEND",
                                         "PROFILE", "MODIFIED", ""};
    dv_table t;
    dv_buf b;
    size_t i;
    const json_t *m;
    dv_table_init(&t, titles, DV_ARRAY_LEN(titles));
    dv_buf_init(&b, 0);
    json_array_foreach(models, i, m) put_row(&t, m);
    dv_table_write(&b, &t);
    json_array_foreach(models, i, m) put_problem(&b, m);
    if (json_array_size(models) == 0)
        fprintf(stderr,
                "drover %s: there is no model: put GGUF files into the models folder, or name them in drover.yaml\n",
                cmd->name);
    dv_table_fini(&t);
    return dv_config_print(cmd, &b);
}

static int run(const dv_cmd *cmd, int argc, char **argv)
{
    values v;
    dv_ask a;
    size_t n_args;
    int code;
    json_t *reply = NULL;
    const json_t *models;
    dv_err err = {0};
    if (!dv_ask_parse(cmd, argc, argv, &v, sizeof v, &v.ask, &a, &n_args, &code))
        return code;
    int rc = dv_ask_send(&a, "/api/models", NULL, DV_ASK_SHORT_S, &reply, &err);
    rc = rc != 0 ? rc : dv_ask_array(reply, "models", &models, &err);
    if (rc != 0)
        code = dv_cmd_fail_err(cmd, &err);
    else
        code = v.ask.json ? dv_ask_print_json(cmd, reply) : print(cmd, models);
    json_decref(reply);
    dv_ask_close(&a);
    return code;
}

const dv_cmd dv_cmd_list = {
    .name = "list",
    .args = "",
    .summary = "List the models of the running service",
    .opts = opts,
    .n_opts = DV_ARRAY_LEN(opts),
    .run = run,
};
