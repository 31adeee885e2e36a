/* SPDX-License-Identifier: MIT */
/* Writing a GGUF version 3 file: metadata first, then tensor descriptions, then their data in the same order,
 * streamed. */
#ifndef DV_GGUF_WRITE_H
#define DV_GGUF_WRITE_H

#include "drover/error.h"
#include "gguf/gguf.h"

typedef struct dv_gguf_writer dv_gguf_writer;

/**
 * Create path, a regular file (truncating it). alignment: a power of two from 8 to 65536; 32 is usual. Other than 32,
 * it is written as general.alignment. The first failure sticks and every later call returns it; dv_gguf_writer_finish
 * reports it too.
 */
int dv_gguf_writer_open(dv_gguf_writer **out, const char *path, uint32_t alignment, dv_err *err);
/** Close without finishing; the incomplete file is removed. NULL-safe. */
void dv_gguf_writer_close(dv_gguf_writer **w);

int dv_gguf_put_u32(dv_gguf_writer *w, const char *key, uint32_t v);
int dv_gguf_put_u64(dv_gguf_writer *w, const char *key, uint64_t v);
int dv_gguf_put_i32(dv_gguf_writer *w, const char *key, int32_t v);
int dv_gguf_put_f32(dv_gguf_writer *w, const char *key, float v);
int dv_gguf_put_bool(dv_gguf_writer *w, const char *key, bool v);
int dv_gguf_put_str(dv_gguf_writer *w, const char *key, const char *p, size_t n);
/** n elements of a fixed-size type, little-endian. */
int dv_gguf_put_array(dv_gguf_writer *w, const char *key, dv_gguf_vtype elem, const void *data, uint64_t n);
int dv_gguf_put_str_array(dv_gguf_writer *w, const char *key, const dv_str *items, uint64_t n);
/** Copy a pair from an open file, whatever its type. Keys about the file itself (general.alignment, split.*) are left
 * out. */
int dv_gguf_put_kv(dv_gguf_writer *w, const dv_gguf_kv *kv);

/** Describe the next tensor; ne is fastest axis first. All descriptions come before the first dv_gguf_write_data. */
int dv_gguf_add_tensor(dv_gguf_writer *w, const char *name, uint32_t type, uint32_t n_dims, const uint64_t *ne);
/** Data of the tensors in the order they were described; may be called many times per tensor. Padding is added. */
int dv_gguf_write_data(dv_gguf_writer *w, const void *data, size_t n);
/** Checks that exactly the described bytes were written, syncs and closes. Frees w. */
int dv_gguf_writer_finish(dv_gguf_writer **w, dv_err *err);

#endif
