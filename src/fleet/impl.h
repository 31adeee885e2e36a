/* SPDX-License-Identifier: MIT */
/* The parts of a fleet and who does what with them. Events (a child ended, a health check was answered, a use was given back, a file came)
 * only note what happened and wake dv__fleet_step, which decides everything in one place and is where all callbacks are made from. */
#ifndef DV_FLEET_IMPL_H
#define DV_FLEET_IMPL_H

#include "base/arena.h"
#include "base/rng.h"
#include "fleet/child.h"
#include "fleet/fleet.h"
#include "limit/fair.h"

#include <sys/queue.h>
#include <sys/types.h>

typedef struct dv__model dv__model;
typedef struct dv__instance dv__instance;
typedef struct dv__order dv__order;
typedef TAILQ_HEAD(dv__uses, dv_use) dv__uses;

#define DV__MS UINT64_C(1000000) /* in nanoseconds */
#define DV__NEVER UINT64_MAX

enum {
    DV__PROFILES_MAX = DV_CONF_PROFILES_MAX + 8,
    DV__CRASHES_MAX = 64, /**< of which the times are kept */
    DV__TEXT = 324        /**< as dv_err.msg */
};

/* ---- models ---- */

/** Which file, and which state of it: the same id means the same bytes as far as anybody can tell. */
typedef struct dv__file_id {
    uint64_t dev, ino, bytes,
        modified_ns; /**< bytes of all parts, the latest change of any; dev and ino of the first */
} dv__file_id;

typedef enum dv__desc_state { DV__DESC_WANTED, DV__DESC_RUNNING, DV__DESC_DONE } dv__desc_state;

/** What a confined child found in a file. Nothing of it is trusted further than its form. */
typedef struct dv__desc {
    dv__desc_state state;
    uint64_t begun_ns; /**< when it was looked at */
    bool usable;       /**< it could be read */
    bool native;       /**< the engine runs it; else problem says why not */
    char architecture[64], quantization[32];
    char problem[DV__TEXT];
    uint64_t parameters, context_train, embedding;
    uint64_t anonymous[DV__PROFILES_MAX]; /**< [conf->n_profiles] bytes beside the weights */
} dv__desc;

struct dv__model {
    dv_fleet *f;
    char *name;              /**< owned */
    char *path;              /**< owned, absolute; NULL for a remote */
    const dv_conf_model *cm; /**< NULL: of the folder, or gone */
    bool gone;               /**< nobody finds it any more */
    bool hidden;             /**< a file that may still be written */
    bool has_file;           /**< id is valid */
    bool young;              /**< it had changed shortly before it was seen */
    dv__file_id id;
    uint64_t settled_ns; /**< when an unchanged file counts as complete */
    dv__desc desc;
    unsigned n_instances;
};

/* ---- instances ---- */

typedef enum dv__probe_result { DV__PROBE_NONE, DV__PROBE_OK, DV__PROBE_NO } dv__probe_result;

struct dv__instance {
    TAILQ_ENTRY(dv__instance) link;
    dv_fleet *f;
    dv__model *m;
    char profile_name[64];
    int profile; /**< index in conf->profiles */
    int backend;
    dv_instance_state state;
    bool pinned;           /**< by order; the model's own pin comes besides */
    bool restart;          /**< wanted although nobody waits: preloaded, or died in use */
    bool force;            /**< the answers are not waited for */
    bool term_sent;        /**< DRAINING: it was told to end */
    bool suspect;          /**< nobody gets it before the next check was answered */
    bool no_room;          /**< waits for memory */
    bool evicted, tried;   /**< marks of residency.c, within a step */
    uint64_t command_hash; /**< of what it was started with; another one now: it is out of date */
    bool outdated;

    dv_conf_run run;
    uint64_t rss_now, anonymous_now, measured_ns; /**< of the process, as it was then */
    uint64_t anonymous, weights;                  /**< estimated bytes; weights are shared by instances of one file */

    dv__child child;
    char socket[108], bearer[512];
    char base[512];
    dv_fetch_target target;
    char why_killed[96]; /**< by us, and not to make it stop */
    char last_line[200]; /**< of its output */
    uint64_t lines_window_ns;
    unsigned lines, lines_dropped;

    /* times: monotonic, ns; 0: never */
    uint64_t started_ns, ready_ns, used_ns, deadline_ns; /**< deadline: of a start, a stop, a pause or a cool-down */
    uint64_t load_ns, loaded_wall_ms, used_wall_ms;
    uint64_t starts, crashes;
    uint64_t crash_ns[DV__CRASHES_MAX]; /**< ring, by crashes */
    dv_err last_error;

