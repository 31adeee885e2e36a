/* SPDX-License-Identifier: MIT */
#include "kern/kern.h"

void dv__kern_init_avx2(dv_kern *k) { (void)k; }
