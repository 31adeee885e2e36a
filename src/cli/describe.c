/* SPDX-License-Identifier: MIT */
/* drover engine --describe: what a model file is, in one line of JSON, for a service that does not open model files itself. The process has given
 * up its rights before it reads the file, so that one made to break the reader breaks this process and nothing else. */
#include "cli/describe.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/word.h"
#include "chat/format.h"
#include "cli/confine.h"
#include "cli/inspect.h"
#include "model/model.h"
#include "sched/sched.h"

#include <stdio.h>
#include <string.h>

enum { PLANS_MAX = 128 };

typedef struct values {
    const char *model;
    dv_opt_list plans;
    bool no_sandbox, require_sandbox;
} values;

#define AT(field) offsetof(values, field)

/* clang-format off */
static const dv_opt opts[] = {
    {.name = "model", .short_name = 'm', .type = DV_OPT_STRING, .value = "FILE", .offset = AT(model), .help = "Model in GGUF format"},
    {.name = "plan", .type = DV_OPT_LIST, .value = "CTX:BATCH:THREADS:PARALLEL:KV:CACHE", .offset = AT(plans), .max = PLANS_MAX,
     .help = "Estimate the memory for these; may be repeated"},
    {.name = "no-sandbox", .type = DV_OPT_FLAG, .offset = AT(no_sandbox), .help = "Keep all rights of the user"},
    {.name = "require-sandbox", .type = DV_OPT_FLAG, .offset = AT(require_sandbox), .help = "Do nothing where the kernel lacks a part of the sandbox"},
};
/* clang-format on */

/* ---- plans ---- */

typedef struct plan {
    dv_engine_options eo;
    dv_sched_options so;
} plan;

static bool read_plan(const char *text, plan *out)
{
    enum { CTX, BATCH, THREADS, PARALLEL, KV, CACHE, FIELDS };
    static const uint64_t max[FIELDS] = {1 << 22, 4096, 256, 256, 0, UINT64_C(1) << 44};
    uint64_t v[FIELDS] = {0};
    int kv = -1;
    for (int i = 0; i < FIELDS; i++) {
        char word[32];
        size_t n = strcspn(text, ":");
        if (n >= sizeof word || (text[n] == ':') != (i + 1 < FIELDS))
            return false;
        memcpy(word, text, n);
        word[n] = 0;
        text += n + 1;
        if (i == KV)
            kv = dv_word_index("auto|f16|q8_0|f32", word);
        else if (!dv_word_u64(word, &v[i]) || v[i] > max[i])
            return false;
    }
    out->eo = (dv_engine_options){.ctx = (uint32_t)v[CTX],
                                  .batch = (uint32_t)v[BATCH],
                                  .threads = (unsigned)v[THREADS],
                                  .kv_format = (dv_kv_format)kv};
    out->so = (dv_sched_options){.parallel = (uint32_t)v[PARALLEL], .cache_bytes = v[CACHE]};
    return kv >= 0;
}

/* The engine does not run it: the KV cache is known from the numbers in the file, perhaps. */
static bool foreign_plan(const dv_gguf *g, const plan *p, dv_sched_plan *out)
{
    dv__inspect_memory m;
    dv__inspect_memory_of(&m, g, p->eo.ctx);
    if (!m.known)
        return false;
    *out = (dv_sched_plan){.weights = dv_gguf_file_bytes(g), .kv = m.kv_f16};
    if (p->eo.kv_format == DV_KV_FORMAT_F32)
        out->kv = m.kv_f32;
    else if (p->eo.kv_format == DV_KV_FORMAT_Q8_0 && m.has_q8_0)
        out->kv = m.kv_q8_0;
    out->anonymous = out->kv;
    return true;
}

