/* SPDX-License-Identifier: MIT */
/* Filling the kernel table: the C reference first, so that every slot works, then each level that the CPU has, up to the first it lacks. */
#include "base/cpu.h"
#include "kern/init_c.h"

#include <string.h>

void dv__kern_init_c(dv_kern *k)
{
    memset(k, 0, sizeof *k);
    dv__kern_init_c_unpack(k);
    dv__kern_init_c_gemm(k);
    dv__kern_init_c_vec(k);
    dv__kern_init_c_attn(k);
}

void dv_kern_init(dv_kern *k, unsigned cpu)
{
    dv__kern_init_c(k);
#if DV_ARCH_X86_64
    if (!(cpu & DV_CPU_AVX2))
        return;
    bool avx_vnni = cpu & DV_CPU_AVX_VNNI;
    dv__kern_init_avx2(k, avx_vnni);
    k->cpu = DV_CPU_AVX2 | (avx_vnni ? DV_CPU_AVX_VNNI : 0u);
    if (!(cpu & DV_CPU_AVX512))
        return;
    bool vnni = cpu & DV_CPU_AVX512_VNNI;
    dv__kern_init_avx512(k, vnni);
    k->cpu |= DV_CPU_AVX512 | (vnni ? DV_CPU_AVX512_VNNI : 0u);
#else
    (void)cpu;
#endif
}
