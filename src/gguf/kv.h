/* SPDX-License-Identifier: MIT */
/* One metadata pair: its place in the file, checked through to the last nested element when it is read. */
#ifndef DV_GGUF_KV_H
#define DV_GGUF_KV_H

#include "gguf/cursor.h"

struct dv_gguf_kv {
    dv_str key;           /**< first, where dv__names looks for it */
    uint32_t type;        /**< dv_gguf_vtype */
    uint32_t elem;        /**< dv_gguf_vtype of an array's elements; DV_GGUF_VTYPE_N for a scalar */
    uint64_t len;         /**< elements of an array; 1 for a scalar */
    const uint8_t *value; /**< first byte of the value; an array begins with its header */
    uint64_t n_bytes;     /**< of the value */
    uint64_t *str_at;     /**< owned; array of strings: offset of each from value */
};

enum {
    DV__KV_MIN_BYTES = 8 + 1 + 4 + 1, /**< fewest bytes of a pair in a file: key length, key, type, value */
    DV__ARRAY_HEADER = 4 + 8          /**< element type and count */
};

/** Bytes of a fixed-size value; 0 for strings and arrays. */
uint32_t dv__vtype_bytes(uint32_t type);
/** "u32", "string", ...; "?" for no type. Static string. */
const char *dv__vtype_name(uint32_t type);

/** Read one pair. On failure the cursor has the code and kv owns nothing. */
int dv__kv_read(dv__cur *c, dv_gguf_kv *kv);
void dv__kv_fini(dv_gguf_kv *kv);

#endif
