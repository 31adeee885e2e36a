/* SPDX-License-Identifier: MIT */
/* A conversation with a model: keeps the turns, lays them out, drops the oldest ones when the context gets full, prints answers. */
#ifndef DV_CLI_TALK_H
#define DV_CLI_TALK_H

#include "base/buf.h"
#include "cli/cmd.h"
#include "drover/engine.h"

#include <signal.h>

/** Set by a signal handler to stop the answer at hand. */
extern volatile sig_atomic_t dv_talk_interrupted;

typedef struct dv_talk_stats {
    uint64_t prompt_tokens, prompt_ns; /**< computed, without what the session still held */
    uint64_t answer_tokens, answer_ns;
} dv_talk_stats;

typedef struct dv_talk {
    const dv_cmd *cmd; /**< for notes on stderr */
    dv_engine *engine;
    dv_session *session;
    dv_message *messages; /**< [n], the system message first if there is one; contents owned */
    size_t n, cap;
    uint32_t *ids; /**< [cap_ids] the laid out conversation */
    size_t cap_ids;
    dv_buf answer; /**< the last one */
    bool raw;      /**< prompts are sent as they are, and nothing is remembered */
    bool escape;   /**< stdout is a terminal: control characters of the model's text are shown, not sent */
    uint32_t max_tokens;
    const char *const *stop;
    size_t n_stop;
    bool trim; /**< inside an answer: its first visible character has not come yet */
    dv_talk_stats last, total;
} dv_talk;

/** engine and sampling are borrowed. The other settings are the caller's to set afterwards. Errors: those of dv_session_open. */
int dv_talk_init(dv_talk *t, const dv_cmd *cmd, dv_engine *engine, const dv_sampling *sampling, dv_err *err);
void dv_talk_fini(dv_talk *t);

/** Forget all turns; the system message stays. */
void dv_talk_clear(dv_talk *t);
/** Replace the system message, "" for none, and forget all turns. Errors: DV_ENOMEM. */
int dv_talk_set_system(dv_talk *t, const char *text, size_t len, dv_err *err);

/**
 * Put a question, print the answer to stdout as it comes and remember both. After dv_talk_interrupted was set what has come is the answer.
 * Errors: the question alone does not fit; the template refuses; DV_EIO when stdout cannot be written. The question is then forgotten.
 */
int dv_talk_ask(dv_talk *t, const char *text, size_t len, dv_err *err);

/** "prompt 12 tokens, 345.6 t/s; answer 78 tokens, 90.1 t/s" into buf; returns buf. */
const char *dv_talk_stats_text(const dv_talk_stats *s, char buf[160]);

#endif
