/* SPDX-License-Identifier: MIT */
/* What requests for text have in common in every API: sampling, limits, stop strings, constraints. Their fields are rows of
 * dv__fields_gen; an API adds a table of its own, whose rows may write to the same struct. */
#ifndef DV_API_GEN_H
#define DV_API_GEN_H

#include "api/params.h"
#include "engine/stop.h"

enum { DV__GEN_MAX_STOP = DV_STOP_MAX_STRINGS };

#define DV__GEN_UNSET INT64_MIN

typedef struct dv__gen {
    dv_sampling sampling; /**< bias is in the call's arena */
    int64_t top_k, last_n, seed;
    int64_t max_tokens, max_completion_tokens, n_predict; /**< DV__GEN_UNSET: not said */
    uint32_t n;
    uint32_t n_probs;      /**< llama-server's: log-probabilities with so many alternatives */
    bool logprobs;         /**< chat's */
    uint32_t top_logprobs; /**< chat's */
    bool stream, ignore_end, cache, timings, progress, include_usage;
    int64_t slot;
    const json_t *stop_json, *bias_json, *stream_options, *schema, *response_format;
    const char *gbnf;
    const char *stop_field, *schema_field; /**< the names that the API has for them; NULL: "stop", "json_schema" */

    /* Made by dv__gen_finish. */
    const char *stop[DV__GEN_MAX_STOP];
    size_t n_stop;
    uint32_t limit; /**< tokens of an answer; 0: until the context is full */
    bool no_tokens;
    dv_grammar *grammar; /**< owned; of api/constraint.h */
    bool calls_first;    /**< an answer is calls or text in a form, not both */
} dv__gen;

/** Fields of sampling and llama-server's extensions. */
extern const dv__fields dv__fields_gen;
/** Fields that OpenAI's clients send to every route and that change nothing here. */
extern const dv__fields dv__fields_meta;

/** The server's defaults. */
void dv__gen_init(dv__gen *g, const dv_api *api);
void dv__gen_fini(dv__gen *g);
/** After the fields were read: check what depends on several. */
int dv__gen_finish(dv__call *c, dv__gen *g, dv_err *err);
/** Parameters of a job for a prompt, which is borrowed. */
dv_job_params dv__gen_job(const dv__gen *g, const uint32_t *prompt, size_t n);

/** A seed that nobody knows beforehand. */
uint64_t dv__gen_random(void);

#endif
