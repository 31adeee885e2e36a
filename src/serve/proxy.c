/* SPDX-License-Identifier: MIT */
/* A request on its way to an instance of its model, and the reply on its way back. Until its first byte is out, a reply that breaks is asked for once
 * more, of an instance that was started anew; afterwards the client gets an event that says so, or a connection that is cut. */
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "serve/exchange.h"
#include "serve/log.h"
#include "serve/usage.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct dv__relay {
    dv_use *use;
    dv_fetch *fetch;
    dv_use_ask ask;
    char model[DV__MODEL_NAME]; /**< as it was asked for */
    bool began;                 /**< the reply's head is out */
    bool stream;                /**< text/event-stream: errors can be told in it */
    bool retried;
    dv_buf held; /**< the beginning of a reply, as long as it may turn out to be all of it */
    dv__usage usage;
    char path[2048];
    const char *sent; /**< what of path the server gets */
};

static void begin_use(dv__xchg *x);

/* ---- ends ---- */

static void relay_free(dv__xchg *x)
{
    dv__relay *p = x->relay;
    if (p == NULL)
        return;
    dv_buf_fini(&p->held);
    dv_free(p);
    x->relay = NULL;
}

/* What was said of tokens; without that, what was seen. */
static void take_usage(dv__xchg *x)
{
    const dv__usage *u = &x->relay->usage;
    x->tokens_in = u->tokens_in;
    x->tokens_out = u->tokens_out;
    if (u->tokens_out == 0 && x->relay->stream && u->pieces > 1)
        x->tokens_out = u->pieces - 1;
    if (u->tokens_in == 0 && x->relay->stream)
        x->tokens_in = x->check.text_bytes / 4;
}

static void let_go(dv__xchg *x, dv_use_result result)
{
    dv__relay *p = x->relay;
    x->stop = NULL;
    x->writable = NULL;
    take_usage(x);
    dv_use_release(&p->use, result);
    dv_share_release(&x->claim);
    relay_free(x);
}

/* The client left, or the exchange is over otherwise. */
static void on_stop(dv__xchg *x)
{
    dv_rate_cancel(&x->rate_ask);
    dv_fetch_cancel(&x->relay->fetch);
    let_go(x, DV_USE_OK);
}

static void fail(dv__xchg *x, const dv_err *err, dv_use_result result)
{
    dv__relay *p = x->relay;
    bool began = p->began, stream = p->stream;
    dv_err own = *err; /* err may be the use's, which goes now */
    dv_problem pr = dv__xchg_problem_of(x, &own);
    x->failed = true;
    let_go(x, result);
    if (!began) {
        dv__xchg_problem(x, &pr);
        return;
    }
    x->detail = "broken off";
    if (!stream) {
        dv_http_abort(x->req); /* what is there must not look complete */
        return;
    }
    dv_buf b;
    dv_buf_init(&b, 0);
    if (dv_problem_event(&b, x->style, &pr, dv_http_id(x->req)) == 0 &&
        dv_http_stream_write(x->req, b.data, b.len) == 0)
        (void)dv_http_stream_end(x->req);
    else
        dv_http_abort(x->req); /* a full queue, or no memory */
    dv_buf_fini(&b);
}

/* ---- the reply ---- */

