/* SPDX-License-Identifier: MIT */
/* Upper and lower case, and classes of characters, for the string functions of templates. A table of the ranges that
 * living scripts use (Unicode 15, simple mappings); rarer letters have no case here, which a chat template will not notice. */
#include "tok/tmpl_eval.h"

/* Capitals lo..hi (step 1) pair with lo+delta..hi+delta; delta 0: capital and small letter alternate, beginning at lo. */
static const struct {
    uint32_t lo, hi;
    uint32_t delta;
} ranges[] = {
    {0x41, 0x5a, 32},     {0xc0, 0xd6, 32},       {0xd8, 0xde, 32},     {0x100, 0x12f, 0},    {0x132, 0x137, 0},
    {0x139, 0x148, 0},    {0x14a, 0x177, 0},      {0x179, 0x17e, 0},    {0x182, 0x185, 0},    {0x1cd, 0x1dc, 0},
    {0x1de, 0x1ef, 0},    {0x1f8, 0x21f, 0},      {0x222, 0x233, 0},    {0x246, 0x24f, 0},    {0x370, 0x373, 0},
    {0x388, 0x38a, 37},   {0x386, 0x386, 38},     {0x38c, 0x38c, 64},   {0x38e, 0x38f, 63},   {0x391, 0x3a1, 32},
    {0x3a3, 0x3ab, 32},   {0x3d8, 0x3ef, 0},      {0x400, 0x40f, 80},   {0x410, 0x42f, 32},   {0x460, 0x481, 0},
    {0x48a, 0x4bf, 0},    {0x4c0, 0x4c0, 15},     {0x4c1, 0x4ce, 0},    {0x4d0, 0x52f, 0},    {0x531, 0x556, 48},
    {0x1e00, 0x1e95, 0},  {0x1ea0, 0x1eff, 0},    {0x2160, 0x216f, 16}, {0x24b6, 0x24cf, 26}, {0x2c00, 0x2c2f, 48},
    {0x2c80, 0x2ce3, 0},  {0xa640, 0xa66d, 0},    {0xa680, 0xa69b, 0},  {0xa722, 0xa72f, 0},  {0xa732, 0xa76f, 0},
    {0xff21, 0xff3a, 32}, {0x10400, 0x10427, 40},
};

/* The other case of cp, *capital saying which cp is; cp itself if it has none. */
static uint32_t other_case(uint32_t cp, bool *capital)
{
    for (size_t i = 0; i < DV_ARRAY_LEN(ranges); i++) {
        uint32_t lo = ranges[i].lo, hi = ranges[i].hi, delta = ranges[i].delta;
        if (delta == 0 && cp >= lo && cp <= hi) {
            *capital = ((cp - lo) & 1) == 0;
            return *capital ? cp + 1 : cp - 1;
        }
        if (delta != 0 && cp >= lo && cp <= hi) {
            *capital = true;
            return cp + delta;
        }
        if (delta != 0 && cp >= lo + delta && cp <= hi + delta) {
            *capital = false;
            return cp - delta;
        }
    }
    *capital = false;
    return cp;
}

uint32_t dv__u_cp_upper(uint32_t cp)
{
    bool capital;
    uint32_t other = other_case(cp, &capital);
    if (cp == 0xff || cp == 0xb5 || cp == 0x3c2)
        return cp == 0xff ? 0x178 : cp == 0xb5 ? 0x39c : 0x3a3;
    return capital ? cp : other;
}

uint32_t dv__u_cp_lower(uint32_t cp)
{
    bool capital;
    uint32_t other = other_case(cp, &capital);
    if (cp == 0x178 || cp == 0x1e9e)
        return cp == 0x178 ? 0xff : 0xdf;
    return capital ? other : cp;
}

static bool is_digit(uint32_t cp)
{
    static const uint32_t zeros[] = {0x30,  0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66,  0xae6,  0xb66, 0xbe6,
                                     0xc66, 0xce6, 0xd66, 0xe50, 0xed0, 0xf20, 0x1040, 0x17e0, 0xff10};
    for (size_t i = 0; i < DV_ARRAY_LEN(zeros); i++)
        if (cp - zeros[i] < 10)
            return true;
    return false;
}

/* Letters beyond ASCII: what is no digit and lies outside the blocks of punctuation, symbols and pictures. */
static bool is_letter(uint32_t cp)
{
    static const struct {
        uint32_t lo, hi;
    } not_letter[] = {{0x80, 0xa9},       {0xab, 0xb4},     {0xb6, 0xb9},     {0xbb, 0xbf},     {0xd7, 0xd7},
                      {0xf7, 0xf7},       {0x2000, 0x2070}, {0x2072, 0x207e}, {0x20a0, 0x2101}, {0x2190, 0x2bff},
                      {0x3000, 0x3004},   {0x3007, 0x3030}, {0x3200, 0x33ff}, {0xd800, 0xf8ff}, {0xfe00, 0xfe6f},
                      {0xff00, 0xff20},   {0xff3b, 0xff40}, {0xff5b, 0xff65}, {0xffe0, 0xffff}, {0x1f000, 0x1faff},
                      {0xe0000, 0x10ffff}};
    if (cp < 0x80)
        return (cp | 0x20) - 'a' < 26u;
    for (size_t i = 0; i < DV_ARRAY_LEN(not_letter); i++)
        if (cp >= not_letter[i].lo && cp <= not_letter[i].hi)
            return false;
    return !is_digit(cp);
}

unsigned dv__u_class(uint32_t cp)
{
    bool capital;
    bool cased = other_case(cp, &capital) != cp || cp == 0xdf || cp == 0xff || cp == 0xb5 || cp == 0x3c2;
    unsigned c = dv__is_space(cp) || (cp >= 0x1c && cp <= 0x1f) || cp == 0x85 ? DV__C_SPACE : 0;
    if (cased)
        c |= capital || cp == 0x178 ? DV__C_UPPER : DV__C_LOWER;
    return c | (is_letter(cp) ? DV__C_ALPHA : 0) | (is_digit(cp) ? DV__C_DIGIT : 0);
}
