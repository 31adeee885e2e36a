/* SPDX-License-Identifier: MIT */
/* POST /v1/completions: prompts of text or tokens, several at once, with echo and log-probabilities. Choice i of prompt p is choice
 * p * n + i of the answer. */
#include "api/constraint.h"
#include "api/prompt.h"
#include "api/reply.h"
#include "api/run.h"
#include "base/err.h"
#include "base/utf8.h"

#include <string.h>

enum { LOGPROBS_MAX = 20, CHOICES_MAX = 2048 };

/* The four parallel lists of legacy logprobs, without their brackets. */
typedef struct logs {
    dv_buf tokens, logprobs, top, offsets;
    size_t at; /* characters of the text so far */
} logs;

typedef struct answer {
    dv_buf text;
    logs logs;
    bool begun;
    dv_stop reason;
    uint32_t n_tokens;    /* sampled */
    dv_job_timing timing; /* of its job, as of the newest event */
} answer;

typedef struct completion {
    dv__gen gen; /* first: tables of fields may write to the completion */
    const json_t *prompt;
    const char *suffix;
    uint32_t best_of;
    int64_t n_logprobs; /* -1: none */
    bool echo;
    time_t created;
    dv__prompts prompts;
    size_t n_answers;
    answer *answer; /* [n_answers] in the call's arena */
} completion;

#define AT(field) offsetof(completion, field)

/* clang-format off */
static const dv__field rows[] = {
    {"prompt", DV__FIELD_JSON, AT(prompt), 0, 0, false, NULL},
    {"suffix", DV__FIELD_STR, AT(suffix), 0, 0, false, NULL},
    {"echo", DV__FIELD_BOOL, AT(echo), 0, 0, false, NULL},
    {"logprobs", DV__FIELD_I64, AT(n_logprobs), 0, LOGPROBS_MAX, false, NULL},
    {"n", DV__FIELD_U32, AT(gen.n), 1, DV_JOB_MAX_CHOICES, false, NULL},
    {"best_of", DV__FIELD_U32, AT(best_of), 1, DV_JOB_MAX_CHOICES, false, NULL},
    {"stream_options", DV__FIELD_OBJECT, AT(gen.stream_options), 0, 0, false, NULL},
    {"response_format", DV__FIELD_OBJECT, AT(gen.response_format), 0, 0, false, NULL},
};
/* clang-format on */

static const dv__fields fields = {rows, DV_ARRAY_LEN(rows)};

static void completion_free(void *state)
{
    completion *k = state;
    for (size_t i = 0; i < k->n_answers; i++) {
        answer *a = &k->answer[i];
        dv_buf_fini(&a->text);
        dv_buf_fini(&a->logs.tokens);
        dv_buf_fini(&a->logs.logprobs);
        dv_buf_fini(&a->logs.top);
        dv_buf_fini(&a->logs.offsets);
    }
    dv__gen_fini(&k->gen);
    dv_free(k);
}

/* ---- logprobs ---- */

static void add_log(logs *l, const dv_tok *tok, uint32_t id, const float *logprob, const dv_job_prob *top,
                    uint32_t n_top)
{
    const char *comma = l->tokens.len > 0 ? "," : "";
    dv_str s = dv_tok_piece(tok, (int32_t)id);
    dv_buf_adds(&l->tokens, comma);
    dv__put_piece(&l->tokens, tok, id);
    dv_buf_adds(&l->logprobs, comma);
    if (logprob != NULL)
        dv__put_logprob(&l->logprobs, *logprob);
    else
        dv_buf_adds(&l->logprobs, "null");
    dv_buf_printf(&l->offsets, "%s%zu", comma, l->at);
    l->at += dv_utf8_count(s.p, s.n);
    dv_buf_adds(&l->top, comma);
    dv_buf_adds(&l->top, logprob != NULL ? "{" : "null");
    for (uint32_t i = 0; logprob != NULL && i < n_top; i++) {
        dv_buf_adds(&l->top, i > 0 ? "," : "");
        dv__put_piece(&l->top, tok, top[i].id);
        dv_buf_addc(&l->top, ':');
        dv__put_logprob(&l->top, top[i].logprob);
    }
    if (logprob != NULL)
        dv_buf_addc(&l->top, '}');
}

