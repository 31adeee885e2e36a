/* SPDX-License-Identifier: MIT */
/* Random-weight models in real shapes, the same bytes on every machine: integer random numbers and single correctly rounded
 * operations only, no mathematical library. */
#ifndef DV_TOOLS_SYNTH_H
#define DV_TOOLS_SYNTH_H

#include "drover/error.h"

#include <stdint.h>

typedef struct synth_options {
    const char *shape; /**< name in synth_shapes() */
    const char *quant; /**< name for synth_mix_parse() */
    const char *vocab; /**< GGUF file whose vocabulary to copy; NULL: make one up */
    uint64_t seed;     /**< weights depend on this, the tensor's name and the row, not on quant */
    unsigned threads;  /**< 1..256; the file does not depend on it */
} synth_options;

/** Write a model to path. Memory stays below 100 MB whatever the size. Errors: DV_EINVAL for unknown names; those of writing. */
int synth_write(const char *path, const synth_options *o, dv_err *err);

/** FNV-1a (64 bits) of a file, to recognise a model. */
int synth_hash(const char *path, uint64_t *out, dv_err *err);

#endif
