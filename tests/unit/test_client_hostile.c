/* SPDX-License-Identifier: MIT */
/* The HTTP client against peers that break every rule of the protocol. */
#include "client_util.h"

typedef struct world {
    dv_http_server *http; /* for its loop */
    dv_client *client;
    struct event_base *base;
} world;

static void on_request(void *arg, dv_http_req *r) {}

static int setup(void **state)
{
    world *w = calloc(1, sizeof *w);
    dv_http_options o;
    signal(SIGPIPE, SIG_IGN);
    dv_http_options_init(&o);
    o.on_request = on_request;
    if (dv_http_open(&w->http, &o, NULL) != 0 || dv_client_open(&w->client, w->http, NULL) != 0)
        return -1;
    w->base = dv_http_base(w->http);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    dv_client_close(&w->client);
    dv_http_close(&w->http);
    free(w);
    return dv_mem_used(DV_MEM_CLIENT) == 0 ? 0 : -1;
}

static void begin(world *w, const peer *p, const dv_fetch_request *rq)
{
    char url[64];
    got *g = rq->arg;
    snprintf(url, sizeof url, "http://127.0.0.1:%u", p->port);
    assert_int_equal(dv_fetch_start(w->client, &(dv_fetch_target){.base = url}, rq, &g->f, NULL), 0);
}

static void run(world *w, const peer *p, const dv_fetch_request *rq)
{
    got *g = rq->arg;
    begin(w, p, rq);
    while (g->n_ends == 0)
        event_base_loop(w->base, EVLOOP_ONCE);
    for (int i = 0; i < 5; i++)
        event_base_loop(w->base, EVLOOP_NONBLOCK);
    assert_int_equal(g->n_ends, 1);
}

typedef struct script {
    const char *bytes;
    peer_then then;
    dv_fetch_end end;
    int status;
    const char *body;
} script;

static const script scripts[] = {
    /* What must be understood. */
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", PEER_HOLD, DV_FETCH_OK, 200, "hi"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", PEER_HOLD, DV_FETCH_OK, 200, "hi"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhi\r\n0\r\nX-T: 1\r\n\r\n", PEER_HOLD, DV_FETCH_OK,
     200, "hi"},
    {"HTTP/1.1 204 None\r\n\r\n", PEER_HOLD, DV_FETCH_OK, 204, ""},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 500 Bad\r\nContent-Length: 1\r\n\r\nx",
     PEER_HOLD, DV_FETCH_OK, 500, "x"},
    {"HTTP/1.0 200 OK\r\n\r\nup to the end", PEER_CLOSE, DV_FETCH_OK, 200, "up to the end"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Encoding: gzip\r\n\r\nhi", PEER_HOLD, DV_FETCH_OK, 200, "hi"},
    {"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n", PEER_HOLD, DV_FETCH_OK, 401,
     ""},
    /* No HTTP. */
    {"", PEER_CLOSE, DV_FETCH_BROKEN, 0, ""},
    {"", PEER_RESET, DV_FETCH_BROKEN, 0, ""},
    {"garbage\r\n\r\n", PEER_CLOSE, DV_FETCH_BROKEN, 0, ""},
    {"SSH-2.0-OpenSSH_9.2\r\n", PEER_HOLD, DV_FETCH_BROKEN, 0, ""},
    {"HTTP/2 200 OK\r\n\r\n", PEER_CLOSE, DV_FETCH_BROKEN, 0, ""},
    {"HTTP/1.1 20 OK\r\n\r\n", PEER_CLOSE, DV_FETCH_BROKEN, 0, ""},
    {"HTTP/1.1 999 OK\r\n\r\n", PEER_CLOSE, DV_FETCH_BROKEN, 0, ""},
    {"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", PEER_HOLD, DV_FETCH_BROKEN, 0, ""},
    {"\0\0\0\0", PEER_CLOSE, DV_FETCH_BROKEN, 0, ""},
    /* Heads that are wrong. */
    {"HTTP/1.1 200 OK\r\nX-A : b\r\n\r\n", PEER_HOLD, DV_FETCH_BROKEN, 0, ""},
    {"HTTP/1.1 200 OK\r\nX-A: b\r\n folded\r\n\r\n", PEER_HOLD, DV_FETCH_BROKEN, 0, ""},
    {"HTTP/1.1 200 OK\r\nX-A: b\x01\r\n\r\n", PEER_HOLD, DV_FETCH_BROKEN, 0, ""},
    {"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", PEER_HOLD, DV_FETCH_BROKEN, 0, ""},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A", PEER_CLOSE, DV_FETCH_BROKEN, 0, ""},
    {"HTTP/1.1 100 Continue\r\n\r\n", PEER_CLOSE, DV_FETCH_BROKEN, 0, ""},
    {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx", PEER_CLOSE, DV_FETCH_BROKEN, 0, ""},
    /* Bodies that are cut, or lie about their length. */
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi", PEER_CLOSE, DV_FETCH_BROKEN, 200, "hi"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi", PEER_RESET, DV_FETCH_BROKEN, 200, NULL},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi", PEER_CLOSE, DV_FETCH_BROKEN, 200, "hi"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", PEER_CLOSE, DV_FETCH_BROKEN, 200, "hi"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhi\r\n", PEER_CLOSE, DV_FETCH_BROKEN, 200, ""},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nhi\r\n", PEER_CLOSE, DV_FETCH_BROKEN, 200, ""},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhi\r\n", PEER_CLOSE, DV_FETCH_BROKEN,
     200, ""},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhiXX2\r\n", PEER_CLOSE, DV_FETCH_BROKEN, 200, NULL},
};

