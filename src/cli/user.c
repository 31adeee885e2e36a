/* SPDX-License-Identifier: MIT */
/* drover user: who may log in to the service. */
#include "store/user.h"

#include "base/err.h"
#include "cli/config_args.h"
#include "cli/data.h"
#include "cli/group.h"
#include "cli/password.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

typedef struct values {
    const char *dir;
    int role;
    bool json;
} values;

static const dv_opt dir_opts[] = {DV_OPT_ROW_DATA_DIR(values, dir)};

static int find(dv_store *s, const char *name, dv_user *out, dv_err *err)
{
    int rc = dv_user_find(s, name, strlen(name), out, err);
    return rc == DV_ENOENT ? dv_err_prefix(err, "'%s'", name) : rc;
}

static int ask(const char *name, char password[DV_CLI_PASSWORD_CAP], size_t *n, dv_err *err)
{
    char what[DV_NAME_MAX + 32];
    snprintf(what, sizeof what, "Password for %s", name);
    return dv_cli_password(what, password, n, err);
}

/* ---- add ---- */

/* clang-format off */
static const dv_opt add_opts[] = {
    {.name = "role", .type = DV_OPT_CHOICE, .value = "viewer|user|admin", .offset = offsetof(values, role), .def = "user", .help = "What the user may do"},
    DV_OPT_ROW_DATA_DIR(values, dir),
};
/* clang-format on */

static int add(const dv_cmd *cmd, int argc, char **argv)
{
    values v;
    size_t n_args, n = 0;
    int code;
    if (!dv_data_parse(cmd, argc, argv, &v, sizeof v, &v.dir, &n_args, &code))
        return code;
    char password[DV_CLI_PASSWORD_CAP], name[DV_NAME_MAX + 1];
    int64_t id = 0;
    dv_err err = {0};
    dv_store *s = NULL;
    int rc = dv_user_name(name, argv[1], strlen(argv[1]), &err); /* before anybody types a password for it */
    rc = rc != 0 ? rc : dv_data_open(cmd, v.dir, true, &s, &err);
    rc = rc != 0 ? rc : ask(name, password, &n, &err);
    rc = rc != 0 ? rc : dv_user_add(s, name, strlen(name), (dv_role)v.role, password, n, dv_data_who(), &id, &err);
    sodium_memzero(password, sizeof password);
    if (rc == 0)
        printf("user '%s' (%s) can log in\n", name, dv_role_name((dv_role)v.role));
    code = rc != 0 ? dv_cmd_fail_err(cmd, &err) : DV_EXIT_OK;
    dv_store_close(&s);
    return code;
}

static const dv_cmd cmd_add = {
    .name = "user add",
    .args = "NAME",
    .summary = "Make a user, with a password that is asked for",
    .details =
        "The password is asked for twice on a terminal, else it is the first line of standard input. It has 8 to 1024\n"
        "bytes and is kept as Argon2id. Upper and lower case are the same in names.",
    .opts = add_opts,
    .n_opts = DV_ARRAY_LEN(add_opts),
    .min_args = 1,
    .max_args = 1,
    .run = add,
};

/* ---- list ---- */

/* clang-format off */
static const dv_opt list_opts[] = {
    {.name = "json", .type = DV_OPT_FLAG, .offset = offsetof(values, json), .help = "A JSON array"},
    DV_OPT_ROW_DATA_DIR(values, dir),
};
/* clang-format on */

static void put_user(dv_buf *b, const dv_user *u, bool json, bool first)
{
    char created[DV_DATA_TIME_LEN], login[DV_DATA_TIME_LEN];
    if (!json) {
        dv_buf_printf(b, "%5" PRId64 "  %-6s  %-23s  %-23s  %s\n", u->id, dv_role_name(u->role),
                      dv_data_time(created, u->created_ms), dv_data_time(login, u->login_ms), u->name);
        return;
    }
    /* Names are letters, digits and a few signs. */
    dv_buf_printf(
        b, "%s{\"id\":%" PRId64 ",\"name\":\"%s\",\"role\":\"%s\",\"created_ms\":%" PRIu64 ",\"login_ms\":%" PRIu64 "}",
        first ? "" : ",", u->id, u->name, dv_role_name(u->role), u->created_ms, u->login_ms);
}

static int print_list(const dv_cmd *cmd, const values *v, const dv_user_list *l)
{
    dv_buf b;
    dv_buf_init(&b, 0);
    if (v->json)
        dv_buf_addc(&b, '[');
    else
        dv_buf_printf(&b, "%5s  %-6s  %-23s  %-23s  %s\n", "ID", "ROLE", "CREATED", "LAST LOGIN", "NAME");
    for (size_t i = 0; i < l->n; i++)
        put_user(&b, &l->v[i], v->json, i == 0);
    if (v->json)
        dv_buf_adds(&b, "]\n");
    return dv_config_print(cmd, &b);
}

