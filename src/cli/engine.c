/* SPDX-License-Identifier: MIT */
/* drover engine: one model, served over HTTP. */
#include "api/server.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/limits.h"
#include "cli/confine.h"
#include "cli/describe.h"
#include "cli/format.h"
#include "cli/load.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { KEY_FILE_MAX = 1 << 20, KEY_MAX_LEN = 512, TEMPLATE_MAX = 1 << 20 };

typedef struct values {
    dv_load_opts load;
    const char *host, *socket, *alias, *key_file, *slot_save_path, *cache_dir, *template_text, *template_file;
    dv_opt_list keys, hosts, origins;
    uint64_t port, parallel, batch, ubatch, slice, queue, kv_bytes, cache_ram, cache_dir_mb, top_k, last_n;
    double seed, predict, temp, top_p, min_p, typical_p, repeat, presence, frequency, ping, drain;
    bool speculate, no_speculate, no_cache, metrics, slots, no_slots, jinja, no_jinja, embedding, offline, no_sandbox,
        require_sandbox;
    int log_level;
} values;

#define AT(field) offsetof(values, field)

/* clang-format off */
static const dv_opt opts[] = {
    DV_OPT_ROWS_LOAD(values, load),
    {.name = "ctx-size", .type = DV_OPT_UINT, .value = "N", .offset = AT(load.ctx), .max = 1 << 22, .help = "The same as --ctx: all sequences share these tokens"},
    {.name = "host", .type = DV_OPT_STRING, .value = "HOST", .offset = AT(host), .def = "127.0.0.1", .help = "Address to listen on"},
    {.name = "port", .type = DV_OPT_UINT, .value = "N", .offset = AT(port), .max = 65535, .def = "8081", .help = "Port; 0: any free one"},
    {.name = "socket", .type = DV_OPT_STRING, .value = "PATH", .offset = AT(socket), .help = "Listen on this unix socket and on no port"},
    {.name = "alias", .short_name = 'a', .type = DV_OPT_STRING, .value = "NAME", .offset = AT(alias), .help = "Name of the model; default: its file's"},
    {.name = "api-key", .type = DV_OPT_LIST, .value = "KEY", .offset = AT(keys), .max = DV_OPT_LIST_MAX, .help = "Key that clients must send; may be repeated"},
    {.name = "api-key-file", .type = DV_OPT_STRING, .value = "FILE", .offset = AT(key_file), .help = "File of keys, one a line"},
    {.name = "allow-host", .type = DV_OPT_LIST, .value = "NAME", .offset = AT(hosts), .max = DV_OPT_LIST_MAX,
     .help = "Name that clients may reach this server by, besides localhost and --host; may be repeated"},
    {.name = "allow-origin", .type = DV_OPT_LIST, .value = "ORIGIN", .offset = AT(origins), .max = DV_OPT_LIST_MAX,
     .help = "Web site whose pages may call, such as https://app.example; *: any; may be repeated"},
    {.name = "parallel", .type = DV_OPT_UINT, .value = "N", .offset = AT(parallel), .min = 1, .max = 256, .def = "4", .help = "Sequences at once (also -np)"},
    {.name = "queue", .type = DV_OPT_UINT, .value = "N", .offset = AT(queue), .min = 1, .max = 65536, .def = "64", .help = "Requests that may wait; further ones get 503"},
    {.name = "batch-size", .short_name = 'b', .type = DV_OPT_UINT, .value = "N", .offset = AT(batch), .min = 1, .max = 4096, .def = "512",
     .help = "Tokens of one step"},
    {.name = "ubatch-size", .type = DV_OPT_UINT, .value = "N", .offset = AT(ubatch), .min = 1, .max = 4096, .def = "512",
     .help = "The same; the smaller one counts (also -ub)"},
    {.name = "slice", .type = DV_OPT_UINT, .value = "N", .offset = AT(slice), .min = 1, .max = 4096, .def = "64",
     .help = "Tokens of a prompt in a step that running answers wait for"},
    {.name = "kv-bytes", .type = DV_OPT_UINT, .value = "N", .offset = AT(kv_bytes), .max = 9007199254740992.0, .def = "0",
     .help = "Bytes of the KV cache; 0: what --ctx needs"},
    {.name = "cache-ram", .type = DV_OPT_UINT, .value = "MIB", .offset = AT(cache_ram), .max = 1 << 24, .def = "0",
     .help = "Further memory for prefixes that no request uses now"},
    {.name = "no-cache-prompt", .type = DV_OPT_FLAG, .offset = AT(no_cache), .help = "Compute every prompt in full"},
    {.name = "cache-dir", .type = DV_OPT_STRING, .value = "DIR", .offset = AT(cache_dir), .help = "Keep prefixes here, for the time after a restart"},
    {.name = "cache-dir-size", .type = DV_OPT_UINT, .value = "MIB", .offset = AT(cache_dir_mb), .min = 1, .max = 1 << 24, .def = "4096", .help = "Bound of that folder"},
    {.name = "slot-save-path", .type = DV_OPT_STRING, .value = "DIR", .offset = AT(slot_save_path), .help = "Folder of saved slots"},
    {.name = "speculate", .type = DV_OPT_FLAG, .offset = AT(speculate), .help = "Guess tokens from the text so far: the default"},
    {.name = "no-speculate", .type = DV_OPT_FLAG, .offset = AT(no_speculate), .help = "Do not guess tokens"},
    {.name = "n-predict", .short_name = 'n', .type = DV_OPT_NUM, .value = "N", .offset = AT(predict), .min = -1, .max = 1 << 22, .def = "-1",
     .help = "Longest answer of a request that does not say; -1: until the context is full"},
    {.name = "predict", .type = DV_OPT_NUM, .value = "N", .offset = AT(predict), .min = -1, .max = 1 << 22, .def = "-1", .help = "The same"},
    {.name = "seed", .short_name = 's', .type = DV_OPT_NUM, .value = "N", .offset = AT(seed), .min = -1, .max = 9007199254740992.0, .def = "-1",
     .help = "Seed of requests that have none; -1: a random one each"},
    {.name = "temp", .type = DV_OPT_NUM, .value = "X", .offset = AT(temp), .max = 100, .def = "0.8", .help = "Default temperature; 0: always the most likely token"},
    {.name = "top-k", .type = DV_OPT_UINT, .value = "N", .offset = AT(top_k), .max = 1 << 22, .def = "40", .help = "Default of top_k; 0: off"},
    {.name = "top-p", .type = DV_OPT_NUM, .value = "X", .offset = AT(top_p), .max = 1, .open_min = true, .def = "0.95", .help = "Default of top_p; 1: off"},
    {.name = "min-p", .type = DV_OPT_NUM, .value = "X", .offset = AT(min_p), .max = 1, .def = "0.05", .help = "Default of min_p; 0: off"},
    {.name = "typical", .type = DV_OPT_NUM, .value = "X", .offset = AT(typical_p), .max = 1, .open_min = true, .def = "1", .help = "Default of typical_p; 1: off"},
    {.name = "repeat-penalty", .type = DV_OPT_NUM, .value = "X", .offset = AT(repeat), .max = 100, .open_min = true, .def = "1", .help = "Default of repeat_penalty; 1: off"},
    {.name = "repeat-last-n", .type = DV_OPT_UINT, .value = "N", .offset = AT(last_n), .max = 65536, .def = "64", .help = "Default of repeat_last_n"},
    {.name = "presence-penalty", .type = DV_OPT_NUM, .value = "X", .offset = AT(presence), .min = -2, .max = 2, .def = "0", .help = "Default of presence_penalty"},
    {.name = "frequency-penalty", .type = DV_OPT_NUM, .value = "X", .offset = AT(frequency), .min = -2, .max = 2, .def = "0", .help = "Default of frequency_penalty"},
    {.name = "chat-template", .type = DV_OPT_STRING, .value = "TEXT", .offset = AT(template_text), .help = "Jinja template used instead of the model's; 'chatml' for that format"},
    {.name = "chat-template-file", .type = DV_OPT_STRING, .value = "FILE", .offset = AT(template_file), .help = "The same from a file"},
    {.name = "metrics", .type = DV_OPT_FLAG, .offset = AT(metrics), .help = "Serve /metrics"},
    {.name = "slots", .type = DV_OPT_FLAG, .offset = AT(slots), .help = "Serve /slots: the default"},
    {.name = "no-slots", .type = DV_OPT_FLAG, .offset = AT(no_slots), .help = "Do not serve /slots"},
    {.name = "jinja", .type = DV_OPT_FLAG, .offset = AT(jinja), .help = "Accepted: templates are always Jinja"},
    {.name = "no-jinja", .type = DV_OPT_FLAG, .offset = AT(no_jinja), .help = "Refused: there is no other way to lay out a chat"},
    {.name = "embedding", .type = DV_OPT_FLAG, .offset = AT(embedding), .help = "Accepted: /v1/embeddings is always served"},
    {.name = "embeddings", .type = DV_OPT_FLAG, .offset = AT(embedding), .help = "The same"},
    {.name = "offline", .type = DV_OPT_FLAG, .offset = AT(offline), .help = "Accepted: nothing is ever downloaded"},
    {.name = "sse-ping", .type = DV_OPT_NUM, .value = "S", .offset = AT(ping), .min = 0.02, .max = 3600, .def = "10", .help = "Seconds of silence after which a stream gets a comment line"},
    {.name = "drain", .type = DV_OPT_NUM, .value = "S", .offset = AT(drain), .min = 0.02, .max = 86400, .def = "30", .help = "Seconds that running answers may take after SIGTERM"},
    {.name = "no-sandbox", .type = DV_OPT_FLAG, .offset = AT(no_sandbox), .help = "Keep all rights of the user: no Landlock, no seccomp"},
    {.name = "require-sandbox", .type = DV_OPT_FLAG, .offset = AT(require_sandbox), .help = "Do not start where the kernel lacks a part of the sandbox"},
    {.name = "log-level", .type = DV_OPT_CHOICE, .value = "error|warn|info|debug", .offset = AT(log_level), .def = "info", .help = "What goes to standard error; info: a line for each request"},
};
/* clang-format on */

