/* SPDX-License-Identifier: MIT */
/* drover doctor: whether drover serve would work here, and what to do where not. */
#include "cli/doctor.h"

#include "base/clock.h"
#include "base/cpu.h"
#include "base/err.h"
#include "cli/ask.h"
#include "cli/config_args.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct values {
    bool json;
} values;

static const dv_opt opts[] = {
    {.name = "json", .type = DV_OPT_FLAG, .offset = offsetof(values, json), .help = "One JSON object"},
};

/* ---- the report ---- */

static const char *color_of(const char *level, bool terminal)
{
    if (!terminal)
        return "";
    return strcmp(level, "ok") == 0 ? "\033[32m" : strcmp(level, "warning") == 0 ? "\033[33m" : "\033[31m";
}

static void put_finding(dv_buf *b, const json_t *f, bool terminal)
{
    const char *level = dv_ask_text(f, "level"), *advice = dv_ask_text(f, "advice");
    dv_buf_printf(b, "  %s%-7s%s  %s\n", color_of(level, terminal), level, terminal ? "\033[0m" : "",
                  dv_ask_text(f, "text"));
    if (advice != NULL)
        dv_buf_printf(b, "           -> %s\n", advice);
}

static void put_count(dv_buf *b, unsigned n, const char *what)
{
    dv_buf_printf(b, "%u %s%s", n, what, n == 1 ? "" : "s");
}

static void write_text(dv_buf *b, const dv__doctor *d)
{
    const char *area = "";
    size_t i;
    const json_t *f;
    bool terminal = isatty(STDOUT_FILENO) == 1;
    json_array_foreach(d->findings, i, f)
    {
        if (strcmp(area, dv_ask_text(f, "area")) != 0)
            dv_buf_printf(b, "%s\n", area = dv_ask_text(f, "area"));
        put_finding(b, f, terminal);
    }
    put_count(b, d->n[DV__FINDING_PROBLEM], "problem");
    dv_buf_adds(b, ", ");
    put_count(b, d->n[DV__FINDING_WARNING], "warning");
    dv_buf_addc(b, '\n');
}

static int print(const dv_cmd *cmd, const dv__doctor *d, bool json)
{
    dv_buf b;
    if (d->no_memory)
        return dv_cmd_fail(cmd, "%s", dv_error_text(DV_ENOMEM));
    int code;
    if (json) {
        json_t *all = json_pack("{s:b, s:I, s:I, s:O}", "ok", d->n[DV__FINDING_PROBLEM] == 0, "problems",
                                (json_int_t)d->n[DV__FINDING_PROBLEM], "warnings",
                                (json_int_t)d->n[DV__FINDING_WARNING], "findings", d->findings);
        code = all != NULL ? dv_ask_print_json(cmd, all) : dv_cmd_fail(cmd, "%s", dv_error_text(DV_ENOMEM));
        json_decref(all);
    } else {
        dv_buf_init(&b, 0);
        write_text(&b, d);
        code = dv_config_print(cmd, &b);
    }
    return code == DV_EXIT_OK && d->n[DV__FINDING_PROBLEM] > 0 ? DV_EXIT_FAILURE : code;
}

/* ---- the examination ---- */

static void look_around(dv__doctor *d)
{
    struct stat st;
    struct rlimit l;
    d->limits = *dv_limits_get();
    d->cpu = dv_cpu_detect();
    d->now_s = dv_clock_wall_ms() / 1000;
    d->made_s = stat("/proc/self/exe", &st) == 0 ? (uint64_t)st.st_mtime : 0;
    d->files = getrlimit(RLIMIT_NOFILE, &l) == 0 ? (uint64_t)l.rlim_max : UINT64_MAX;
}

static void check_configuration(dv__doctor *d, const dv_config_args *args, const dv_err *err)
{
    d->area = "configuration";
    if (d->conf == NULL) {
        dv__doctor_say(d, DV__FINDING_PROBLEM, "%s", err->msg);
        dv__doctor_advise(
            d,
            "drover serve would not start; docs/configuration.md has every option. What depends on the configuration was not checked");
        return;
    }
    if (args->file != NULL)
        dv__doctor_say(d, DV__FINDING_OK, "%s", args->file);
    else
        dv__doctor_say(d, DV__FINDING_OK, "there is no drover.yaml: defaults, variables and flags");
    if (d->conf->insecure)
        dv__doctor_say(d, DV__FINDING_WARNING, "insecure is on: who is on the way can read prompts, answers and keys");
    if (d->conf->insecure)
        dv__doctor_advise(d, "set tls.cert and tls.key, and take insecure (--insecure) away");
}

static void check_sandbox(dv__doctor *d)
{
    dv_sandbox_report r = {0};
    dv_err err = {0};
    int mode = d->conf != NULL ? d->conf->security.sandbox : DV_CONF_SANDBOX_ON;
    if (dv__doctor_try_sandbox(&r, &err) != 0)
        dv__doctor_say(d, mode == DV_CONF_SANDBOX_OFF ? DV__FINDING_WARNING : DV__FINDING_PROBLEM,
                       "the sandbox cannot be tried: %s", err.msg);
    else
        dv__doctor_sandbox(d, mode, &r);
}

static void examine(dv__doctor *d, const dv_config_args *args, const dv_err *err)
{
    look_around(d);
    check_configuration(d, args, err);
    d->area = "machine";
    dv__doctor_machine(d);
    check_sandbox(d);
    if (d->conf == NULL)
        return;
    d->area = "files";
    dv__doctor_files(d);
    d->area = "network";
    dv__doctor_net(d);
    d->area = "models";
    dv__doctor_models(d);
}

static int run(const dv_cmd *cmd, int argc, char **argv)
{
    values v;
    dv_config_args args;
    size_t n_args;
    int code;
    dv_conf *conf = NULL;
    dv_err err = {0};
    if (!dv_config_parse(cmd, argc, argv, &v, sizeof v, &args, &n_args, &code))
        return code;
    dv__doctor d = {.root = "", .program = "/proc/self/exe", .env = args.input.env, .findings = json_array()};
    d.no_memory = d.findings == NULL;
    (void)dv_conf_open(&conf, &args.input, &err);
    d.conf = conf;
    examine(&d, &args, &err);
    code = print(cmd, &d, v.json);
    json_decref(d.findings);
    dv_conf_close(&conf);
    return code;
}

const dv_cmd dv_cmd_doctor = {
    .name = "doctor",
    .args = "",
    .summary = "Check whether drover serve works here, and say what to do where not",
    .details =
        "It looks at the configuration that drover serve would use with the same flags, at the machine, folders and their permissions,\n"
        "the store, certificates, ports, Redis and every model file. Run it as the user that runs drover serve, also while it runs.\n"
        "The exit status is 0 if there is no problem, and 1 otherwise; warnings do not count.",
    .opts = opts,
    .n_opts = DV_ARRAY_LEN(opts),
    .run = run,
};