static void test_scripts(void **state)
{
    world *w = *state;
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        const script *s = &scripts[i];
        peer p = {.bytes = s->bytes,
                  .n_bytes = s->bytes[0] == 0 && s->end == DV_FETCH_BROKEN && i % 2 != 0 ? 0 : strlen(s->bytes),
                  .then = s->then};
        got g = {0};
        dv_fetch_request rq = get_request(&g, "/");
        rq.head_ms = 20000;
        rq.silence_ms = 20000;
        peer_open(&p, w->base);
        run(w, &p, &rq);
        if (g.end != s->end || g.status != s->status ||
            (s->body != NULL && strcmp(g.body.len > 0 ? g.body.data : "", s->body) != 0))
            fail_msg("script %zu \"%s\": %d %d \"%s\" (%s)", i, s->bytes, g.end, g.status,
                     g.body.len > 0 ? g.body.data : "", g.why);
        assert_true((g.why[0] != 0) == (s->end != DV_FETCH_OK));
        got_clear(&g);
        dv_client_close(&w->client); /* no connection is left for the next */
        assert_int_equal(dv_client_open(&w->client, w->http, NULL), 0);
        peer_close(&p);
    }
}

/* Heads without end cost bounded memory and end by themselves. */
static void test_endless_heads(void **state)
{
    world *w = *state;
    static const struct {
        const char *bytes;
        size_t again;
    } endless[] = {
        {"HTTP/1.1 200 OK\r\nX-A: bbbbbbbbbbbbbbbbbbbbbbbbbb\r\n", 33},
        {"HTTP/1.1 200 OK\r\nX-A: bbbbbbbbbbbbbbbbbbbbbbbbbb", 20},
        {"HTTP/1.1 100 Continue\r\n\r\n", 25},
        {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 20},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: bbbbbbbb\r\n", 21},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;xxxxxxxxxxxxxx\r\nhi\r\n000000000000000000000000",
         20}};
    for (size_t i = 0; i < sizeof endless / sizeof endless[0]; i++) {
        peer p = {.bytes = endless[i].bytes,
                  .n_bytes = strlen(endless[i].bytes),
                  .then = PEER_REPEAT,
                  .again = endless[i].again};
        got g = {0};
        dv_fetch_request rq = get_request(&g, "/");
        peer_open(&p, w->base);
        dv_mem_peak_reset(DV_MEM_CLIENT);
        run(w, &p, &rq);
        assert_int_equal(g.end, DV_FETCH_BROKEN);
        assert_in_range(dv_mem_peak(DV_MEM_CLIENT), 1, 1 << 20);
        got_clear(&g);
        peer_close(&p);
    }
}

/* A peer that says something, and then nothing. */
static void test_slow(void **state)
{
    world *w = *state;
    static const char *const said[] = {"", "HTTP/1.1 200 OK\r\nX-A:", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
                                       "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi"};
    for (size_t i = 0; i < 4; i++) {
        peer p = {.bytes = said[i], .n_bytes = strlen(said[i]), .then = PEER_HOLD};
        got g = {0};
        dv_fetch_request rq = get_request(&g, "/");
        rq.head_ms = rq.silence_ms = 25;
        peer_open(&p, w->base);
        run(w, &p, &rq);
        assert_int_equal(g.end, DV_FETCH_TIMEOUT);
        assert_int_equal(g.status, i < 2 ? 0 : 200);
        got_clear(&g);
        peer_close(&p);
    }
}

static void post(got *g, dv_fetch_request *rq)
{
    *rq = get_request(g, "/");
    rq->verb = DV_HTTP_POST;
    rq->body = "hello";
    rq->n_body = 5;
}

