/* SPDX-License-Identifier: MIT */
/* The HTTP client against our own server, in one event loop. */
#include "client_util.h"
#include "http/tls.h"

enum { LARGE = 3 << 20 };

typedef struct world {
    dv_http_server *http;
    dv_client *client;
    struct event_base *base;
    char url[64], dir[64], path[100];
    dv_fetch_target tcp, local;
    unsigned n_requests, n_gone;
    char peers[8][64]; /* of requests, in order */
    dv_http_req *open; /* of /open, which never ends by itself */
} world;

static char large[LARGE];

/* Everything that the request was, for the client to look at. */
static void reply_echo(dv_http_req *r)
{
    static const char *const names[] = {"Host",    "Authorization", "Expect", "Content-Type", "Content-Length",
                                        "X-Empty", "X-One",         "Accept", "User-Agent",   "Cookie"};
    dv_buf b;
    size_t n;
    const char *body = dv_http_body(r, &n);
    dv_buf_init(&b, 0);
    dv_buf_printf(&b, "%s %s\n", dv_http_method_text(r), dv_http_target(r));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (dv_http_header(r, names[i]) != NULL)
            dv_buf_printf(&b, "%s=%s\n", names[i], dv_http_header(r, names[i]));
    dv_buf_printf(&b, "body=%zu\n", n);
    dv_buf_add(&b, body, n > 64 ? 64 : n);
    dv_http_add_header(r, "X-Reply", "a, b");
    dv_http_reply(r, 200, "text/plain", b.data, b.len);
    dv_buf_fini(&b);
}

static void on_request(void *arg, dv_http_req *r)
{
    world *w = arg;
    const char *path = dv_http_path(r);
    if (w->n_requests < 8)
        snprintf(w->peers[w->n_requests], sizeof w->peers[0], "%s", dv_http_peer(r));
    w->n_requests++;
    if (strcmp(path, "/large") == 0) {
        dv_http_reply(r, 200, "application/octet-stream", large, sizeof large);
    } else if (strcmp(path, "/open") == 0) {
        dv_http_stream_begin(r, 200, "text/event-stream");
        dv_http_stream_write(r, "one", 3);
        w->open = dv_http_ref(r);
    } else if (strcmp(path, "/silent") == 0) {
        w->open = dv_http_ref(r);
    } else if (strcmp(path, "/moved") == 0) {
        dv_http_add_header(r, "Location", "/echo");
        dv_http_reply(r, 302, NULL, NULL, 0);
    } else {
        reply_echo(r);
    }
}

static void on_gone(void *arg, dv_http_req *r) { ((world *)arg)->n_gone++; }

static int setup(void **state)
{
    world *w = calloc(1, sizeof *w);
    dv_http_options o;
    dv_err err = {0};
    uint16_t port;
    signal(SIGPIPE, SIG_IGN);
    dv_http_options_init(&o);
    o.arg = w;
    o.on_request = on_request;
    o.on_gone = on_gone;
    snprintf(w->dir, sizeof w->dir, "/tmp/drover-client-XXXXXX");
    if (mkdtemp(w->dir) == NULL || dv_http_open(&w->http, &o, &err) != 0 ||
        dv_client_open(&w->client, w->http, &err) != 0)
        return -1;
    snprintf(w->path, sizeof w->path, "%s/s", w->dir);
    if (dv_http_listen(w->http, &(dv_http_where){.host = "127.0.0.1"}, &port, &err) != 0 ||
        dv_http_listen(w->http, &(dv_http_where){.path = w->path, .mode = 0600}, NULL, &err) != 0)
        return -1;
    snprintf(w->url, sizeof w->url, "http://127.0.0.1:%u", port);
    w->tcp = (dv_fetch_target){.base = w->url};
    w->local = (dv_fetch_target){.base = "http://engine", .socket = w->path};
    w->base = dv_http_base(w->http);
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (char)(i * 2654435761u >> 24);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    dv_client_close(&w->client);
    dv_http_unref(w->open);
    dv_http_close(&w->http);
    rmdir(w->dir);
    free(w);
    return dv_mem_used(DV_MEM_CLIENT) == 0 ? 0 : -1;
}

