/* SPDX-License-Identifier: MIT */
#include "provider/transfer.h"

#include "base/attr.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "provider/answer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HEAD_MAX = 128 << 10, PROBLEM_MAX = 64 << 10, POLL_MS = 1000, GRACE_MS = 200, RETRY_MAX_S = 86400 };

/* ---- the wire ---- */

/* For the whole process and never undone: others may use libcurl, too. */
static CURLcode global_result;
static void global_init(void) { global_result = curl_global_init(CURL_GLOBAL_DEFAULT); }

int dv__wire_init(dv__wire *w, dv_err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, global_init);
    if (global_result != CURLE_OK)
        return dv_fail(err, DV_EIO, "libcurl: %s", curl_easy_strerror(global_result));
    w->multi = curl_multi_init();
    if (w->multi == NULL)
        return dv_fail(err, DV_ENOMEM, "libcurl: %s", dv_error_text(DV_ENOMEM));
    pthread_mutex_init(&w->lock, NULL);
    return 0;
}

void dv__wire_fini(dv__wire *w)
{
    if (w->multi == NULL)
        return;
    curl_multi_cleanup(w->multi);
    pthread_mutex_destroy(&w->lock);
    w->multi = NULL;
}

int dv__wire_begin(dv__wire *w, dv_err *err)
{
    pthread_mutex_lock(&w->lock);
    bool busy = w->busy;
    if (!busy) {
        w->busy = true;
        w->cancel = false;
    }
    pthread_mutex_unlock(&w->lock);
    return busy ? dv_fail(err, DV_EBUSY, "this provider is in another call") : 0;
}

void dv__wire_end(dv__wire *w)
{
    pthread_mutex_lock(&w->lock);
    w->busy = false;
    pthread_mutex_unlock(&w->lock);
}

void dv__wire_cancel(dv__wire *w)
{
    pthread_mutex_lock(&w->lock);
    if (w->busy) {
        w->cancel = true;
        curl_multi_wakeup(w->multi);
    }
    pthread_mutex_unlock(&w->lock);
}

bool dv__wire_canceled(dv__wire *w)
{
    pthread_mutex_lock(&w->lock);
    bool cancel = w->cancel;
    pthread_mutex_unlock(&w->lock);
    return cancel;
}

void dv__wire_sleep(dv__wire *w, unsigned ms)
{
    if (!dv__wire_canceled(w))
        curl_multi_poll(w->multi, NULL, 0, (int)ms, NULL);
}

/* ---- one exchange ---- */

typedef struct run {
    dv__wire *w;
    dv__transfer *t;
    dv_err *err;
    CURL *easy;
    struct curl_slist *fields;
    dv_buf problem; /* body of a reply that is an error */
    size_t head;    /* bytes of heads */
    uint64_t start_ns, since_ns;
    uint64_t enough_ns; /* when it was; 0: not yet */
    int code;           /* what on_data returned, or a limit */
    char says[CURL_ERROR_SIZE];
} run;

static bool is_field(const char *p, size_t n, const char *name, const char **value)
{
    size_t k = strlen(name);
    if (n <= k || p[n - 1] != '\n' || strncasecmp(p, name, k) != 0 || p[k] != ':')
        return false;
    *value = p + k + 1 + strspn(p + k + 1, " \t"); /* the line feed ends whatever is read of it */
    return true;
}

