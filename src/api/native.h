/* SPDX-License-Identifier: MIT */
/* llama-server's own completions, /completion and /infill: several prompts, several answers to each. Answer i of prompt p is number
 * p * n + i. */
#ifndef DV_API_NATIVE_H
#define DV_API_NATIVE_H

#include "api/prompt.h"
#include "api/run.h"
#include "api/settings.h"

typedef struct dv__native_answer {
    dv_buf text;          /**< all of it; of a stream: none */
    dv_buf tokens, probs; /**< lists without brackets; of a stream: what was not sent yet */
    uint32_t n_tokens;    /**< sampled */
    uint32_t slot;
    bool has_line; /**< a line end is in the text */
    dv_stop reason;
    const char *stop_string; /**< with DV_STOP_STRING; the job's */
    dv_job_timing timing;    /**< of the job, its newest */
} dv__native_answer;

/** A completion: the call's state. */
typedef struct dv__native {
    dv__gen gen; /**< first: tables of fields may write to the completion */
    dv__settings_more more;
    const json_t *prompt, *samplers, *response_fields;
    const json_t *extra;                  /**< infill */
    const char *prefix, *suffix, *middle; /**< infill; middle: how it begins, "prompt" */
    bool return_tokens;
    dv__prompts prompts;
    size_t n_answers;
    dv__native_answer *answer; /**< [n_answers] in the call's arena */
} dv__native;

/** Fields of both routes but for the prompt; also dv__fields_gen and dv__fields_meta belong to them. */
extern const dv__fields dv__fields_native;
/** A completion for a call, which owns it. NULL: out of memory. */
dv__native *dv__native_new(dv__call *c);
/** With the fields and the prompts read: check the rest, submit the jobs. */
int dv__native_start(dv__call *c, dv__native *k, dv_err *err);

/** How the jobs' events become the answer. */
extern const dv__sink dv__native_sink;

#endif
