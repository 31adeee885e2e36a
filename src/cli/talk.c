/* SPDX-License-Identifier: MIT */
#include "cli/talk.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "cli/format.h"

#include <stdio.h>
#include <string.h>

volatile sig_atomic_t dv_talk_interrupted;

int dv_talk_init(dv_talk *t, const dv_cmd *cmd, dv_engine *engine, const dv_sampling *sampling, dv_err *err)
{
    *t = (dv_talk){.cmd = cmd, .engine = engine};
    dv_buf_init(&t->answer, 0);
    return dv_session_open(&t->session, engine, sampling, err);
}

void dv_talk_fini(dv_talk *t)
{
    for (size_t i = 0; i < t->n; i++)
        dv_free((void *)t->messages[i].content);
    dv_free(t->messages);
    dv_free(t->ids);
    dv_buf_fini(&t->answer);
    dv_session_close(&t->session);
}

/* Turns. */

static bool has_system(const dv_talk *t) { return t->n > 0 && strcmp(t->messages[0].role, "system") == 0; }

static void drop(dv_talk *t, size_t from, size_t to)
{
    if (from == to)
        return;
    for (size_t i = from; i < to; i++)
        dv_free((void *)t->messages[i].content);
    memmove(t->messages + from, t->messages + to, (t->n - to) * sizeof *t->messages);
    t->n -= to - from;
}

static int add(dv_talk *t, const char *role, const char *text, size_t len, dv_err *err)
{
    if (t->n == t->cap) {
        size_t cap = t->cap * 2 + 8;
        dv_message *grown = dv_realloc(DV_MEM_BASE, t->messages, cap * sizeof *grown);
        if (grown == NULL)
            return dv_fail(err, DV_ENOMEM, "conversation: %s", dv_error_text(DV_ENOMEM));
        t->messages = grown;
        t->cap = cap;
    }
    char *copy = dv_strndup(DV_MEM_BASE, text, len);
    if (copy == NULL)
        return dv_fail(err, DV_ENOMEM, "conversation: %s", dv_error_text(DV_ENOMEM));
    t->messages[t->n++] = (dv_message){.role = role, .content = copy, .content_len = len};
    return 0;
}

void dv_talk_clear(dv_talk *t) { drop(t, has_system(t), t->n); }

int dv_talk_set_system(dv_talk *t, const char *text, size_t len, dv_err *err)
{
    drop(t, 0, t->n);
    return len > 0 ? add(t, "system", text, len, err) : 0;
}

/* From turns to tokens. */

/* The conversation, or in raw mode the prompt, as ids in t->ids; their number or an error. */
static int64_t lay_out_into(dv_talk *t, const char *text, size_t len, dv_err *err)
{
    if (!t->raw)
        return dv_engine_chat_tokens(t->engine, t->messages, t->n, true, t->ids, t->cap_ids, err);
    /* A prompt that spells out the token the model wants in front must not get it twice. */
    uint32_t first;
    int64_t n = dv_engine_tokenize(t->engine, text, len, true, true, t->ids, t->cap_ids, err);
    if (n >= 2 && (size_t)n <= t->cap_ids && t->ids[0] == t->ids[1] &&
        dv_engine_tokenize(t->engine, "", 0, false, true, &first, 1, NULL) > 0 && first == t->ids[0])
        n = dv_engine_tokenize(t->engine, text, len, true, false, t->ids, t->cap_ids, err);
    return n;
}

static int64_t lay_out(dv_talk *t, const char *text, size_t len, dv_err *err)
{
    int64_t n;
    while ((n = lay_out_into(t, text, len, err)) > 0 && (size_t)n > t->cap_ids) {
        uint32_t *grown = dv_realloc(DV_MEM_BASE, t->ids, (size_t)n * sizeof *grown);
        if (grown == NULL)
            return dv_fail(err, DV_ENOMEM, "conversation: %s", dv_error_text(DV_ENOMEM));
        t->ids = grown;
        t->cap_ids = (size_t)n;
    }
    return n;
}

/* The same, with the oldest turns dropped until an answer has room: a quarter of the context, or what was asked for. */
static int64_t lay_out_fitting(dv_talk *t, const char *text, size_t len, dv_err *err)
{
    uint32_t ctx = dv_engine_get_info(t->engine)->n_ctx, room = DV_MIN(ctx / 4, 1024u);
    if (t->max_tokens != 0)
        room = DV_MIN(room, t->max_tokens);
    size_t dropped = 0, first = has_system(t);
    int64_t n = lay_out(t, text, len, err);
    while (n > (int64_t)(ctx - room) && !t->raw && t->n > first + 1) {
        drop(t, first, first + DV_MIN((size_t)2, t->n - first - 1));
        dropped++;
        n = lay_out(t, text, len, err);
    }
    if (dropped > 0)
        fprintf(stderr, "(the context of %u tokens is full: the oldest %s dropped)\n", ctx,
                dropped == 1 ? "turn was" : "turns were");
    if (n >= (int64_t)ctx)
        return dv_fail(
            err, DV_ECONTEXT,
            "the question and what must go with it are %lld tokens, the context holds %u and an answer needs room",
            (long long)n, ctx);
    if (n == 0)
        return dv_fail(err, DV_EINVAL, "the prompt is empty");
    return n;
}

