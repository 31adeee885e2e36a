/* SPDX-License-Identifier: MIT */
/* Bytes are looked at once and in order, and every limit is a position, so a head gets the same answer however it is cut into
 * reads. Where RFC 9112 lets a recipient be generous (bare LF, obs-fold, blanks before a colon, lists of equal lengths) this
 * one is not: each of them is a way in which two programs can see different requests in the same bytes. */
#include "http/parse.h"

#include "base/attr.h"

#include <string.h>
#include <strings.h>

/* Slack for the method, the version and the blanks of a request line. */
enum { LINE_SLACK = 64, METHOD_MAX = 32, LENGTH_DIGITS = 18 };

static dv__parsed refuse(dv__head *h, int status, const char *why)
{
    h->status = status;
    h->why = why;
    return DV__PARSE_REFUSED;
}

void dv__head_init(dv__head *h, const dv_http_options *o)
{
    memset(h, 0, sizeof *h);
    h->max_head = o->max_head;
    h->max_uri = o->max_uri;
    h->max_fields = DV_MIN(o->max_fields, (unsigned)DV__HEAD_FIELDS);
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

int dv__hex(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* tchar, RFC 9110 5.6.2 */
static bool is_tchar(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

bool dv_http_is_token(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!is_tchar(s[i]))
            return false;
    return n > 0;
}

static bool is_control(char c) { return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f; }

bool dv_http_is_value(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (is_control(s[i]))
            return false;
    return true;
}

/* Methods are case-sensitive, RFC 9110 9.1. */
static dv_http_verb verb_of(const char *s)
{
    static const char *const names[DV_HTTP_VERB_N] = {"", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    for (int i = 1; i < DV_HTTP_VERB_N; i++)
        if (strcmp(s, names[i]) == 0)
            return (dv_http_verb)i;
    return DV_HTTP_OTHER;
}

static bool target_chars_ok(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] <= 0x20 || s[i] >= 0x7f || s[i] == '#')
            return false;
    return n > 0;
}

/* RFC 9112 section 3: three parts, one space between them. line[n] may be overwritten. */
static dv__parsed request_line(dv__head *h, char *buf, size_t n)
{
    char *line = buf + h->line, *end = line + n;
    char *sp1 = memchr(line, ' ', n), *sp2 = sp1 != NULL ? memchr(sp1 + 1, ' ', (size_t)(end - sp1 - 1)) : NULL;
    if (sp2 == NULL)
        return refuse(h, 400, "malformed request line");
    size_t method_len = (size_t)(sp1 - line), target_len = (size_t)(sp2 - sp1 - 1),
           version_len = (size_t)(end - sp2 - 1);
    const char *version = sp2 + 1;
    if (method_len > METHOD_MAX || !dv_http_is_token(line, method_len))
        return refuse(h, 400, "malformed method");
    if (target_len > h->max_uri)
        return refuse(h, 414, "the request target is too long");
    if (!target_chars_ok(sp1 + 1, target_len))
        return refuse(h, 400, "malformed request target");
    if (version_len != 8 || memcmp(version, "HTTP/", 5) != 0 || !is_digit(version[5]) || version[6] != '.' ||
        !is_digit(version[7]))
        return refuse(h, 400, "malformed HTTP version");
    if (version[5] != '1' || version[7] > '1')
        return refuse(h, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    *sp1 = *sp2 = 0;
    h->method = h->line;
    h->target = (uint32_t)(sp1 + 1 - buf);
    h->minor = (unsigned)(version[7] - '0');
    h->close = h->minor == 0;
    h->verb = verb_of(line);
    h->has_line = true;
    return DV__PARSE_MORE;
}

/* uri-host [":" port] without user and password, RFC 9110 7.2. Only the characters: the application compares the name. */
static bool host_ok(const char *s)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%[]:";
    return *s != 0 && s[strspn(s, allowed)] == 0;
}

static dv__parsed take_host(dv__head *h, const char *value, uint32_t at)
{
    if (!host_ok(value))
        return refuse(h, 400, "malformed Host");
    h->host = at;
    return DV__PARSE_MORE;
}

/* Digits and nothing else: no sign, no list, no other base. RFC 9112 6.3. */
static dv__parsed take_length(dv__head *h, const char *value, uint32_t at)
{
    size_t n = strlen(value);
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        if (!is_digit(value[i]) || n > LENGTH_DIGITS)
            return refuse(h, 400, "malformed Content-Length");
        v = v * 10 + (uint64_t)(value[i] - '0');
    }
    if (n == 0)
        return refuse(h, 400, "malformed Content-Length");
    h->has_length = true;
    h->length = v;
    return DV__PARSE_MORE;
}

static dv__parsed take_coding(dv__head *h, const char *value, uint32_t at)
{
    if (strcasecmp(value, "chunked") != 0)
        return refuse(h, 501, "the only Transfer-Encoding taken is chunked");
    h->chunked = true;
    return DV__PARSE_MORE;
}

