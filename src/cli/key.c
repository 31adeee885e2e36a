/* SPDX-License-Identifier: MIT */
/* drover key: API keys of the service. */
#include "store/key.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/word.h"
#include "cli/config_args.h"
#include "cli/data.h"
#include "cli/group.h"
#include "store/user.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

/* ---- create ---- */

typedef struct create_values {
    const char *dir, *expires, *user;
    dv_opt_list routes, models;
    uint64_t requests, tokens, concurrency, context;
    bool admin, json;
} create_values;

#define NUMBER(field_, name_, help_)                                                                 \
    {                                                                                                \
        .name = name_, .type = DV_OPT_UINT, .value = "N", .offset = offsetof(create_values, field_), \
        .max = UINT32_MAX, .help = help_                                                             \
    }
/* clang-format off */
static const dv_opt create_opts[] = {
    {.name = "route", .type = DV_OPT_LIST, .value = "PATTERN", .offset = offsetof(create_values, routes), .max = DV_SCOPE_PATTERNS,
     .help = "Only these routes: a group ('chat'), or a path ('/v1/*'); may be given several times"},
    {.name = "model", .type = DV_OPT_LIST, .value = "PATTERN", .offset = offsetof(create_values, models), .max = DV_SCOPE_PATTERNS,
     .help = "Only these models, by name; * and ? stand for any characters"},
    {.name = "admin", .type = DV_OPT_FLAG, .offset = offsetof(create_values, admin), .help = "Also what only administrators may do"},
    NUMBER(requests, "requests", "Requests per minute; 0: as the service's configuration says"),
    NUMBER(tokens, "tokens", "Tokens per minute; 0: the same"),
    NUMBER(concurrency, "concurrency", "Requests at a time; 0: the same"),
    NUMBER(context, "context", "Tokens of context of a request; 0: the same"),
    {.name = "expires", .type = DV_OPT_STRING, .value = "TIME", .offset = offsetof(create_values, expires),
     .help = "When it ends: '90d' from now, or '2027-01-31' (UTC)"},
    {.name = "user", .type = DV_OPT_STRING, .value = "NAME", .offset = offsetof(create_values, user), .help = "Whose it is; it is revoked when the user is removed"},
    {.name = "json", .type = DV_OPT_FLAG, .offset = offsetof(create_values, json), .help = "One JSON object"},
    DV_OPT_ROW_DATA_DIR(create_values, dir),
};
/* clang-format on */

static int owner_of(dv_store *s, const char *name, int64_t *owner, dv_err *err)
{
    dv_user u;
    *owner = 0;
    if (name == NULL)
        return 0;
    int rc = dv_user_find(s, name, strlen(name), &u, err);
    *owner = u.id;
    return rc == DV_ENOENT ? dv_err_prefix(err, "--user %s", name) : rc;
}

/* The key alone is on standard output, for KEY=$(drover key create ci); what people should know is not. */
static int print_key(const dv_cmd *cmd, dv_store *s, const create_values *v, const char *name, int64_t id,
                     const char *key)
{
    if (!v->json) {
        printf("%s\n", key);
        fprintf(stderr, "drover %s: key %" PRId64 " in %s; it is not shown again\n", cmd->name, id, dv_store_dir(s));
        return DV_EXIT_OK;
    }
    dv_buf b;
    dv_buf_init(&b, 0);
    dv_buf_printf(&b, "{\"id\":%" PRId64 ",\"name\":", id);
    dv_buf_json_str(&b, name, strlen(name));
    dv_buf_printf(&b, ",\"key\":\"%s\"}\n", key);
    return dv_config_print(cmd, &b);
}

static int create(const dv_cmd *cmd, int argc, char **argv)
{
    create_values v;
    size_t n_args;
    int code;
    dv_key_spec spec = {0};
    if (!dv_data_parse(cmd, argc, argv, &v, sizeof v, &v.dir, &n_args, &code))
        return code;
    if (v.expires != NULL && !dv_data_time_parse(v.expires, 1, &spec.scope.expires_ms))
        return dv_cmd_usage(cmd, "--expires must be a time such as 90d or 2027-01-31, not '%s'", v.expires);
    spec.name = argv[1];
    spec.scope.routes = (dv_patterns){v.routes.v, v.routes.n};
    spec.scope.models = (dv_patterns){v.models.v, v.models.n};
    spec.scope.admin = v.admin;
    spec.scope.requests_per_min = (uint32_t)v.requests;
    spec.scope.tokens_per_min = (uint32_t)v.tokens;
    spec.scope.concurrency = (uint32_t)v.concurrency;
    spec.scope.max_context = (uint32_t)v.context;

    char key[DV_KEY_LEN + 1] = "";
    int64_t id = 0;
    dv_err err = {0};
    dv_store *s = NULL;
    int rc = dv_data_open(cmd, v.dir, true, &s, &err);
    rc = rc != 0 ? rc : owner_of(s, v.user, &spec.owner, &err);
    rc = rc != 0 ? rc : dv_key_create(s, &spec, dv_data_who(), key, &id, &err);
    code = rc != 0 ? dv_cmd_fail_err(cmd, &err) : print_key(cmd, s, &v, argv[1], id, key);
    sodium_memzero(key, sizeof key);
    dv_store_close(&s);
    return code;
}

