/* SPDX-License-Identifier: MIT */
/* Copies of the database: one file with everything, the secrets included, so it is worth as much as the folder itself. */
#ifndef DV_STORE_BACKUP_H
#define DV_STORE_BACKUP_H

#include "store/audit.h"
#include "store/store.h"

typedef struct dv_backup_info {
    uint64_t bytes, keys, users, audit_seq;
    int version; /**< of the schema */
} dv_backup_info;

/**
 * Copy the database as it is at one moment to path, while others go on using it; then read the copy and check it. path (0600) appears when
 * it is whole and checked.
 * Errors: DV_EEXIST (path is there), DV_ENOENT, DV_EACCES, DV_ENOSPC, DV_EIO, DV_ECORRUPT (the database is damaged), DV_ENOMEM.
 */
int dv_backup(dv_store *s, const char *path, const dv_audit_who *by, dv_backup_info *info, dv_err *err);

/**
 * Put a backup in the place of the folder's database, which becomes drover.db.old-TIME; the folder is made if it is not there. The file is
 * checked first, and every step leaves a folder that can be used. dir NULL: dv_store_default_dir.
 * @param old  path of the database that was replaced; "" if there was none
 * Errors: DV_EBUSY (a server or a command uses the folder), DV_EFORMAT (not a backup), DV_EUNSUPPORTED (of a newer drover), DV_ECORRUPT (the file
 * is damaged), and those of files.
 */
int dv_restore(const char *dir, const char *path, const dv_audit_who *by, dv_backup_info *info, dv_buf *old,
               dv_err *err);

#endif
