/* SPDX-License-Identifier: MIT */
/* The scheduler: many requests, one model. One thread of its own owns the engine and runs the step loop: it admits requests, builds a
 * batch of every decoding sequence and a slice of prefill, computes it, samples, and hands tokens out through callbacks. All sequences
 * share one pool of KV pages, and a prefix that was computed once is not computed again while its pages are there.
 *
 * A request's tokens depend on its prompt and parameters alone: not on what else is in the batch, on where its prefix came from, on
 * speculation or on being set aside for lack of pages and taken up again.
 *
 * Threads: "any thread" functions lock; callbacks run on the scheduler's thread and must not block. A callback may call
 * dv_job_cancel and dv_job_pause, and dv_sched_submit. */
#ifndef DV_SCHED_SCHED_H
#define DV_SCHED_SCHED_H

#include "drover/engine.h"
#include "grammar/grammar.h"

typedef struct dv_sched dv_sched;
typedef struct dv_job dv_job; /* one request; ref-counted */

enum { DV_JOB_MAX_TOP = 100, DV_JOB_MAX_CHOICES = 32 };

/** A token with its log-probability. */
typedef struct dv_job_prob {
    uint32_t id;
    float
        logprob; /**< natural; of the model's distribution, before penalties, temperature and constraints (but see post_probs) */
} dv_job_prob;

typedef enum dv_job_event_type {
    DV_JOB_STARTED,  /**< prefill begins: n_cached is known */
    DV_JOB_PROGRESS, /**< after a slice of prefill: n_done of n_prompt */
    DV_JOB_PROMPT,   /**< prompt_logprobs only: log-probability of prompt token `at`; not for the first */
    DV_JOB_TOKEN,    /**< a sampled token; an end token too, with `reason` set */
    DV_JOB_TEXT, /**< text that is final after a token, or before one that nothing goes across: whole characters, nothing of a
                          stop string */
    DV_JOB_CHOICE, /**< choice `index` is complete, `reason` says why */
    DV_JOB_EMBEDDING,
    DV_JOB_END /**< the last event of every job: code 0, or the failure and its text in err */
} dv_job_event_type;

typedef struct dv_job_timing {
    uint32_t n_prompt, n_cached;    /**< tokens of the prompt, and those of them that were not computed for it */
    uint32_t n_predicted;           /**< sampled tokens, of all choices */
    uint32_t n_drafted, n_accepted; /**< by speculation */
    double queue_ms, prompt_ms;     /**< prompt_ms: 0 until the prompt is computed */
    double predicted_ms;            /**< since then, up to this event */
} dv_job_timing;

typedef struct dv_job_event {
    dv_job_event_type type;
    uint32_t index; /**< choice */
    uint32_t slot;  /**< STARTED, CHOICE: where the choice runs */
    /* TOKEN, PROMPT */
    uint32_t id, at;        /**< the token and its position in the choice (PROMPT: in the prompt), from 0 */
    float logprob;          /**< of id, if asked for */
    const dv_job_prob *top; /**< [n_top] the most likely tokens, best first */
    uint32_t n_top;
    /* TEXT: valid UTF-8 */
    const char *text;
    size_t len;
    /* CHOICE, and a TOKEN that ends it */
    dv_stop reason;
    const char *stop_string; /**< with DV_STOP_STRING: which */
    /* STARTED, PROGRESS */
    uint32_t n_done;
    /* EMBEDDING: [n_embd], not normalised */
    const float *embedding;
    uint32_t n_embd;
    /* END */
    int code;
    const dv_err *err;
    const dv_job_timing *timing; /**< always there */
} dv_job_event;

typedef enum dv_job_kind { DV_JOB_GENERATE, DV_JOB_EMBED } dv_job_kind;

