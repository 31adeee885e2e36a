/* SPDX-License-Identifier: MIT */
/* What children are started with. */
#include "base/err.h"
#include "base/mem.h"
#include "fleet/impl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

/* ---- putting them together ---- */

static void init(dv__argv *a)
{
    *a = (dv__argv){.hash = UINT64_C(0xcbf29ce484222325)};
    dv_arena_init(&a->arena, DV_MEM_FLEET, 0);
}

void dv__argv_fini(dv__argv *a)
{
    dv_arena_wipe(&a->arena); /* the key of an upstream */
    dv_arena_fini(&a->arena);
}

static char *copy(dv__argv *a, const char *s)
{
    char *p = dv_arena_strndup(&a->arena, s, strlen(s));
    if (p == NULL)
        a->code = DV_ENOMEM;
    return p;
}

static void put(dv__argv *a, const char *s)
{
    if (a->n_argv + 1 == DV_ARRAY_LEN(a->argv))
        a->code = DV_ELIMIT;
    else
        a->argv[a->n_argv++] = copy(a, s);
}

/* FNV-1a; this and what follows belongs to what an instance is. */
static void count(dv__argv *a, const char *s)
{
    do
        a->hash = (a->hash ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
    while (*s++ != 0);
}

static void add(dv__argv *a, const char *s)
{
    put(a, s);
    count(a, s);
}

static void addf(dv__argv *a, const char *fmt, ...) DV_PRINTF(2, 3);
static void addf(dv__argv *a, const char *fmt, ...)
{
    char text[DV_CONF_TEXT_MAX + 64];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0 || n >= (int)sizeof text)
        a->code = DV_ELIMIT;
    else
        add(a, text);
}

static void add_env(dv__argv *a, const char *s)
{
    if (a->n_env + 1 < DV_ARRAY_LEN(a->env))
        a->env[a->n_env++] = copy(a, s);
}

/* Our own environment has secrets in it: a child gets what is on its list. A name that ends in '_' stands for all that begin with it. */
static void add_environment(dv__argv *a, const char *const *names)
{
    for (char **e = environ; *e != NULL; e++) {
        size_t n = strcspn(*e, "=");
        for (const char *const *name = names; *name != NULL; name++) {
            size_t m = strlen(*name);
            bool prefix = m > 0 && (*name)[m - 1] == '_';
            if (strncmp(*e, *name, m) == 0 && (prefix ? n > m : n == m)) {
                add_env(a, *e);
                break;
            }
        }
    }
}

static const char *const env_native[] = {"PATH",         "TZ", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS",
                                         "TSAN_OPTIONS", NULL};

/* What drivers and libraries of GPUs want to know. Nothing of LLAMA_: llama-server takes its options from there, and ours is its key. */
static const char *const env_upstream[] = {
    "PATH", "HOME", "TZ",  "LD_LIBRARY_PATH", "XDG_CACHE_HOME", "TMPDIR", "GGML_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_",
    "HSA_", "GPU_", "VK_", "MESA_",           "ONEAPI_",        "SYCL_",  "OMP_",  NULL};

static int finish(dv__argv *a, const char *file, dv_err *err)
{
    a->argv[a->n_argv] = NULL;
    a->env[a->n_env] = NULL;
    a->cmd.file = copy(a, file);
    a->cmd.argv = a->argv;
    a->cmd.env = a->env;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    a->cmd.plain = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    a->cmd.plain = true;
#endif
#endif
    if (a->code == DV_ELIMIT)
        return dv_fail(err, a->code, "its options are too many or too long");
    return a->code != 0 ? dv_fail(err, a->code, "%s", dv_error_text(a->code)) : 0;
}

/* ---- the native engine ---- */

static const char *kv_name(int kv)
{
    static const char *const names[DV_KV_FORMAT_N] = {"auto", "f16", "q8_0", "f32"};
    return kv >= 0 && kv < DV_KV_FORMAT_N ? names[kv] : "auto";
}

static void add_sandbox(dv__argv *a, const dv_conf *c)
{
    if (c->security.sandbox == DV_CONF_SANDBOX_OFF)
        add(a, "--no-sandbox");
    else if (c->security.sandbox == DV_CONF_SANDBOX_REQUIRE)
        add(a, "--require-sandbox");
}

static void add_sampling(dv__argv *a, const dv_conf_run *r)
{
    addf(a, "--temp=%.9g", r->temperature);
    addf(a, "--top-k=%lld", (long long)r->top_k);
    addf(a, "--top-p=%.9g", r->top_p);
    addf(a, "--min-p=%.9g", r->min_p);
    addf(a, "--typical=%.9g", r->typical_p);
    addf(a, "--repeat-penalty=%.9g", r->repeat_penalty);
    addf(a, "--repeat-last-n=%lld", (long long)r->repeat_last_n);
    addf(a, "--presence-penalty=%.9g", r->presence_penalty);
    addf(a, "--frequency-penalty=%.9g", r->frequency_penalty);
}

