/* SPDX-License-Identifier: MIT */
/* drover backup: a copy of the service's data, while it runs. */
#include "store/backup.h"

#include "cli/data.h"
#include "cli/format.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct values {
    const char *dir;
} values;

static const dv_opt opts[] = {DV_OPT_ROW_DATA_DIR(values, dir)};

static int run(const dv_cmd *cmd, int argc, char **argv)
{
    values v;
    size_t n_args;
    int code;
    if (!dv_data_parse(cmd, argc, argv, &v, sizeof v, &v.dir, &n_args, &code))
        return code;
    char size[DV_FORMAT_BYTES_LEN];
    dv_backup_info info;
    dv_err err = {0};
    dv_store *s = NULL;
    int rc = dv_data_open(cmd, v.dir, false, &s, &err);
    rc = rc != 0 ? rc : dv_backup(s, argv[1], dv_data_who(), &info, &err);
    if (rc == 0)
        printf("%s: %s, %" PRIu64 " keys, %" PRIu64 " users, audit log up to row %" PRIu64 "; checked\n", argv[1],
               dv_format_bytes(size, info.bytes), info.keys, info.users, info.audit_seq);
    code = rc != 0 ? dv_cmd_fail_err(cmd, &err) : DV_EXIT_OK;
    dv_store_close(&s);
    return code;
}

const dv_cmd dv_cmd_backup = {
    .name = "backup",
    .args = "FILE",
    .summary = "Copy the service's data to a file",
    .details =
        "A service may go on running. FILE must not exist; it appears when it is whole and checked, for its owner only. It\n"
        "holds the folder's secret: keep it where you would keep the keys.",
    .opts = opts,
    .n_opts = DV_ARRAY_LEN(opts),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
