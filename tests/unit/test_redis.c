/* SPDX-License-Identifier: MIT */
/* Limits in a real Redis, which is started, stopped, killed and flushed here; and addresses of one. Skipped where there is none. */
#include "base/mem.h"
#include "limit/gcra.h"
#include "limit/redis_url.h"

#include <errno.h>
#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PASSWORD "s3cret-pass:w/rd"

typedef struct world {
    dv_http_server *http; /* for its loop */
    struct event_base *base;
    char dir[64], path[100], url[120];
    uint16_t port;
    pid_t pid;
    bool password;
    char log[8192]; /* all that was said */
} world;

static const dv_rate_rule hourly = {.limit = 60, .window_ms = 3600000};

static void on_request(void *arg, dv_http_req *r) {}

/* Debian keeps the server in redis-tools, under another name. */
static void exec_redis(char *const argv[])
{
    execvp("redis-server", argv);
    execvp("redis-check-rdb", argv);
    _exit(127);
}

static bool answers(const world *w)
{
    redisContext *c = redisConnectUnix(w->path);
    bool ok = c != NULL && c->err == 0;
    redisReply *reply = ok ? redisCommand(c, "PING") : NULL;
    ok = reply != NULL && (strcmp(reply->str, "PONG") == 0 || strncmp(reply->str, "NOAUTH", 6) == 0);
    if (reply != NULL)
        freeReplyObject(reply);
    if (c != NULL)
        redisFree(c);
    return ok;
}

static bool start_redis(world *w)
{
    char port[8];
    snprintf(port, sizeof port, "%u", w->port);
    w->pid = fork();
    if (w->pid == 0) {
        char *const argv[] = {(char[]){"redis-server"},
                              (char[]){"--port"},
                              port,
                              (char[]){"--bind"},
                              (char[]){"127.0.0.1"},
                              (char[]){"--unixsocket"},
                              w->path,
                              (char[]){"--dir"},
                              w->dir,
                              (char[]){"--save"},
                              (char[]){""},
                              (char[]){"--appendonly"},
                              (char[]){"no"},
                              (char[]){"--loglevel"},
                              (char[]){"warning"},
                              w->password ? (char[]){"--requirepass"} : NULL,
                              (char[]){PASSWORD},
                              NULL};
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (freopen("/dev/null", "w", stdout) != NULL)
            exec_redis(argv);
        _exit(127);
    }
    for (int i = 0; i < 2000 && waitpid(w->pid, NULL, WNOHANG) == 0; i++) {
        if (answers(w))
            return true;
        usleep(5000);
    }
    w->pid = 0;
    return false;
}

static void stop_redis(world *w)
{
    if (w->pid > 0) {
        kill(w->pid, SIGKILL);
        waitpid(w->pid, NULL, 0);
    }
    w->pid = 0;
}

static uint16_t free_port(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bind(fd, (struct sockaddr *)&sa, len);
    getsockname(fd, (struct sockaddr *)&sa, &len);
    close(fd);
    return ntohs(sa.sin_port);
}

static int setup(void **state)
{
    world *w = calloc(1, sizeof *w);
    dv_http_options o;
    signal(SIGPIPE, SIG_IGN);
    dv_http_options_init(&o);
    o.on_request = on_request;
    snprintf(w->dir, sizeof w->dir, "/tmp/drover-redis-XXXXXX");
    if (mkdtemp(w->dir) == NULL || dv_http_open(&w->http, &o, NULL) != 0)
        return -1;
    w->base = dv_http_base(w->http);
    w->port = free_port();
    snprintf(w->path, sizeof w->path, "%s/r", w->dir);
    snprintf(w->url, sizeof w->url, "unix://%s", w->path);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    stop_redis(w);
    unlink(w->path);
    rmdir(w->dir);
    dv_http_close(&w->http);
    free(w);
    return dv_mem_used(DV_MEM_LIMIT) == 0 ? 0 : -1;
}

static void need_redis(world *w)
{
    if (!start_redis(w))
        fail_msg("redis-server does not start (tools/setup.sh test installs it)");
}

