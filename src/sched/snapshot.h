/* SPDX-License-Identifier: MIT */
/* Prefix snapshots: pages of the prefix cache in a folder, one file per node, named by the hash of all tokens up to its end. They survive
 * a restart. Writing happens on a thread of its own and reads pages that do not change any more; the references it holds are given back
 * on the scheduler's thread. The folder is bounded: least recently used files go first. */
#ifndef DV_SCHED_SNAPSHOT_H
#define DV_SCHED_SNAPSHOT_H

#include "sched/kvfile.h"
#include "sched/prefix.h"

typedef struct dv__snapshot dv__snapshot;

/** @param log  any thread; may be NULL. Errors: DV_ENOENT, DV_EACCES (the folder), DV_ENOMEM, DV_EIO. */
int dv__snapshot_open(dv__snapshot **out, const char *dir, uint64_t max_bytes, const dv__kvfile_id *id,
                      dv__prefix *prefix, void (*log)(void *arg, int level, const char *text), void *log_arg,
                      dv_err *err);
/** Writes what is queued, and the prompts' nodes of the tree within a few seconds if `all`; then stops. *s may be NULL. */
void dv__snapshot_close(dv__snapshot **s, bool all);
/** Between steps: queue nodes that a second sequence has found, and take back pages that are written. */
void dv__snapshot_poll(dv__snapshot *s);
/** Files read, written, refused. */
void dv__snapshot_counts(const dv__snapshot *s, uint64_t *n_hits, uint64_t *n_writes, uint64_t *n_rejects);

#endif
