/* SPDX-License-Identifier: MIT */
#include "cli/data.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/num.h"
#include "base/word.h"
#include "cli/config_args.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

bool dv_data_parse(const dv_cmd *cmd, int argc, char **argv, void *values, size_t size, const char **dir,
                   size_t *n_args, int *exit_code)
{
    static char path[DV_CONF_TEXT_MAX + 1];
    dv_config_args args;
    dv_conf *conf = NULL;
    dv_err err = {0};
    if (!dv_config_parse_file(cmd, argc, argv, values, size, &args, n_args, exit_code))
        return false;
    if (*dir != NULL)
        return true;
    int rc = dv_conf_open(&conf, &args.input, &err);
    if (rc == 0 && strlen(conf->data_dir) >= sizeof path)
        rc = dv_fail(&err, DV_ELIMIT, "the name of the data folder is too long");
    if (rc == 0)
        snprintf(path, sizeof path, "%s", conf->data_dir);
    dv_conf_close(&conf);
    *dir = path;
    if (rc != 0)
        *exit_code = dv_cmd_fail_err(cmd, &err);
    return rc == 0;
}

static void say(void *arg, dv_store_log_level level, const char *text)
{
    const dv_cmd *cmd = arg;
    fprintf(stderr, "drover %s: %s\n", cmd->name, text);
}

int dv_data_open(const dv_cmd *cmd, const char *dir, bool create, dv_store **out, dv_err *err)
{
    const dv_store_options o = {.dir = dir, .create = create, .log = say, .log_arg = (void *)(uintptr_t)cmd};
    return dv_store_open(out, &o, err);
}

const dv_audit_who *dv_data_who(void)
{
    static char name[DV_AUDIT_TEXT + 1];
    static dv_audit_who who = {.kind = DV_AUDIT_COMMAND, .id = name};
    const struct passwd *p = getpwuid(getuid());
    if (p != NULL)
        snprintf(name, sizeof name, "%s", p->pw_name);
    else
        snprintf(name, sizeof name, "uid %ld", (long)getuid());
    return &who;
}

const char *dv_data_time(char buf[DV_DATA_TIME_LEN], uint64_t ms)
{
    struct tm tm;
    time_t s = (time_t)(ms / 1000);
    if (ms == 0 || gmtime_r(&s, &tm) == NULL || strftime(buf, DV_DATA_TIME_LEN, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
        snprintf(buf, DV_DATA_TIME_LEN, "%s", ms == 0 ? "never" : "?");
    return buf;
}

static bool parse_span(const char *text, uint64_t *ms)
{
    static const struct {
        char unit;
        uint64_t ms;
    } units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}, {'w', 604800000}};
    char digits[20];
    size_t n = strlen(text);
    uint64_t v;
    if (n < 2 || n > sizeof digits)
        return false;
    memcpy(digits, text, n - 1);
    digits[n - 1] = 0;
    for (size_t i = 0; i < DV_ARRAY_LEN(units); i++)
        if (text[n - 1] == units[i].unit)
            return dv_word_u64(digits, &v) && dv_mul_u64(v, units[i].ms, ms);
    return false;
}

static bool parse_date(const char *text, uint64_t *ms)
{
    static const char *const forms[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"};
    for (size_t i = 0; i < DV_ARRAY_LEN(forms); i++) {
        struct tm tm = {0};
        const char *end = strptime(text, forms[i], &tm);
        if (end == NULL || (end[0] != 0 && strcmp(end, "Z") != 0))
            continue;
        /* timegm makes February 31 another day: that is a mistake. */
        int day = tm.tm_mday;
        time_t t = timegm(&tm);
        *ms = (uint64_t)t * 1000;
        return t > 0 && tm.tm_mday == day && tm.tm_year < 8000;
    }
    return false;
}

bool dv_data_time_parse(const char *text, int sign, uint64_t *ms)
{
    uint64_t span = 0, now = dv_clock_wall_ms();
    if (!parse_span(text, &span))
        return parse_date(text, ms);
    if (sign < 0)
        *ms = span < now ? now - span : 1;
    return sign < 0 || (dv_add_u64(now, span, ms) && *ms < INT64_MAX);
}