static void on_log(void *arg, int level, const char *text)
{
    world *w = arg;
    size_t n = strlen(w->log);
    snprintf(w->log + n, sizeof w->log - n, "%d %s\n", level, text);
}

static dv_rate *open_rate(world *w, const char *url, bool refuse)
{
    dv_rate *r = NULL;
    dv_err err = {0};
    const dv_rate_options o = {.http = w->http,
                               .redis_url = url,
                               .prefix = "test:",
                               .timeout_ms = 2000,
                               .refuse_on_failure = refuse,
                               .log = on_log,
                               .log_arg = w};
    if (dv_rate_open(&r, &o, &err) != 0)
        fail_msg("%s", err.msg);
    return r;
}

static bool ok(dv_rate *r)
{
    dv_rate_health h;
    dv_rate_health_get(r, &h);
    assert_true(h.shared);
    return h.ok;
}

static void wait_for(world *w, dv_rate *r, bool up)
{
    while (ok(r) != up)
        event_base_loop(w->base, EVLOOP_ONCE);
}

typedef struct said {
    unsigned n;
    dv_rate_answer a;
} said;

static void keep(void *arg, const dv_rate_answer *a)
{
    said *s = arg;
    s->n++;
    s->a = *a;
}

static dv_rate_answer take(world *w, dv_rate *r, const char *who, dv_rate_rule rule, uint64_t cost)
{
    said s = {0};
    dv_rate_ask *ask = NULL;
    dv_rate_key key = dv_rate_key_of("test", who);
    dv_rate_take(r, &key, &rule, cost, keep, &s, &ask);
    assert_true((ask != NULL) == (s.n == 0));
    while (s.n == 0)
        event_base_loop(w->base, EVLOOP_ONCE);
    assert_null(ask);
    assert_int_equal(s.n, 1);
    return s.a;
}

static void command(const world *w, const char *text)
{
    redisContext *c = redisConnectUnix(w->path);
    assert_true(c != NULL && c->err == 0);
    redisReply *reply = w->password ? redisCommand(c, "AUTH %s", PASSWORD) : NULL;
    if (reply != NULL)
        freeReplyObject(reply);
    reply = redisCommand(c, text);
    assert_non_null(reply);
    assert_int_not_equal(reply->type, REDIS_REPLY_ERROR);
    freeReplyObject(reply);
    redisFree(c);
}

/* Two nodes, by a unix socket and by TCP with a name: together they allow what one would. */
static void test_shared(void **state)
{
    world *w = *state;
    char url[64];
    unsigned n = 0;
    need_redis(w);
    snprintf(url, sizeof url, "redis://localhost:%u/", w->port);
    dv_rate *r[2] = {open_rate(w, w->url, false), open_rate(w, url, true)};
    for (uint64_t i = 0; i < 80; i++) {
        dv_rate_answer a = take(w, r[i % 2], "a", hourly, 1);
        assert_true(a.shared); /* also the first ones, while it connects */
        n += a.allowed;
        assert_int_equal(a.remaining, i < 60 ? 59 - i : 0);
        assert_in_range(a.reset_ms, i < 60 ? (i + 1) * 60000 - 60000 : 3500000, i < 60 ? (i + 1) * 60000 : 3600000);
        assert_true(a.allowed ? a.retry_ms == 0 : a.retry_ms > 0 && a.retry_ms <= 60000);
    }
    assert_int_equal(n, 60);
    assert_true(take(w, r[0], "b", hourly, 1).allowed);
    dv_rate_key key = dv_rate_key_of("test", "c");
    dv_rate_charge(r[0], &key, &hourly, 90); /* more than there is */
    dv_rate_answer a = take(w, r[0], "c", hourly, 1);
    assert_false(a.allowed);
    assert_in_range(a.retry_ms, 31 * 60000 - 60000, 31 * 60000);
    a = take(w, r[1], "d", hourly, 1000); /* above the burst: once, and then for long not */
    assert_true(a.allowed && a.remaining == 0);
    assert_false(take(w, r[1], "d", hourly, 1).allowed);
    assert_true(take(w, r[1], "d", (dv_rate_rule){0}, 1).allowed); /* no limit: nobody is asked */
    dv_rate_health h;
    dv_rate_health_get(r[1], &h);
    assert_true(h.ok && h.latency_us > 0 && h.failures == 0 && strstr(h.text, "localhost") != NULL);
    dv_rate_take_here(r[0], &key, &hourly, 1, &a);
    assert_true(a.allowed && !a.shared);
    dv_rate_close(&r[0]);
    dv_rate_close(&r[1]);
}

