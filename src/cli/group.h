/* SPDX-License-Identifier: MIT */
/* Commands of two words: "drover key create". Each has its own dv_cmd, whose name is both words; the first word's dv_cmd runs a group. */
#ifndef DV_CLI_GROUP_H
#define DV_CLI_GROUP_H

#include "cli/opt.h"

/** Find the command that argv[1] names and run it with the rest; cmd is the first word's. Returns an exit code. */
int dv_group_run(const dv_cmd *cmd, const dv_cmd *const *list, size_t n, int argc, char **argv);

#endif
