/* SPDX-License-Identifier: MIT */
/* Bodies of requests to JSON, within bounds that hold before anything is built. */
#ifndef DV_API_JSON_H
#define DV_API_JSON_H

#include "drover/error.h"

#include <jansson.h>
#include <stddef.h>

/**
 * Parse text[0..n) to an object: RFC 8259, no key twice, no NUL, valid UTF-8 without lone surrogates, numbers that fit.
 * @param out  a new reference; NULL on failure
 * Errors: DV_EFORMAT with line and column; DV_ELIMIT (DV_API_MAX_DEPTH, DV_API_MAX_VALUES, DV_API_MAX_JSON); DV_EBUSY
 * (DV_API_MAX_JSONS); DV_ENOMEM. The bounds of memory hold in programs that use dv_json_use_mem.
 */
int dv__json_parse(const char *text, size_t n, json_t **out, dv_err *err);

#endif
