/* SPDX-License-Identifier: MIT */
/* Where values come from: each option by each of its sources, precedence, defaults, profiles, paths, shorthands. */
#include "conf_util.h"

#include <stdlib.h>

/* ---- each option by each source ---- */

enum { MAX_PAIRS = 16 };

typedef struct pair {
    const char *name, *text; /* of an element: "models.0.path" */
} pair;

/* A word that is not the default; another one, which is if there are but two. */
static void enum_samples(const dv_conf_option *o, const char *out[2])
{
    static char words[2][16];
    for (const char *w = o->words;; w += strcspn(w, "|") + 1) {
        char word[16];
        snprintf(word, sizeof word, "%.*s", (int)strcspn(w, "|"), w);
        bool is_default = strcmp(word, o->def) == 0;
        if (is_default || out[0] != NULL)
            out[1] = strcpy(words[1], word);
        else
            out[0] = strcpy(words[0], word);
        if (strchr(w, '|') == NULL)
            break;
    }
    assert_true(out[0] != NULL && out[1] != NULL);
}

/* Two values of an option that are allowed; the first is not its default. */
static void samples(const dv_conf_option *o, const char *out[2])
{
    static char numbers[2][32];
    static const struct {
        const char *name, *a, *b;
    } of[] = {
        {"model_url", "http://localhost:9001/v1", "http://localhost:9002"},
        {"default_model", "a", "b"},
        {"limits.body_size", "1MiB", "2MiB"},
        {"limits.bodies_size", "1GiB", "2GiB"},
        {"supervision.backoff_min", "1s", "2s"},
        {"supervision.backoff_max", "1m", "2m"},
        {"security.session_idle", "1h", "2h"},
        {"security.session_time", "20d", "30d"},
        {"security.allowed_hosts", "a.example", "b.example,c.example"},
        {"security.allowed_origins", "https://a.example", "https://b.example:8443,*"},
        {"security.trusted_proxies", "10.0.0.0/8", "192.168.1.1,fd00::/8"},
        {"redis.url", "redis://a:6379", "redis://:p@b/1"},
        {"redis.prefix", "a:", "b:"},
        {"upstream.program", "/opt/llama-server", "llama"},
        {"upstream.flags", "--verbose", "--flash-attn --no-mmap"},
        {"remote.allow", "https://a.example", "https://b.example:8443"},
        {"models.*.name", "one", "two"},
        {"models.*.aliases", "alias", "x:1b,y"},
        {"models.*.url", "http://localhost:9001/v1", "http://127.0.0.1:9002"},
        {"models.*.backend", "native", "upstream"},
        {"models.*.upstream_program", "/opt/llama-server", "llama"},
        {"models.*.upstream_flags", "--a", "--b 1"},
        {"models.*.profile", "fast", "quality"},
        {"defaults.profile", "fast", "quality"},
        {"profiles.*.name", "mine", "fast"},
        {"profiles.*.what", "A: 1", "two, three"},
        {"profiles.*.base", "fast", "quality"},
        {"models.*.key_env", "A_KEY", "B_KEY"},
        {"models.*.remote_name", "a", "b"},
    };
    for (size_t i = 0; i < DV_ARRAY_LEN(of); i++)
        if (strcmp(o->name, of[i].name) == 0) {
            out[0] = of[i].a;
            out[1] = of[i].b;
            return;
        }
    switch (o->type) {
    case DV_CONF_BOOL:
        out[0] = o->def[0] == 't' ? "false" : "true";
        out[1] = o->def[0] == 't' ? "true" : "false";
        return;
    case DV_CONF_PATH:
        out[0] = "/a/file";
        out[1] = "/b/file";
        return;
    case DV_CONF_ADDRESS:
        out[0] = "127.0.0.1:19001";
        out[1] = "[::1]:19002";
        return;
    case DV_CONF_ENUM: enum_samples(o, out); return;
    case DV_CONF_NUM:
        out[0] = "0.125";
        out[1] = "1";
        return;
    case DV_CONF_INT:
    case DV_CONF_SIZE:
    case DV_CONF_DURATION:
        for (int k = 0; k < 2; k++) {
            snprintf(numbers[k], sizeof numbers[k], "%lld%s", (long long)o->min + 1 + k,
                     o->type == DV_CONF_SIZE       ? "B"
                     : o->type == DV_CONF_DURATION ? "ms"
                                                   : "");
            out[k] = numbers[k];
        }
        return;
    default: fail_msg("%s: the test has no values for it", o->name);
    }
}

/* What else must be said so that an option makes sense. */
static size_t companions(const dv_conf_option *o, pair out[MAX_PAIRS])
{
    static const pair tls[] = {{"tls.cert", "/t/cert"}, {"tls.key", "/t/key"}};
    static const pair listener[] = {{"listeners.0.address", "127.0.0.1:18000"},
                                    {"listeners.0.tls_cert", "/t/cert"},
                                    {"listeners.0.tls_key", "/t/key"}};
    static const pair profile[] = {{"profiles.0.name", "mine"}};
    static const pair file[] = {{"models.0.path", "/m/file.gguf"}};
    static const pair remote[] = {{"models.0.url", "http://localhost:9000"}, {"models.0.name", "m"}};
    const pair *list = NULL;
    size_t n = 0, kept = 0;
    bool is_remote =
        strstr(o->name, ".url") != NULL || strstr(o->name, ".key_") != NULL || strstr(o->name, ".remote_") != NULL;
    if (strncmp(o->name, "tls.", 4) == 0)
        list = tls, n = 2;
    else if (o->scope == DV_CONF_LISTENER)
        list = listener, n = 3;
    else if (o->scope == DV_CONF_PROFILE)
        list = profile, n = 1;
    else if (o->scope == DV_CONF_MODEL)
        list = is_remote ? remote : file, n = is_remote ? 2 : 1;
    for (size_t i = 0; i < n; i++)
        if (strcmp(strrchr(list[i].name, '.'), strrchr(o->name, '.')) != 0)
            out[kept++] = list[i];
    return kept;
}

