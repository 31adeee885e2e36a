/* SPDX-License-Identifier: MIT */
/* The token loop. A token's text goes out before the model computes the next one, and nothing here allocates once the text buffer is
 * large enough for what is held back. */
#include "base/err.h"
#include "engine/session.h"
#include "engine/stop.h"

enum { TEXT_RESERVE = 4096 };

int dv_session_sample(dv_session *s, uint32_t *id, dv_err *err)
{
    if (!s->has_logits)
        return dv_fail(err, DV_EINVAL, "the session has no logits: append tokens first");
    return dv__sampler_draw(&s->sampler, s->logits, id, err);
}

typedef struct generation {
    dv_session *s;
    const dv_generate_options *o;
    dv_detok detok;
    dv_stop reason;
} generation;

/* Hand out the first n bytes of the held text. */
static void release(generation *g, size_t n)
{
    if (n > 0 && g->o->on_text != NULL && g->o->on_text(g->o->arg, g->s->text.data, n) != 0)
        g->reason = DV_STOP_CANCELED;
    dv_buf_shift(&g->s->text, n);
}

/* Hand out what cannot be part of a stop string any more; at a stop string all before it. */
static void release_final(generation *g)
{
    bool hit;
    size_t n = dv__stop_scan(g->o->stop, g->o->n_stop, dv_buf_str(&g->s->text), g->s->text.len, &hit);
    if (hit)
        g->reason = DV_STOP_STRING;
    release(g, n);
}

/* Nothing comes after this: what was held back is text after all. */
static int finish(generation *g, dv_err *err)
{
    if (g->reason == DV_STOP_CANCELED || g->reason == DV_STOP_STRING)
        return 0;
    if (dv_detok_flush(&g->detok, &g->s->text) != 0)
        return dv_fail(err, g->s->text.code, "text: %s", dv_error_text(g->s->text.code));
    dv_stop reason = g->reason;
    release_final(g); /* the flush may have completed a stop string */
    if (g->reason == reason)
        release(g, g->s->text.len);
    return 0;
}

static int next_token(generation *g, dv_generate_result *result, dv_err *err)
{
    dv_session *s = g->s;
    uint32_t id;
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
    if (dv_detok_push(&g->detok, (int32_t)id, &s->text) != 0)
        return dv_fail(err, s->text.code, "text: %s", dv_error_text(s->text.code));
    release_final(g);
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
    int code = dv__stop_check(g.o->stop, g.o->n_stop, err);
    if (code != 0)
        return code;
    dv_buf_clear(&s->text);
    if (dv_buf_reserve(&s->text, TEXT_RESERVE) != 0)
        return dv_fail(err, DV_ENOMEM, "text: %s", dv_error_text(DV_ENOMEM));
    dv_detok_init(&g.detok, s->engine->tok, 0);
    while (code == 0 && g.reason == DV_STOP_NONE)
        code = next_token(&g, result, err);
    if (code == 0)
        code = finish(&g, err);
    result->reason = g.reason;
    return code;
}