static size_t on_line(char *p, size_t size, size_t n, void *arg)
{
    run *r = arg;
    const char *value;
    r->since_ns = dv_clock_ns();
    r->head += n;
    if (r->head > HEAD_MAX) {
        r->code = dv_fail(r->err, DV_ELIMIT, "the head of the server's reply is longer than %d bytes", HEAD_MAX);
        return 0;
    }
    if (n >= 5 && memcmp(p, "HTTP/", 5) == 0) { /* forgets an interim reply */
        r->t->events = false;
        r->t->retry_after_s = 0;
    } else if (is_field(p, n, "content-type", &value)) {
        r->t->events = strncasecmp(value, "text/event-stream", 17) == 0;
    } else if (is_field(p, n, "retry-after", &value)) {
        unsigned long s = strtoul(value, NULL, 10); /* a date counts as nothing */
        r->t->retry_after_s = (unsigned)DV_MIN(s, (unsigned long)RETRY_MAX_S);
    }
    return n;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    run *r = arg;
    long status = 0;
    bool enough = r->enough_ns != 0;
    curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || status > 299) {
        if (r->problem.len + n <= PROBLEM_MAX)
            dv_buf_add(&r->problem, p, n);
        r->since_ns = dv_clock_ns();
        return n;
    }
    r->code = enough ? 0 : r->t->on_data(r->t->arg, r->t, p, n, &enough);
    r->since_ns = dv_clock_ns(); /* the time that a callback takes is not the server's */
    if (enough && r->enough_ns == 0)
        r->enough_ns = r->since_ns;
    return r->code == 0 ? n : 0;
}

static bool add_field(run *r, const char *name, const char *value)
{
    dv_buf line;
    dv_buf_init(&line, 0);
    dv_buf_printf(&line, "%s%s", name, value);
    struct curl_slist *list = line.code == 0 ? curl_slist_append(r->fields, line.data) : NULL;
    if (list != NULL)
        r->fields = list;
    if (line.data != NULL)
        explicit_bzero(line.data, line.cap); /* the key */
    dv_buf_fini(&line);
    return list != NULL;
}

static bool add_fields(run *r)
{
    const dv__transfer *t = r->t;
    return add_field(r, "Expect:", "") && add_field(r, "Accept: ", "application/json, text/event-stream") &&
           (t->body == NULL || add_field(r, "Content-Type: ", "application/json")) &&
           (t->profile == NULL || add_field(r, "X-Drover-Profile: ", t->profile)) &&
           (r->w->key == NULL || add_field(r, "Authorization: Bearer ", r->w->key));
}

/* Nothing but HTTP/1.1 to where it is told: no other protocols, proxies, redirects, or anything from files and the environment. */
static unsigned set_policy(run *r)
{
    CURL *e = r->easy;
    unsigned bad = 0;
    bad |= curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    bad |= curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    bad |= curl_easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L);
    bad |= curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    bad |= curl_easy_setopt(e, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    bad |= curl_easy_setopt(e, CURLOPT_PROXY, "");
    bad |= curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    bad |= curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    bad |= curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    bad |= curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L); /* a cancel does not wait for a slow DNS server */
    bad |= curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)r->w->connect_ms);
    if (r->w->socket != NULL)
        bad |= curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, r->w->socket);
    if (r->w->ca_file != NULL)
        bad |= curl_easy_setopt(e, CURLOPT_CAINFO, r->w->ca_file);
    return bad;
}

static bool set_options(run *r)
{
    CURL *e = r->easy;
    unsigned bad = set_policy(r);
    bad |= curl_easy_setopt(e, CURLOPT_URL, r->t->url);
    bad |= curl_easy_setopt(e, CURLOPT_HTTPHEADER, r->fields);
    bad |= curl_easy_setopt(e, CURLOPT_ERRORBUFFER, r->says);
    bad |= curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_line);
    bad |= curl_easy_setopt(e, CURLOPT_HEADERDATA, r);
    bad |= curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    bad |= curl_easy_setopt(e, CURLOPT_WRITEDATA, r);
    if (r->t->body != NULL) {
        bad |= curl_easy_setopt(e, CURLOPT_POST, 1L);
        bad |= curl_easy_setopt(e, CURLOPT_POSTFIELDS, r->t->body);
        bad |= curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->t->n_body);
    }
    return bad == 0;
}

/* ---- waiting ---- */

static unsigned left(uint64_t since_ns, unsigned limit_ms)
{
    uint64_t gone = (dv_clock_ns() - since_ns) / 1000000;
    return gone >= limit_ms ? 0 : (unsigned)DV_MIN((uint64_t)limit_ms - gone, (uint64_t)POLL_MS);
}

