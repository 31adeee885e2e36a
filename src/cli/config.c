/* SPDX-License-Identifier: MIT */
/* drover config: the configuration that is in effect, a check of a file, an example of one. */
#include "base/err.h"
#include "cli/config_args.h"
#include "conf/write.h"

#include <stdio.h>
#include <string.h>

typedef struct values_of {
    bool check, json, example;
} values_of;

#define AT(field) offsetof(values_of, field)

static const dv_opt opts[] = {
    {.name = "check",
     .type = DV_OPT_FLAG,
     .offset = AT(check),
     .help = "Say what is wrong, and nothing if all is right; with FILE, of that file alone"},
    {.name = "example",
     .type = DV_OPT_FLAG,
     .offset = AT(example),
     .help = "A drover.yaml with every option, commented out"},
    {.name = "json", .type = DV_OPT_FLAG, .offset = AT(json), .help = "One JSON object"},
};

/* Without the environment and flags: the answer is about the file, on whichever machine. */
static int check_file(const dv_cmd *cmd, const dv_config_args *args, const char *file)
{
    const char *home = dv_conf_env(args->input.env, "HOME");
    char line[4200];
    snprintf(line, sizeof line, "HOME=%s", home != NULL ? home : "/");
    const char *const env[] = {line, NULL};
    const dv_conf_input alone = {.file = file, .dir = args->input.dir, .env = env};
    dv_conf *c;
    dv_err err = {0};
    if (dv_conf_open(&c, file != NULL ? &alone : &args->input, &err) != 0)
        return dv_cmd_fail_err(cmd, &err);
    dv_conf_close(&c);
    return DV_EXIT_OK;
}

static int show(const dv_cmd *cmd, const dv_config_args *args, bool json)
{
    dv_conf *c;
    dv_err err = {0};
    dv_buf b;
    if (dv_conf_open(&c, &args->input, &err) != 0)
        return dv_cmd_fail_err(cmd, &err);
    dv_buf_init(&b, 0);
    if (!json) {
        dv_buf_adds(&b, args->file != NULL ? "# file: " : "# there is no drover.yaml");
        dv_buf_escaped(&b, args->file != NULL ? args->file : "", args->file != NULL ? strlen(args->file) : 0);
        dv_buf_adds(&b, "\n");
    }
    if (json)
        dv_conf_write_json(&b, c);
    else
        dv_conf_write_yaml(&b, c);
    if (json)
        dv_buf_addc(&b, '\n');
    dv_conf_close(&c);
    return dv_config_print(cmd, &b);
}

static int run(const dv_cmd *cmd, int argc, char **argv)
{
    values_of v;
    dv_config_args args;
    size_t n_args;
    int code;
    if (!dv_config_parse(cmd, argc, argv, &v, sizeof v, &args, &n_args, &code))
        return code;
    if (v.example + v.json + v.check > 1)
        return dv_cmd_usage(cmd, "--check, --example and --json are three different things");
    if (n_args > 0 && !v.check)
        return dv_cmd_usage(cmd, "a file is for --check; --config %s shows what is in effect with it", argv[1]);
    if (v.check)
        return check_file(cmd, &args, n_args > 0 ? argv[1] : NULL);
    if (!v.example)
        return show(cmd, &args, v.json);
    dv_buf b;
    dv_buf_init(&b, 0);
    dv_conf_write_example(&b);
    return dv_config_print(cmd, &b);
}

const dv_cmd dv_cmd_config = {
    .name = "config",
    .args = "[FILE]",
    .max_args = 1,
    .summary = "Show the configuration of the service and where each value comes from",
    .details =
        "Values come from drover.yaml, from the environment (DROVER_LIMITS_REQUESTS for limits.requests), and from flags; later\n"
        "ones count more. Without --config the file is $DROVER_CONFIG, ~/.config/drover/drover.yaml or /etc/drover/drover.yaml.\n"
        "Secrets are shown as ***.",
    .opts = opts,
    .n_opts = DV_ARRAY_LEN(opts),
    .run = run,
};
