/* SPDX-License-Identifier: MIT */
/* The application's side of a reply. Any thread: everything here happens under the request's mutex, ends in the request's
 * queue, and leaves the socket to the I/O thread. */
#include "base/attr.h"
#include "http/req.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Lock r for a change of its reply; DV_ECANCELED (and unlocked) if that is of no use any more. */
static int enter(dv_http_req *r)
{
    pthread_mutex_lock(&r->mutex);
    if (!r->gone)
        return 0;
    pthread_mutex_unlock(&r->mutex);
    return DV_ECANCELED;
}

static int leave(dv_http_req *r, int code)
{
    pthread_mutex_unlock(&r->mutex);
    return code;
}

/* Let the I/O thread look at r. */
static void push(dv_http_req *r)
{
    if (r->ready)
        return;
    r->ready = true;
    dv__core_ready(r->core, r);
}

static bool own_field(const char *name)
{
    static const char *const own[] = {
        "Date", "Server", "Connection", "Content-Length", "Content-Type", "Transfer-Encoding", "X-Request-Id"};
    for (size_t i = 0; i < DV_ARRAY_LEN(own); i++)
        if (strcasecmp(name, own[i]) == 0)
            return true;
    return false;
}

static int add_header(dv_http_req *r, const char *name, const char *value)
{
    if (r->state != DV__REPLY_NONE)
        return DV_EINVAL;
    size_t before = r->fields.len;
    int code = dv_buf_printf(&r->fields, "%s: %s\r\n", name, value);
    if (code != 0 && r->fields.data != NULL) { /* not half a field */
        r->fields.len = before;
        r->fields.data[before] = 0;
    }
    r->fields.code = 0;
    return code;
}

int dv_http_add_header(dv_http_req *r, const char *name, const char *value)
{
    if (!dv_http_is_token(name, strlen(name)) || own_field(name) || !dv_http_is_value(value, strlen(value)))
        return DV_EINVAL;
    int code = enter(r);
    return code != 0 ? code : leave(r, add_header(r, name, value));
}

/* What reply and stream_begin have in common. Changes nothing on failure. */
static int begin(dv_http_req *r, int status, const char *type)
{
    if (r->state != DV__REPLY_NONE || status < 200 || status > 599)
        return DV_EINVAL;
    if (type != NULL && !dv_http_is_value(type, strlen(type)))
        return DV_EINVAL;
    dv_buf_clear(&r->type);
    return type != NULL ? dv_buf_adds(&r->type, type) : 0;
}

bool dv__req_no_body(const dv_http_req *r, int status)
{
    return r->head.verb == DV_HTTP_HEAD || status == 204 || status == 304;
}

/* Small ones are always taken: errors too are replies. */
static int hold(dv_http_req *r, const void *body, size_t len)
{
    size_t n = len > DV_HTTP_SMALL_REPLY ? len : 0;
    if (!dv__req_hold(r->core, n))
        return DV_EBUSY;
    int code = dv_buf_add(&r->out, body, len);
    if (code == 0)
        r->out_counted = n;
    else
        dv__req_release(n);
    return code;
}

static int reply(dv_http_req *r, int status, const char *type, const void *body, size_t len)
{
    int code = begin(r, status, type);
    if (code == 0 && !dv__req_no_body(r, status))
        code = hold(r, body, len);
    if (code != 0) {
        r->out.code = 0;
        return code;
    }
    r->state = DV__REPLY_ENDED;
    r->status = status;
    r->has_length = true;
    r->length = len;
    push(r);
    return 0;
}

int dv_http_reply(dv_http_req *r, int status, const char *content_type, const void *body, size_t len)
{
    int code = enter(r);
    return code != 0 ? code : leave(r, reply(r, status, content_type, body, len));
}

