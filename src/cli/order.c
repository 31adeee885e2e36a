/* SPDX-License-Identifier: MIT */
/* drover load, unload and switch: orders to a running service. They wait until it is done, which takes as long as loading the model does; whoever
 * ends the command does not end the order. */
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "cli/ask.h"
#include "cli/config_args.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

typedef struct values {
    dv_ask_opts ask;
    const char *profile;
    bool pin, force;
} values;

/* clang-format off */
#define ROW_PROFILE \
    {.name = "profile", .type = DV_OPT_STRING, .value = "NAME", .offset = offsetof(values, profile), \
     .help = "Profile to run it with; its own without it (`drover profiles` lists them)"}

static const dv_opt load_opts[] = {
    ROW_PROFILE,
    {.name = "pin", .type = DV_OPT_FLAG, .offset = offsetof(values, pin), .help = "Keep it loaded until it is unloaded"},
    DV_OPT_ROWS_ASK(values, ask),
};
static const dv_opt unload_opts[] = {
    {.name = "force", .type = DV_OPT_FLAG, .offset = offsetof(values, force), .help = "Do not wait for answers that are being given: they end with an error"},
    DV_OPT_ROWS_ASK(values, ask),
};
static const dv_opt switch_opts[] = {ROW_PROFILE, DV_OPT_ROWS_ASK(values, ask)};
/* clang-format on */

/* Only what was said: the server refuses fields that an order does not have. */
static json_t *body_of(const char *model, const values *v, dv_err *err)
{
    json_t *body = json_pack("{s:s}", "model", model);
    int bad = body == NULL;
    if (v->profile != NULL)
        bad |= json_object_set_new(body, "profile", json_string(v->profile));
    if (v->pin)
        bad |= json_object_set_new(body, "pin", json_true());
    if (v->force)
        bad |= json_object_set_new(body, "force", json_true());
    if (!bad)
        return body;
    dv_fail(err, DV_EINVAL, "MODEL and --profile must be UTF-8");
    json_decref(body);
    return NULL;
}

static int order(const dv_ask *a, const char *path, const char *model, const values *v, json_t **reply, dv_err *err)
{
    json_t *body = body_of(model, v, err);
    if (body == NULL)
        return err->code;
    int rc = dv_ask_send(a, path, body, DV_ASK_LONG_S, reply, err);
    json_decref(body);
    if (rc == 0 && dv_ask_text(*reply, "model") == NULL)
        return dv_ask_fail_shape(err);
    return rc == DV_ENOENT ? dv_ask_no_model(err) : rc;
}

static int print(const dv_cmd *cmd, const json_t *reply, const char *what, uint64_t ns)
{
    dv_buf b;
    const char *model = dv_ask_text(reply, "model");
    dv_buf_init(&b, 0);
    dv_buf_escaped(&b, model, strlen(model));
    dv_buf_printf(&b, " %s (%.1f s)\n", what, (double)ns / 1e9);
    return dv_config_print(cmd, &b);
}

static int give(const dv_cmd *cmd, int argc, char **argv, const char *path, const char *what)
{
    values v;
    dv_ask a;
    size_t n_args;
    int code;
    json_t *reply = NULL;
    dv_err err = {0};
    if (!dv_ask_parse(cmd, argc, argv, &v, sizeof v, &v.ask, &a, &n_args, &code))
        return code;
    uint64_t begun = dv_clock_ns();
    if (argv[1][0] == 0)
        code = dv_cmd_usage(cmd, "MODEL must not be empty");
    else if (order(&a, path, argv[1], &v, &reply, &err) != 0)
        code = dv_cmd_fail_err(cmd, &err);
    else
        code = v.ask.json ? dv_ask_print_json(cmd, reply) : print(cmd, reply, what, dv_clock_ns() - begun);
    json_decref(reply);
    dv_ask_close(&a);
    return code;
}

static int load(const dv_cmd *cmd, int argc, char **argv)
{
    return give(cmd, argc, argv, "/api/models/load", "is loaded");
}

static int unload(const dv_cmd *cmd, int argc, char **argv)
{
    return give(cmd, argc, argv, "/api/models/unload", "is unloaded");
}

static int switch_to(const dv_cmd *cmd, int argc, char **argv)
{
    return give(cmd, argc, argv, "/api/switch", "is the default model");
}

const dv_cmd dv_cmd_load = {
    .name = "load",
    .args = "MODEL",
    .summary = "Have the running service load a model, and wait for it",
    .details = "Models that are idle make room for it. An administrator's key is needed.",
    .opts = load_opts,
    .n_opts = DV_ARRAY_LEN(load_opts),
    .min_args = 1,
    .max_args = 1,
    .run = load,
};

const dv_cmd dv_cmd_unload = {
    .name = "unload",
    .args = "MODEL",
    .summary = "Have the running service unload a model",
    .details =
        "Answers that are being given are finished first. The next request for the model loads it again. An administrator's key is needed.",
    .opts = unload_opts,
    .n_opts = DV_ARRAY_LEN(unload_opts),
    .min_args = 1,
    .max_args = 1,
    .run = unload,
};

const dv_cmd dv_cmd_switch = {
    .name = "switch",
    .args = "MODEL",
    .summary = "Make a model the running service's default one, loaded",
    .details =
        "The one that was the default is unloaded when it is idle, unless it is pinned. An administrator's key is needed.",
    .opts = switch_opts,
    .n_opts = DV_ARRAY_LEN(switch_opts),
    .min_args = 1,
    .max_args = 1,
    .run = switch_to,
};
