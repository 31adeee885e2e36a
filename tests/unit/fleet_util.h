/* SPDX-License-Identifier: MIT */
/* A fleet with its loop, its folders, and children that behave as their models say (fleet_child.c). */
#ifndef DV_TEST_FLEET_UTIL_H
#define DV_TEST_FLEET_UTIL_H

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "fleet/fleet.h"

#include <event2/event.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A bound for what never comes; nothing asserts how long anything took. */
enum { FU_PATIENCE_S = 60 };

typedef struct fu {
    char dir[64], models[80], run[80];
    dv_http_server *http;
    dv_client *client;
    dv_conf *conf, *old;
    dv_fleet *fleet;
    struct event *tick;
    const char *program;
    dv_buf log, events;
    unsigned n_lines, n_crashes, n_loads, n_unloads;
    bool drained;
    uint16_t port; /* of the remote */
    int remote_status;
    char asked[256];
} fu;

static inline bool fu_is_sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#else
    return false;
#endif
}

/* A use and what became of it. */
typedef struct fu_use {
    dv_use *use;
    bool called;
    int code;
    dv_err err;
    unsigned order; /* in which it was called */
} fu_use;

static unsigned fu_order;

static inline void fu_log(void *arg, int level, const char *text)
{
    fu *t = arg;
    t->n_lines++;
    for (const char *s = text; *s != 0; s++)
        assert_false((unsigned char)*s < 0x20 || *s == 0x7f);
    dv_buf_printf(&t->log, "%d %s\n", level, text);
    if (getenv("FLEET_LOG") != NULL)
        fprintf(stderr, "%d %s\n", level, text);
}

static inline void fu_event(void *arg, const char *what, const char *model, int code, const char *detail)
{
    fu *t = arg;
    t->n_crashes += strcmp(what, "model.crash") == 0;
    t->n_loads += strcmp(what, "model.load") == 0;
    t->n_unloads += strcmp(what, "model.unload") == 0;
    dv_buf_printf(&t->events, "%s %s\n", what, model);
}

static inline void fu_tick(evutil_socket_t fd, short what, void *arg) {}

static inline dv_conf *fu_conf(const fu *t, const char *more)
{
    char text[4096];
    dv_conf *c = NULL;
    dv_err err = {0};
    snprintf(
        text, sizeof text,
        "data_dir: %s\nmodels_dir: %s\nsupervision:\n  backoff_min: 10ms\n  backoff_max: 50ms\n  stop_time: 2s\n%s",
        t->dir, t->models, more);
    const dv_conf_input in = {.file = "/t/drover.yaml", .text = text, .len = strlen(text), .dir = t->dir};
    if (dv_conf_open(&c, &in, &err) != 0)
        fail_msg("%s\n%s", err.msg, text);
    return c;
}

/* A model whose text is `what`, made as large as `bytes`. */
static inline void fu_model(const fu *t, const char *name, const char *what, off_t bytes)
{
    char path[256], tmp[300];
    struct timespec old[2] = {{.tv_sec = 1700000000}, {.tv_sec = 1700000000}};
    snprintf(path, sizeof path, "%s/%s", t->models, name);
    snprintf(tmp, sizeof tmp, "%s.part", path);
    FILE *f = fopen(tmp, "w");
    assert_non_null(f);
    fprintf(f, "%s\n", what);
    fclose(f);
    if (bytes > 0)
        assert_int_equal(truncate(tmp, bytes), 0);
    assert_int_equal(utimensat(AT_FDCWD, tmp, old, 0), 0);
    assert_int_equal(rename(tmp, path), 0);
}

static inline void fu_begin(fu *t)
{
    memset(t, 0, sizeof *t);
    snprintf(t->dir, sizeof t->dir, "/tmp/dv-fleet-XXXXXX");
    assert_non_null(mkdtemp(t->dir));
    snprintf(t->models, sizeof t->models, "%s/models", t->dir);
    snprintf(t->run, sizeof t->run, "%s/run", t->dir);
    assert_int_equal(mkdir(t->models, 0700), 0);
    assert_int_equal(mkdir(t->run, 0700), 0);
    dv_buf_init(&t->log, 0);
    dv_buf_init(&t->events, 0);
    t->program = DV_FLEET_CHILD;
    t->remote_status = 200;
}

static inline dv_fleet_options fu_options(fu *t)
{
    return (dv_fleet_options){.conf = t->conf,
                              .http = t->http,
                              .client = t->client,
                              .program = t->program,
                              .run_dir = t->run,
                              .log = fu_log,
                              .event = fu_event,
                              .arg = t};
}

/* The loop's own server is what remotes are in the tests. */
static inline void fu_request(void *arg, dv_http_req *r)
{
    fu *t = arg;
    const char *key = dv_http_header(r, "Authorization");
    snprintf(t->asked, sizeof t->asked, "%s %s", dv_http_path(r), key != NULL ? key : "");
    dv_http_reply(r, t->remote_status, "application/json", "{}", 2);
}