static const dv_cmd cmd_create = {
    .name = "key create",
    .args = "NAME",
    .summary = "Make a key and print it, this once",
    .details =
        "Without --route and --model a key is for every route that needs no administrator, and for every model. A\n"
        "running service knows it at once. Only a hash of it is kept: a key that was lost is revoked, and another one made.",
    .opts = create_opts,
    .n_opts = DV_ARRAY_LEN(create_opts),
    .min_args = 1,
    .max_args = 1,
    .run = create,
};

/* ---- list ---- */

typedef struct list_values {
    const char *dir;
    bool all, json;
} list_values;

/* clang-format off */
static const dv_opt list_opts[] = {
    {.name = "all", .short_name = 'a', .type = DV_OPT_FLAG, .offset = offsetof(list_values, all), .help = "Revoked keys too"},
    {.name = "json", .type = DV_OPT_FLAG, .offset = offsetof(list_values, json), .help = "A JSON array"},
    DV_OPT_ROW_DATA_DIR(list_values, dir),
};
/* clang-format on */

static const char *state_of(const dv_key *k)
{
    bool over = k->scope.expires_ms != 0 && k->scope.expires_ms <= dv_clock_wall_ms();
    return k->revoked_ms != 0 ? "revoked" : over ? "expired" : "live";
}

static void put_patterns(dv_buf *b, const char *what, const dv_patterns *p)
{
    if (p->n == 1 && strcmp(p->v[0], "*") == 0)
        return;
    dv_buf_printf(b, ", %s", what);
    for (size_t i = 0; i < p->n; i++) {
        dv_buf_addc(b, ' ');
        dv_buf_escaped(b, p->v[i], strlen(p->v[i]));
    }
}

static void put_number(dv_buf *b, uint32_t v, const char *what)
{
    if (v != 0)
        dv_buf_printf(b, ", %u %s", v, what);
}

static void put_line(dv_buf *b, const dv_key *k)
{
    char used[DV_DATA_TIME_LEN], until[DV_DATA_TIME_LEN];
    dv_buf_printf(b, "%5" PRId64 "  %-9s  %-7s  %-23s  ", k->id, k->prefix, state_of(k),
                  dv_data_time(used, k->used_ms));
    dv_buf_escaped(b, k->name, strlen(k->name));
    if (k->scope.admin)
        dv_buf_adds(b, ", admin");
    put_patterns(b, "routes", &k->scope.routes);
    put_patterns(b, "models", &k->scope.models);
    put_number(b, k->scope.requests_per_min, "requests/min");
    put_number(b, k->scope.tokens_per_min, "tokens/min");
    put_number(b, k->scope.concurrency, "at a time");
    put_number(b, k->scope.max_context, "tokens of context");
    if (k->scope.expires_ms != 0)
        dv_buf_printf(b, ", until %s", dv_data_time(until, k->scope.expires_ms));
    dv_buf_addc(b, '\n');
}

static void put_json_patterns(dv_buf *b, const char *name, const dv_patterns *p)
{
    dv_buf_printf(b, ",\"%s\":[", name);
    for (size_t i = 0; i < p->n; i++) {
        dv_buf_adds(b, i > 0 ? "," : "");
        dv_buf_json_str(b, p->v[i], strlen(p->v[i]));
    }
    dv_buf_addc(b, ']');
}

static void put_json(dv_buf *b, const dv_key *k)
{
    dv_buf_printf(b, "{\"id\":%" PRId64 ",\"name\":", k->id);
    dv_buf_json_str(b, k->name, strlen(k->name));
    dv_buf_printf(b, ",\"prefix\":\"%s\",\"state\":\"%s\",\"owner\":%" PRId64 ",\"admin\":%s", k->prefix, state_of(k),
                  k->owner, k->scope.admin ? "true" : "false");
    put_json_patterns(b, "routes", &k->scope.routes);
    put_json_patterns(b, "models", &k->scope.models);
    dv_buf_printf(b, ",\"requests_per_min\":%u,\"tokens_per_min\":%u,\"concurrency\":%u,\"max_context\":%u",
                  k->scope.requests_per_min, k->scope.tokens_per_min, k->scope.concurrency, k->scope.max_context);
    dv_buf_printf(
        b, ",\"created_ms\":%" PRIu64 ",\"used_ms\":%" PRIu64 ",\"expires_ms\":%" PRIu64 ",\"revoked_ms\":%" PRIu64 "}",
        k->created_ms, k->used_ms, k->scope.expires_ms, k->revoked_ms);
}

