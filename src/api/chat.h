/* SPDX-License-Identifier: MIT */
/* A chat, in whatever API it came: internal messages and tools become a prompt, a job's events become content, reasoning and calls. The APIs
 * differ in how they read a request and in a dv__chat_writer. */
#ifndef DV_API_CHAT_H
#define DV_API_CHAT_H

#include "api/gen.h"
#include "api/run.h"
#include "chat/parser.h"

typedef struct dv__chat dv__chat;

/** One answer. */
typedef struct dv__choice {
    dv__chat *chat;
    uint32_t index;
    dv_chatfmt_parser *parser;
    dv_buf content, reasoning; /**< what was said so far; not kept for streams unless keep is set */
    dv_buf calls;              /**< not streamed: OpenAI's tool calls, without the list's brackets */
    dv_buf logprobs;           /**< entries that were not sent yet, without the list's brackets */
    bool begun;                /**< its first event was written */
    bool in_reasoning;
    uint32_t n_tokens, n_reasoning; /**< sampled, and those of them that became thoughts */
    dv_stop reason;
    const char *stop_string; /**< with DV_STOP_STRING; points into the request */
    void *more;              /**< the writer's own, in the call's arena */
    dv_buf own[2];           /**< the writer's own */
} dv__choice;

/** How an API writes a streamed chat. All append to c->out. Every function may be NULL. */
typedef struct dv__chat_writer {
    int (*begin)(dv__call *c, dv__choice *ch);                             /**< before a choice's first event */
    int (*event)(dv__call *c, dv__choice *ch, const dv_chatfmt_event *ev); /**< content, reasoning, calls */
    int (*progress)(dv__call *c, const dv_job_event *ev);                  /**< if it was asked for */
    int (*end)(dv__call *c, dv__choice *ch);                               /**< reason is known */
    int (*done)(dv__call *c); /**< all choices are complete; also writes the whole body if not streamed */
    void (*broken)(dv__call *c, const char *body);
} dv__chat_writer;

struct dv__chat {
    dv__gen gen; /**< first: tables of fields may write to the chat */
    dv__call *call;
    const dv__chat_writer *writer;
    json_t *messages; /**< internal; owned */
    dv_chattools tools;
    json_t *vars;             /**< template variables; owned; NULL: none */
    const json_t *kwargs;     /**< of the request: chat_template_kwargs */
    const char *effort;       /**< reasoning_effort */
    const char *effort_field; /**< the name that the API has for it; NULL: "reasoning_effort" */
    bool keep_thinking, no_answer_prompt;
    bool continue_last; /**< the last message is the beginning of the answer */
    uint32_t n_cached, n_prompt;
    dv_job_timing timing;                 /**< as of the newest event */
    uint32_t marks[DV_CHATFMT_MAX_MARKS]; /**< of the job: tokens that divide its text */
    time_t created;
    dv__choice choice[DV_JOB_MAX_CHOICES];
};

/** A chat for a call, which owns it (c->state). NULL: out of memory. */
dv__chat *dv__chat_new(dv__call *c, const dv__chat_writer *writer);
/**
 * With gen's fields, messages and tools filled: the prompt's tokens, in the call's arena.
 * Errors: those of templates and grammars, DV_ENOMEM.
 */
int dv__chat_prompt(dv__chat *chat, uint32_t **ids, size_t *n, dv_err *err);
/** Read the fields of /v1/chat/completions into a new chat, up to what dv__chat_prompt needs. */
int dv__chat_read_openai(dv__call *c, dv__chat *chat, dv_err *err);
/** The prompt's text alone. out: dv_chatfmt_text_fini frees it. */
int dv__chat_render(dv__chat *chat, dv_chatfmt_text *out, dv_err *err);
/** dv__chat_prompt, then the job. */
int dv__chat_start(dv__chat *chat, dv_err *err);
/** Whether reasoning_effort and chat_template_kwargs can be honoured; makes vars of them. */
int dv__chat_vars(dv__chat *chat, dv_err *err);
/** DV_EUNSUPPORTED and so on if the model's template is broken. */
int dv__chat_check(dv__call *c, dv_err *err);

#endif
