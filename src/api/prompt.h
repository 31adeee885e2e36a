/* SPDX-License-Identifier: MIT */
/* Prompts that come as text, as token ids, as a mix of both, or as a list of any of these. */
#ifndef DV_API_PROMPT_H
#define DV_API_PROMPT_H

#include "api/params.h"

typedef struct dv__prompt {
    uint32_t *id; /**< [n] in the call's arena */
    size_t n;
} dv__prompt;

typedef struct dv__prompts {
    dv__prompt *v; /**< [n] in the call's arena */
    size_t n;
} dv__prompts;

/**
 * Read a field: "text", [1, 2, 3], ["a", "b"], [[1, 2], [3]], and with `mixed` also [12, "text", 3], which is then one prompt.
 * Texts are the client's whole prompt: control tokens written in them are parsed, BOS is put in front where the model wants it.
 * @param name  of the field, for errors
 * Errors: DV_EINVAL naming it, DV_ELIMIT, DV_ENOMEM.
 */
int dv__prompts_read(dv__call *c, const json_t *v, const char *name, bool mixed, dv__prompts *out, dv_err *err);

/** rc, or that a prompt has more than DV_API_MAX_TOKENS tokens if rc is DV_ECONTEXT. */
int dv__prompt_limit(dv__call *c, int rc, dv_err *err);
/** One prompt of ids. Takes nothing: ids are copied to the arena. */
int dv__prompt_from_ids(dv__call *c, const dv_ids *ids, dv__prompt *out, dv_err *err);

#endif
