/* SPDX-License-Identifier: MIT */
/* drover show: what a running service knows of a model. */
#include "cli/ask.h"
#include "cli/config_args.h"
#include "cli/data.h"
#include "cli/format.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

typedef struct values {
    dv_ask_opts ask;
} values;

static const dv_opt opts[] = {DV_OPT_ROWS_ASK(values, ask)};

static void put(dv_buf *b, const char *what, const char *text)
{
    if (text == NULL || text[0] == 0)
        return;
    dv_buf_printf(b, "%-14s ", what);
    dv_buf_escaped(b, text, strlen(text));
    dv_buf_addc(b, '\n');
}

static void put_bytes(dv_buf *b, const char *what, uint64_t n)
{
    char text[DV_FORMAT_BYTES_LEN];
    put(b, what, n > 0 ? dv_format_bytes(text, n) : "");
}

static void put_number(dv_buf *b, const char *what, uint64_t n)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, n);
    put(b, what, n > 0 ? text : "");
}

static void put_aliases(dv_buf *b, const json_t *m)
{
    dv_buf names;
    size_t i;
    const json_t *v;
    dv_buf_init(&names, 0);
    json_array_foreach(json_object_get(m, "aliases"), i, v)
        dv_buf_printf(&names, "%s%s", i > 0 ? ", " : "", json_is_string(v) ? json_string_value(v) : "?");
    put(b, "aliases", dv_buf_str(&names));
    dv_buf_fini(&names);
}

static int print(const dv_cmd *cmd, const json_t *m)
{
    char count[DV_FORMAT_COUNT_LEN], when[DV_DATA_TIME_LEN];
    uint64_t parameters = dv_ask_number(m, "parameters"), modified = dv_ask_number(m, "modified");
    dv_buf b;
    dv_buf_init(&b, 0);
    put(&b, "name", dv_ask_text(m, "name"));
    put_aliases(&b, m);
    put(&b, "state", dv_ask_text(m, "state"));
    put(&b, "backend", dv_ask_text(m, "backend"));
    put(&b, "profile", dv_ask_text(m, "profile"));
    put(&b, "default", json_is_true(json_object_get(m, "default")) ? "yes: answers requests that name no model" : "");
    put(&b, "pinned", json_is_true(json_object_get(m, "pinned")) ? "yes: stays loaded" : "");
    put(&b, "architecture", dv_ask_text(m, "architecture"));
    put(&b, "type", dv_ask_text(m, "quantization"));
    put(&b, "parameters", parameters > 0 ? dv_format_count(count, parameters) : "");
    put_number(&b, "context", dv_ask_number(m, "context_length"));
    put_number(&b, "embedding", dv_ask_number(m, "embedding_length"));
    put_bytes(&b, "size", dv_ask_number(m, "size"));
    put_bytes(&b, "needs", dv_ask_number(m, "memory_estimate"));
    put(&b, "modified", modified > 0 && modified < UINT64_MAX / 1000 ? dv_data_time(when, modified * 1000) : "");
    put(&b, "file", dv_ask_text(m, "file"));
    put(&b, "problem", dv_ask_text(m, "problem"));
    return dv_config_print(cmd, &b);
}

static int ask(const dv_ask *a, const char *model, json_t **reply, dv_err *err)
{
    dv_buf path;
    dv_buf_init(&path, 0);
    dv_buf_adds(&path, "/api/models/");
    dv_ask_path(&path, model);
    int rc = path.code == 0 ? dv_ask_send(a, dv_buf_str(&path), NULL, DV_ASK_SHORT_S, reply, err) : path.code;
    dv_buf_fini(&path);
    if (rc == 0 && dv_ask_text(*reply, "name") == NULL)
        return dv_ask_fail_shape(err);
    return rc == DV_ENOENT ? dv_ask_no_model(err) : rc;
}

static int run(const dv_cmd *cmd, int argc, char **argv)
{
    values v;
    dv_ask a;
    size_t n_args;
    int code;
    json_t *reply = NULL;
    dv_err err = {0};
    if (!dv_ask_parse(cmd, argc, argv, &v, sizeof v, &v.ask, &a, &n_args, &code))
        return code;
    if (argv[1][0] == 0)
        code = dv_cmd_usage(cmd, "MODEL must not be empty");
    else if (ask(&a, argv[1], &reply, &err) != 0)
        code = dv_cmd_fail_err(cmd, &err);
    else
        code = v.ask.json ? dv_ask_print_json(cmd, reply) : print(cmd, reply);
    json_decref(reply);
    dv_ask_close(&a);
    return code;
}

const dv_cmd dv_cmd_show = {
    .name = "show",
    .args = "MODEL",
    .summary = "Show what the running service knows of a model",
    .details = "MODEL is a name or an alias. Where its file is only administrators are told.",
    .opts = opts,
    .n_opts = DV_ARRAY_LEN(opts),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
