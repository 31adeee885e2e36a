/* SPDX-License-Identifier: MIT */
/* Round-to-nearest quantisers for every tensor type: enough for test models, not for publishing one. The results are the same on every
 * machine. Block layouts: the GGUF specification and dv_dequant_row, which is their definition. */
#ifndef DV_TOOLS_QUANT_H
#define DV_TOOLS_QUANT_H

#include "gguf/type.h"

/**
 * Quantise n finite elements (whole blocks of the type) of x into out.
 * Error of an element, R the range of values in its sub-block and L the type's number of levels: about R / (2 L), plus what rounding
 * the sub-block's scale to few bits adds; bounds per type stand in tests/unit/test_synth.c.
 */
void synth_quantise_row(dv_type type, const float *x, void *out, size_t n);

#endif