int dv_http_stream_begin(dv_http_req *r, int status, const char *content_type)
{
    int code = enter(r);
    if (code != 0)
        return code;
    code = begin(r, status, content_type);
    if (code != 0)
        return leave(r, code);
    r->state = DV__REPLY_STREAM;
    r->status = status;
    r->framed = r->head.minor == 1 && !dv__req_no_body(r, status);
    push(r);
    return leave(r, 0);
}

static int stream_write(dv_http_req *r, const void *data, size_t len)
{
    if (r->state != DV__REPLY_STREAM)
        return DV_EINVAL;
    if (len == 0 || dv__req_no_body(r, r->status))
        return 0; /* a chunk of no bytes would end the body */
    if (r->out.len - r->out_at >= r->core->o.stream_queue_bytes) {
        r->full = true;
        return DV_EBUSY;
    }
    char size[24];
    int n = r->framed ? snprintf(size, sizeof size, "%zx\r\n", len) : 0;
    if (dv_buf_reserve(&r->out, len + sizeof size + 2) != 0) {
        r->out.code = 0;
        return DV_ENOMEM;
    }
    dv_buf_add(&r->out, size, (size_t)n);
    dv_buf_add(&r->out, data, len);
    if (r->framed)
        dv_buf_add(&r->out, "\r\n", 2);
    push(r);
    return 0;
}

int dv_http_stream_write(dv_http_req *r, const void *data, size_t len)
{
    int code = enter(r);
    return code != 0 ? code : leave(r, stream_write(r, data, len));
}

int dv_http_stream_end(dv_http_req *r)
{
    int code = enter(r);
    if (code != 0)
        return code;
    if (r->state != DV__REPLY_STREAM)
        return leave(r, DV_EINVAL);
    /* Without its last chunk the reply would look cut off, so rather cut it than claim success. */
    if (r->framed)
        code = dv_buf_adds(&r->out, "0\r\n\r\n");
    r->out.code = 0;
    r->state = code == 0 ? DV__REPLY_ENDED : DV__REPLY_ABORTED;
    push(r);
    return leave(r, code);
}

void dv_http_abort(dv_http_req *r)
{
    if (enter(r) != 0)
        return;
    if (r->state != DV__REPLY_ENDED) {
        r->state = DV__REPLY_ABORTED;
        push(r);
    }
    leave(r, 0);
}

size_t dv_http_stream_pending(dv_http_req *r)
{
    pthread_mutex_lock(&r->mutex);
    size_t n = r->gone ? 0 : r->out.len - r->out_at + r->in_flight;
    pthread_mutex_unlock(&r->mutex);
    return n;
}

bool dv_http_gone(dv_http_req *r)
{
    pthread_mutex_lock(&r->mutex);
    bool gone = r->gone;
    pthread_mutex_unlock(&r->mutex);
    return gone;
}

int dv_http_status(const dv_http_req *r) { return r->status; }
uint64_t dv_http_bytes_sent(const dv_http_req *r) { return r->sent; }

int dv__req_head(dv_http_req *r, dv_buf *b, bool close)
{
    const dv_http_options *o = &r->core->o;
    dv_buf_printf(b, "HTTP/1.1 %d %s\r\nDate: %s\r\n", r->status, dv_http_reason(r->status), dv__core_date(r->core));
    if (o->server_name != NULL)
        dv_buf_printf(b, "Server: %s\r\n", o->server_name);
    dv_buf_printf(b, "X-Request-Id: %s\r\n", r->id);
    if (r->type.len > 0)
        dv_buf_printf(b, "Content-Type: %s\r\n", r->type.data);
    if (r->framed)
        dv_buf_adds(b, "Transfer-Encoding: chunked\r\n");
    if (r->has_length && r->status != 204 && r->status != 304)
        dv_buf_printf(b, "Content-Length: %llu\r\n", (unsigned long long)r->length);
    if (close)
        dv_buf_adds(b, "Connection: close\r\n");
    dv_buf_add(b, r->fields.data, r->fields.len);
    return dv_buf_adds(b, "\r\n");
}
