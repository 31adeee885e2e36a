/* SPDX-License-Identifier: MIT */
#include "api/settings.h"

#include "api/reply.h"
#include "base/attr.h"

#include <string.h>

static void put_num(dv_buf *b, const char *name, double v)
{
    dv_buf_printf(b, ",\"%s\":", name);
    dv_buf_json_num(b, v);
}

static void put_bool(dv_buf *b, const char *name, bool v)
{
    dv_buf_printf(b, ",\"%s\":%s", name, v ? "true" : "false");
}

/* A random seed is shown as the number that stands for it in llama-server: -1 of 32 bits. */
static void put_sampling(dv_buf *b, const dv__gen *g)
{
    const dv_sampling *s = &g->sampling;
    dv_buf_printf(b, "\"seed\":%lld", g->seed >= 0 ? (long long)g->seed : 4294967295LL);
    put_num(b, "temperature", (double)s->temperature);
    dv_buf_adds(b, ",\"dynatemp_range\":0.0,\"dynatemp_exponent\":1.0");
    put_num(b, "top_k", (double)g->top_k);
    put_num(b, "top_p", (double)s->top_p);
    put_num(b, "min_p", (double)s->min_p);
    dv_buf_adds(b, ",\"top_n_sigma\":-1.0,\"xtc_probability\":0.0,\"xtc_threshold\":0.1");
    put_num(b, "typical_p", (double)s->typical_p);
    put_num(b, "repeat_last_n", (double)g->last_n);
    put_num(b, "repeat_penalty", (double)s->repeat_penalty);
    put_num(b, "presence_penalty", (double)s->presence_penalty);
    put_num(b, "frequency_penalty", (double)s->frequency_penalty);
    dv_buf_adds(b, ",\"dry_multiplier\":0.0,\"dry_base\":1.75,\"dry_allowed_length\":2,\"dry_penalty_last_n\":-1,"
                   "\"mirostat\":0,\"mirostat_tau\":5.0,\"mirostat_eta\":0.1");
}

static void put_limits(dv_buf *b, const dv__gen *g)
{
    long long limit = g->no_tokens ? 0 : g->limit > 0 ? (long long)g->limit : -1;
    dv_buf_printf(b, ",\"max_tokens\":%lld,\"n_predict\":%lld,\"n_keep\":0,\"n_discard\":0", limit, limit);
    put_bool(b, "ignore_eos", g->ignore_end);
    put_bool(b, "stream", g->stream);
    dv_buf_printf(b, ",\"n_probs\":%u,\"min_keep\":0", g->n_probs);
}

/* The order is dv_sampling's. */
static void put_fixed(dv_buf *b, bool timings, bool post_probs)
{
    dv_buf_adds(b,
                ",\"chat_format\":\"Content-only\",\"reasoning_format\":\"none\",\"reasoning_in_content\":false,"
                "\"generation_prompt\":\"\",\"samplers\":[\"penalties\",\"temperature\",\"top_k\",\"typ_p\",\"top_p\","
                "\"min_p\"],\"speculative.types\":\"none\"");
    put_bool(b, "timings_per_token", timings);
    put_bool(b, "post_sampling_probs", post_probs);
    dv_buf_adds(b, ",\"backend_sampling\":false,\"lora\":[]");
}

static void put_bias(dv_buf *b, const dv_sampling *s)
{
    dv_buf_adds(b, ",\"logit_bias\":[");
    for (size_t i = 0; i < s->n_bias; i++) {
        dv_buf_printf(b, "%s{\"token\":%u,\"bias\":", i > 0 ? "," : "", s->bias[i].id);
        dv_buf_json_num(b, (double)s->bias[i].bias); /* null: the token is forbidden */
        dv_buf_addc(b, '}');
    }
    dv_buf_addc(b, ']');
}

void dv__put_settings(dv_buf *b, const dv__gen *g, const dv__settings_more *more)
{
    dv_buf_addc(b, '{');
    put_sampling(b, g);
    put_limits(b, g);
    dv_buf_adds(b, ",\"dry_sequence_breakers\":[\"\\n\",\":\",\"\\\"\",\"*\"],\"stop\":[");
    for (size_t i = 0; i < g->n_stop; i++) {
        dv_buf_adds(b, i > 0 ? "," : "");
        dv__put_str(b, g->stop[i]);
    }
    dv_buf_addc(b, ']');
    put_bias(b, &g->sampling);
    dv_buf_adds(b, ",\"grammar\":");
    dv__put_str(b, g->gbnf != NULL ? g->gbnf : "");
    dv_buf_adds(b, ",\"grammar_lazy\":false,\"grammar_triggers\":[],\"preserved_tokens\":[]");
    dv_buf_printf(b, ",\"t_max_predict_ms\":%u", more != NULL ? more->line_ms : 0);
    put_fixed(b, g->timings, more != NULL && more->post_probs);
    dv_buf_addc(b, '}');
}

void dv__put_default_settings(dv_buf *b, const dv_api *api)
{
    dv__gen g;
    dv__gen_init(&g, api);
    dv_buf_addc(b, '{');
    put_sampling(b, &g);
    put_limits(b, &g);
    put_fixed(b, false, false);
    dv_buf_addc(b, '}');
    dv__gen_fini(&g);
}

/* ---- samplers ---- */

/* Off here, so where they stand changes nothing. */
static bool is_neutral(const char *name)
{
    static const char *const off[] = {"dry", "top_n_sigma", "xtc"};
    for (size_t i = 0; i < DV_ARRAY_LEN(off); i++)
        if (strcmp(name, off[i]) == 0)
            return true;
    return false;
}

static const char *name_of_letter(char letter)
{
    static const char letters[] = "edskypmxt";
    static const char *const names[] = {"penalties", "dry",   "top_n_sigma", "top_k",      "typ_p",
                                        "top_p",     "min_p", "xtc",         "temperature"};
    const char *at = letter != 0 ? strchr(letters, letter) : NULL;
    return at != NULL ? names[at - letters] : NULL;
}

static const char *name_at(const json_t *samplers, size_t i)
{
    if (json_is_string(samplers))
        return name_of_letter(json_string_value(samplers)[i]);
    const char *name = json_string_value(json_array_get(samplers, i));
    return name != NULL && strcmp(name, "typical_p") == 0 ? "typ_p" : name;
}

/* Whether the samplers that are not off are exactly those of order, in that order. */
static bool is_order(const json_t *samplers, size_t n, const char *const *order, size_t n_order)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        const char *name = name_at(samplers, i);
        if (name == NULL)
            return false;
        if (is_neutral(name))
            continue;
        if (k == n_order || strcmp(name, order[k++]) != 0)
            return false;
    }
    return k == n_order;
}

int dv__settings_check_samplers(dv__call *c, const json_t *samplers, dv_err *err)
{
    static const char *const ours[] = {"penalties", "temperature", "top_k", "typ_p", "top_p", "min_p"};
    static const char *const theirs[] = {"penalties", "top_k", "typ_p", "top_p", "min_p", "temperature"};
    if (samplers == NULL)
        return 0;
    size_t n = json_is_string(samplers) ? json_string_length(samplers) : json_array_size(samplers);
    if (is_order(samplers, n, ours, DV_ARRAY_LEN(ours)) || is_order(samplers, n, theirs, DV_ARRAY_LEN(theirs)))
        return 0;
    return dv__param_fail(c, err, "samplers", "the samplers and their order are fixed: leave this field out");
}