static int log_level = DV_HTTP_LOG_INFO;

static void print_log(void *arg, int level, const char *text)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    char stamp[32];
    struct timespec now;
    struct tm tm;
    if (level > log_level || level < 0 || (size_t)level >= DV_ARRAY_LEN(names))
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
    fprintf(stderr, "%s.%03dZ %s %s\n", stamp, (int)(now.tv_nsec / 1000000), names[level], text);
}

/* ---- what the options say ---- */

/* A key is part of a header field: visible ASCII. Never shown, not even in errors. */
static bool is_key(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if (s[i] < 0x21 || s[i] > 0x7e)
            return false;
    return n > 0 && n <= KEY_MAX_LEN;
}

/* Keys of the file join those of the command line; lines that are empty or begin with '#' are skipped. text is cut into lines. */
static int read_keys(values *v, dv_buf *text, dv_err *err)
{
    if (v->key_file == NULL)
        return 0;
    int rc = dv_file_read(text, v->key_file, err);
    if (rc != 0)
        return strstr(err->msg, v->key_file) != NULL ? rc : dv_err_prefix(err, "%s", v->key_file);
    for (char *line = strtok(text->data, "\r\n"); line != NULL; line = strtok(NULL, "\r\n")) {
        if (line[0] == '#')
            continue;
        if (v->keys.n == DV_OPT_LIST_MAX)
            return dv_fail(err, DV_ELIMIT, "%s: there are more than %d keys", v->key_file, DV_OPT_LIST_MAX);
        v->keys.v[v->keys.n++] = line;
    }
    return v->keys.n > 0 ? 0 : dv_fail(err, DV_EINVAL, "%s: there is no key in it", v->key_file);
}

