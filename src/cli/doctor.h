/* SPDX-License-Identifier: MIT */
/* drover doctor: what it finds, and the groups of checks. Checks look and change nothing. What they ask the system is here, so that tests can make
 * every finding happen. Texts from outside (paths, what children and servers say) are escaped when they are added. */
#ifndef DV_CLI_DOCTOR_H
#define DV_CLI_DOCTOR_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/limits.h"
#include "conf/conf.h"
#include "sandbox/sandbox.h"

#include <jansson.h>

typedef enum dv__finding { DV__FINDING_OK, DV__FINDING_WARNING, DV__FINDING_PROBLEM, DV__FINDING_N } dv__finding;

typedef struct dv__doctor {
    const dv_conf *conf; /**< NULL in a group that does not need it */
    const char *root;    /**< where proc and sys are; "": here */
    const char *program; /**< drover itself, to look at models with */
    const char *const *env;
    dv_limits limits;
    unsigned cpu;           /**< DV_CPU_* */
    uint64_t now_s, made_s; /**< wall clock; when the program was made */
    uint64_t files;         /**< that may be open at once */
    json_t *findings;       /**< in order */
    const char *area;       /**< of what is found next */
    unsigned n[DV__FINDING_N];
    bool no_memory;
} dv__doctor;

/** Add a finding to d->area. Its text is a sentence without a full stop, or a list of facts. */
void dv__doctor_say(dv__doctor *d, dv__finding level, const char *fmt, ...) DV_PRINTF(3, 4);
/** Say what to do about the finding that was added last. */
void dv__doctor_advise(dv__doctor *d, const char *fmt, ...) DV_PRINTF(2, 3);
const char *dv__finding_name(dv__finding level);

/* doctor_machine.c: CPU, cores, memory, swap, huge pages, open files, clock, sandbox */
void dv__doctor_machine(dv__doctor *d);
void dv__doctor_sandbox(dv__doctor *d, int mode, const dv_sandbox_report *r);
/** What a process that gives up its rights here can do, tried by a child. Errors: DV_EIO. */
int dv__doctor_try_sandbox(dv_sandbox_report *r, dv_err *err);

/* doctor_files.c: folders, the store, certificates, keys, space */
void dv__doctor_files(dv__doctor *d);

/* doctor_net.c: listeners, then Redis */
void dv__doctor_net(dv__doctor *d);
/* doctor_redis.c */
void dv__doctor_redis(dv__doctor *d);

typedef struct dv__owner {
    int pid; /**< 0: not known */
    unsigned uid;
    char name[32]; /**< "" */
} dv__owner;

/** Who listens on a TCP port below root; false: nobody that can be seen. */
bool dv__doctor_owner(const char *root, unsigned port, dv__owner *out);

/* doctor_models.c: model files, what they need, upstream */
void dv__doctor_models(dv__doctor *d);
/** What a file's description (engine --describe) means. named: drover.yaml has it. *upstream: it needs one. Adds to *sum what it takes. */
void dv__doctor_describe(dv__doctor *d, const char *name, bool named, int backend, const json_t *description,
                         bool *upstream, uint64_t *bytes);

/* doctor_child.c */
/**
 * Run a program with little environment and no input, and take what it says, both streams. It is killed when it takes too long or says too much.
 * @param dir  its folder; NULL: /
 * @param out  appended to; its limit bounds it
 * @return its exit status; 128 and more: killed by a signal. Errors: DV_EIO (it cannot be started), DV_EBUSY (it took too long)
 */
int dv__doctor_run(const char *const *argv, const char *dir, unsigned timeout_ms, dv_buf *out, dv_err *err);

#endif