static void write_value(dv_buf *b, const char *name, const char *text)
{
    const dv_conf_option *o = dv_conf_option_find(name);
    char pattern[64];
    const char *digit = strpbrk(name, "0123456789");
    if (o == NULL && digit != NULL) {
        snprintf(pattern, sizeof pattern, "%.*s*%s", (int)(digit - name), name, digit + 1);
        o = cu_option(pattern);
    }
    if (o->type != DV_CONF_LIST) {
        dv_buf_printf(b, "'%s'\n", text);
        return;
    }
    dv_buf_adds(b, "[");
    for (const char *p = text; *p != 0;) {
        const char seps[] = {o->sep, 0};
        size_t n = strcspn(p, seps);
        dv_buf_printf(b, "%s'%.*s'", p == text ? "" : ", ", (int)n, p);
        p += n + (p[n] != 0);
    }
    dv_buf_adds(b, "]\n");
}

/* The file that says these things: at most one section and one list. */
static const char *write_file(dv_buf *b, const pair *pairs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *name = pairs[i].name, *dot = strchr(name, '.');
        if (i == 0 && dot != NULL)
            dv_buf_printf(b, "%.*s:\n", (int)(dot - name), name);
        if (dot == NULL)
            dv_buf_printf(b, "%s: ", name);
        else if (strchr(dot + 1, '.') != NULL)
            dv_buf_printf(b, "%s%s: ", i == 0 ? "  - " : "    ", strrchr(name, '.') + 1);
        else
            dv_buf_printf(b, "  %s: ", dot + 1);
        write_value(b, name, pairs[i].text);
    }
    return dv_buf_str(b);
}

static void expect(const dv_conf_input *in, const dv_conf_option *o, const char *text, const char *source)
{
    char want[512];
    dv_conf *c = cu_open_input(in);
    const void *object = cu_first(c, o->scope);
    snprintf(want, sizeof want, "%s (%s)", o->secret ? "***" : text, source);
    assert_string_equal(cu_shown(o->name, object), want);
    if (o->secret) /* the value itself is there */
        assert_string_equal(*(const char *const *)((const char *)object + o->offset), text);
    dv_conf_close(&c);
}

/* The name of the option in object 0. */
static void name_of(const dv_conf_option *o, char out[64])
{
    const char *star = strchr(o->name, '*');
    if (star != NULL)
        snprintf(out, 64, "%.*s0%s", (int)(star - o->name), o->name, star + 1);
    else
        snprintf(out, 64, "%s", o->name);
}

static void by_variable(const dv_conf_option *o, dv_conf_input *in, const char *variable, const char *text)
{
    char line[512];
    const char *env[] = {"HOME=/h/me", line, NULL};
    snprintf(line, sizeof line, "%s=%s", variable, text);
    in->env = env;
    expect(in, o, text, variable);
}

static void each_option_by_each_source(void **state)
{
    size_t i, n_foreign = 0;
    for (i = 0; dv_conf_option_at(i) != NULL; i++) {
        const dv_conf_option *o = dv_conf_option_at(i);
        const char *text[2] = {NULL};
        char name[64], variable[DV_CONF_ENV_LEN], line[512], where[64];
        pair pairs[MAX_PAIRS];
        dv_buf with, without;
        samples(o, text);
        name_of(o, name);
        size_t n = companions(o, pairs);
        dv_buf_init(&with, 0);
        dv_buf_init(&without, 0);
        write_file(&without, pairs, n);
        pairs[n] = (pair){name, text[0]};
        write_file(&with, pairs, n + 1);
        dv_conf_input in = cu_input(dv_buf_str(&without));

        /* Other programs' variables, then the own one, which counts more. */
        for (const char *word = o->env; word != NULL && *word != 0;) {
            snprintf(variable, sizeof variable, "%.*s", (int)strcspn(word, " "), word);
            by_variable(o, &in, variable, text[0]);
            word += strcspn(word, " ");
            n_foreign++;
        }
        dv_conf_env_name(o, variable);
        char *index = o->scope != DV_CONF_TOP ? strstr(variable, "_N_") : NULL;
        if (index != NULL)
            index[1] = '0';
        by_variable(o, &in, variable, text[0]);
        snprintf(line, sizeof line, "%s=%s", variable, text[1]);
        char foreign[512];
        snprintf(foreign, sizeof foreign, "%.*s=%s", (int)strcspn(o->env != NULL ? o->env : "NOTHING", " "),
                 o->env != NULL ? o->env : "NOTHING", text[0]);
        const char *both[] = {"HOME=/h/me", foreign, line, NULL};
        in.env = both;
        expect(&in, o, text[1], variable);

        /* The file; a variable counts more, a flag most. */
        in = cu_input(dv_buf_str(&with));
        const char *last = strrchr(in.text, '\n');
        size_t lines = 0;
        for (const char *p = in.text; *p != 0; p++)
            lines += *p == '\n';
        const char *begin = last;
        while (begin > in.text && begin[-1] != '\n')
            begin--;
        snprintf(where, sizeof where, "/etc/drover/drover.yaml:%zu:%zu", lines,
                 (size_t)(strpbrk(begin, "'[") - begin) + 1);
        expect(&in, o, text[0], where);
        const char *env[] = {"HOME=/h/me", line, NULL};
        in.env = env;
        expect(&in, o, text[1], variable);
        const dv_conf_flag flag = {.option = name, .text = text[0], .shown = "--something"};
        in.flags = &flag;
        in.n_flags = 1;
        expect(&in, o, text[0], "--something");

        dv_buf_fini(&with);
        dv_buf_fini(&without);
    }
    assert_true(i > 90);
    assert_true(n_foreign >= 10); /* LLAMA_*, RATE_LIMIT_*, SECURITY_AUDIT_ENABLED, STATE_DIRECTORY */
}