/* Numbers as large as they get: Redis says what the embedded counters say. */
static void test_extremes(void **state)
{
    world *w = *state;
    static const uint64_t v[] = {1, 1000, UINT64_C(1) << 53, UINT64_MAX};
    need_redis(w);
    dv_rate *r = open_rate(w, w->url, false);
    for (int i = 0; i < 256; i++) {
        const dv_rate_rule rule = {.limit = v[i % 4], .window_ms = 10000000 * v[i / 4 % 4], .burst = v[i / 16 % 4]};
        const uint64_t cost = v[i / 64];
        char who[16];
        snprintf(who, sizeof who, "%d", i);
        dv_rate_answer a = take(w, r, who, rule, cost);
        assert_true(a.allowed && a.shared);
        dv_rate_key key = dv_rate_key_of("test", who);
        dv_rate_charge(r, &key, &rule, cost);
        a = take(w, r, who, rule, cost);
        assert_true(a.shared && (a.allowed || a.retry_ms > 0));
    }
    assert_true(ok(r));
    dv_rate_close(&r);
}

/* Killed in the middle, and there again. */
static void test_killed(void **state)
{
    world *w = *state;
    need_redis(w);
    dv_rate *local = open_rate(w, w->url, false), *strict = open_rate(w, w->url, true);
    assert_true(take(w, local, "a", hourly, 60).shared);
    assert_false(take(w, strict, "a", hourly, 1).allowed);
    stop_redis(w);
    wait_for(w, local, false);
    wait_for(w, strict, false);
    dv_rate_answer a = take(w, local, "a", hourly, 1); /* counted here, from nothing */
    assert_true(a.allowed && !a.shared && a.remaining == 59);
    a = take(w, strict, "a", hourly, 1);
    assert_true(!a.allowed && !a.shared && a.retry_ms > 0);
    unlink(w->path);
    need_redis(w);
    wait_for(w, local, true);
    wait_for(w, strict, true);
    a = take(w, strict, "a", hourly, 1); /* it has forgotten everything, as it was told to */
    assert_true(a.allowed && a.shared && a.remaining == 59);
    command(w, "SCRIPT FLUSH");
    a = take(w, local, "a", hourly, 1);
    assert_true(a.allowed && a.shared && a.remaining == 58);
    a = take(w, strict, "a", hourly, 1);
    assert_true(a.allowed && a.shared && a.remaining == 57);
    dv_rate_close(&local);
    dv_rate_close(&strict);
    assert_non_null(strstr(w->log, "connected"));
}

static void test_not_there(void **state)
{
    world *w = *state;
    dv_rate_health h;
    char url[64];
    snprintf(url, sizeof url, "redis://127.0.0.1:%u", w->port);
    dv_rate *r[2] = {open_rate(w, w->url, false), open_rate(w, url, true)};
    wait_for(w, r[0], false);
    for (int i = 0; i < 100; i++) {
        dv_rate_answer a = take(w, r[0], "a", hourly, 1);
        assert_int_equal(a.allowed, i < 60);
        assert_false(take(w, r[1], "a", hourly, 1).allowed);
    }
    dv_rate_health_get(r[0], &h);
    assert_true(!h.ok && strstr(h.text, "connected") == NULL);
    need_redis(w); /* it comes later */
    wait_for(w, r[0], true);
    wait_for(w, r[1], true);
    assert_true(take(w, r[1], "a", hourly, 1).allowed);
    dv_rate_close(&r[0]);
    dv_rate_close(&r[1]);
}

