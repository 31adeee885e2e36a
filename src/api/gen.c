/* SPDX-License-Identifier: MIT */
#include "api/gen.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/utf8.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define AT(field) offsetof(dv__gen, field)
#define INT_RANGE 0, 2147483647
#define SEED_MAX 9007199254740992.0 /* what a JSON number holds exactly */

/* clang-format off */
static const dv__field gen_rows[] = {
    {"temperature", DV__FIELD_F32, AT(sampling.temperature), 0, 100, false, NULL},
    {"top_p", DV__FIELD_F32, AT(sampling.top_p), 0, 1, false, NULL},
    {"top_k", DV__FIELD_I64, AT(top_k), -1, 2147483647, false, NULL},
    {"min_p", DV__FIELD_F32, AT(sampling.min_p), 0, 1, false, NULL},
    {"typical_p", DV__FIELD_F32, AT(sampling.typical_p), 0, 1, false, NULL},
    {"typ_p", DV__FIELD_F32, AT(sampling.typical_p), 0, 1, false, NULL},
    {"repeat_penalty", DV__FIELD_F32, AT(sampling.repeat_penalty), 0, 100, true, NULL},
    {"repeat_last_n", DV__FIELD_I64, AT(last_n), -1, 65536, false, NULL},
    {"presence_penalty", DV__FIELD_F32, AT(sampling.presence_penalty), -2, 2, false, NULL},
    {"frequency_penalty", DV__FIELD_F32, AT(sampling.frequency_penalty), -2, 2, false, NULL},
    {"seed", DV__FIELD_I64, AT(seed), -1, SEED_MAX, false, NULL},
    {"logit_bias", DV__FIELD_JSON, AT(bias_json), 0, 0, false, NULL},
    {"stop", DV__FIELD_JSON, AT(stop_json), 0, 0, false, NULL},
    {"ignore_eos", DV__FIELD_BOOL, AT(ignore_end), 0, 0, false, NULL},
    {"max_tokens", DV__FIELD_I64, AT(max_tokens), -1, 2147483647, false, NULL},
    {"n_predict", DV__FIELD_I64, AT(n_predict), -1, 2147483647, false, NULL},
    {"n_probs", DV__FIELD_U32, AT(n_probs), 0, DV_JOB_MAX_TOP, false, NULL},
    {"stream", DV__FIELD_BOOL, AT(stream), 0, 0, false, NULL},
    {"grammar", DV__FIELD_STR, AT(gbnf), 0, 0, false, NULL},
    {"json_schema", DV__FIELD_JSON, AT(schema), 0, 0, false, NULL},
    {"cache_prompt", DV__FIELD_BOOL, AT(cache), 0, 0, false, NULL},
    {"id_slot", DV__FIELD_I64, AT(slot), -1, 255, false, NULL},
    {"timings_per_token", DV__FIELD_BOOL, AT(timings), 0, 0, false, NULL},
    {"return_progress", DV__FIELD_BOOL, AT(progress), 0, 0, false, NULL},
    /* Without effect: they matter only when a context shifts, which drover's never do. */
    {"n_keep", DV__FIELD_I64, DV__FIELD_NOWHERE, -1, 2147483647, false, NULL},
    {"n_discard", DV__FIELD_U32, DV__FIELD_NOWHERE, INT_RANGE, false, NULL},
    {"min_keep", DV__FIELD_U32, DV__FIELD_NOWHERE, 0, 1, false, NULL},
    /* Samplers that drover does not have: their neutral value, and with it whatever else they take. */
    {"dynatemp_range", DV__FIELD_F32, DV__FIELD_NOWHERE, 0, 0, false, NULL},
    {"dynatemp_exponent", DV__FIELD_F32, DV__FIELD_NOWHERE, 0, 100, false, NULL},
    {"top_n_sigma", DV__FIELD_F32, DV__FIELD_NOWHERE, -1, 0, false, NULL},
    {"xtc_probability", DV__FIELD_F32, DV__FIELD_NOWHERE, 0, 0, false, NULL},
    {"xtc_threshold", DV__FIELD_F32, DV__FIELD_NOWHERE, 0, 1, false, NULL},
    {"dry_multiplier", DV__FIELD_F32, DV__FIELD_NOWHERE, 0, 0, false, NULL},
    {"dry_base", DV__FIELD_F32, DV__FIELD_NOWHERE, 0, 100, false, NULL},
    {"dry_allowed_length", DV__FIELD_U32, DV__FIELD_NOWHERE, INT_RANGE, false, NULL},
    {"dry_penalty_last_n", DV__FIELD_I64, DV__FIELD_NOWHERE, -1, 2147483647, false, NULL},
    {"dry_sequence_breakers", DV__FIELD_LIST, DV__FIELD_NOWHERE, 0, 0, false, NULL},
    {"mirostat", DV__FIELD_U32, DV__FIELD_NOWHERE, 0, 0, false, NULL},
    {"mirostat_tau", DV__FIELD_F32, DV__FIELD_NOWHERE, 0, 100, false, NULL},
    {"mirostat_eta", DV__FIELD_F32, DV__FIELD_NOWHERE, 0, 100, false, NULL},
    {"post_sampling_probs", DV__FIELD_BOOL, DV__FIELD_NOWHERE, 0, 0, false, "false"},
    {"n_indent", DV__FIELD_U32, DV__FIELD_NOWHERE, 0, 0, false, NULL},
    {"t_max_predict_ms", DV__FIELD_U32, DV__FIELD_NOWHERE, 0, 0, false, NULL},
    {"t_max_prompt_ms", DV__FIELD_I64, DV__FIELD_NOWHERE, -1, -1, false, NULL},
    {"samplers", DV__FIELD_REFUSED, 0, 0, 0, false, "the samplers and their order are fixed: leave this field out"},
    {"lora", DV__FIELD_REFUSED, 0, 0, 0, false, "adapters are not supported"},
    {"grammar_lazy", DV__FIELD_BOOL, DV__FIELD_NOWHERE, 0, 0, false, "false"},
};

