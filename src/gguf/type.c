/* SPDX-License-Identifier: MIT */
#include "gguf/type.h"

#include "base/attr.h"
#include "base/num.h"

#include <strings.h>

static const dv_type_info infos[DV_TYPE_N] = {
    [DV_TYPE_F32] = {"F32", 1, 4},       [DV_TYPE_F16] = {"F16", 1, 2},         [DV_TYPE_BF16] = {"BF16", 1, 2},
    [DV_TYPE_Q4_0] = {"Q4_0", 32, 18},   [DV_TYPE_Q4_1] = {"Q4_1", 32, 20},     [DV_TYPE_Q5_0] = {"Q5_0", 32, 22},
    [DV_TYPE_Q5_1] = {"Q5_1", 32, 24},   [DV_TYPE_Q8_0] = {"Q8_0", 32, 34},     [DV_TYPE_Q2_K] = {"Q2_K", 256, 84},
    [DV_TYPE_Q3_K] = {"Q3_K", 256, 110}, [DV_TYPE_Q4_K] = {"Q4_K", 256, 144},   [DV_TYPE_Q5_K] = {"Q5_K", 256, 176},
    [DV_TYPE_Q6_K] = {"Q6_K", 256, 210}, [DV_TYPE_IQ4_NL] = {"IQ4_NL", 32, 18}, [DV_TYPE_IQ4_XS] = {"IQ4_XS", 256, 136},
};

/* Every id the format has defined, so that an error can name what it refuses. */
static const char *const all_names[] = {
    "F32",        "F16",        "Q4_0",       "Q4_1",  "Q4_2",     "Q4_3",     "Q5_0",     "Q5_1",    "Q8_0",
    "Q8_1",       "Q2_K",       "Q3_K",       "Q4_K",  "Q5_K",     "Q6_K",     "Q8_K",     "IQ2_XXS", "IQ2_XS",
    "IQ3_XXS",    "IQ1_S",      "IQ4_NL",     "IQ3_S", "IQ2_S",    "IQ4_XS",   "I8",       "I16",     "I32",
    "I64",        "F64",        "IQ1_M",      "BF16",  "Q4_0_4_4", "Q4_0_4_8", "Q4_0_8_8", "TQ1_0",   "TQ2_0",
    "IQ4_NL_4_4", "IQ4_NL_4_8", "IQ4_NL_8_8", "MXFP4", "NVFP4",
};

const dv_type_info *dv_type_get(uint32_t id) { return id < DV_TYPE_N && infos[id].block_len != 0 ? &infos[id] : NULL; }

const char *dv_type_name(uint32_t id) { return id < DV_ARRAY_LEN(all_names) ? all_names[id] : "unknown"; }

int dv_type_parse(const char *name)
{
    for (int i = 0; i < DV_TYPE_N; i++)
        if (infos[i].block_len != 0 && strcasecmp(infos[i].name, name) == 0)
            return i;
    return -1;
}

bool dv_type_row_bytes(uint32_t id, uint64_t n, uint64_t *out)
{
    const dv_type_info *t = dv_type_get(id);
    return t != NULL && n % t->block_len == 0 && dv_mul_u64(n / t->block_len, t->block_bytes, out);
}
