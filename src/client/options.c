/* SPDX-License-Identifier: MIT */
/* What libcurl is told for an exchange, and what it hands over while it works. */
#include "base/attr.h"
#include "base/clock.h"
#include "client/fetch.h"
#include "client/public.h"

#include <netinet/in.h>
#include <sys/socket.h>

enum { CONNECT_MS = 10 * 1000, MAX_IDLE_S = 55, KEEPALIVE_IDLE_S = 60, KEEPALIVE_EVERY_S = 10, MAX_IN = 64 << 10 };

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *sa)
{
    dv_fetch *f = arg;
    if (f->public_only && !dv__addr_is_public(&sa->addr, sa->addrlen)) {
        f->refused = true;
        return CURL_SOCKET_BAD;
    }
    /* Processes that are started meanwhile must not keep it open. */
    return socket(sa->family, sa->socktype | SOCK_CLOEXEC, sa->protocol);
}

static size_t on_line(char *p, size_t size, size_t n, void *arg)
{
    dv_fetch *f = arg;
    if (dv__reply_head_line(&f->head, p, n, &f->why) != 0)
        return 0;
    if (f->head.complete && !f->head_told)
        dv__fetch_ready(f);
    return n;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    dv_fetch *f = arg;
    if (f->in.len > 0 && f->in.len + n > MAX_IN) {
        f->held = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    if (dv_buf_add(&f->in, p, n) != 0) {
        f->lost = true;
        return 0;
    }
    f->since_ns = dv_clock_ns();
    dv__fetch_ready(f);
    return n;
}

static unsigned set_method(dv_fetch *f)
{
    CURL *e = f->easy;
    unsigned bad = 0;
    if (f->rq.verb == DV_HTTP_HEAD)
        return curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
    if (f->rq.verb == DV_HTTP_GET)
        return curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
    if (f->rq.verb != DV_HTTP_DELETE || f->rq.n_body > 0) {
        bad |= curl_easy_setopt(e, CURLOPT_POST, 1L);
        bad |= curl_easy_setopt(e, CURLOPT_POSTFIELDS, f->rq.n_body > 0 ? f->rq.body : "");
        bad |= curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)f->rq.n_body);
    }
    if (f->rq.verb != DV_HTTP_POST)
        bad |= curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, f->out.method);
    return bad;
}

/* Nothing but HTTP/1.1 to where it was sent: no other protocols, proxies, redirects, or anything from files and the environment. */
static unsigned set_policy(dv_fetch *f)
{
    CURL *e = f->easy;
    unsigned bad = 0;
    bad |= curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    bad |= curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    bad |= curl_easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L);
    bad |= curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    bad |= curl_easy_setopt(e, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    bad |= curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
    bad |= curl_easy_setopt(e, CURLOPT_PROXY, "");
    bad |= curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    bad |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
    bad |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
    bad |= curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (f->out.ca_file != NULL) {
        bad |= curl_easy_setopt(e, CURLOPT_CAINFO, f->out.ca_file);
        bad |= curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
    }
    bad |= curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    bad |= curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, f);
    bad |= curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, dv__loop_close_socket);
    bad |= curl_easy_setopt(e, CURLOPT_CLOSESOCKETDATA, f->loop);
    return bad;
}

static unsigned set_connection(dv_fetch *f)
{
    CURL *e = f->easy;
    unsigned bad = 0;
    bad |= curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    bad |= curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L); /* a cancel does not wait for a slow DNS server */
    bad |= curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS,
                            f->rq.connect_ms > 0 ? (long)f->rq.connect_ms : (long)CONNECT_MS);
    bad |= curl_easy_setopt(e, CURLOPT_TCP_NODELAY, 1L);
    bad |= curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    bad |= curl_easy_setopt(e, CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_IDLE_S);
    bad |= curl_easy_setopt(e, CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_EVERY_S);
    /* Shorter than what servers grant an idle connection (75 s ours): the two rarely meet in the middle. */
    bad |= curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, (long)MAX_IDLE_S);
    if (f->out.socket != NULL)
        bad |= curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, f->out.socket);
    return bad;
}

bool dv__fetch_options(dv_fetch *f)
{
    CURL *e = f->easy;
    unsigned bad = set_policy(f) | set_connection(f) | set_method(f);
    bad |= curl_easy_setopt(e, CURLOPT_URL, f->out.url);
    bad |= curl_easy_setopt(e, CURLOPT_HTTPHEADER, f->out.lines);
    bad |= curl_easy_setopt(e, CURLOPT_PRIVATE, f);
    bad |= curl_easy_setopt(e, CURLOPT_ERRORBUFFER, f->curl_says);
    bad |= curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_line);
    bad |= curl_easy_setopt(e, CURLOPT_HEADERDATA, f);
    bad |= curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    bad |= curl_easy_setopt(e, CURLOPT_WRITEDATA, f);
    return bad == 0;
}
