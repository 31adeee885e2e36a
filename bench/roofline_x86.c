/* SPDX-License-Identifier: MIT */
/* x86-64. In assembly, since compilers see that these loops compute nothing: with intrinsics they merge equal sums or keep them in memory,
 * and what is measured is something else. Registers 0 and 1 hold the factors, sums start at 2: ten or more that do not depend on each other,
 * since a core starts two instructions a cycle that take up to five. Only the functions that the CPU has are called. */
#include "base/attr.h"

#if DV_ARCH_X86_64
#include "base/cpu.h"
#include "roofline.h"

#define REGISTERS                                                                                              \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", \
        "xmm13", "xmm14", "xmm15"

/* SET clears a sum, STEP adds to it; both name it by \r. V: "ymm" or "zmm" */
#define MULTIPLY(NAME, V, SUMS, WORD, SET, STEP)                \
    static void NAME(uint64_t rounds)                           \
    {                                                           \
        static const union {                                    \
            float f[2];                                         \
            uint32_t u[2];                                      \
        } factors = {.WORD};                                    \
        __asm__ volatile("vbroadcastss %1, %%" V "0\n"          \
                         "vbroadcastss %2, %%" V "1\n"          \
                         ".irp r, " SUMS "\n" SET "\n.endr\n"   \
                         ".p2align 5\n"                         \
                         "1:\n"                                 \
                         ".irp r, " SUMS "\n" STEP "\n.endr\n"  \
                         "dec %0\n"                             \
                         "jnz 1b\n"                             \
                         "vzeroupper"                           \
                         : "+r"(rounds)                         \
                         : "m"(factors.u[0]), "m"(factors.u[1]) \
                         : REGISTERS, "cc");                    \
    }

#define FLOATS f = {0.5f, 0.25f}
#define BYTES u = {0x03050709u, 0x01fe03fcu}
#define ZERO "vxorps %%xmm\\r, %%xmm\\r, %%xmm\\r"
/* 14 sums; 12, with registers 14 and 15 for what is between */
#define SUMS_14 "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15"
#define SUMS_12 "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13"
enum { N_14 = 14, N_12 = 12 };

MULTIPLY(vnni_512, "zmm", SUMS_14, BYTES, ZERO, "vpdpbusd %%zmm1, %%zmm0, %%zmm\\r")
MULTIPLY(vnni_256, "ymm", SUMS_14, BYTES, ZERO, "%{evex%} vpdpbusd %%ymm1, %%ymm0, %%ymm\\r")
MULTIPLY(avx_vnni_256, "ymm", SUMS_14, BYTES, ZERO, "%{vex%} vpdpbusd %%ymm1, %%ymm0, %%ymm\\r")
/* Sums of two in 16 bits, added up where they fit, or to 32 bits. */
MULTIPLY(maddubs16_256, "ymm", SUMS_12, BYTES, ZERO,
         "vpmaddubsw %%ymm1, %%ymm0, %%ymm15\n"
         "vpaddw %%ymm15, %%ymm\\r, %%ymm\\r")
MULTIPLY(maddubs32_256, "ymm", SUMS_12, BYTES, ZERO,
         "vpmaddubsw %%ymm1, %%ymm0, %%ymm15\n"
         "vpmaddwd %%ymm0, %%ymm15, %%ymm14\n"
         "vpaddd %%ymm14, %%ymm\\r, %%ymm\\r")
MULTIPLY(maddubs32_512, "zmm", SUMS_12, BYTES, ZERO,
         "vpmaddubsw %%zmm1, %%zmm0, %%zmm15\n"
         "vpmaddwd %%zmm0, %%zmm15, %%zmm14\n"
         "vpaddd %%zmm14, %%zmm\\r, %%zmm\\r")
MULTIPLY(fma_256, "ymm", SUMS_14, FLOATS, ZERO, "vfmadd231ps %%ymm1, %%ymm0, %%ymm\\r")
MULTIPLY(fma_512, "zmm", SUMS_14, FLOATS, ZERO, "vfmadd231ps %%zmm1, %%zmm0, %%zmm\\r")

