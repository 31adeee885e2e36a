/* SPDX-License-Identifier: MIT */
/* Down: waits for the next attempt, which is later after every failure. Connecting: name, socket, AUTH, SELECT, the script. Up.
 * While it is down nobody waits; an answer that is late takes the connection with it, so that no more than one time-out's worth
 * of calls can pile up in front of a Redis that hangs. */
#include "limit/redis.h"

#include "base/attr.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "limit/lookup.h"
#include "limit/redis_link.h"
#include "limit/redis_url.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

enum {
    BACKOFF_MIN_MS = 100,
    BACKOFF_MAX_MS = 5000,
    CONNECT_MIN_MS = 1000,
    SHA_LEN = 40,
    KEY_LEN = 32,
    PREFIX_MAX = 64
};

typedef enum state { DOWN, CONNECTING, UP } state;

struct dv__redis_ask {
    TAILQ_ENTRY(dv__redis_ask) link; /* in asks, until it is decided */
    dv__redis *r;                    /* NULL: decided, hiredis alone still knows it */
    dv__redis_call call;
    uint64_t begun_ns;
    bool sent;
};

struct dv__redis {
    struct event_base *base;
    dv__redis_url url;
    char place[120]; /* for people: without secrets */
    char prefix[PREFIX_MAX + 1];
    unsigned timeout_ms, backoff_ms;
    state state;
    bool was_lost; /* since it was up last: nobody waits for a connection then */
    redisAsyncContext *ac;
    dv__lookup *lookup;
    struct event *timer;              /* DOWN: next attempt. CONNECTING: given up */
    struct event *deadline;           /* of the first of asks */
    TAILQ_HEAD(, dv__redis_ask) asks; /* oldest first */
    char sha[SHA_LEN + 1];
    uint64_t latency_us, failures;
    char why[100]; /* why it is not up */
    void (*log)(void *arg, int level, const char *text);
    void *log_arg;
};

static void say(const dv__redis *r, int level, const char *what)
{
    char text[320];
    dv_err line = {0};
    snprintf(text, sizeof text, "redis %s: %s", r->place, what);
    dv_fail(&line, DV_EIO, "%s", text); /* makes it safe to print */
    if (r->log != NULL)
        r->log(r->log_arg, level, line.msg);
}

static void set_timer(struct event *ev, unsigned ms)
{
    const struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    event_add(ev, &tv);
}

/* ---- calls ---- */

/* hiredis frees what is sent, in its callback. */
static void ask_over(dv__redis_ask *a)
{
    TAILQ_REMOVE(&a->r->asks, a, link);
    a->r = NULL;
    if (!a->sent)
        dv_free(a);
}

static void decide(dv__redis_ask *a, const dv_rate_answer *answer)
{
    const dv__redis_call call = a->call;
    a->r->failures += answer == NULL;
    ask_over(a);
    call.done(call.arg, answer);
}

/* The connection is of no use any more; everybody who waits is told. */
static void lose(dv__redis *r, const char *why)
{
    redisAsyncContext *ac = r->ac;
    if (r->state == DOWN)
        return;
    if (!r->was_lost || strcmp(r->why, why) != 0) {
        snprintf(r->why, sizeof r->why, "%s", why);
        say(r, DV_HTTP_LOG_WARN, r->why);
    }
    r->state = DOWN;
    r->was_lost = true;
    r->ac = NULL;
    dv__lookup_cancel(r->lookup);
    r->lookup = NULL;
    event_del(r->deadline);
    set_timer(r->timer, r->backoff_ms + randombytes_uniform(r->backoff_ms / 4 + 1)); /* nodes come back one by one */
    r->backoff_ms = DV_MIN(2 * r->backoff_ms, (unsigned)BACKOFF_MAX_MS);
    if (ac != NULL) {
        ac->data = NULL; /* what it still says is not for us */
        redisAsyncFree(ac);
    }
    dv__redis_ask *a;
    while ((a = TAILQ_FIRST(&r->asks)) != NULL)
        decide(a, NULL);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    dv__redis *r = arg;
    const dv__redis_ask *first = TAILQ_FIRST(&r->asks);
    if (first == NULL)
        return;
    uint64_t due = first->begun_ns + (uint64_t)r->timeout_ms * 1000000u, now = dv_clock_ns();
    if (now < due)
        set_timer(r->deadline, (unsigned)((due - now) / 1000000u + 1));
    else
        lose(r, "does not answer in time");
}

