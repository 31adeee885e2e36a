/* SPDX-License-Identifier: MIT */
/* drover restore: the data of a backup in the place of the service's. */
#include "store/backup.h"

#include "cli/data.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct values {
    const char *dir;
} values;

static const dv_opt opts[] = {DV_OPT_ROW_DATA_DIR(values, dir)};

static void report(const dv_backup_info *info, dv_buf *old)
{
    printf("%" PRIu64 " keys, %" PRIu64 " users, audit log up to row %" PRIu64 "\n", info->keys, info->users,
           info->audit_seq);
    if (old->len > 0)
        printf("The database that was there is %s\n", dv_buf_str(old));
}

static int run(const dv_cmd *cmd, int argc, char **argv)
{
    values v;
    size_t n_args;
    int code;
    if (!dv_data_parse(cmd, argc, argv, &v, sizeof v, &v.dir, &n_args, &code))
        return code;
    dv_backup_info info;
    dv_err err = {0};
    dv_buf old;
    dv_buf_init(&old, 0);
    int rc = dv_restore(v.dir, argv[1], dv_data_who(), &info, &old, &err);
    if (rc == 0)
        report(&info, &old);
    code = rc != 0 ? dv_cmd_fail_err(cmd, &err) : DV_EXIT_OK;
    dv_buf_fini(&old);
    return code;
}

const dv_cmd dv_cmd_restore = {
    .name = "restore",
    .args = "FILE",
    .summary = "Put a backup in the place of the service's data",
    .details =
        "The service must be stopped. FILE is checked before anything is touched, and what was there is kept under another\n"
        "name. Sessions end; keys and passwords are those of the backup.",
    .opts = opts,
    .n_opts = DV_ARRAY_LEN(opts),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