/* Answers. */

static int stop_if_interrupted(void *arg, size_t done, size_t total) { return dv_talk_interrupted != 0; }

static int put(const dv_talk *t, const char *text, size_t len)
{
    if (!t->escape) {
        fwrite(text, 1, len, stdout);
    } else {
        dv_buf safe;
        dv_buf_init(&safe, 0);
        for (size_t i = 0; i < len;) {
            size_t n = 0;
            while (i + n < len && text[i + n] != '\n' && text[i + n] != '\t')
                n++;
            dv_buf_escaped(&safe, text + i, n);
            i += n;
            if (i < len)
                dv_buf_addc(&safe, text[i++]);
        }
        fwrite(dv_buf_str(&safe), 1, safe.len, stdout);
        dv_buf_fini(&safe);
    }
    return !dv_cmd_flush();
}

static int on_text(void *arg, const char *text, size_t len)
{
    dv_talk *t = arg;
    while (t->trim && len > 0 && strchr(" \n\t\r", *text) != NULL) {
        text++;
        len--;
    }
    if (len == 0)
        return 0;
    t->trim = false;
    dv_buf_add(&t->answer, text, len);
    return put(t, text, len);
}

static int on_token(void *arg, uint32_t id) { return dv_talk_interrupted != 0; }

static int answer(dv_talk *t, size_t n_ids, dv_err *err)
{
    dv_generate_options o = {.max_tokens = t->max_tokens,
                             .stop = t->stop,
                             .n_stop = t->n_stop,
                             .on_text = on_text,
                             .on_token = on_token,
                             .arg = t};
    dv_generate_result result;
    dv_talk_interrupted = 0;
    dv_buf_clear(&t->answer);
    t->trim = !t->raw;
    t->last = (dv_talk_stats){0};
    uint64_t start = dv_clock_ns();
    int64_t kept = dv_session_sync(t->session, t->ids, n_ids, stop_if_interrupted, NULL, err);
    if (kept < 0)
        return (int)kept;
    t->last.prompt_tokens = n_ids - (uint64_t)kept;
    t->last.prompt_ns = dv_clock_ns() - start;
    start = dv_clock_ns();
    int code = dv_session_generate(t->session, &o, &result, err);
    t->last.answer_tokens = result.n_tokens;
    t->last.answer_ns = dv_clock_ns() - start;
    if (code != 0)
        return code;
    if (t->answer.len == 0 || t->answer.data[t->answer.len - 1] != '\n')
        put(t, "\n", 1);
    if (dv_cmd_output_error() != 0)
        return dv_fail(err, DV_EIO, "cannot write standard output");
    if (result.reason == DV_STOP_CONTEXT)
        fprintf(stderr, "(the answer ends here: the context of %u tokens is full)\n",
                dv_engine_get_info(t->engine)->n_ctx);
    return t->answer.code != 0 ? dv_fail(err, t->answer.code, "answer: %s", dv_error_text(t->answer.code)) : 0;
}

int dv_talk_ask(dv_talk *t, const char *text, size_t len, dv_err *err)
{
    int64_t n = t->raw ? 0 : add(t, "user", text, len, err);
    if (n < 0)
        return (int)n;
    n = lay_out_fitting(t, text, len, err);
    int code = n < 0 ? (int)n : answer(t, (size_t)n, err);
    t->total.prompt_tokens += t->last.prompt_tokens;
    t->total.prompt_ns += t->last.prompt_ns;
    t->total.answer_tokens += t->last.answer_tokens;
    t->total.answer_ns += t->last.answer_ns;
    if (t->raw)
        return code;
    if (code == 0)
        code = add(t, "assistant", dv_buf_str(&t->answer), t->answer.len, err);
    if (code != 0)
        drop(t, t->n - 1, t->n);
    return code;
}

const char *dv_talk_stats_text(const dv_talk_stats *s, char buf[160])
{
    snprintf(buf, 160, "prompt %llu tokens, %.1f t/s; answer %llu tokens, %.1f t/s",
             (unsigned long long)s->prompt_tokens, dv_per_second(s->prompt_tokens, s->prompt_ns),
             (unsigned long long)s->answer_tokens, dv_per_second(s->answer_tokens, s->answer_ns));
    return buf;
}
