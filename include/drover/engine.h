/* SPDX-License-Identifier: MIT */
/* libdrover: load a GGUF model, hold conversations with it, get tokens out.
 *
 * Two objects. A dv_engine is a loaded model with its tokenizer, kernels and threads; a dv_session is one timeline of tokens with its
 * KV cache and sampler state. An engine and all its sessions belong to one thread at a time: nothing here locks. Results do not depend
 * on the number of threads, nor on how a prompt was cut into calls.
 *
 * Every function that can fail returns 0 (or a count) or a negative DV_E* code and fills err (which may be NULL) with a sentence. */
#ifndef DROVER_ENGINE_H
#define DROVER_ENGINE_H

#include "drover/error.h"
#include "drover/export.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dv_engine dv_engine;
typedef struct dv_session dv_session;

/** How keys and values are kept. */
typedef enum dv_kv_format {
    DV_KV_FORMAT_AUTO, /**< f16, or f32 if the model's matrices are F32: the cache is never coarser than the weights that fill it */
    DV_KV_FORMAT_F16,
    DV_KV_FORMAT_Q8_0, /**< needs head sizes that are multiples of 32 */
    DV_KV_FORMAT_F32,
    DV_KV_FORMAT_N
} dv_kv_format;

typedef struct dv_engine_options {
    unsigned threads;     /**< 1..256; 0: one per usable core */
    const char *cpu_mask; /**< highest level to use: "c", "avx2", "avx-vnni", "avx512", "avx512-vnni"; NULL: the best */
    dv_kv_format kv_format;
    uint32_t ctx;    /**< positions a session may hold; 0: the smaller of the model's training context and 4096 */
    uint32_t batch;  /**< tokens of one prefill step, 1..4096; 0: 512 */
    bool vocab_only; /**< tokenizer and template only: no tensors are needed */
} dv_engine_options;

/** What a caller wants to know about a loaded model; strings live as long as the engine. */
typedef struct dv_engine_info {
    const char *arch;      /**< "llama" */
    const char *name;      /**< general.name, or "" */
    const char *cpu_level; /**< "avx512-vnni" */
    unsigned threads;
    uint32_t n_vocab, n_embd, n_layer, n_ctx_train, n_ctx;
    uint64_t n_params;   /**< elements of all tensors */
    uint64_t file_bytes; /**< weights stay mapped from the file */
    uint64_t kv_bytes_per_token;
    bool template_is_fallback; /**< the file has no chat template; ChatML is used */
} dv_engine_info;

/**
 * Load a model. The file stays mapped; it must not be truncated while the engine lives.
 * @param options  NULL: defaults
 * Errors: those of reading the file; DV_EUNSUPPORTED for an architecture, tensor type or tokenizer drover does not know; DV_ENOMEM.
 */
DV_API int dv_engine_open(dv_engine **out, const char *path, const dv_engine_options *options, dv_err *err);
/** Close an engine whose sessions are all closed. NULL-safe, sets *engine to NULL. */
DV_API void dv_engine_close(dv_engine **engine);
DV_API const dv_engine_info *dv_engine_get_info(const dv_engine *engine);

/* Tokens. */

/** Text to ids. @param special parse control tokens in the text; @param bos add what the model wants around a text.
 *  @return number of ids (only the first cap are written), or DV_E* */
DV_API int64_t dv_engine_tokenize(const dv_engine *engine, const char *text, size_t len, bool special, bool bos,
                                  uint32_t *ids, size_t cap, dv_err *err);
/** Bytes of a token (not terminated, may be part of a character; control tokens give their name only if special). Valid as long as the engine.
 *  @return length, or DV_EINVAL for an id outside the vocabulary */
DV_API int64_t dv_engine_piece(const dv_engine *engine, uint32_t id, bool special, const char **piece);
/** Does this token end a generation? */
DV_API bool dv_engine_is_end(const dv_engine *engine, uint32_t id);

/* Conversations. */

typedef struct dv_message {
    const char *role;    /**< "system", "user", "assistant", "tool" */
    const char *content; /**< UTF-8; never parsed for control tokens */
    size_t content_len;
} dv_message;

/**
 * Lay messages out with the model's chat template and tokenize the result: control tokens of the template become tokens, texts of the
 * messages never do.
 * @param answer  end with the start of an assistant's answer
 * @return number of ids (only the first cap are written), or DV_E* (DV_ETEMPLATE: the template refuses this conversation)
 */
DV_API int64_t dv_engine_chat_tokens(const dv_engine *engine, const dv_message *messages, size_t n, bool answer,
                                     uint32_t *ids, size_t cap, dv_err *err);

/* Sampling. */

typedef struct dv_logit_bias {
    uint32_t id;
    float bias; /**< added to the logit; -INFINITY forbids the token */
} dv_logit_bias;

/** Steps in this order: bias, penalties, temperature, top-k, typical-p, top-p, min-p, draw. Start from dv_sampling_default(). */
typedef struct dv_sampling {
    float temperature;         /**< 0: greedy (the most likely token, lowest id on a tie); 0.8 */
    uint32_t top_k;            /**< 0: off; 40 */
    float top_p;               /**< (0, 1], 1: off; 0.95 */
    float min_p;               /**< [0, 1], 0: off; 0.05 */
    float typical_p;           /**< (0, 1], 1: off */
    float repeat_penalty;      /**< > 0, 1: off; divides positive and multiplies negative logits of seen tokens */
    float presence_penalty;    /**< [-2, 2], 0: off */
    float frequency_penalty;   /**< [-2, 2], 0: off */
    uint32_t penalty_last_n;   /**< tokens, of prompt and answer, that the penalties look back; at most 65536; 64 */
    uint64_t seed;             /**< same seed, same text; 0 */
    const dv_logit_bias *bias; /**< [n_bias], copied; of several for one token the sum counts */
    size_t n_bias;
} dv_sampling;