/* Loop and client, without a fleet. */
static inline void fu_open_loop(fu *t)
{
    const struct timeval tv = {.tv_usec = 5000};
    dv_http_options ho;
    dv_err err = {0};
    dv_http_options_init(&ho);
    ho.on_request = fu_request;
    ho.arg = t;
    assert_int_equal(dv_http_open(&t->http, &ho, &err), 0);
    assert_int_equal(dv_client_open(&t->client, t->http, &err), 0);
    const dv_http_where where = {.host = "127.0.0.1"};
    assert_int_equal(dv_http_listen(t->http, &where, &t->port, &err), 0);
    t->tick = event_new(dv_http_base(t->http), -1, EV_PERSIST, fu_tick, NULL);
    assert_int_equal(event_add(t->tick, &tv), 0);
}

static inline void fu_open(fu *t, const char *conf)
{
    dv_err err = {0};
    if (t->http == NULL)
        fu_open_loop(t);
    t->conf = fu_conf(t, conf);
    dv_fleet_options o = fu_options(t);
    if (dv_fleet_open(&t->fleet, &o, &err) != 0)
        fail_msg("%s", err.msg);
}

static inline void fu_end(fu *t)
{
    char command[128];
    dv_fleet_close(&t->fleet);
    dv_client_close(&t->client);
    if (t->tick != NULL)
        event_free(t->tick);
    dv_http_close(&t->http);
    dv_conf_close(&t->conf);
    dv_conf_close(&t->old);
    dv_buf_fini(&t->log);
    dv_buf_fini(&t->events);
    snprintf(command, sizeof command, "rm -rf %s", t->dir);
    assert_int_equal(system(command), 0);
    assert_int_equal(dv_mem_used(DV_MEM_FLEET), 0);
}

static inline void fu_once(fu *t) { event_base_loop(dv_http_base(t->http), EVLOOP_ONCE); }

/* Run the loop until the condition holds. */
#define FU_UNTIL(t, condition)                                                     \
    do {                                                                           \
        uint64_t fu_until_ = dv_clock_ns() + FU_PATIENCE_S * UINT64_C(1000000000); \
        while (!(condition)) {                                                     \
            if (dv_clock_ns() > fu_until_)                                         \
                fail_msg("never: %s\n%s", #condition, dv_buf_str(&(t)->log));      \
            fu_once(t);                                                            \
        }                                                                          \
    } while (0)

/* Let the loop run for a while, for what must not happen. */
static inline void fu_pass(fu *t, unsigned ms)
{
    for (uint64_t end = dv_clock_ns() + ms * UINT64_C(1000000); dv_clock_ns() < end;)
        fu_once(t);
}

static inline void fu_ready(void *arg, int code, const dv_err *err)
{
    fu_use *u = arg;
    assert_false(u->called);
    u->called = true;
    u->code = code;
    u->err = *err;
    u->order = ++fu_order;
    assert_int_equal(err->code, code);
}

static inline int fu_ask(fu *t, fu_use *u, const char *model, uint64_t identity, dv_err *err)
{
    const dv_use_ask ask = {
        .model = model, .profile = -1, .identity = identity, .job = true, .arg = u, .ready = fu_ready};
    memset(u, 0, sizeof *u);
    return dv_use_begin(t->fleet, &ask, &u->use, err);
}

/* Ask, and wait for what comes. */
static inline int fu_get(fu *t, fu_use *u, const char *model)
{
    dv_err err = {0};
    if (fu_ask(t, u, model, 1, &err) != 0)
        fail_msg("%s", err.msg);
    FU_UNTIL(t, u->called);
    return u->code;
}

static inline void fu_use_once(fu *t, const char *model)
{
    fu_use u;
    if (fu_get(t, &u, model) != 0)
        fail_msg("%s", u.err.msg);
    dv_use_release(&u.use, DV_USE_OK);
}

typedef struct fu_find {
    const char *model;
    dv_instance_info info;
    dv_model_info m;
    char last_error[400], problem[400];
    bool found;
} fu_find;

static inline bool fu_match(void *arg, const dv_instance_info *i)
{
    fu_find *f = arg;
    if (strcmp(i->model, f->model) != 0)
        return true;
    f->info = *i;
    snprintf(f->last_error, sizeof f->last_error, "%s", i->last_error);
    f->found = true;
    return false;
}

/* The first instance of a model; its state is STOPPED if there is none. */
static inline fu_find fu_instance(fu *t, const char *model)
{
    fu_find f = {.model = model};
    dv_fleet_instances(t->fleet, fu_match, &f);
    return f;
}

static inline dv_instance_state fu_state(fu *t, const char *model) { return fu_instance(t, model).info.state; }

static inline bool fu_take_model(void *arg, const dv_model_info *m)
{
    fu_find *f = arg;
    f->m = *m;
    snprintf(f->problem, sizeof f->problem, "%s", m->problem);
    f->found = true;
    return true;
}

static inline fu_find fu_info(fu *t, const char *model)
{
    fu_find f = {.model = model};
    (void)dv_fleet_model(t->fleet, model, fu_take_model, &f);
    return f;
}

static inline bool fu_logged(fu *t, const char *text) { return strstr(dv_buf_str(&t->log), text) != NULL; }

#endif