typedef struct dv_job_params {
    dv_job_kind kind;
    const uint32_t *prompt;  /**< [n_prompt], copied; ids are checked */
    size_t n_prompt;         /**< at least 1 */
    dv_sampling sampling;    /**< as dv_session_open takes it; copied. Choice i is seeded with seed + i */
    uint32_t n;              /**< choices, 1..DV_JOB_MAX_CHOICES */
    uint32_t max_tokens;     /**< of each choice; 0: until the context is full */
    bool no_tokens;          /**< prefill only: no token is sampled (max_tokens of 0 as OpenAI means it) */
    const char *const *stop; /**< copied; as in dv_generate_options */
    size_t n_stop;
    const uint32_t *
        cut; /**< [n_cut] tokens that divide the text, copied: what is held back when one is drawn (the beginning of a stop
                              string, half a character) comes out before its TOKEN event. An end token always does that */
    size_t n_cut;
    bool ignore_end;      /**< end tokens are never drawn, but where a grammar allows nothing else */
    bool keep_control;    /**< control tokens are part of the text */
    dv_grammar *grammar;  /**< a reference is taken; NULL: none */
    bool logprobs;        /**< fill logprob in TOKEN events */
    uint32_t n_top;       /**< and so many alternatives, at most DV_JOB_MAX_TOP */
    bool post_probs;      /**< these are of the distribution that the token was drawn from, not of the model's */
    uint32_t line_ms;     /**< DV_STOP_LENGTH at the first chance after so long, counted from the first token, if the
                               text has a line end by then; 0: never. The one parameter that makes a text depend on time */
    bool prompt_logprobs; /**< PROMPT events for the prompt's tokens too; the prompt is then computed in full */
    bool no_cache;        /**< neither use nor keep a prefix */
    bool no_speculation;
    int priority; /**< higher goes first; among equals first come, first served */
    int slot;     /**< this slot if it is free; -1: any */
    /** On the scheduler's thread; non-zero cancels the job. */
    int (*on_event)(void *arg, dv_job *job, const dv_job_event *ev);
    void *arg;
} dv_job_params;

/**
 * Hand in a request. Any thread; returns at once.
 * @param out  a reference for the caller, to be dropped with dv_job_unref; set before the first event
 * Errors (then there are no events): DV_EBUSY the queue is full, or the scheduler drains; DV_ECONTEXT the prompt can never fit (err says the
 * numbers); DV_EINVAL naming the parameter; DV_ENOMEM.
 */
int dv_sched_submit(dv_sched *s, const dv_job_params *p, dv_job **out, dv_err *err);
/** Ask for the end: the job's END event comes within one step, with DV_ECANCELED. Any thread, any number of times. */
void dv_job_cancel(dv_job *job);
/** (Not after dv_sched_close, like everything but dv_job_unref.) No further step for this job until it is resumed: its reader is slow. What
 * it holds, slot and pages, goes to others that wait for it; the tokens are the same. Any thread. */
void dv_job_pause(dv_job *job);
void dv_job_resume(dv_job *job);
dv_job *dv_job_ref(dv_job *job);
/** Sets *job to NULL; *job may be NULL. Any thread. */
void dv_job_unref(dv_job **job);
/** Number of the job, from 1; llama-server's id_task. */
uint64_t dv_job_id(const dv_job *job);

typedef struct dv_sched_options {
    uint32_t parallel;    /**< sequences at once, 1..256; 0: 4 */
    uint32_t queue;       /**< jobs that may wait, 1..65536; 0: 64 */
    uint32_t slice;       /**< tokens of prefill in a step that others wait for; 0: 64 */
    uint64_t kv_bytes;    /**< of all KV pages; 0: what the engine's context needs */
    uint64_t cache_bytes; /**< beyond that, for prefixes that no running sequence uses; 0: none */
    bool no_prefix_cache;
    bool no_speculation;
    const char *cache_dir;                               /**< for prefix snapshots; NULL: none */
    uint64_t cache_dir_bytes;                            /**< bound of the folder; 0: 4 GiB */
    void (*log)(void *arg, int level, const char *text); /**< any thread; NULL: none */
    void *log_arg;
} dv_sched_options;