DV_API dv_sampling dv_sampling_default(void);

/* Sessions. */

/** @param sampling NULL: defaults. Errors: DV_EINVAL naming the field out of range; DV_ENOMEM. */
DV_API int dv_session_open(dv_session **out, dv_engine *engine, const dv_sampling *sampling, dv_err *err);
DV_API void dv_session_close(dv_session **session);
/** Change sampling parameters from the next token on; the random state restarts from the seed. */
DV_API int dv_session_set_sampling(dv_session *session, const dv_sampling *sampling, dv_err *err);

/** Tokens now in the session. */
DV_API uint32_t dv_session_n_tokens(const dv_session *session);
/** The ids; valid until the next call on the session. */
DV_API const uint32_t *dv_session_tokens(const dv_session *session);

/**
 * Append tokens (prefill). After it the logits of the last token are ready.
 * @param on_step  called after each prefill step with the tokens done so far; non-zero stops; NULL: none
 * Errors: DV_ECONTEXT if they do not fit (nothing is appended); DV_EINVAL for an id outside the vocabulary or n == 0; DV_ECANCELED (what was
 * done stays); DV_ENOMEM.
 */
DV_API int dv_session_append(dv_session *session, const uint32_t *ids, size_t n,
                             int (*on_step)(void *arg, size_t done, size_t total), void *arg, dv_err *err);
/**
 * Make the session hold exactly these tokens, computing only what differs from what it holds (a conversation's next turn).
 * @return tokens that were kept, or DV_E*
 */
DV_API int64_t dv_session_sync(dv_session *session, const uint32_t *ids, size_t n,
                               int (*on_step)(void *arg, size_t done, size_t total), void *arg, dv_err *err);
/** Drop tokens from the end so that n remain. Logits are gone until the next append. Errors: DV_EINVAL if n is more than it holds. */
DV_API int dv_session_truncate(dv_session *session, uint32_t n, dv_err *err);

/** Logits of the last token, [n_vocab], valid until the next call that changes the session; NULL if there are none. */
DV_API const float *dv_session_logits(const dv_session *session);
/** Natural log-probabilities of the last token's prediction into out[n_vocab]. Errors: DV_EINVAL if there are no logits. */
DV_API int dv_session_logprobs(const dv_session *session, float *out, dv_err *err);

/**
 * Append tokens and look at the logits of every one of them (perplexity, log-probabilities of a text).
 * @param on_position  called in order with the index i of ids[i] and the logits [n_vocab] that predict what follows it, valid during the
 *                     call; non-zero stops
 * Errors: as dv_session_append.
 */
DV_API int dv_session_score(dv_session *session, const uint32_t *ids, size_t n,
                            int (*on_position)(void *arg, size_t i, const float *logits), void *arg, dv_err *err);

/** Draw the next token from the logits (not appended). Does not allocate. Errors: DV_EINVAL if there are no logits. */
DV_API int dv_session_sample(dv_session *session, uint32_t *id, dv_err *err);

/** Natural log-probabilities of n logits; out may be logits. */
DV_API void dv_logits_to_logprobs(const float *logits, uint32_t n, float *out);

/* Generation: sample, append, turn into text, watch for the end. */

typedef enum dv_stop {
    DV_STOP_NONE,
    DV_STOP_END,
    DV_STOP_STRING,
    DV_STOP_LENGTH,
    DV_STOP_CONTEXT,
    DV_STOP_CANCELED,
    DV_STOP_N
} dv_stop;

typedef struct dv_generate_options {
    uint32_t max_tokens;     /**< 0: until the context is full */
    const char *const *stop; /**< strings that end the answer and are not part of it, also across tokens */
    size_t n_stop;           /**< at most 16, each of 1..256 bytes */
    /** Text as it becomes final: whole UTF-8 characters, never a part of a stop string. Non-zero stops. NULL: none. */
    int (*on_text)(void *arg, const char *text, size_t len);
    /** Every token, after it was sampled and before its text. Non-zero stops. NULL: none. */
    int (*on_token)(void *arg, uint32_t id);
    void *arg;
} dv_generate_options;

typedef struct dv_generate_result {
    dv_stop reason;
    uint32_t n_tokens; /**< sampled, the one that ended it included */
} dv_generate_result;

/**
 * Generate from the session's logits until something ends it. Each token is sampled, shown to on_token, turned into text and then
 * appended, so that its text is out before the next one is computed. The token that ends the generation is not appended, except at
 * DV_STOP_LENGTH, after which another call goes on: a step of the model that nobody may need is never computed. (The next turn of a
 * conversation goes through dv_session_sync, which brings the end token along.)
 * Reasons: DV_STOP_END an end token; DV_STOP_STRING a stop string, the one complete first if there are several; DV_STOP_LENGTH max_tokens;
 * DV_STOP_CONTEXT no room for the last token; DV_STOP_CANCELED a callback asked for it, and what was held back is dropped.
 * Errors: DV_EINVAL (no logits, bad stop strings: empty, too long, not UTF-8), DV_EINTERNAL (no usable logits), DV_ENOMEM.
 */
DV_API int dv_session_generate(dv_session *session, const dv_generate_options *options, dv_generate_result *result,
                               dv_err *err);

#ifdef __cplusplus
}
#endif
#endif