static const dv__field meta_rows[] = {
    {"model", DV__FIELD_STR, DV__FIELD_NOWHERE, 0, 1024, false, NULL},
    {"user", DV__FIELD_STR, DV__FIELD_NOWHERE, 0, 4096, false, NULL},
    {"metadata", DV__FIELD_OBJECT, DV__FIELD_NOWHERE, 0, 0, false, NULL},
    {"safety_identifier", DV__FIELD_STR, DV__FIELD_NOWHERE, 0, 4096, false, NULL},
    {"prompt_cache_key", DV__FIELD_STR, DV__FIELD_NOWHERE, 0, 4096, false, NULL},
    {"prompt_cache_retention", DV__FIELD_STR, DV__FIELD_NOWHERE, 0, 0, false, "in-memory|in_memory|24h"},
    {"service_tier", DV__FIELD_STR, DV__FIELD_NOWHERE, 0, 0, false, "auto|default"},
    {"store", DV__FIELD_BOOL, DV__FIELD_NOWHERE, 0, 0, false, "false"},
};
/* clang-format on */

const dv__fields dv__fields_gen = {gen_rows, DV_ARRAY_LEN(gen_rows)};
const dv__fields dv__fields_meta = {meta_rows, DV_ARRAY_LEN(meta_rows)};

uint64_t dv__gen_random(void)
{
    uint64_t v;
    if (getrandom(&v, sizeof v, 0) != (ssize_t)sizeof v)
        v = dv_clock_ns(); /* only variety is lost */
    return v;
}

void dv__gen_init(dv__gen *g, const dv_api *api)
{
    *g = (dv__gen){
        .sampling = api->o.sampling,
        .top_k = api->o.sampling.top_k,
        .last_n = api->o.sampling.penalty_last_n,
        .seed = api->o.fixed_seed ? (int64_t)api->o.sampling.seed : -1,
        .max_tokens = DV__GEN_UNSET,
        .max_completion_tokens = DV__GEN_UNSET,
        .n_predict = DV__GEN_UNSET,
        .limit = api->o.max_tokens,
        .n = 1,
        .cache = true,
        .slot = -1,
    };
}

void dv__gen_fini(dv__gen *g) { dv_grammar_unref(&g->grammar); }

