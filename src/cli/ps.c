/* SPDX-License-Identifier: MIT */
/* drover ps: the models that a running service has loaded, and what they take. */
#include "base/clock.h"
#include "cli/ask.h"
#include "cli/config_args.h"
#include "cli/format.h"
#include "cli/table.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

typedef struct values {
    dv_ask_opts ask;
} values;

static const dv_opt opts[] = {DV_OPT_ROWS_ASK(values, ask)};

/* When an idle model leaves. */
static const char *until(char buf[64], const json_t *i)
{
    char span[DV_FORMAT_SPAN_LEN];
    uint64_t at = dv_ask_number(i, "expires_ms"), now = dv_clock_wall_ms();
    const char *state = dv_ask_text(i, "state");
    if (state == NULL || strcmp(state, "ready") != 0)
        return "";
    if (at == 0)
        return "for ever";
    snprintf(buf, 64, "in %s", dv_format_span(span, at > now ? (at - now) / 1000 : 0));
    return buf;
}

static const char *bytes_of(char buf[DV_FORMAT_BYTES_LEN], const json_t *i, const char *name)
{
    uint64_t n = dv_ask_number(i, name);
    return n > 0 ? dv_format_bytes(buf, n) : "";
}

static void put_row(dv_table *t, const json_t *i)
{
    char text[64], bytes[DV_FORMAT_BYTES_LEN];
    dv_table_cell(t, dv_ask_text(i, "model"));
    dv_table_cell(t, dv_ask_text(i, "profile"));
    dv_table_cell(t, dv_ask_text(i, "backend"));
    dv_table_cell(t, dv_ask_text(i, "state"));
    dv_table_cell(t, bytes_of(bytes, i, "memory_estimate"));
    dv_table_cell(t, bytes_of(bytes, i, "memory_resident"));
    snprintf(text, sizeof text, "%" PRIu64 "/%" PRIu64, dv_ask_number(i, "running"), dv_ask_number(i, "places"));
    dv_table_cell(t, text);
    snprintf(text, sizeof text, "%" PRIu64, dv_ask_number(i, "waiting"));
    dv_table_cell(t, text);
    dv_table_cell(t, until(text, i));
    snprintf(text, sizeof text, "%" PRIu64, dv_ask_number(i, "pid"));
    dv_table_cell(t, dv_ask_number(i, "pid") > 0 ? text : "");
}

static void put_error(dv_buf *b, const json_t *i)
{
    const char *name = dv_ask_text(i, "model"), *error = dv_ask_text(i, "last_error");
    if (name == NULL || error == NULL)
        return;
    dv_buf_escaped(b, name, strlen(name));
    dv_buf_adds(b, ": ");
    dv_buf_escaped(b, error, strlen(error));
    dv_buf_addc(b, '\n');
}

static int print(const dv_cmd *cmd, const json_t *reply, const json_t *instances)
{
    static const char *const titles[] = {"MODEL",     "PROFILE",  "BACKEND",  "STATE",    ">NEEDS",
                                         ">RESIDENT", ">RUNNING", ">WAITING", "UNLOADED", ">PID"};
    char used[DV_FORMAT_BYTES_LEN], budget[DV_FORMAT_BYTES_LEN];
    dv_table t;
    dv_buf b;
    size_t k;
    const json_t *i;
    dv_table_init(&t, titles, DV_ARRAY_LEN(titles));
    dv_buf_init(&b, 0);
    json_array_foreach(instances, k, i) put_row(&t, i);
    dv_table_write(&b, &t);
    json_array_foreach(instances, k, i) put_error(&b, i);
    dv_buf_printf(&b, "memory for models: %s of %s\n", dv_format_bytes(used, dv_ask_number(reply, "used")),
                  dv_format_bytes(budget, dv_ask_number(reply, "budget")));
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
    const json_t *instances;
    dv_err err = {0};
    if (!dv_ask_parse(cmd, argc, argv, &v, sizeof v, &v.ask, &a, &n_args, &code))
        return code;
    int rc = dv_ask_send(&a, "/api/instances", NULL, DV_ASK_SHORT_S, &reply, &err);
    rc = rc != 0 ? rc : dv_ask_array(reply, "instances", &instances, &err);
    if (rc != 0)
        code = dv_cmd_fail_err(cmd, &err);
    else
        code = v.ask.json ? dv_ask_print_json(cmd, reply) : print(cmd, reply, instances);
    json_decref(reply);
    dv_ask_close(&a);
    return code;
}

const dv_cmd dv_cmd_ps = {
    .name = "ps",
    .args = "",
    .summary = "List what the running service has loaded, and the memory it takes",
    .details =
        "NEEDS is the estimate that residency counts with, RESIDENT what the process has in memory now, weights included.",
    .opts = opts,
    .n_opts = DV_ARRAY_LEN(opts),
    .run = run,
};
