/* SPDX-License-Identifier: MIT */
/* drover's own profiles: what docs/configuration.md shows. Needs nothing else of this folder. */
#include "conf/profile.h"

#include <string.h>

/* The engine's usual chain of samplers. */
#define SAMPLING(t, k) \
    .temperature = t, .top_k = k, .top_p = 0.95, .min_p = 0.05, .typical_p = 1, .repeat_penalty = 1, .repeat_last_n = 64

static const dv_conf_profile own[DV__PROFILE_N] = {
    [DV__PROFILE_FAST] =
        {.name = "fast",
         .what = "Short questions of one or two people, answered as soon as possible",
         .run = {.context = 2048, .batch = 256, .parallel = 2, .speculation = true, SAMPLING(0.8, 20)}},
    [DV__PROFILE_BALANCED] =
        {.name = "balanced",
         .what = "A few people or agents at once, with conversations of some pages",
         .run = {.context = 4096, .batch = 512, .parallel = 4, .speculation = true, SAMPLING(0.8, 40)}},
    [DV__PROFILE_QUALITY] =
        {.name = "quality",
         .what = "Long documents and careful answers: a large context, a cooler choice of words",
         .run = {.context = 8192, .batch = 1024, .parallel = 2, .speculation = true, SAMPLING(0.6, 40)}},
    [DV__PROFILE_MEMORY] = {.name = "memory",
                            .what = "Machines with little memory: one request at a time, a small cache in 8 bits",
                            .run = {.context = 1024,
                                    .batch = 128,
                                    .parallel = 1,
                                    .kv_type = DV_KV_FORMAT_Q8_0,
                                    .speculation = true,
                                    SAMPLING(0.8, 40)}},
    [DV__PROFILE_BATCH] =
        {.name = "batch",
         .what = "Many short jobs whose sum counts: the most tokens per second, the same answer each time",
         .run = {.context = 4096, .batch = 2048, .parallel = 8, .speculation = false, SAMPLING(0, 40)}},
};

const dv_conf_profile *dv__profile_own(int i) { return &own[i]; }

const dv_conf_profile *dv_conf_own_profile(const char *name)
{
    for (int i = 0; i < DV__PROFILE_N; i++)
        if (strcmp(own[i].name, name) == 0)
            return &own[i];
    return NULL;
}