static void turn(world *w) { event_base_loop(w->base, EVLOOP_ONCE); }

static void to_end(world *w, got *g)
{
    while (g->n_ends == 0)
        turn(w);
    assert_int_equal(g->n_ends, 1);
    assert_null(g->f);
}

static void begin(world *w, const dv_fetch_target *to, const dv_fetch_request *rq)
{
    dv_err err = {0};
    got *g = rq->arg;
    assert_int_equal(dv_fetch_start(w->client, to, rq, &g->f, &err), 0);
    assert_int_equal(g->n_heads + g->n_data + g->n_ends, 0);
}

static void run(world *w, const dv_fetch_target *to, const dv_fetch_request *rq)
{
    begin(w, to, rq);
    to_end(w, rq->arg);
}

static void has(const got *g, const char *text)
{
    if (g->body.data == NULL || strstr(g->body.data, text) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", text, g->body.data != NULL ? g->body.data : "");
}

static void test_verbs(void **state)
{
    world *w = *state;
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};
    for (int verb = DV_HTTP_GET; verb <= DV_HTTP_DELETE; verb++) {
        got g = {0};
        dv_fetch_request rq = get_request(&g, "/echo/../x?a=%20b");
        bool bodied = verb != DV_HTTP_GET && verb != DV_HTTP_HEAD;
        rq.verb = (dv_http_verb)verb;
        rq.path = "/echo?a=%20b";
        rq.body = bodied ? "hello" : NULL;
        rq.n_body = bodied ? 5 : 0;
        run(w, verb % 2 != 0 ? &w->tcp : &w->local, &rq);
        assert_int_equal(g.end, DV_FETCH_OK);
        assert_string_equal(g.why, "");
        assert_int_equal(g.status, 200);
        assert_int_equal(g.n_heads, 1);
        assert_string_equal(g.type, "text/plain");
        if (verb != DV_HTTP_HEAD) {
            char line[40];
            snprintf(line, sizeof line, "%s /echo?a=%%20b\n", names[verb - DV_HTTP_GET]);
            has(&g, line);
            has(&g, bodied ? "body=5\nhello" : "body=0\n");
        }
        got_clear(&g);
    }
}

static void test_empty_bodies(void **state)
{
    world *w = *state;
    for (int verb = DV_HTTP_POST; verb <= DV_HTTP_DELETE; verb++) {
        got g = {0};
        dv_fetch_request rq = get_request(&g, "/echo");
        rq.verb = (dv_http_verb)verb;
        run(w, &w->tcp, &rq);
        assert_int_equal(g.status, 200);
        has(&g, "body=0\n");
        got_clear(&g);
    }
}

static void test_fields(void **state)
{
    world *w = *state;
    got g = {0};
    const dv_fetch_field fields[] = {{"X-One", "  1 ; 2"}, {"X-Empty", ""}, {"Content-Type", "application/json"}};
    dv_fetch_request rq = get_request(&g, "/echo");
    dv_fetch_target to = w->local;
    to.bearer = "secret-token";
    rq.verb = DV_HTTP_POST;
    rq.fields = fields;
    rq.n_fields = 3;
    rq.body = large;
    rq.n_body = sizeof large;
    run(w, &to, &rq);
    assert_int_equal(g.end, DV_FETCH_OK);
    has(&g, "Host=engine\n");
    has(&g, "Authorization=Bearer secret-token\n");
    has(&g, "Content-Type=application/json\n");
    has(&g, "X-One=1 ; 2\n");
    has(&g, "X-Empty=\n");
    has(&g, "body=3145728\n");
    assert_null(strstr(g.body.data, "Expect"));
    assert_null(strstr(g.body.data, "User-Agent"));
    got_clear(&g);
    rq = get_request(&g, "/echo"); /* the key was given for the other request only */
    rq.verb = DV_HTTP_POST;
    rq.body = "x";
    rq.n_body = 1;
    run(w, &w->local, &rq);
    assert_null(strstr(g.body.data, "Authorization"));
    assert_null(strstr(g.body.data, "Content-Type"));
    got_clear(&g);
}