/**
 * Start the scheduler's thread on an engine, which belongs to it until dv_sched_close (but for its immutable parts: tokenizer, template,
 * info). The engine's ctx is the number of positions that one sequence may hold.
 * Errors: DV_EINVAL naming the option, DV_ENOMEM (with numbers), DV_EIO (threads).
 */
int dv_sched_open(dv_sched **out, dv_engine *engine, const dv_sched_options *o, dv_err *err);
/** Stops at once: jobs that are not done end with DV_ECANCELED. Sets *s to NULL. Not from a callback. */
void dv_sched_close(dv_sched **s);
/** From now on submit returns DV_EBUSY. Any thread. */
void dv_sched_drain(dv_sched *s);
/** Jobs waiting or running. Any thread. */
uint32_t dv_sched_n_jobs(dv_sched *s);

/** What a slot does, for /slots. */
typedef struct dv_slot_info {
    uint64_t job; /**< id of the running job; 0: idle */
    uint32_t n_tokens, n_prompt, n_prompt_done, n_cached, n_predicted;
    bool speculative;
} dv_slot_info;

typedef struct dv_sched_stats {
    uint32_t n_slots, n_running, n_queued, n_queue_max;
    uint64_t n_jobs, n_done, n_canceled, n_failed, n_refused;
    uint64_t n_prompt_tokens, n_prompt_computed, n_cached_tokens, n_predicted_tokens, n_drafted, n_accepted;
    uint64_t n_steps, n_step_tokens, n_preempted;
    double prompt_seconds, predicted_seconds; /**< time of steps, shared out to prefill and decode by their tokens */
    uint64_t kv_pages_max, kv_pages_used, kv_pages_cached, kv_page_bytes;
    uint64_t n_snapshot_hits, n_snapshot_writes, n_snapshot_rejects;
} dv_sched_stats;

/** Any thread. slots: [n_slots] or NULL. */
void dv_sched_get_stats(dv_sched *s, dv_sched_stats *out, dv_slot_info *slots);

/**
 * llama-server's slot files: the tokens of a slot's last sequence with their pages. Any thread; wait for the scheduler's thread (which
 * reads or writes the file itself, so path must be quick to open: a regular file).
 * @param n_tokens  saved, restored or erased; n_bytes  of the file
 * Errors: DV_EINVAL (no such slot), DV_EBUSY (it is running), DV_ENOENT, DV_EFORMAT (not such a file, another model, damaged), DV_EIO,
 * DV_ENOMEM. After a failure the slot is as before.
 */
int dv_sched_slot_save(dv_sched *s, uint32_t slot, const char *path, uint32_t *n_tokens, uint64_t *n_bytes,
                       dv_err *err);
int dv_sched_slot_restore(dv_sched *s, uint32_t slot, const char *path, uint32_t *n_tokens, uint64_t *n_bytes,
                          dv_err *err);
int dv_sched_slot_erase(dv_sched *s, uint32_t slot, uint32_t *n_tokens, dv_err *err);

/** Memory that an engine and its scheduler need, from the file's header alone. */
typedef struct dv_sched_plan {
    uint64_t weights; /**< mapped from the file, shared, can be dropped by the system and read again */
    uint64_t kv, scratch, logits, vocab; /**< anonymous */
    uint64_t anonymous;        /**< their sum with what a process takes besides: what it holds when its cache is full */
    uint64_t limit, available; /**< of the cgroup or the machine: all, and what is free now */
} dv_sched_plan;

/**
 * Compute what opening path with these options will need and compare it with what the machine or the cgroup leaves.
 * Errors: DV_ENOMEM with the numbers if it cannot fit; those of reading the file.
 */
int dv_sched_plan_memory(const char *path, const dv_engine_options *eo, const dv_sched_options *so, dv_sched_plan *plan,
                         dv_err *err);
/** The same for a file that is open, compared with nothing. Errors: those of dv_model_open; DV_EINVAL (a KV type that does not fit). */
int dv_sched_plan_of(const dv_gguf *g, const dv_engine_options *eo, const dv_sched_options *so, dv_sched_plan *plan,
                     dv_err *err);

#endif
