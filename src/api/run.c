/* SPDX-License-Identifier: MIT */
/* Locks: the call's, then the scheduler's or the request's. The scheduler calls back with none of its own held. dv_api.lock is taken before a
 * call's, and only tried for from there on (pings), so nothing waits in a circle. */
#include "api/run.h"

#include "base/clock.h"
#include "base/err.h"
#include "web/problem.h"

#include <stdlib.h>
#include <string.h>

typedef struct item {
    dv__call *call;
    dv_job *job; /* NULL before it is submitted */
} item;

struct dv__run {
    const dv__sink *sink;
    dv_job_params *params;
    uint32_t n, n_submitted, n_ended;
    dv_err err;  /* the first failure; the answer ends with it */
    size_t held; /* about as many bytes the answer has so far, if it is sent when it is whole */
    dv_job_timing timing;
    item items[];
};

static int on_event(void *arg, dv_job *job, const dv_job_event *ev);

/* ---- the list of calls that have jobs ---- */

static void activate(dv__call *c)
{
    dv_api *api = c->api;
    pthread_mutex_lock(&api->lock);
    c->next = api->active;
    if (c->next != NULL)
        c->next->prev = c;
    api->active = c;
    pthread_mutex_unlock(&api->lock);
}

/* The call has nothing to do any more: give the reference back that it held on its request. Not with the call locked. */
static void retire(dv__call *c)
{
    dv_api *api = c->api;
    pthread_mutex_lock(&api->lock);
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        api->active = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    pthread_mutex_unlock(&api->lock);
    dv_http_unref(c->req);
}

/* ---- output; everything here with the call locked ---- */

void dv__sse_begin(dv_buf *b) { dv_buf_adds(b, "data: "); }
void dv__sse_end(dv_buf *b) { dv_buf_adds(b, "\n\n"); }

static int begin_stream(dv__call *c)
{
    if (c->begun)
        return 0;
    (void)dv_http_add_header(c->req, "Cache-Control", "no-cache");
    (void)dv_http_add_header(c->req, "X-Accel-Buffering", "no");
    int rc = dv_http_stream_begin(c->req, 200, "text/event-stream; charset=utf-8");
    c->begun = rc == 0;
    return rc;
}

static void pause_jobs(dv__call *c, bool paused)
{
    dv__run *r = c->run;
    for (uint32_t i = 0; i < r->n_submitted; i++)
        if (paused)
            dv_job_pause(r->items[i].job);
        else
            dv_job_resume(r->items[i].job);
}

static void cancel_jobs(dv__call *c)
{
    for (uint32_t i = 0; i < c->run->n_submitted; i++)
        dv_job_cancel(c->run->items[i].job);
}

/* Send what the sink wrote. A connection that takes no more pauses the jobs; what is written until they stand still waits in c->out. */
static void flush(dv__call *c)
{
    if (!c->stream || c->gone || c->blocked || c->out.len == 0)
        return;
    int rc = begin_stream(c);
    if (rc == 0)
        rc = dv_http_stream_write(c->req, c->out.data, c->out.len);
    if (rc == DV_EBUSY) {
        c->blocked = true;
        pause_jobs(c, true);
        return;
    }
    c->written_ns = dv_clock_ns();
    dv_buf_clear(&c->out);
    if (rc != 0) { /* gone, or no memory for it: nobody will read the rest */
        c->gone = true;
        cancel_jobs(c);
        dv_http_abort(c->req);
    }
}

/* The failure, as a reply if there is none yet, else as the stream's last event. */
static void send_failure(dv__call *c)
{
    dv__run *r = c->run;
    if (!c->begun) {
        dv__call_fail(c, &r->err);
        return;
    }
    dv_buf body;
    dv_buf_init(&body, 0);
    dv_problem p = dv__call_problem(c, &r->err);
    dv_problem_body(&body, c->route->style, &p, dv_http_id(c->req));
    if (r->sink->broken != NULL) {
        r->sink->broken(c, dv_buf_str(&body));
    } else {
        dv__sse_begin(&c->out);
        dv_buf_add(&c->out, dv_buf_str(&body), body.len);
        dv__sse_end(&c->out);
    }
    dv_buf_fini(&body);
}

/* After the last event: the end of the answer. True when nothing is left to wait for. */
static bool finish(dv__call *c)
{
    dv__run *r = c->run;
    if (c->gone)
        return true;
    if (r->err.code == 0) {
        int rc = r->sink->done(c);
        if (rc == 0)
            rc = c->out.code;
        if (rc == 0 && !c->stream)
            rc = dv__call_json(c, 200, &c->out);
        if (rc != 0)
            dv_fail(&r->err, rc, "%s", dv__call_text(rc));
    }
    c->ended = true;
    if (r->err.code != 0) {
        if (!c->begun)
            dv_buf_clear(&c->out);
        c->out.code = 0;
        send_failure(c);
        if (!c->begun)
            return true;
    }
    if (!c->stream)
        return true;
    flush(c);
    if (!c->blocked && !c->gone)
        (void)dv_http_stream_end(c->req);
    return !c->blocked;
}

