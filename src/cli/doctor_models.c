/* SPDX-License-Identifier: MIT */
/* Model files: each is looked at by a confined child, as the service does it, and its needs are held against the memory there is. */
#include "base/err.h"
#include "base/json.h"
#include "cli/ask.h"
#include "cli/doctor.h"
#include "cli/format.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LOOK_MS = 60000,
    VERSION_MS = 10000,
    SAYS_MAX = 1 << 16,
    UPSTREAM_EXTRA_MIB = 256,
    FILES_MAX = 512,
    KEY_CAP = 4096
};

typedef struct census {
    dv__doctor *d;
    unsigned n;      /**< models */
    bool upstream;   /**< one needs it */
    uint64_t pinned; /**< what those that stay loaded take together */
    unsigned n_pinned;
    bool has_default;
} census;

/* ---- what they take ---- */

static uint64_t budget(const dv__doctor *d)
{
    uint64_t fixed = (uint64_t)d->conf->residency.bytes, reserve = (uint64_t)d->conf->residency.reserve_bytes;
    return fixed > 0 ? fixed : d->limits.mem > reserve ? d->limits.mem - reserve : 0;
}

static void say_size(dv__doctor *d, const char *name, const char *what, uint64_t bytes)
{
    char need[DV_FORMAT_BYTES_LEN], have[DV_FORMAT_BYTES_LEN];
    uint64_t most = budget(d);
    dv_format_bytes(need, bytes);
    if (bytes > most) {
        dv__doctor_say(d, DV__FINDING_PROBLEM, "%s: %s; it needs %s, and models may have %s", name, what, need,
                       dv_format_bytes(have, most));
        dv__doctor_advise(
            d,
            "take a smaller file or quantization, a smaller context, profile: memory, or set residency.memory if there is more");
    } else if (bytes > d->limits.mem_available) {
        dv__doctor_say(d, DV__FINDING_WARNING, "%s: %s; it needs %s, and %s are available now", name, what, need,
                       dv_format_bytes(have, d->limits.mem_available));
        dv__doctor_advise(
            d, "it will be loaded when there is room: end other programs, or take a smaller context (profile: memory)");
    } else {
        dv__doctor_say(d, DV__FINDING_OK, "%s: %s, needs %s", name, what, need);
    }
}

static bool takes(const json_t *description, uint64_t *bytes)
{
    const json_t *plan = json_array_get(json_object_get(description, "plans"), 0);
    uint64_t weights = dv_ask_number(plan, "weights_bytes"), anonymous = dv_ask_number(plan, "anonymous_bytes");
    *bytes = weights < INT64_MAX && anonymous < INT64_MAX ? weights + anonymous : INT64_MAX;
    return weights > 0;
}

void dv__doctor_describe(dv__doctor *d, const char *name, bool named, int backend, const json_t *j, bool *upstream,
                         uint64_t *bytes)
{
    char what[256];
    const char *problem = dv_ask_text(j, "problem"), *arch = dv_ask_text(j, "architecture"),
               *type = dv_ask_text(j, "quantization");
    bool usable = json_is_true(json_object_get(j, "usable")),
         native = usable && json_is_true(json_object_get(j, "native"));
    *bytes = 0;
    *upstream = usable && (backend == DV_CONF_BACKEND_UPSTREAM || (!native && backend == DV_CONF_BACKEND_AUTO));
    if (!usable || (!native && !*upstream)) {
        dv__doctor_say(d, named ? DV__FINDING_PROBLEM : DV__FINDING_WARNING, "%s: %s", name,
                       problem != NULL && problem[0] != 0 ? problem : "it cannot be used");
        dv__doctor_advise(d, usable ? "set its backend to upstream (a llama-server), or take another model"
                                    : "download the file again, or take it away; `drover inspect FILE` says more");
        return;
    }
    snprintf(what, sizeof what, "%.64s%s%.32s, %s", arch != NULL ? arch : "?", type != NULL && type[0] != 0 ? " " : "",
             type != NULL ? type : "", native && !*upstream ? "native" : "upstream");
    if (!takes(j, bytes)) {
        dv__doctor_say(d, DV__FINDING_OK, "%s: %s; what it needs is not known", name, what);
        return;
    }
    *bytes += *upstream ? (uint64_t)UPSTREAM_EXTRA_MIB << 20 : 0;
    say_size(d, name, what, *bytes);
}

