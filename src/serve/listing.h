/* SPDX-License-Identifier: MIT */
/* Lists of models and instances in replies, of which a client sees those that he may use. */
#ifndef DV_SERVE_LISTING_H
#define DV_SERVE_LISTING_H

#include "serve/exchange.h"

typedef void (*dv__put_model)(dv_buf *b, const dv__xchg *x, const dv_model_info *m);

/** Reply with before, the models with commas between them, and "]}". */
int dv__reply_models(dv__xchg *x, const char *before, dv__put_model put);
/** Reply with the model that the path names. Errors: DV_ENOENT, also for one that he may not use; DV_EINVAL. */
int dv__reply_model(dv__xchg *x, dv__put_model put, dv_err *err);

/** ,"key":"text" or ,"key":null for NULL and "". */
void dv__put_text(dv_buf *b, const char *key, const char *text);
/** ["a","b"] */
void dv__put_list(dv_buf *b, const char *const *v, size_t n);

#endif
