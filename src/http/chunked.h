/* SPDX-License-Identifier: MIT */
/* The chunked transfer coding, RFC 9112 section 7.1, decoded as the bytes arrive. No I/O, no allocation. */
#ifndef DV_HTTP_CHUNKED_H
#define DV_HTTP_CHUNKED_H

#include "http/parse.h"

/** Extensions and trailer fields are checked and dropped; this many bytes of them in one body are too many. */
enum { DV__CHUNKED_EXTRA = 4096 };

/** Zero-initialise before use. */
typedef struct dv__chunked {
    uint8_t state;
    uint8_t digits; /**< of the present size */
    uint32_t extra; /**< bytes of extensions and trailers so far */
    uint64_t left;  /**< bytes of the present chunk that are to come */
    const char *why;
} dv__chunked;

/**
 * Decode up to the end of one run of data, of the body, or of the input.
 * @param used      bytes of p that are done with
 * @param data      the run among them, *data_len bytes; NULL if there is none
 * @return          DV__PARSE_DONE at the end of the body (what follows is the next request),
 *                  DV__PARSE_MORE (call again with the rest, if any),
 *                  DV__PARSE_REFUSED with c->why
 */
dv__parsed dv__chunked_feed(dv__chunked *c, const char *p, size_t n, size_t *used, const char **data, size_t *data_len);

#endif