/* ---- jobs; with the call locked ---- */

static int submit(dv__call *c, dv_err *err)
{
    dv__run *r = c->run;
    uint32_t i = r->n_submitted;
    dv_job_params *p = &r->params[i];
    p->on_event = on_event;
    p->arg = &r->items[i];
    r->items[i].call = c;
    int rc = dv_sched_submit(c->api->sched, p, &r->items[i].job, err);
    if (rc != 0)
        return rc;
    r->n_submitted++;
    return 0;
}

/* Keep a window of jobs going. A full queue is no failure while jobs of our own will make room in it. */
static int submit_more(dv__call *c, dv_err *err)
{
    dv__run *r = c->run;
    while (r->n_submitted < r->n && r->n_submitted - r->n_ended < DV__RUN_WINDOW) {
        dv_err e = {0};
        int rc = submit(c, &e);
        if (rc == DV_EBUSY && r->n_submitted > r->n_ended)
            return 0;
        if (rc != 0)
            return dv_fail(err, rc, "%s", e.msg[0] != 0 ? e.msg : dv_error_text(rc));
    }
    return 0;
}

static void fail_run(dv__call *c, int code, const char *text)
{
    dv__run *r = c->run;
    if (r->err.code != 0)
        return;
    dv_fail(&r->err, code, "%s", text);
    cancel_jobs(c);
}

static void add_timing(dv_job_timing *sum, const dv_job_timing *t)
{
    sum->n_prompt += t->n_prompt;
    sum->n_cached += t->n_cached;
    sum->n_predicted += t->n_predicted;
    sum->n_drafted += t->n_drafted;
    sum->n_accepted += t->n_accepted;
    sum->queue_ms += t->queue_ms;
    sum->prompt_ms += t->prompt_ms;
    sum->predicted_ms += t->predicted_ms;
}

/* What an event adds to an answer, roughly: log-probabilities are numbers, a token and its bytes. */
static size_t size_of(const dv_job_event *ev)
{
    switch (ev->type) {
    case DV_JOB_TEXT: return ev->len;
    case DV_JOB_TOKEN:
    case DV_JOB_PROMPT: return (size_t)(ev->n_top + 1) * 64;
    case DV_JOB_EMBEDDING: return (size_t)ev->n_embd * 12;
    default: return 0;
    }
}

/* One event for a call that wants it. */
static void take_event(dv__call *c, uint32_t i, const dv_job_event *ev)
{
    dv__run *r = c->run;
    if (ev->type == DV_JOB_END) {
        r->n_ended++;
        if (ev->timing != NULL)
            add_timing(&r->timing, ev->timing);
        if (ev->code != 0 && !c->gone)
            fail_run(c, ev->code, ev->err != NULL && ev->err->msg[0] != 0 ? ev->err->msg : dv_error_text(ev->code));
    }
    if (c->gone || r->err.code != 0)
        return;
    r->held += c->stream ? 0 : size_of(ev);
    int rc = r->held > DV_API_MAX_REPLY ? DV_ELIMIT : r->sink->event(c, i, ev);
    if (rc == 0)
        rc = c->out.code;
    if (rc != 0) {
        fail_run(c, rc, dv__call_text(rc));
        return;
    }
    flush(c);
    dv_err err = {0};
    if (ev->type == DV_JOB_END && !c->gone && (rc = submit_more(c, &err)) != 0)
        fail_run(c, rc, err.msg);
}

/* All jobs have ended that ever will. */
static bool is_over(const dv__call *c)
{
    const dv__run *r = c->run;
    bool all = r->n_submitted == r->n || c->gone || r->err.code != 0;
    return all && r->n_ended == r->n_submitted;
}

static int on_event(void *arg, dv_job *job, const dv_job_event *ev)
{
    item *it = arg;
    dv__call *c = it->call;
    pthread_mutex_lock(&c->lock);
    take_event(c, (uint32_t)(it - c->run->items), ev);
    bool stop = c->gone || c->run->err.code != 0;
    bool done = ev->type == DV_JOB_END && is_over(c) && finish(c);
    pthread_mutex_unlock(&c->lock);
    if (done)
        retire(c);
    return stop ? -1 : 0;
}

/* Tokens that this request may have: the context, or less if the service in front of us says so of the key that it came with. It comes by the
 * service's socket; anybody else's word for it does not count. */