static bool answer_of(const redisReply *reply, dv_rate_answer *out)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 4)
        return false;
    for (size_t i = 0; i < 4; i++)
        if (reply->element[i]->type != REDIS_REPLY_INTEGER || reply->element[i]->integer < 0)
            return false;
    *out = (dv_rate_answer){.allowed = reply->element[0]->integer == 1,
                            .shared = true,
                            .remaining = (uint64_t)reply->element[1]->integer,
                            .reset_ms = ((uint64_t)reply->element[2]->integer + 999) / 1000,
                            .retry_ms = ((uint64_t)reply->element[3]->integer + 999) / 1000};
    return true;
}

static bool send_ask(dv__redis_ask *a, bool whole);

static void on_reply(redisAsyncContext *ac, void *p, void *arg)
{
    const redisReply *reply = p;
    dv__redis_ask *a = arg;
    dv__redis *r = a->r;
    dv_rate_answer answer;
    if (r == NULL) {
        dv_free(a);
        return;
    }
    a->sent = false; /* hiredis has let go of it */
    if (reply != NULL && answer_of(reply, &answer)) {
        r->latency_us = (dv_clock_ns() - a->begun_ns) / 1000;
        decide(a, &answer);
    } else if (reply != NULL && reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "NOSCRIPT", 8) == 0) {
        if (!send_ask(a, true)) /* somebody has flushed the scripts: this brings it back */
            decide(a, NULL);
    } else {
        decide(a, NULL);
        if (reply != NULL && ac == r->ac)
            lose(r, reply->type == REDIS_REPLY_ERROR ? reply->str : "answers something else");
    }
}

/* False: hiredis takes nothing any more. */
static bool send_ask(dv__redis_ask *a, bool whole)
{
    dv__redis *r = a->r;
    char key[PREFIX_MAX + KEY_LEN + 1], numbers[4][24];
    size_t n = strlen(r->prefix);
    memcpy(key, r->prefix, n);
    sodium_bin2hex(key + n, KEY_LEN + 1, a->call.key.hash, sizeof a->call.key.hash);
    const uint64_t v[4] = {a->call.rule.limit, a->call.rule.window_ms * 1000, a->call.rule.burst,
                           DV_MIN(a->call.cost, UINT64_C(1) << 53)};
    for (size_t i = 0; i < 4; i++)
        snprintf(numbers[i], sizeof numbers[i], "%llu", (unsigned long long)v[i]);
    const char *argv[] = {whole ? "EVAL" : "EVALSHA",
                          whole ? dv__redis_script : r->sha,
                          "1",
                          key,
                          numbers[0],
                          numbers[1],
                          numbers[2],
                          numbers[3],
                          a->call.charge ? "1" : "0"};
    a->sent = redisAsyncCommandArgv(r->ac, on_reply, a, DV_ARRAY_LEN(argv), argv, NULL) == REDIS_OK;
    return a->sent;
}

dv__redis_ask *dv__redis_call_start(dv__redis *r, const dv__redis_call *call)
{
    if (r->state == DOWN || (r->state == CONNECTING && r->was_lost))
        return NULL;
    dv__redis_ask *a = dv_calloc(DV_MEM_LIMIT, 1, sizeof *a);
    if (a == NULL)
        return NULL;
    *a = (dv__redis_ask){.r = r, .call = *call, .begun_ns = dv_clock_ns()};
    if (TAILQ_EMPTY(&r->asks))
        set_timer(r->deadline, r->timeout_ms);
    TAILQ_INSERT_TAIL(&r->asks, a, link);
    if (r->state == UP && !send_ask(a, false)) {
        ask_over(a);
        return NULL;
    }
    return a;
}

