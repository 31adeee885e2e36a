/* SPDX-License-Identifier: MIT */
/* Tensor element types of GGUF files: sizes of blocks and their names. Source: GGUF spec, ggml type ids. */
#ifndef DV_GGUF_TYPE_H
#define DV_GGUF_TYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Values are the ids in the file. */
typedef enum dv_type {
    DV_TYPE_F32 = 0,
    DV_TYPE_F16 = 1,
    DV_TYPE_Q4_0 = 2,
    DV_TYPE_Q4_1 = 3,
    DV_TYPE_Q5_0 = 6,
    DV_TYPE_Q5_1 = 7,
    DV_TYPE_Q8_0 = 8,
    DV_TYPE_Q2_K = 10,
    DV_TYPE_Q3_K = 11,
    DV_TYPE_Q4_K = 12,
    DV_TYPE_Q5_K = 13,
    DV_TYPE_Q6_K = 14,
    DV_TYPE_IQ4_NL = 20,
    DV_TYPE_IQ4_XS = 23,
    DV_TYPE_BF16 = 30,
    DV_TYPE_N = 31 /**< one past the largest id above; ids between may be unsupported */
} dv_type;

typedef struct dv_type_info {
    const char *name;     /**< "Q4_K" */
    uint32_t block_len;   /**< elements in a block */
    uint32_t block_bytes; /**< bytes of a block */
} dv_type_info;

/** Layout of a type that drover computes with; NULL for any other id. */
const dv_type_info *dv_type_get(uint32_t id);
/** Name of any id the format has ever defined, supported or not ("IQ2_XXS"); "unknown" for others. Static string. */
const char *dv_type_name(uint32_t id);
/** Id of a supported type by name, case-insensitive; -1 if there is none. */
int dv_type_parse(const char *name);
/** Bytes of a row of n elements; false if the type is unsupported, n is no whole number of blocks, or on overflow. */
bool dv_type_row_bytes(uint32_t id, uint64_t n, uint64_t *out);

#endif