/* ---- asking ---- */

static void format_plan(char out[128], const dv_conf_run *r)
{
    static const char *const kv[DV_KV_FORMAT_N] = {"auto", "f16", "q8_0", "f32"};
    snprintf(out, 128, "--plan=%" PRId64 ":%" PRId64 ":%" PRId64 ":%" PRId64 ":%s:%" PRId64, r->context, r->batch,
             r->threads, r->parallel, r->kv_type >= 0 && r->kv_type < DV_KV_FORMAT_N ? kv[r->kv_type] : "auto",
             r->prefix_cache_bytes >> 20 << 20);
}

/* The line of the child's output that is JSON; NULL: none. */
static json_t *read_answer(dv_buf *says)
{
    json_error_t e;
    bool no_memory;
    for (char *line = says->len > 0 ? strtok(says->data, "\n") : NULL; line != NULL; line = strtok(NULL, "\n"))
        if (line[0] == '{')
            return dv_json_load(line, strlen(line), JSON_REJECT_DUPLICATES, &e, &no_memory);
    return NULL;
}

/* Its folder is the child's: what the child says then has no path in it. */
static json_t *describe(dv__doctor *d, const char *path, const dv_conf_run *run, dv_err *err)
{
    char model[NAME_MAX + 16], plan[128], folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    const char *sandbox = d->conf->security.sandbox == DV_CONF_SANDBOX_OFF ? "--no-sandbox" : NULL;
    snprintf(folder, sizeof folder, "%.*s", slash != NULL ? (int)(slash - path) + (slash == path) : 1,
             slash != NULL ? path : "/");
    snprintf(model, sizeof model, "--model=%s", slash != NULL ? slash + 1 : path);
    format_plan(plan, run);
    const char *const argv[] = {d->program, "engine", "--describe", model, plan, sandbox, NULL};
    dv_buf says;
    dv_buf_init(&says, SAYS_MAX);
    int rc = dv__doctor_run(argv, folder, LOOK_MS, &says, err);
    json_t *answer = rc == 0 ? read_answer(&says) : NULL;
    dv_buf_fini(&says);
    if (answer == NULL && rc >= 0)
        dv_fail(err, DV_EFORMAT, "the file is damaged or hostile: the process that looked at it ended with status %d",
                rc);
    return answer;
}

static void check_file(census *c, const char *name, const char *path, const dv_conf_model *m)
{
    dv__doctor *d = c->d;
    const dv_conf_run *run = m != NULL ? &m->run : &d->conf->defaults;
    dv_err err = {0};
    struct stat st;
    bool upstream = false;
    uint64_t bytes = 0;
    c->n++;
    c->has_default |= d->conf->default_model != NULL && strcmp(name, d->conf->default_model) == 0;
    if (stat(path, &st) != 0 || access(path, R_OK) != 0) {
        dv__doctor_say(d, m != NULL ? DV__FINDING_PROBLEM : DV__FINDING_WARNING, "%s: %s: %s", name, path,
                       strerror(errno));
        dv__doctor_advise(d, errno == EACCES
                                 ? "let the user that runs drover serve read it (chmod a+r, and its folders)"
                                 : "correct its path, or put the file there");
        return;
    }
    json_t *j = describe(d, path, run, &err);
    if (j == NULL) {
        dv__doctor_say(d, m != NULL ? DV__FINDING_PROBLEM : DV__FINDING_WARNING, "%s: %s", name, err.msg);
        dv__doctor_advise(d, "download the file again, or take it away");
        return;
    }
    dv__doctor_describe(d, name, m != NULL, m != NULL ? m->backend : DV_CONF_BACKEND_AUTO, j, &upstream, &bytes);
    c->upstream |= upstream;
    c->pinned += m != NULL && m->pin ? bytes : 0;
    c->n_pinned += m != NULL && m->pin;
    json_decref(j);
}

/* ---- which ones ---- */

