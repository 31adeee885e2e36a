/* SPDX-License-Identifier: MIT */
/* Profiles: named sets of how a model runs, for people who do not want to think about each number. */
#ifndef DV_CONF_PROFILE_H
#define DV_CONF_PROFILE_H

#include "drover/engine.h"

typedef struct dv_profile {
    const char *name;
    const char *what; /**< what it is for, a sentence */
    uint32_t context; /**< tokens, shared by all sequences of an engine */
    uint32_t batch;   /**< tokens of a step */
    uint32_t threads; /**< 0: one per usable core */
    uint32_t parallel;
    dv_kv_format kv_type;
    bool speculation;
    dv_sampling sampling; /**< defaults of requests; its seed means nothing */
} dv_profile;

#define DV_PROFILE_NAMES "fast|balanced|quality|memory|batch"
enum { DV_PROFILE_FAST, DV_PROFILE_BALANCED, DV_PROFILE_QUALITY, DV_PROFILE_MEMORY, DV_PROFILE_BATCH, DV_PROFILE_N };

/** i < DV_PROFILE_N. Static. */
const dv_profile *dv_profile_at(int i);
/** Index of a name, or -1. */
int dv_profile_find(const char *name);

#endif