static void test_reply_fields(void **state)
{
    world *w = *state;
    got g = {.pause = true};
    dv_fetch_request rq = get_request(&g, "/echo");
    const char *name, *value;
    size_t n = 0;
    begin(w, &w->tcp, &rq);
    assert_int_equal(dv_fetch_status(g.f), 0);
    assert_null(dv_fetch_header(g.f, "X-Reply"));
    assert_false(dv_fetch_field_at(g.f, 0, &name, &value));
    while (g.n_data == 0)
        turn(w);
    assert_string_equal(dv_fetch_header(g.f, "x-rEPLY"), "a, b");
    assert_null(dv_fetch_header(g.f, "X-Repl"));
    while (dv_fetch_field_at(g.f, n, &name, &value))
        n += strcasecmp(name, "content-length") == 0 ? 100 : 1;
    assert_true(n > 100 && n < 120);
    dv_fetch_cancel(&g.f);
    assert_int_equal(g.n_ends, 0);
    got_clear(&g);
}

static void test_refused_requests(void **state)
{
    world *w = *state;
    static const dv_fetch_field bad[] = {{"X-A", "a\r\nX-B: c"}, {"X-A", "a\nb"},
                                         {"X A", "b"},           {"", "b"},
                                         {"X-A:", "b"},          {"X\r\nY", "b"},
                                         {"Host", "other"},      {"content-length", "5"},
                                         {"Connection", "x"},    {"Transfer-Encoding", "chunked"},
                                         {"Expect", "x"},        {"X-A", "\x7f"}};
    static const char *const paths[] = {"", "x", "/a b", "/a\r\nb", "/a\x01", "/\xc3\xa9", "/a#b", "http://other/"};
    static const char *const bases[] = {"",
                                        "127.0.0.1",
                                        "ftp://127.0.0.1",
                                        "http://",
                                        "http:///x",
                                        "http://u@127.0.0.1",
                                        "http://u:p@127.0.0.1/x",
                                        "http://127.0.0.1/",
                                        "http://127.0.0.1/x?y",
                                        "http://127.0.0.1#x",
                                        "http://a b",
                                        "http://a\r\nb",
                                        "file:///etc/passwd",
                                        "HTTP://127.0.0.1",
                                        "http://a\\@b"};
    static const char *const tokens[] = {"", "a b", "a\r\nX: y", "\xc3\xa9"};
    got g = {0};
    dv_fetch *f = (dv_fetch *)&g;
    dv_fetch_request rq = get_request(&g, "/echo");
    dv_fetch_target to = w->tcp;
    rq.n_fields = 1;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        dv_err err = {0};
        rq.fields = &bad[i];
        assert_int_equal(dv_fetch_start(w->client, &to, &rq, &f, &err), DV_EINVAL);
        assert_null(f);
    }
    rq.n_fields = 0;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        rq.path = paths[i];
        assert_int_equal(dv_fetch_start(w->client, &to, &rq, &f, NULL), DV_EINVAL);
    }
    rq.path = "/echo";
    for (size_t i = 0; i < sizeof bases / sizeof bases[0]; i++) {
        to.base = bases[i];
        assert_int_equal(dv_fetch_start(w->client, &to, &rq, &f, NULL), DV_EINVAL);
    }
    to = w->tcp;
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        to.bearer = tokens[i];
        assert_int_equal(dv_fetch_start(w->client, &to, &rq, &f, NULL), DV_EINVAL);
    }
    to = w->local;
    to.public_only = true;
    assert_int_equal(dv_fetch_start(w->client, &to, &rq, &f, NULL), DV_EINVAL);
    rq.body = "x";
    rq.n_body = 1;
    assert_int_equal(dv_fetch_start(w->client, &w->tcp, &rq, &f, NULL), DV_EINVAL); /* a GET */
    rq.verb = DV_HTTP_OPTIONS;
    assert_int_equal(dv_fetch_start(w->client, &w->tcp, &rq, &f, NULL), DV_EINVAL);
    assert_int_equal(w->n_requests, 0);
}

