/* SPDX-License-Identifier: MIT */
/* How commands report: always "drover CMD: sentence" on stderr. */
#include "cli/cmd.h"

#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static void print_error(const dv_cmd *cmd, const char *fmt, va_list ap)
{
    char text[1024];
    vsnprintf(text, sizeof text, fmt, ap);
    dv_err safe = {0}; /* dv_fail escapes what could steer a terminal */
    dv_fail(&safe, DV_EINVAL, "%s", text);
    fprintf(stderr, "drover %s: %s\n", cmd->name, safe.msg);
}

int dv_cmd_fail(const dv_cmd *cmd, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    print_error(cmd, fmt, ap);
    va_end(ap);
    return DV_EXIT_FAILURE;
}

int dv_cmd_fail_err(const dv_cmd *cmd, const dv_err *err)
{
    return dv_cmd_fail(cmd, "%s", err->msg[0] != 0 ? err->msg : dv_error_text(err->code));
}

int dv_cmd_usage(const dv_cmd *cmd, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    print_error(cmd, fmt, ap);
    va_end(ap);
    fprintf(stderr, "Try 'drover %s --help'.\n", cmd->name);
    return DV_EXIT_USAGE;
}

static int output_error;

bool dv_cmd_flush(void)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return true;
    if (output_error == 0)
        output_error = errno != 0 ? errno : EIO;
    return false;
}

int dv_cmd_output_error(void) { return output_error; }

const char *dv_cpu_mask_name(int index)
{
    static const char *const names[] = {NULL, "c", "avx2", "avx-vnni", "avx512", "avx512-vnni"};
    return index >= 0 && (size_t)index < DV_ARRAY_LEN(names) ? names[index] : NULL;
}
