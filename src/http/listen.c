/* SPDX-License-Identifier: MIT */
#include "http/listen.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "http/bev.h"

#include <errno.h>
#include <event2/listener.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 512, PAUSE_MS = 100, SAY_EVERY_NS = 1000000000 };

struct dv__listener {
    dv__listeners *all;
    dv__listener *next;
    struct evconnlistener *ev;
    struct event *again; /* takes up accepting after the system had no descriptor left */
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    dev_t dev; /* which file path was when it was made */
    ino_t ino;
    int tag;
    dv_http_tls *tls; /* NULL: plain */
};

/* One line in a second: who comes in great numbers shall not fill the log, too. */
static void say_full(dv__core *k, const dv__peer *peer, const char *why)
{
    uint64_t now = dv_clock_ns();
    if (k->full_said != 0 && now - k->full_said < SAY_EVERY_NS) {
        k->full_unsaid++;
        return;
    }
    dv__core_log(k, DV_HTTP_LOG_WARN, "%s: %s (%u others were turned away before)", peer->text, why, k->full_unsaid);
    k->full_said = now;
    k->full_unsaid = 0;
}

/* Too many connections: say so as well as it goes without one, which with TLS is not at all. */
static void turn_away(dv__core *k, evutil_socket_t fd, const dv__peer *peer, const char *why)
{
    static const char text[] =
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    ssize_t n = peer->tls ? 0 : send(fd, text, sizeof text - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)n;
    shutdown(fd, SHUT_WR);
    evutil_closesocket(fd);
    say_full(k, peer, why);
}

static void on_accept(struct evconnlistener *ev, evutil_socket_t fd, struct sockaddr *sa, int len, void *arg)
{
    const dv__listener *l = arg;
    dv__core *k = l->all->core;
    dv__peer peer = {.is_unix = l->path[0] != 0, .tls = l->tls != NULL, .tag = l->tag};
    dv__peer_set(&peer, sa, (socklen_t)len);
    if (!dv__core_admit_peer(k, &peer)) {
        turn_away(k, fd, &peer, "too many connections of this address");
    } else if (atomic_load_explicit(&k->n_conns, memory_order_relaxed) >= k->o.max_connections && !dv__core_evict(k)) {
        turn_away(k, fd, &peer, "too many connections");
    } else if (dv__bev_open(k, l->all->base, fd, &peer, l->tls) != 0) {
        dv__core_log(k, DV_HTTP_LOG_ERROR, "%s: out of memory", peer.text);
    }
}

/* Out of descriptors or memory: accept would fail again at once, for ever. */
static void on_accept_error(struct evconnlistener *ev, void *arg)
{
    const dv__listener *l = arg;
    const struct timeval pause = {.tv_usec = PAUSE_MS * 1000};
    dv__core_log(l->all->core, DV_HTTP_LOG_ERROR, "accept: %s", strerror(errno));
    dv__core_evict(l->all->core);
    evconnlistener_disable(ev);
    event_add(l->again, &pause);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    const dv__listener *l = arg;
    evconnlistener_enable(l->ev);
}

static void listener_free(dv__listener *l)
{
    struct stat st;
    if (l->path[0] != 0 && lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
        unlink(l->path);
    if (l->ev != NULL)
        evconnlistener_free(l->ev);
    if (l->again != NULL)
        event_free(l->again);
    dv_free(l);
}

/* Accept on fd, which is taken also on failure. */
static int add(dv__listeners *all, evutil_socket_t fd, const dv_http_where *w, dv_err *err)
{
    dv__listener *l = dv_calloc(DV_MEM_HTTP, 1, sizeof *l);
    if (l != NULL) {
        l->all = all;
        l->tag = w->tag;
        l->tls = w->tls;
        l->ev = evconnlistener_new(all->base, on_accept, l, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
        l->again = event_new(all->base, -1, 0, on_again, l);
    }
    if (l == NULL || l->ev == NULL)
        close(fd);
    if (l == NULL || l->ev == NULL || l->again == NULL) {
        if (l != NULL)
            listener_free(l);
        return dv_fail(err, DV_ENOMEM, "listen: %s", dv_error_text(DV_ENOMEM));
    }
    struct stat st;
    if (w->path != NULL && lstat(w->path, &st) == 0) {
        snprintf(l->path, sizeof l->path, "%s", w->path);
        l->dev = st.st_dev;
        l->ino = st.st_ino;
    }
    evconnlistener_set_error_cb(l->ev, on_accept_error);
    l->next = all->list;
    all->list = l;
    return 0;
}

static int sys_fail(dv_err *err, const char *what)
{
    int e = errno;
    int code = e == EACCES || e == EPERM ? DV_EACCES : e == EADDRINUSE ? DV_EBUSY : e == ENOMEM ? DV_ENOMEM : DV_EIO;
    return dv_fail(err, code, "listen on %s: %s", what, strerror(e));
}

static int listen_address(dv__listeners *all, const struct addrinfo *ai, const dv_http_where *w, uint16_t *port,
                          dv_err *err)
{
    const int on = 1;
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof sa;
    char what[128];
    snprintf(what, sizeof what, "%s port %u", w->host, *port);
    memcpy(&sa, ai->ai_addr, ai->ai_addrlen);
    if (sa.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&sa)->sin6_port = htons(*port);
    else
        ((struct sockaddr_in *)&sa)->sin_port = htons(*port);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return sys_fail(err, what);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (sa.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&sa, ai->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&sa, &len) != 0) {
        int code = sys_fail(err, what);
        close(fd);
        return code;
    }
    *port = ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&sa)->sin6_port
                                           : ((struct sockaddr_in *)&sa)->sin_port);
    return add(all, fd, w, err);
}

