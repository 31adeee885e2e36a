/* SPDX-License-Identifier: MIT */
/* Answers. */
#include "base/err.h"
#include "provider/body.h"
#include "provider/impl.h"

#include <string.h>

dv_provider_request dv_provider_request_default(void) { return (dv_provider_request){.temperature = -1, .seed = -1}; }

typedef struct generation {
    dv__answer *a;
    dv_err why; /* what is wrong with the answer */
} generation;

static int on_data(void *arg, dv__transfer *t, const char *p, size_t n, bool *enough)
{
    generation *g = arg;
    int rc = dv__answer_feed(g->a, t->events, p, n, &g->why);
    *enough = g->a->done;
    return rc;
}

static int on_end(void *arg, dv__transfer *t, dv_err *err)
{
    generation *g = arg;
    if (t->gone && !t->events)
        return dv_fail(err, DV_EIO, "the connection ended before the answer");
    int rc = dv__answer_end(g->a, t->events, err);
    t->gone |= !g->a->done && rc == DV_EIO;
    return rc;
}

static void on_again(void *arg)
{
    generation *g = arg;
    dv__answer_reset(g->a);
    g->why = (dv_err){0};
}

static bool is_final(void *arg)
{
    const generation *g = arg;
    return g->a->delivered;
}

static int generate(dv_provider *p, const dv_provider_request *rq, dv__question *q, dv_err *err)
{
    const char *model = rq->model != NULL ? rq->model : p->model;
    generation g = {.a = &p->answer};
    dv_err why = {0};
    dv_buf body;
    dv_buf_init(&body, 0);
    int rc = dv__check_profile(p, rq->profile, err);
    if (rc == 0)
        rc = dv__body_write(&body, rq, model, err);
    if (rc == 0) {
        *q = (dv__question){.base = p->api,
                            .path = rq->prompt != NULL ? "/completions" : "/chat/completions",
                            .profile = rq->profile != NULL ? rq->profile : p->profile,
                            .body = body.data,
                            .n_body = body.len,
                            .silence_ms = p->silence_ms,
                            .total_ms = p->total_ms,
                            .on_data = on_data,
                            .on_end = on_end,
                            .on_again = on_again,
                            .is_final = is_final,
                            .arg = &g};
        rc = dv__ask(p, q, &why);
        if (rc == DV_ECANCELED) {
            p->answer.finish = DV_FINISH_CANCELED;
            rc = 0;
        } else if (rc != 0) {
            dv_fail(err, rc, "%s", g.why.code == rc ? g.why.msg : why.msg);
        }
    }
    dv_buf_fini(&body);
    return rc;
}

static void fill(dv_provider *p, const dv__question *q, dv_provider_result *r)
{
    dv__answer *a = &p->answer;
    *r = (dv_provider_result){
        .text = dv_buf_str(&a->text),
        .len = a->text.len,
        .reasoning = dv_buf_str(&a->reasoning),
        .reasoning_len = a->reasoning.len,
        .model = dv_buf_str(&a->model),
        .finish = a->finish,
        .prompt_tokens = a->prompt_tokens,
        .completion_tokens = a->completion_tokens,
        .cached_tokens = a->cached_tokens,
        .status = q->t.status,
        .retry_after_s = q->t.retry_after_s,
        .retried = q->retried,
    };
}

int dv_provider_generate_stream(dv_provider *p, const dv_provider_request *rq, const dv_provider_stream *stream,
                                dv_provider_result *result, dv_err *err)
{
    dv__question q = {0};
    if (result != NULL)
        *result = (dv_provider_result){.text = "", .reasoning = "", .model = ""};
    int rc = dv__wire_begin(&p->wire, err);
    if (rc != 0)
        return rc;
    dv__answer_reset(&p->answer);
    p->answer.stream = stream;
    rc = generate(p, rq, &q, err);
    p->answer.stream = NULL;
    if (result != NULL)
        fill(p, &q, result);
    dv__wire_end(&p->wire);
    return rc;
}

int dv_provider_generate(dv_provider *p, const dv_provider_request *rq, dv_provider_result *result, dv_err *err)
{
    return dv_provider_generate_stream(p, rq, NULL, result, err);
}
