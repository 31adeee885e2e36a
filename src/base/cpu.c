/* SPDX-License-Identifier: MIT */
#include "base/cpu.h"

#include "base/attr.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#if DV_ARCH_X86_64
#include <cpuid.h>

static uint64_t xgetbv0(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

/* Leaf 7 must have a subleaf 1. */
static bool avx_vnni(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4);
}

/* Intel SDM vol. 1, 14.3 and 15.2: the feature bit, OSXSAVE and the state bits in XCR0 are all needed. */
unsigned dv_cpu_detect(void)
{
    unsigned a, b, c, d, flags = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return 0;
    const unsigned osxsave_avx_fma_f16c = 1u << 27 | 1u << 28 | 1u << 12 | 1u << 29;
    if ((c & osxsave_avx_fma_f16c) != osxsave_avx_fma_f16c)
        return 0;
    uint64_t xcr0 = xgetbv0();
    if ((xcr0 & 0x6) != 0x6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return 0;
    const unsigned avx2_bmi = 1u << 5 | 1u << 3 | 1u << 8;
    if ((b & avx2_bmi) != avx2_bmi)
        return 0;
    flags |= DV_CPU_AVX2;
    if (a >= 1 && avx_vnni())
        flags |= DV_CPU_AVX_VNNI;
    const unsigned f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
    if ((xcr0 & 0xe6) != 0xe6 || (b & f_dq_bw_vl) != f_dq_bw_vl)
        return flags;
    flags |= DV_CPU_AVX512;
    if (c & 1u << 11)
        flags |= DV_CPU_AVX512_VNNI;
    return flags;
}
#else
unsigned dv_cpu_detect(void) { return 0; }
#endif

static const struct {
    const char *name;
    unsigned flags;
} levels[] = {
    {"avx512-vnni", DV_CPU_AVX2 | DV_CPU_AVX512 | DV_CPU_AVX512_VNNI},
    {"avx512", DV_CPU_AVX2 | DV_CPU_AVX512},
    {"avx-vnni", DV_CPU_AVX2 | DV_CPU_AVX_VNNI},
    {"avx2", DV_CPU_AVX2},
    {"c", 0},
};

const char *dv_cpu_level_name(unsigned flags)
{
    for (size_t i = 0; i < DV_ARRAY_LEN(levels); i++)
        if ((flags & levels[i].flags) == levels[i].flags)
            return levels[i].name;
    return "c";
}

int dv_cpu_level_parse(const char *name)
{
    for (size_t i = 0; i < DV_ARRAY_LEN(levels); i++)
        if (strcmp(name, levels[i].name) == 0)
            return (int)levels[i].flags;
    return -1;
}

const char *dv_cpu_model_name(void)
{
    static char name[64];
#if DV_ARCH_X86_64
    unsigned regs[12];
    if (name[0] != 0)
        return name;
    for (unsigned i = 0; i < 3; i++)
        if (!__get_cpuid(0x80000002u + i, &regs[4 * i], &regs[4 * i + 1], &regs[4 * i + 2], &regs[4 * i + 3]))
            return "";
    memcpy(name, regs, sizeof regs);
    for (size_t n = strlen(name); n > 0 && isspace((unsigned char)name[n - 1]);)
        name[--n] = 0;
#endif
    return name;
}
