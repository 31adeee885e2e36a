/* SPDX-License-Identifier: MIT */
/* The token loop. A token's text goes out before the model computes the next one, and nothing here allocates once the text buffer is
 * large enough for what is held back. */
#include "base/err.h"
#include "engine/session.h"

int dv_session_sample(dv_session *s, uint32_t *id, dv_err *err)
{
    if (!s->has_logits)
        return dv_fail(err, DV_EINVAL, "the session has no logits: append tokens first");
    return dv_sampler_draw(&s->sampler, s->logits, id, err);
}

typedef struct generation {
    dv_session *s;
    const dv_generate_options *o;
    dv_stop reason;
} generation;

/* Hand out the first n bytes of the held text. */
static void release(generation *g, size_t n)
{
    dv_answer *a = &g->s->answer;
    if (a->hit != NULL)
        g->reason = DV_STOP_STRING;
    if (n > 0 && g->o->on_text != NULL && g->o->on_text(g->o->arg, a->text.data, n) != 0)
        g->reason = DV_STOP_CANCELED;
    dv_answer_take(a, n);
}

/* Nothing comes after this: what was held back is text after all. */
static int finish(generation *g, dv_err *err)
{
    size_t n;
    if (g->reason == DV_STOP_CANCELED || g->reason == DV_STOP_STRING)
        return 0;
    int code = dv_answer_finish(&g->s->answer, &n);
    if (code != 0)
        return dv_fail(err, code, "text: %s", dv_error_text(code));
    release(g, n);
    return 0;
}

static int next_token(generation *g, dv_generate_result *result, dv_err *err)
{
    dv_session *s = g->s;
    uint32_t id;
    size_t n;
    int code = dv_session_sample(s, &id, err);
    if (code != 0)
        return code;
    result->n_tokens++;
    if (g->o->on_token != NULL && g->o->on_token(g->o->arg, id) != 0)
        g->reason = DV_STOP_CANCELED;
    else if (dv_engine_is_end(s->engine, id))
        g->reason = DV_STOP_END;
    if (g->reason != DV_STOP_NONE)
        return 0;
    if ((code = dv_answer_push(&s->answer, id, &n)) != 0)
        return dv_fail(err, code, "text: %s", dv_error_text(code));
    release(g, n);
    if (g->reason != DV_STOP_NONE)
        return 0;
    if (s->n_tokens == s->engine->info.n_ctx) {
        g->reason = DV_STOP_CONTEXT;
        return 0;
    }
    if (g->o->max_tokens != 0 && result->n_tokens == g->o->max_tokens)
        g->reason = DV_STOP_LENGTH;
    return dv_session_append(s, &id, 1, NULL, NULL, err);
}

int dv_session_generate(dv_session *s, const dv_generate_options *options, dv_generate_result *result, dv_err *err)
{
    static const dv_generate_options defaults = {0};
    generation g = {.s = s, .o = options != NULL ? options : &defaults};
    *result = (dv_generate_result){0};
    int code = dv_answer_start(&s->answer, s->engine->tok, 0, g.o->stop, g.o->n_stop, err);
    while (code == 0 && g.reason == DV_STOP_NONE)
        code = next_token(&g, result, err);
    if (code == 0)
        code = finish(&g, err);
    result->reason = g.reason;
    return code;
}