static bool pass_field(const char *name)
{
    static const char *const names[] = {"Retry-After", "x-should-retry"};
    for (size_t i = 0; i < DV_ARRAY_LEN(names); i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

static void pass_fields(dv__xchg *x)
{
    const char *name, *value;
    for (size_t i = 0; dv_fetch_field_at(x->relay->fetch, i, &name, &value); i++)
        if (pass_field(name))
            (void)dv_http_add_header(x->req, name, value);
    dv__xchg_headers(x);
}

static void on_head(void *arg, dv_fetch *f)
{
    dv__xchg *x = arg;
    const char *type = dv_fetch_header(f, "Content-Type");
    x->relay->stream = type != NULL && strncasecmp(type, "text/event-stream", 17) == 0;
}

/* Whether so much of the reply is there that it goes out as a stream: of an event stream any of it. */
static int begin_stream(dv__xchg *x)
{
    dv__relay *p = x->relay;
    pass_fields(x);
    int rc = dv_http_stream_begin(x->req, dv_fetch_status(p->fetch), dv_fetch_header(p->fetch, "Content-Type"));
    p->began = rc == 0;
    if (rc == 0 && p->held.len > 0)
        rc = dv_http_stream_write(x->req, p->held.data, p->held.len);
    dv_buf_fini(&p->held);
    return rc;
}

/* Answers that are meant for us and not for the client: our key was refused, or we are sent elsewhere. */
static bool is_for_us(int status) { return status == 401 || status == 403 || status == 407 || status / 100 == 3; }

static size_t on_data(void *arg, dv_fetch *f, const char *s, size_t n)
{
    dv__xchg *x = arg;
    dv__relay *p = x->relay;
    int rc = 0;
    if (is_for_us(dv_fetch_status(f)))
        return n;
    if (!p->began && !p->stream && p->held.len + n <= DV__REPLY_BUFFER) {
        rc = dv_buf_add(&p->held, s, n);
    } else {
        if (!p->began)
            rc = begin_stream(x);
        if (rc == 0)
            rc = dv_http_stream_write(x->req, s, n);
    }
    if (rc == DV_EBUSY)
        return 0;
    if (rc != 0)
        return SIZE_MAX;
    dv__usage_feed(&p->usage, s, n);
    return n;
}

static void on_writable(dv__xchg *x)
{
    if (x->relay != NULL && x->relay->fetch != NULL)
        dv_fetch_resume(x->relay->fetch);
}

static void refuse_answer(dv__xchg *x, int status)
{
    dv_err err = {0};
    if (status / 100 == 3)
        dv_fail(&err, DV_EIO, "the model's server is elsewhere: it answers with status %d, which is not followed",
                status);
    else
        dv_fail(&err, DV_EIO, "the model's server does not let this server in: it answers with status %d", status);
    dv__log_printf(x->s->log, DV_CONF_LOG_ERROR, "%s: %s", x->model, err.msg);
    x->relay->fetch = NULL;
    fail(x, &err, DV_USE_OK);
}

static void finish(dv__xchg *x)
{
    dv__relay *p = x->relay;
    int status = dv_fetch_status(p->fetch);
    if (is_for_us(status)) {
        refuse_answer(x, status);
        return;
    }
    if (p->began) {
        let_go(x, DV_USE_OK);
        (void)dv_http_stream_end(x->req);
        return;
    }
    pass_fields(x);
    int rc =
        dv_http_reply(x->req, status, dv_fetch_header(p->fetch, "Content-Type"), dv_buf_str(&p->held), p->held.len);
    if (rc == DV_EBUSY || rc == DV_ENOMEM) {
        dv_err err = {0};
        dv_fail(&err, rc, "the server holds too many replies that are not read; try again later");
        p->fetch = NULL;
        fail(x, &err, DV_USE_OK);
        return;
    }
    let_go(x, DV_USE_OK);
}

/* Nothing reached the client: another try, if this was the first. The instance is looked at before it gets it. */
static bool retry(dv__xchg *x)
{
    dv__relay *p = x->relay;
    if (p->began || p->retried)
        return false;
    p->retried = true;
    p->fetch = NULL;
    dv_buf_clear(&p->held);
    p->usage = (dv__usage){0};
    dv_use_release(&p->use, DV_USE_LOST);
    atomic_fetch_add_explicit(&x->s->totals.retried, 1, memory_order_relaxed);
    dv__log_printf(x->s->log, DV_CONF_LOG_WARN, "%s: the answer broke off before it began, trying again",
                   dv_http_id(x->req));
    begin_use(x);
    return true;
}

static void on_end(void *arg, dv_fetch *f, dv_fetch_end end, const char *why)
{
    dv__xchg *x = arg;
    dv__relay *p = x->relay;
    dv_err err = {0};
    if (end == DV_FETCH_OK) {
        finish(x); /* frees p */
        return;
    }
    if ((end == DV_FETCH_UNREACHABLE || end == DV_FETCH_BROKEN) && retry(x))
        return;
    p->fetch = NULL;
    if (end == DV_FETCH_NOMEM || end == DV_FETCH_ABORTED)
        dv_fail(&err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    else if (end == DV_FETCH_TIMEOUT)
        dv_fail(&err, DV_EIO, "the model's server did not answer in time");
    else
        dv_fail(&err, DV_EIO, "the model's server broke off its answer: %s", why);
    fail(x, &err,
         end == DV_FETCH_TIMEOUT                            ? DV_USE_SILENT
         : end == DV_FETCH_NOMEM || end == DV_FETCH_ABORTED ? DV_USE_OK
                                                            : DV_USE_LOST);
}

/* ---- the request ---- */

/* A remote knows the model by another name, and its base has the "/v1" already. */
static int prepare_remote(dv__xchg *x, dv_err *err)
{
    dv__relay *p = x->relay;
    const char *name = dv_use_remote_name(p->use);
    p->sent = p->path;
    if (dv_use_backend(p->use) != DV_CONF_BACKEND_REMOTE)
        return 0;
    if (strncmp(p->path, "/v1/", 4) == 0)
        p->sent = p->path + 3;
    else
        return dv_fail(err, DV_EUNSUPPORTED, "the model '%s' runs on a remote server, which does not have this route",
                       x->model);
    if (name == NULL || x->body == NULL)
        return 0;
    json_t *v = json_string(name);
    if (v == NULL || json_object_set_new(x->body, "model", v) != 0)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    dv_buf_clear(&x->rewritten);
    int rc = dv_json_dump(&x->rewritten, x->body, JSON_COMPACT);
    return rc != 0 ? dv_fail(err, rc, "%s", dv_error_text(rc)) : 0;
}

enum { MAX_FIELDS = 6 };

static size_t request_fields(dv__xchg *x, dv_fetch_field f[MAX_FIELDS], char context[24])
{
    static const char *const names[] = {"Accept", "anthropic-version", "anthropic-beta"};
    size_t n = 0;
    if (x->row->body != NULL)
        f[n++] = (dv_fetch_field){"Content-Type", "application/json"};
    for (size_t i = 0; i < DV_ARRAY_LEN(names); i++) {
        const char *value = dv_http_header(x->req, names[i]);
        if (value != NULL)
            f[n++] = (dv_fetch_field){names[i], value};
    }
    f[n++] = (dv_fetch_field){"X-Request-Id", dv_http_id(x->req)};
    if (x->who.kind == DV__WHO_KEY && x->who.key->scope.max_context > 0 &&
        dv_use_backend(x->relay->use) == DV_CONF_BACKEND_NATIVE) {
        snprintf(context, 24, "%" PRIu32, x->who.key->scope.max_context);
        f[n++] = (dv_fetch_field){"X-Drover-Max-Context", context};
    }
    return n;
}

static int send_request(dv__xchg *x, dv_err *err)
{
    dv__relay *p = x->relay;
    dv_fetch_field fields[MAX_FIELDS];
    char context[24];
    int rc = prepare_remote(x, err);
    if (rc != 0)
        return rc;
    size_t n;
    const char *body = dv_http_body(x->req, &n);
    if (x->rewritten.len > 0) {
        body = x->rewritten.data;
        n = x->rewritten.len;
    }
    const dv_conf *c = x->cfg->conf;
    bool remote = dv_use_backend(p->use) == DV_CONF_BACKEND_REMOTE;
    const dv_fetch_request rq = {.verb = dv_http_method(x->req),
                                 .path = p->sent,
                                 .fields = fields,
                                 .n_fields = request_fields(x, fields, context),
                                 .body = n > 0 ? body : NULL,
                                 .n_body = n,
                                 .connect_ms = (unsigned)c->remote.connect_ms,
                                 .silence_ms = remote ? (unsigned)c->remote.silence_ms : 0,
                                 .head_ms = remote ? (unsigned)c->remote.silence_ms : 0,
                                 .arg = x,
                                 .on_head = on_head,
                                 .on_data = on_data,
                                 .on_end = on_end};
    return dv_fetch_start(x->s->client, dv_use_target(p->use), &rq, &p->fetch, err);
}

static void on_ready(void *arg, int code, const dv_err *err)
{
    dv__xchg *x = arg;
    dv_err own = {0};
    if (code == 0) {
        snprintf(x->model, sizeof x->model, "%s", dv_use_model(x->relay->use));
        code = send_request(x, &own);
        err = &own;
    }
    if (code != 0)
        fail(x, err, DV_USE_OK);
}

static void begin_use(dv__xchg *x)
{
    dv__relay *p = x->relay;
    dv_err err = {0};
    x->stop = on_stop;
    x->writable = on_writable;
    if (dv_use_begin(x->s->fleet, &p->ask, &p->use, &err) != 0) {
        x->limited |= err.code == DV_EBUSY;
        fail(x, &err, DV_USE_OK);
    }
}

/* ---- which model, which profile, whether at all ---- */

static const char *asked_model(const dv__xchg *x)
{
    const char *name = x->body != NULL ? json_string_value(json_object_get(x->body, "model")) : NULL;
    if (name == NULL && x->row->query != NULL)
        name = dv_http_query(x->req, "model");
    return name != NULL ? name : "";
}

static int find_model(dv__xchg *x, dv_err *err)
{
    const char *asked = asked_model(x), *name = dv_fleet_resolve(x->s->fleet, asked);
    /* Which models there are is not told to those who may not use them. */
    if (name == NULL || !dv__who_may_model(x, name)) {
        snprintf(x->check.param, sizeof x->check.param, "model");
        return dv_fail(err, DV_ENOENT, asked[0] != 0 ? "the model '%s' does not exist" : "there is no model%s", asked);
    }
    snprintf(x->model, sizeof x->model, "%s", name);
    return 0;
}

static int find_profile(const dv__xchg *x, int *profile, dv_err *err)
{
    const char *name = dv_http_header(x->req, "X-Drover-Profile");
    const dv_conf *c = x->cfg->conf;
    *profile = -1;
    if (name == NULL)
        return 0;
    for (size_t i = 0; i < c->n_profiles; i++)
        if (strcmp(c->profiles[i].name, name) == 0)
            *profile = (int)i;
    return *profile >= 0 ? 0 : dv_fail(err, DV_EINVAL, "X-Drover-Profile: there is no profile '%s'", name);
}

static int64_t asked_tokens(const dv__xchg *x)
{
    static const char *const names[] = {"max_tokens", "max_completion_tokens", "max_output_tokens", "n_predict"};
    for (size_t i = 0; i < DV_ARRAY_LEN(names); i++) {
        int64_t v = json_integer_value(json_object_get(x->body, names[i]));
        if (v > 0)
            return v;
    }
    return 256;
}

/* Texts have at least a token for every sixteen bytes: whoever is beyond his context by that need not be counted exactly. Engines of our own count. */
static int check_context(const dv__xchg *x, dv_err *err)
{
    uint32_t max = x->who.kind == DV__WHO_KEY ? x->who.key->scope.max_context : 0;
    if (max > 0 && x->check.text_bytes / 16 > max)
        return dv_fail(err, DV_ECONTEXT, "the texts are longer than the %u tokens that this API key may use", max);
    return 0;
}

void dv__proxy_go(dv__xchg *x, bool tokens)
{
    dv_err err = {0};
    if (tokens) {
        begin_use(x);
        return;
    }
    dv_fail(&err, DV_ERATE, "the tokens of this minute are used up; try again in %u s", x->retry_s);
    fail(x, &err, DV_USE_OK);
}

enum { LIGHT = 1, LOADED = 2 };

static int start(dv__xchg *x, int how, dv_err *err)
{
    int profile = -1;
    int rc = find_model(x, err);
    if (rc == 0)
        rc = find_profile(x, &profile, err);
    if (rc == 0 && how == 0)
        rc = check_context(x, err);
    if (rc == 0 && how == 0)
        rc = dv__admit_claim(x, err);
    if (rc != 0)
        return rc;
    dv__relay *p = dv_calloc(DV_MEM_API, 1, sizeof *p);
    if (p == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    x->relay = p;
    x->of_model = true;
    dv_buf_init(&p->held, 0);
    snprintf(p->model, sizeof p->model, "%s", x->model);
    snprintf(p->path, sizeof p->path, "%s", dv_http_target(x->req));
    p->ask = (dv_use_ask){.model = p->model,
                          .profile = profile,
                          .identity = x->who.hash,
                          .job = how == 0,
                          .no_load = how == LOADED,
                          .cost = x->check.text_bytes / 4 + (uint64_t)(how == 0 ? asked_tokens(x) : 1),
                          .arg = x,
                          .ready = on_ready};
    x->stop = on_stop;
    if (how == 0)
        dv__admit_tokens(x);
    else
        begin_use(x);
    return 0;
}

int dv__proxy(dv__xchg *x, dv_err *err) { return start(x, 0, err); }
int dv__proxy_light(dv__xchg *x, dv_err *err) { return start(x, LIGHT, err); }
int dv__proxy_loaded(dv__xchg *x, dv_err *err) { return start(x, LOADED, err); }
