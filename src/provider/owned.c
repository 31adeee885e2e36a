/* SPDX-License-Identifier: MIT */
#include "provider/owned.h"

#include "base/attr.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "conf/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

enum {
    ARGV_MAX = DV__ENGINE_ARGS + 32,
    ENV_MAX = 16,
    GRACE_MS = 900,
    LOST_MS = 500,
    FIRST_WAIT_MS = 5,
    LAST_WAIT_MS = 100,
    HEALTH_MS = 5000
};

/* ---- what it is started with ---- */

typedef struct command {
    dv_arena arena;
    const char *argv[ARGV_MAX + 1], *env[ENV_MAX + 1];
    size_t n_argv, n_env;
    bool lost; /* no memory */
} command;

static void add(command *c, const char *fmt, ...) DV_PRINTF(2, 3);
static void add(command *c, const char *fmt, ...)
{
    char text[PATH_MAX + 64];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    char *p = n >= 0 && (size_t)n < sizeof text ? dv_arena_strndup(&c->arena, text, (size_t)n) : NULL;
    c->lost |= p == NULL;
    if (p != NULL && c->n_argv < ARGV_MAX)
        c->argv[c->n_argv++] = p;
}

static void add_sampling(command *c, const dv_conf_run *r)
{
    add(c, "--temp=%.9g", r->temperature);
    add(c, "--top-k=%" PRId64, r->top_k);
    add(c, "--top-p=%.9g", r->top_p);
    add(c, "--min-p=%.9g", r->min_p);
    add(c, "--typical=%.9g", r->typical_p);
    add(c, "--repeat-penalty=%.9g", r->repeat_penalty);
    add(c, "--repeat-last-n=%" PRId64, r->repeat_last_n);
    add(c, "--presence-penalty=%.9g", r->presence_penalty);
    add(c, "--frequency-penalty=%.9g", r->frequency_penalty);
}

static void add_profile(command *c, const dv_conf_run *r)
{
    static const char *const kv[DV_KV_FORMAT_N] = {"auto", "f16", "q8_0", "f32"};
    add(c, "--ctx=%" PRId64, r->context);
    add(c, "--batch-size=%" PRId64, r->batch);
    add(c, "--ubatch-size=%" PRId64, r->batch);
    add(c, "--threads=%" PRId64, r->threads);
    add(c, "--parallel=%" PRId64, r->parallel);
    add(c, "--kv-type=%s", kv[r->kv_type]);
    add(c, "%s", r->speculation ? "--speculate" : "--no-speculate");
    add_sampling(c, r);
}

/* This process's environment may have secrets in it, and the engine needs little. */
static void add_environment(command *c)
{
    static const char *const names[] = {
        "PATH=", "TZ=", "LD_LIBRARY_PATH=", "ASAN_OPTIONS=", "LSAN_OPTIONS=", "TSAN_OPTIONS=", "UBSAN_OPTIONS="};
    for (char **e = environ; e != NULL && *e != NULL; e++)
        for (size_t i = 0; i < DV_ARRAY_LEN(names); i++)
            if (strncmp(*e, names[i], strlen(names[i])) == 0 && c->n_env < ENV_MAX) {
                c->env[c->n_env] = dv_arena_strndup(&c->arena, *e, strlen(*e));
                c->lost |= c->env[c->n_env++] == NULL;
            }
}

static void command_init(command *c, const dv__owned *o, const dv_conf_profile *profile)
{
    *c = (command){0};
    dv_arena_init(&c->arena, DV_MEM_CLIENT, 0);
    add(c, "%s", o->program);
    add(c, "engine");
    add(c, "--socket=%s", o->socket);
    add(c, "--model=%s", o->model);
    add(c, "--log-level=warn");
    add(c, "--drain=0.5");
    if (o->alias != NULL)
        add(c, "--alias=%s", o->alias);
    if (profile != NULL)
        add_profile(c, &profile->run);
    for (size_t i = 0; i < o->n_args; i++)
        add(c, "%s", o->args[i]);
    add_environment(c);
}

/* ---- the folder of its socket ---- */

/* In base, if the socket's path is short enough there. */
static bool make_dir_in(dv__owned *o, const char *base)
{
    int n = base != NULL && base[0] == '/' ? snprintf(o->dir, sizeof o->dir, "%s/drover-XXXXXX", base) : -1;
    if (n > 0 && (size_t)n < sizeof o->dir &&
        snprintf(o->socket, sizeof o->socket, "%s/engine.sock", o->dir) < (int)sizeof o->socket &&
        mkdtemp(o->dir) != NULL) {
        snprintf(o->socket, sizeof o->socket, "%.*s/engine.sock", n, o->dir);
        return true;
    }
    o->dir[0] = 0;
    return false;
}

static int make_dir(dv__owned *o, dv_err *err)
{
    if (make_dir_in(o, getenv("XDG_RUNTIME_DIR")) || make_dir_in(o, getenv("TMPDIR")) || make_dir_in(o, "/tmp"))
        return 0;
    return dv_fail(err, dv_errno_code(errno), "a folder for the engine's socket: %s", strerror(errno));
}

/* ---- the process ---- */