static void check_remote(census *c, const dv_conf_model *m)
{
    char key[KEY_CAP];
    struct stat st;
    dv_err err = {0};
    c->n++;
    if (dv_conf_read_key(m, c->d->env, key, sizeof key, &err) != 0) {
        dv__doctor_say(c->d, DV__FINDING_PROBLEM, "%s: %s", m->name, err.msg);
        dv__doctor_advise(c->d, "the key for %s belongs in the variable or file that key_env or key_file names",
                          m->url);
    } else {
        dv__doctor_say(c->d, DV__FINDING_OK, "%s: at %s, which is allowed%s", m->name, m->url,
                       key[0] != 0 ? "; its key is there" : "");
    }
    explicit_bzero(key, sizeof key);
    if (m->key_file != NULL && stat(m->key_file, &st) == 0 && (st.st_mode & 077) != 0) {
        dv__doctor_say(c->d, DV__FINDING_WARNING, "%s: other users can read %s", m->name, m->key_file);
        dv__doctor_advise(c->d, "chmod 600 %s", m->key_file);
    }
}

static void check_template(census *c, const dv_conf_model *m)
{
    if (m->chat_template == NULL || access(m->chat_template, R_OK) == 0)
        return;
    dv__doctor_say(c->d, DV__FINDING_PROBLEM, "%s: chat_template: %s: %s", m->name, m->chat_template, strerror(errno));
    dv__doctor_advise(c->d, "correct its path, or take it away: the model's own template is used then");
}

/* "x-00002-of-00003" is a part of x. *stem: what of it is the model's name. */
static bool is_later_part(const char *name, size_t *stem)
{
    unsigned no, count;
    int n = 0;
    const char *tail = *stem > 15 ? name + *stem - 15 : NULL;
    if (tail == NULL || sscanf(tail, "-%5u-of-%5u%n", &no, &count, &n) != 2 || n != 15)
        return false;
    *stem -= 15;
    return no != 1;
}

static bool is_named(const dv_conf *c, const struct stat *st)
{
    struct stat other;
    for (size_t i = 0; i < c->n_models; i++)
        if (c->models[i].path != NULL && stat(c->models[i].path, &other) == 0 && other.st_dev == st->st_dev &&
            other.st_ino == st->st_ino)
            return true;
    return false;
}

