/* SPDX-License-Identifier: MIT */
/* The commands (one file each, listed in main.c), how they report, and the options that several of them have. */
#ifndef DV_CLI_CMD_H
#define DV_CLI_CMD_H

#include "cli/opt.h"
#include "drover/error.h"

extern const dv_cmd dv_cmd_config;
extern const dv_cmd dv_cmd_info;
extern const dv_cmd dv_cmd_inspect;
extern const dv_cmd dv_cmd_engine;
extern const dv_cmd dv_cmd_profiles;
extern const dv_cmd dv_cmd_run;
extern const dv_cmd dv_cmd_serve;
extern const dv_cmd dv_cmd_score;
extern const dv_cmd dv_cmd_bench;
extern const dv_cmd dv_cmd_tokenize;
extern const dv_cmd dv_cmd_key;
extern const dv_cmd dv_cmd_user;
extern const dv_cmd dv_cmd_audit;
extern const dv_cmd dv_cmd_backup;
extern const dv_cmd dv_cmd_restore;
extern const dv_cmd dv_cmd_doctor;
extern const dv_cmd dv_cmd_list;
extern const dv_cmd dv_cmd_ps;
extern const dv_cmd dv_cmd_show;
extern const dv_cmd dv_cmd_load;
extern const dv_cmd dv_cmd_unload;
extern const dv_cmd dv_cmd_switch;

/** Print "drover CMD: sentence" to stderr, control characters escaped. Returns DV_EXIT_FAILURE. */
int dv_cmd_fail(const dv_cmd *cmd, const char *fmt, ...) DV_PRINTF(2, 3);
/** The same for a recorded failure. */
int dv_cmd_fail_err(const dv_cmd *cmd, const dv_err *err);
/** The same for a wrong command line, with a pointer to --help. Returns DV_EXIT_USAGE. */
int dv_cmd_usage(const dv_cmd *cmd, const char *fmt, ...) DV_PRINTF(2, 3);

/** Flush standard output; false if it, or anything written there before, failed. */
bool dv_cmd_flush(void);
/** errno of the first failure that dv_cmd_flush saw; 0: none. */
int dv_cmd_output_error(void);

/** Rows for options that mean the same in every command; S is the command's struct of values. */
/* clang-format off */
#define DV_OPT_ROW_MODEL(S, field) \
    {.name = "model", .short_name = 'm', .type = DV_OPT_STRING, .value = "FILE", .offset = offsetof(S, field), .help = "Model in GGUF format"}
/* clang-format on */
#define DV_OPT_ROW_CPU_MASK(S, field)                                                                  \
    {                                                                                                  \
        .name = "cpu-mask", .type = DV_OPT_CHOICE, .value = "best|c|avx2|avx-vnni|avx512|avx512-vnni", \
        .offset = offsetof(S, field), .def = "best", .help = "Highest kernel level to use"             \
    }

/** Level name of an index that DV_OPT_ROW_CPU_MASK stored; NULL for "best". */
const char *dv_cpu_mask_name(int index);

#endif