static int print_list(const dv_cmd *cmd, const list_values *v, const dv_key_list *l)
{
    dv_buf b;
    size_t n = 0;
    dv_buf_init(&b, 0);
    if (v->json)
        dv_buf_addc(&b, '[');
    else
        dv_buf_printf(&b, "%5s  %-9s  %-7s  %-23s  %s\n", "ID", "KEY", "STATE", "LAST USED", "NAME, SCOPE");
    for (size_t i = 0; i < l->n; i++) {
        if (l->v[i]->revoked_ms != 0 && !v->all)
            continue;
        if (v->json && n++ > 0)
            dv_buf_addc(&b, ',');
        (v->json ? put_json : put_line)(&b, l->v[i]);
    }
    if (v->json)
        dv_buf_adds(&b, "]\n");
    return dv_config_print(cmd, &b);
}

static int list(const dv_cmd *cmd, int argc, char **argv)
{
    list_values v;
    size_t n_args;
    int code;
    if (!dv_data_parse(cmd, argc, argv, &v, sizeof v, &v.dir, &n_args, &code))
        return code;
    dv_err err = {0};
    dv_store *s = NULL;
    dv_key_list l = {0};
    int rc = dv_data_open(cmd, v.dir, false, &s, &err);
    rc = rc != 0 ? rc : dv_key_list_get(s, &l, &err);
    code = rc != 0 ? dv_cmd_fail_err(cmd, &err) : print_list(cmd, &v, &l);
    dv_key_list_fini(&l);
    dv_store_close(&s);
    return code;
}

static const dv_cmd cmd_list = {
    .name = "key list",
    .args = "",
    .summary = "Show keys, what they may do, and when they were used",
    .details = "A service writes every half a minute when a key was used last.",
    .opts = list_opts,
    .n_opts = DV_ARRAY_LEN(list_opts),
    .run = list,
};

/* ---- revoke ---- */

typedef struct revoke_values {
    const char *dir;
} revoke_values;

static const dv_opt revoke_opts[] = {DV_OPT_ROW_DATA_DIR(revoke_values, dir)};

/* The live key that is called so, or has this number; not if these are two. */
static int find(const dv_key_list *l, const char *word, int64_t *id, dv_err *err)
{
    uint64_t number = 0;
    int64_t named = 0, numbered = 0;
    bool is_number = dv_word_u64(word, &number);
    for (size_t i = 0; i < l->n; i++) {
        if (l->v[i]->revoked_ms != 0)
            continue;
        if (strcmp(l->v[i]->name, word) == 0)
            named = l->v[i]->id;
        if (is_number && (uint64_t)l->v[i]->id == number)
            numbered = l->v[i]->id;
    }
    if (named != 0 && numbered != 0 && named != numbered)
        return dv_fail(err, DV_EINVAL, "'%s' is the name of key %" PRId64 " and the number of another", word, named);
    *id = named != 0 ? named : numbered;
    return *id != 0 ? 0 : dv_fail(err, DV_ENOENT, "there is no live key '%s'", word);
}

static int revoke_one(const dv_cmd *cmd, dv_store *s, const char *word, dv_err *err)
{
    dv_key_list l = {0};
    int64_t id = 0;
    int rc = dv_key_list_get(s, &l, err);
    rc = rc != 0 ? rc : find(&l, word, &id, err);
    rc = rc != 0 ? rc : dv_key_revoke(s, id, dv_data_who(), err);
    if (rc == 0)
        printf("key %" PRId64 " is revoked\n", id);
    dv_key_list_fini(&l);
    return rc;
}

static int revoke(const dv_cmd *cmd, int argc, char **argv)
{
    revoke_values v;
    size_t n_args;
    int code;
    if (!dv_data_parse(cmd, argc, argv, &v, sizeof v, &v.dir, &n_args, &code))
        return code;
    dv_err err = {0};
    dv_store *s = NULL;
    int rc = dv_data_open(cmd, v.dir, false, &s, &err);
    for (size_t i = 1; rc == 0 && i <= n_args; i++)
        rc = revoke_one(cmd, s, argv[i], &err);
    code = rc != 0 ? dv_cmd_fail_err(cmd, &err) : DV_EXIT_OK;
    dv_store_close(&s);
    return code;
}

static const dv_cmd cmd_revoke = {
    .name = "key revoke",
    .args = "(NAME | ID)...",
    .summary = "Make keys worthless",
    .details = "A running service refuses them within a tenth of a second. There is no way back.",
    .opts = revoke_opts,
    .n_opts = DV_ARRAY_LEN(revoke_opts),
    .min_args = 1,
    .max_args = 1000,
    .run = revoke,
};

/* ---- drover key ---- */

static int run(const dv_cmd *cmd, int argc, char **argv)
{
    static const dv_cmd *const list[] = {&cmd_create, &cmd_list, &cmd_revoke};
    return dv_group_run(cmd, list, DV_ARRAY_LEN(list), argc, argv);
}

const dv_cmd dv_cmd_key = {
    .name = "key", .args = "COMMAND", .summary = "Make, list and revoke API keys of the service", .run = run};