/* data_dir/prefixes/NAME, made if it is not there; false: it cannot be, and the engine goes without. */
static bool prefix_folder(const dv__instance *in, char *out, size_t cap)
{
    char name[256];
    size_t n = 0;
    for (const char *s = in->m->name; *s != 0 && n + 1 < sizeof name; s++)
        name[n++] = *s == '/' || *s == ':' ? '+' : *s;
    name[n] = 0;
    if (snprintf(out, cap, "%s/prefixes", in->f->conf->data_dir) >= (int)cap ||
        (mkdir(out, 0700) != 0 && errno != EEXIST) ||
        snprintf(out, cap, "%s/prefixes/%s.%s", in->f->conf->data_dir, name, in->profile_name) >= (int)cap)
        return false;
    return mkdir(out, 0700) == 0 || errno == EEXIST;
}

/* A file that was replaced is another model, whatever it is called. */
static void count_file(dv__argv *a, const dv__model *m)
{
    char text[128];
    snprintf(text, sizeof text, "%llx:%llx:%llx:%llx", (unsigned long long)m->id.dev, (unsigned long long)m->id.ino,
             (unsigned long long)m->id.bytes, (unsigned long long)m->id.modified_ns);
    count(a, text);
}

static void add_caches(dv__argv *a, const dv__instance *in)
{
    const dv_conf_run *r = &in->run;
    char folder[4096];
    addf(a, "--cache-ram=%lld", (long long)(r->prefix_cache_bytes >> 20));
    if (r->prefix_disk_bytes >> 20 == 0 || !prefix_folder(in, folder, sizeof folder))
        return;
    addf(a, "--cache-dir=%s", folder);
    addf(a, "--cache-dir-size=%lld", (long long)(r->prefix_disk_bytes >> 20));
}

int dv__argv_native(dv__argv *a, const dv__instance *in, dv_err *err)
{
    const dv_conf_run *r = &in->run;
    const dv_conf *c = in->f->conf;
    init(a);
    put(a, "drover");
    put(a, "engine");
    put(a, "--socket");
    put(a, in->socket);
    count_file(a, in->m);
    addf(a, "--model=%s", in->m->path);
    addf(a, "--alias=%s", in->m->name);
    addf(a, "--ctx=%lld", (long long)r->context);
    addf(a, "--batch-size=%lld", (long long)r->batch);
    addf(a, "--ubatch-size=%lld", (long long)r->batch);
    addf(a, "--threads=%lld", (long long)r->threads);
    addf(a, "--parallel=%lld", (long long)r->parallel);
    addf(a, "--kv-type=%s", kv_name(r->kv_type));
    add(a, r->speculation ? "--speculate" : "--no-speculate");
    add_caches(a, in);
    add_sampling(a, r);
    if (in->m->cm != NULL && in->m->cm->chat_template != NULL)
        addf(a, "--chat-template-file=%s", in->m->cm->chat_template);
    add(a, "--metrics");
    add_sandbox(a, c);
    add(a, "--log-level=warn");
    add(a, "--queue=1024"); /* the queue is ours: whoever has a place has one there */
    addf(a, "--drain=%.3f", DV_MAX((double)c->supervision.stop_ms / 1000, 0.02));
    /* Twice what is expected: an engine that wants more has gone wrong, and shall notice itself. */
    a->cmd.max_data = 2 * in->anonymous + (UINT64_C(512) << 20);
    add_environment(a, env_native);
    return finish(a, in->f->program, err);
}

/* ---- llama-server ---- */