const roof_multiply roof_multiplies[] = {
    {"vpdpbusd-512", "int8", DV_CPU_AVX512_VNNI, 64 * N_14, vnni_512},
    {"vpdpbusd-256", "int8", DV_CPU_AVX512_VNNI, 32 * N_14, vnni_256},
    {"vpdpbusd-256 vex", "int8", DV_CPU_AVX_VNNI, 32 * N_14, avx_vnni_256},
    {"vpmaddubsw-512 vpmaddwd vpaddd", "int8", DV_CPU_AVX512, 64 * N_12, maddubs32_512},
    {"vpmaddubsw-256 vpmaddwd vpaddd", "int8", DV_CPU_AVX2, 32 * N_12, maddubs32_256},
    {"vpmaddubsw-256 vpaddw", "int8", DV_CPU_AVX2, 32 * N_12, maddubs16_256},
    {"vfmadd-512", "f32", DV_CPU_AVX512, 16 * N_14, fma_512},
    {"vfmadd-256", "f32", DV_CPU_AVX2, 8 * N_14, fma_256},
    {.run = NULL},
};

/* LOAD reads a line of 64 bytes at OFFSET. */
#define LINE_512(OFFSET) "vporq " OFFSET "(%0), %%zmm0, %%zmm0\n"
#define LINE_256(OFFSET)                    \
    "vpor " OFFSET "(%0), %%ymm0, %%ymm0\n" \
    "vpor 32+" OFFSET "(%0), %%ymm1, %%ymm1\n"
#define LINE_128(OFFSET)                 \
    "movdqa " OFFSET "(%0), %%xmm0\n"    \
    "movdqa 16+" OFFSET "(%0), %%xmm1\n" \
    "movdqa 32+" OFFSET "(%0), %%xmm2\n" \
    "movdqa 48+" OFFSET "(%0), %%xmm3\n"
#define FOUR(LINE, DISTANCE) LINE("0*" DISTANCE) LINE("1*" DISTANCE) LINE("2*" DISTANCE) LINE("3*" DISTANCE)

/* Reads BYTES at p, in rounds of STEP bytes. */
#define READ(LINES, STEP, BYTES, AFTER)                     \
    do {                                                    \
        const uint8_t *end = p + (BYTES);                   \
        __asm__ volatile(".p2align 5\n"                     \
                         "1:\n" LINES "add $" STEP ", %0\n" \
                         "cmp %1, %0\n"                     \
                         "jb 1b\n" AFTER                    \
                         : "+r"(p)                          \
                         : "r"(end)                         \
                         : REGISTERS, "cc");                \
    } while (0)

#define READERS(NAME, LINE, AFTER)                                                                        \
    static void NAME##_1(const uint8_t *p, size_t bytes) { READ(FOUR(LINE, "64"), "256", bytes, AFTER); } \
    static void NAME##_4(const uint8_t *p, size_t bytes)                                                  \
    {                                                                                                     \
        for (size_t i = 0; i < bytes; i += ROOF_READ_STEP) {                                              \
            READ(FOUR(LINE, "4096"), "64", 4096, AFTER);                                                  \
            p += ROOF_READ_STEP - 4096;                                                                   \
        }                                                                                                 \
    }

_Static_assert(ROOF_READ_STEP == 4 * 4096, "four streams a page apart");
READERS(read_512, LINE_512, "vzeroupper")
READERS(read_256, LINE_256, "vzeroupper")
READERS(read_128, LINE_128, "")

const roof_read roof_reads[] = {
    {DV_CPU_AVX512, 1, read_512_1},
    {DV_CPU_AVX512, 4, read_512_4},
    {DV_CPU_AVX2, 1, read_256_1},
    {DV_CPU_AVX2, 4, read_256_4},
    {0, 1, read_128_1},
    {0, 4, read_128_4},
    {.run = NULL},
};
#endif
