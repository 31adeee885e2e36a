/* SPDX-License-Identifier: MIT */
/* The answers of llama-server's completions. Streams have a chunk for each piece of text and one with "stop": true at each answer's
 * end; there is no [DONE]. */
#include "api/native.h"
#include "api/reply.h"
#include "base/err.h"

#include <math.h>
#include <string.h>

/* ---- tokens and their probabilities ---- */

static void put_prob(dv_buf *b, const dv_tok *tok, uint32_t id, float logprob)
{
    dv_str s = dv_tok_piece(tok, (int32_t)id);
    dv_buf_printf(b, "\"id\":%u,\"token\":", id);
    dv_buf_json_str(b, s.p, s.n);
    dv_buf_adds(b, ",\"bytes\":[");
    for (size_t i = 0; i < s.n; i++)
        dv_buf_printf(b, i > 0 ? ",%u" : "%u", (unsigned)(unsigned char)s.p[i]);
    dv_buf_adds(b, "],\"prob\":");
    dv_buf_json_num(b, exp((double)logprob));
}

/* As dv__put_token, with probabilities: what post_sampling_probs asks for. */
static void put_post_token(dv_buf *b, const dv_tok *tok, const dv_job_event *ev)
{
    dv_buf_addc(b, '{');
    put_prob(b, tok, ev->id, ev->logprob);
    dv_buf_adds(b, ",\"top_probs\":[");
    for (uint32_t i = 0; i < ev->n_top; i++) {
        dv_buf_adds(b, i > 0 ? ",{" : "{");
        put_prob(b, tok, ev->top[i].id, ev->top[i].logprob);
        dv_buf_addc(b, '}');
    }
    dv_buf_adds(b, "]}");
}

static int on_token(dv__call *c, dv__native_answer *a, const dv_job_event *ev)
{
    const dv__native *k = c->state;
    const dv_tok *tok = c->api->engine->tok;
    a->n_tokens++;
    bool end =
        ev->reason == DV_STOP_END; /* it is one of the tokens, but nothing that a stream would have a chunk for */
    if ((c->stream && !end) || (!c->stream && k->return_tokens))
        dv_buf_printf(&a->tokens, a->tokens.len > 0 ? ",%u" : "%u", ev->id);
    if (k->gen.n_probs > 0 && !end) {
        dv_buf_adds(&a->probs, a->probs.len > 0 ? "," : "");
        if (k->more.post_probs)
            put_post_token(&a->probs, tok, ev);
        else
            dv__put_token(&a->probs, tok, ev);
    }
    return a->tokens.code != 0 ? a->tokens.code : a->probs.code;
}

static void put_probs(dv_buf *b, dv__native_answer *a)
{
    if (a->probs.len > 0)
        dv_buf_printf(b, ",\"completion_probabilities\":[%s]", dv_buf_str(&a->probs));
    dv_buf_clear(&a->probs);
}

/* ---- chunks ---- */

static void put_timings(dv_buf *b, const dv__native_answer *a)
{
    dv_job_timing t = a->timing;
    t.n_predicted = a->n_tokens; /* the job's other answers are not meant */
    dv__put_timings(b, &t);
}

static void begin_chunk(dv__call *c, size_t i, const char *text, size_t n)
{
    dv__native *k = c->state;
    dv__native_answer *a = &k->answer[i];
    dv__sse_begin(&c->out);
    dv_buf_printf(&c->out, "{\"index\":%zu,\"content\":", i);
    dv_buf_json_str(&c->out, text, n);
    dv_buf_printf(&c->out,
                  ",\"tokens\":[%s],\"stop\":false,\"id_slot\":%u,\"tokens_predicted\":%u,\"tokens_evaluated\":%zu",
                  dv_buf_str(&a->tokens), a->slot, a->n_tokens, k->prompts.v[i / k->gen.n].n);
    dv_buf_clear(&a->tokens);
    if (k->gen.timings)
        put_timings(&c->out, a);
}