static void test_password(void **state)
{
    world *w = *state;
    char url[160];
    dv_rate_health h;
    w->password = true;
    need_redis(w);
    dv_rate *none = open_rate(w, w->url, false);
    snprintf(url, sizeof url, "redis://:wrong-secret@127.0.0.1:%u", w->port);
    dv_rate *wrong = open_rate(w, url, false);
    snprintf(url, sizeof url, "redis://:s3cret-pass%%3aw%%2Frd@127.0.0.1:%u/3", w->port);
    dv_rate *right = open_rate(w, url, true);
    command(w, "ACL SETUSER drover on >other-secret ~test:* +@all");
    snprintf(url, sizeof url, "redis://drover:other-secret@[::ffff:127.0.0.1]:%u", w->port);
    dv_rate *user = open_rate(w, url, true);
    wait_for(w, right, true);
    wait_for(w, user, true);
    assert_true(take(w, right, "a", hourly, 60).shared);
    assert_true(take(w, user, "a", hourly, 60).allowed); /* another database */
    assert_false(take(w, right, "a", hourly, 1).allowed);
    assert_false(take(w, none, "a", hourly, 1).shared);
    assert_false(take(w, wrong, "a", hourly, 1).shared);
    dv_rate_health_get(wrong, &h);
    assert_true(!h.ok && strstr(h.text, "password") != NULL && strstr(h.text, "secret") == NULL);
    dv_rate_health_get(none, &h);
    assert_true(!h.ok && strstr(h.text, "NOAUTH") != NULL);
    dv_rate_close(&none);
    dv_rate_close(&wrong);
    dv_rate_close(&right);
    dv_rate_close(&user);
    assert_null(strstr(w->log, "secret"));
    assert_null(strstr(w->log, "s3cret"));
}

/* A Redis that hangs: answers come, and nothing piles up; when it goes on, so do we. */
static void test_hung(void **state)
{
    world *w = *state;
    static said s[300];
    dv_rate_ask *ask[300] = {NULL};
    need_redis(w);
    const dv_rate_options o = {.http = w->http, .redis_url = w->url, .prefix = "test:", .timeout_ms = 30};
    dv_rate *r = NULL;
    memset(s, 0, sizeof s);
    assert_int_equal(dv_rate_open(&r, &o, NULL), 0);
    wait_for(w, r, true);
    kill(w->pid, SIGSTOP);
    for (int i = 0; i < 300; i++) {
        dv_rate_key key = dv_rate_key_of("test", "a");
        dv_rate_take(r, &key, &hourly, 1, keep, &s[i], &ask[i]);
        if (i % 3 == 0)
            dv_rate_cancel(&ask[i]);
    }
    wait_for(w, r, false);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(s[i].n, i % 3 != 0);
        assert_null(ask[i]);
        assert_false(s[i].a.shared);
    }
    dv_rate_health h;
    dv_rate_health_get(r, &h);
    assert_int_equal(h.failures, 300);
    for (int i = 0; i < 50; i++) { /* at once now, also while it tries to connect */
        said now = {0};
        dv_rate_key key = dv_rate_key_of("test", "b");
        dv_rate_take(r, &key, &hourly, 1, keep, &now, NULL);
        assert_int_equal(now.n, 1);
        assert_true(now.a.allowed && !now.a.shared);
        event_base_loop(w->base, EVLOOP_NONBLOCK);
        usleep(5000);
    }
    kill(w->pid, SIGCONT);
    while (!take(w, r, "b", hourly, 1).shared) /* a busy machine may need longer than the time-out */
        event_base_loop(w->base, EVLOOP_ONCE);
    dv_rate_close(&r);
}

/* All who waited were cancelled: that it hangs is noticed nevertheless. */
static void test_hung_and_cancelled(void **state)
{
    world *w = *state;
    need_redis(w);
    const dv_rate_options o = {.http = w->http, .redis_url = w->url, .timeout_ms = 30};
    dv_rate *r = NULL;
    said s = {0};
    assert_int_equal(dv_rate_open(&r, &o, NULL), 0);
    wait_for(w, r, true);
    kill(w->pid, SIGSTOP);
    dv_rate_ask *ask = NULL;
    dv_rate_key key = dv_rate_key_of("test", "a");
    dv_rate_take(r, &key, &hourly, 1, keep, &s, &ask);
    dv_rate_cancel(&ask);
    assert_null(ask);
    dv_rate_cancel(&ask);
    wait_for(w, r, false);
    assert_int_equal(s.n, 0);
    kill(w->pid, SIGCONT);
    dv_rate_close(&r);
}

