/* SPDX-License-Identifier: MIT */
/* POST /completion and its alias /completions, as llama-server has them. */
#include "api/native.h"

#include "api/constraint.h"
#include "base/err.h"

#include <string.h>

enum { ANSWERS_MAX = 2048, FIELDS_MAX = 64 };

#define AT(field) offsetof(dv__native, field)

/* clang-format off */
static const dv__field rows[] = {
    {"n", DV__FIELD_U32, AT(gen.n), 1, DV_JOB_MAX_CHOICES, false, NULL},
    {"n_cmpl", DV__FIELD_U32, AT(gen.n), 1, DV_JOB_MAX_CHOICES, false, NULL},
    {"return_tokens", DV__FIELD_BOOL, AT(return_tokens), 0, 0, false, NULL},
    {"response_fields", DV__FIELD_LIST, AT(response_fields), 0, 0, false, NULL},
    {"post_sampling_probs", DV__FIELD_BOOL, AT(more.post_probs), 0, 0, false, NULL},
    {"t_max_predict_ms", DV__FIELD_U32, AT(more.line_ms), 0, 2147483647, false, NULL},
    {"samplers", DV__FIELD_JSON, AT(samplers), 0, 0, false, NULL},
    /* Guesses never change what is answered, so how many are made is the server's business. */
    {"speculative.n_max", DV__FIELD_U32, DV__FIELD_NOWHERE, 0, 1024, false, NULL},
    {"speculative.n_min", DV__FIELD_U32, DV__FIELD_NOWHERE, 0, 1024, false, NULL},
    {"speculative.p_min", DV__FIELD_F32, DV__FIELD_NOWHERE, 0, 1, false, NULL},
    {"image_data", DV__FIELD_REFUSED, 0, 0, 0, false, "images are not supported"},
    {"multimodal_data", DV__FIELD_REFUSED, 0, 0, 0, false, "images are not supported"},
    {"system_prompt", DV__FIELD_REFUSED, 0, 0, 0, false, "put it in front of the prompt: computed prefixes are kept"},
};

static const dv__field prompt_rows[] = {
    {"prompt", DV__FIELD_JSON, AT(prompt), 0, 0, false, NULL},
};
/* clang-format on */

const dv__fields dv__fields_native = {rows, DV_ARRAY_LEN(rows)};
static const dv__fields prompt_field = {prompt_rows, DV_ARRAY_LEN(prompt_rows)};

static void native_free(void *state)
{
    dv__native *k = state;
    for (size_t i = 0; i < k->n_answers; i++) {
        dv_buf_fini(&k->answer[i].text);
        dv_buf_fini(&k->answer[i].tokens);
        dv_buf_fini(&k->answer[i].probs);
    }
    dv__gen_fini(&k->gen);
    dv_free(k);
}

dv__native *dv__native_new(dv__call *c)
{
    dv__native *k = dv_calloc(DV_MEM_API, 1, sizeof *k);
    if (k == NULL)
        return NULL;
    dv__gen_init(&k->gen, c->api);
    c->state = k;
    c->fini = native_free;
    return k;
}

static int check_fields(dv__call *c, const dv__native *k, dv_err *err)
{
    size_t i;
    json_t *name;
    if (json_array_size(k->response_fields) > FIELDS_MAX)
        return dv__param_fail(c, err, "response_fields", "there may be at most %d", FIELDS_MAX);
    json_array_foreach((json_t *)k->response_fields, i, name)
    {
        if (!json_is_string(name))
            return dv__param_fail(c, err, "response_fields", "must be a list of strings");
    }
    return 0;
}

static int check(dv__call *c, const dv__native *k, dv_err *err)
{
    int rc = dv__settings_check_samplers(c, k->samplers, err);
    if (rc == 0)
        rc = check_fields(c, k, err);
    if (rc == 0 && k->more.post_probs && k->gen.n_probs == 0)
        rc = dv__param_fail(c, err, "post_sampling_probs", "needs n_probs");
    if (rc == 0 && k->prompts.n * k->gen.n > ANSWERS_MAX)
        rc = dv__param_fail(c, err, "n", "there would be more than %d answers", ANSWERS_MAX);
    return rc;
}

int dv__native_start(dv__call *c, dv__native *k, dv_err *err)
{
    int rc = check(c, k, err);
    if (rc == 0)
        rc = dv__gen_finish(c, &k->gen, err);
    if (rc == 0)
        rc = dv__constraint_text(c, &k->gen, err);
    if (rc != 0)
        return rc;
    dv_job_params *p = dv_arena_calloc(&c->arena, k->prompts.n, sizeof *p);
    k->answer = dv_arena_calloc(&c->arena, k->prompts.n * k->gen.n, sizeof *k->answer);
    if (p == NULL || k->answer == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    k->n_answers = k->prompts.n * k->gen.n;
    for (size_t i = 0; i < k->prompts.n; i++) {
        p[i] = dv__gen_job(&k->gen, k->prompts.v[i].id, k->prompts.v[i].n);
        p[i].post_probs = k->more.post_probs;
        p[i].line_ms = k->more.line_ms;
    }
    return dv__run_start(c, &dv__native_sink, p, (uint32_t)k->prompts.n, err);
}

static int post_completion(dv__call *c, dv_err *err)
{
    static const dv__fields *const tables[] = {&prompt_field, &dv__fields_native, &dv__fields_gen, &dv__fields_meta};
    dv__native *k = dv__native_new(c);
    if (k == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    int rc = dv__fields_read(c, c->body, NULL, tables, DV_ARRAY_LEN(tables), k, err);
    if (rc == 0)
        rc = dv__prompts_read(c, k->prompt, "prompt", true, &k->prompts, err);
    return rc == 0 ? dv__native_start(c, k, err) : rc;
}

static const dv__route routes[] = {
    {DV_HTTP_POST, "/completion", DV__ROUTE_JSON | DV__ROUTE_JOB, DV_STYLE_OPENAI, post_completion},
    {DV_HTTP_POST, "/completions", DV__ROUTE_JSON | DV__ROUTE_JOB, DV_STYLE_OPENAI, post_completion},
};
const dv__routes dv__routes_native = {routes, DV_ARRAY_LEN(routes)};
