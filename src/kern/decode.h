/* SPDX-License-Identifier: MIT */
/* What a block of each integer type means: decoders of one block into integers and exact sub-block scales. Used by the C unpackers
 * and by dv_dequant_row. Bytes are read one by one, so blocks may lie at any alignment and the code is endian-neutral.
 * Source: GGUF spec and the public block layouts of the types. */
#ifndef DV_KERN_DECODE_H
#define DV_KERN_DECODE_H

#include "kern/kern.h"

/**
 * Decode one block: element k = d[k / sub] * q[k] + m[k / sub], sub = 16 or 32 by the type's shape.
 * @param q  [block length]
 * @param d  [block length / sub]
 * @param m  as d; written only for shapes with offset
 */
typedef void (*dv__decode_fn)(const uint8_t *b, int16_t *q, float *d, float *m);

/** Decoder of a type; NULL for float and unsupported types. */
dv__decode_fn dv__decoder(dv_type type);

#endif
