/* SPDX-License-Identifier: MIT */
/* The parts of dv__kern_init_c, one per file of C references. */
#ifndef DV_KERN_INIT_C_H
#define DV_KERN_INIT_C_H

#include "kern/kern.h"

void dv__kern_init_c_unpack(dv_kern *k);
void dv__kern_init_c_gemm(dv_kern *k);
void dv__kern_init_c_vec(dv_kern *k);
void dv__kern_init_c_attn(dv_kern *k);

#endif
