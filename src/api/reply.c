/* SPDX-License-Identifier: MIT */
#include "api/reply.h"

#include "base/clock.h"
#include "base/json.h"

#include <string.h>

/* Log-probabilities of tokens that cannot be drawn: JSON has no infinity. */
#define LOGPROB_MIN (-9999.0)

void dv__put_str(dv_buf *b, const char *text) { dv_buf_json_str(b, text, strlen(text)); }

void dv__put_json(dv_buf *b, const json_t *v) { dv_json_dump(b, v, JSON_COMPACT); }

void dv__put_usage(dv_buf *b, const dv_job_timing *t)
{
    dv_buf_printf(b,
                  ",\"usage\":{\"prompt_tokens\":%u,\"completion_tokens\":%u,\"total_tokens\":%llu,"
                  "\"prompt_tokens_details\":{\"cached_tokens\":%u}}",
                  t->n_prompt, t->n_predicted, (unsigned long long)t->n_prompt + t->n_predicted, t->n_cached);
}

static void put_rate(dv_buf *b, const char *name, uint32_t n, double ms)
{
    double each = n > 0 ? ms / n : 0, second = ms > 0 ? 1000.0 * n / ms : 0;
    dv_buf_printf(b, "\"%s_n\":%u,\"%s_ms\":%.3f,\"%s_per_token_ms\":%.3f,\"%s_per_second\":%.3f", name, n, name, ms,
                  name, each, name, second);
}

void dv__put_timings(dv_buf *b, const dv_job_timing *t)
{
    dv_buf_printf(b, ",\"timings\":{\"cache_n\":%u,", t->n_cached);
    put_rate(b, "prompt", t->n_prompt - DV_MIN(t->n_cached, t->n_prompt), t->prompt_ms);
    dv_buf_addc(b, ',');
    put_rate(b, "predicted", t->n_predicted, t->predicted_ms);
    if (t->n_drafted > 0)
        dv_buf_printf(b, ",\"draft_n\":%u,\"draft_n_accepted\":%u", t->n_drafted, t->n_accepted);
    dv_buf_addc(b, '}');
}

void dv__put_progress(dv_buf *b, const dv__call *c, const dv_job_event *ev)
{
    uint64_t ms = (dv_clock_ns() - dv_http_begun_ns(c->req)) / 1000000u;
    dv_buf_printf(b, ",\"prompt_progress\":{\"total\":%u,\"cache\":%u,\"processed\":%u,\"time_ms\":%llu}",
                  ev->timing->n_prompt, ev->timing->n_cached, ev->n_done, (unsigned long long)ms);
}

void dv__put_piece(dv_buf *b, const dv_tok *tok, uint32_t id)
{
    dv_str s = dv_tok_piece(tok, (int32_t)id);
    dv_buf_json_str(b, s.p, s.n);
}

void dv__put_logprob(dv_buf *b, float v)
{
    dv_buf_printf(b, "%.9g", v > LOGPROB_MIN ? (double)v : LOGPROB_MIN); /* NaN too; reads back as the same float */
}

static void put_prob(dv_buf *b, const dv_tok *tok, uint32_t id, float logprob)
{
    dv_str s = dv_tok_piece(tok, (int32_t)id);
    dv_buf_printf(b, "\"id\":%u,\"token\":", id);
    dv_buf_json_str(b, s.p, s.n);
    dv_buf_adds(b, ",\"logprob\":");
    dv__put_logprob(b, logprob);
    dv_buf_adds(b, ",\"bytes\":[");
    for (size_t i = 0; i < s.n; i++)
        dv_buf_printf(b, i > 0 ? ",%u" : "%u", (unsigned)(unsigned char)s.p[i]);
    dv_buf_addc(b, ']');
}

void dv__put_token(dv_buf *b, const dv_tok *tok, const dv_job_event *ev)
{
    dv_buf_addc(b, '{');
    put_prob(b, tok, ev->id, ev->logprob);
    dv_buf_adds(b, ",\"top_logprobs\":[");
    for (uint32_t i = 0; i < ev->n_top; i++) {
        dv_buf_adds(b, i > 0 ? ",{" : "{");
        put_prob(b, tok, ev->top[i].id, ev->top[i].logprob);
        dv_buf_addc(b, '}');
    }
    dv_buf_adds(b, "]}");
}

const char *dv__finish_reason(dv_stop reason, bool calls)
{
    if (reason == DV_STOP_LENGTH || reason == DV_STOP_CONTEXT)
        return "length";
    return calls ? "tool_calls" : "stop";
}

const char *dv__fingerprint(void) { return "b" DV_VERSION; }
