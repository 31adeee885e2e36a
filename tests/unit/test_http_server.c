/* SPDX-License-Identifier: MIT */
/* A server with its I/O thread, workers that reply from other threads, and clients that come, stream, and leave whenever they
 * like. */
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "http/server.h"

#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { N_WORKERS = 2, N_CLIENTS = 3, N_ROUNDS = 60 };

/* Requests on their way to the workers. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t filled = PTHREAD_COND_INITIALIZER;
static dv_http_req *queue[64];
static unsigned n_queue;
static bool stopping;
static atomic_uint n_ok, n_heads, n_ends;

static void on_head(void *arg, dv_http_req *r) { atomic_fetch_add(&n_heads, 1); }
static void on_end(void *arg, dv_http_req *r) { atomic_fetch_add(&n_ends, 1); }

static void on_request(void *arg, dv_http_req *r)
{
    pthread_mutex_lock(&mutex);
    if (n_queue < sizeof queue / sizeof queue[0]) {
        queue[n_queue++] = dv_http_ref(r);
        pthread_cond_signal(&filled);
    }
    pthread_mutex_unlock(&mutex);
}

static dv_http_req *next(void)
{
    pthread_mutex_lock(&mutex);
    while (n_queue == 0 && !stopping)
        pthread_cond_wait(&filled, &mutex);
    dv_http_req *r = n_queue > 0 ? queue[--n_queue] : NULL;
    pthread_mutex_unlock(&mutex);
    return r;
}

/* Replies of every kind, without ever looking whether somebody listens. */
static void *worker(void *arg)
{
    dv_http_req *r;
    while ((r = next()) != NULL) {
        size_t len;
        const char *body = dv_http_body(r, &len);
        dv_http_add_header(r, "X-Worker", "yes");
        if (strcmp(dv_http_path(r), "/stream") == 0) {
            dv_http_stream_begin(r, 200, "text/plain");
            for (int i = 0; i < 50; i++)
                dv_http_stream_write(r, "0123456789", 10);
            (void)dv_http_stream_pending(r);
            dv_http_stream_end(r);
        } else if (strcmp(dv_http_path(r), "/abort") == 0) {
            dv_http_stream_begin(r, 200, "text/plain");
            dv_http_abort(r);
        } else {
            dv_http_reply(r, 200, "text/plain", body, len);
        }
        dv_http_drop_body(r);
        dv_http_unref(r);
    }
    return NULL;
}

static int connect_to(uint16_t port)
{
    const struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&sa, sizeof sa) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool send_all(int fd, const char *text)
{
    size_t n = strlen(text);
    while (n > 0) {
        ssize_t k = send(fd, text, n, MSG_NOSIGNAL);
        if (k <= 0)
            return false;
        text += k;
        n -= (size_t)k;
    }
    return true;
}

/* Read up to this text, which ends a reply. */
static bool read_to(int fd, const char *end)
{
    static _Thread_local char buf[8192];
    size_t n = 0, len = strlen(end);
    while (n < sizeof buf - 1) {
        ssize_t k = recv(fd, buf + n, sizeof buf - 1 - n, 0);
        if (k <= 0)
            return false;
        n += (size_t)k;
        if (n >= len && memcmp(buf + n - len, end, len) == 0)
            return true;
    }
    return false;
}