static int start(dv__owned *o, const char *profile, dv_err *err)
{
    const dv_conf_profile *known = profile != NULL ? dv_conf_own_profile(profile) : NULL;
    command c;
    if (profile != NULL && known == NULL)
        return dv_fail(err, DV_EINVAL, "there is no profile '%s'", profile);
    command_init(&c, o, known);
    o->process.argv = c.argv;
    o->process.env = c.env;
    unlink(o->socket); /* of one that was killed */
    int rc = c.lost ? dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM)) : dv__process_start(&o->process, err);
    dv_arena_fini(&c.arena);
    o->process.argv = o->process.env = NULL;
    o->ready = o->suspect = false;
    snprintf(o->profile, sizeof o->profile, "%s", known != NULL ? known->name : "");
    return rc;
}

static int on_health(void *arg, dv__transfer *t, const char *p, size_t n, bool *enough) { return 0; }

/* 0 or what is wrong with asking. */
static int ask_health(dv__wire *w, dv_err *err)
{
    dv__transfer t = {.url = "http://localhost/health", .on_data = on_health, .total_ms = HEALTH_MS};
    return dv__transfer_run(w, &t, err);
}

static int wait_ready(dv__owned *o, dv__wire *w, dv_err *err)
{
    uint64_t begin = dv_clock_ns();
    unsigned wait = FIRST_WAIT_MS;
    while (!o->ready) {
        dv_err why = {0};
        if (!dv__process_runs(&o->process)) {
            dv__process_stop(&o->process, 0);
            return dv__process_why(&o->process, DV_EIO, "the engine did not start", err);
        }
        int rc = ask_health(w, &why);
        o->ready = rc == 0;
        if (rc == DV_ECANCELED || rc == DV_ENOMEM || dv__wire_canceled(w))
            return dv_fail(err, rc == DV_ENOMEM ? rc : DV_ECANCELED, "%s",
                           dv_error_text(rc == DV_ENOMEM ? rc : DV_ECANCELED));
        if (!o->ready && (dv_clock_ns() - begin) / 1000000 >= o->start_ms) {
            o->suspect = true;
            return dv_fail(err, DV_EIO, "the engine was not ready within %u ms", o->start_ms);
        }
        if (!o->ready)
            dv__wire_sleep(w, wait);
        wait = DV_MIN(wait * 2, (unsigned)LAST_WAIT_MS);
    }
    return 0;
}

int dv__owned_ensure(dv__owned *o, dv__wire *w, const char *profile, dv_err *err)
{
    const char *want = profile != NULL ? profile : "";
    if (o->suspect)
        dv__process_stop(&o->process, 0);
    else if (!dv__process_runs(&o->process) || strcmp(want, o->profile) != 0)
        dv__process_stop(&o->process, GRACE_MS);
    int rc = o->process.there ? 0 : start(o, profile, err);
    return rc == 0 ? wait_ready(o, w, err) : rc;
}

bool dv__owned_ends(const dv__owned *o) { return o->process.there && dv__process_wait(&o->process, LOST_MS); }

void dv__owned_lost(dv__owned *o)
{
    /* A process that was killed has closed its connections a moment before it is seen to have ended. */
    if (!dv__owned_ends(o))
        dv__process_stop(&o->process, 0);
}

void dv__owned_stop(dv__owned *o) { dv__process_stop(&o->process, o->suspect ? 0 : GRACE_MS); }

/* ---- the whole ---- */

int dv__owned_file(const char *model, char out[PATH_MAX], dv_err *err)
{
    struct stat st;
    if (realpath(model, out) == NULL || stat(out, &st) != 0)
        return dv_fail(err, dv_errno_code(errno), "%s: %s", model, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return dv_fail(err, DV_EINVAL, "%s: is not a file", model);
    return access(out, R_OK) == 0 ? 0 : dv_fail(err, dv_errno_code(errno), "%s: %s", model, strerror(errno));
}

static int copy_args(dv__owned *o, const dv_provider_options *options, dv_err *err)
{
    if (options->n_engine_args > DV__ENGINE_ARGS || (options->n_engine_args > 0 && options->engine_args == NULL))
        return dv_fail(err, DV_EINVAL, "engine_args: there are more than %d, or none", DV__ENGINE_ARGS);
    for (size_t i = 0; i < options->n_engine_args; i++) {
        const char *arg = options->engine_args[i];
        if (arg == NULL || strlen(arg) >= PATH_MAX)
            return dv_fail(err, DV_EINVAL, "engine_args[%zu]: is NULL or too long", i);
        o->args[o->n_args] = dv_arena_strndup(&o->arena, arg, strlen(arg));
        if (o->args[o->n_args++] == NULL)
            return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    }
    return 0;
}

int dv__owned_open(dv__owned *o, const char *model, const dv_provider_options *options, dv_err *err)
{
    dv_arena_init(&o->arena, DV_MEM_CLIENT, 0);
    o->start_ms = options->start_ms;
    int rc = dv__owned_file(model, o->model, err);
    if (rc == 0)
        rc = dv__owned_find(options->program, o->program, sizeof o->program, err);
    if (rc == 0)
        rc = copy_args(o, options, err);
    if (rc == 0 && options->model != NULL) {
        o->alias = dv_arena_strndup(&o->arena, options->model, strlen(options->model));
        if (o->alias == NULL)
            rc = dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    }
    return rc == 0 ? make_dir(o, err) : rc;
}

void dv__owned_close(dv__owned *o)
{
    dv__owned_stop(o);
    if (o->dir[0] != 0) {
        unlink(o->socket);
        rmdir(o->dir);
    }
    dv_arena_fini(&o->arena);
}
