/* SPDX-License-Identifier: MIT */
#include "cli/config_args.h"

#include "base/err.h"
#include "conf/options.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    ROWS_MAX = DV_CONF_OPTIONS_MAX,
    OWN_MAX = 16,
    LISTS_MAX = 12,
    OWN_SIZE = 8192,
    FLAGS_MAX = 1024,
    PATH_LEN = 4096
};

/* What dv_opt_parse fills: the command's own values first, since their offsets are the command's. */
static struct {
    _Alignas(16) char own[OWN_SIZE];
    const char *config, *text[ROWS_MAX];
    bool on[ROWS_MAX], off[ROWS_MAX];
    dv_opt_list lists[LISTS_MAX], set;
} values;

static struct {
    dv_opt rows[ROWS_MAX];
    size_t n, n_lists;
    char help[ROWS_MAX][320];    /* with the default */
    char off_name[ROWS_MAX][40]; /* "no-audit" */
    int list[ROWS_MAX];          /* of a table row: which of values.lists; -1: none */
} table;

#define AT(field) ((size_t)((char *)&values.field - (char *)&values))

static void add(dv_opt row) { table.rows[table.n++] = row; }

static const char *help_of(size_t i, const dv_conf_option *o)
{
    const char *def = o->def_shown != NULL ? o->def_shown : o->def;
    bool tell = def[0] != 0 && o->type != DV_CONF_BOOL;
    snprintf(table.help[i], sizeof table.help[i], "%s%s%s%s", o->help, tell ? " (default " : "", tell ? def : "",
             tell ? ")" : "");
    return table.help[i];
}

static void add_option(size_t i, const dv_conf_option *o)
{
    dv_opt row = {.name = o->flag, .short_name = o->short_flag, .value = o->value, .help = help_of(i, o)};
    table.list[i] = -1;
    switch (o->type) {
    case DV_CONF_BOOL:
        row.type = DV_OPT_FLAG;
        row.offset = AT(on[i]);
        add(row);
        snprintf(table.off_name[i], sizeof table.off_name[i], "no-%s", o->flag);
        add((dv_opt){.name = table.off_name[i], .type = DV_OPT_FLAG, .offset = AT(off[i]), .help = "The opposite"});
        return;
    case DV_CONF_LIST:
        table.list[i] = (int)table.n_lists;
        row.type = DV_OPT_LIST;
        row.max = DV_OPT_LIST_MAX;
        row.offset = AT(lists[table.n_lists++]);
        break;
    default:
        row.type = DV_OPT_STRING;
        row.offset = AT(text[i]);
        break;
    }
    add(row);
}

/* false: the table has grown out of what is here for it, which a test finds. */
static bool build(const dv_cmd *cmd, bool with_flags)
{
    table.n = table.n_lists = 0;
    if (cmd->n_opts > OWN_MAX)
        return false;
    for (size_t i = 0; i < cmd->n_opts; i++)
        add(cmd->opts[i]);
    add((dv_opt){
        .name = "config", .type = DV_OPT_STRING, .value = "FILE", .offset = AT(config), .help = "drover.yaml to read"});
    add((dv_opt){.name = "set",
                 .type = DV_OPT_LIST,
                 .value = "NAME=VALUE",
                 .max = DV_OPT_LIST_MAX,
                 .offset = AT(set),
                 .help = "Any option of drover.yaml, such as limits.queue=10 or models.0.pin=true; may be repeated"});
    for (size_t i = 0; with_flags && dv_conf_option_at(i) != NULL; i++) {
        const dv_conf_option *o = dv_conf_option_at(i);
        bool list = o->flag != NULL && o->type == DV_CONF_LIST;
        if (i >= ROWS_MAX || table.n + 2 > ROWS_MAX || (list && table.n_lists == LISTS_MAX))
            return false;
        if (o->flag != NULL)
            add_option(i, o);
    }
    return true;
}

/* ---- what was given ---- */

static dv_conf_flag flags[FLAGS_MAX];
static char shown[ROWS_MAX][48], set_names[DV_OPT_LIST_MAX][80];

static bool give(dv_config_args *a, const char *option, const char *text, const char *how)
{
    if (a->input.n_flags == FLAGS_MAX)
        return false;
    flags[a->input.n_flags++] = (dv_conf_flag){.option = option, .text = text, .shown = how};
    return true;
}

/* --set NAME=VALUE */
static int give_set(const dv_cmd *cmd, dv_config_args *a)
{
    for (size_t i = 0; i < values.set.n; i++) {
        const char *text = values.set.v[i], *equals = strchr(text, '=');
        size_t n = equals != NULL ? (size_t)(equals - text) : 0;
        if (n == 0 || n >= sizeof set_names[i])
            return dv_cmd_usage(cmd, "--set must be NAME=VALUE, not '%s'", text);
        memcpy(set_names[i], text, n);
        set_names[i][n] = 0;
        if (!give(a, set_names[i], equals + 1, "--set"))
            return dv_cmd_usage(cmd, "too many options");
    }
    return 0;
}