static void put_logs(dv_buf *b, completion *k, logs *l)
{
    if (k->n_logprobs < 0) {
        dv_buf_adds(b, ",\"logprobs\":null");
        return;
    }
    dv_buf_printf(b,
                  ",\"logprobs\":{\"tokens\":[%s],\"token_logprobs\":[%s],\"top_logprobs\":[%s],\"text_offset\":[%s]}",
                  dv_buf_str(&l->tokens), dv_buf_str(&l->logprobs), dv_buf_str(&l->top), dv_buf_str(&l->offsets));
    dv_buf_clear(&l->tokens);
    dv_buf_clear(&l->logprobs);
    dv_buf_clear(&l->top);
    dv_buf_clear(&l->offsets);
}

/* ---- writing ---- */

static void put_ids(dv_buf *b, const dv__call *c)
{
    const completion *k = c->state;
    dv_buf_printf(b,
                  "{\"id\":\"cmpl-%s\",\"object\":\"text_completion\",\"created\":%lld,\"model\":", dv_http_id(c->req),
                  (long long)k->created);
    dv__put_str(b, dv__call_model(c));
    dv_buf_printf(b, ",\"system_fingerprint\":\"%s\"", dv__fingerprint());
}

static void put_choice(dv_buf *b, completion *k, size_t i, const char *text, size_t n, const char *finish)
{
    dv_buf_printf(b, "{\"index\":%zu,\"text\":", i);
    dv_buf_json_str(b, text, n);
    put_logs(b, k, &k->answer[i].logs);
    if (finish != NULL)
        dv_buf_printf(b, ",\"finish_reason\":\"%s\"}", finish);
    else
        dv_buf_adds(b, ",\"finish_reason\":null}");
}

/* llama-server's numbers so far: with every chunk if they were asked for, else with an answer's last one if no chunk with the usage
 * follows; the usage of the only answer then too. */
static void put_numbers(dv_buf *b, const completion *k, const answer *a, bool last)
{
    dv_job_timing t = a->timing;
    t.n_predicted = a->n_tokens;
    if (k->gen.include_usage)
        dv_buf_adds(b, ",\"usage\":null");
    else if (last && k->n_answers == 1)
        dv__put_usage(b, &t);
    if (k->gen.timings || (last && !k->gen.include_usage))
        dv__put_timings(b, &t);
}

static int put_chunk(dv__call *c, size_t i, const char *text, size_t n, const char *finish)
{
    completion *k = c->state;
    dv__sse_begin(&c->out);
    put_ids(&c->out, c);
    dv_buf_adds(&c->out, ",\"choices\":[");
    put_choice(&c->out, k, i, text, n, finish);
    dv_buf_addc(&c->out, ']');
    put_numbers(&c->out, k, &k->answer[i], finish != NULL);
    dv_buf_addc(&c->out, '}');
    dv__sse_end(&c->out);
    return c->out.code;
}

static int put_progress(dv__call *c, const dv_job_event *ev)
{
    completion *k = c->state;
    if (!c->stream || !k->gen.progress)
        return 0;
    dv__sse_begin(&c->out);
    put_ids(&c->out, c);
    dv_buf_adds(&c->out, ",\"choices\":[]");
    dv__put_progress(&c->out, c, ev);
    dv_buf_addc(&c->out, '}');
    dv__sse_end(&c->out);
    return c->out.code;
}

static int on_text(dv__call *c, size_t i, const char *text, size_t n)
{
    completion *k = c->state;
    return c->stream ? put_chunk(c, i, text, n, NULL) : dv_buf_add(&k->answer[i].text, text, n);
}

/* The prompt itself, before anything else of its answer. */
static int echo_prompt(dv__call *c, size_t prompt, size_t i)
{
    completion *k = c->state;
    const dv__prompt *p = &k->prompts.v[prompt];
    answer *a = &k->answer[i];
    if (a->begun || !k->echo)
        return 0;
    a->begun = true;
    dv_buf text;
    dv_buf_init(&text, 0);
    int rc = dv_tok_decode(c->api->engine->tok, (const int32_t *)p->id, p->n, DV_DETOK_START, &text);
    if (rc == 0)
        rc = on_text(c, i, dv_buf_str(&text), text.len);
    dv_buf_fini(&text);
    return rc;
}

