/* SPDX-License-Identifier: MIT */
#include "client/client.h"

#include "base/attr.h"
#include "base/err.h"
#include "base/mem.h"
#include "client/fetch.h"
#include "client/memory.h"

#include <event2/event.h>

/* Give the application what f has. It may cancel f meanwhile, and then nothing of f may be touched. */

static bool tell_head(dv_client *c, dv_fetch *f)
{
    if (f->head_told || !f->head.complete)
        return true;
    f->head_told = true;
    if (!f->over)
        dv__fetch_watch(f);
    if (f->rq.on_head != NULL)
        f->rq.on_head(f->rq.arg, f);
    return c->current == f;
}

static bool tell_data(dv_client *c, dv_fetch *f)
{
    if (f->in.len == 0 || f->paused)
        return true;
    size_t n = f->in.len, taken = f->rq.on_data(f->rq.arg, f, f->in.data, n);
    if (c->current != f)
        return false;
    if (taken == 0) {
        f->paused = true;
        return true;
    }
    dv_buf_clear(&f->in);
    if (taken != n)
        dv__fetch_abort(f);
    return true;
}

static void tell_end(dv_fetch *f)
{
    f->ending = true;
    f->rq.on_end(f->rq.arg, f, f->end, f->end == DV_FETCH_OK ? "" : f->why.msg);
    dv__fetch_free(f);
}

/* Let libcurl hand over what it has held back. */
static void unhold(dv_fetch *f)
{
    f->held = false;
    CURLcode result = curl_easy_pause(f->easy, CURLPAUSE_CONT);
    if (result != CURLE_OK)
        dv__fetch_over(f, f->lost || result == CURLE_OUT_OF_MEMORY ? DV_FETCH_NOMEM : DV_FETCH_BROKEN,
                       curl_easy_strerror(result));
}

static void deliver(dv_client *c, dv_fetch *f)
{
    c->current = f;
    if (f->lost)
        dv__fetch_over(f, DV_FETCH_NOMEM, dv_error_text(DV_ENOMEM));
    bool alive = tell_head(c, f) && tell_data(c, f);
    if (alive && f->held && !f->paused && !f->over)
        unhold(f);
    if (alive && f->over && f->in.len == 0)
        tell_end(f);
    c->current = NULL;
}

void dv__client_round(void *client)
{
    dv_client *c = client;
    /* One round: who becomes ready meanwhile waits for the next, and the loop sees its sockets in between. */
    dv_fetch *last = TAILQ_LAST(&c->ready, dv__fetches), *f;
    for (bool more = last != NULL; more && (f = TAILQ_FIRST(&c->ready)) != NULL;) {
        more = f != last;
        TAILQ_REMOVE(&c->ready, f, ready_link);
        f->is_ready = false;
        deliver(c, f);
    }
    if (TAILQ_EMPTY(&c->ready))
        event_del(c->soon);
}

static void on_soon(evutil_socket_t fd, short what, void *client) { dv__client_round(client); }

void dv_fetch_resume(dv_fetch *f)
{
    if (!f->paused)
        return;
    f->paused = false;
    if (!f->over)
        dv__fetch_watch(f);
    dv__fetch_ready(f);
}

void dv_fetch_cancel(dv_fetch **fetch)
{
    dv_fetch *f = *fetch;
    *fetch = NULL;
    if (f != NULL && !f->ending)
        dv__fetch_free(f);
}

int dv_client_open(dv_client **out, dv_http_server *http, dv_err *err)
{
    *out = NULL;
    if (dv__curl_init() != 0)
        return dv_fail(err, DV_EIO, "libcurl does not start");
    dv_client *c = dv_calloc(DV_MEM_CLIENT, 1, sizeof *c);
    if (c == NULL) {
        dv__curl_fini();
        return dv_fail(err, DV_ENOMEM, "the HTTP client: %s", dv_error_text(DV_ENOMEM));
    }
    c->base = dv_http_base(http);
    TAILQ_INIT(&c->all);
    TAILQ_INIT(&c->ready);
    c->soon = event_new(c->base, -1, 0, on_soon, c);
    int code = c->soon != NULL ? 0 : DV_ENOMEM;
    for (size_t i = 0; i < DV_ARRAY_LEN(c->loops) && code == 0; i++) {
        c->loops[i] =
            (dv__loop){.on_lost = dv__fetch_lost, .on_over = dv__fetch_ended, .on_round = dv__client_round, .arg = c};
        code = dv__loop_open(&c->loops[i], c->base);
    }
    if (code != 0) {
        dv_client_close(&c);
        return dv_fail(err, code, "the HTTP client: %s", dv_error_text(code));
    }
    *out = c;
    return 0;
}

void dv_client_close(dv_client **client)
{
    dv_client *c = *client;
    dv_fetch *f;
    if (c == NULL)
        return;
    *client = NULL;
    while ((f = TAILQ_FIRST(&c->all)) != NULL)
        dv__fetch_free(f);
    for (size_t i = 0; i < DV_ARRAY_LEN(c->loops); i++)
        dv__loop_close(&c->loops[i]);
    if (c->soon != NULL)
        event_free(c->soon);
    dv_free(c);
    dv__curl_fini();
}