static int end_chunk(dv__call *c)
{
    dv_buf_addc(&c->out, '}');
    dv__sse_end(&c->out);
    return c->out.code;
}

static int put_chunk(dv__call *c, size_t i, const char *text, size_t n)
{
    dv__native *k = c->state;
    begin_chunk(c, i, text, n);
    put_probs(&c->out, &k->answer[i]);
    return end_chunk(c);
}

static int put_progress(dv__call *c, uint32_t item, const dv_job_event *ev)
{
    dv__native *k = c->state;
    if (!c->stream || !k->gen.progress)
        return 0;
    begin_chunk(c, (size_t)item * k->gen.n, "", 0);
    dv__put_progress(&c->out, c, ev);
    return end_chunk(c);
}

/* ---- the end of an answer ---- */

static const char *stop_type(dv_stop reason)
{
    switch (reason) {
    case DV_STOP_END: return "eos";
    case DV_STOP_STRING: return "word";
    case DV_STOP_LENGTH:
    case DV_STOP_CONTEXT: return "limit";
    default: return "none";
    }
}

static int put_prompt(dv_buf *b, const dv__call *c, const dv__prompt *p)
{
    dv_buf text;
    dv_buf_init(&text, 0);
    int rc = dv_tok_decode(c->api->engine->tok, (const int32_t *)p->id, p->n, DV_DETOK_CONTROL, &text);
    dv_buf_adds(b, ",\"prompt\":");
    dv_buf_json_str(b, dv_buf_str(&text), text.len);
    dv_buf_fini(&text);
    return rc;
}

/* What the answer was: everything but what it says. */
static int put_facts(dv_buf *b, const dv__call *c, size_t i)
{
    const dv__native *k = c->state;
    const dv__native_answer *a = &k->answer[i];
    const dv__prompt *p = &k->prompts.v[i / k->gen.n];
    dv_buf_printf(b, ",\"id_slot\":%u,\"stop\":true,\"model\":", a->slot);
    dv__put_str(b, dv__call_model(c));
    dv_buf_printf(b, ",\"tokens_predicted\":%u,\"tokens_evaluated\":%zu,\"generation_settings\":", a->n_tokens, p->n);
    dv__put_settings(b, &k->gen, &k->more);
    int rc = put_prompt(b, c, p);
    dv_buf_printf(b, ",\"has_new_line\":%s,\"truncated\":%s,\"stop_type\":\"%s\",\"stopping_word\":",
                  a->has_line ? "true" : "false", a->reason == DV_STOP_CONTEXT ? "true" : "false",
                  stop_type(a->reason));
    dv__put_str(b, a->stop_string != NULL ? a->stop_string : "");
    /* The last token was not computed. */
    dv_buf_printf(b, ",\"tokens_cached\":%zu", p->n + a->n_tokens - (a->n_tokens > 0));
    put_timings(b, a);
    return rc;
}

static int put_whole(dv_buf *b, const dv__call *c, size_t i)
{
    const dv__native *k = c->state;
    dv__native_answer *a = &k->answer[i];
    dv_buf_printf(b, "{\"index\":%zu,\"content\":", i);
    dv_buf_json_str(b, dv_buf_str(&a->text), a->text.len);
    dv_buf_printf(b, ",\"tokens\":[%s]", dv_buf_str(&a->tokens));
    int rc = put_facts(b, c, i);
    put_probs(b, a);
    dv_buf_addc(b, '}');
    return rc;
}

/* response_fields: "a/b" is field b of object a, shown under that name; what is not there is left out. */
static int put_selected(dv_buf *b, const json_t *whole, const json_t *fields)
{
    size_t i, n = 0;
    json_t *name;
    dv_buf_addc(b, '{');
    json_array_foreach((json_t *)fields, i, name)
    {
        const json_t *at = whole;
        for (const char *key = json_string_value(name); key != NULL && at != NULL;) {
            size_t len = strcspn(key, "/");
            at = json_object_getn(at, key, len);
            key = key[len] != 0 ? key + len + 1 : NULL;
        }
        if (at == NULL)
            continue;
        dv_buf_adds(b, n++ > 0 ? "," : "");
        dv__put_str(b, json_string_value(name));
        dv_buf_addc(b, ':');
        dv__put_json(b, at);
    }
    return dv_buf_addc(b, '}');
}