static void nobody(void *arg, const dv_rate_answer *answer) {}

/* What is sent stays in the list: a Redis that hangs is noticed, whether somebody still waits or not. */
void dv__redis_call_forget(dv__redis_ask *a)
{
    a->call.done = nobody;
    if (!a->sent)
        ask_over(a);
}

/* ---- connection ---- */

static void on_up(dv__redis *r)
{
    r->state = UP;
    r->was_lost = false;
    r->backoff_ms = BACKOFF_MIN_MS;
    r->why[0] = 0;
    event_del(r->timer);
    say(r, DV_HTTP_LOG_INFO, "connected");
    dv__redis_ask *a;
    TAILQ_FOREACH (a, &r->asks, link) {
        if (!send_ask(a, false)) {
            lose(r, "has closed the connection");
            return;
        }
    }
}

/* The script is the last of the greeting. */
static void on_script(redisAsyncContext *ac, void *p, void *arg)
{
    const redisReply *reply = p;
    dv__redis *r = ac->data;
    if (r == NULL || reply == NULL)
        return;
    if (reply->type == REDIS_REPLY_STRING && reply->len == SHA_LEN) {
        memcpy(r->sha, reply->str, SHA_LEN + 1);
        on_up(r);
    } else {
        lose(r, reply->type == REDIS_REPLY_ERROR ? reply->str : "answers something else");
    }
}

static void on_greeting(redisAsyncContext *ac, void *p, void *arg)
{
    const redisReply *reply = p;
    if (ac->data != NULL && reply != NULL && reply->type == REDIS_REPLY_ERROR)
        lose(ac->data, arg != NULL ? "refuses the password" : reply->str);
}

static void on_connect(const redisAsyncContext *ac, int status)
{
    dv__redis *r = ac->data;
    if (r == NULL)
        return;
    if (status != REDIS_OK) {
        r->ac = NULL; /* hiredis frees it */
        lose(r, ac->errstr[0] != 0 ? ac->errstr : "cannot be reached");
    }
}

static void on_disconnect(const redisAsyncContext *ac, int status)
{
    dv__redis *r = ac->data;
    if (r == NULL)
        return;
    r->ac = NULL;
    lose(r, "has closed the connection");
}

static bool greet(dv__redis *r)
{
    char db[16];
    bool ok = true;
    snprintf(db, sizeof db, "%u", r->url.db);
    if (r->url.password != NULL && r->url.user != NULL)
        ok = redisAsyncCommand(r->ac, on_greeting, r, "AUTH %s %s", r->url.user, r->url.password) == REDIS_OK;
    else if (r->url.password != NULL)
        ok = redisAsyncCommand(r->ac, on_greeting, r, "AUTH %s", r->url.password) == REDIS_OK;
    if (r->url.db != 0)
        ok = ok && redisAsyncCommand(r->ac, on_greeting, NULL, "SELECT %s", db) == REDIS_OK;
    return ok && redisAsyncCommand(r->ac, on_script, NULL, "SCRIPT LOAD %s", dv__redis_script) == REDIS_OK;
}

static void dial(dv__redis *r, const char *ip)
{
    redisAsyncContext *ac = ip != NULL ? redisAsyncConnect(ip, r->url.port) : redisAsyncConnectUnix(r->url.path);
    r->ac = ac;
    if (ac == NULL || ac->err != 0) {
        lose(r, ac != NULL ? ac->errstr : "out of memory");
        return;
    }
    ac->data = r;
    bool ok = dv__redis_link(ac, r->base);
    if (!ok || redisAsyncSetConnectCallback(ac, on_connect) != REDIS_OK ||
        redisAsyncSetDisconnectCallback(ac, on_disconnect) != REDIS_OK || !greet(r))
        lose(r, "out of memory");
}