/* Milliseconds that may be waited now; 0: a time is over, which code tells. */
static unsigned may_wait(run *r)
{
    dv__transfer *t = r->t;
    unsigned ms = POLL_MS;
    if (r->enough_ns != 0)
        return left(r->enough_ns, GRACE_MS);
    if (dv__wire_canceled(r->w)) {
        r->code = DV_ECANCELED;
        return 0;
    }
    if (t->total_ms != 0 && (ms = DV_MIN(ms, left(r->start_ns, t->total_ms))) == 0)
        r->code = dv_fail(r->err, DV_EIO, "the exchange with the server took longer than %u ms", t->total_ms);
    else if (t->silence_ms != 0 && (ms = DV_MIN(ms, left(r->since_ns, t->silence_ms))) == 0)
        r->code = dv_fail(r->err, DV_EIO, "the server was silent for %u ms", t->silence_ms);
    t->slow |= ms == 0;
    return ms;
}

/* What libcurl says of the exchange; CURLE_OK also when it was ended here. */
static CURLcode perform(run *r)
{
    int running = 1, n;
    CURLcode result = CURLE_OK;
    if (curl_multi_add_handle(r->w->multi, r->easy) != CURLM_OK)
        return CURLE_OUT_OF_MEMORY;
    while (result == CURLE_OK) {
        if (curl_multi_perform(r->w->multi, &running) != CURLM_OK)
            result = CURLE_OUT_OF_MEMORY;
        if (running == 0 || result != CURLE_OK)
            break;
        unsigned ms = may_wait(r);
        if (ms == 0)
            break;
        curl_multi_poll(r->w->multi, NULL, 0, (int)ms, NULL);
    }
    const CURLMsg *m;
    while (running == 0 && (m = curl_multi_info_read(r->w->multi, &n)) != NULL)
        if (m->msg == CURLMSG_DONE)
            result = m->data.result;
    curl_multi_remove_handle(r->w->multi, r->easy);
    return result;
}

static int failed(run *r, CURLcode c)
{
    const char *text = r->says[0] != 0 ? r->says : curl_easy_strerror(c);
    switch (c) {
    case CURLE_OUT_OF_MEMORY: return dv_fail(r->err, DV_ENOMEM, "libcurl: %s", dv_error_text(DV_ENOMEM));
    case CURLE_COULDNT_CONNECT:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE: r->t->gone = true; break;
    case CURLE_URL_MALFORMAT: return dv_fail(r->err, DV_EINVAL, "the server's URL: %s", text);
    case CURLE_UNSUPPORTED_PROTOCOL: /* HTTP/0.9 */
    case CURLE_WEIRD_SERVER_REPLY: return dv_fail(r->err, DV_EFORMAT, "what answers is no HTTP server: %s", text);
    default: break;
    }
    return dv_fail(r->err, DV_EIO, "no answer from the server: %s", text);
}

static int outcome(run *r, CURLcode c)
{
    long status = 0;
    curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
    r->t->status = (int)status;
    if (r->code != 0)
        return r->code;
    if (r->enough_ns != 0)
        return 0;
    if (c != CURLE_OK)
        return failed(r, c);
    if (status >= 200 && status <= 299)
        return 0;
    return dv__answer_error(r->t->status, dv_buf_str(&r->problem), r->problem.len, r->err);
}

int dv__transfer_run(dv__wire *w, dv__transfer *t, dv_err *err)
{
    run r = {.w = w, .t = t, .err = err};
    t->status = 0;
    t->retry_after_s = 0;
    t->events = t->gone = t->slow = false;
    dv_buf_init(&r.problem, 0);
    r.start_ns = r.since_ns = dv_clock_ns();
    r.easy = curl_easy_init();
    int rc = r.easy != NULL && add_fields(&r) && set_options(&r) ? outcome(&r, perform(&r)) : DV_ENOMEM;
    if (rc == DV_ENOMEM || rc == DV_ECANCELED)
        rc = dv_fail(err, rc, "%s", dv_error_text(rc));
    curl_easy_cleanup(r.easy);
    curl_slist_free_all(r.fields);
    dv_buf_fini(&r.problem);
    return rc;
}
