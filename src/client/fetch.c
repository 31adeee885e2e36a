/* SPDX-License-Identifier: MIT */
#include "client/fetch.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "client/memory.h"

#include <event2/event.h>
#include <string.h>

void dv__fetch_ready(dv_fetch *f)
{
    if (f->is_ready)
        return;
    f->is_ready = true;
    TAILQ_INSERT_TAIL(&f->client->ready, f, ready_link);
    event_active(f->client->soon, EV_TIMEOUT, 0);
}

static void leave_multi(dv_fetch *f)
{
    if (f->running)
        curl_multi_remove_handle(f->loop->multi, f->easy); /* closes the connection unless the reply is complete */
    f->running = false;
}

void dv__fetch_over(dv_fetch *f, dv_fetch_end end, const char *why)
{
    if (f->over)
        return;
    f->over = true;
    f->end = end;
    leave_multi(f);
    event_del(f->timer);
    if (end != DV_FETCH_OK)
        dv_fail(&f->why, DV_EIO, "%s", why); /* unless something has said more before */
    dv__fetch_ready(f);
}

void dv__fetch_abort(dv_fetch *f)
{
    f->over = false; /* what was complete for libcurl was not for its reader */
    f->why = (dv_err){0};
    dv__fetch_over(f, DV_FETCH_ABORTED, "it was given up");
}

void dv__fetch_lost(CURL *easy)
{
    dv_fetch *f = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &f);
    f->lost = true;
    dv__fetch_ready(f);
}

static dv_fetch_end end_of(const dv_fetch *f, CURLcode result)
{
    long sent = 0;
    switch (result) {
    case CURLE_OK: return f->head.complete ? DV_FETCH_OK : DV_FETCH_BROKEN;
    case CURLE_OUT_OF_MEMORY: /* also what libcurl says to a line that is too long for it */
        return f->failures != dv__curl_failures() ? DV_FETCH_NOMEM : DV_FETCH_BROKEN;
    case CURLE_URL_MALFORMAT:
    case CURLE_LOGIN_DENIED: return DV_FETCH_REFUSED;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_USE_SSL_FAILED: return DV_FETCH_TLS;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT: /* only of connecting: the other times are ours */
        /* After a kept connection died under the request, the next one failed: who knows what was done with the first. */
        if (f->retried || (curl_easy_getinfo(f->easy, CURLINFO_REQUEST_SIZE, &sent) == CURLE_OK && sent > 0))
            return DV_FETCH_BROKEN;
        return f->refused ? DV_FETCH_REFUSED : DV_FETCH_UNREACHABLE;
    default: return DV_FETCH_BROKEN;
    }
}

/* libcurl tries again on a new connection when a kept one is closed before the reply, but not when it notices while it sends a long
 * body: then this does. */
static bool again(dv_fetch *f, CURLcode result)
{
    long connects = 1;
    if ((result != CURLE_SEND_ERROR && result != CURLE_RECV_ERROR) || f->head.bytes > 0 || f->lost || f->retried ||
        curl_easy_getinfo(f->easy, CURLINFO_NUM_CONNECTS, &connects) != CURLE_OK || connects > 0)
        return false;
    f->retried = true;
    f->running = curl_easy_setopt(f->easy, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK && dv__loop_add(f->loop, f->easy);
    return f->running;
}

void dv__fetch_ended(CURL *easy, CURLcode result)
{
    dv_fetch *f = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &f);
    f->running = false;
    if (again(f, result))
        return;
    dv_fetch_end end = f->lost || f->why.code == DV_ENOMEM ? DV_FETCH_NOMEM : end_of(f, result);
    const char *why = end == DV_FETCH_OK        ? ""
                      : end == DV_FETCH_NOMEM   ? dv_error_text(DV_ENOMEM)
                      : end == DV_FETCH_REFUSED ? "the address is not a public one, or is no address"
                      : result == CURLE_OK      ? "the connection has ended before the reply's head"
                      : f->curl_says[0] != 0    ? f->curl_says
                                                : curl_easy_strerror(result);
    dv__fetch_over(f, end, why);
}