static int give_option(const dv_cmd *cmd, dv_config_args *a, size_t i, const dv_conf_option *o)
{
    const dv_opt_list *list = table.list[i] >= 0 ? &values.lists[table.list[i]] : NULL;
    bool ok = true;
    if (values.on[i] && values.off[i])
        return dv_cmd_usage(cmd, "--%s and --no-%s contradict each other", o->flag, o->flag);
    snprintf(shown[i], sizeof shown[i], "--%s%s", values.off[i] ? "no-" : "", o->flag);
    if (values.on[i] || values.off[i])
        ok = give(a, o->name, values.on[i] ? "true" : "false", shown[i]);
    if (values.text[i] != NULL)
        ok = give(a, o->name, values.text[i], shown[i]);
    for (size_t k = 0; list != NULL && k < list->n && ok; k++)
        ok = give(a, o->name, list->v[k], shown[i]);
    return ok ? 0 : dv_cmd_usage(cmd, "too many options");
}

/* --set first: what has a name of its own counts more. */
static int collect(const dv_cmd *cmd, dv_config_args *a)
{
    int code = give_set(cmd, a);
    for (size_t i = 0; dv_conf_option_at(i) != NULL && code == 0; i++)
        if (dv_conf_option_at(i)->flag != NULL)
            code = give_option(cmd, a, i, dv_conf_option_at(i));
    a->input.flags = flags;
    return code;
}

/* ---- the file ---- */

static bool there(char path[PATH_LEN], const char *folder, const char *name)
{
    int n = snprintf(path, PATH_LEN, "%s%s", folder, name);
    return n > 0 && n < PATH_LEN && access(path, F_OK) == 0;
}

/* Not drover.yaml of the working folder: whoever can put a file there would choose the programs that are started. */
static const char *find_file(const char *const *env)
{
    static char path[PATH_LEN];
    const char *named = dv_conf_env(env, "DROVER_CONFIG"), *xdg = dv_conf_env(env, "XDG_CONFIG_HOME"),
               *home = dv_conf_env(env, "HOME");
    if (values.config != NULL || named != NULL)
        return values.config != NULL ? values.config : named;
    if (xdg != NULL && xdg[0] == '/' && there(path, xdg, "/drover/drover.yaml"))
        return path;
    if ((xdg == NULL || xdg[0] != '/') && home != NULL && there(path, home, "/.config/drover/drover.yaml"))
        return path;
    return there(path, "/etc", "/drover/drover.yaml") ? path : NULL;
}

static bool parse(const dv_cmd *cmd, int argc, char **argv, bool with_flags, size_t own_size, dv_config_args *args,
                  size_t *n_args, int *exit_code)
{
    static char dir[PATH_LEN];
    *args = (dv_config_args){0};
    if (!build(cmd, with_flags) || own_size > OWN_SIZE) {
        *exit_code = dv_cmd_fail(cmd, "%s", dv_error_text(DV_EINTERNAL));
        return false;
    }
    dv_cmd whole = *cmd;
    whole.opts = table.rows;
    whole.n_opts = table.n;
    if (!dv_opt_parse(&whole, argc, argv, &values, sizeof values, n_args, exit_code))
        return false;
    if ((*exit_code = collect(cmd, args)) != 0)
        return false;
    args->input.env = (const char *const *)environ;
    args->input.dir = getcwd(dir, sizeof dir);
    args->input.file = args->file = find_file(args->input.env);
    return true;
}

bool dv_config_parse(const dv_cmd *cmd, int argc, char **argv, void *own, size_t own_size, dv_config_args *args,
                     size_t *n_args, int *exit_code)
{
    bool ok = parse(cmd, argc, argv, true, own_size, args, n_args, exit_code);
    memcpy(own, values.own, ok ? own_size : 0);
    return ok;
}

bool dv_config_parse_file(const dv_cmd *cmd, int argc, char **argv, void *own, size_t own_size, dv_config_args *args,
                          size_t *n_args, int *exit_code)
{
    bool ok = parse(cmd, argc, argv, false, own_size, args, n_args, exit_code);
    memcpy(own, values.own, ok ? own_size : 0);
    return ok;
}

int dv_config_print(const dv_cmd *cmd, dv_buf *b)
{
    int code = b->code == 0 ? DV_EXIT_OK : dv_cmd_fail(cmd, "%s", dv_error_text(b->code));
    if (b->code == 0)
        fputs(dv_buf_str(b), stdout);
    dv_buf_fini(b);
    return code;
}
