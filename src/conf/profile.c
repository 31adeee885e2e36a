/* SPDX-License-Identifier: MIT */
#include "conf/profile.h"

#include <string.h>

/* The engine's usual chain of samplers. */
#define SAMPLING(t, k)                                                                                     \
    {                                                                                                      \
        .temperature = t, .top_k = k, .top_p = 0.95f, .min_p = 0.05f, .typical_p = 1, .repeat_penalty = 1, \
        .penalty_last_n = 64                                                                               \
    }

static const dv_profile profiles[DV_PROFILE_N] = {
    [DV_PROFILE_FAST] = {.name = "fast",
                         .what = "Short questions of one or two people, answered as soon as possible",
                         .context = 2048,
                         .batch = 256,
                         .parallel = 2,
                         .kv_type = DV_KV_FORMAT_AUTO,
                         .speculation = true,
                         .sampling = SAMPLING(0.8f, 20)},
    [DV_PROFILE_BALANCED] = {.name = "balanced",
                             .what = "A few people or agents at once, with conversations of some pages",
                             .context = 4096,
                             .batch = 512,
                             .parallel = 4,
                             .kv_type = DV_KV_FORMAT_AUTO,
                             .speculation = true,
                             .sampling = SAMPLING(0.8f, 40)},
    [DV_PROFILE_QUALITY] = {.name = "quality",
                            .what = "Long documents and careful answers: a large context, a cooler choice of words",
                            .context = 8192,
                            .batch = 1024,
                            .parallel = 2,
                            .kv_type = DV_KV_FORMAT_AUTO,
                            .speculation = true,
                            .sampling = SAMPLING(0.6f, 40)},
    [DV_PROFILE_MEMORY] = {.name = "memory",
                           .what = "Machines with little memory: one request at a time, a small cache in 8 bits",
                           .context = 1024,
                           .batch = 128,
                           .parallel = 1,
                           .kv_type = DV_KV_FORMAT_Q8_0,
                           .speculation = true,
                           .sampling = SAMPLING(0.8f, 40)},
    [DV_PROFILE_BATCH] = {.name = "batch",
                          .what =
                              "Many short jobs whose sum counts: the most tokens per second, the same answer each time",
                          .context = 4096,
                          .batch = 2048,
                          .parallel = 8,
                          .kv_type = DV_KV_FORMAT_AUTO,
                          .speculation = false,
                          .sampling = SAMPLING(0, 40)},
};

const dv_profile *dv_profile_at(int i) { return &profiles[i]; }

int dv_profile_find(const char *name)
{
    for (int i = 0; i < DV_PROFILE_N; i++)
        if (strcmp(profiles[i].name, name) == 0)
            return i;
    return -1;
}