static int on_token(dv__call *c, answer *a, const dv_job_event *ev)
{
    completion *k = c->state;
    a->n_tokens++;
    if (k->n_logprobs < 0 || dv_tok_is_eog(c->api->engine->tok, (int32_t)ev->id))
        return 0;
    add_log(&a->logs, c->api->engine->tok, ev->id, &ev->logprob, ev->top, ev->n_top);
    return a->logs.top.code;
}

static int on_prompt_token(dv__call *c, size_t prompt, size_t i, const dv_job_event *ev)
{
    completion *k = c->state;
    const dv_tok *tok = c->api->engine->tok;
    logs *l = &k->answer[i].logs;
    if (ev->at == 1)
        add_log(l, tok, k->prompts.v[prompt].id[0], NULL, NULL, 0);
    add_log(l, tok, ev->id, &ev->logprob, ev->top, ev->n_top);
    return l->top.code;
}

static int on_choice(dv__call *c, size_t i, const dv_job_event *ev)
{
    completion *k = c->state;
    k->answer[i].reason = ev->reason;
    return c->stream ? put_chunk(c, i, "", 0, dv__finish_reason(ev->reason, false)) : 0;
}

static int on_event(dv__call *c, uint32_t item, const dv_job_event *ev)
{
    completion *k = c->state;
    size_t i = (size_t)item * k->gen.n + ev->index;
    int rc;
    k->answer[i].timing = *ev->timing;
    switch (ev->type) {
    case DV_JOB_STARTED:
    case DV_JOB_PROGRESS: return put_progress(c, ev);
    case DV_JOB_PROMPT: return on_prompt_token(c, item, i, ev);
    case DV_JOB_TOKEN: rc = echo_prompt(c, item, i); return rc != 0 ? rc : on_token(c, &k->answer[i], ev);
    case DV_JOB_TEXT: rc = echo_prompt(c, item, i); return rc != 0 ? rc : on_text(c, i, ev->text, ev->len);
    case DV_JOB_CHOICE: rc = echo_prompt(c, item, i); return rc != 0 ? rc : on_choice(c, i, ev);
    default: return 0;
    }
}

static int stream_done(dv__call *c)
{
    const completion *k = c->state;
    if (k->gen.include_usage) {
        dv__sse_begin(&c->out);
        put_ids(&c->out, c);
        dv_buf_adds(&c->out, ",\"choices\":[]");
        dv__put_usage(&c->out, dv__run_timing(c));
        dv__put_timings(&c->out, dv__run_timing(c));
        dv_buf_addc(&c->out, '}');
        dv__sse_end(&c->out);
    }
    dv__sse_begin(&c->out);
    dv_buf_adds(&c->out, "[DONE]");
    dv__sse_end(&c->out);
    return c->out.code;
}

static int on_done(dv__call *c)
{
    completion *k = c->state;
    if (c->stream)
        return stream_done(c);
    put_ids(&c->out, c);
    dv_buf_adds(&c->out, ",\"choices\":[");
    for (size_t i = 0; i < k->n_answers; i++) {
        answer *a = &k->answer[i];
        dv_buf_adds(&c->out, i > 0 ? "," : "");
        put_choice(&c->out, k, i, dv_buf_str(&a->text), a->text.len, dv__finish_reason(a->reason, false));
    }
    dv_buf_addc(&c->out, ']');
    dv__put_usage(&c->out, dv__run_timing(c));
    dv__put_timings(&c->out, dv__run_timing(c));
    return dv_buf_addc(&c->out, '}');
}

/* ---- reading ---- */