    /* health.c */
    dv_fetch *probe;
    int probe_status;
    dv__probe_result probe_result;
    uint64_t probe_begun_ns, probe_next_ns, probe_pause_ns, silent_since_ns, health_us;
    unsigned probe_failures;

    /* use.c */
    dv_fair *queue;       /**< jobs that wait for a place */
    dv__uses jobs, looks; /**< the same and those that need none, each in order of arrival */
    dv__uses held;        /**< uses that have it */
    unsigned n_uses;      /**< all that point here */
    unsigned n_waiting;
    unsigned given, busy; /**< uses that have it, and those of them that take a place; of this process */
    unsigned places, epoch;
};

/* ---- uses ---- */

typedef enum dv__use_state { DV__USE_WAITS, DV__USE_DUE, DV__USE_HELD, DV__USE_FAILED } dv__use_state;

struct dv_use {
    dv_fair_item fair; /* first: the queue gives these back */
    TAILQ_ENTRY(dv_use) link;
    dv_fleet *f;
    dv__instance *in;
    dv__use_state state;
    bool job, place; /* place: counts in in->busy of this epoch */
    unsigned epoch, failed_starts;
    int code;
    dv_err err;
    uint64_t begun_ns, ready_ns, load_ns;
    void *arg;
    void (*ready)(void *arg, int code, const dv_err *err);
};

/* ---- the fleet ---- */

typedef struct dv__describer {
    dv__child child;
    dv__model *m; /**< NULL: nothing runs */
    dv__file_id id;
    uint64_t deadline_ns;
    bool late, answered;
    dv__desc desc;
} dv__describer;

struct dv_fleet {
    dv_fleet_options o;
    const dv_conf *conf;
    struct event_base *base;
    struct event *on_kick, *on_timer, *on_folder;
    dv_rng rng;
    const char *program;
    dv__model **models; /**< [n_models] by name */
    size_t n_models, models_cap;
    TAILQ_HEAD(, dv__instance) instances;
    dv__uses due;
    TAILQ_HEAD(, dv__order) orders;
    unsigned n_waiting;
    uint64_t serial; /**< of sockets */
    char *chosen;    /**< default model by order */
    dv__describer describer;
    int watch_fd;
    bool watched;
    uint64_t rescan_ns;
    bool draining;
    uint64_t budget_now, budget_ns; /**< for statistics */
    void (*drained)(void *arg);
    void *drained_arg;
};

/* fleet.c */

/** Let dv__fleet_step run soon, in the loop. */
void dv__fleet_kick(dv_fleet *f);
void dv__fleet_log(dv_fleet *f, int level, const char *fmt, ...) DV_PRINTF(3, 4);
void dv__fleet_event(dv_fleet *f, const char *what, const char *model, int code, const char *detail);

/** The earlier one. */
static inline void dv__until(uint64_t *next, uint64_t t)
{
    if (t < *next)
        *next = t;
}

/* registry.c */

/** Make the models those of the configuration and of the folder now. Errors: DV_ENOMEM: it is as before, as far as that makes sense. */
int dv__registry_update(dv_fleet *f);
void dv__registry_fini(dv_fleet *f);
/** By a name of a request; "" or NULL: the default. NULL: none. */
dv__model *dv__registry_find(dv_fleet *f, const char *name);
dv__model *dv__registry_default(dv_fleet *f);
/** How a model runs in a profile: its own words, `defaults`, the profile. */
void dv__registry_run(const dv_fleet *f, const dv__model *m, int profile, dv_conf_run *out);
int dv__registry_own_profile(const dv_fleet *f, const dv__model *m);
/** dv_conf_backend: what would run it; AUTO: not known yet. *why (may be NULL): why nothing can, or NULL. */
int dv__registry_backend(const dv_fleet *f, const dv__model *m, const char **why);
/** Free models that are gone and have no instance any more. */
void dv__registry_sweep(dv_fleet *f);

/* scan.c */

typedef struct dv__file {
    char *name; /**< without .gguf, and of a split model without what tells its parts apart */
    char *path; /**< of the first part */
    dv__file_id id;
} dv__file;

typedef struct dv__files {
    dv_arena arena;
    dv__file *v; /**< [n] */
    size_t n, cap;
} dv__files;

/**
 * The models of a folder: regular files in it (no links) that end in .gguf, all parts of a split one. A folder that is not there has none.
 * Errors: DV_ENOMEM, DV_EIO; out can be given to dv__files_fini in any case.
 */
