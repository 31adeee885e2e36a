/* SPDX-License-Identifier: MIT */
/* drover profiles: the sets of values that a model can run with. */
#include "base/err.h"
#include "cli/config_args.h"
#include "conf/options.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

typedef struct values_of {
    bool json;
} values_of;

static const dv_opt opts[] = {
    {.name = "json", .type = DV_OPT_FLAG, .offset = offsetof(values_of, json), .help = "One JSON array"},
};

static const char *const kv_names[DV_KV_FORMAT_N] = {"auto", "f16", "q8_0", "f32"};

static const char *what_of(const dv_conf_profile *p) { return p->what != NULL ? p->what : ""; }

/* The options that profiles have, by their names in the table. */
static void json_profile(dv_buf *b, const dv_conf_profile *p)
{
    size_t n;
    const dv_conf_option *o = dv_conf_options_of(DV_CONF_PROFILE, &n);
    dv_buf_printf(b, "{\"name\":\"%s\",\"what\":", p->name);
    dv_buf_json_log(b, what_of(p), strlen(what_of(p)));
    dv_buf_printf(b, ",\"own\":%s", p->own ? "true" : "false");
    for (size_t i = 0; i < n; i++) {
        if (!o[i].inherit)
            continue;
        dv_buf_printf(b, ",\"%s\":", strrchr(o[i].name, '.') + 1);
        if (o[i].type == DV_CONF_INT)
            dv_buf_printf(b, "%lld", (long long)*(const int64_t *)((const char *)p + o[i].offset));
        else {
            dv_buf_adds(b, o[i].type == DV_CONF_ENUM ? "\"" : "");
            dv_conf_value_text(b, &o[i], p);
            dv_buf_adds(b, o[i].type == DV_CONF_ENUM ? "\"" : "");
        }
    }
    dv_buf_adds(b, "}");
}

static void write_json(dv_buf *b, const dv_conf *c)
{
    for (size_t i = 0; i < c->n_profiles; i++) {
        dv_buf_adds(b, i == 0 ? "[" : ",");
        json_profile(b, &c->profiles[i]);
    }
    dv_buf_adds(b, "]\n");
}

static int widest_name(const dv_conf *c)
{
    size_t n = 9;
    for (size_t i = 0; i < c->n_profiles; i++)
        n = DV_MAX(n, strlen(c->profiles[i].name));
    return (int)n;
}

static void write_text(dv_buf *b, const dv_conf *c)
{
    int width = widest_name(c);
    dv_buf_printf(b, "%-*s %8s %6s %8s %9s %5s %12s %12s %6s\n", width, "profile", "context", "batch", "threads",
                  "parallel", "kv", "speculation", "temperature", "top_k");
    for (size_t i = 0; i < c->n_profiles; i++) {
        const dv_conf_run *r = &c->profiles[i].run;
        char threads[24] = "auto";
        if (r->threads != 0)
            snprintf(threads, sizeof threads, "%lld", (long long)r->threads);
        dv_buf_printf(b, "%-*s %8lld %6lld %8s %9lld %5s %12s %12g %6lld\n", width, c->profiles[i].name,
                      (long long)r->context, (long long)r->batch, threads, (long long)r->parallel, kv_names[r->kv_type],
                      r->speculation ? "on" : "off", r->temperature, (long long)r->top_k);
    }
    dv_buf_addc(b, '\n');
    for (size_t i = 0; i < c->n_profiles; i++)
        dv_buf_printf(b, "%-*s %s\n", width, c->profiles[i].name, what_of(&c->profiles[i]));
}

static int run(const dv_cmd *cmd, int argc, char **argv)
{
    values_of v;
    dv_config_args args;
    size_t n_args;
    int code;
    dv_conf *c;
    dv_err err = {0};
    dv_buf b;
    if (!dv_config_parse_file(cmd, argc, argv, &v, sizeof v, &args, &n_args, &code))
        return code;
    if (dv_conf_open(&c, &args.input, &err) != 0)
        return dv_cmd_fail_err(cmd, &err);
    dv_buf_init(&b, 0);
    (v.json ? write_json : write_text)(&b, c);
    dv_conf_close(&c);
    return dv_config_print(cmd, &b);
}

const dv_cmd dv_cmd_profiles = {
    .name = "profiles",
    .args = "",
    .summary = "List the profiles that models can run with, and what each is for",
    .details =
        "A profile is chosen for all models (defaults.profile), for one (models.*.profile), or by a request (X-Drover-Profile),\n"
        "which then runs in an instance of its own. What is given beside it counts more than it. drover.yaml may change them\n"
        "and have others.",
    .opts = opts,
    .n_opts = DV_ARRAY_LEN(opts),
    .run = run,
};