static void the_table_is_sound(void **state)
{
    for (size_t i = 0; dv_conf_option_at(i) != NULL; i++) {
        const dv_conf_option *o = dv_conf_option_at(i);
        char a[DV_CONF_ENV_LEN], b[DV_CONF_ENV_LEN];
        assert_non_null(o->def);
        assert_true(o->help != NULL && o->help[0] != 0 && o->help[strlen(o->help) - 1] != '.');
        assert_true((o->type == DV_CONF_LIST) == (o->sep != 0));
        assert_true(o->type != DV_CONF_ENUM || o->words != NULL);
        assert_true(!o->open_min || o->type == DV_CONF_NUM);
        assert_true(o->flag == NULL || o->scope == DV_CONF_TOP);
        assert_true(o->flag == NULL || o->type == DV_CONF_BOOL || o->value != NULL);
        assert_true(o->min <= o->max);
        for (size_t k = 0; k < i; k++) {
            const dv_conf_option *other = dv_conf_option_at(k);
            assert_string_not_equal(o->name, other->name);
            assert_string_not_equal(dv_conf_env_name(o, a), dv_conf_env_name(other, b));
            assert_true(o->flag == NULL || other->flag == NULL || strcmp(o->flag, other->flag) != 0);
            assert_true(o->short_flag == 0 || o->short_flag != other->short_flag);
        }
    }
    size_t n, sum = 0;
    for (int scope = 0; scope < DV_CONF_SCOPE_N; scope++) {
        dv_conf_options_of((dv_conf_scope)scope, &n);
        sum += n;
    }
    assert_true(sum <= DV_CONF_OPTIONS_MAX);
    assert_null(dv_conf_option_at(sum)); /* the rows of a scope stand together */
}

/* ---- defaults and profiles ---- */

static void nothing_given(void **state)
{
    const char *const env[] = {
        "HOME=/h/me", "XDG_DATA_HOME=/data", "XDG_RUNTIME_DIR=/run/me", "DROVER_LOG_LEVEL=", "OTHER=x", NULL};
    const dv_conf_input in = {.env = env};
    dv_conf *c = cu_open_input(&in);
    assert_true(strcmp(c->data_dir, "/data/drover") == 0 ||
                strcmp(c->data_dir, "/var/lib/drover") == 0); /* the latter for root */
    assert_int_equal(strncmp(c->models_dir, c->data_dir, strlen(c->data_dir)), 0);
    assert_string_equal(c->models_dir + strlen(c->data_dir), "/models");
    assert_int_equal(c->limits.requests, 60);
    assert_int_equal(c->limits.window_ms, 60000);
    assert_int_equal(c->limits.body_bytes, 32 << 20);
    assert_true(c->audit.enabled && !c->audit.prompts && !c->insecure && dv_conf_loopback_keyless(c));
    assert_true(strcmp(c->run_dir, "/run/me/drover") == 0 || strcmp(c->run_dir, "/run/drover") == 0);
    assert_int_equal(c->log.level, DV_CONF_LOG_INFO);
    assert_int_equal(c->n_models, 0);
    assert_null(c->default_model);
    assert_int_equal(c->n_listeners, 2);
    const char *const addresses[] = {"127.0.0.1:8081", "127.0.0.1:3001"};
    for (size_t i = 0; i < 2; i++) {
        const dv_conf_listener *p = &c->listeners[i];
        assert_string_equal(p->address.text, addresses[i]);
        assert_string_equal(p->address.host, "127.0.0.1");
        assert_int_equal(p->api, i);
        assert_true(p->loopback && p->shorthand && p->tls_cert == NULL);
    }
    assert_int_equal(c->listeners[0].address.port, 8081);
    for (size_t i = 0; dv_conf_option_at(i) != NULL; i++) {
        const dv_conf_option *o = dv_conf_option_at(i);
        if (o->scope == DV_CONF_TOP && !o->inherit)
            assert_int_equal(dv_conf_source_of(o, c)->from, DV_CONF_FROM_DEFAULT);
    }
    dv_conf_close(&c);
    assert_null(c);
    dv_conf_close(&c);
}