static void test_no_redirect(void **state)
{
    world *w = *state;
    got g = {0};
    dv_fetch_request rq = get_request(&g, "/moved");
    run(w, &w->tcp, &rq);
    assert_int_equal(g.end, DV_FETCH_OK);
    assert_int_equal(g.status, 302);
    assert_int_equal(w->n_requests, 1);
    got_clear(&g);
}

static void test_environment(void **state)
{
    world *w = *state;
    got g = {0};
    dv_fetch_request rq = get_request(&g, "/echo");
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("all_proxy", "http://127.0.0.1:1", 1);
    run(w, &w->tcp, &rq);
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    assert_int_equal(g.end, DV_FETCH_OK);
    got_clear(&g);
}

static void test_keep_alive(void **state)
{
    world *w = *state;
    for (int i = 0; i < 4; i++) {
        got g = {0};
        dv_fetch_request rq = get_request(&g, "/echo");
        run(w, &w->tcp, &rq);
        assert_int_equal(g.status, 200);
        got_clear(&g);
    }
    for (int i = 1; i < 4; i++)
        assert_string_equal(w->peers[i], w->peers[0]);
    assert_int_equal(dv_http_connections(w->http), 1);
}

/* Many at once, and only so many connections are kept. */
static void test_many(void **state)
{
    world *w = *state;
    enum { N = 100 };
    static got g[N];
    unsigned n_ended = 0;
    memset(g, 0, sizeof g);
    for (int i = 0; i < N; i++) {
        dv_fetch_request rq = get_request(&g[i], "/echo");
        begin(w, i % 2 != 0 ? &w->tcp : &w->local, &rq);
    }
    while (n_ended < N) {
        turn(w);
        n_ended = 0;
        for (int i = 0; i < N; i++)
            n_ended += g[i].n_ends;
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(g[i].end, DV_FETCH_OK);
        got_clear(&g[i]);
    }
    for (int i = 0; i < 100; i++)
        event_base_loop(w->base, EVLOOP_NONBLOCK);
    assert_in_range(dv_http_connections(w->http), 1, 64);
}

static void test_pause(void **state)
{
    world *w = *state;
    for (int local = 0; local < 2; local++) {
        got g = {.pause = true};
        dv_fetch_request rq = get_request(&g, "/large");
        rq.silence_ms = 20;
        begin(w, local != 0 ? &w->local : &w->tcp, &rq);
        while (g.n_data == 0)
            turn(w);
        for (int i = 0; i < 200; i++) { /* nothing comes, it does not time out, and memory is bounded */
            event_base_loop(w->base, EVLOOP_NONBLOCK);
            usleep(500);
            assert_int_equal(g.n_data, 1);
        }
        assert_in_range(dv_mem_used(DV_MEM_CLIENT), 1, 512 << 10);
        while (g.n_ends == 0) {
            g.pause = g.n_data % 2 != 0; /* every other piece is refused once */
            if (g.f != NULL)
                dv_fetch_resume(g.f);
            turn(w);
        }
        assert_int_equal(g.end, DV_FETCH_OK);
        assert_int_equal(g.body.len, sizeof large);
        assert_memory_equal(g.body.data, large, sizeof large);
        got_clear(&g);
    }
}

/* The end waits until the rest was taken. */
static void test_pause_at_end(void **state)
{
    world *w = *state;
    got g = {.pause = true};
    dv_fetch_request rq = get_request(&g, "/echo");
    begin(w, &w->tcp, &rq);
    for (int i = 0; i < 100; i++)
        event_base_loop(w->base, EVLOOP_NONBLOCK), usleep(200);
    assert_int_equal(g.n_ends, 0);
    assert_int_equal(g.n_data, 1);
    g.pause = false;
    dv_fetch_resume(g.f);
    assert_int_equal(g.n_data, 1); /* not from within the call */
    to_end(w, &g);
    assert_int_equal(g.end, DV_FETCH_OK);
    has(&g, "GET /echo");
    got_clear(&g);
}