int dv__scan_folder(dv__files *out, const char *folder, dv_err *err);
void dv__files_fini(dv__files *fs);
/** A file that the configuration names, all parts if it is split. False: it is not there, or no file. */
bool dv__scan_file(const char *path, dv__file_id *out);
/** Watch the models folder. What cannot be watched is looked at from time to time. */
void dv__scan_watch(dv_fleet *f);
void dv__scan_fini(dv_fleet *f);

/* argv.c */

typedef struct dv__argv {
    dv_arena arena;
    dv__command cmd;
    uint64_t hash; /**< of what is the same for two starts of the same thing */
    const char *argv[256], *env[128];
    size_t n_argv, n_env;
    int code;
} dv__argv;

/** Command lines. Errors: DV_ENOMEM, DV_ELIMIT, DV_ENOENT (an upstream that is not there). The caller calls dv__argv_fini in any case. */
int dv__argv_native(dv__argv *a, const dv__instance *in, dv_err *err);
int dv__argv_upstream(dv__argv *a, const dv__instance *in, dv_err *err);
int dv__argv_describe(dv__argv *a, const dv__model *m, dv_err *err);
void dv__argv_fini(dv__argv *a);
/** The program that runs m upstream; false: there is none. */
bool dv__argv_find_upstream(const dv_fleet *f, const dv__model *m, char *out, size_t cap);

/* describe.c */

/** Start and end children that look at files. */
void dv__describe_step(dv_fleet *f, uint64_t now, uint64_t *next);
void dv__describe_fini(dv_fleet *f);
/** The model's file is no longer what is being looked at. */
void dv__describe_forget(dv_fleet *f, dv__model *m);

/* instance.c */

/** The instance of m in a profile (-1: its own), made if there is none. NULL: out of memory. */
dv__instance *dv__instance_get(dv_fleet *f, dv__model *m, int profile);
dv__instance *dv__instance_find(const dv_fleet *f, const dv__model *m, int profile);
void dv__instance_free(dv__instance *in);
/** Go on by what happened and by the time. */
void dv__instance_step(dv__instance *in, uint64_t now, uint64_t *next);
/** Take no more uses, end when the ones there are are finished. */
void dv__instance_leave(dv__instance *in, const char *why);
/** It did not start, or died: what it said, or why. */
void dv__instance_failed(dv__instance *in, const char *why, uint64_t now);
bool dv__instance_pinned(const dv__instance *in);
/** It has, or is getting, memory. */
bool dv__instance_loaded(const dv__instance *in);
/** It shall run, and does not. */
bool dv__instance_wanted(const dv__instance *in);
/** Its process ended: as dv__child.on_exit. */
void dv__instance_ended(void *arg, int status);

/* start.c */

/** Start it: there is room. */
void dv__instance_start(dv__instance *in, uint64_t now);
/** Would it be started otherwise now? */
void dv__instance_compare(dv__instance *in);
/** Where it was, and the key for it, are no more. */
void dv__instance_forget_target(dv__instance *in);

/* health.c */

void dv__health_begin(dv__instance *in, uint64_t now);
/** Checks that are due; what came of them: READY, or DRAINING by being killed. */
void dv__health_step(dv__instance *in, uint64_t now, uint64_t *next);
/** Look at once. */
void dv__health_doubt(dv__instance *in);
void dv__health_end(dv__instance *in);

/* use.c */

/** Give places to those who wait; tell those who waited too long. */
void dv__use_step(dv__instance *in, uint64_t now, uint64_t *next);
/** All that wait for it fail; starts: only those that have seen so many failed starts. */
void dv__use_fail_waiting(dv__instance *in, int code, const dv_err *err, unsigned starts);
/** Make the callbacks of uses whose turn it is. */
void dv__use_deliver(dv_fleet *f);
/** Its process ended: the uses that had it count no more. */
void dv__use_lost(dv__instance *in);
int dv__use_begin_at(dv_fleet *f, dv__instance *in, const dv_use_ask *ask, dv_use **out, dv_err *err);

/* residency.c */

/** Start what is wanted and fits, in order; let others go to make room. */
void dv__residency_step(dv_fleet *f, uint64_t now, uint64_t *next);
/** What all instances may take now, and the most that it could ever be. */
uint64_t dv__residency_budget(dv_fleet *f, uint64_t now, uint64_t *ever);
uint64_t dv__residency_used(const dv_fleet *f);
/** Bring rss_now and anonymous_now up to date, from /proc, if they are older than a second. */
void dv__residency_measure(dv__instance *in, uint64_t now);
/** As dv__residency_budget, up to a second old: it reads a number of files. */
uint64_t dv__residency_budget_about(dv_fleet *f, uint64_t now);

/* order.c */

void dv__order_step(dv_fleet *f);
void dv__order_fini(dv_fleet *f);

#endif
