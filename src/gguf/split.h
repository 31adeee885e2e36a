/* SPDX-License-Identifier: MIT */
/* Names of the files of a split model, <stem>-00001-of-00003.gguf, and what their split.* keys must say. */
#ifndef DV_GGUF_SPLIT_H
#define DV_GGUF_SPLIT_H

#include "gguf/part.h"

enum { DV__SPLIT_TAIL = sizeof "-00001-of-00003.gguf" - 1 };

typedef struct dv__split {
    size_t stem;    /**< bytes of the path before the tail */
    uint32_t no;    /**< 1..count */
    uint32_t count; /**< 1..DV_GGUF_MAX_SPLIT, or 0: the path is not of this form */
} dv__split;

dv__split dv__split_parse(const char *path);
/** Path of part no (1..count), to be freed with dv_free; NULL when out of memory. */
char *dv__split_path(const char *path, const dv__split *s, uint32_t no);
/**
 * Compare the split.* keys of part no of count with what its name says. Files that are not split may have none of them,
 * or (after a merge) a count of 0 or 1.
 * @param n_tensors  total over all parts, as this part states it; unchanged if count <= 1
 */
int dv__split_check(const dv__part *part, uint32_t no, uint32_t count, uint64_t *n_tensors, dv_err *err);

#endif