static unsigned limit_ms(const dv_fetch *f) { return f->head.complete ? f->rq.silence_ms : f->rq.head_ms; }

static void arm(dv_fetch *f, uint64_t ns)
{
    const struct timeval tv = {.tv_sec = (time_t)(ns / 1000000000u),
                               .tv_usec = (suseconds_t)(ns % 1000000000u / 1000 + 1)};
    if (tv.tv_usec < 1000000)
        event_add(f->timer, &tv);
    else
        event_add(f->timer, &(struct timeval){.tv_sec = tv.tv_sec + 1});
}

void dv__fetch_watch(dv_fetch *f)
{
    f->since_ns = dv_clock_ns();
    if (limit_ms(f) == 0)
        event_del(f->timer);
    else
        arm(f, (uint64_t)limit_ms(f) * 1000000u);
}

/* Data moves since_ns only, so that a token costs no timer; here it is seen whether it was long ago. */
static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    dv_fetch *f = arg;
    uint64_t due = f->since_ns + (uint64_t)limit_ms(f) * 1000000u, now = dv_clock_ns();
    if (f->over || f->paused || limit_ms(f) == 0)
        return; /* dv_fetch_resume begins again */
    if (now < due)
        arm(f, due - now);
    else
        dv__fetch_over(f, DV_FETCH_TIMEOUT,
                       f->head.complete ? "the reply has stopped in the middle" : "there was no reply in time");
}

void dv__fetch_free(dv_fetch *f)
{
    leave_multi(f);
    if (f->is_ready)
        TAILQ_REMOVE(&f->client->ready, f, ready_link);
    TAILQ_REMOVE(&f->client->all, f, link);
    if (f->client->current == f)
        f->client->current = NULL;
    if (f->timer != NULL)
        event_free(f->timer);
    if (f->easy != NULL)
        curl_easy_cleanup(f->easy);
    dv__outgoing_fini(&f->out);
    dv__reply_head_fini(&f->head);
    dv_buf_fini(&f->in);
    dv_free(f);
}

static int start(dv_fetch *f, dv_err *err)
{
    f->timer = event_new(f->client->base, -1, 0, on_deadline, f);
    f->easy = f->timer != NULL ? curl_easy_init() : NULL;
    if (f->easy == NULL || !dv__fetch_options(f) || !dv__loop_add(f->loop, f->easy))
        return dv_fail(err, DV_ENOMEM, "a request: %s", dv_error_text(DV_ENOMEM));
    f->running = true;
    dv__fetch_watch(f);
    return 0;
}

int dv_fetch_start(dv_client *c, const dv_fetch_target *to, const dv_fetch_request *rq, dv_fetch **out, dv_err *err)
{
    *out = NULL;
    dv_fetch *f = dv_calloc(DV_MEM_CLIENT, 1, sizeof *f);
    if (f == NULL)
        return dv_fail(err, DV_ENOMEM, "a request: %s", dv_error_text(DV_ENOMEM));
    *f = (dv_fetch){.client = c,
                    .loop = &c->loops[to->public_only],
                    .rq = *rq,
                    .public_only = to->public_only,
                    .failures = dv__curl_failures()};
    f->rq.fields = NULL; /* the caller's, not ours to keep */
    f->rq.path = NULL;
    dv__reply_head_init(&f->head);
    dv_buf_init(&f->in, 0);
    TAILQ_INSERT_TAIL(&c->all, f, link);
    int code = dv__outgoing_init(&f->out, to, rq, err);
    if (code == 0)
        code = start(f, err);
    if (code == 0)
        *out = f;
    else
        dv__fetch_free(f);
    return code;
}

int dv_fetch_status(const dv_fetch *f) { return f->head.complete ? f->head.status : 0; }

const char *dv_fetch_header(const dv_fetch *f, const char *name)
{
    return f->head.complete ? dv__reply_head_get(&f->head, name) : NULL;
}

bool dv_fetch_field_at(const dv_fetch *f, size_t i, const char **name, const char **value)
{
    if (!f->head.complete || i >= f->head.n_fields)
        return false;
    *name = f->head.text.data + f->head.fields[i].name;
    *value = f->head.text.data + f->head.fields[i].value;
    return true;
}