/* Closed in every state it can be in, with somebody waiting. */
static void test_close(void **state)
{
    world *w = *state;
    need_redis(w);
    char url[64];
    snprintf(url, sizeof url, "redis://localhost:%u", w->port);
    for (int i = 0; i < 30; i++) {
        dv_rate *r = open_rate(w, i % 2 != 0 ? w->url : url, false);
        said s[3] = {{0}};
        dv_rate_ask *ask[3] = {NULL};
        dv_rate_key key = dv_rate_key_of("test", "a");
        for (int k = 0; k < i / 2; k++) {
            event_base_loop(w->base, EVLOOP_NONBLOCK);
            usleep(k > 5 ? 500 : 0);
        }
        for (int k = 0; k < 3; k++)
            dv_rate_take(r, &key, &hourly, 1, keep, &s[k], &ask[k]);
        dv_rate_charge(r, &key, &hourly, 1);
        if (i % 3 == 0)
            event_base_loop(w->base, EVLOOP_NONBLOCK);
        dv_rate_close(&r);
        for (int k = 0; k < 3; k++)
            assert_null(ask[k]);
    }
}

static void test_urls(void **state)
{
    static const char *const bad[] = {"",
                                      "redis://",
                                      "redis:///0",
                                      "http://h",
                                      "redis://h:0",
                                      "redis://h:65536",
                                      "redis://h:x",
                                      "redis://h:",
                                      "redis://h/x",
                                      "redis://h/65536",
                                      "redis://user@h",
                                      "redis://:@h",
                                      "redis://:%@h",
                                      "redis://:%4@h",
                                      "redis://:%zz@h",
                                      "redis://:%00@h",
                                      "redis://[::1",
                                      "redis://[]:1",
                                      "redis://h h",
                                      "redis://h\n",
                                      "unix://",
                                      "unix:///",
                                      "unix://h/x",
                                      "redis://::1:5",
                                      "127.0.0.1:6379"};
    dv__redis_url u;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        dv_err err = {0};
        if (dv__redis_url_parse(&u, bad[i], &err) != DV_EINVAL)
            fail_msg("%s was taken", bad[i]);
        dv__redis_url_fini(&u);
    }
    dv_err err = {0};
    assert_int_equal(dv__redis_url_parse(&u, "rediss://:secret@h", &err), DV_EUNSUPPORTED);
    assert_null(strstr(err.msg, "secret"));
    err = (dv_err){0};
    assert_int_equal(dv__redis_url_parse(&u, "redis://:secret@h:x", &err), DV_EINVAL);
    assert_null(strstr(err.msg, "secret"));
    assert_int_equal(dv__redis_url_parse(&u, "redis://me:a%40b:c%2f@[::1]:7000/12", NULL), 0);
    assert_string_equal(u.host, "::1");
    assert_string_equal(u.user, "me");
    assert_string_equal(u.password, "a@b:c/");
    assert_int_equal(u.port, 7000);
    assert_int_equal(u.db, 12);
    dv__redis_url_fini(&u);
    assert_int_equal(dv__redis_url_parse(&u, "redis://cache.example", NULL), 0);
    assert_int_equal(u.port, 6379);
    assert_null(u.password);
    dv__redis_url_fini(&u);
    assert_int_equal(dv__redis_url_parse(&u, "unix:///run/redis.sock", NULL), 0);
    assert_string_equal(u.path, "/run/redis.sock");
    dv__redis_url_fini(&u);
    for (uint64_t n = 1; n < 4; n++) {
        dv_mem_fail_after(n);
        assert_int_equal(dv__redis_url_parse(&u, "redis://me:password@h", NULL), DV_ENOMEM);
        dv_mem_fail_after(0);
    }
    assert_int_equal(dv_mem_used(DV_MEM_LIMIT), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_urls),
                                       TEST(test_not_there),
                                       TEST(test_shared),
                                       TEST(test_extremes),
                                       TEST(test_killed),
                                       TEST(test_password),
                                       TEST(test_hung),
                                       TEST(test_hung_and_cancelled),
                                       TEST(test_close)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
