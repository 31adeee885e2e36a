/* SPDX-License-Identifier: MIT */
#include "client/head.h"

#include "base/err.h"
#include "http/server.h"

#include <string.h>
#include <strings.h>

void dv__reply_head_init(dv__reply_head *h)
{
    h->status = 0;
    h->complete = false;
    h->bytes = 0;
    h->n_fields = 0;
    dv_buf_init(&h->text, 0);
}

void dv__reply_head_fini(dv__reply_head *h) { dv_buf_fini(&h->text); }

/* "HTTP/1.1 200 OK". RFC 9112 4. Forgets the interim head before it. */
static int status_line(dv__reply_head *h, const char *s, size_t n, dv_err *err)
{
    bool ok = n >= 12 && memcmp(s, "HTTP/1.", 7) == 0 && (s[7] == '0' || s[7] == '1') && s[8] == ' ' &&
              (n == 12 || s[12] == ' ');
    int status = 0;
    for (size_t i = 9; ok && i < 12; i++) {
        ok = s[i] >= '0' && s[i] <= '9';
        status = status * 10 + (s[i] - '0');
    }
    /* 101: nobody has asked for another protocol. */
    if (!ok || status < 100 || status > 599 || status == 101)
        return dv_fail(err, DV_EFORMAT, "the reply's status line is malformed");
    h->status = status;
    h->n_fields = 0;
    dv_buf_clear(&h->text);
    return 0;
}

static int field(dv__reply_head *h, const char *s, size_t n, dv_err *err)
{
    const char *colon = memchr(s, ':', n);
    if (h->status == 0 || colon == NULL || !dv_http_is_token(s, (size_t)(colon - s)))
        return dv_fail(err, DV_EFORMAT, "a line of the reply's head is malformed");
    const char *value = colon + 1, *end = s + n;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    if (!dv_http_is_value(value, (size_t)(end - value)))
        return dv_fail(err, DV_EFORMAT, "a field of the reply's head has control characters");
    if (h->n_fields == DV__REPLY_FIELDS)
        return dv_fail(err, DV_ELIMIT, "the reply's head has more than %d fields", DV__REPLY_FIELDS);
    h->fields[h->n_fields].name = (uint32_t)h->text.len;
    dv_buf_add(&h->text, s, (size_t)(colon - s));
    dv_buf_addc(&h->text, 0);
    h->fields[h->n_fields].value = (uint32_t)h->text.len;
    dv_buf_add(&h->text, value, (size_t)(end - value));
    if (dv_buf_addc(&h->text, 0) != 0)
        return dv_fail(err, DV_ENOMEM, "the reply's head: %s", dv_error_text(DV_ENOMEM));
    h->n_fields++;
    return 0;
}

int dv__reply_head_line(dv__reply_head *h, const char *line, size_t n, dv_err *err)
{
    h->bytes += n;
    if (h->bytes > DV__REPLY_HEAD)
        return dv_fail(err, DV_ELIMIT, "the reply's head is longer than %d bytes", DV__REPLY_HEAD);
    if (h->complete)
        return 0;
    if (n > 0 && line[n - 1] == '\n')
        n--;
    if (n > 0 && line[n - 1] == '\r')
        n--;
    if (n == 0) {
        h->complete = h->status >= 200;
        return 0;
    }
    return n >= 5 && memcmp(line, "HTTP/", 5) == 0 ? status_line(h, line, n, err) : field(h, line, n, err);
}

const char *dv__reply_head_get(const dv__reply_head *h, const char *name)
{
    for (unsigned i = 0; i < h->n_fields; i++)
        if (strcasecmp(h->text.data + h->fields[i].name, name) == 0)
            return h->text.data + h->fields[i].value;
    return NULL;
}
