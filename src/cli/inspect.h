/* SPDX-License-Identifier: MIT */
/* What drover inspect finds in a file, and its two forms of output. */
#ifndef DV_CLI_INSPECT_H
#define DV_CLI_INSPECT_H

#include "base/buf.h"
#include "gguf/gguf.h"

enum {
    DV__INSPECT_HEAD = 8,      /**< elements shown of a longer array */
    DV__INSPECT_CONTEXT = 4096 /**< context for the memory estimate, unless the model's own is shorter */
};

/** KV cache of a context in bytes; each value is valid where its flag says so. */
typedef struct dv__inspect_memory {
    bool known; /**< the file describes an attention cache; otherwise `why` says what is missing */
    dv_err why;
    uint64_t n_ctx;   /**< tokens */
    uint64_t kv_f32;  /**< bytes */
    uint64_t kv_f16;  /**< bytes */
    bool has_q8_0;    /**< rows are whole blocks */
    uint64_t kv_q8_0; /**< bytes */
} dv__inspect_memory;

typedef struct dv__inspect_type {
    uint32_t id;
    size_t n_tensors;
    uint64_t n_elements;
    uint64_t n_bytes; /**< 0 for an unsupported type */
} dv__inspect_type;

enum { DV__INSPECT_TYPES = 64 }; /* ids beyond are counted as one, whatever they are */

typedef struct dv__inspect {
    const char *path;
    const dv_gguf *gguf;
    uint64_t weight_bytes; /**< of tensors with a known size */
    uint64_t n_elements;   /**< saturating */
    size_t n_unsupported;
    dv__inspect_type types[DV__INSPECT_TYPES + 1];
    dv__inspect_memory memory;
} dv__inspect;

/** Sum up an open file. n_ctx 0: choose. */
void dv__inspect_collect(dv__inspect *in, const char *path, const dv_gguf *g, uint64_t n_ctx);
/** KV cache of a model at a context of n_ctx tokens (0: the model's own or DV__INSPECT_CONTEXT, whichever is
 * shorter). */
void dv__inspect_memory_of(dv__inspect_memory *m, const dv_gguf *g, uint64_t n_ctx);

/* Append the whole report; errors stick to the buffer. Text from the file is escaped. */
void dv__inspect_text(dv_buf *b, const dv__inspect *in);
void dv__inspect_json(dv_buf *b, const dv__inspect *in);

/** "u32", "string", ... */
const char *dv__inspect_vtype_name(dv_gguf_vtype type);
uint64_t dv__inspect_n_elements(const dv_gguf_tensor *t);

#endif
