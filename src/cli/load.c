/* SPDX-License-Identifier: MIT */
#include "cli/load.h"

#include "base/err.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_MODEL "pocket-dictionary.gguf"

/* Folder of the running program, without a slash at the end; "" when the system does not say. */
static void program_folder(char out[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
    out[n > 0 ? n : 0] = 0;
    char *slash = strrchr(out, '/');
    if (slash != NULL)
        *slash = 0;
}

/* The model that ships with drover: beside the installed program, or in the source tree it was built in. */
static const char *default_model(dv_err *err)
{
    static char path[PATH_MAX + 64], resolved[PATH_MAX];
    static const char *const places[] = {"/../share/drover/models/", "/../models/"};
    char folder[PATH_MAX];
    program_folder(folder);
    for (size_t i = 0; i < DV_ARRAY_LEN(places); i++) {
        snprintf(path, sizeof path, "%s%s" DEFAULT_MODEL, folder, places[i]);
        if (access(path, R_OK) == 0)
            return realpath(path, resolved) != NULL ? resolved : path;
    }
    snprintf(path, sizeof path, "models/" DEFAULT_MODEL);
    if (access(path, R_OK) == 0)
        return path;
    dv_fail(err, DV_ENOENT,
            "no model given (-m FILE), and the one that ships with drover is neither in %s%s nor %s%s nor ./models/",
            folder, places[0], folder, places[1]);
    return NULL;
}

const char *dv_load_path(const dv_load_opts *o, dv_err *err)
{
    return o->model != NULL ? o->model : default_model(err);
}

dv_engine_options dv_load_options(const dv_load_opts *o)
{
    return (dv_engine_options){
        .threads = (unsigned)o->threads,
        .cpu_mask = dv_cpu_mask_name(o->cpu_mask),
        .kv_format = (dv_kv_format)o->kv_type,
        .ctx = (uint32_t)o->ctx,
    };
}

int dv_load(dv_engine **out, const dv_load_opts *o, const char **path, dv_err *err)
{
    *path = dv_load_path(o, err);
    if (*path == NULL)
        return err->code;
    dv_engine_options options = dv_load_options(o);
    int code = dv_engine_open(out, *path, &options, err);
    return code == 0 || strstr(err->msg, *path) != NULL ? code : dv_err_prefix(err, "%s", *path);
}
