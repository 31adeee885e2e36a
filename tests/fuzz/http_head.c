/* SPDX-License-Identifier: MIT */
/* A request's head: read at once and byte by byte it gives the same; what is let through holds what the header promises. */
#include "target.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "http/parse.h"

#include <string.h>

static const dv_http_options limits = {.max_head = 4096, .max_fields = 16, .max_uri = 512};

static void check_target(const dv__head *h, const char *buf)
{
    const char *text = buf + h->target, *why = NULL;
    size_t room = 2 * strlen(text) + 4;
    dv__target t;
    char *out = dv_alloc(DV_MEM_HTTP, room);
    if (out == NULL)
        return;
    if (dv__target_parse(&t, text, h->verb, h->host != 0 ? buf + h->host : NULL, out, &why) != 0) {
        DV_FUZZ_CHECK(why != NULL);
        dv_free(out);
        return;
    }
    DV_FUZZ_CHECK(t.path[0] == '/' || (h->verb == DV_HTTP_OPTIONS && strcmp(t.path, "*") == 0));
    DV_FUZZ_CHECK(dv_utf8_valid(t.path, strlen(t.path)));
    DV_FUZZ_CHECK(strstr(t.path, "/../") == NULL && strstr(t.path, "/./") == NULL);
    const char *p = t.params;
    for (unsigned i = 0; i < 2 * t.n_params; i++)
        p += strlen(p) + 1;
    DV_FUZZ_CHECK(p <= out + room);
    dv_free(out);
}

static void check_head(const dv__head *h, const char *buf)
{
    DV_FUZZ_CHECK(!(h->chunked && h->has_length) && !(h->chunked && h->minor == 0));
    DV_FUZZ_CHECK(h->minor == 0 || h->host != 0);
    DV_FUZZ_CHECK(h->scan <= limits.max_head && h->n_fields <= limits.max_fields);
    DV_FUZZ_CHECK(strlen(buf + h->target) <= limits.max_uri);
    for (unsigned i = 0; i < h->n_fields; i++) {
        const char *name = buf + h->fields[i].name, *value = buf + h->fields[i].value;
        DV_FUZZ_CHECK(dv_http_is_token(name, strlen(name)) && dv_http_is_value(value, strlen(value)));
        DV_FUZZ_CHECK(h->fields[i].value + strlen(value) < h->scan);
    }
    check_target(h, buf);
}

static dv__parsed parse(dv__head *h, char *buf, size_t n, size_t step)
{
    dv__parsed got = DV__PARSE_MORE;
    dv__head_init(h, &limits);
    for (size_t at = 0; at < n && got == DV__PARSE_MORE;) {
        at += DV_MIN(step, n - at);
        got = dv__head_parse(h, buf, at);
    }
    return got;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *a = dv_strndup(DV_MEM_HTTP, (const char *)data, size), *b = dv_strndup(DV_MEM_HTTP, (const char *)data, size);
    if (a != NULL && b != NULL) {
        dv__head once, bytes;
        dv__parsed got = parse(&once, a, size, size);
        DV_FUZZ_CHECK(parse(&bytes, b, size, 1) == got);
        DV_FUZZ_CHECK(memcmp(&once, &bytes, sizeof once) == 0);
        DV_FUZZ_CHECK((got == DV__PARSE_REFUSED) == (once.why != NULL));
        DV_FUZZ_CHECK(memcmp(a, b, once.scan) == 0);
        if (got == DV__PARSE_DONE)
            check_head(&once, a);
    }
    dv_free(a);
    dv_free(b);
    return 0;
}