/* A kept connection that the peer has closed meanwhile, or closes when the next request comes: nobody notices. */
static void test_stale(void **state)
{
    world *w = *state;
    peer p = {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", .n_bytes = 40, .then = PEER_CLOSE};
    p.n_bytes = strlen(p.bytes);
    peer_open(&p, w->base);
    for (int i = 0; i < 6; i++) {
        got g = {0};
        dv_fetch_request rq;
        post(&g, &rq);
        run(w, &p, &rq);
        assert_int_equal(g.end, DV_FETCH_OK);
        assert_int_equal(g.body.len, 2);
        got_clear(&g);
    }
    assert_int_equal(p.n_accepts, 6);
    p.then = PEER_KEEP;
    p.max_requests = 1; /* the second request on a connection is read, and not answered */
    for (int i = 0; i < 4; i++) {
        got g = {0};
        dv_fetch_request rq;
        post(&g, &rq);
        run(w, &p, &rq);
        assert_int_equal(g.end, DV_FETCH_OK);
        got_clear(&g);
    }
    assert_int_equal(p.n_accepts, 10);
    assert_int_equal(p.n_requests, 6 + 7);
    dv_client_close(&w->client); /* what is kept, too */
    peer_close(&p);
}

/* A body that is still on its way when the peer closes. */
static void test_stale_long(void **state)
{
    world *w = *state;
    static char body[4 << 20];
    peer p = {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", .then = PEER_KEEP, .max_requests = 1};
    p.n_bytes = strlen(p.bytes);
    peer_open(&p, w->base);
    got g = {0};
    dv_fetch_request rq;
    post(&g, &rq);
    run(w, &p, &rq);
    got_clear(&g);
    post(&g, &rq);
    rq.body = body;
    rq.n_body = sizeof body;
    run(w, &p, &rq);
    assert_int_equal(g.end, DV_FETCH_OK);
    assert_string_equal(g.body.data, "hi");
    assert_int_equal(p.n_accepts, 2);
    got_clear(&g);
    dv_client_close(&w->client); /* what is kept, too */
    peer_close(&p);
}

/* The peer closes a kept connection, and then nobody listens any more: something was sent, so it is not told that nothing was. */
static void test_stale_gone(void **state)
{
    world *w = *state;
    peer p = {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", .then = PEER_KEEP, .max_requests = 1};
    p.n_bytes = strlen(p.bytes);
    peer_open(&p, w->base);
    got g = {0};
    dv_fetch_request rq;
    post(&g, &rq);
    run(w, &p, &rq);
    assert_int_equal(g.end, DV_FETCH_OK);
    got_clear(&g);
    event_del(p.accept);
    close(p.listen_fd);
    post(&g, &rq);
    run(w, &p, &rq);
    assert_int_equal(g.end, DV_FETCH_BROKEN);
    assert_int_equal(g.status, 0);
    got_clear(&g);
    post(&g, &rq);
    run(w, &p, &rq); /* nothing is kept now */
    assert_int_equal(g.end, DV_FETCH_UNREACHABLE);
    got_clear(&g);
    event_free(p.accept);
}

/* What comes after a reply's end is never the answer to another request. */
static void test_two_replies(void **state)
{
    world *w = *state;
    peer p = {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
              .then = PEER_KEEP};
    p.n_bytes = strlen(p.bytes);
    peer_open(&p, w->base);
    for (int i = 0; i < 5; i++) {
        got g = {0};
        dv_fetch_request rq = get_request(&g, "/");
        run(w, &p, &rq);
        assert_int_equal(g.end, DV_FETCH_OK);
        assert_string_equal(g.body.data, "hi");
        got_clear(&g);
    }
    peer_close(&p);
    assert_int_equal(p.n_accepts, 5);
}

/* Nor is what a peer sends while nobody has asked. */
static void test_unasked(void **state)
{
    world *w = *state;
    static const char evil[] = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    peer p = {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", .then = PEER_KEEP};
    p.n_bytes = strlen(p.bytes);
    peer_open(&p, w->base);
    for (int i = 0; i < 3; i++) {
        got g = {0};
        dv_fetch_request rq = get_request(&g, "/");
        run(w, &p, &rq);
        assert_int_equal(g.end, DV_FETCH_OK);
        assert_string_equal(g.body.data, "hi");
        got_clear(&g);
        assert_int_equal(send(p.last_fd, evil, sizeof evil - 1, MSG_NOSIGNAL), sizeof evil - 1);
    }
    dv_client_close(&w->client);
    peer_close(&p);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_scripts),     TEST(test_endless_heads), TEST(test_slow),
                                       TEST(test_stale),       TEST(test_stale_long),    TEST(test_stale_gone),
                                       TEST(test_two_replies), TEST(test_unasked)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