static int put_final(dv__call *c, size_t i)
{
    const dv__native *k = c->state;
    if (json_array_size(k->response_fields) == 0)
        return put_whole(&c->out, c, i);
    dv_buf b;
    dv_buf_init(&b, 0);
    int rc = put_whole(&b, c, i);
    json_t *whole = rc == 0 && b.code == 0 ? json_loadb(b.data, b.len, 0, NULL) : NULL;
    rc = whole != NULL ? put_selected(&c->out, whole, k->response_fields) : rc != 0 ? rc : DV_ENOMEM;
    json_decref(whole);
    dv_buf_fini(&b);
    return rc;
}

/* Of a stream: tokens that came without text (half a character), then the chunk that says the answer is over. */
static int end_stream_of(dv__call *c, size_t i)
{
    dv__native *k = c->state;
    dv__native_answer *a = &k->answer[i];
    int rc = a->tokens.len > 0 || a->probs.len > 0 ? put_chunk(c, i, "", 0) : 0;
    if (rc != 0)
        return rc;
    dv__sse_begin(&c->out);
    rc = put_final(c, i);
    dv__sse_end(&c->out);
    return rc != 0 ? rc : c->out.code;
}

/* ---- events ---- */

static int on_text(dv__call *c, size_t i, const dv_job_event *ev)
{
    dv__native *k = c->state;
    dv__native_answer *a = &k->answer[i];
    a->has_line |= memchr(ev->text, '\n', ev->len) != NULL;
    return c->stream ? put_chunk(c, i, ev->text, ev->len) : dv_buf_add(&a->text, ev->text, ev->len);
}

static void on_choice(dv__native_answer *a, const dv_job_event *ev)
{
    a->slot = ev->slot;
    a->reason = ev->reason;
    a->stop_string = ev->stop_string; /* the job's, which lives as long as the call */
}

static int on_end(dv__call *c, uint32_t item)
{
    dv__native *k = c->state;
    int rc = 0;
    for (uint32_t i = 0; c->stream && i < k->gen.n && rc == 0; i++)
        rc = end_stream_of(c, (size_t)item * k->gen.n + i);
    return rc;
}

static int on_event(dv__call *c, uint32_t item, const dv_job_event *ev)
{
    dv__native *k = c->state;
    size_t first = (size_t)item * k->gen.n, i = first + ev->index;
    dv__native_answer *a = &k->answer[i];
    for (uint32_t j = 0; j < k->gen.n; j++)
        k->answer[first + j].timing = *ev->timing;
    switch (ev->type) {
    case DV_JOB_STARTED: a->slot = ev->slot; return put_progress(c, item, ev);
    case DV_JOB_PROGRESS: return put_progress(c, item, ev);
    case DV_JOB_TOKEN: return on_token(c, a, ev);
    case DV_JOB_TEXT: return on_text(c, i, ev);
    case DV_JOB_CHOICE: on_choice(a, ev); return 0;
    case DV_JOB_END: return on_end(c, item);
    default: return 0;
    }
}

static int on_done(dv__call *c)
{
    const dv__native *k = c->state;
    int rc = 0;
    if (c->stream)
        return 0;
    if (k->n_answers > 1)
        dv_buf_addc(&c->out, '[');
    for (size_t i = 0; i < k->n_answers && rc == 0; i++) {
        dv_buf_adds(&c->out, i > 0 ? "," : "");
        rc = put_final(c, i);
    }
    if (k->n_answers > 1)
        dv_buf_addc(&c->out, ']');
    return rc != 0 ? rc : c->out.code;
}

const dv__sink dv__native_sink = {.event = on_event, .done = on_done};
