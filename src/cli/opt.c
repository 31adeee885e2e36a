/* SPDX-License-Identifier: MIT */
#include "cli/opt.h"

#include "base/word.h"
#include "cli/cmd.h"

#include <stdio.h>
#include <string.h>

enum { HELP_COLUMN = 30, HELP_WIDTH = 100, NAME_MAX_LEN = 64 };

/* "-m, --model" for help, "--model" for errors. */
static const char *display_name(const dv_opt *o, char buf[NAME_MAX_LEN + 8])
{
    if (o->name != NULL)
        snprintf(buf, NAME_MAX_LEN + 8, "--%s", o->name);
    else
        snprintf(buf, NAME_MAX_LEN + 8, "-%c", o->short_name);
    return buf;
}

/* Words up to HELP_WIDTH, continued at the help column. */
static void print_wrapped(const char *text, size_t column)
{
    size_t at = column;
    while (*text != 0) {
        size_t n = strcspn(text, " ");
        if (at + n > HELP_WIDTH && at > HELP_COLUMN) {
            printf("\n%*s", HELP_COLUMN, "");
            at = HELP_COLUMN;
        }
        printf("%.*s%s", (int)n, text, text[n] != 0 ? " " : "");
        at += n + 1;
        text += n + (text[n] != 0);
    }
    putchar('\n');
}

static void print_option(const dv_opt *o)
{
    char left[160], right[512];
    int n = snprintf(left, sizeof left, "  %c%c%s", o->short_name ? '-' : ' ', o->short_name ? o->short_name : ' ',
                     o->name == NULL ? ""
                     : o->short_name ? ", --"
                                     : "  --");
    n += snprintf(left + n, sizeof left - (size_t)n, "%s", o->name != NULL ? o->name : "");
    if (o->value != NULL)
        snprintf(left + n, sizeof left - (size_t)n, " %s", o->value);
    n = snprintf(right, sizeof right, "%s", o->help);
    if (o->type == DV_OPT_UINT || o->type == DV_OPT_NUM)
        n += snprintf(right + n, sizeof right - (size_t)n, " [%s%.16g..%.16g]", o->open_min ? "above " : "", o->min,
                      o->max);
    if (o->def != NULL)
        snprintf(right + n, sizeof right - (size_t)n, " (default %s)", o->def);
    int width = printf("%-*s", HELP_COLUMN - 2, left);
    if (width > HELP_COLUMN - 2) {
        putchar('\n');
        width = printf("%*s", HELP_COLUMN - 2, "");
    }
    printf("  ");
    print_wrapped(right, HELP_COLUMN);
}

static void print_help(const dv_cmd *cmd)
{
    printf("Usage: drover %s%s%s%s\n\n%s.\n\nOptions:\n", cmd->name, cmd->n_opts > 0 ? " [OPTIONS]" : "",
           cmd->args[0] ? " " : "", cmd->args, cmd->summary);
    for (size_t i = 0; i < cmd->n_opts; i++)
        print_option(&cmd->opts[i]);
    printf("%-*s  Show this text\n", HELP_COLUMN - 2, "  -h, --help");
    if (cmd->details != NULL)
        printf("\n%s\n", cmd->details);
}

static int bad_value(const dv_cmd *cmd, const dv_opt *o, const char *text)
{
    char name[NAME_MAX_LEN + 8];
    display_name(o, name);
    if (o->type == DV_OPT_CHOICE)
        return dv_cmd_usage(cmd, "%s must be one of %s, not '%s'", name, o->value, text);
    return dv_cmd_usage(cmd, "%s must be a %s %s %.16g %s %.16g, not '%s'", name,
                        o->type == DV_OPT_UINT ? "whole number" : "number", o->open_min ? "above" : "from", o->min,
                        o->open_min ? "and up to" : "to", o->max, text);
}

/* Store one value; 0 or an exit code. */
static int set_value(const dv_cmd *cmd, const dv_opt *o, void *values, const char *text)
{
    void *field = (char *)values + o->offset;
    switch (o->type) {
    case DV_OPT_FLAG: *(bool *)field = true; return 0;
    case DV_OPT_STRING: *(const char **)field = text; return 0;
    case DV_OPT_UINT: {
        uint64_t v;
        if (!dv_word_u64(text, &v) || (double)v < o->min || (double)v > o->max)
            return bad_value(cmd, o, text);
        *(uint64_t *)field = v;
        return 0;
    }
    case DV_OPT_NUM: {
        double v;
        if (!dv_word_double(text, &v) || v < o->min || v > o->max || (o->open_min && v <= o->min))
            return bad_value(cmd, o, text);
        *(double *)field = v;
        return 0;
    }
    case DV_OPT_CHOICE: {
        int v = dv_word_index(o->value, text);
        if (v < 0)
            return bad_value(cmd, o, text);
        *(int *)field = v;
        return 0;
    }
    case DV_OPT_LIST: {
        dv_opt_list *list = field;
        size_t max = DV_MIN((size_t)o->max, (size_t)DV_OPT_LIST_MAX);
        char name[NAME_MAX_LEN + 8];
        if (list->n >= max)
            return dv_cmd_usage(cmd, "%s may be given at most %zu times", display_name(o, name), max);
        list->v[list->n++] = text;
        return 0;
    }
    case DV_OPT_TYPE_N: break;
    }
    return DV_EXIT_FAILURE;
}