static int read_template(values *v, dv_buf *text, dv_err *err)
{
    if (v->template_file == NULL)
        return 0;
    int rc = dv_file_read(text, v->template_file, err);
    v->template_text = dv_buf_str(text);
    return rc == 0 || strstr(err->msg, v->template_file) != NULL ? rc : dv_err_prefix(err, "%s", v->template_file);
}

/* 0, or what is wrong with the command line. */
static int check(const dv_cmd *cmd, const values *v)
{
    if (v->no_jinja)
        return dv_cmd_usage(cmd, "--no-jinja: chats are always laid out by the model's Jinja template");
    if (v->speculate && v->no_speculate)
        return dv_cmd_usage(cmd, "--speculate and --no-speculate contradict each other");
    if (v->no_sandbox && v->require_sandbox)
        return dv_cmd_usage(cmd, "--no-sandbox and --require-sandbox contradict each other");
    if (v->slots && v->no_slots)
        return dv_cmd_usage(cmd, "--slots and --no-slots contradict each other");
    if (v->template_text != NULL && v->template_file != NULL)
        return dv_cmd_usage(cmd, "--chat-template and --chat-template-file contradict each other");
    if (v->predict != floor(v->predict) || v->seed != floor(v->seed))
        return dv_cmd_usage(cmd, "--n-predict and --seed must be whole numbers");
    if (v->template_text != NULL && strchr(v->template_text, '{') == NULL && strcmp(v->template_text, "chatml") != 0)
        return dv_cmd_usage(cmd, "--chat-template must be the text of a template or 'chatml', not '%s'",
                            v->template_text);
    return 0;
}