static const char *stop_name(const dv__gen *g) { return g->stop_field != NULL ? g->stop_field : "stop"; }

static int add_stop(dv__call *c, dv__gen *g, const json_t *v, dv_err *err)
{
    size_t len = json_string_length(v);
    if (!json_is_string(v) || len == 0 || len > DV_STOP_MAX_LEN)
        return dv__param_fail(c, err, stop_name(g), "each must be a string of 1 to %d bytes", DV_STOP_MAX_LEN);
    if (g->n_stop == DV__GEN_MAX_STOP)
        return dv__param_fail(c, err, stop_name(g), "there may be at most %d", DV__GEN_MAX_STOP);
    g->stop[g->n_stop++] = json_string_value(v);
    return 0;
}

static int read_stop(dv__call *c, dv__gen *g, dv_err *err)
{
    size_t i;
    json_t *v;
    if (g->stop_json == NULL)
        return 0;
    if (json_is_string(g->stop_json))
        return add_stop(c, g, g->stop_json, err);
    if (!json_is_array(g->stop_json))
        return dv__param_fail(c, err, stop_name(g), "must be a string or a list of strings");
    json_array_foreach((json_t *)g->stop_json, i, v)
    {
        int rc = add_stop(c, g, v, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* ---- logit_bias: {"15043": -1, "Hello": false} or [[15043, 1.0], ["Hello", false]] ---- */

typedef struct biases {
    dv_logit_bias *v;
    size_t n, cap;
} biases;

static int add_bias(dv__call *c, biases *b, int64_t id, float value, dv_err *err)
{
    if (id < 0 || (uint64_t)id >= dv_tok_n_vocab(c->api->engine->tok))
        return dv__param_fail(c, err, "logit_bias", "%lld is no token of this model", (long long)id);
    if (b->n == b->cap)
        return dv__param_fail(c, err, "logit_bias", "there are more than %zu tokens in it", b->cap);
    b->v[b->n++] = (dv_logit_bias){.id = (uint32_t)id, .bias = value};
    return 0;
}

static int add_text_bias(dv__call *c, biases *b, const char *text, float value, dv_err *err)
{
    dv_ids ids = {0};
    int rc = dv_tok_encode(c->api->engine->tok, text, strlen(text), 0, &ids, err);
    for (size_t i = 0; i < ids.len && rc == 0; i++)
        rc = add_bias(c, b, ids.id[i], value, err);
    dv_ids_fini(&ids);
    return rc;
}

static int one_bias(dv__call *c, biases *b, const json_t *id, const char *text, const json_t *value, dv_err *err)
{
    double v = json_is_false(value) ? -INFINITY : json_number_value(value);
    int64_t n;
    if (!json_is_false(value) && (!json_is_number(value) || !(fabs(v) <= 1e6)))
        return dv__param_fail(c, err, "logit_bias", "a bias must be a number from -1e6 to 1e6, or false");
    if (id != NULL && dv__json_whole(id, -1, UINT32_MAX, &n))
        return add_bias(c, b, n, (float)v, err);
    if (text == NULL)
        return dv__param_fail(c, err, "logit_bias", "tokens are whole numbers or texts");
    if (text[0] != 0 && text[strspn(text, "0123456789")] == 0)
        return add_bias(c, b, strlen(text) < 12 ? strtoll(text, NULL, 10) : -1, (float)v, err);
    return add_text_bias(c, b, text, (float)v, err);
}

static int read_biases(dv__call *c, biases *b, const json_t *json, dv_err *err)
{
    const char *key;
    json_t *v;
    size_t i;
    int rc = 0;
    json_object_foreach((json_t *)json, key, v) if ((rc = one_bias(c, b, NULL, key, v, err)) != 0) return rc;
    json_array_foreach((json_t *)json, i, v)
    {
        const json_t *id = json_array_get(v, 0);
        if (json_array_size(v) != 2)
            return dv__param_fail(c, err, "logit_bias", "a list of pairs [token, bias] is needed");
        if ((rc = one_bias(c, b, id, json_string_value(id), json_array_get(v, 1), err)) != 0)
            return rc;
    }
    return 0;
}

static int read_bias(dv__call *c, dv__gen *g, dv_err *err)
{
    const json_t *json = g->bias_json;
    if (json == NULL)
        return 0;
    if (!json_is_object(json) && !json_is_array(json))
        return dv__param_fail(c, err, "logit_bias", "must be an object or a list of pairs");
    biases b = {.cap = DV_SAMPLER_MAX_BIAS};
    size_t n = json_object_size(json) + json_array_size(json);
    if (n > b.cap)
        return dv__param_fail(c, err, "logit_bias", "there are more than %zu tokens in it", b.cap);
    if (n == 0)
        return 0;
    b.cap = DV_MIN(b.cap, 16 * n + 256); /* texts may be several tokens */
    b.v = dv_arena_calloc(&c->arena, b.cap, sizeof *b.v);
    if (b.v == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    int rc = read_biases(c, &b, json, err);
    g->sampling.bias = b.v;
    g->sampling.n_bias = b.n;
    return rc;
}

/* ---- what depends on several fields ---- */

static int read_limit(dv__call *c, dv__gen *g, dv_err *err)
{
    const int64_t said[] = {g->max_completion_tokens, g->max_tokens, g->n_predict};
    int64_t limit = DV__GEN_UNSET;
    for (size_t i = 0; i < DV_ARRAY_LEN(said); i++) {
        if (said[i] == DV__GEN_UNSET)
            continue;
        if (limit != DV__GEN_UNSET && limit != said[i])
            return dv__param_fail(c, err, i == 1 ? "max_tokens" : "n_predict",
                                  "contradicts another limit of the request");
        limit = said[i];
    }
    if (limit == DV__GEN_UNSET)
        return 0;
    g->no_tokens = limit == 0;
    g->limit = limit > 0 ? (uint32_t)limit : 0;
    return 0;
}

static int read_stream_options(dv__call *c, dv__gen *g, dv_err *err)
{
    static const dv__field rows[] = {
        {"include_usage", DV__FIELD_BOOL, AT(include_usage), 0, 0, false, NULL},
        {"include_obfuscation", DV__FIELD_BOOL, DV__FIELD_NOWHERE, 0, 0, false, "false"},
    };
    static const dv__fields table = {rows, DV_ARRAY_LEN(rows)};
    const dv__fields *const tables[] = {&table};
    if (g->stream_options == NULL)
        return 0;
    if (!g->stream)
        return dv__param_fail(c, err, "stream_options", "only goes with stream");
    return dv__fields_read(c, g->stream_options, "stream_options", tables, 1, g, err);
}

int dv__gen_finish(dv__call *c, dv__gen *g, dv_err *err)
{
    dv_sampling *s = &g->sampling;
    s->top_k = g->top_k > 0 ? (uint32_t)g->top_k : 0;
    s->penalty_last_n = g->last_n >= 0 ? (uint32_t)g->last_n : DV_SAMPLER_MAX_LAST_N;
    s->seed = g->seed >= 0 ? (uint64_t)g->seed : dv__gen_random();
    /* 0 asks for the fewest tokens there can be: one. */
    s->top_p = DV_MAX(s->top_p, FLT_MIN);
    s->typical_p = DV_MAX(s->typical_p, FLT_MIN);
    int rc = read_stop(c, g, err);
    if (rc == 0)
        rc = read_bias(c, g, err);
    if (rc == 0)
        rc = read_limit(c, g, err);
    if (rc == 0)
        rc = read_stream_options(c, g, err);
    c->stream = g->stream;
    return rc;
}

dv_job_params dv__gen_job(const dv__gen *g, const uint32_t *prompt, size_t n)
{
    return (dv_job_params){
        .kind = DV_JOB_GENERATE,
        .prompt = prompt,
        .n_prompt = n,
        .sampling = g->sampling,
        .n = g->n,
        .max_tokens = g->limit,
        .no_tokens = g->no_tokens,
        .stop = g->stop,
        .n_stop = g->n_stop,
        .ignore_end = g->ignore_end,
        .grammar = g->grammar,
        .logprobs = g->logprobs || g->n_probs > 0,
        .n_top = DV_MAX(g->top_logprobs, g->n_probs),
        .no_cache = !g->cache,
        .slot = (int)g->slot,
    };
}
