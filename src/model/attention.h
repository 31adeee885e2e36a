/* SPDX-License-Identifier: MIT */
#ifndef DV_MODEL_ATTENTION_H
#define DV_MODEL_ATTENTION_H

#include "model/forward.h"

/** Floats of work space that attention needs per thread. */
size_t dv__attention_work(const dv_forward *f);

#endif