/* Prefix, suffix and the place between them, in the words of models that were trained for it. */
static int put_suffix(dv__call *c, completion *k, dv_err *err)
{
    const dv_tok *tok = c->api->engine->tok;
    int32_t pre = dv_tok_role_id(tok, DV_TOK_FIM_PRE), suf = dv_tok_role_id(tok, DV_TOK_FIM_SUF),
            mid = dv_tok_role_id(tok, DV_TOK_FIM_MID);
    if (k->suffix == NULL || k->suffix[0] == 0)
        return 0;
    if (pre < 0 || suf < 0 || mid < 0)
        return dv__param_fail(c, err, "suffix", "this model was not trained to fill in a middle");
    if (k->echo)
        return dv__param_fail(c, err, "suffix", "does not go with echo");
    for (size_t i = 0; i < k->prompts.n; i++) {
        dv__prompt *p = &k->prompts.v[i];
        dv_ids ids = {.max = DV_API_MAX_TOKENS};
        int rc = dv_ids_add(&ids, &pre, 1);
        rc = rc != 0 ? rc : dv_ids_add(&ids, (const int32_t *)p->id, p->n);
        rc = rc != 0 ? rc : dv_ids_add(&ids, &suf, 1);
        rc = rc != 0 ? rc : dv_tok_encode(tok, k->suffix, strlen(k->suffix), 0, &ids, err);
        rc = rc != 0 ? rc : dv_ids_add(&ids, &mid, 1);
        rc = rc != 0 ? rc : dv__prompt_from_ids(c, &ids, p, err);
        dv_ids_fini(&ids);
        if (rc != 0)
            return dv__prompt_limit(c, rc, err);
    }
    return 0;
}

static int check(dv__call *c, completion *k, dv_err *err)
{
    if (k->best_of != 0 && k->best_of != k->gen.n)
        return dv__param_fail(c, err, "best_of",
                              "choosing among several answers is not supported: it must be the same as n");
    if (k->prompts.n * k->gen.n > CHOICES_MAX)
        return dv__param_fail(c, err, "n", "there would be more than %d choices", CHOICES_MAX);
    if (k->gen.n_probs > 0)
        k->n_logprobs = k->gen.n_probs;
    return 0;
}

static int start(dv__call *c, completion *k, dv_err *err)
{
    static const dv__sink sink = {.event = on_event, .done = on_done};
    dv_job_params *p = dv_arena_calloc(&c->arena, k->prompts.n, sizeof *p);
    k->answer = dv_arena_calloc(&c->arena, k->prompts.n * k->gen.n, sizeof *k->answer);
    if (p == NULL || k->answer == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    k->n_answers = k->prompts.n * k->gen.n;
    for (size_t i = 0; i < k->prompts.n; i++) {
        p[i] = dv__gen_job(&k->gen, k->prompts.v[i].id, k->prompts.v[i].n);
        p[i].logprobs = k->n_logprobs >= 0;
        p[i].n_top = k->n_logprobs > 0 ? (uint32_t)k->n_logprobs : 0;
        p[i].prompt_logprobs = k->echo && k->n_logprobs >= 0;
    }
    return dv__run_start(c, &sink, p, (uint32_t)k->prompts.n, err);
}

static int post_completions(dv__call *c, dv_err *err)
{
    static const dv__fields *const tables[] = {&fields, &dv__fields_gen, &dv__fields_meta};
    completion *k = dv_calloc(DV_MEM_API, 1, sizeof *k);
    if (k == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    c->state = k;
    c->fini = completion_free;
    k->created = time(NULL);
    k->n_logprobs = -1;
    dv__gen_init(&k->gen, c->api);
    int rc = dv__fields_read(c, c->body, NULL, tables, DV_ARRAY_LEN(tables), k, err);
    if (rc == 0)
        rc = dv__prompts_read(c, k->prompt, "prompt", true, &k->prompts, err);
    if (rc == 0)
        rc = put_suffix(c, k, err);
    if (rc == 0)
        rc = check(c, k, err);
    if (rc == 0)
        rc = dv__gen_finish(c, &k->gen, err);
    if (rc == 0)
        rc = dv__constraint_text(c, &k->gen, err);
    return rc == 0 ? start(c, k, err) : rc;
}

static const dv__route routes[] = {
    {DV_HTTP_POST, "/v1/completions", DV__ROUTE_JSON | DV__ROUTE_JOB, DV_STYLE_OPENAI, post_completions},
};
const dv__routes dv__routes_completions = {routes, DV_ARRAY_LEN(routes)};
