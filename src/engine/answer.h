/* SPDX-License-Identifier: MIT */
/* An answer's text as its tokens arrive: whole characters, and nothing that may still become part of a stop string. */
#ifndef DV_ENGINE_ANSWER_H
#define DV_ENGINE_ANSWER_H

#include "base/buf.h"
#include "tok/tok.h"

#include <stdbool.h>

typedef struct dv_answer {
    dv_detok detok;
    dv_buf text;             /**< not taken yet */
    const char *const *stop; /**< borrowed */
    size_t n_stop;
    const char *hit; /**< the stop string that ended the text; NULL: none yet */
} dv_answer;

/**
 * Start an answer, in zeroed memory or again after an earlier one (the buffer is kept).
 * @param flags  DV_DETOK_*
 * @param stop   [n_stop] as dv_stop_check wants them, borrowed until the next start
 * Errors: DV_EINVAL naming the string, DV_ENOMEM.
 */
int dv_answer_start(dv_answer *a, const dv_tok *t, unsigned flags, const char *const *stop, size_t n_stop, dv_err *err);
void dv_answer_fini(dv_answer *a);
/**
 * A token joins the answer.
 * @param n  set to the bytes at the front of a->text that are final now; with a stop string those before it
 * @return   0, DV_ENOMEM
 */
int dv_answer_push(dv_answer *a, uint32_t id, size_t *n);
/** Nothing comes after this that belongs to the same text: what was held back is text after all, unless a stop string was or is now
 * complete. Once that is taken the answer may go on with other text. */
int dv_answer_finish(dv_answer *a, size_t *n);
/** Forget the first n bytes, after they were handed out. */
void dv_answer_take(dv_answer *a, size_t n);

#endif
