/* SPDX-License-Identifier: MIT */
#ifndef DV_MODEL_MOE_H
#define DV_MODEL_MOE_H

#include "model/forward.h"

typedef struct dv_moe_work dv_moe_work;

/** Work space for f's model. Errors: DV_ENOMEM. */
int dv__moe_open(dv_moe_work **out, const dv_forward *f);
void dv__moe_close(dv_moe_work **w);
/** Elements of distinct matrix inputs of one call, for dv_mm_open. */
size_t dv__moe_in_total(const dv_moe_work *w);

#endif