static void test_abort(void **state)
{
    world *w = *state;
    static const char *const paths[] = {"/large", "/echo", "/open"};
    for (size_t i = 0; i < 3; i++) {
        got g = {.abort = true};
        dv_fetch_request rq = get_request(&g, paths[i]);
        run(w, &w->tcp, &rq);
        assert_int_equal(g.end, DV_FETCH_ABORTED);
        assert_int_equal(g.n_data, 1);
        assert_true(g.why[0] != 0);
        got_clear(&g);
    }
    while (w->n_gone == 0)
        turn(w);
}

static void test_cancel(void **state)
{
    world *w = *state;
    static const char *const paths[] = {"/open", "/silent"};
    for (size_t i = 0; i < 2; i++) {
        for (int local = 0; local < 2; local++) {
            got g = {0};
            dv_fetch_request rq = get_request(&g, paths[i]);
            unsigned gone = w->n_gone;
            begin(w, local != 0 ? &w->local : &w->tcp, &rq);
            while (w->open == NULL || (i == 0 && g.body.len == 0))
                turn(w);
            dv_fetch_cancel(&g.f);
            assert_null(g.f);
            while (w->n_gone == gone)
                turn(w);
            dv_http_unref(w->open);
            w->open = NULL;
            assert_int_equal(g.n_ends, 0);
            got_clear(&g);
        }
    }
    dv_fetch *none = NULL;
    dv_fetch_cancel(&none);
}

static void test_cancel_in_callbacks(void **state)
{
    world *w = *state;
    static const char *const paths[] = {"/open", "/echo", "/large"};
    for (size_t i = 0; i < 9; i++) {
        got g = {.cancel_in_head = i % 3 == 0, .cancel_in_data = i % 3 == 1, .cancel_in_end = i % 3 == 2};
        dv_fetch_request rq = get_request(&g, i < 6 || i % 3 != 2 ? paths[i / 3] : "/echo");
        if (i == 2)
            rq.path = "/moved";
        begin(w, &w->tcp, &rq);
        while (g.f != NULL)
            turn(w);
        for (int k = 0; k < 20; k++)
            event_base_loop(w->base, EVLOOP_NONBLOCK);
        assert_int_equal(g.n_ends, i % 3 == 2);
        assert_int_equal(g.n_heads, 1);
        got_clear(&g);
        if (w->open != NULL)
            dv_http_unref(w->open);
        w->open = NULL;
    }
}

/* One callback takes all the others away, and begins a new one. */
static got chain[4], late;
static world *chain_world;

static void chain_head(void *arg, dv_fetch *f)
{
    for (int i = 0; i < 4; i++)
        dv_fetch_cancel(&chain[i].f);
    dv_fetch_request rq = get_request(&late, "/echo");
    assert_int_equal(dv_fetch_start(chain_world->client, &chain_world->tcp, &rq, &late.f, NULL), 0);
}

static void test_cancel_others(void **state)
{
    world *w = chain_world = *state;
    memset(chain, 0, sizeof chain);
    memset(&late, 0, sizeof late);
    for (int i = 0; i < 4; i++) {
        dv_fetch_request rq = get_request(&chain[i], "/large");
        rq.on_head = chain_head;
        begin(w, &w->tcp, &rq);
    }
    to_end(w, &late);
    assert_int_equal(late.status, 200);
    for (int i = 0; i < 4; i++)
        assert_int_equal(chain[i].n_ends + chain[i].n_data, 0);
    got_clear(&late);
}

static void test_timeouts(void **state)
{
    world *w = *state;
    got g = {0};
    dv_fetch_request rq = get_request(&g, "/silent");
    rq.head_ms = 30;
    run(w, &w->tcp, &rq);
    assert_int_equal(g.end, DV_FETCH_TIMEOUT);
    assert_int_equal(g.status, 0);
    while (w->n_gone == 0)
        turn(w);
    dv_http_unref(w->open);
    got_clear(&g);
    rq = get_request(&g, "/open");
    rq.silence_ms = 30;
    run(w, &w->local, &rq);
    assert_int_equal(g.end, DV_FETCH_TIMEOUT);
    assert_int_equal(g.status, 200);
    has(&g, "one");
    got_clear(&g);
}

