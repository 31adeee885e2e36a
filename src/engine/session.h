/* SPDX-License-Identifier: MIT */
/* The insides of engine and session, for this folder, the scheduler and drover bench. */
#ifndef DV_ENGINE_SESSION_H
#define DV_ENGINE_SESSION_H

#include "drover/engine.h"
#include "engine/answer.h"
#include "engine/sampler.h"
#include "model/forward.h"
#include "tok/chat.h"
#include "tok/tok.h"

struct dv_engine {
    dv_gguf *gguf;
    dv_tok *tok;
    dv_chat *chat; /* NULL if the file's template is broken: chat_err says how */
    dv_err chat_err;
    dv_model *model; /* from here on NULL if vocab_only */
    dv_kern kern;
    dv_pool *pool;
    dv_forward *forward; /* work space shared by all sessions */
    dv_kv kv;
    dv_batch_token *batch; /* [forward->max_tok] */
    unsigned n_sessions;
    char *name, *arch; /* owned, for info */
    dv_engine_info info;
};

/** The cache's format, `auto` resolved. */
dv_kv_type dv_engine_kv_type(dv_kv_format format, const dv_model *m);

struct dv_session {
    dv_engine *engine;
    dv_kv_seq seq;
    uint32_t *tokens; /* [n_ctx] */
    uint32_t n_tokens;
    float *logits; /* [n_vocab] */
    bool has_logits;
    dv_sampler sampler;
    dv_answer answer; /* of dv_session_generate */
};

enum { DV_SESSION_EACH_MAX = 256 };

/**
 * Append one token to each of several sessions of one engine, in one step of the model.
 * @param s       [n] different sessions
 * @param logits  [n][n_vocab], of each session's token; the sessions themselves have none afterwards
 * Errors: DV_EINVAL if n is 0, above DV_SESSION_EACH_MAX or more than a step takes, or for an id outside the vocabulary; DV_ECONTEXT and
 * DV_ENOMEM if a session has no room. No session has changed then.
 */
int dv_session_append_each(dv_session *const *s, const uint32_t *ids, uint32_t n, float *logits, dv_err *err);

#endif
