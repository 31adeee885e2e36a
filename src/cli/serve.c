/* SPDX-License-Identifier: MIT */
/* drover serve: the service. */
#include "serve/serve.h"

#include "base/err.h"
#include "cli/config_args.h"
#include "cli/data.h"
#include "cli/rundir.h"
#include "store/key.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct values {
    bool quiet;
} values;

static const dv_opt opts[] = {
    {.name = "quiet",
     .short_name = 'q',
     .type = DV_OPT_FLAG,
     .offset = offsetof(values, quiet),
     .help = "Do not say at the start where to find what"},
};

static dv_config_args args; /* for reloads */

static int reload(void *arg, const dv_conf *old, dv_conf **out, dv_conf_changes *changes, dv_err *err)
{
    return dv_conf_reload(out, old, &args.input, changes, err);
}

/* Before there is a log of its own. */
static void store_log(void *arg, dv_store_log_level level, const char *text)
{
    const dv_cmd *cmd = arg;
    fprintf(stderr, "drover %s: %s\n", cmd->name, text);
}

static int open_store(const dv_cmd *cmd, const dv_conf *c, dv_store **store, dv_err *err)
{
    const dv_store_options o = {
        .dir = c->data_dir, .create = true, .server = true, .log = store_log, .log_arg = (void *)(uintptr_t)cmd};
    return dv_store_open(store, &o, err);
}

/* What somebody who has just started it wants to know. */
static void greet(const dv_serve *s, const char *admin_key, bool made)
{
    dv_buf b;
    dv_buf_init(&b, 0);
    if (dv_serve_addresses(&b, s) == 0) {
        char *line = b.data, *first = NULL;
        fprintf(stderr, "drover %s is serving:\n", DV_VERSION);
        for (char *end; line != NULL && (end = strchr(line, '\n')) != NULL; line = end + 1) {
            *end = 0;
            fprintf(stderr, "  %s\n", line);
            if (first == NULL && strncmp(line, "http", 4) == 0)
                first = line;
        }
        if (first != NULL) {
            first[strcspn(first, " ")] = 0;
            fprintf(stderr,
                    "\nTry:\n  curl %s/v1/chat/completions -H 'Content-Type: application/json' \\\n"
                    "    -d '{\"messages\": [{\"role\": \"user\", \"content\": \"What is a llama?\"}]}'\n",
                    first);
        }
    }
    if (admin_key[0] != 0)
        fprintf(stderr, "\nThe admin key is in %s%s\n", admin_key, made ? " (new; keep it safe)" : "");
    fprintf(stderr, "Ctrl-C stops.\n\n");
    dv_buf_fini(&b);
}

static int serve(const dv_cmd *cmd, const values *v, dv_conf *c, dv_store *store, const char *run_dir, dv_err *err)
{
    dv_serve *s = NULL;
    dv_buf key_file;
    bool made = false;
    dv_buf_init(&key_file, 0);
    int rc = dv_key_bootstrap(store, &made, &key_file, err);
    const dv_serve_options o = {.conf = c, .store = store, .run_dir = run_dir, .reload = reload};
    if (rc == 0)
        rc = dv_serve_open(&s, &o, err);
    else
        dv_conf_close(&c);
    if (rc == 0) {
        if (!v->quiet)
            greet(s, dv_buf_str(&key_file), made);
        rc = dv_serve_run(s);
        if (rc != 0)
            dv_fail(err, rc, "the event loop failed: %s", dv_error_text(rc));
    }
    dv_serve_close(&s);
    dv_buf_fini(&key_file);
    return rc;
}

/* Shells leave a small soft limit of descriptors, for programs that use select(); a connection is one. */
static void raise_descriptors(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur == r.rlim_max)
        return;
    r.rlim_cur = r.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &r); /* with fewer it works too */
}

static int run(const dv_cmd *cmd, int argc, char **argv)
{
    values v;
    size_t n_args;
    int code;
    dv_conf *c = NULL;
    dv_store *store = NULL;
    dv_buf run_dir;
    dv_err err = {0};
    if (!dv_config_parse(cmd, argc, argv, &v, sizeof v, &args, &n_args, &code))
        return code;
    raise_descriptors();
    dv_buf_init(&run_dir, 0);
    int rc = dv_conf_open(&c, &args.input, &err);
    if (rc == 0)
        rc = open_store(cmd, c, &store, &err);
    if (rc == 0)
        rc = dv_rundir_make(c->run_dir, &run_dir, &err);
    if (rc == 0 && access(c->models_dir, F_OK) != 0)
        (void)mkdir(c->models_dir, 0700); /* the place to put models; without it there are just none */
    if (rc == 0)
        rc = serve(cmd, &v, c, store, run_dir.data, &err);
    else
        dv_conf_close(&c);
    dv_store_close(&store);
    if (run_dir.data != NULL)
        dv_rundir_remove(run_dir.data);
    dv_buf_fini(&run_dir);
    return rc == 0 ? DV_EXIT_OK : dv_cmd_fail_err(cmd, &err);
}

const dv_cmd dv_cmd_serve = {
    .name = "serve",
    .args = "",
    .summary = "Serve any number of models, safely: keys, limits, audit log, engines that are watched",
    .details =
        "Without any configuration it listens on this machine only. 'drover config' shows what is in effect and where it comes from;\n"
        "docs/configuration.md lists all options, docs/service.md says what the service does. SIGTERM and SIGINT finish running\n"
        "answers first, a second one stops at once; SIGHUP reads configuration, certificates and keys again.",
    .opts = opts,
    .n_opts = DV_ARRAY_LEN(opts),
    .run = run,
};
