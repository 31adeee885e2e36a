/* SPDX-License-Identifier: MIT */
/* Opening a model for a command: the options that all of them share, and the model that ships with drover as the default. */
#ifndef DV_CLI_LOAD_H
#define DV_CLI_LOAD_H

#include "cli/cmd.h"
#include "drover/engine.h"

typedef struct dv_load_opts {
    const char *model;
    uint64_t ctx, threads;
    int kv_type; /**< dv_kv_format */
    int cpu_mask;
} dv_load_opts;

/** Their rows; S is the command's struct of values, field its dv_load_opts. */
/* clang-format off */
#define DV_OPT_ROWS_LOAD(S, field)                                                                                                    \
    {.name = "model", .short_name = 'm', .type = DV_OPT_STRING, .value = "FILE", .offset = offsetof(S, field.model),                  \
     .help = "Model in GGUF format; without it the model that ships with drover"},                                                    \
    {.name = "ctx", .short_name = 'c', .type = DV_OPT_UINT, .value = "N", .offset = offsetof(S, field.ctx), .max = 1 << 22,           \
     .help = "Tokens a conversation may hold; 0: what the model was trained for, at most 4096"},                                      \
    {.name = "threads", .short_name = 't', .type = DV_OPT_UINT, .value = "N", .offset = offsetof(S, field.threads), .max = 256,       \
     .help = "Threads; 0: one per usable core"},                                                                                      \
    {.name = "kv-type", .type = DV_OPT_CHOICE, .value = "auto|f16|q8_0|f32", .offset = offsetof(S, field.kv_type), .def = "auto",     \
     .help = "Format of the KV cache; auto: f16, or f32 if the model's matrices are F32"},                                            \
    DV_OPT_ROW_CPU_MASK(S, field.cpu_mask)
/* clang-format on */

/** The file to open: the one given, or the model that ships with drover; NULL: err says where it was looked for. */
const char *dv_load_path(const dv_load_opts *o, dv_err *err);
/** Options of an engine. */
dv_engine_options dv_load_options(const dv_load_opts *o);
/**
 * Open the model. Errors name the file; without a model given and none found they name the places that were looked at.
 * @param path  set to the file that was opened; points into o or to static storage
 */
int dv_load(dv_engine **out, const dv_load_opts *o, const char **path, dv_err *err);

#endif
