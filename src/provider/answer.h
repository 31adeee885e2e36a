/* SPDX-License-Identifier: MIT */
/* An answer as it comes: the bytes of a reply to text, reasoning, reason of the end, token counts. The bytes are a stream of events, or, from
 * servers that do not stream, one JSON object. */
#ifndef DV_PROVIDER_ANSWER_H
#define DV_PROVIDER_ANSWER_H

#include "drover/provider.h"
#include "provider/sse.h"

enum {
    DV__ANSWER_MAX = 16 << 20, /**< bytes of text; of reasoning */
    DV__WHOLE_MAX = 4 << 20 /**< bytes of a reply that is one JSON object, which may take 70 times as much in memory */
};

typedef struct dv__answer {
    const dv_provider_stream *stream; /**< borrowed; NULL: nobody wants it as it comes */
    dv__sse sse;
    dv_buf text, reasoning, model, whole;
    dv_finish finish;
    uint64_t prompt_tokens, completion_tokens, cached_tokens;
    bool ended;     /**< the server said why it ended */
    bool done;      /**< nothing more comes */
    bool delivered; /**< a callback was given something */
} dv__answer;

void dv__answer_init(dv__answer *a, const dv_provider_stream *stream);
void dv__answer_fini(dv__answer *a);
/** As after dv__answer_init: the question is asked again. */
void dv__answer_reset(dv__answer *a);
/**
 * The next bytes of the reply's body.
 * @param events  it is a stream of events
 * Errors: DV_ECANCELED (a callback), DV_EFORMAT, DV_ELIMIT, DV_ENOMEM, those that the server reports; what came before stays.
 */
int dv__answer_feed(dv__answer *a, bool events, const char *p, size_t n, dv_err *err);
/** The reply has ended as it should. Errors: as above; DV_EIO if the answer is not complete. */
int dv__answer_end(dv__answer *a, bool events, dv_err *err);

/**
 * What a server reports: the status and the JSON (or text) of its reply, or of an event.
 * @param status  0: not known
 * @return a DV_E* code, recorded in err
 */
int dv__answer_error(int status, const char *body, size_t n, dv_err *err);

#endif