static void on_address(void *arg, const char *ip)
{
    dv__redis *r = arg;
    r->lookup = NULL;
    if (ip != NULL)
        dial(r, ip);
    else
        lose(r, "its name has no address");
}

static void try_connect(dv__redis *r)
{
    uint8_t literal[16];
    r->state = CONNECTING;
    set_timer(r->timer, DV_MAX(r->timeout_ms, (unsigned)CONNECT_MIN_MS));
    const char *host = r->url.host;
    if (host == NULL || inet_pton(AF_INET, host, literal) == 1 || inet_pton(AF_INET6, host, literal) == 1) {
        dial(r, host);
        return;
    }
    r->lookup = dv__lookup_start(r->base, host, on_address, r);
    if (r->lookup == NULL)
        lose(r, "its name cannot be looked up");
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    dv__redis *r = arg;
    if (r->state == DOWN)
        try_connect(r);
    else if (r->state == CONNECTING)
        lose(r, "does not answer in time");
}

int dv__redis_open(dv__redis **out, const dv_rate_options *o, dv_err *err)
{
    dv__redis_url url;
    *out = NULL;
    if (o->http == NULL || (o->prefix != NULL && strlen(o->prefix) > PREFIX_MAX))
        return dv_fail(err, DV_EINVAL, "redis: no event loop, or a prefix of more than %d bytes", PREFIX_MAX);
    int code = dv__redis_url_parse(&url, o->redis_url, err);
    if (code != 0)
        return code;
    dv__redis *r = dv_calloc(DV_MEM_LIMIT, 1, sizeof *r);
    if (r == NULL) {
        dv__redis_url_fini(&url);
        return dv_fail(err, DV_ENOMEM, "redis: %s", dv_error_text(DV_ENOMEM));
    }
    r->url = url;
    r->base = dv_http_base(o->http);
    r->timeout_ms = DV_MAX(o->timeout_ms, 1u);
    r->backoff_ms = BACKOFF_MIN_MS;
    r->log = o->log;
    r->log_arg = o->log_arg;
    TAILQ_INIT(&r->asks);
    snprintf(r->prefix, sizeof r->prefix, "%s", o->prefix != NULL ? o->prefix : "");
    if (url.host == NULL)
        snprintf(r->place, sizeof r->place, "%s", url.path);
    else
        snprintf(r->place, sizeof r->place, strchr(url.host, ':') != NULL ? "[%s]:%u" : "%s:%u", url.host, url.port);
    snprintf(r->why, sizeof r->why, "not connected yet");
    r->timer = event_new(r->base, -1, 0, on_timer, r);
    r->deadline = event_new(r->base, -1, 0, on_deadline, r);
    if (r->timer == NULL || r->deadline == NULL) {
        dv__redis_close(&r);
        return dv_fail(err, DV_ENOMEM, "redis: %s", dv_error_text(DV_ENOMEM));
    }
    try_connect(r);
    *out = r;
    return 0;
}

void dv__redis_close(dv__redis **redis)
{
    dv__redis *r = *redis;
    if (r == NULL)
        return;
    *redis = NULL;
    r->log = NULL;
    if (r->timer != NULL && r->deadline != NULL)
        lose(r, "closed");
    if (r->timer != NULL)
        event_free(r->timer);
    if (r->deadline != NULL)
        event_free(r->deadline);
    dv__redis_url_fini(&r->url);
    dv_free(r);
}

void dv__redis_health(const dv__redis *r, dv_rate_health *out)
{
    *out = (dv_rate_health){.shared = true, .ok = r->state == UP, .latency_us = r->latency_us, .failures = r->failures};
    dv_err line = {0};
    dv_fail(&line, DV_EIO, "redis %s: %s", r->place, r->state == UP ? "connected" : r->why);
    snprintf(out->text, sizeof out->text, "%.*s", (int)sizeof out->text - 1, line.msg);
}