static dv_sched_options sched_options(const values *v)
{
    return (dv_sched_options){
        .parallel = (uint32_t)v->parallel,
        .queue = (uint32_t)v->queue,
        .slice = (uint32_t)v->slice,
        .kv_bytes = v->kv_bytes,
        .cache_bytes = v->cache_ram << 20,
        .no_prefix_cache = v->no_cache,
        .no_speculation = v->no_speculate,
        .cache_dir = v->cache_dir,
        .cache_dir_bytes = v->cache_dir_mb << 20,
        .log = print_log,
    };
}

static dv_api_options api_options(const values *v, const char *path)
{
    return (dv_api_options){
        .model_path = path,
        .alias = v->alias,
        .host = v->host,
        .keys = v->keys.v,
        .n_keys = v->keys.n,
        .hosts = v->hosts.v,
        .n_hosts = v->hosts.n,
        .origins = v->origins.v,
        .n_origins = v->origins.n,
        .chat_template = v->template_text,
        .slot_save_path = v->slot_save_path,
        .sampling =
            {
                .temperature = (float)v->temp,
                .top_k = (uint32_t)v->top_k,
                .top_p = (float)v->top_p,
                .min_p = (float)v->min_p,
                .typical_p = (float)v->typical_p,
                .repeat_penalty = (float)v->repeat,
                .presence_penalty = (float)v->presence,
                .frequency_penalty = (float)v->frequency,
                .penalty_last_n = (uint32_t)v->last_n,
                .seed = v->seed >= 0 ? (uint64_t)v->seed : 0,
            },
        .fixed_seed = v->seed >= 0,
        .max_tokens = v->predict > 0 ? (uint32_t)v->predict : 0,
        .metrics = v->metrics,
        .slots = !v->no_slots,
        .ping_ms = (unsigned)(v->ping * 1000),
        .drain_ms = (unsigned)(v->drain * 1000),
        .log = print_log,
    };
}

/* ---- serving ---- */

/* The server listens first and says that it loads; a thread of its own loads. */
typedef struct serving {
    const values *v;
    const char *path, *folders[2];
    char url[512]; /* what it listens on */
    dv_confine cage;
    dv_api *api;
    dv_engine *engine;
    dv_sched *sched;
    atomic_bool loaded; /* or failed, and then: */
    int rc;
    dv_err err;
} serving;

static int listen_somewhere(serving *s, dv_err *err)
{
    const values *v = s->v;
    bool v6 = strchr(v->host, ':') != NULL;
    uint16_t port = 0;
    if (v->socket != NULL) {
        snprintf(s->url, sizeof s->url, "unix:%s", v->socket);
        return dv_api_listen_unix(s->api, v->socket, 0600, err);
    }
    int rc = dv_api_listen_tcp(s->api, v->host, (uint16_t)v->port, &port, err);
    snprintf(s->url, sizeof s->url, "http://%s%s%s:%u", v6 ? "[" : "", v->host, v6 ? "]" : "", port);
    return rc;
}

/* Refuse with numbers before anything is loaded, rather than be killed later. */
static int load_model(serving *s, dv_err *err)
{
    dv_engine_options eo = dv_load_options(&s->v->load);
    dv_sched_options so = sched_options(s->v);
    dv_sched_plan plan = {0};
    eo.batch = (uint32_t)DV_MIN(s->v->batch, s->v->ubatch);
    int rc = dv_sched_plan_memory(s->path, &eo, &so, &plan, err);
    if (rc == 0)
        rc = dv_engine_open(&s->engine, s->path, &eo, err);
    if (rc != 0 && strstr(err->msg, s->path) == NULL)
        dv_err_prefix(err, "%s", s->path);
    return rc == 0 ? dv_sched_open(&s->sched, s->engine, &so, err) : rc;
}

/* Nothing of a request is looked at beyond its head before the sandbox is complete. */
static void *load_and_serve(void *arg)
{
    serving *s = arg;
    s->rc = load_model(s, &s->err);
    if (s->rc == 0)
        s->rc = dv_confine_seal(&s->cage, print_log, &s->err);
    if (s->rc == 0)
        s->rc = dv_api_serve(s->api, s->engine, s->sched, &s->err);
    atomic_store(&s->loaded, true); /* before run_server can see that it was told to stop */
    if (s->rc == 0)
        fprintf(stderr, "drover engine: %s, listening on %s\n", s->path, s->url);
    else
        dv_api_stop(s->api);
    return NULL;
}