static const dv_opt *find_long(const dv_cmd *cmd, const char *name, size_t len)
{
    for (size_t i = 0; i < cmd->n_opts; i++) {
        const char *have = cmd->opts[i].name;
        if (have != NULL && strlen(have) == len && memcmp(have, name, len) == 0)
            return &cmd->opts[i];
    }
    return NULL;
}

static const dv_opt *find_short(const dv_cmd *cmd, char c)
{
    for (size_t i = 0; i < cmd->n_opts; i++)
        if (c != 0 && cmd->opts[i].short_name == c)
            return &cmd->opts[i];
    return NULL;
}

static int unknown_option(const dv_cmd *cmd, const char *arg, size_t len)
{
    const char *names[256];
    char word[NAME_MAX_LEN + 1];
    size_t n = 0;
    for (size_t i = 0; i < cmd->n_opts && n < DV_ARRAY_LEN(names); i++)
        if (cmd->opts[i].name != NULL)
            names[n++] = cmd->opts[i].name;
    snprintf(word, sizeof word, "%.*s", (int)DV_MIN(len, (size_t)NAME_MAX_LEN), arg);
    const char *hint = strncmp(word, "--", 2) == 0 ? dv_word_nearest(word + 2, names, n) : NULL;
    if (hint != NULL)
        return dv_cmd_usage(cmd, "unknown option '%s', did you mean --%s?", word, hint);
    return dv_cmd_usage(cmd, "unknown option '%s'", word);
}

/* Parse the option at argv[*i], which begins with a dash; moves *i over a separate value. 0 or an exit code. */
static int parse_option(const dv_cmd *cmd, int argc, char **argv, int *i, void *values)
{
    const char *arg = argv[*i], *value = NULL;
    bool is_long = arg[1] == '-';
    size_t len = is_long ? strcspn(arg, "=") : 2;
    const dv_opt *o = is_long ? find_long(cmd, arg + 2, len - 2) : find_short(cmd, arg[1]);
    if (o == NULL)
        return unknown_option(cmd, arg, len);
    if (arg[len] != 0)
        value = arg + len + is_long;
    if (o->type == DV_OPT_FLAG && value != NULL)
        return is_long ? dv_cmd_usage(cmd, "%.*s takes no value", (int)len, arg)
                       : unknown_option(cmd, arg, strlen(arg));
    if (o->type != DV_OPT_FLAG && value == NULL) {
        if (*i + 1 >= argc)
            return dv_cmd_usage(cmd, "%.*s needs a value (%s)", (int)len, arg, o->value);
        value = argv[++*i];
    }
    return set_value(cmd, o, values, value);
}

static int set_defaults(const dv_cmd *cmd, void *values)
{
    int code = 0;
    for (size_t i = 0; i < cmd->n_opts && code == 0; i++)
        if (cmd->opts[i].def != NULL && cmd->opts[i].type != DV_OPT_FLAG && cmd->opts[i].type != DV_OPT_LIST)
            code = set_value(cmd, &cmd->opts[i], values, cmd->opts[i].def);
    return code;
}

bool dv_opt_parse(const dv_cmd *cmd, int argc, char **argv, void *values, size_t values_size, size_t *n_args,
                  int *exit_code)
{
    memset(values, 0, values_size);
    *n_args = 0;
    bool options = true;
    *exit_code = set_defaults(cmd, values);
    for (int i = 1; i < argc && *exit_code == 0; i++) {
        char *arg = argv[i];
        if (!options || arg[0] != '-' || arg[1] == 0) {
            argv[1 + (*n_args)++] = arg;
        } else if (strcmp(arg, "--") == 0) {
            options = false;
        } else if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
            print_help(cmd);
            return false;
        } else {
            *exit_code = parse_option(cmd, argc, argv, &i, values);
        }
    }
    if (*exit_code == 0 && *n_args > cmd->max_args)
        *exit_code = dv_cmd_usage(cmd, "unexpected argument '%s'", argv[1 + cmd->max_args]);
    else if (*exit_code == 0 && *n_args < cmd->min_args)
        *exit_code = dv_cmd_usage(cmd, "an argument is missing: %s", cmd->args);
    return *exit_code == 0;
}
