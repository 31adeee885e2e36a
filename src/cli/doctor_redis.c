/* SPDX-License-Identifier: MIT */
/* Whether Redis is there and takes the password: one PING, by hand. */
#include "base/err.h"
#include "cli/doctor.h"

#include <curl/curl.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct redis {
    char host[256], port[8], user[256], password[1024], path[108];
} redis;

static void take_part(CURLU *u, CURLUPart part, unsigned flags, char *out, size_t cap)
{
    char *text = NULL;
    if (curl_url_get(u, part, &text, flags) == CURLUE_OK)
        snprintf(out, cap, "%s", text);
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    curl_free(text);
}

static bool read_redis(redis *r, const char *url)
{
    *r = (redis){.port = "6379"};
    if (strncmp(url, "unix://", 7) == 0) {
        snprintf(r->path, sizeof r->path, "%s", url + 7);
        return true;
    }
    CURLU *u = curl_url();
    bool ok = u != NULL && curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK;
    if (ok) {
        take_part(u, CURLUPART_HOST, 0, r->host, sizeof r->host);
        take_part(u, CURLUPART_PORT, 0, r->port, sizeof r->port);
        take_part(u, CURLUPART_USER, CURLU_URLDECODE, r->user, sizeof r->user);
        take_part(u, CURLUPART_PASSWORD, CURLU_URLDECODE, r->password, sizeof r->password);
    }
    curl_url_cleanup(u);
    size_t n = strlen(r->host);
    if (n > 2 && r->host[0] == '[') { /* an IPv6 address */
        memmove(r->host, r->host + 1, n - 2);
        r->host[n - 2] = 0;
    }
    return ok && r->host[0] != 0;
}

static int connect_in_time(const struct sockaddr *sa, socklen_t len, int timeout_ms)
{
    int e = 0, fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t size = sizeof e;
    if (fd < 0)
        return -1;
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    if (connect(fd, sa, len) == 0 || (errno == EINPROGRESS && poll(&p, 1, timeout_ms) == 1 &&
                                      getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &size) == 0 && e == 0))
        return fd;
    e = e != 0 ? e : errno == EINPROGRESS ? ETIMEDOUT : errno;
    close(fd);
    errno = e;
    return -1;
}

static int connect_redis(const redis *r, int timeout_ms, dv_err *err)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = -1, rc = 0;
    if (r->path[0] != 0) {
        memcpy(sa.sun_path, r->path, sizeof sa.sun_path);
        sa.sun_path[sizeof sa.sun_path - 1] = 0;
        fd = connect_in_time((const struct sockaddr *)&sa, sizeof sa, timeout_ms);
    } else if ((rc = getaddrinfo(r->host, r->port, &hints, &list)) != 0) {
        return dv_fail(err, DV_EIO, "%s: %s", r->host, gai_strerror(rc));
    }
    for (const struct addrinfo *ai = list; ai != NULL && fd < 0; ai = ai->ai_next)
        fd = connect_in_time(ai->ai_addr, ai->ai_addrlen, timeout_ms);
    int e = errno;
    if (list != NULL)
        freeaddrinfo(list);
    return fd >= 0 ? fd : dv_fail(err, DV_EIO, "%s", strerror(e));
}

static void put_word(dv_buf *b, const char *word) { dv_buf_printf(b, "$%zu\r\n%s\r\n", strlen(word), word); }

/* AUTH if there is a password, and PING. */
static void put_commands(dv_buf *b, const redis *r)
{
    if (r->password[0] != 0) {
        dv_buf_printf(b, "*%d\r\n", r->user[0] != 0 ? 3 : 2);
        put_word(b, "AUTH");
        if (r->user[0] != 0)
            put_word(b, r->user);
        put_word(b, r->password);
    }
    dv_buf_adds(b, "*1\r\n");
    put_word(b, "PING");
}

/* The lines that come, up to the answer to PING or an error. */
static int hear_pong(int fd, int timeout_ms, dv_err *err)
{
    char text[512];
    size_t n = 0;
    for (char *end; n < sizeof text - 1;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t got = poll(&p, 1, timeout_ms) == 1 ? read(fd, text + n, sizeof text - 1 - n) : -1;
        if (got <= 0)
            return dv_fail(err, DV_EIO, "it does not answer");
        n += (size_t)got;
        text[n] = 0;
        while ((end = strstr(text, "\r\n")) != NULL) {
            *end = 0;
            if (strcmp(text, "+PONG") == 0)
                return 0;
            if (text[0] != '+')
                return dv_fail(err, DV_EAUTH, text[0] == '-' ? "it says: %s" : "it is no Redis: %s",
                               text + (text[0] == '-'));
            n -= (size_t)(end + 2 - text);
            memmove(text, end + 2, n + 1);
        }
    }
    return dv_fail(err, DV_EFORMAT, "it is no Redis");
}

static int ask_redis(const redis *r, int timeout_ms, dv_err *err)
{
    dv_buf b;
    int fd = connect_redis(r, timeout_ms, err);
    if (fd < 0)
        return fd;
    dv_buf_init(&b, 0);
    put_commands(&b, r);
    bool sent = b.code == 0 && send(fd, b.data, b.len, MSG_NOSIGNAL) == (ssize_t)b.len;
    if (b.data != NULL)
        explicit_bzero(b.data, b.cap);
    dv_buf_fini(&b);
    int rc = sent ? hear_pong(fd, timeout_ms, err) : dv_fail(err, DV_EIO, "it does not take what is sent");
    close(fd);
    return rc;
}

void dv__doctor_redis(dv__doctor *d)
{
    redis r;
    dv_err err = {0};
    const dv_conf *c = d->conf;
    if (c->redis.url == NULL)
        return;
    int rc = read_redis(&r, c->redis.url) ? ask_redis(&r, (int)c->redis.timeout_ms, &err)
                                          : dv_fail(&err, DV_EINVAL, "its URL cannot be read");
    const char *at = r.path[0] != 0 ? r.path : r.host;
    if (rc == 0) {
        dv__doctor_say(d, DV__FINDING_OK, "Redis: %s answers", at);
    } else {
        bool refuse = c->redis.on_failure == DV_CONF_REDIS_REFUSE;
        dv__doctor_say(d, refuse ? DV__FINDING_PROBLEM : DV__FINDING_WARNING, "Redis: %s: %s", at, err.msg);
        dv__doctor_advise(d, "start it, or correct redis.url (with its password); %s",
                          refuse ? "until then every request is refused (redis.on_failure)"
                                 : "until then each node counts its limits for itself");
    }
    explicit_bzero(&r, sizeof r);
}