static dv__parsed take_expect(dv__head *h, const char *value, uint32_t at)
{
    if (strcasecmp(value, "100-continue") != 0)
        return refuse(h, 417, "the only expectation met is 100-continue");
    h->expect_continue = h->minor == 1; /* RFC 9110 10.1.1: ignored from HTTP/1.0 */
    return DV__PARSE_MORE;
}

static dv__parsed take_connection(dv__head *h, const char *value, uint32_t at)
{
    for (const char *p = value; *p != 0;) {
        p += strspn(p, " \t,");
        size_t n = strcspn(p, " \t,");
        if (n == 5 && strncasecmp(p, "close", 5) == 0)
            h->close = true;
        p += n;
    }
    return DV__PARSE_MORE;
}

/* Fields that mean something here. A second one of those marked `once` is refused: two readers could believe different ones. */
static const struct known {
    const char *name;
    bool once;
    dv__parsed (*take)(dv__head *h, const char *value, uint32_t at);
} known[] = {
    {"Host", true, take_host},        {"Content-Length", true, take_length},  {"Transfer-Encoding", true, take_coding},
    {"Expect", true, take_expect},    {"Connection", false, take_connection}, {"Content-Type", true, NULL},
    {"Content-Encoding", true, NULL}, {"Authorization", true, NULL},          {"X-Api-Key", true, NULL},
    {"Origin", true, NULL},
};

static dv__parsed known_field(dv__head *h, const char *name, const char *value, uint32_t at)
{
    for (size_t i = 0; i < DV_ARRAY_LEN(known); i++) {
        if (strcasecmp(name, known[i].name) != 0)
            continue;
        if (known[i].once && (h->seen & 1u << i) != 0)
            return refuse(h, 400, "a field that may come once came twice");
        h->seen |= 1u << i;
        return known[i].take != NULL ? known[i].take(h, value, at) : DV__PARSE_MORE;
    }
    return DV__PARSE_MORE;
}

/* RFC 9112 section 5: token ":" OWS value OWS. line[n] may be overwritten. */
static dv__parsed field_line(dv__head *h, char *buf, size_t n)
{
    char *line = buf + h->line, *end = line + n;
    if (*line == ' ' || *line == '\t')
        return refuse(h, 400, "a field is folded over lines");
    char *colon = memchr(line, ':', n);
    if (colon == NULL || !dv_http_is_token(line, (size_t)(colon - line)))
        return refuse(h, 400, "malformed field name");
    if (h->n_fields >= h->max_fields)
        return refuse(h, 431, "too many fields");
    char *value = colon + 1;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *colon = *end = 0;
    h->fields[h->n_fields++] = (dv__field){h->line, (uint32_t)(value - buf)};
    return known_field(h, line, value, (uint32_t)(value - buf));
}

/* RFC 9112 3.2 and 6.1 */
static dv__parsed end_of_head(dv__head *h)
{
    if (h->host == 0 && h->minor == 1)
        return refuse(h, 400, "Host is missing");
    if (h->chunked && h->has_length)
        return refuse(h, 400, "Content-Length together with Transfer-Encoding");
    if (h->chunked && h->minor == 0)
        return refuse(h, 400, "Transfer-Encoding in HTTP/1.0");
    return DV__PARSE_DONE;
}

/* RFC 9112 2.2: some clients end a body with an empty line that belongs to nothing. One is skipped. */
static dv__parsed empty_line(dv__head *h)
{
    if (h->skipped)
        return refuse(h, 400, "empty lines where a request should be");
    h->skipped = true;
    return DV__PARSE_MORE;
}

/* The line that ends at scan, CRLF included. */
static dv__parsed whole_line(dv__head *h, char *buf)
{
    size_t n = h->scan - h->line - 2;
    dv__parsed r;
    if (n > 0)
        r = h->has_line ? field_line(h, buf, n) : request_line(h, buf, n);
    else if (h->has_line)
        return end_of_head(h);
    else
        r = empty_line(h);
    h->line = h->scan;
    return r;
}

dv__parsed dv__head_parse(dv__head *h, char *buf, size_t len)
{
    while (h->scan < len) {
        if (h->scan >= h->max_head)
            return refuse(h, 431, "the head is too large");
        if (!h->has_line && h->scan - h->line > h->max_uri + LINE_SLACK)
            return refuse(h, 414, "the request line is too long");
        char c = buf[h->scan];
        bool after_cr = h->scan > h->line && buf[h->scan - 1] == '\r';
        if (after_cr != (c == '\n'))
            return refuse(h, 400, "a line does not end in CR LF");
        if (is_control(c) && c != '\r' && c != '\n')
            return refuse(h, 400, "a control character in the head");
        h->scan++;
        if (c != '\n')
            continue;
        dv__parsed r = whole_line(h, buf);
        if (r != DV__PARSE_MORE)
            return r;
    }
    return DV__PARSE_MORE;
}