static void without_anything(void **state)
{
    const dv_conf_input in = {0};
    dv_conf *c = cu_open_input(&in);
    assert_string_equal(c->data_dir, "/var/lib/drover");
    assert_true(strcmp(c->run_dir, "/run/drover") == 0 || strcmp(c->run_dir, "/var/lib/drover/run") == 0);
    dv_conf_close(&c);
}

static void models_inherit(void **state)
{
    dv_conf *c = cu_open("defaults:\n"
                         "  threads: 3\n"
                         "  keep_alive: 1h\n"
                         "models:\n"
                         "  - path: a.gguf\n"
                         "  - {path: b.gguf, profile: memory}\n"
                         "  - path: c.gguf\n"
                         "    profile: batch\n"
                         "    context: 100\n"
                         "    threads: auto\n"
                         "    speculation: on\n"
                         "    keep_alive: forever\n");
    const dv_conf_model *a = &c->models[0], *b = &c->models[1], *d = &c->models[2];
    assert_int_equal(c->n_models, 3);
    assert_string_equal(cu_shown("defaults.context", c), "4096 (profile balanced)");
    assert_string_equal(cu_shown("models.*.context", a), "4096 (profile balanced)");
    assert_string_equal(cu_shown("models.*.threads", a), "3 (/etc/drover/drover.yaml:2:12)");
    assert_string_equal(cu_shown("models.*.profile", a), "balanced (default)");
    assert_string_equal(cu_shown("models.*.keep_alive", b), "1h (/etc/drover/drover.yaml:3:15)");
    assert_string_equal(cu_shown("models.*.context", b), "1024 (profile memory)");
    assert_string_equal(cu_shown("models.*.batch", b), "128 (profile memory)");
    assert_string_equal(cu_shown("models.*.kv_type", b), "q8_0 (profile memory)");
    assert_string_equal(cu_shown("models.*.parallel", b), "1 (profile memory)");
    assert_string_equal(cu_shown("models.*.threads", b), "3 (/etc/drover/drover.yaml:2:12)");
    assert_string_equal(cu_shown("models.*.context", d), "100 (/etc/drover/drover.yaml:9:14)");
    assert_string_equal(cu_shown("models.*.threads", d), "auto (/etc/drover/drover.yaml:10:14)");
    assert_string_equal(cu_shown("models.*.batch", d), "2048 (profile batch)");
    assert_string_equal(cu_shown("models.*.speculation", d), "true (/etc/drover/drover.yaml:11:18)");
    assert_string_equal(cu_shown("models.*.keep_alive", d), "forever (/etc/drover/drover.yaml:12:17)");
    assert_true(d->run.keep_alive_ms == DV_CONF_FOREVER);
    assert_int_equal(d->run.threads, 0);
    dv_conf_close(&c);

    c = cu_open("defaults: {profile: fast}\nmodels: [{path: a.gguf}, {path: b.gguf, profile: quality}]\n");
    assert_string_equal(cu_shown("defaults.batch", c), "256 (profile fast)");
    assert_string_equal(cu_shown("models.*.profile", &c->models[0]), "fast (/etc/drover/drover.yaml:1:21)");
    assert_string_equal(cu_shown("models.*.context", &c->models[0]), "2048 (profile fast)");
    assert_string_equal(cu_shown("models.*.context", &c->models[1]), "8192 (profile quality)");
    dv_conf_close(&c);
}

/* What drover is announced with. */
static void profiles(void **state)
{
    static const char *const names[] = {"fast", "balanced", "quality", "memory", "batch"};
    static const uint32_t context[] = {2048, 4096, 8192, 1024, 4096}, batch[] = {256, 512, 1024, 128, 2048};
    dv_conf *c = cu_open("");
    assert_int_equal(c->n_profiles, 5);
    for (int i = 0; i < 5; i++) {
        const dv_conf_profile *p = &c->profiles[i];
        assert_string_equal(p->name, names[i]);
        assert_int_equal(p->run.context, context[i]);
        assert_int_equal(p->run.batch, batch[i]);
        assert_ptr_equal(dv_conf_find_profile(c, names[i]), p);
        assert_true(p->run.parallel >= 1 && p->what[0] != 0 && p->own && !p->listed);
        dv_sampling s = dv_conf_sampling(&p->run);
        assert_true(s.top_p == 0.95f && s.min_p == 0.05f && s.repeat_penalty == 1 && s.typical_p == 1);
        assert_true(s.penalty_last_n == 64 && s.presence_penalty == 0 && s.n_bias == 0);
    }
    assert_null(dv_conf_find_profile(c, "slow"));
    assert_true(dv_conf_sampling(&dv_conf_find_profile(c, "batch")->run).temperature == 0);
    assert_int_equal(dv_conf_sampling(&dv_conf_find_profile(c, "fast")->run).top_k, 20);
    dv_conf_close(&c);
}

