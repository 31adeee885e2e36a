/* SPDX-License-Identifier: MIT */
/* Bodies of requests to JSON, within bounds that hold before anything is built. */
#ifndef DV_WEB_BODY_H
#define DV_WEB_BODY_H

#include "drover/error.h"

#include <jansson.h>
#include <stddef.h>

enum {
    DV_BODY_MAX_DEPTH = 64,        /**< nesting of a request's JSON */
    DV_BODY_MAX_VALUES = 1 << 20,  /**< values in it */
    DV_BODY_MAX_JSON = 96 << 20,   /**< bytes that it may take once it is parsed */
    DV_BODY_MAX_JSONS = 256 << 20, /**< the same of all requests, beyond which no further one is parsed */
};

/**
 * Parse text[0..n) to an object: RFC 8259, no key twice, no NUL, valid UTF-8 without lone surrogates, numbers that fit.
 * @param out  a new reference; NULL on failure
 * Errors: DV_EFORMAT with line and column; DV_ELIMIT (DV_BODY_MAX_DEPTH, DV_BODY_MAX_VALUES, DV_BODY_MAX_JSON); DV_EBUSY
 * (DV_BODY_MAX_JSONS); DV_ENOMEM. The bounds of memory hold in programs that use dv_json_use_mem.
 */
int dv_body_parse(const char *text, size_t n, json_t **out, dv_err *err);

#endif
