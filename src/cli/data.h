/* SPDX-License-Identifier: MIT */
/* What the commands on the service's data folder share: which folder, who acts, times as people write and read them. */
#ifndef DV_CLI_DATA_H
#define DV_CLI_DATA_H

#include "cli/cmd.h"
#include "store/audit.h"
#include "store/store.h"

/* clang-format off */
#define DV_OPT_ROW_DATA_DIR(S, field) \
    {.name = "data-dir", .type = DV_OPT_STRING, .value = "DIR", .offset = offsetof(S, field), \
     .help = "Data folder of the service (default: what DROVER_DATA_DIR or drover.yaml says, else /var/lib/drover for root, " \
             "$XDG_DATA_HOME/drover or ~/.local/share/drover)"}
/* clang-format on */

/**
 * Parse as dv_opt_parse does, with --config and --set besides. Without --data-dir the configuration is read for the folder.
 * @param dir  the field of values that DV_OPT_ROW_DATA_DIR fills; then never NULL, static
 */
bool dv_data_parse(const dv_cmd *cmd, int argc, char **argv, void *values, size_t size, const char **dir,
                   size_t *n_args, int *exit_code) DV_WARN_UNUSED;

/** Open the folder. What the store says by itself goes to stderr, as of cmd, which must be static. Errors: as dv_store_open. */
int dv_data_open(const dv_cmd *cmd, const char *dir, bool create, dv_store **out, dv_err *err);
/** The system's user who runs the command, for the audit log; static, not for several threads. */
const dv_audit_who *dv_data_who(void);

enum { DV_DATA_TIME_LEN = 32 };

/** "2026-11-24 01:46:52 UTC", "never" for 0; returns buf. */
const char *dv_data_time(char buf[DV_DATA_TIME_LEN], uint64_t ms);
/**
 * Read "2027-01-31", "2027-01-31T12:00", "2027-01-31T12:00:00" (UTC, a Z may follow), or a time from now: "90d", with s, m, h, d or w.
 * @param sign  +1: a time from now is one to come; -1: one that was
 */
bool dv_data_time_parse(const char *text, int sign, uint64_t *ms);

#endif
