/* SPDX-License-Identifier: MIT */
/* What the caller wants, checked and written as the body of an OpenAI request. */
#ifndef DV_PROVIDER_BODY_H
#define DV_PROVIDER_BODY_H

#include "base/buf.h"
#include "drover/provider.h"

/**
 * Append the JSON of a streaming request for /chat/completions, or for /completions if it has a prompt.
 * @param model  name to ask for; NULL: none
 * Errors: DV_EINVAL naming the field; DV_ENOMEM.
 */
int dv__body_write(dv_buf *b, const dv_provider_request *rq, const char *model, dv_err *err);

/** Printable ASCII without blanks, not empty: what may be part of a URL or of a header field. */
bool dv__is_word(const char *s);

#endif
