/* SPDX-License-Identifier: MIT */
/* The command line of commands that read the configuration: their own options, and a flag for each row of the option table that has one. */
#ifndef DV_CLI_CONFIG_ARGS_H
#define DV_CLI_CONFIG_ARGS_H

#include "base/buf.h"
#include "cli/cmd.h"
#include "conf/conf.h"

/** What was given on the command line and where the file is. Points into argv, the environment and static storage: one per process. */
typedef struct dv_config_args {
    dv_conf_input input; /**< for dv_conf_open, and again for dv_conf_reload */
    const char *file;    /**< the file that is read; NULL: there is none */
} dv_config_args;

/**
 * Parse as dv_opt_parse does, with cmd's own options in values and the table's in args. Without --config the file is $DROVER_CONFIG, else the
 * first that exists of drover/drover.yaml below $XDG_CONFIG_HOME (~/.config) and /etc.
 * @return false: *exit_code is what the command must return; help or an error was printed
 */
bool dv_config_parse(const dv_cmd *cmd, int argc, char **argv, void *values, size_t values_size, dv_config_args *args,
                     size_t *n_args, int *exit_code) DV_WARN_UNUSED;

/** The same with --config and --set only, for commands that show what drover.yaml says. */
bool dv_config_parse_file(const dv_cmd *cmd, int argc, char **argv, void *values, size_t values_size,
                          dv_config_args *args, size_t *n_args, int *exit_code) DV_WARN_UNUSED;

/** Print what was written and free it. Returns an exit code. */
int dv_config_print(const dv_cmd *cmd, dv_buf *b);

#endif