static void own_profiles(void **state)
{
    dv_conf *c = cu_open("profiles:\n"
                         "  - name: fast\n"
                         "    context: 1000\n"
                         "  - {name: mine, what: For me, base: fast, temperature: 0.25, kv_type: q8_0}\n"
                         "  - {name: plain}\n"
                         "  - {name: memory, base: mine, parallel: 3}\n"
                         "defaults: {profile: mine, top_k: 7}\n"
                         "models: [{path: a, temperature: 1.5}, {path: b, profile: memory, presence_penalty: -2}]\n");
    const dv_conf_profile *fast = dv_conf_find_profile(c, "fast"), *mine = dv_conf_find_profile(c, "mine"),
                          *plain = dv_conf_find_profile(c, "plain"), *memory = dv_conf_find_profile(c, "memory");
    assert_int_equal(c->n_profiles, 7);
    assert_true(fast->own && fast->listed && !mine->own && mine->listed && memory == &c->profiles[3]);
    assert_string_equal(fast->what, "Short questions of one or two people, answered as soon as possible");
    assert_string_equal(mine->what, "For me");
    assert_null(plain->what);
    assert_string_equal(cu_shown("profiles.*.context", fast), "1000 (/etc/drover/drover.yaml:3:14)");
    assert_string_equal(cu_shown("profiles.*.batch", fast), "256 (profile fast)");
    assert_string_equal(cu_shown("profiles.*.context", mine), "1000 (profile fast)");
    assert_string_equal(cu_shown("profiles.*.context", plain), "4096 (profile balanced)");
    assert_string_equal(cu_shown("profiles.*.temperature", memory), "0.25 (profile mine)");
    assert_string_equal(cu_shown("profiles.*.parallel", memory), "3 (/etc/drover/drover.yaml:6:42)");
    assert_string_equal(cu_shown("defaults.context", c), "1000 (profile mine)");
    assert_string_equal(cu_shown("defaults.kv_type", c), "q8_0 (profile mine)");
    const dv_conf_model *a = &c->models[0], *b = &c->models[1];
    assert_string_equal(a->run.profile, "mine");
    assert_string_equal(cu_shown("models.*.temperature", a), "1.5 (/etc/drover/drover.yaml:8:33)");
    assert_string_equal(cu_shown("models.*.top_k", a), "7 (/etc/drover/drover.yaml:7:34)");
    assert_string_equal(cu_shown("models.*.parallel", a), "2 (profile mine)");
    assert_string_equal(cu_shown("models.*.parallel", b), "3 (profile memory)");
    dv_sampling s = dv_conf_sampling(&b->run);
    assert_true(s.temperature == 0.25f && s.top_k == 7 && s.presence_penalty == -2 && s.top_p == 0.95f);
    dv_conf_close(&c);
}

/* ---- who needs a key ---- */

static void keyless(void **state)
{
    static const struct {
        const char *text;
        bool keyless;
    } cases[] = {
        {"", true},
        {"listen: {app: 'unix:/s', openai: 'localhost:1'}\n", true},
        {"security: {loopback_keyless: no}\n", false},
        {"security: {trusted_proxies: [127.0.0.1]}\n", false},
        {"security: {trusted_proxies: [127.0.0.1], loopback_keyless: yes}\n", true},
        {"insecure: true\nlisten: {app: '0.0.0.0:3001'}\n", false},
        {"insecure: true\nlisteners: [{address: '[::]:1'}]\n", false},
        {"insecure: true\nlisten: {app: '0.0.0.0:3001'}\nsecurity: {loopback_keyless: yes}\n", true},
    };
    for (size_t i = 0; i < DV_ARRAY_LEN(cases); i++) {
        dv_conf *c = cu_open(cases[i].text);
        if (dv_conf_loopback_keyless(c) != cases[i].keyless)
            fail_msg("%s", cases[i].text);
        dv_conf_close(&c);
    }
}

/* ---- paths and addresses ---- */

static void paths(void **state)
{
    const char *const env[] = {"HOME=/h/me/", "DROVER_LOG_FILE=./log", "DROVER_TLS_KEY=~/key", NULL};
    const dv_conf_flag flags[] = {{"model", "m.gguf", "-m"}, {"listen.app", "unix:app.sock", "--listen-app"}};
    dv_conf_input in = cu_input("data_dir: state\n"
                                "models_dir: ~/models\n"
                                "tls: {cert: ./cert.pem}\n"
                                "listen: {openai: 'unix:/run/o.sock', chroma: off, websocket: 'unix:ws.sock'}\n"
                                "models:\n"
                                "  - path: a/Some-Model-00001-of-00003.GGUF\n"
                                "    chat_template: t.jinja\n"
                                "  - path: /abs/b.gguf\n"
                                "  - {path: ~/c, name: c}\n");
    in.env = env;
    in.flags = flags;
    in.n_flags = 2;
    dv_conf *c = cu_open_input(&in);
    assert_string_equal(c->data_dir, "/etc/drover/state");
    assert_string_equal(c->models_dir, "/h/me/models");
    assert_string_equal(c->tls.cert, "/etc/drover/cert.pem");
    assert_string_equal(c->tls.key, "/h/me/key");
    assert_string_equal(c->log.file, "/cwd/log");
    assert_string_equal(c->models[0].path, "/h/me/models/a/Some-Model-00001-of-00003.GGUF");
    assert_string_equal(c->models[0].name, "Some-Model");
    assert_string_equal(c->models[0].chat_template, "/etc/drover/t.jinja");
    assert_string_equal(c->models[1].path, "/abs/b.gguf");
    assert_string_equal(c->models[1].name, "b");
    assert_string_equal(c->models[2].path, "/h/me/c");
    assert_string_equal(c->models[3].path, "/cwd/m.gguf");
    assert_true(c->models[3].shorthand);
    assert_string_equal(c->default_model, "m");
    assert_int_equal(c->n_listeners, 3);
    assert_string_equal(c->listeners[0].address.path, "/run/o.sock");
    assert_string_equal(c->listeners[1].address.text, "unix:/cwd/app.sock");
    assert_string_equal(c->listeners[2].address.path, "/etc/drover/ws.sock");
    assert_true(c->listeners[2].loopback && c->listeners[2].address.host == NULL && c->listeners[2].tls_cert == NULL);
    dv_conf_close(&c);

    in = cu_input("log: {file: x}\n");
    in.file = "sub/d.yaml";
    c = cu_open_input(&in);
    assert_string_equal(c->log.file, "/cwd/sub/x");
    dv_conf_close(&c);
    in.file = "d.yaml";
    c = cu_open_input(&in);
    assert_string_equal(c->log.file, "/cwd/x");
    dv_conf_close(&c);
    in.file = "/d.yaml";
    c = cu_open_input(&in);
    assert_string_equal(c->log.file, "/x");
    dv_conf_close(&c);
}

