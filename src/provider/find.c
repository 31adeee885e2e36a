/* SPDX-License-Identifier: MIT */
/* Where the program is. */
#include "base/attr.h"
#include "base/err.h"
#include "provider/owned.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_program(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* The folder of file, which is absolute, and below. */
static bool beside(const char *file, const char *below, char *out, size_t cap)
{
    const char *slash = file[0] == '/' ? strrchr(file, '/') : NULL;
    if (slash == NULL)
        return false;
    int n = snprintf(out, cap, "%.*s/%s", (int)(slash - file), file, below);
    return n > 0 && (size_t)n < cap && is_program(out);
}

static bool beside_program(char *out, size_t cap)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0)
        return false;
    self[n] = 0;
    return beside(self, "drover", out, cap);
}

/* lib/libdrover-provider.so and lib/x86_64-linux-gnu/libdrover-provider.so have it in bin/. */
static bool beside_library(char *out, size_t cap)
{
    static const char *const places[] = {"drover", "../bin/drover", "../../bin/drover"};
    static const char mark = 0; /* something of this library, or of the program it was linked into */
    char file[PATH_MAX];
    Dl_info info;
    if (dladdr(&mark, &info) == 0 || info.dli_fname == NULL || realpath(info.dli_fname, file) == NULL)
        return false;
    for (size_t i = 0; i < DV_ARRAY_LEN(places); i++)
        if (beside(file, places[i], out, cap))
            return true;
    return false;
}

/* Absolute folders only: what lies in the current one is not a program that somebody installed. */
static bool in_path(char *out, size_t cap)
{
    const char *p = getenv("PATH");
    for (; p != NULL && *p != 0; p += *p == ':') {
        size_t n = strcspn(p, ":");
        int len = snprintf(out, cap, "%.*s/drover", (int)DV_MIN(n, (size_t)PATH_MAX), p);
        if (*p == '/' && len > 0 && (size_t)len < cap && is_program(out))
            return true;
        p += n;
    }
    return false;
}

int dv__owned_find(const char *program, char *out, size_t cap, dv_err *err)
{
    if (program != NULL) {
        char file[PATH_MAX];
        if (realpath(program, file) == NULL || !is_program(file) || strlen(file) >= cap)
            return dv_fail(err, DV_ENOENT, "%s: is no program", program);
        memcpy(out, file, strlen(file) + 1);
        return 0;
    }
    if (beside_program(out, cap) || beside_library(out, cap) || in_path(out, cap))
        return 0;
    return dv_fail(err, DV_ENOENT,
                   "the program drover, which runs models, is neither next to this program or library nor in PATH");
}
