/* SPDX-License-Identifier: MIT */
/* The settings of a completion as llama-server shows them: generation_settings of an answer, defaults in /props and /slots. */
#ifndef DV_API_SETTINGS_H
#define DV_API_SETTINGS_H

#include "api/gen.h"

/** What only llama-server's own completions can be asked for. */
typedef struct dv__settings_more {
    bool post_probs;  /**< post_sampling_probs */
    uint32_t line_ms; /**< t_max_predict_ms */
} dv__settings_more;

/** {...} of a request whose fields were read and finished. more: NULL: nothing of it. */
void dv__put_settings(dv_buf *b, const dv__gen *g, const dv__settings_more *more);
/** The server's defaults, without what only a request has (stop, logit_bias, grammar). */
void dv__put_default_settings(dv_buf *b, const dv_api *api);

/**
 * The field "samplers": honoured only if it asks for what is done anyway. That is drover's own order, as shown in the settings, or
 * llama-server's default, a list of names or a string of letters; samplers that are off may be left out or stand anywhere.
 * Errors: DV_EINVAL naming the field.
 */
int dv__settings_check_samplers(dv__call *c, const json_t *samplers, dv_err *err);

#endif