static void listeners(void **state)
{
    dv_conf *c =
        cu_open("insecure: true\n"
                "tls: {cert: /c, key: /k}\n"
                "listen: {openai: '0.0.0.0:8081', app: 3002, websocket: '[::1]:8080', chroma: LOCALHOST:8000}\n"
                "listeners:\n"
                "  - {address: '[2001:db8::1]:443', tls_cert: /c2, tls_key: /k2, api: ollama}\n"
                "  - {address: '127.8.9.1:0'}\n"
                "  - {address: '127.8.9.1:0'}\n"
                "  - {address: 'unix:/s', api: chroma}\n");
    assert_int_equal(c->n_listeners, 8);
    const dv_conf_listener *p = c->listeners;
    assert_string_equal(p[0].address.host, "2001:db8::1");
    assert_string_equal(p[0].address.text, "[2001:db8::1]:443");
    assert_string_equal(p[0].tls_cert, "/c2");
    assert_true(!p[0].tls_shared && !p[0].loopback && !p[0].shorthand && p[0].api == DV_CONF_API_OLLAMA);
    assert_true(p[1].loopback && p[1].tls_shared && p[1].address.port == 0 && p[1].api == DV_CONF_API_OPENAI);
    assert_true(p[3].loopback && !p[3].tls_shared && p[3].tls_cert == NULL && p[3].api == DV_CONF_API_CHROMA);
    assert_true(p[4].shorthand && !p[4].loopback && p[4].tls_shared);
    assert_string_equal(p[4].tls_key, "/k");
    assert_string_equal(p[5].address.text, "127.0.0.1:3002");
    assert_true(p[6].loopback && p[7].loopback);
    assert_string_equal(p[7].address.host, "LOCALHOST");
    dv_conf_close(&c);
}

/* ---- shorthands for one model ---- */

static void shorthand_model(void **state)
{
    const struct {
        const char *env[4];
        const char *name, *path, *url;
    } cases[] = {
        {{"LLAMA_MODEL_PATH=/m/x.gguf"}, "x", "/m/x.gguf", NULL},
        {{"LLAMA_SERVER_URL=http://127.0.0.1:9000/"}, "default", NULL, "http://127.0.0.1:9000"},
        {{"LLAMA_MODEL_PATH=/m/x.gguf", "LLAMA_SERVER_URL=http://localhost:9000"}, "x", NULL, "http://localhost:9000"},
        /* What people have who ran llama-server at this address. */
        {{"LLAMA_MODEL_PATH=/m/x.gguf", "LLAMA_SERVER_URL=http://localhost:8081"}, "x", "/m/x.gguf", NULL},
        {{"LLAMA_SERVER_URL=http://[::1]:8081/v1"}, NULL, NULL, NULL},
    };
    for (size_t i = 0; i < DV_ARRAY_LEN(cases); i++) {
        const dv_conf_input in = {.env = cases[i].env};
        dv_conf *c = cu_open_input(&in);
        assert_int_equal(c->n_models, cases[i].name != NULL);
        if (cases[i].name != NULL) {
            const dv_conf_model *m = &c->models[0];
            assert_string_equal(m->name, cases[i].name);
            assert_string_equal(c->default_model, cases[i].name);
            assert_ptr_equal(dv_conf_find_model(c, cases[i].name), m);
            assert_int_equal(m->backend, cases[i].url != NULL ? DV_CONF_BACKEND_REMOTE : DV_CONF_BACKEND_AUTO);
            assert_string_equal(m->path != NULL ? m->path : "-", cases[i].path != NULL ? cases[i].path : "-");
            assert_string_equal(m->url != NULL ? m->url : "-", cases[i].url != NULL ? cases[i].url : "-");
            assert_int_equal(m->run.context, 4096);
        }
        dv_conf_close(&c);
    }
}

