/* SPDX-License-Identifier: MIT */
/* What this machine's CPU is: instruction-set levels. */
#ifndef DV_BASE_CPU_H
#define DV_BASE_CPU_H

#include <stddef.h>
#include <stdint.h>

/** Levels that ship together; a level implies the ones below it, except that CPUs with AVX-512 may lack AVX-VNNI. */
enum dv_cpu_flag {
    DV_CPU_AVX2 = 1u << 0,        /**< AVX2, FMA, F16C, BMI2, with OS support for YMM (XGETBV) */
    DV_CPU_AVX_VNNI = 1u << 1,    /**< and VNNI in AVX encoding */
    DV_CPU_AVX512 = 1u << 2,      /**< AVX-512 F, BW, DQ, VL, with OS support for ZMM */
    DV_CPU_AVX512_VNNI = 1u << 3, /**< and VNNI */
};

/** Flags of this CPU, OS state included. Detected once; any thread. */
unsigned dv_cpu_detect(void);
/** Name of the best level in flags: "c", "avx2", "avx-vnni", "avx512", "avx512-vnni". */
const char *dv_cpu_level_name(unsigned flags);
/** Flags for a level name as above ("c" gives 0); -1 for an unknown name. */
int dv_cpu_level_parse(const char *name);
/** Model name of the CPU; "" when the system does not say. Static storage. */
const char *dv_cpu_model_name(void);

#endif