static void put_plan(dv_buf *b, const dv_gguf *g, const plan *p, bool native)
{
    dv_sched_plan s = {0};
    dv_err err = {0};
    bool ok = native ? dv_sched_plan_of(g, &p->eo, &p->so, &s, &err) == 0 : foreign_plan(g, p, &s);
    if (!ok) {
        dv_buf_adds(b, "{\"problem\":");
        dv_buf_json_log(b, err.msg, strlen(err.msg));
        dv_buf_addc(b, '}');
        return;
    }
    dv_buf_printf(
        b,
        "{\"weights_bytes\":%llu,\"kv_bytes\":%llu,\"scratch_bytes\":%llu,\"logits_bytes\":%llu,\"vocab_bytes\":%llu,"
        "\"anonymous_bytes\":%llu}",
        (unsigned long long)s.weights, (unsigned long long)s.kv, (unsigned long long)s.scratch,
        (unsigned long long)s.logits, (unsigned long long)s.vocab, (unsigned long long)s.anonymous);
}

/* ---- the file ---- */

/* general.file_type, as llama.cpp numbers it; holes are types that came and went. */
static const char *const file_types[] = {
    [0] = "F32",     [1] = "F16",     [2] = "Q4_0",     [3] = "Q4_1",    [7] = "Q8_0",     [8] = "Q5_0",
    [9] = "Q5_1",    [10] = "Q2_K",   [11] = "Q3_K_S",  [12] = "Q3_K_M", [13] = "Q3_K_L",  [14] = "Q4_K_S",
    [15] = "Q4_K_M", [16] = "Q5_K_S", [17] = "Q5_K_M",  [18] = "Q6_K",   [19] = "IQ2_XXS", [20] = "IQ2_XS",
    [21] = "Q2_K_S", [22] = "IQ3_XS", [23] = "IQ3_XXS", [24] = "IQ1_S",  [25] = "IQ4_NL",  [26] = "IQ3_S",
    [27] = "IQ3_M",  [28] = "IQ2_S",  [29] = "IQ2_M",   [30] = "IQ4_XS", [31] = "IQ1_M",   [32] = "BF16",
    [36] = "TQ1_0",  [37] = "TQ2_0",  [38] = "MXFP4"};

/* What most of its bytes are, where the file does not say. */
static const char *quantization(const dv_gguf *g, const dv__inspect *in)
{
    uint32_t id;
    const dv__inspect_type *most = &in->types[0];
    if (dv_gguf_opt_u32(g, "general.file_type", 0, UINT32_MAX, UINT32_MAX, &id, NULL) == 0 &&
        id < DV_ARRAY_LEN(file_types) && file_types[id] != NULL)
        return file_types[id];
    for (size_t i = 1; i <= DV__INSPECT_TYPES; i++)
        if (in->types[i].n_bytes > most->n_bytes)
            most = &in->types[i];
    return most->n_bytes > 0 && dv_type_name(most->id) != NULL ? dv_type_name(most->id) : "";
}

static void put_text(dv_buf *b, const char *key, const char *s, size_t n)
{
    dv_buf_printf(b, ",\"%s\":", key);
    dv_buf_json_log(b, s, n);
}

static void put_number(dv_buf *b, const dv_gguf *g, dv_str arch, const char *name, const char *key)
{
    char full[256];
    uint32_t v = 0;
    snprintf(full, sizeof full, "%.*s.%s", (int)DV_MIN(arch.n, 128), arch.p, name);
    (void)dv_gguf_opt_u32(g, full, 0, UINT32_MAX, 0, &v, NULL);
    dv_buf_printf(b, ",\"%s\":%u", key, v);
}

static void put_facts(dv_buf *b, const dv_gguf *g, const char *path)
{
    static const char tmpl[] = "tokenizer.chat_template";
    dv_str arch = {"", 0}, name = {"", 0};
    static dv__inspect in;
    (void)dv_gguf_get_str(g, "general.architecture", &arch, NULL);
    (void)dv_gguf_get_str(g, "general.name", &name, NULL);
    dv__inspect_collect(&in, path, g, 0);
    put_text(b, "architecture", arch.p, DV_MIN(arch.n, 64));
    put_text(b, "name", name.p, DV_MIN(name.n, 128));
    put_text(b, "quantization", quantization(g, &in), strlen(quantization(g, &in)));
    put_number(b, g, arch, "context_length", "context_length");
    put_number(b, g, arch, "embedding_length", "embedding_length");
    put_number(b, g, arch, "block_count", "layers");
    dv_buf_printf(b, ",\"parameters\":%llu,\"file_bytes\":%llu,\"template\":%s", (unsigned long long)in.n_elements,
                  (unsigned long long)dv_gguf_file_bytes(g), dv_gguf_find(g, tmpl) != NULL ? "true" : "false");
}