static void check_entry(census *c, const char *file)
{
    char path[PATH_MAX], name[NAME_MAX + 1];
    struct stat st;
    size_t n = strlen(file),
           stem = n > 5 && strcasecmp(file + n - 5, ".gguf") == 0 && file[0] != '.' && file[0] != '-' ? n - 5 : 0;
    if (stem == 0 || is_later_part(file, &stem) || c->n >= FILES_MAX)
        return;
    snprintf(name, sizeof name, "%.*s", (int)stem, file);
    bool fits = snprintf(path, sizeof path, "%s/%s", c->d->conf->models_dir, file) < (int)sizeof path;
    if (!fits || lstat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
        dv__doctor_say(c->d, DV__FINDING_WARNING, "%s in models_dir is no file of its own, so it is not served", file);
        dv__doctor_advise(c->d, "links are not followed there: move the file, or name it in models with its path");
        return;
    }
    if (!is_named(c->d->conf, &st) && dv_conf_find_model(c->d->conf, name) == NULL)
        check_file(c, name, path, NULL);
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static void check_folder(census *c)
{
    struct dirent **list = NULL;
    int n = scandir(c->d->conf->models_dir, &list, NULL, by_name);
    for (int i = 0; i < n; i++) {
        check_entry(c, list[i]->d_name);
        free(list[i]);
    }
    free(list);
}

/* ---- upstream ---- */

static bool find_program(const dv__doctor *d, const char *name, char out[PATH_MAX])
{
    const char *path = dv_conf_env(d->env, "PATH");
    if (strchr(name, '/') != NULL)
        return snprintf(out, PATH_MAX, "%s", name) < PATH_MAX && access(out, X_OK) == 0;
    for (const char *p = path; p != NULL && *p != 0; p += strcspn(p, ":") + (p[strcspn(p, ":")] == ':')) {
        size_t n = strcspn(p, ":");
        if (n > 0 && p[0] == '/' && snprintf(out, PATH_MAX, "%.*s/%s", (int)n, p, name) < PATH_MAX &&
            access(out, X_OK) == 0)
            return true;
    }
    return false;
}

/* The line in which it tells its version. */
static void say_version(dv__doctor *d, const char *program)
{
    dv_buf says;
    dv_err err = {0};
    const char *const argv[] = {program, "--version", NULL};
    dv_buf_init(&says, SAYS_MAX);
    int rc = dv__doctor_run(argv, NULL, VERSION_MS, &says, &err);
    char *at = says.len > 0 ? strstr(says.data, "version") : NULL;
    if (at != NULL)
        at[strcspn(at, "\r\n")] = 0;
    if (rc == 0)
        dv__doctor_say(d, DV__FINDING_OK, "upstream: %s, %s", program,
                       at != NULL ? at : "which does not tell its version");
    else
        dv__doctor_say(d, DV__FINDING_WARNING, "upstream: %s does not run: %s", program,
                       err.msg[0] != 0 ? err.msg : "it ends with a failure");
    if (rc != 0)
        dv__doctor_advise(d, "run `%s --version` by hand and see what it lacks", program);
    dv_buf_fini(&says);
}

static bool was_before(const dv_conf *c, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (c->models[k].upstream_program != NULL &&
            strcmp(c->models[k].upstream_program, c->models[i].upstream_program) == 0)
            return true;
    return false;
}

static void check_program(census *c, const char *name, bool needed)
{
    char program[PATH_MAX];
    if (find_program(c->d, name, program)) {
        say_version(c->d, program);
    } else if (needed) {
        dv__doctor_say(c->d, DV__FINDING_PROBLEM,
                       "upstream: there is no %s to run models with that the native engine does not", name);
        dv__doctor_advise(
            c->d,
            "install llama.cpp's llama-server, and set upstream.program to it, or take models whose architecture is supported");
    } else {
        dv__doctor_say(c->d, DV__FINDING_OK, "upstream: no %s, and no model needs it", name);
    }
}

static void check_upstream(census *c)
{
    const dv_conf *conf = c->d->conf;
    check_program(c, conf->upstream.program, c->upstream);
    for (size_t i = 0; i < conf->n_models; i++)
        if (conf->models[i].upstream_program != NULL &&
            strcmp(conf->models[i].upstream_program, conf->upstream.program) != 0 && !was_before(conf, i))
            check_program(c, conf->models[i].upstream_program, true);
}

/* ---- all together ---- */

static void check_sums(census *c)
{
    char sum[DV_FORMAT_BYTES_LEN], have[DV_FORMAT_BYTES_LEN];
    dv__doctor *d = c->d;
    const char *name = d->conf->default_model;
    if (c->n == 0) {
        dv__doctor_say(d, DV__FINDING_WARNING, "there is no model");
        dv__doctor_advise(d, "put GGUF files into %s, or name one with --model FILE or models in drover.yaml",
                          d->conf->models_dir);
    }
    if (c->n > 0 && name != NULL && !c->has_default && dv_conf_find_model(d->conf, name) == NULL) {
        dv__doctor_say(d, DV__FINDING_PROBLEM, "default_model: there is no model %s", name);
        dv__doctor_advise(d, "set default_model to one that there is, or take it away: then it is the first");
    }
    if (c->n_pinned > 1 && c->pinned > budget(d)) {
        dv__doctor_say(d, DV__FINDING_PROBLEM,
                       "the %u models that stay loaded (pin) need %s together, and models may have %s", c->n_pinned,
                       dv_format_bytes(sum, c->pinned), dv_format_bytes(have, budget(d)));
        dv__doctor_advise(d, "take pin away from some: those are unloaded when others need the memory");
    }
}

void dv__doctor_models(dv__doctor *d)
{
    census c = {.d = d};
    for (size_t i = 0; i < d->conf->n_models; i++) {
        const dv_conf_model *m = &d->conf->models[i];
        if (m->path == NULL) {
            check_remote(&c, m);
            continue;
        }
        check_file(&c, m->name, m->path, m);
        check_template(&c, m);
    }
    check_folder(&c);
    check_upstream(&c);
    check_sums(&c);
}
