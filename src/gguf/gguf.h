/* SPDX-License-Identifier: MIT */
/* Reading and writing GGUF model files, versions 2 and 3, little-endian. The reader maps the file (all parts of a split
 * model), checks every count, length, offset, alignment and product against the real file size before use, and gives a
 * directory of metadata and tensors that stays valid until dv_gguf_close. A hostile file costs one error. */
#ifndef DV_GGUF_GGUF_H
#define DV_GGUF_GGUF_H

#include "base/buf.h"
#include "drover/error.h"
#include "gguf/type.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DV_GGUF_MAX_DIMS = 4,
    DV_GGUF_MAX_NAME = 255,  /**< bytes of a tensor name */
    DV_GGUF_MAX_KEY = 65535, /**< bytes of a metadata key, as the specification says */
    DV_GGUF_MAX_TENSORS = 1 << 20,
    DV_GGUF_MAX_KV = 1 << 20,
    DV_GGUF_MAX_SPLIT = 1024,
    DV_GGUF_MAX_ARRAY_DEPTH = 4
};

/* clang-format off */
typedef enum dv_gguf_vtype {
    DV_GGUF_U8, DV_GGUF_I8, DV_GGUF_U16, DV_GGUF_I16, DV_GGUF_U32, DV_GGUF_I32, DV_GGUF_F32, DV_GGUF_BOOL,
    DV_GGUF_STR, DV_GGUF_ARR, DV_GGUF_U64, DV_GGUF_I64, DV_GGUF_F64,
    DV_GGUF_VTYPE_N
} dv_gguf_vtype;
/* clang-format on */

/** Bytes in the file; not terminated, may hold any byte. Borrowed from the mapping. */
typedef struct dv_str {
    const char *p;
    size_t n;
} dv_str;

typedef struct dv_gguf dv_gguf;
typedef struct dv_gguf_kv dv_gguf_kv;

typedef struct dv_gguf_tensor {
    dv_str name;
    uint32_t type;   /**< a dv_type, or an id that drover does not compute with */
    uint32_t n_dims; /**< 1..4 */
    uint64_t
        ne[DV_GGUF_MAX_DIMS]; /**< fastest axis first, as in the file: ne[0] is n_in of a matrix; 1 beyond n_dims */
    uint64_t n_bytes;         /**< 0 for an unsupported type */
    const uint8_t *data;      /**< borrowed, aligned to the file's alignment; NULL for an unsupported type */
} dv_gguf_tensor;

/**
 * Open a model file; for a file named like x-00001-of-00003.gguf all parts are opened and seen as one.
 * An unsupported tensor type is not an error here: the user of the tensor reports it (a vocabulary may still be read).
 * Errors: DV_ENOENT, DV_EACCES, DV_EIO, DV_EINVAL (not a regular file), DV_EUNSUPPORTED (version 1, big-endian),
 * DV_EFORMAT (with key, tensor or offset), DV_ELIMIT, DV_ENOMEM.
 */
int dv_gguf_open(dv_gguf **out, const char *path, dv_err *err);
/** Append the path of file no (from 1) of the model at path, split or not, to out. DV_ENOENT: it has no such file; DV_ENOMEM. No file is looked at. */
int dv_gguf_file_path(dv_buf *out, const char *path, uint32_t no);
/** The same from memory (borrowed until close), one part. data must be 64-byte aligned for tensor data to be used by kernels. */
int dv_gguf_open_mem(dv_gguf **out, const void *data, size_t len, dv_err *err);
void dv_gguf_close(dv_gguf **g);

uint32_t dv_gguf_version(const dv_gguf *g);
uint64_t dv_gguf_alignment(const dv_gguf *g);
/** Bytes of all parts together. */
uint64_t dv_gguf_file_bytes(const dv_gguf *g);

size_t dv_gguf_n_tensors(const dv_gguf *g);
const dv_gguf_tensor *dv_gguf_tensor_at(const dv_gguf *g, size_t i);
/** By name (hash table); NULL if absent. */
const dv_gguf_tensor *dv_gguf_find_tensor(const dv_gguf *g, const char *name);

size_t dv_gguf_n_kv(const dv_gguf *g);
const dv_gguf_kv *dv_gguf_kv_at(const dv_gguf *g, size_t i);
const dv_gguf_kv *dv_gguf_find(const dv_gguf *g, const char *key);

dv_str dv_gguf_kv_key(const dv_gguf_kv *kv);
dv_gguf_vtype dv_gguf_kv_type(const dv_gguf_kv *kv);
/** Element type of an array; DV_GGUF_VTYPE_N for a scalar. */
dv_gguf_vtype dv_gguf_kv_elem_type(const dv_gguf_kv *kv);
/** Elements of an array; 1 for a scalar. */
uint64_t dv_gguf_kv_len(const dv_gguf_kv *kv);

/* Element i of an array (or i == 0 of a scalar). Integers convert between widths when the value fits; floats do not
 * convert to integers. False: wrong type, index or range. Arrays of strings are indexed at open, so access is O(1). */
bool dv_gguf_kv_u64(const dv_gguf_kv *kv, uint64_t i, uint64_t *out);
bool dv_gguf_kv_i64(const dv_gguf_kv *kv, uint64_t i, int64_t *out);
bool dv_gguf_kv_f64(const dv_gguf_kv *kv, uint64_t i, double *out);
bool dv_gguf_kv_bool(const dv_gguf_kv *kv, uint64_t i, bool *out);
bool dv_gguf_kv_str(const dv_gguf_kv *kv, uint64_t i, dv_str *out);
/** Raw little-endian elements of an array of fixed-size elements (unaligned); NULL for strings, nested arrays and scalars. */
const void *dv_gguf_kv_raw(const dv_gguf_kv *kv);

/* Typed look-up with range and a good error: DV_ENOENT if absent, DV_EFORMAT (naming the key) if of another type or outside [min, max]. */
int dv_gguf_get_u32(const dv_gguf *g, const char *key, uint32_t min, uint32_t max, uint32_t *out, dv_err *err);
int dv_gguf_get_f32(const dv_gguf *g, const char *key, float min, float max, float *out, dv_err *err);
int dv_gguf_get_bool(const dv_gguf *g, const char *key, bool *out, dv_err *err);
int dv_gguf_get_str(const dv_gguf *g, const char *key, dv_str *out, dv_err *err);
/* As above; an absent key leaves *out at fallback and returns 0. */
int dv_gguf_opt_u32(const dv_gguf *g, const char *key, uint32_t min, uint32_t max, uint32_t fallback, uint32_t *out,
                    dv_err *err);
int dv_gguf_opt_f32(const dv_gguf *g, const char *key, float min, float max, float fallback, float *out, dv_err *err);
int dv_gguf_opt_bool(const dv_gguf *g, const char *key, bool fallback, bool *out, dv_err *err);
int dv_gguf_opt_str(const dv_gguf *g, const char *key, dv_str fallback, dv_str *out, dv_err *err);

#endif
