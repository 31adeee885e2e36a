/* SPDX-License-Identifier: MIT */
#include "sandbox/sandbox.h"

#include "base/attr.h"
#include "base/err.h"
#include "sandbox/extended.h"
#include "sandbox/filter.h"
#include "sandbox/landlock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

static int refused(dv_err *err, const char *what)
{
    return dv_fail(err, DV_EIO, "sandbox: %s: %s", what, strerror(errno));
}

/* Each thread is a folder there, and each folder a link to this one. Without /proc nobody can say. */
static bool has_one_thread(void)
{
    struct stat st;
    return stat("/proc/self/task", &st) != 0 || st.st_nlink <= 3;
}

/* Not above what there is already: a limit of this kind can only be lowered for good. */
static int set_limit(int resource, rlim_t want, const char *what, dv_err *err)
{
    struct rlimit r;
    if (getrlimit(resource, &r) != 0)
        return refused(err, what);
    r.rlim_max = DV_MIN(r.rlim_max, want);
    r.rlim_cur = r.rlim_max;
    return setrlimit(resource, &r) == 0 ? 0 : refused(err, what);
}

int dv_sandbox_confine(const dv_sandbox_options *o, dv_sandbox_report *out, dv_err *err)
{
    *out = (dv_sandbox_report){.folders = o->n_folders > 0, .extended = DV_SANDBOX_EXTENDED};
    if (!has_one_thread())
        return dv_fail(err, DV_EINVAL, "sandbox: threads run already, which it would not hold for");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return refused(err, "no_new_privs");
    /* People's conversations are in memory. 1 and not 0: with 0 the kernel still hands the image to a collector that core_pattern names. */
    int rc = set_limit(RLIMIT_CORE, 1, "RLIMIT_CORE", err);
    if (rc == 0)
        rc = set_limit(RLIMIT_NOFILE, o->max_files != 0 ? o->max_files : DV_SANDBOX_FILES, "RLIMIT_NOFILE", err);
    int abi = dv__landlock_abi(&out->landlock_error);
    if (rc == 0 && abi > 0)
        rc = dv__landlock_enforce(o, abi, err);
    if (rc == 0) {
        out->landlock = abi;
        out->net = abi >= 4;
    }
    return rc;
}

int dv_sandbox_latch(const dv_sandbox_options *o, dv_err *err)
{
    int why;
    unsigned n;
    return dv__seccomp_there(&why) ? dv__seccomp_enforce(o, true, &n, err)
                                   : 0; /* the last step says that there is none */
}

int dv_sandbox_seal(const dv_sandbox_options *o, dv_sandbox_report *out, dv_err *err)
{
    out->sealed = true;
    if (dv__seccomp_there(&out->seccomp_error))
        return dv__seccomp_enforce(o, false, &out->n_calls, err);
    /* The next best thing against new processes. It counts threads too, which all run by now, and does not hold for root. */
    return set_limit(RLIMIT_NPROC, 0, "RLIMIT_NPROC", err);
}

bool dv_sandbox_whole(const dv_sandbox_report *r) { return r->landlock > 0 && r->n_calls > 0; }

void dv_sandbox_text(const dv_sandbox_report *r, char out[DV_SANDBOX_TEXT])
{
    char landlock[160], seccomp[160];
    if (r->landlock > 0)
        snprintf(landlock, sizeof landlock, "Landlock ABI %d (files%s)", r->landlock, r->net ? ", TCP" : "");
    else
        snprintf(landlock, sizeof landlock, "NO Landlock (%s): %s", strerror(r->landlock_error),
                 r->folders || r->n_calls == 0 ? "every file of this user is within reach"
                                               : "files are closed off by seccomp only");
    if (r->n_calls > 0)
        snprintf(seccomp, sizeof seccomp, "seccomp (%u system calls)", r->n_calls);
    else if (r->sealed)
        snprintf(seccomp, sizeof seccomp, "NO seccomp (%s): every system call is within reach",
                 strerror(r->seccomp_error));
    else
        snprintf(seccomp, sizeof seccomp, "no seccomp yet");
    snprintf(out, DV_SANDBOX_TEXT, "sandbox: no new privileges, %s, %s%s", landlock, seccomp,
             r->extended ? "; wider, for this build's sanitizer" : "");
}
