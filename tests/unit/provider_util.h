/* SPDX-License-Identifier: MIT */
/* A server that plays scripts in a thread of its own, for tests of what asks servers. Nothing here allocates through base/mem. */
#ifndef DV_TESTS_PROVIDER_UTIL_H
#define DV_TESTS_PROVIDER_UTIL_H

#include "base/mem.h"
#include "drover/provider.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

typedef enum fake_then { FAKE_CLOSE, FAKE_RESET, FAKE_HOLD, FAKE_REPEAT } fake_then;

/* What a connection gets once its request is complete. */
typedef struct fake_script {
    const char *bytes;
    fake_then then;
    const char *again; /* FAKE_REPEAT: for ever, until the other side has enough */
} fake_script;

typedef struct fake {
    const fake_script *scripts; /* [n_scripts]; further connections get the last one */
    size_t n_scripts;
    pthread_t thread;
    int listen_fd, stop[2];
    char url[64];
    atomic_uint n_requests;
    char last[1 << 16]; /* the last request; read after a call has returned */
} fake;

/* false: the other side is gone, or the test is over. */
static inline bool fake_wait(const fake *f, int fd, short events)
{
    struct pollfd fds[] = {{.fd = fd, .events = events}, {.fd = f->stop[0], .events = POLLIN}};
    return poll(fds, 2, -1) > 0 && fds[1].revents == 0;
}

static inline bool fake_send(const fake *f, int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t k = fake_wait(f, fd, POLLOUT) ? send(fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT) : -1;
        if (k <= 0)
            return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

static inline bool fake_read(fake *f, int fd)
{
    size_t n = 0, want = 0;
    while (n + 1 < sizeof f->last && (want == 0 || n < want)) {
        ssize_t k = fake_wait(f, fd, POLLIN) ? read(fd, f->last + n, sizeof f->last - 1 - n) : -1;
        if (k <= 0)
            return false;
        n += (size_t)k;
        f->last[n] = 0;
        const char *end = strstr(f->last, "\r\n\r\n"), *length = strcasestr(f->last, "\r\ncontent-length:");
        if (end != NULL)
            want = (size_t)(end + 4 - f->last) + (length != NULL && length < end ? strtoul(length + 17, NULL, 10) : 0);
    }
    return true;
}

static inline void fake_play(fake *f, int fd)
{
    if (!fake_read(f, fd))
        return;
    unsigned i = atomic_fetch_add(&f->n_requests, 1);
    const fake_script *s = &f->scripts[i < f->n_scripts ? i : f->n_scripts - 1];
    bool open = fake_send(f, fd, s->bytes, strlen(s->bytes));
    while (open && s->then == FAKE_REPEAT)
        open = fake_send(f, fd, s->again, strlen(s->again));
    char byte;
    if (open && s->then == FAKE_HOLD && fake_wait(f, fd, POLLIN))
        (void)!read(fd, &byte, 1);
    const struct linger now = {.l_onoff = 1};
    if (s->then == FAKE_RESET)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static inline void *fake_main(void *arg)
{
    fake *f = arg;
    while (fake_wait(f, f->listen_fd, POLLIN)) {
        int fd = accept4(f->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            break;
        fake_play(f, fd);
        close(fd);
    }
    return NULL;
}

static inline void fake_open(fake *f, const fake_script *scripts, size_t n)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    *f = (fake){.scripts = scripts, .n_scripts = n};
    f->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->listen_fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(f->listen_fd, 16), 0);
    assert_int_equal(getsockname(f->listen_fd, (struct sockaddr *)&a, &len), 0);
    assert_int_equal(pipe2(f->stop, O_CLOEXEC), 0);
    snprintf(f->url, sizeof f->url, "http://127.0.0.1:%u", ntohs(a.sin_port));
    assert_int_equal(pthread_create(&f->thread, NULL, fake_main, f), 0);
}

static inline void fake_close(fake *f)
{
    assert_int_equal(write(f->stop[1], "x", 1), 1);
    pthread_join(f->thread, NULL);
    close(f->listen_fd);
    close(f->stop[0]);
    close(f->stop[1]);
}

/* A request of one question, greedy. */
static inline dv_provider_request ask(const dv_provider_message *m)
{
    dv_provider_request rq = dv_provider_request_default();
    rq.messages = m;
    rq.n_messages = 1;
    rq.temperature = 0;
    return rq;
}

#endif