static void other_programs_variables(void **state)
{
    const struct {
        const char *line, *option, *want;
    } cases[] = {
        {"LLAMA_CTX_SIZE=8192", "defaults.context", "8192 (LLAMA_CTX_SIZE)"},
        {"LLAMA_THREADS=6", "defaults.threads", "6 (LLAMA_THREADS)"},
        {"LLAMA_BATCH_SIZE=64", "defaults.batch", "64 (LLAMA_BATCH_SIZE)"},
        {"LLAMA_GPU_LAYERS=20", "defaults.gpu_layers", "20 (LLAMA_GPU_LAYERS)"},
        {"RATE_LIMIT_MAX_REQUESTS=100", "limits.requests", "100 (RATE_LIMIT_MAX_REQUESTS)"},
        {"RATE_LIMIT_WINDOW=60", "limits.window", "1m (RATE_LIMIT_WINDOW)"},
        {"RATE_LIMIT_WINDOW=3600", "limits.window", "1h (RATE_LIMIT_WINDOW)"},
        {"RATE_LIMIT_WINDOW=60000", "limits.window", "1m (RATE_LIMIT_WINDOW)"},
        {"RATE_LIMIT_WINDOW=900000", "limits.window", "15m (RATE_LIMIT_WINDOW)"},
        {"RATE_LIMIT_WINDOW=2h", "limits.window", "2h (RATE_LIMIT_WINDOW)"},
        {"SECURITY_AUDIT_ENABLED=0", "audit.enabled", "false (SECURITY_AUDIT_ENABLED)"},
        {"SECURITY_AUDIT_ENABLED=True", "audit.enabled", "true (SECURITY_AUDIT_ENABLED)"},
        {"STATE_DIRECTORY=/var/lib/x", "data_dir", "/var/lib/x (STATE_DIRECTORY)"},
        {"RUNTIME_DIRECTORY=/run/x", "run_dir", "/run/x (RUNTIME_DIRECTORY)"},
    };
    for (size_t i = 0; i < DV_ARRAY_LEN(cases); i++) {
        const char *const env[] = {"HOME=/", cases[i].line, NULL};
        const dv_conf_input in = {.env = env};
        dv_conf *c = cu_open_input(&in);
        assert_string_equal(cu_shown(cases[i].option, c), cases[i].want);
        dv_conf_close(&c);
    }
}

/* ---- lists of sections in variables and flags ---- */

static void elements_by_variables_and_flags(void **state)
{
    const char *const env[] = {"DROVER_MODELS_2_PATH=/m/c.gguf",
                               "DROVER_MODELS_1_PATH=/m/b.gguf",
                               "DROVER_MODELS_0_ALIASES=x, y",
                               "DROVER_MODELS_1_ALIASES=",
                               "DROVER_LISTENERS_0_ADDRESS=127.0.0.1:9999",
                               "HOME=/",
                               NULL};
    const dv_conf_flag flags[] = {{"models.3.path", "/m/d.gguf", "--set"},
                                  {"models.3.aliases", "e", "--set"},
                                  {"models.0.pin", "true", "--set"},
                                  {"models.3.aliases", "f,g", "--set"}};
    dv_conf_input in = cu_input("models:\n  - path: /m/a.gguf\n    aliases: [z]\n");
    in.env = env;
    in.flags = flags;
    in.n_flags = DV_ARRAY_LEN(flags);
    dv_conf *c = cu_open_input(&in);
    assert_int_equal(c->n_models, 4);
    assert_string_equal(c->models[1].name, "b");
    assert_string_equal(c->models[2].name, "c");
    assert_string_equal(cu_shown("models.*.aliases", &c->models[0]), "x,y (DROVER_MODELS_0_ALIASES)");
    assert_string_equal(cu_shown("models.*.aliases", &c->models[3]), "e,f,g (--set)");
    assert_true(c->models[0].pin && !c->models[1].pin);
    assert_ptr_equal(dv_conf_find_model(c, "y"), &c->models[0]);
    assert_ptr_equal(dv_conf_find_model(c, "g"), &c->models[3]);
    assert_null(dv_conf_find_model(c, "z"));
    assert_string_equal(c->listeners[0].address.text, "127.0.0.1:9999");
    dv_conf_close(&c);
}

/* Variables that are not meant for us, though they begin like ours. */
static void variables_of_others(void **state)
{
    const char *const env[] = {"DROVER_SERVICE_HOST=10.0.0.1",
                               "DROVER_SERVICE_PORT=80",
                               "DROVER_SERVICE_PORT_HTTP=80",
                               "DROVER_PORT=tcp://10.0.0.1:80",
                               "DROVER_PORT_8081_TCP_ADDR=10.0.0.1",
                               "DROVER_GATEWAY_PORT_1_TCP=x",
                               "DROVER_CONFIG=/x",
                               "DROVER_URL=x",
                               "DROVER_API_KEY=k",
                               "DROVER_MY_REMOTE=key",
                               "DROVER_TYPO=",
                               "DROVER=/usr/bin/drover",
                               "HOME=/",
                               NULL};
    dv_conf_input in = cu_input("models: [{name: r, url: 'http://localhost:1', key_env: DROVER_MY_REMOTE}]");
    in.env = env;
    dv_conf *c = cu_open_input(&in);
    char key[16];
    dv_err err = {0};
    assert_int_equal(dv_conf_read_key(&c->models[0], env, key, sizeof key, &err), 0);
    assert_string_equal(key, "key");
    dv_conf_close(&c);
}

/* ---- numbers as they are written ---- */

