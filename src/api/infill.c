/* SPDX-License-Identifier: MIT */
/* POST /infill: the text between a prefix and a suffix, from models that have tokens for it. Other files of the project go in front. */
#include "api/native.h"
#include "base/err.h"

#include <string.h>

enum { EXTRA_MAX = 1024 };

#define AT(field) offsetof(dv__native, field)

static const dv__field rows[] = {
    {"input_prefix", DV__FIELD_STR, AT(prefix), 0, 1 << 25, false, NULL},
    {"input_suffix", DV__FIELD_STR, AT(suffix), 0, 1 << 25, false, NULL},
    {"input_extra", DV__FIELD_LIST, AT(extra), 0, 0, false, NULL},
    {"prompt", DV__FIELD_STR, AT(middle), 0, 1 << 25, false, NULL},
};
static const dv__fields fields = {rows, DV_ARRAY_LEN(rows)};

/* A prompt that grows; the first failure sticks in rc. */
typedef struct prompt {
    const dv_tok *tok;
    dv_ids ids;
    int rc;
    dv_err *err;
} prompt;

static void add_role(prompt *p, dv_tok_role role)
{
    int32_t id = dv_tok_role_id(p->tok, role);
    if (p->rc == 0 && id >= 0 && (p->rc = dv_ids_add(&p->ids, &id, 1)) != 0)
        dv_fail(p->err, p->rc, "%s", dv_error_text(p->rc));
}

/* Texts are of files: whatever they spell, no control token comes of it. */
static void add_text(prompt *p, const char *text)
{
    if (p->rc == 0)
        p->rc = dv_tok_encode(p->tok, text, strlen(text), 0, &p->ids, p->err);
}

/* Each file behind its name where the model has a separator, else behind a line that no source file is likely to have. */
static void add_extra(prompt *p, const json_t *extra)
{
    bool sep = dv_tok_role_id(p->tok, DV_TOK_FIM_SEP) >= 0;
    size_t i;
    json_t *file;
    if (dv_tok_role_id(p->tok, DV_TOK_FIM_REP) >= 0) {
        add_role(p, DV_TOK_FIM_REP);
        add_text(p, "myproject\n");
    }
    json_array_foreach((json_t *)extra, i, file)
    {
        const char *name = json_string_value(json_object_get(file, "filename"));
        add_role(p, DV_TOK_FIM_SEP);
        add_text(p, sep ? (name != NULL ? name : "tmp") : "\n\n--- snippet ---\n\n");
        add_text(p, sep ? "\n" : "");
        add_text(p, json_string_value(json_object_get(file, "text")));
    }
    if (sep) {
        add_role(p, DV_TOK_FIM_SEP);
        add_text(p, "filename\n");
    }
}

static int check_extra(dv__call *c, const json_t *extra, dv_err *err)
{
    size_t i;
    json_t *file;
    if (json_array_size(extra) > EXTRA_MAX)
        return dv__param_fail(c, err, "input_extra", "there may be at most %d", EXTRA_MAX);
    json_array_foreach((json_t *)extra, i, file)
    {
        const json_t *name = json_object_get(file, "filename");
        if (!json_is_object(file))
            return dv__param_fail(c, err, "input_extra", "must be a list of objects with filename and text");
        if (!json_is_string(json_object_get(file, "text")))
            return dv__param_fail(c, err, "input_extra", "entry %zu: text must be a string", i);
        if (name != NULL && !json_is_string(name))
            return dv__param_fail(c, err, "input_extra", "entry %zu: filename must be a string", i);
    }
    return 0;
}

static int check_model(const dv__call *c, dv_err *err)
{
    static const struct {
        dv_tok_role role;
        const char *name;
    } need[] = {{DV_TOK_FIM_PRE, "prefix"}, {DV_TOK_FIM_SUF, "suffix"}, {DV_TOK_FIM_MID, "middle"}};
    for (size_t i = 0; i < DV_ARRAY_LEN(need); i++)
        if (dv_tok_role_id(c->api->engine->tok, need[i].role) < 0)
            return dv_fail(err, DV_EUNSUPPORTED, "this model was not trained to fill in: it has no %s token",
                           need[i].name);
    return 0;
}

static int make_prompt(dv__call *c, dv__native *k, dv_err *err)
{
    prompt p = {.tok = c->api->engine->tok, .ids = {.max = DV_API_MAX_TOKENS}, .err = err};
    if (dv_tok_adds_bos(p.tok))
        add_role(&p, DV_TOK_BOS);
    add_extra(&p, k->extra);
    add_role(&p, DV_TOK_FIM_PRE);
    add_text(&p, k->prefix);
    add_text(&p, k->middle != NULL ? k->middle : "");
    add_role(&p, DV_TOK_FIM_SUF);
    add_text(&p, k->suffix);
    add_role(&p, DV_TOK_FIM_MID);
    k->prompts.n = 1;
    k->prompts.v = dv_arena_calloc(&c->arena, 1, sizeof *k->prompts.v);
    if (p.rc == 0 && k->prompts.v == NULL)
        p.rc = dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    if (p.rc == 0)
        p.rc = dv__prompt_from_ids(c, &p.ids, k->prompts.v, err);
    dv_ids_fini(&p.ids);
    return dv__prompt_limit(c, p.rc, err);
}

static int post_infill(dv__call *c, dv_err *err)
{
    static const dv__fields *const tables[] = {&fields, &dv__fields_native, &dv__fields_gen, &dv__fields_meta};
    int rc = check_model(c, err);
    if (rc != 0)
        return rc;
    dv__native *k = dv__native_new(c);
    if (k == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    rc = dv__fields_read(c, c->body, NULL, tables, DV_ARRAY_LEN(tables), k, err);
    if (rc == 0 && k->prefix == NULL)
        rc = dv__param_fail(c, err, "input_prefix", "is needed");
    if (rc == 0 && k->suffix == NULL)
        rc = dv__param_fail(c, err, "input_suffix", "is needed");
    if (rc == 0)
        rc = check_extra(c, k->extra, err);
    if (rc == 0)
        rc = make_prompt(c, k, err);
    return rc == 0 ? dv__native_start(c, k, err) : rc;
}

static const dv__route routes[] = {
    {DV_HTTP_POST, "/infill", DV__ROUTE_JSON | DV__ROUTE_JOB, DV_STYLE_OPENAI, post_infill},
};
const dv__routes dv__routes_infill = {routes, DV_ARRAY_LEN(routes)};
