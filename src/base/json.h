/* SPDX-License-Identifier: MIT */
/* jansson within this program: its memory is counted and can be bounded, its texts go into our buffers. */
#ifndef DV_BASE_JSON_H
#define DV_BASE_JSON_H

#include "base/buf.h"

#include <jansson.h>
#include <stdbool.h>

/**
 * From now on jansson allocates through base/mem, as DV_MEM_JSON. That holds for the whole process, so it is a program's to say and never a library's:
 * once, before anything else of jansson is used. Also draws the secret of jansson's hash tables, which reads a file.
 */
void dv_json_use_mem(void);

/**
 * What the calling thread may take from jansson beyond what it has; it is out of memory then. Not nested. Without dv_json_use_mem nothing is bounded.
 */
void dv_json_bound_begin(size_t bytes);
/** No bound any more. @return whether it was reached */
bool dv_json_bound_end(void);

/** As json_loadb, where running out of memory may look like any other error. *no_memory: whether that was the reason. */
json_t *dv_json_load(const char *text, size_t n, size_t flags, json_error_t *e, bool *no_memory);

/** Append the JSON text of any value. flags: JSON_COMPACT and the like. @return 0 or the sticky code of b */
int dv_json_dump(dv_buf *b, const json_t *v, size_t flags);

#endif