static uint32_t max_context(const dv__call *c)
{
    uint32_t n_ctx = dv_engine_get_info(c->api->engine)->n_ctx;
    const char *said = dv_http_is_unix(c->req) ? dv_http_header(c->req, "X-Drover-Max-Context") : NULL;
    unsigned long v = said != NULL ? strtoul(said, NULL, 10) : 0;
    return v > 0 && v < n_ctx ? (uint32_t)v : n_ctx;
}

/* A prompt that is too long is refused with the words that llama-server's clients look for; an answer ends where the context does. */
static int check_length(dv__call *c, dv_job_params *p, dv_err *err)
{
    uint32_t n_ctx = max_context(c);
    bool room = p->kind == DV_JOB_GENERATE && !p->no_tokens; /* for one token at least */
    c->n_prompt = (uint32_t)DV_MIN(p->n_prompt, (size_t)UINT32_MAX);
    if (p->n_prompt + room <= n_ctx) {
        uint32_t left = n_ctx - (uint32_t)p->n_prompt;
        if (n_ctx < dv_engine_get_info(c->api->engine)->n_ctx && room && (p->max_tokens == 0 || p->max_tokens > left))
            p->max_tokens = left;
        return 0;
    }
    return dv_fail(err, DV_ECONTEXT,
                   "the request exceeds the available context size: it has %zu tokens, the context %u", p->n_prompt,
                   n_ctx);
}

int dv__run_start(dv__call *c, const dv__sink *sink, dv_job_params *params, uint32_t n, dv_err *err)
{
    int rc;
    for (uint32_t i = 0; i < n; i++)
        if ((rc = check_length(c, &params[i], err)) != 0)
            return rc;
    dv__run *r = dv_calloc(DV_MEM_API, 1, sizeof *r + n * sizeof r->items[0]);
    if (r == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    r->sink = sink;
    r->params = params;
    r->n = n;
    dv_http_ref(c->req);
    pthread_mutex_lock(&c->lock);
    c->run = r;
    c->written_ns = dv_clock_ns();
    c->gone |= dv_http_gone(c->req); /* before the run there was nothing to cancel */
    rc = c->gone ? DV_ECANCELED : submit_more(c, err);
    bool running = r->n_submitted > 0;
    if (running) {
        if (rc != 0)
            fail_run(c, rc, err->msg);
        activate(c);
    }
    pthread_mutex_unlock(&c->lock);
    if (running)
        return 0;
    dv_http_unref(c->req);
    return rc != 0 && err->code == 0 ? dv_fail(err, rc, "%s", dv_error_text(rc)) : rc;
}

void dv__run_free(dv__run *r)
{
    if (r == NULL)
        return;
    for (uint32_t i = 0; i < r->n_submitted; i++)
        dv_job_unref(&r->items[i].job);
    dv_free(r);
}

const dv_job_timing *dv__run_timing(const dv__call *c) { return &c->run->timing; }

/* ---- I/O thread ---- */

void dv__run_writable(dv__call *c)
{
    bool done = false;
    pthread_mutex_lock(&c->lock);
    if (c->run != NULL && c->blocked) {
        c->blocked = false;
        flush(c);
        if (!c->blocked && c->ended) {
            (void)dv_http_stream_end(c->req);
            done = true;
        } else if (!c->blocked) {
            pause_jobs(c, false);
        }
    }
    pthread_mutex_unlock(&c->lock);
    if (done)
        retire(c);
}

void dv__run_gone(dv__call *c)
{
    pthread_mutex_lock(&c->lock);
    bool waits = c->run != NULL && c->ended && c->blocked; /* nothing but the reader was waited for */
    c->gone = true;
    c->blocked = false;
    if (c->run != NULL && c->run->n_ended < c->run->n_submitted) {
        pause_jobs(c, false);
        cancel_jobs(c);
    }
    pthread_mutex_unlock(&c->lock);
    if (waits)
        retire(c);
}

static void ping(dv__call *c, uint64_t now)
{
    static const char line[] = ": ping\n\n";
    uint64_t silence = (uint64_t)c->api->o.ping_ms * 1000000u;
    if (!c->stream || c->ended || c->gone || c->blocked || now - c->written_ns < silence)
        return;
    if (begin_stream(c) == 0)
        (void)dv_http_stream_write(c->req, line, sizeof line - 1);
    c->written_ns = now;
}

void dv__run_pings(dv_api *api)
{
    uint64_t now = dv_clock_ns();
    pthread_mutex_lock(&api->lock);
    for (dv__call *c = api->active; c != NULL; c = c->next)
        if (pthread_mutex_trylock(&c->lock) == 0) { /* locked: it is writing */
            ping(c, now);
            pthread_mutex_unlock(&c->lock);
        }
    pthread_mutex_unlock(&api->lock);
}
