/* SPDX-License-Identifier: MIT */
/* One GGUF file: header, metadata, tensor directory and where its tensor data lie. A model is one part or several. */
#ifndef DV_GGUF_PART_H
#define DV_GGUF_PART_H

#include "base/file.h"
#include "gguf/kv.h"
#include "gguf/names.h"

enum {
    DV__ALIGN_DEFAULT = 32, /**< where the file does not say */
    DV__ALIGN_MIN = 8,      /**< the format wants a multiple of 8 */
    DV__ALIGN_MAX = 1 << 16 /**< the largest page size in use; more would only pad */
};

typedef struct dv__part {
    dv_map map;
    bool borrowed; /**< map.data belongs to the caller */
    uint32_t version;
    uint32_t alignment;
    size_t n_kv;    /**< pairs read so far; all once dv__part_read returned 0 */
    dv_gguf_kv *kv; /**< owned */
    dv__names keys; /**< over kv */
    size_t n_tensors;
    dv_gguf_tensor *tensors; /**< owned */
} dv__part;

/** Parse and check part->map. On failure the part holds what dv__part_fini frees. */
int dv__part_read(dv__part *part, dv_err *err);
void dv__part_fini(dv__part *part);
/** NULL if absent. */
const dv_gguf_kv *dv__part_find(const dv__part *part, const char *key);

/**
 * Check where the data of a part's tensors lie, and set n_bytes and data.
 * @param at      [part->n_tensors] offsets as in the file, from the beginning of the data section
 * @param data    the data section; NULL if n_data is 0
 * @param n_data  bytes of the section, to the end of the file
 * Errors: DV_EFORMAT for data that are unaligned, outside the section or overlapping, or of a size that overflows;
 * DV_ENOMEM.
 */
int dv__layout_check(const dv__part *part, const uint64_t *at, const uint8_t *data, uint64_t n_data, dv_err *err);

#endif