/* Does the engine run it? Errors: DV_EUNSUPPORTED if another program may; else the file is wrong. */
static int try_native(dv_buf *b, const dv_gguf *g, dv_err *err)
{
    dv_model *m = NULL;
    dv_tok *tok = NULL;
    dv_chatfmt *fmt = NULL;
    int rc = dv_model_open(&m, g, 0, err);
    if (rc == 0)
        rc = dv_tok_open(&tok, g, err);
    bool tools = rc == 0 && dv_chatfmt_open(&fmt, g, tok, NULL) == 0 && dv_chatfmt_caps_of(fmt)->tools;
    dv_buf_printf(b, ",\"tools\":%s", tools ? "true" : "false");
    dv_chatfmt_close(&fmt);
    dv_tok_close(&tok);
    if (m != NULL)
        dv_model_close(&m);
    return rc;
}

static void drop_log(void *arg, int level, const char *text) {}

static int open_confined(const values *v, dv_gguf **g, dv_confine *cage, dv_err *err)
{
    *cage = (dv_confine){.off = v->no_sandbox, .require = v->require_sandbox};
    (void)dv_limits_get(); /* its files are out of reach afterwards */
    int rc = dv_confine_begin(cage, v->model, NULL, err);
    if (rc == 0)
        rc = dv_gguf_open(g, v->model, err);
    if (rc == 0)
        rc = dv_confine_seal(cage, drop_log, err);
    return rc;
}

static void describe(dv_buf *b, const values *v, const plan *plans)
{
    dv_gguf *g = NULL;
    dv_confine cage;
    dv_err err = {0};
    dv_buf facts;
    dv_buf_init(&facts, 0);
    int rc = open_confined(v, &g, &cage, &err);
    bool native = false, usable = rc == 0;
    if (rc == 0) {
        put_facts(&facts, g, v->model);
        rc = try_native(&facts, g, &err);
        native = rc == 0;
        usable = native || rc == DV_EUNSUPPORTED;
    }
    dv_buf_printf(b, "{\"usable\":%s,\"native\":%s", usable ? "true" : "false", native ? "true" : "false");
    put_text(b, "problem", err.msg, strlen(err.msg));
    dv_buf_add(b, dv_buf_str(&facts), facts.len);
    dv_buf_adds(b, ",\"plans\":[");
    for (size_t i = 0; i < v->plans.n && g != NULL; i++) {
        if (i > 0)
            dv_buf_addc(b, ',');
        put_plan(b, g, &plans[i], native);
    }
    dv_buf_adds(b, "]}\n");
    dv_buf_fini(&facts);
    dv_gguf_close(&g);
    dv_confine_end(&cage);
}

static int run(const dv_cmd *cmd, int argc, char **argv)
{
    static values v;
    static plan plans[PLANS_MAX];
    size_t n_args;
    int code;
    if (!dv_opt_parse(cmd, argc, argv, &v, sizeof v, &n_args, &code))
        return code;
    if (v.model == NULL)
        return dv_cmd_usage(cmd, "--model FILE is missing");
    for (size_t i = 0; i < v.plans.n; i++)
        if (!read_plan(v.plans.v[i], &plans[i]))
            return dv_cmd_usage(cmd, "--plan must be CTX:BATCH:THREADS:PARALLEL:KV:CACHE, not '%s'", v.plans.v[i]);
    dv_buf b;
    dv_buf_init(&b, 0);
    describe(&b, &v, plans);
    code = b.code == 0 ? DV_EXIT_OK : dv_cmd_fail(cmd, "%s", dv_error_text(b.code));
    if (b.code == 0)
        fwrite(b.data, 1, b.len, stdout);
    dv_buf_fini(&b);
    return code;
}

const dv_cmd dv_cmd_describe = {
    .name = "engine --describe",
    .args = "",
    .summary = "Say what a model file is, and what it would take, in one line of JSON",
    .opts = opts,
    .n_opts = DV_ARRAY_LEN(opts),
    .run = run,
};
