/* SPDX-License-Identifier: MIT */
/* Two steps of a reload inside of opening a configuration, and opening itself. */
#ifndef DV_CONF_RELOAD_H
#define DV_CONF_RELOAD_H

#include "conf/load.h"

/** dv_conf_open; with old, dv_conf_reload. */
int dv__conf_open(dv_conf **out, const dv_conf *old, const dv_conf_input *in, dv_conf_changes *changes, dv_err *err);
/** Before lists are resolved: what cannot be reloaded gets its old value back, and is listed. */
int dv__conf_keep_old(dv__load *l, const dv_conf *old, dv_conf_changes *changes);
/** At the end: list what else differs. */
int dv__conf_compare(dv__load *l, const dv_conf *old, dv_conf_changes *changes);

#endif
