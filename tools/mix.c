/* SPDX-License-Identifier: MIT */
#include "tools/mix.h"

#include "base/attr.h"

#include <string.h>
#include <strings.h>

/* Values of general.file_type that the rules below name. */
enum {
    FT_Q4_0 = 2,
    FT_Q2_K = 10,
    FT_Q3_K_M = 12,
    FT_Q4_K_S = 14,
    FT_Q4_K_M = 15,
    FT_Q5_K_M = 17,
    FT_IQ4_NL = 25,
    FT_IQ4_XS = 30
};

static const synth_mix mixes[] = {
    {"F32", 0, DV_TYPE_F32, true},
    {"F16", 1, DV_TYPE_F16, true},
    {"BF16", 32, DV_TYPE_BF16, true},
    {"Q4_0", FT_Q4_0, DV_TYPE_Q4_0, false},
    {"Q4_1", 3, DV_TYPE_Q4_1, false},
    {"Q5_0", 8, DV_TYPE_Q5_0, false},
    {"Q5_1", 9, DV_TYPE_Q5_1, false},
    {"Q8_0", 7, DV_TYPE_Q8_0, false},
    {"Q2_K", FT_Q2_K, DV_TYPE_Q2_K, false},
    {"Q3_K_S", 11, DV_TYPE_Q3_K, false},
    {"Q3_K_M", FT_Q3_K_M, DV_TYPE_Q3_K, false},
    {"Q4_K_S", FT_Q4_K_S, DV_TYPE_Q4_K, false},
    {"Q4_K_M", FT_Q4_K_M, DV_TYPE_Q4_K, false},
    {"Q5_K_S", 16, DV_TYPE_Q5_K, false},
    {"Q5_K_M", FT_Q5_K_M, DV_TYPE_Q5_K, false},
    {"Q6_K", 18, DV_TYPE_Q6_K, false},
    {"IQ4_NL", FT_IQ4_NL, DV_TYPE_IQ4_NL, false},
    {"IQ4_XS", FT_IQ4_XS, DV_TYPE_IQ4_XS, false},
};

/* general.file_type of a uniform file: the mixture of the same base that is nearest to it. */
static uint32_t uniform_file_type(dv_type type)
{
    for (size_t i = 0; i < DV_ARRAY_LEN(mixes); i++)
        if (mixes[i].base == type)
            return mixes[i].file_type;
    return 0;
}

bool synth_mix_parse(const char *name, synth_mix *out)
{
    if (strncasecmp(name, "pure-", 5) == 0) {
        int type = dv_type_parse(name + 5);
        if (type < 0)
            return false;
        *out = (synth_mix){dv_type_name((uint32_t)type), uniform_file_type((dv_type)type), (dv_type)type, true};
        return true;
    }
    for (size_t i = 0; i < DV_ARRAY_LEN(mixes); i++)
        if (strcasecmp(mixes[i].name, name) == 0) {
            *out = mixes[i];
            return true;
        }
    return false;
}

const char *synth_mix_name(size_t i) { return i < DV_ARRAY_LEN(mixes) ? mixes[i].name : NULL; }

/* The first and last eighth of the layers, and every third between them. */
static bool more_bits(uint32_t i, uint32_t n) { return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2; }

static dv_type attn_v(const synth_mix *m, const synth_shape *s, uint32_t i)
{
    uint32_t gqa = s->n_head / s->n_head_kv;
    if (s->n_expert == 8)
        return DV_TYPE_Q8_0;
    switch (m->file_type) {
    case FT_Q2_K: return gqa >= 4 ? DV_TYPE_Q4_K : DV_TYPE_Q3_K;
    case FT_Q3_K_M: return i < 2 ? DV_TYPE_Q5_K : DV_TYPE_Q4_K;
    case FT_Q4_K_S: return i < 4 ? DV_TYPE_Q5_K : m->base;
    case FT_Q4_K_M:
    case FT_Q5_K_M: return more_bits(i, s->n_layer) ? DV_TYPE_Q6_K : m->base;
    case FT_IQ4_NL:
    case FT_IQ4_XS: return gqa >= 4 ? DV_TYPE_Q5_K : m->base;
    default: return m->base;
    }
}

static dv_type attn_out(const synth_mix *m, const synth_shape *s)
{
    if (s->n_expert == 8) {
        bool up = m->base == DV_TYPE_Q2_K || m->base == DV_TYPE_Q3_K || m->base == DV_TYPE_Q4_K ||
                  m->base == DV_TYPE_IQ4_NL || m->base == DV_TYPE_IQ4_XS;
        return up ? DV_TYPE_Q5_K : m->base;
    }
    switch (m->file_type) {
    case FT_Q2_K: return DV_TYPE_Q3_K;
    case FT_Q3_K_M: return DV_TYPE_Q4_K;
    default: return m->base;
    }
}

static dv_type ffn_down(const synth_mix *m, uint32_t i, uint32_t n)
{
    switch (m->file_type) {
    case FT_Q2_K: return DV_TYPE_Q3_K;
    case FT_Q3_K_M: return i < n / 16 ? DV_TYPE_Q5_K : DV_TYPE_Q4_K;
    case FT_Q4_K_S:
    case FT_IQ4_NL:
    case FT_IQ4_XS: return i < n / 8 ? DV_TYPE_Q5_K : m->base;
    case FT_Q4_K_M:
    case FT_Q5_K_M: return more_bits(i, n) ? DV_TYPE_Q6_K : m->base;
    default: return m->base;
    }
}

static dv_type by_role(const synth_mix *m, const synth_shape *s, synth_role role, uint32_t layer, uint32_t n_in)
{
    bool is_output = role == SYNTH_OUTPUT || (role == SYNTH_EMBD && s->tied);
    if (is_output && n_in % 256 != 0)
        return DV_TYPE_Q8_0;
    if (is_output)
        return m->base == DV_TYPE_Q8_0 ? DV_TYPE_Q8_0 : DV_TYPE_Q6_K;
    switch (role) {
    case SYNTH_ATTN_K: return s->n_expert == 8 ? DV_TYPE_Q8_0 : m->base;
    case SYNTH_ATTN_V:
    case SYNTH_ATTN_QKV: return attn_v(m, s, layer);
    case SYNTH_ATTN_OUT: return attn_out(m, s);
    case SYNTH_FFN_DOWN: return ffn_down(m, layer, s->n_layer);
    default: return m->base;
    }
}

/* A type with smaller blocks and about as many bits, for rows that are no whole number of blocks. */
static dv_type fall_back(dv_type type)
{
    switch (type) {
    case DV_TYPE_Q2_K:
    case DV_TYPE_Q3_K: return DV_TYPE_Q4_0;
    case DV_TYPE_IQ4_XS: return DV_TYPE_IQ4_NL;
    case DV_TYPE_Q4_K: return DV_TYPE_Q5_0;
    case DV_TYPE_Q5_K: return DV_TYPE_Q5_1;
    case DV_TYPE_Q6_K: return DV_TYPE_Q8_0;
    default: return DV_TYPE_F16;
    }
}

dv_type synth_mix_type(const synth_mix *m, const synth_shape *s, synth_role role, uint32_t layer, uint32_t n_in)
{
    if (role == SYNTH_PLAIN)
        return DV_TYPE_F32;
    dv_type type = m->uniform ? m->base : by_role(m, s, role, layer, n_in);
    while (n_in % dv_type_get(type)->block_len != 0)
        type = fall_back(type);
    return type;
}
