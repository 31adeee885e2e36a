/* SPDX-License-Identifier: MIT */
/* The insides of the scheduler, for this folder. */
#ifndef DV_SCHED_IMPL_H
#define DV_SCHED_IMPL_H

#include "engine/answer.h"
#include "engine/session.h"
#include "sched/draft.h"
#include "sched/prefix.h"
#include "sched/sched.h"
#include "sched/snapshot.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    DV__GUESSED_ROWS = 8, /* rows of a step up to which guesses are added: more are no longer nearly free */
    DV__PROMPT_ROWS = 16, /* rows of logits made at a time for prompt_logprobs */
    DV__PARALLEL_MAX = 256,
    DV__PARKED = 16, /* sequences without a slot, at most */
    DV__SEQ_MAX = DV__PARALLEL_MAX + DV__PARKED
};

/* A sampled token, before it is handed out. */
typedef struct dv__drawn {
    uint32_t id;
    float logprob;
    uint32_t n_top;
    dv_job_prob top[DV_JOB_MAX_TOP];
} dv__drawn;

struct dv_job {
    atomic_uint refs;
    atomic_bool canceled, paused;
    dv_sched *sched;
    uint64_t id;
    dv_job_params p;     /* with pointers to own copies */
    struct dv_job *next; /* in the inbox, then in the queue */
    /* Of the scheduler's thread. */
    uint32_t n_begun, n_ended; /* choices */
    bool shareable;            /* the first choice's prompt is computed, so the others find it */
    bool dead;                 /* no more events but END */
    int code;
    dv_err err;
    dv_job_timing timing;
    uint64_t submitted_ns, started_ns, prompt_done_ns;
};

/* A sequence, one choice of a job, and its slot. The slots 0 to parallel - 1 run; a higher number is a place for one whose reader is slow
 * while somebody else has its slot. */
typedef struct dv__seq {
    dv_job *job; /* NULL: the slot is free, and tokens and n_tok are those of its last sequence */
    uint32_t index, slot;
    bool still;     /* has no part in the step at hand: paused, or without a slot */
    uint64_t order; /* of admission: the youngest gives way */
    dv_kv_seq kv;
    uint32_t n_kv;    /* positions computed */
    uint32_t *tokens; /* [cap] prompt and sampled */
    uint32_t n_tok, cap;
    uint32_t n_prompt, n_predicted, n_max; /* n_max: sampled tokens at most */
    bool begun;                            /* its prefix was looked up */
    bool decoding;                         /* its prompt is computed */
    bool evicted;                          /* gave its pages away and waits for new ones */
    bool has_line;                         /* line_ms only: there was a line end */
    uint64_t first_ns;                     /* line_ms only: when the first token came */
    uint32_t n_scored;                     /* prompt tokens whose log-probability was handed out */
    dv_sampler sampler;
    dv_grammar_state grammar;
    dv_answer answer;
    dv__draft draft;
    double *pool; /* [n_embd] sum of hidden states, for an embedding */
    /* The step at hand. */
    uint32_t first_row, n_rows; /* its tokens in the batch */
    uint32_t first_logits;      /* its rows of logits */
    uint32_t n_guess, guess[DV__DRAFT_MAX];
    bool wants_logits;
    uint32_t n_drawn;
    dv__drawn drawn[DV__DRAFT_MAX + 1];
    int code; /* failure while sampling */
    dv_err err;
} dv__seq;

struct dv_sched {
    dv_engine *engine;
    dv_sched_options o;
    dv_grammar_vocab *vocab; /* made when the first grammar comes */
    pthread_t thread;
    bool running;
    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t wake, done;
    dv_job *inbox_first, *inbox_last;
    uint32_t n_waiting; /* jobs in the inbox and the queue */
    uint32_t n_jobs;    /* those and the running ones */
    bool stop, draining, poked;
    uint64_t next_job;
    dv_sched_stats stats; /* of the last step */
    dv_slot_info *slot_info;
    struct dv__command *command; /* a slot command that waits */
    /* Of the scheduler's thread. */
    dv_job *queue; /* sorted: priority, then id */
    dv__seq *seq;  /* [n_seq] in no order; each has a slot of its own, below n_seq */
    uint32_t n_seq;
    uint64_t next_order;
    dv__prefix prefix;
    dv__snapshot *snapshot;
    dv_sched_stats now;
    float *logits; /* [max_rows][n_vocab] */
    uint32_t max_rows;
    uint32_t *rows;      /* [max_rows] */
    uint32_t *masks;     /* [n_seq][mask words] */
    float *hidden;       /* [n_embd] */
    dv__seq **batch_seq; /* [parallel] sequences of the step at hand */
    uint32_t n_batch_seq, n_batch;
};

/* A request of another thread that is done between steps. */
typedef struct dv__command {
    struct dv__command *next;
    int (*run)(dv_sched *s, struct dv__command *c);
    uint32_t slot, n_tokens;
    uint64_t n_bytes;
    const char *path;
    int code;
    bool done;
    dv_err err;
} dv__command;

/* sched.c */
/** Let other threads see the counters as they are now. */
void dv__publish(dv_sched *s);

/* job.c */
void dv__job_event(dv_job *j, dv_job_event *ev);
/** The job's last event; drops the scheduler's reference. */
void dv__job_end(dv_job *j, int code, const dv_err *err);
double dv__ms_since(uint64_t ns);

/* seq.c: the life of a sequence */
int dv__seq_begin(dv_sched *s, dv__seq *q, dv_job *j, dv_err *err);
/** Keep what it computed as a prefix, and free the slot. */
void dv__seq_end(dv_sched *s, dv__seq *q);
/** Its pages go to the prefix cache; it goes on when it gets others. */
void dv__seq_evict(dv_sched *s, dv__seq *q);
/** Hand out what was sampled. */
void dv__seq_deliver(dv_sched *s, dv__seq *q);
/** The choice is over. */
void dv__seq_finish(dv_sched *s, dv__seq *q, dv_stop reason);
/** The whole job is over, with its other choices. */
void dv__seq_fail(dv_sched *s, dv_job *j, int code, const dv_err *err);

/* sample.c: from rows of logits to drawn tokens, in parallel */
void dv__sample_all(dv_sched *s);
/** Whether a drawn token ends its sequence. */
bool dv__sample_is_end(const dv_sched *s, const dv__seq *q, uint32_t id);
/** The n_top most likely tokens of a row. @return what is to be taken from a logit to get a log-probability */
double dv__sample_probs(const float *logits, uint32_t n_vocab, uint32_t n_top, dv__drawn *out);

/* admit.c */
/** New jobs into the queue. */
void dv__take_inbox(dv_sched *s);
/** End the jobs that are marked. */
void dv__drop_canceled(dv_sched *s);
/** Slots for those that waited longest. */
void dv__admit(dv_sched *s);
bool dv__is_paused(const dv_job *j);
bool dv__has_slot(const dv_sched *s, const dv__seq *q);

/* step.c */
/** One step. @return false if there was nothing to do */
bool dv__step(dv_sched *s);

/* slot.c */
int dv__slot_command(dv_sched *s, dv__command *c, dv_err *err);

#endif
