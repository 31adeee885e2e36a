/* SPDX-License-Identifier: MIT */
/* The head of a request: RFC 9112 sections 2 to 6, and what this server refuses beyond them. No I/O, no allocation; what it
 * says does not depend on how the bytes arrive in pieces. */
#ifndef DV_HTTP_PARSE_H
#define DV_HTTP_PARSE_H

#include "http/server.h"

enum { DV__HEAD_FIELDS = 128 };

typedef struct dv__field {
    uint32_t name, value; /**< offsets in the head's buffer, both terminated */
} dv__field;

typedef struct dv__head {
    size_t max_head, max_uri; /**< limits, set before the first byte */
    unsigned max_fields;

    uint32_t scan, line;    /**< next byte to look at; where the present line begins */
    bool has_line, skipped; /**< request line parsed; an empty line before it was skipped */
    uint32_t seen;          /**< fields that came, of those that may come once */

    int status;      /**< of the refusal */
    const char *why; /**< static text */

    dv_http_verb verb;
    uint32_t method, target; /**< offsets */
    unsigned minor;          /**< HTTP/1.minor: 0 or 1 */
    unsigned n_fields;
    dv__field fields[DV__HEAD_FIELDS];
    uint32_t host;        /**< offset of Host's value, 0 if absent */
    bool has_length;      /**< Content-Length came; length is it, else 0 */
    bool chunked;         /**< the body is chunked */
    bool close;           /**< no request follows on this connection */
    bool expect_continue; /**< the client waits for 100 before it sends the body */
    uint64_t length;
} dv__head;

typedef enum dv__parsed { DV__PARSE_DONE, DV__PARSE_MORE, DV__PARSE_REFUSED } dv__parsed;

void dv__head_init(dv__head *h, const dv_http_options *o);
/**
 * Go on with a head of which buf[0..len) is there by now. The buffer may have moved; its old bytes are as this function left them
 * (it writes NULs behind names and values).
 * @return  DV__PARSE_DONE: the head is buf[0..h->scan); DV__PARSE_REFUSED: h->status and h->why say why, call no more
 */
dv__parsed dv__head_parse(dv__head *h, char *buf, size_t len);

/** A target taken apart. Everything lies in one block of the caller. */
typedef struct dv__target {
    const char *path;
    const char *params; /**< n_params times name NUL value NUL */
    unsigned n_params;
} dv__target;

/**
 * Decode a target that dv__head_parse has let through.
 * @param out  [2 * strlen(target) + 4]: a parameter without "=" grows
 * @param why  set to a static text on failure
 * @return     0 or DV_EFORMAT
 */
int dv__target_parse(dv__target *t, const char *target, dv_http_verb verb, const char *host, char *out,
                     const char **why);

/** Value of a hexadecimal digit, -1 for anything else. */
int dv__hex(char c);

#endif
