/* SPDX-License-Identifier: MIT */
/* Half-precision conversions, equal to the F16C instructions for every input (NaN becomes quiet, its payload is cut). */
#include "kern/kern.h"

#include <string.h>

static uint32_t bits_of(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static float float_of(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

float dv_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, em = h & 0x7fff;
    if (em >= 0x7c00)
        return float_of(sign | 0x7f800000 | em << 13 | (em > 0x7c00 ? 0x400000 : 0));
    if (em >= 0x400)
        return float_of(sign | (em + (112u << 10)) << 13);
    return float_of(sign | bits_of((float)em * 0x1p-24f)); /* subnormal: exact in f32 */
}

uint16_t dv_f32_to_f16(float f)
{
    uint32_t u = bits_of(f), sign = u >> 16 & 0x8000, abs = u & 0x7fffffff;
    if (abs > 0x7f800000)
        return (uint16_t)(sign | 0x7e00 | (abs >> 13 & 0x3ff));
    if (abs >= 0x477ff000) /* 65520 is half way to the value after the largest and rounds up */
        return (uint16_t)(sign | 0x7c00);
    if (abs < 0x38800000) /* below 2^-14: adding 0.5 rounds at 2^-24, the subnormal step */
        return (uint16_t)(sign | (bits_of(float_of(abs) + 0.5f) - 0x3f000000));
    return (uint16_t)(sign | (abs - (112u << 23) + 0xfff + (abs >> 13 & 1)) >> 13);
}

uint16_t dv_f32_to_bf16(float f)
{
    uint32_t u = bits_of(f);
    if ((u & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}