static void units(void **state)
{
    const struct {
        const char *option, *text;
        int64_t want;
        const char *shown; /* NULL: as it was written */
    } cases[] = {
        {"limits.body_size", "4096", 4096, "4KiB"},
        {"limits.body_size", "4096B", 4096, "4KiB"},
        {"limits.body_size", "1 MiB", 1 << 20, "1MiB"},
        {"limits.body_size", "1025B", 1025, NULL},
        {"residency.memory", "auto", 0, NULL},
        {"residency.memory", "0", 0, "auto"},
        {"residency.memory", "64TiB", INT64_C(64) << 40, NULL},
        {"limits.window", "1000ms", 1000, "1s"},
        {"limits.window", "1500ms", 1500, NULL},
        {"limits.window", "90s", 90000, NULL},
        {"limits.window", "48 h", 172800000, "2d"},
        {"drain_time", "0", 0, "0ms"},
        {"drain_time", "0s", 0, "0ms"},
        {"audit.keep", "forever", DV_CONF_FOREVER, NULL},
        {"defaults.gpu_layers", "-1", -1, "auto"},
        {"defaults.gpu_layers", "auto", -1, NULL},
        {"limits.requests", "0", 0, "off"},
        {"limits.requests", "000060", 60, "60"},
    };
    for (size_t i = 0; i < DV_ARRAY_LEN(cases); i++) {
        const dv_conf_option *o = cu_option(cases[i].option);
        const dv_conf_flag flag = {cases[i].option, cases[i].text, "--x"};
        const dv_conf_input in = {.flags = &flag, .n_flags = 1};
        char want[64];
        dv_conf *c = cu_open_input(&in);
        assert_true(*(const int64_t *)((const char *)c + o->offset) == cases[i].want);
        snprintf(want, sizeof want, "%s (--x)", cases[i].shown != NULL ? cases[i].shown : cases[i].text);
        assert_string_equal(cu_shown(cases[i].option, c), want);
        dv_conf_close(&c);
    }
}

static void fractions(void **state)
{
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"0.5", "0.5"},    {"1", "1"},
        {"+0.25", "0.25"}, {"1e-3", "0.001"},
        {"0.10", "0.1"},   {"0.12345678901234567890", "0.123456789012346"}, /* and that is what it is */
    };
    for (size_t i = 0; i < DV_ARRAY_LEN(cases); i++) {
        const dv_conf_flag flag = {"defaults.top_p", cases[i].text, "--x"};
        const dv_conf_input in = {.flags = &flag, .n_flags = 1};
        dv_conf *c = cu_open_input(&in);
        char want[64];
        snprintf(want, sizeof want, "%s (--x)", cases[i].shown);
        assert_string_equal(cu_shown("defaults.top_p", c), want);
        assert_true(c->defaults.top_p == strtod(cases[i].shown, NULL));
        dv_conf_close(&c);
    }
}

/* ---- memory ---- */

/* Everything there is, and so many models that allocations happen in many places: an arena asks for memory seldom. */
static const char *everything(dv_buf *b)
{
    dv_buf_adds(b, "data_dir: d\nmodel: m.gguf\nredis: {url: 'redis://u:secret@h'}\nsecurity: {allowed_hosts: [a, b]}\n"
                   "listen: {app: 'unix:s'}\nlisteners: [{address: '127.0.0.1:1', tls_cert: c, tls_key: k}]\n"
                   "profiles: [{name: mine}, {name: fast, base: mine}]\ndefaults: {profile: mine}\nmodels:\n");
    for (int i = 0; i < 240; i++)
        dv_buf_printf(b, "  - {%s%d, name: m%d, aliases: [a%d, b%d]}\n", i % 2 ? "path: p" : "url: http://localhost:9",
                      i, i, i, i);
    return dv_buf_str(b);
}

static void every_allocation_may_fail(void **state)
{
    const char *const env[] = {"HOME=/h", "DROVER_MODELS_240_PATH=h", "LLAMA_CTX_SIZE=100", NULL};
    const dv_conf_flag flag = {"models.241.path", "i", "--set"};
    dv_buf text;
    dv_buf_init(&text, 0);
    dv_conf_input in = cu_input(everything(&text));
    in.env = env;
    in.flags = &flag;
    in.n_flags = 1;
    dv_conf *c;
    size_t used = dv_mem_used(DV_MEM_CAT_N);
    int rc = DV_ENOMEM;
    uint64_t n = 0;
    while (rc != 0) {
        dv_err err = {0};
        dv_mem_fail_after(++n);
        rc = dv_conf_open(&c, &in, &err);
        dv_mem_fail_after(0);
        if (rc == 0)
            break;
        if (rc != DV_ENOMEM)
            fail_msg("allocation %u: %s", (unsigned)n, err.msg);
        assert_int_equal(err.code, DV_ENOMEM);
        assert_true(err.msg[0] != 0);
        assert_null(c);
        assert_int_equal(dv_mem_used(DV_MEM_CAT_N), used);
    }
    assert_true(n > 20);
    assert_int_equal(c->n_models, 243);
    dv_conf_close(&c);
    assert_int_equal(dv_mem_used(DV_MEM_CAT_N), used);
    dv_buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_sound),
        cmocka_unit_test(each_option_by_each_source),
        cmocka_unit_test(nothing_given),
        cmocka_unit_test(without_anything),
        cmocka_unit_test(models_inherit),
        cmocka_unit_test(profiles),
        cmocka_unit_test(own_profiles),
        cmocka_unit_test(keyless),
        cmocka_unit_test(paths),
        cmocka_unit_test(listeners),
        cmocka_unit_test(shorthand_model),
        cmocka_unit_test(other_programs_variables),
        cmocka_unit_test(elements_by_variables_and_flags),
        cmocka_unit_test(variables_of_others),
        cmocka_unit_test(units),
        cmocka_unit_test(fractions),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