static bool is_program(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static bool find_in_path(const char *name, char *out, size_t cap)
{
    const char *p = getenv("PATH");
    p = p != NULL && *p != 0 ? p : "/usr/local/bin:/usr/bin:/bin";
    for (;;) {
        size_t n = strcspn(p, ":");
        if (n > 0 && p[0] == '/' && (size_t)snprintf(out, cap, "%.*s/%s", (int)n, p, name) < cap && is_program(out))
            return true;
        if (p[n] == 0)
            return false;
        p += n + 1;
    }
}

bool dv__argv_find_upstream(const dv_fleet *f, const dv__model *m, char *out, size_t cap)
{
    const char *name = m->cm != NULL ? m->cm->upstream_program : NULL;
    name = name != NULL ? name : f->conf->upstream.program;
    if (name == NULL)
        return false;
    if (strchr(name, '/') == NULL)
        return find_in_path(name, out, cap);
    return (size_t)snprintf(out, cap, "%s", name) < cap && is_program(out);
}

static void add_list(dv__argv *a, const dv_conf_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        add(a, l->v[i]);
}

static void add_pair(dv__argv *a, const char *name, long long v)
{
    add(a, name);
    addf(a, "%lld", v);
}

static void add_upstream_run(dv__argv *a, const dv_conf_run *r)
{
    add_pair(a, "--ctx-size", r->context);
    add_pair(a, "--batch-size", r->batch);
    add_pair(a, "--parallel", r->parallel);
    if (r->threads > 0)
        add_pair(a, "--threads", r->threads);
    if (r->gpu_layers >= 0)
        add_pair(a, "--n-gpu-layers", r->gpu_layers);
    if (r->kv_type != DV_KV_FORMAT_AUTO) {
        add(a, "--cache-type-k");
        add(a, kv_name(r->kv_type));
        add(a, "--cache-type-v");
        add(a, kv_name(r->kv_type));
    }
}

static void add_upstream_sampling(dv__argv *a, const dv_conf_run *r)
{
    const struct {
        const char *name;
        double v;
    } s[] = {
        {"--temp", r->temperature},
        {"--top-k", (double)r->top_k},
        {"--top-p", r->top_p},
        {"--min-p", r->min_p},
        {"--repeat-penalty", r->repeat_penalty},
        {"--repeat-last-n", (double)r->repeat_last_n},
        {"--presence-penalty", r->presence_penalty},
        {"--frequency-penalty", r->frequency_penalty},
    };
    for (size_t i = 0; i < DV_ARRAY_LEN(s); i++) {
        add(a, s[i].name);
        addf(a, "%.9g", s[i].v);
    }
}

int dv__argv_upstream(dv__argv *a, const dv__instance *in, dv_err *err)
{
    const dv_conf_model *cm = in->m->cm;
    char program[4096], key[sizeof in->bearer + 16];
    init(a);
    if (!dv__argv_find_upstream(in->f, in->m, program, sizeof program))
        return dv_fail(err, DV_ENOENT, "there is no llama-server to run it with (upstream.program)");
    add(a, program);
    put(a, "--host");
    put(a, in->socket);
    count_file(a, in->m);
    add(a, "--model");
    add(a, in->m->path);
    add(a, "--alias");
    add(a, in->m->name);
    add_upstream_run(a, &in->run);
    add_upstream_sampling(a, &in->run);
    if (cm != NULL && cm->chat_template != NULL) {
        add(a, "--chat-template-file");
        add(a, cm->chat_template);
    }
    add(a, "--jinja");
    add(a, "--metrics");
    add(a, "--slots");
    add_list(a, &in->f->conf->upstream.flags);
    if (cm != NULL)
        add_list(a, &cm->upstream_flags);
    add_environment(a, env_upstream);
    snprintf(key, sizeof key, "LLAMA_API_KEY=%s", in->bearer); /* not on the command line, which everybody can read */
    add_env(a, key);
    return finish(a, program, err);
}

/* ---- looking at a file ---- */

static void add_plan(dv__argv *a, const dv_conf_run *r)
{
    addf(a, "--plan=%lld:%lld:%lld:%lld:%s:%lld", (long long)r->context, (long long)r->batch, (long long)r->threads,
         (long long)r->parallel, kv_name(r->kv_type), (long long)(r->prefix_cache_bytes >> 20 << 20));
}

/* In the file's folder: what the child says of the file, people will read, and where it is is none of their business. */
int dv__argv_describe(dv__argv *a, const dv__model *m, dv_err *err)
{
    const char *slash = strrchr(m->path, '/');
    init(a);
    put(a, "drover");
    put(a, "engine");
    put(a, "--describe");
    addf(a, "--model=%s", slash != NULL ? slash + 1 : m->path);
    add_sandbox(a, m->f->conf);
    for (size_t i = 0; i < m->f->conf->n_profiles && i < DV__PROFILES_MAX; i++) {
        dv_conf_run run;
        dv__registry_run(m->f, m, (int)i, &run);
        add_plan(a, &run);
    }
    add_environment(a, env_native);
    if (slash != NULL)
        a->cmd.dir = dv_arena_strndup(&a->arena, m->path, slash == m->path ? 1 : (size_t)(slash - m->path));
    if (slash != NULL && a->cmd.dir == NULL)
        a->code = DV_ENOMEM;
    a->cmd.max_data = UINT64_C(2) << 30;
    a->cmd.max_cpu_s = 20;
    return finish(a, m->f->program, err);
}