static void test_unreachable(void **state)
{
    world *w = *state;
    peer p = {0};
    got g = {0};
    char url[64];
    dv_fetch_request rq = get_request(&g, "/echo");
    peer_open(&p, w->base);
    peer_close(&p); /* nobody listens there now */
    snprintf(url, sizeof url, "http://127.0.0.1:%u", p.port);
    run(w, &(dv_fetch_target){.base = url}, &rq);
    assert_int_equal(g.end, DV_FETCH_UNREACHABLE);
    got_clear(&g);
    run(w, &(dv_fetch_target){.base = "http://x", .socket = "/nonexistent/socket"}, &rq);
    assert_int_equal(g.end, DV_FETCH_UNREACHABLE);
    got_clear(&g);
    snprintf(url, sizeof url, "https://127.0.0.1:%s", strrchr(w->url, ':') + 1); /* a server without TLS */
    run(w, &(dv_fetch_target){.base = url}, &rq);
    assert_int_equal(g.end, DV_FETCH_TLS);
    got_clear(&g);
}

/* A host that does not answer: its queue of connections is full, and further ones are not even refused. */
static void test_connect_timeout(void **state)
{
    world *w = *state;
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;
    int fds[4] = {socket(AF_INET, SOCK_STREAM, 0)};
    assert_int_equal(bind(fds[0], (struct sockaddr *)&sa, len), 0);
    assert_int_equal(listen(fds[0], 0), 0);
    assert_int_equal(getsockname(fds[0], (struct sockaddr *)&sa, &len), 0);
    for (int i = 1; i < 4; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(fds[i], (struct sockaddr *)&sa, len);
    }
    char url[64];
    got g = {0};
    dv_fetch_request rq = get_request(&g, "/");
    rq.connect_ms = 50;
    snprintf(url, sizeof url, "http://127.0.0.1:%u", ntohs(sa.sin_port));
    run(w, &(dv_fetch_target){.base = url}, &rq);
    assert_int_equal(g.end, DV_FETCH_UNREACHABLE);
    got_clear(&g);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
}

/* A certificate that nobody vouches for, one of another name, and one that is right. */
static void test_certificates(void **state)
{
    world *w = *state;
    char cert[100], key[100], command[500], url[64], other[64];
    dv_http_tls *tls = NULL;
    uint16_t port;
    snprintf(cert, sizeof cert, "%s/cert.pem", w->dir);
    snprintf(key, sizeof key, "%s/key.pem", w->dir);
    snprintf(
        command, sizeof command,
        "openssl req -x509 -noenc -days 2 -subj /CN=test -addext subjectAltName=DNS:localhost -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
        "-keyout %s -out %s 2>/dev/null",
        key, cert);
    assert_int_equal(system(command), 0);
    const dv_http_tls_options o = {.cert_file = cert, .key_file = key};
    assert_int_equal(dv_http_tls_open(&tls, &o, NULL), 0);
    assert_int_equal(dv_http_listen(w->http, &(dv_http_where){.host = "127.0.0.1", .tls = tls}, &port, NULL), 0);
    snprintf(url, sizeof url, "https://localhost:%u", port);
    snprintf(other, sizeof other, "https://127.0.0.1:%u", port);
    const struct {
        dv_fetch_target to;
        dv_fetch_end end;
    } rows[] = {{{.base = url}, DV_FETCH_TLS},
                {{.base = other, .ca_file = cert}, DV_FETCH_TLS},
                {{.base = url, .ca_file = "/nonexistent"}, DV_FETCH_TLS},
                {{.base = url, .ca_file = cert}, DV_FETCH_OK},
                {{.base = url, .ca_file = cert}, DV_FETCH_OK},
                {{.base = url}, DV_FETCH_TLS}}; /* the connection that is kept is not for this one */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        got g = {0};
        dv_fetch_request rq = get_request(&g, "/echo");
        dv_fetch_target to = rows[i].to;
        to.bearer = "secret-token";
        run(w, &to, &rq);
        if (g.end != rows[i].end)
            fail_msg("row %zu: %d %s", i, g.end, g.why);
        assert_null(strstr(g.why, "secret-token"));
        got_clear(&g);
    }
    assert_int_equal(w->n_requests, 2);
    assert_string_equal(w->peers[0], w->peers[1]);
    unlink(cert);
    unlink(key);
    dv_client_close(&w->client);
    dv_http_close(&w->http);
    dv_http_tls_close(&tls);
}