static int listen_tcp(dv__listeners *all, const dv_http_where *w, uint16_t *bound, dv_err *err)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    uint16_t port = w->port;
    int rc = getaddrinfo(w->host, NULL, &hints, &list);
    if (rc != 0)
        return dv_fail(err, DV_EINVAL, "listen on \"%s\": %s", w->host, gai_strerror(rc));
    int code = 0, n = 0;
    dv_err first = {0};
    /* A name such as localhost may have an address of a family that this machine does not have: one that works is enough. */
    for (const struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next) {
        if (ai->ai_family != AF_INET && ai->ai_family != AF_INET6)
            continue;
        code = listen_address(all, ai, w, &port, &first);
        if (code == DV_EBUSY || code == DV_ENOMEM)
            break;
        n += code == 0;
    }
    freeaddrinfo(list);
    if (code == DV_EBUSY || code == DV_ENOMEM || n == 0)
        return dv_fail(err, first.code != 0 ? first.code : DV_EINVAL, "%s", first.code != 0 ? first.msg : "no address");
    if (bound != NULL)
        *bound = port;
    return 0;
}

/* Make way for a new socket file at sa's path. */
static int clear_path(const struct sockaddr_un *sa, dv_err *err)
{
    struct stat st;
    if (lstat(sa->sun_path, &st) != 0)
        return errno == ENOENT ? 0 : sys_fail(err, sa->sun_path);
    if (!S_ISSOCK(st.st_mode))
        return dv_fail(err, DV_EINVAL, "listen on %s: there is a file that is not a socket", sa->sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return sys_fail(err, sa->sun_path);
    bool dead = connect(fd, (const struct sockaddr *)sa, sizeof *sa) != 0 && errno == ECONNREFUSED;
    close(fd);
    if (!dead)
        return dv_fail(err, DV_EBUSY, "listen on %s: somebody answers there already", sa->sun_path);
    return unlink(sa->sun_path) == 0 || errno == ENOENT ? 0 : sys_fail(err, sa->sun_path);
}

static int listen_unix(dv__listeners *all, const dv_http_where *w, dv_err *err)
{
    const char *path = w->path;
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof sa.sun_path)
        return dv_fail(err, DV_EINVAL, "listen on %s: the path must have 1 to %zu bytes", path, sizeof sa.sun_path - 1);
    memcpy(sa.sun_path, path, len);
    int code = clear_path(&sa, err);
    if (code != 0)
        return code;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return sys_fail(err, path);
    /* Linux gives the file the descriptor's mode, less the umask, so it is never open to more. */
    fchmod(fd, w->mode & 0777);
    if (bind(fd, (struct sockaddr *)&sa, sizeof sa) != 0) {
        code = sys_fail(err, path);
        close(fd);
        return code;
    }
    if (chmod(path, w->mode & 0777) != 0 || listen(fd, BACKLOG) != 0) {
        code = sys_fail(err, path);
        unlink(path);
        close(fd);
        return code;
    }
    code = add(all, fd, w, err);
    if (code != 0)
        unlink(path);
    return code;
}

int dv__listen(dv__listeners *all, const dv_http_where *w, uint16_t *bound, dv_err *err)
{
    if ((w->host == NULL) == (w->path == NULL))
        return dv_fail(err, DV_EINVAL, "listen: either a host or a path");
    if (w->path != NULL && w->tls != NULL)
        return dv_fail(err, DV_EINVAL, "listen on %s: there is no TLS on a unix socket", w->path);
    return w->path != NULL ? listen_unix(all, w, err) : listen_tcp(all, w, bound, err);
}

void dv__listen_stop(dv__listeners *all)
{
    while (all->list != NULL) {
        dv__listener *l = all->list;
        all->list = l->next;
        listener_free(l);
    }
}
