/* SPDX-License-Identifier: MIT */
/* Profiles: named sets of how a model runs, for people who do not want to think about each number. drover's own, before the configuration
 * changes them or adds others. */
#ifndef DV_CONF_PROFILE_H
#define DV_CONF_PROFILE_H

#include "conf/load.h"

enum {
    DV__PROFILE_FAST,
    DV__PROFILE_BALANCED,
    DV__PROFILE_QUALITY,
    DV__PROFILE_MEMORY,
    DV__PROFILE_BATCH,
    DV__PROFILE_N
};

/** i < DV__PROFILE_N: name, what and run of one of drover's own. Static. */
const dv_conf_profile *dv__profile_own(int i);

/** The list of the configuration becomes all profiles with everything filled in. Errors: DV_EINVAL, DV_ENOMEM. */
int dv__conf_resolve_profiles(dv__load *l);

/**
 * An option that was not given, of `defaults` or a model in object, becomes that of the profile, if profiles have it.
 * profile: not NULL.
 */
int dv__conf_from_profile(dv__load *l, const dv_conf_option *o, void *object, const dv_conf_profile *profile);

/** The profile that option o with this source names. Errors: DV_EINVAL. */
int dv__conf_named_profile(dv__load *l, dv__slot slot, const char *name, const dv_conf_source *s,
                           const dv_conf_profile **out);

#endif