static void test_close_with_open(void **state)
{
    world *w = *state;
    got g = {0}, never = {0};
    dv_fetch_request rq = get_request(&g, "/open"), rq2 = get_request(&never, "/echo");
    begin(w, &w->tcp, &rq);
    while (g.body.len == 0)
        turn(w);
    begin(w, &w->local, &rq2);
    dv_client_close(&w->client);
    assert_null(w->client);
    dv_client_close(&w->client);
    assert_int_equal(g.n_ends + never.n_ends, 0);
    got_clear(&g);
}

/* The n-th allocation and all later ones fail, of the server too: the exchange ends in some way, once, and nothing is lost. */
static void test_no_memory(void **state)
{
    world *w = *state;
    unsigned n_ok = 0, n_refused = 0, n_nomem = 0;
    for (uint64_t n = 1; n < 400 && n_ok < 3; n++) {
        got g = {0};
        dv_err err = {0};
        const dv_fetch_field field = {"X-One", "1"};
        dv_fetch_request rq = get_request(&g, "/echo");
        rq.verb = DV_HTTP_POST;
        rq.body = "hello";
        rq.n_body = 5;
        rq.fields = &field;
        rq.n_fields = 1;
        rq.head_ms = 1000;
        dv_mem_fail_after(n);
        int code = dv_fetch_start(w->client, n % 2 != 0 ? &w->tcp : &w->local, &rq, &g.f, &err);
        while (code == 0 && g.n_ends == 0)
            turn(w);
        dv_mem_fail_after(0);
        assert_true(code == 0 || code == DV_ENOMEM);
        assert_int_equal(g.n_ends, code == 0);
        n_refused += code != 0;
        n_nomem += code == 0 && g.end == DV_FETCH_NOMEM;
        n_ok += code == 0 && g.end == DV_FETCH_OK && g.body.len > 0;
        got_clear(&g);
    }
    assert_int_equal(n_ok, 3);
    assert_true(n_refused > 3 && n_nomem > 3);
    got g = {0}; /* and all is well again */
    dv_fetch_request rq = get_request(&g, "/echo");
    run(w, &w->tcp, &rq);
    assert_int_equal(g.end, DV_FETCH_OK);
    got_clear(&g);
}

static void test_open_no_memory(void **state)
{
    world *w = *state;
    dv_client_close(&w->client);
    for (uint64_t n = 1; w->client == NULL; n++) {
        dv_err err = {0};
        dv_mem_fail_after(n);
        int code = dv_client_open(&w->client, w->http, &err);
        dv_mem_fail_after(0);
        assert_true(code == 0 || (code != 0 && w->client == NULL && err.msg[0] != 0));
        if (code != 0)
            assert_int_equal(dv_mem_used(DV_MEM_CLIENT), 0);
        assert_true(n < 200);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_verbs),         TEST(test_empty_bodies),        TEST(test_fields),
        TEST(test_reply_fields),  TEST(test_refused_requests),    TEST(test_no_redirect),
        TEST(test_environment),   TEST(test_keep_alive),          TEST(test_many),
        TEST(test_pause),         TEST(test_pause_at_end),        TEST(test_abort),
        TEST(test_cancel),        TEST(test_cancel_in_callbacks), TEST(test_cancel_others),
        TEST(test_timeouts),      TEST(test_unreachable),         TEST(test_connect_timeout),
        TEST(test_certificates),  TEST(test_close_with_open),     TEST(test_no_memory),
        TEST(test_open_no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