/* Signals are for the thread that serves. */
static int start_loading(serving *s, pthread_t *thread, dv_err *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(thread, NULL, load_and_serve, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0 ? 0 : dv_fail(err, DV_EIO, "no thread to load the model: %s", strerror(rc));
}

static int run_server(serving *s, dv_err *err)
{
    pthread_t loader;
    dv_api_options ao = api_options(s->v, s->path);
    int rc = dv_api_open(&s->api, &ao, err);
    if (rc == 0)
        rc = listen_somewhere(s, err);
    if (rc == 0)
        rc = dv_confine_latch(&s->cage, err);
    if (rc == 0)
        fprintf(stderr, "drover engine: loading %s, for %s\n", s->path, s->url);
    if (rc == 0)
        rc = start_loading(s, &loader, err);
    if (rc != 0)
        return rc;
    rc = dv_api_run(s->api);
    if (rc == 0 && !atomic_load(&s->loaded))
        _exit(DV_EXIT_OK); /* told to end while loading, which may take long and leaves nothing behind */
    pthread_join(loader, NULL);
    if (s->rc != 0)
        return dv_fail(err, s->rc, "%s", s->err.msg);
    return rc != 0 ? dv_fail(err, rc, "the event loop failed: %s", dv_error_text(rc)) : 0;
}

/* The model may be hostile: what it could take over has given up its rights before it is looked at. */
static int confine(serving *s, dv_err *err)
{
    const values *v = s->v;
    size_t n = 0;
    if (v->cache_dir != NULL)
        s->folders[n++] = v->cache_dir;
    if (v->slot_save_path != NULL)
        s->folders[n++] = v->slot_save_path;
    s->cage = (dv_confine){.off = v->no_sandbox, .require = v->require_sandbox};
    s->cage.o =
        (dv_sandbox_options){.folders = s->folders, .n_folders = n, .socket = v->socket, .port = (uint16_t)v->port};
    return dv_confine_begin(&s->cage, s->path, v->socket == NULL ? v->host : NULL, err);
}

static int serve(const values *v, dv_err *err)
{
    serving s = {.v = v, .path = dv_load_path(&v->load, err)};
    if (s.path == NULL)
        return err->code;
    (void)dv_limits_get(); /* its files are out of reach afterwards */
    int rc = confine(&s, err);
    if (rc == 0)
        rc = run_server(&s, err);
    dv_sched_close(&s.sched); /* its last events still write to requests of the server */
    dv_api_close(&s.api);
    dv_engine_close(&s.engine);
    dv_confine_end(&s.cage);
    return rc;
}

/* llama-server's short options of two letters. */
static void spell_out(int argc, char **argv)
{
    static char parallel[] = "--parallel", ubatch[] = "--ubatch-size";
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-np") == 0)
            argv[i] = parallel;
        else if (strcmp(argv[i], "-ub") == 0)
            argv[i] = ubatch;
    }
}

static int run(const dv_cmd *cmd, int argc, char **argv)
{
    static values v; /* its lists are too large for a stack frame to be pretty */
    size_t n_args;
    int code;
    if (argc > 1 && strcmp(argv[1], "--describe") == 0)
        return dv_cmd_describe.run(&dv_cmd_describe, argc - 1, argv + 1);
    spell_out(argc, argv);
    if (!dv_opt_parse(cmd, argc, argv, &v, sizeof v, &n_args, &code))
        return code;
    if ((code = check(cmd, &v)) != 0)
        return code;
    dv_err err = {0};
    dv_buf keys, template;
    dv_buf_init(&keys, KEY_FILE_MAX);
    dv_buf_init(&template, TEMPLATE_MAX);
    log_level = v.log_level;
    int rc = read_keys(&v, &keys, &err);
    if (rc == 0)
        rc = read_template(&v, &template, &err);
    for (size_t i = 0; i < v.keys.n && rc == 0; i++)
        if (!is_key(v.keys.v[i]))
            rc = dv_fail(&err, DV_EINVAL, "API key %zu is not 1 to %d visible ASCII characters", i + 1, KEY_MAX_LEN);
    if (rc == 0)
        rc = serve(&v, &err);
    dv_buf_fini(&keys);
    dv_buf_fini(&template);
    return rc == 0 ? DV_EXIT_OK : dv_cmd_fail_err(cmd, &err);
}

const dv_cmd dv_cmd_engine = {
    .name = "engine",
    .args = "",
    .summary = "Serve a model over HTTP: the APIs of OpenAI, Anthropic and llama-server",
    .details =
        "SIGTERM and SIGINT drain: running answers are finished, new requests get 503, and the exit code is 0; a second\n"
        "one stops at once. docs/api.md lists the routes, their fields and the limits.",
    .opts = opts,
    .n_opts = DV_ARRAY_LEN(opts),
    .run = run,
};