static int list(const dv_cmd *cmd, int argc, char **argv)
{
    values v;
    size_t n_args;
    int code;
    if (!dv_data_parse(cmd, argc, argv, &v, sizeof v, &v.dir, &n_args, &code))
        return code;
    dv_err err = {0};
    dv_store *s = NULL;
    dv_user_list l = {0};
    int rc = dv_data_open(cmd, v.dir, false, &s, &err);
    rc = rc != 0 ? rc : dv_user_list_get(s, &l, &err);
    code = rc != 0 ? dv_cmd_fail_err(cmd, &err) : print_list(cmd, &v, &l);
    dv_user_list_fini(&l);
    dv_store_close(&s);
    return code;
}

static const dv_cmd cmd_list = {
    .name = "user list",
    .args = "",
    .summary = "Show users and their roles",
    .opts = list_opts,
    .n_opts = DV_ARRAY_LEN(list_opts),
    .run = list,
};

/* ---- passwd, role, remove: something is done with a user ---- */

typedef int (*change)(dv_store *s, const dv_user *u, char **argv, dv_err *err);

static int with_user(const dv_cmd *cmd, int argc, char **argv, change what)
{
    values v;
    size_t n_args;
    int code;
    dv_user u;
    if (!dv_data_parse(cmd, argc, argv, &v, sizeof v, &v.dir, &n_args, &code))
        return code;
    dv_err err = {0};
    dv_store *s = NULL;
    int rc = dv_data_open(cmd, v.dir, false, &s, &err);
    rc = rc != 0 ? rc : find(s, argv[1], &u, &err);
    rc = rc != 0 ? rc : what(s, &u, argv, &err);
    code = rc != 0 ? dv_cmd_fail_err(cmd, &err) : DV_EXIT_OK;
    dv_store_close(&s);
    return code;
}

static int set_password(dv_store *s, const dv_user *u, char **argv, dv_err *err)
{
    char password[DV_CLI_PASSWORD_CAP];
    size_t n = 0;
    int rc = ask(u->name, password, &n, err);
    rc = rc != 0 ? rc : dv_user_set_password(s, u->id, password, n, dv_data_who(), err);
    sodium_memzero(password, sizeof password);
    if (rc == 0)
        printf("user '%s' has a new password; all sessions have ended\n", u->name);
    return rc;
}

static int passwd(const dv_cmd *cmd, int argc, char **argv) { return with_user(cmd, argc, argv, set_password); }

static const dv_cmd cmd_passwd = {
    .name = "user passwd",
    .args = "NAME",
    .summary = "Give a user another password",
    .details = "It is asked for as by 'drover user add'. Sessions of the user end.",
    .opts = dir_opts,
    .n_opts = DV_ARRAY_LEN(dir_opts),
    .min_args = 1,
    .max_args = 1,
    .run = passwd,
};

static int set_role(dv_store *s, const dv_user *u, char **argv, dv_err *err)
{
    dv_role role;
    if (!dv_role_parse(argv[2], &role))
        return dv_fail(err, DV_EINVAL, "the role must be one of viewer, user, admin, not '%s'", argv[2]);
    int rc = dv_user_set_role(s, u->id, role, dv_data_who(), err);
    if (rc == 0)
        printf("user '%s' is %s; all sessions have ended\n", u->name, dv_role_name(role));
    return rc;
}

static int role(const dv_cmd *cmd, int argc, char **argv) { return with_user(cmd, argc, argv, set_role); }

static const dv_cmd cmd_role = {
    .name = "user role",
    .args = "NAME ROLE",
    .summary = "Give a user another role: viewer, user or admin",
    .details = "Sessions of the user end.",
    .opts = dir_opts,
    .n_opts = DV_ARRAY_LEN(dir_opts),
    .min_args = 2,
    .max_args = 2,
    .run = role,
};

static int delete_user(dv_store *s, const dv_user *u, char **argv, dv_err *err)
{
    int rc = dv_user_delete(s, u->id, dv_data_who(), err);
    if (rc == 0)
        printf("user '%s' is removed, with all sessions and keys\n", u->name);
    return rc;
}

static int remove_user(const dv_cmd *cmd, int argc, char **argv) { return with_user(cmd, argc, argv, delete_user); }

static const dv_cmd cmd_remove = {
    .name = "user remove",
    .args = "NAME",
    .summary = "Remove a user, end all sessions, revoke the user's keys",
    .opts = dir_opts,
    .n_opts = DV_ARRAY_LEN(dir_opts),
    .min_args = 1,
    .max_args = 1,
    .run = remove_user,
};

/* ---- drover user ---- */

static int run(const dv_cmd *cmd, int argc, char **argv)
{
    static const dv_cmd *const list[] = {&cmd_add, &cmd_list, &cmd_passwd, &cmd_role, &cmd_remove};
    return dv_group_run(cmd, list, DV_ARRAY_LEN(list), argc, argv);
}

const dv_cmd dv_cmd_user = {
    .name = "user", .args = "COMMAND", .summary = "Manage who may log in to the service", .run = run};