static void *client(void *arg)
{
    uint16_t port = *(const uint16_t *)arg;
    dv_rng rng;
    dv_rng_seed(&rng, port);
    for (int i = 0; i < N_ROUNDS; i++) {
        int fd = connect_to(port);
        if (fd < 0)
            continue;
        bool ok = send_all(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello") &&
                  read_to(fd, "\r\n\r\nhello");
        ok = ok && send_all(fd, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n") && read_to(fd, "\r\n0\r\n\r\n");
        atomic_fetch_add(&n_ok, ok);
        static const char *const last[] = {"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n",
                                           "GET /abort HTTP/1.1\r\nHost: a\r\n\r\n",
                                           "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHo"};
        send_all(fd, last[dv_rng_below(&rng, 4)]); /* and leave without reading */
        close(fd);
    }
    return NULL;
}

static const dv_http_where any_port = {.host = "127.0.0.1"};

static void *io(void *arg)
{
    dv_http_server *s = arg;
    return dv_http_run(s) == 0 ? s : NULL;
}

static dv_http_options options(void)
{
    dv_http_options o;
    dv_http_options_init(&o);
    o.on_head = on_head;
    o.on_request = on_request;
    o.on_end = on_end;
    return o;
}

static void test_threads(void **state)
{
    dv_http_options o = options();
    dv_http_server *s = NULL;
    dv_err err = {0};
    uint16_t port = 0;
    pthread_t io_thread, workers[N_WORKERS], clients[N_CLIENTS];
    void *ran = NULL;
    size_t used = dv_mem_used(DV_MEM_CAT_N);
    assert_int_equal(dv_http_open(&s, &o, &err), 0);
    assert_int_equal(dv_http_listen(s, &any_port, &port, &err), 0);
    assert_int_not_equal(port, 0);
    assert_int_equal(pthread_create(&io_thread, NULL, io, s), 0);
    for (int i = 0; i < N_WORKERS; i++)
        assert_int_equal(pthread_create(&workers[i], NULL, worker, NULL), 0);
    for (int i = 0; i < N_CLIENTS; i++)
        assert_int_equal(pthread_create(&clients[i], NULL, client, &port), 0);
    for (int i = 0; i < N_CLIENTS; i++)
        pthread_join(clients[i], NULL);
    assert_false(dv_http_draining(s));
    dv_http_stop(s);
    assert_true(dv_http_draining(s));
    pthread_join(io_thread, &ran);
    assert_ptr_equal(ran, s);
    assert_int_equal(dv_http_connections(s), 0);
    dv_http_close(&s); /* workers may still hold requests */
    assert_null(s);
    pthread_mutex_lock(&mutex);
    stopping = true;
    pthread_cond_broadcast(&filled);
    pthread_mutex_unlock(&mutex);
    for (int i = 0; i < N_WORKERS; i++)
        pthread_join(workers[i], NULL);
    assert_int_equal(atomic_load(&n_ok), N_CLIENTS * N_ROUNDS);
    assert_int_equal(atomic_load(&n_heads), atomic_load(&n_ends));
    assert_int_equal(dv_mem_used(DV_MEM_CAT_N), used);
}

/* Tasks that count, and post the next one from the loop, and from the end of the server. */
typedef struct chain {
    dv_http_task task; /* first: fn gets the chain */
    dv_http_server *server;
    unsigned *order;
    unsigned id, again;
} chain;

static void run_chain(dv_http_task *t)
{
    chain *c = (chain *)t;
    *c->order = *c->order * 10 + c->id;
    if (c->again-- > 1)
        dv_http_post(c->server, t);
    else if (c->id == 3)
        dv_http_stop(c->server);
}

static void *post_from_thread(void *arg)
{
    chain *c = arg;
    for (unsigned i = 0; i < 3; i++)
        dv_http_post(c->server, &c[i].task);
    return NULL;
}

static void test_post(void **state)
{
    dv_http_options o = options();
    dv_http_server *s = NULL;
    pthread_t t;
    unsigned order = 0;
    assert_int_equal(dv_http_open(&s, &o, NULL), 0);
    assert_non_null(dv_http_base(s));
    chain c[] = {{{.fn = run_chain}, s, &order, 1, 1},
                 {{.fn = run_chain}, s, &order, 2, 2},
                 {{.fn = run_chain}, s, &order, 3, 2}};
    assert_int_equal(pthread_create(&t, NULL, post_from_thread, c), 0);
    assert_int_equal(dv_http_run(s), 0);
    pthread_join(t, NULL);
    /* What 2 posts from inside comes after itself; where between, depends on when the other thread came. */
    unsigned n[4] = {0};
    for (unsigned rest = order; rest > 0; rest /= 10)
        n[rest % 10]++;
    assert_true(n[1] == 1 && n[2] == 2 && n[3] == 2);
    /* After the loop: by the close, also what a task posts then. */
    order = 0;
    for (unsigned i = 0; i < 3; i++) {
        c[i].again = i + 1;
        dv_http_post(s, &c[i].task);
    }
    assert_int_equal(order, 0);
    dv_http_close(&s);
    assert_int_equal(order, 123233);
}

static void tick(void *arg)
{
    unsigned *n = arg;
    if (++*n == 3)
        raise(SIGUSR1);
}

static void on_usr1(void *arg, int signo) { dv_http_drain(arg, 1000); }

static void test_timer_and_signal(void **state)
{
    dv_http_options o = options();
    dv_http_server *s = NULL;
    unsigned n = 0;
    assert_int_equal(dv_http_open(&s, &o, NULL), 0);
    assert_int_equal(dv_http_timer(s, 1, tick, &n), 0);
    assert_int_equal(dv_http_on_signal(s, SIGUSR1, on_usr1, s), 0);
    assert_int_equal(dv_http_run(s), 0);
    assert_true(n >= 3);
    dv_http_close(&s);
    dv_http_close(&s);
}

/* A stop before the loop runs is not lost. */
static void test_stop_first(void **state)
{
    dv_http_options o = options();
    dv_http_server *s = NULL;
    assert_int_equal(dv_http_open(&s, &o, NULL), 0);
    dv_http_stop(s);
    assert_int_equal(dv_http_run(s), 0);
    dv_http_close(&s);
}

static void test_options(void **state)
{
    const dv_http_options good = options();
    dv_http_server *s = NULL;
    for (int i = 0; i < 8; i++) {
        dv_http_options o = good;
        dv_err err = {0};
        switch (i) {
        case 0: o.max_head = 10; break;
        case 1: o.max_fields = 1000; break;
        case 2: o.max_uri = o.max_head + 1; break;
        case 3: o.max_body = 0; break;
        case 4: o.max_bodies = o.max_body - 1; break;
        case 5: o.head_timeout_ms = 0; break;
        case 6: o.server_name = "a\r\nb"; break;
        default: o.on_request = NULL;
        }
        assert_int_equal(dv_http_open(&s, &o, &err), DV_EINVAL);
        assert_null(s);
        assert_true(err.msg[0] != 0);
    }
}

static void test_listen_errors(void **state)
{
    dv_http_options o = options();
    dv_http_server *s = NULL;
    uint16_t port = 0;
    char path[200];
    assert_int_equal(dv_http_open(&s, &o, NULL), 0);
    dv_err err = {0};
    assert_int_equal(dv_http_listen(s, &(dv_http_where){.host = "not a host"}, NULL, &err), DV_EINVAL);
    err = (dv_err){0};
    assert_int_equal(dv_http_listen(s, &any_port, &port, &err), 0);
    assert_int_equal(dv_http_listen(s, &(dv_http_where){.host = "127.0.0.1", .port = port}, NULL, &err), DV_EBUSY);
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = 0;
    const struct {
        const char *path;
        int code;
    } rows[] = {{path, DV_EINVAL},
                {"", DV_EINVAL},
                {"/nonexistent-folder/s", DV_EIO},
                {"/dev/null", DV_EINVAL},
                {NULL, DV_EINVAL}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(dv_http_listen(s, &(dv_http_where){.path = rows[i].path, .mode = 0600}, NULL, NULL),
                         rows[i].code);
    assert_int_equal(dv_http_listen(s, &(dv_http_where){.host = "127.0.0.1", .path = "/tmp/both"}, NULL, NULL),
                     DV_EINVAL);
    dv_http_close(&s);
}

static void test_no_memory(void **state)
{
    dv_http_options o = options();
    for (uint64_t i = 1; i < 20; i++) {
        dv_http_server *s = NULL;
        size_t used = dv_mem_used(DV_MEM_CAT_N);
        dv_mem_fail_after(i);
        int code = dv_http_open(&s, &o, NULL);
        if (code == 0)
            code = dv_http_listen(s, &any_port, NULL, NULL);
        dv_mem_fail_after(0);
        assert_true(code == 0 || code == DV_ENOMEM);
        dv_http_close(&s);
        assert_int_equal(dv_mem_used(DV_MEM_CAT_N), used);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),    cmocka_unit_test(test_timer_and_signal),
        cmocka_unit_test(test_stop_first), cmocka_unit_test(test_options),
        cmocka_unit_test(test_post),       cmocka_unit_test(test_listen_errors),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
