/* SPDX-License-Identifier: MIT */
#include "conf/options.h"

#include "conf/form.h"

#include <stdio.h>
#include <string.h>

#define KIB(n) ((int64_t)(n) << 10)
#define MIB(n) ((int64_t)(n) << 20)
#define TIB(n) ((int64_t)(n) << 40)
#define SECONDS(n) ((int64_t)(n)*1000)
#define MINUTES(n) SECONDS((n)*60)
#define DAYS(n) SECONDS((n)*86400)

#define TOP(field) .scope = DV_CONF_TOP, .offset = offsetof(dv_conf, field)
#define LISTENER(field) .scope = DV_CONF_LISTENER, .offset = offsetof(dv_conf_listener, field)
#define PROFILE(field) .scope = DV_CONF_PROFILE, .offset = offsetof(dv_conf_profile, field)
#define MODEL(field) .scope = DV_CONF_MODEL, .offset = offsetof(dv_conf_model, field)
#define INT(lo, hi) .type = DV_CONF_INT, .min = lo, .max = hi
#define SIZE(lo, hi) .type = DV_CONF_SIZE, .min = lo, .max = hi
#define TIME(lo, hi) .type = DV_CONF_DURATION, .min = lo, .max = hi
#define NUM(lo, hi) .type = DV_CONF_NUM, .min = lo, .max = hi
#define WORD(word, stands_for) .words = word, .word_value = stands_for
#define ENUM(w) .type = DV_CONF_ENUM, .words = w
#define LIST(s, form) .type = DV_CONF_LIST, .sep = s, .check = form, .def = ""
#define FROM(shown) .def = "", .def_shown = shown, .reload = true, .inherit = true
#define ONLY(...) __VA_ARGS__
#define NONE(...)

#define API_NAMES "openai|app|websocket|chroma|ollama"

/* clang-format off */
/* What profiles, `defaults` and models have in common. OWN keeps or drops what only `defaults` has: flags and other programs' variables. */
#define ROWS_TUNED(P, AT, OWN, SHOWN) \
    {.name = P "context", AT(context), INT(64, 1 << 22), FROM(SHOWN), OWN(.env = "LLAMA_CTX_SIZE", .flag = "ctx", .short_flag = 'c', .value = "N",) \
     .help = "Tokens that the sequences of a model share"}, \
    {.name = P "batch", AT(batch), INT(1, 4096), FROM(SHOWN), OWN(.env = "LLAMA_BATCH_SIZE", .flag = "batch-size", .short_flag = 'b', .value = "N",) \
     .help = "Tokens of one step"}, \
    {.name = P "threads", AT(threads), INT(0, 256), WORD("auto", 0), FROM(SHOWN), OWN(.env = "LLAMA_THREADS", .flag = "threads", .short_flag = 't', .value = "N",) \
     .help = "Threads of an engine; auto: one per usable core"}, \
    {.name = P "parallel", AT(parallel), INT(1, 256), FROM(SHOWN), OWN(.flag = "parallel", .value = "N",) \
     .help = "Sequences that a model computes at once"}, \
    {.name = P "kv_type", AT(kv_type), ENUM("auto|f16|q8_0|f32"), FROM(SHOWN), OWN(.flag = "kv-type", .value = "TYPE",) \
     .help = "Format of the KV cache; auto: f16, or f32 if the model's matrices are F32"}, \
    {.name = P "speculation", AT(speculation), .type = DV_CONF_BOOL, FROM(SHOWN), OWN(.flag = "speculation",) \
     .help = "Guess tokens from the text so far and check them together; never changes an answer"}, \
    {.name = P "temperature", AT(temperature), NUM(0, 100), FROM(SHOWN), .help = "For requests that do not say; 0: always the most likely token"}, \
    {.name = P "top_k", AT(top_k), INT(0, 1 << 22), WORD("off", 0), FROM(SHOWN), .help = "For requests that do not say: so many of the most likely tokens"}, \
    {.name = P "top_p", AT(top_p), NUM(0, 1), .open_min = true, FROM(SHOWN), .help = "For requests that do not say: the most likely tokens that make up this part; 1: off"}, \
    {.name = P "min_p", AT(min_p), NUM(0, 1), FROM(SHOWN), .help = "For requests that do not say: tokens at least this part as likely as the most likely one; 0: off"}, \
    {.name = P "typical_p", AT(typical_p), NUM(0, 1), .open_min = true, FROM(SHOWN), .help = "For requests that do not say: the most typical tokens that make up this part; 1: off"}, \
    {.name = P "repeat_penalty", AT(repeat_penalty), NUM(0, 100), .open_min = true, FROM(SHOWN), .help = "For requests that do not say: makes tokens that were seen less likely; 1: off"}, \
    {.name = P "repeat_last_n", AT(repeat_last_n), INT(0, 65536), FROM(SHOWN), .help = "For requests that do not say: tokens that penalties look back"}, \
    {.name = P "presence_penalty", AT(presence_penalty), NUM(-2, 2), FROM(SHOWN), .help = "For requests that do not say: taken from the logit of tokens that were seen"}, \
    {.name = P "frequency_penalty", AT(frequency_penalty), NUM(-2, 2), FROM(SHOWN), .help = "For requests that do not say: taken from it for each time they were seen"}

/* What `defaults` and each model have in common. */
#define ROWS_RUN(P, AT, OWN) \
    {.name = P "profile", AT(profile), .type = DV_CONF_STRING, .def = "balanced", .check = dv__form_profile, OWN(.flag = "profile", .value = "NAME",) .reload = true, .inherit = true, \
     .help = "Set of values for what is not given here: fast, balanced, quality, memory, batch, or one of profiles. `drover profiles` lists them"}, \
    ROWS_TUNED(P, AT, OWN, "the profile's"), \
    {.name = P "prefix_cache", AT(prefix_cache_bytes), SIZE(0, TIB(16)), WORD("off", 0), .def = "off", .reload = true, .inherit = true, \
     .help = "Memory, beyond the context's, for prefixes that no request uses now"}, \
    {.name = P "prefix_disk", AT(prefix_disk_bytes), SIZE(0, TIB(16)), WORD("off", 0), .def = "off", .reload = true, .inherit = true, \
     .help = "Space below data_dir for prefixes, kept for the time after a restart"}, \
    {.name = P "keep_alive", AT(keep_alive_ms), TIME(0, DV_CONF_FOREVER), WORD("forever", DV_CONF_FOREVER), .def = "5m", OWN(.flag = "keep-alive", .value = "TIME",) .reload = true, .inherit = true, \
     .help = "How long a model stays loaded without requests"}, \
    {.name = P "gpu_layers", AT(gpu_layers), INT(-1, 10000), WORD("auto", -1), .def = "auto", OWN(.env = "LLAMA_GPU_LAYERS", .flag = "gpu-layers", .value = "N",) .reload = true, .inherit = true, \
     .help = "Layers that an upstream llama-server puts on a GPU; auto: it decides. The native engine runs on the CPU"}
/* clang-format on */

#define IN_DEFAULTS(field) TOP(defaults.field)
#define IN_MODEL(field) MODEL(run.field)
#define IN_PROFILE(field) PROFILE(run.field)

/* clang-format off */
static const dv_conf_option rows[] = {
    {.name = "data_dir", TOP(data_dir), .type = DV_CONF_PATH, .def = "", .def_shown = "/var/lib/drover for root, else $XDG_DATA_HOME/drover or ~/.local/share/drover",
     .env = "STATE_DIRECTORY", .flag = "data-dir", .value = "DIR", .help = "Folder of the database, the audit log, keys and caches"},
    {.name = "models_dir", TOP(models_dir), .type = DV_CONF_PATH, .def = "", .def_shown = "data_dir/models", .flag = "models-dir", .value = "DIR",
     .help = "Folder of models: each GGUF file in it is one, under its name, also when it comes later"},
    {.name = "run_dir", TOP(run_dir), .type = DV_CONF_PATH, .def = "", .def_shown = "/run/drover for root, else $XDG_RUNTIME_DIR/drover or data_dir/run",
     .env = "RUNTIME_DIRECTORY", .flag = "run-dir", .value = "DIR", .help = "Folder of the sockets of engines"},
    {.name = "model", TOP(model), .type = DV_CONF_PATH, .def = "", .env = "LLAMA_MODEL_PATH", .flag = "model", .short_flag = 'm', .value = "FILE",
     .help = "GGUF file of a model to serve besides models and models_dir"},
    {.name = "model_url", TOP(model_url), .type = DV_CONF_STRING, .def = "", .check = dv__form_url, .env = "LLAMA_SERVER_URL", .flag = "model-url", .value = "URL",
     .help = "Running llama-server, or another server of OpenAI's API, that answers for model (or, without one, for a model called default). The address of drover itself counts as not given"},
    {.name = "default_model", TOP(default_model), .type = DV_CONF_STRING, .def = "", .def_shown = "the first there is", .check = dv__form_name, .flag = "default-model", .value = "NAME", .reload = true,
     .help = "Answers requests that name no model"},
    {.name = "drain_time", TOP(drain_ms), TIME(0, DAYS(1)), .def = "30s", .flag = "drain", .value = "TIME", .reload = true,
     .help = "How long running answers may take after SIGTERM"},
    {.name = "insecure", TOP(insecure), .type = DV_CONF_BOOL, .def = "false", .flag = "insecure",
     .help = "Listen beyond this machine without TLS and keys: anybody there can read along, and ask"},

    {.name = "listen.openai", TOP(listen[DV_CONF_API_OPENAI]), .type = DV_CONF_ADDRESS, .def = "127.0.0.1:8081", .flag = "listen", .value = "ADDR",
     .help = "Address for clients of OpenAI, Anthropic and llama-server: HOST:PORT, [IPV6]:PORT, unix:PATH or off. Every listener serves every API"},
    {.name = "listen.app", TOP(listen[DV_CONF_API_APP]), .type = DV_CONF_ADDRESS, .def = "127.0.0.1:3001", .flag = "listen-app", .value = "ADDR",
     .help = "Address for the app API"},
    {.name = "listen.websocket", TOP(listen[DV_CONF_API_WEBSOCKET]), .type = DV_CONF_ADDRESS, .def = "off", .flag = "listen-websocket", .value = "ADDR",
     .help = "Address for WebSocket clients; theirs is 127.0.0.1:8080"},
    {.name = "listen.chroma", TOP(listen[DV_CONF_API_CHROMA]), .type = DV_CONF_ADDRESS, .def = "off", .flag = "listen-chroma", .value = "ADDR",
     .help = "Address for clients of Chroma; theirs is 127.0.0.1:8000"},
    {.name = "listen.ollama", TOP(listen[DV_CONF_API_OLLAMA]), .type = DV_CONF_ADDRESS, .def = "off", .flag = "listen-ollama", .value = "ADDR",
     .help = "Address for clients of Ollama; theirs is 127.0.0.1:11434"},

    {.name = "tls.cert", TOP(tls.cert), .type = DV_CONF_PATH, .def = "", .flag = "tls-cert", .value = "FILE", .reload = true,
     .help = "Certificate chain in PEM: TCP listeners without one of their own speak HTTPS with it. SIGHUP reads it again"},
    {.name = "tls.key", TOP(tls.key), .type = DV_CONF_PATH, .def = "", .flag = "tls-key", .value = "FILE", .reload = true,
     .help = "Its private key in PEM"},
    {.name = "tls.min_version", TOP(tls.min_version), ENUM("1.2|1.3"), .def = "1.2", .reload = true, .help = "Oldest version of TLS that clients may speak"},

    {.name = "security.loopback_keyless", TOP(security.loopback_keyless), ENUM("auto|yes|no"), .def = "auto", .flag = "loopback-keyless", .value = "WHEN", .reload = true,
     .help = "Requests from this machine need no key; auto: unless other machines can reach a listener or a proxy is trusted"},
    {.name = "security.allowed_hosts", TOP(security.allowed_hosts), LIST(',', dv__form_host), .flag = "allow-host", .value = "NAME", .reload = true,
     .help = "Names that clients may reach this server by, besides localhost and addresses it listens on"},
    {.name = "security.allowed_origins", TOP(security.allowed_origins), LIST(',', dv__form_origin), .flag = "allow-origin", .value = "ORIGIN", .reload = true,
     .help = "Web sites whose pages may call, such as https://app.example; *: any, without cookies"},
    {.name = "security.trusted_proxies", TOP(security.trusted_proxies), LIST(',', dv__form_net), .flag = "trusted-proxy", .value = "NET", .reload = true,
     .help = "Addresses or networks of proxies whose X-Forwarded-For is believed, such as 10.0.0.0/8"},
    {.name = "security.sandbox", TOP(security.sandbox), ENUM("on|require|off"), .def = "on", .flag = "sandbox", .value = "MODE",
     .help = "Engines give up the rights they do not need; require: not to start where the kernel lacks a part of it"},
    {.name = "security.invalid_text", TOP(security.invalid_text), ENUM("refuse|repair"), .def = "repair", .reload = true,
     .help = "What becomes of requests whose text is not UTF-8 or has control characters: refused, or these replaced by U+FFFD"},
    {.name = "security.session_time", TOP(security.session_ms), TIME(MINUTES(1), DAYS(365)), .def = "7d", .reload = true,
     .help = "A login ends after so long"},
    {.name = "security.session_idle", TOP(security.session_idle_ms), TIME(MINUTES(1), DAYS(365)), .def = "12h", .reload = true,
     .help = "And after so long without use"},

    {.name = "limits.requests", TOP(limits.requests), INT(0, 1000000000), WORD("off", 0), .def = "60", .env = "RATE_LIMIT_MAX_REQUESTS", .flag = "rate-limit", .value = "N", .reload = true,
     .help = "Requests of an identity (a key, a user, else an address) in limits.window"},
    {.name = "limits.window", TOP(limits.window_ms), TIME(SECONDS(1), DAYS(365)), .def = "1m", .env = "RATE_LIMIT_WINDOW", .reload = true,
     .help = "Time that limits.requests are for. RATE_LIMIT_WINDOW may lack a unit: numbers from 10000 on are milliseconds, smaller ones seconds"},
    {.name = "limits.burst", TOP(limits.burst), INT(0, 1000000000), WORD("auto", 0), .def = "auto", .reload = true,
     .help = "Requests that may come at once; auto: limits.requests"},
    {.name = "limits.tokens_per_minute", TOP(limits.tokens_per_minute), INT(0, 1000000000000), WORD("off", 0), .def = "off", .reload = true,
     .help = "Tokens of an identity in a minute, of prompts and answers together"},
    {.name = "limits.concurrency", TOP(limits.concurrency), INT(0, 65536), WORD("off", 0), .def = "32", .reload = true,
     .help = "Requests of an identity that run or wait at one time"},
    {.name = "limits.total_concurrency", TOP(limits.total_concurrency), INT(0, 65536), WORD("off", 0), .def = "1024", .reload = true,
     .help = "Requests of all identities that run or wait at one time"},
    {.name = "limits.queue", TOP(limits.queue), INT(0, 65536), .def = "256", .reload = true,
     .help = "Requests that may wait for a model; further ones are told to come again"},
    {.name = "limits.queue_time", TOP(limits.queue_ms), TIME(SECONDS(1), DAYS(1)), .def = "5m", .reload = true,
     .help = "How long one may wait"},
    {.name = "limits.connections", TOP(limits.connections), INT(1, 1000000), .def = "4096", .help = "Connections that are open at one time"},
    {.name = "limits.connections_per_address", TOP(limits.connections_per_address), INT(0, 1000000), WORD("off", 0), .def = "off", .reload = true,
     .help = "Of them, those from one address"},
    {.name = "limits.head_size", TOP(limits.head_bytes), SIZE(KIB(1), MIB(1)), .def = "32KiB", .help = "Request line and header fields"},
    {.name = "limits.body_size", TOP(limits.body_bytes), SIZE(KIB(1), MIB(1024)), .def = "32MiB", .help = "Body of a request"},
    {.name = "limits.bodies_size", TOP(limits.bodies_bytes), SIZE(KIB(1), TIB(1)), .def = "256MiB", .help = "Bodies of all requests together"},
    {.name = "limits.text_size", TOP(limits.text_bytes), SIZE(1, MIB(1024)), .def = "8MiB", .reload = true, .help = "One text in a request: a prompt, a message"},
    {.name = "limits.head_time", TOP(limits.head_ms), TIME(100, MINUTES(60)), .def = "10s", .help = "How long a client may take to send the head of a request"},
    {.name = "limits.body_time", TOP(limits.body_ms), TIME(100, MINUTES(60)), .def = "1m", .help = "And its body"},
    {.name = "limits.idle_time", TOP(limits.idle_ms), TIME(100, DAYS(1)), .def = "75s", .help = "How long a connection may stay open between requests"},
    {.name = "limits.stall_time", TOP(limits.stall_ms), TIME(100, MINUTES(60)), .def = "30s", .help = "How long a client may take nothing of its answer"},
    {.name = "limits.memory_reserve", TOP(limits.memory_reserve_bytes), SIZE(0, TIB(16)), WORD("off", 0), .def = "256MiB", .reload = true,
     .help = "New work is refused while less memory than this is available"},
    {.name = "limits.cpu_load", TOP(limits.cpu_load), INT(0, 10000), WORD("off", 0), .def = "off", .reload = true,
     .help = "New work is refused while the system's load is above this, in percent of its cores"},

    {.name = "redis.url", TOP(redis.url), .type = DV_CONF_STRING, .def = "", .check = dv__form_redis, .secret = true,
     .help = "Redis or Valkey that several nodes share their limits through: redis://[[USER]:PASSWORD@]HOST[:PORT][/DB] or unix:///PATH"},
    {.name = "redis.prefix", TOP(redis.prefix), .type = DV_CONF_STRING, .def = "drover:", .help = "What its keys begin with"},
    {.name = "redis.timeout", TOP(redis.timeout_ms), TIME(10, SECONDS(60)), .def = "250ms", .help = "How long it may take to answer"},
    {.name = "redis.on_failure", TOP(redis.on_failure), ENUM("local|refuse"), .def = "local", .reload = true,
     .help = "While it does not: each node counts for itself, or requests are refused"},

    {.name = "residency.memory", TOP(residency.bytes), SIZE(0, TIB(64)), WORD("auto", 0), .def = "auto", .flag = "memory", .value = "SIZE", .reload = true,
     .help = "Memory of all loaded models together; auto: the machine's or the control group's, less residency.reserve"},
    {.name = "residency.reserve", TOP(residency.reserve_bytes), SIZE(0, TIB(64)), .def = "512MiB", .reload = true, .help = "What auto leaves to others"},
    {.name = "residency.models", TOP(residency.models), INT(0, 256), WORD("off", 0), .def = "off", .flag = "models-max", .value = "N", .reload = true,
     .help = "Models that are loaded at one time"},

    ROWS_RUN("defaults.", IN_DEFAULTS, ONLY),

    {.name = "upstream.program", TOP(upstream.program), .type = DV_CONF_STRING, .def = "llama-server", .flag = "upstream", .value = "FILE", .reload = true,
     .help = "llama-server to start for models that the native engine does not run: an absolute path, or a name to look for in PATH"},
    {.name = "upstream.flags", TOP(upstream.flags), LIST(' ', dv__form_flag), .reload = true, .help = "What it is started with, besides what drover sets"},

    {.name = "remote.allow", TOP(remote.allow), LIST(',', dv__form_allow), .flag = "allow-remote", .value = "ORIGIN", .reload = true,
     .help = "Servers that models may be at, such as https://api.example; those of this machine are always allowed"},
    {.name = "remote.public_only", TOP(remote.public_only), .type = DV_CONF_BOOL, .def = "false", .reload = true,
     .help = "Dial none whose name stands for an address of this machine or of a private network, whatever its name server says"},
    {.name = "remote.connect_time", TOP(remote.connect_ms), TIME(10, MINUTES(10)), .def = "5s", .reload = true, .help = "How long connecting to one may take"},
    {.name = "remote.silence_time", TOP(remote.silence_ms), TIME(SECONDS(1), DAYS(1)), .def = "5m", .reload = true, .help = "And how long it may send nothing"},

    {.name = "supervision.start_time", TOP(supervision.start_ms), TIME(SECONDS(1), MINUTES(1440)), .def = "5m", .reload = true, .help = "How long an engine may take until it is ready"},
    {.name = "supervision.health_interval", TOP(supervision.health_interval_ms), TIME(100, MINUTES(60)), .def = "2s", .reload = true, .help = "How often its health is checked"},
    {.name = "supervision.health_time", TOP(supervision.health_ms), TIME(100, MINUTES(60)), .def = "10s", .reload = true, .help = "It hangs, and is killed, if there is no answer for so long"},
    {.name = "supervision.backoff_min", TOP(supervision.backoff_min_ms), TIME(0, MINUTES(60)), .def = "250ms", .reload = true, .help = "Pause before a restart, but for that after a first crash, which is at once; it doubles with each"},
    {.name = "supervision.backoff_max", TOP(supervision.backoff_max_ms), TIME(0, MINUTES(1440)), .def = "30s", .reload = true, .help = "Longest pause"},
    {.name = "supervision.crash_limit", TOP(supervision.crash_limit), INT(1, 1000), .def = "5", .reload = true, .help = "After so many failures in crash_window a model is left alone for cooldown"},
    {.name = "supervision.crash_window", TOP(supervision.crash_window_ms), TIME(SECONDS(1), DAYS(1)), .def = "2m", .reload = true, .help = "Time in which failures are counted"},
    {.name = "supervision.cooldown", TOP(supervision.cooldown_ms), TIME(SECONDS(1), DAYS(1)), .def = "1m", .reload = true, .help = "Until it is tried again"},
    {.name = "supervision.stop_time", TOP(supervision.stop_ms), TIME(0, MINUTES(60)), .def = "10s", .reload = true, .help = "How long an engine that is unloaded may take to end by itself"},

    {.name = "audit.enabled", TOP(audit.enabled), .type = DV_CONF_BOOL, .def = "true", .env = "SECURITY_AUDIT_ENABLED", .flag = "audit", .reload = true,
     .help = "Record who did what, when, with which outcome, in the database and in data_dir/audit.jsonl"},
    {.name = "audit.prompts", TOP(audit.prompts), .type = DV_CONF_BOOL, .def = "false", .reload = true, .help = "With the text of prompts"},
    {.name = "audit.keep", TOP(audit.keep_ms), TIME(DAYS(1), DV_CONF_FOREVER), WORD("forever", DV_CONF_FOREVER), .def = "90d", .reload = true,
     .help = "How long records stay in the database"},
    {.name = "audit.file_size", TOP(audit.file_bytes), SIZE(KIB(64), TIB(1)), .def = "64MiB", .reload = true, .help = "Size at which audit.jsonl is set aside and a new one begun"},

    {.name = "log.level", TOP(log.level), ENUM("error|warn|info|debug"), .def = "info", .flag = "log-level", .value = "LEVEL", .reload = true,
     .help = "What is logged; info: a line for each request"},
    {.name = "log.format", TOP(log.format), ENUM("auto|text|json"), .def = "auto", .flag = "log-format", .value = "FORMAT", .reload = true,
     .help = "auto: text on a terminal, else a JSON object a line"},
    {.name = "log.file", TOP(log.file), .type = DV_CONF_PATH, .def = "", .def_shown = "standard error", .flag = "log-file", .value = "FILE", .reload = true,
     .help = "Where to. SIGHUP opens it anew"},

    {.name = "metrics.enabled", TOP(metrics.enabled), .type = DV_CONF_BOOL, .def = "true", .flag = "metrics", .reload = true, .help = "Serve /metrics"},

    {.name = "listeners.*.address", LISTENER(address), .type = DV_CONF_ADDRESS, .def = "off", .def_shown = "none: it must be given",
     .help = "Further address to listen on: HOST:PORT, [IPV6]:PORT or unix:PATH"},
    {.name = "listeners.*.api", LISTENER(api), ENUM(API_NAMES), .def = "openai", .help = "Whose answer a path gets that several APIs have"},
    {.name = "listeners.*.tls_cert", LISTENER(tls_cert), .type = DV_CONF_PATH, .def = "", .def_shown = "tls.cert", .reload = true, .help = "Certificate chain in PEM"},
    {.name = "listeners.*.tls_key", LISTENER(tls_key), .type = DV_CONF_PATH, .def = "", .def_shown = "tls.key", .reload = true, .help = "Its private key in PEM"},

    {.name = "profiles.*.name", PROFILE(name), .type = DV_CONF_STRING, .def = "", .def_shown = "none: it must be given", .check = dv__form_profile, .reload = true,
     .help = "What models and requests call it; that of one that is there already changes that one"},
    {.name = "profiles.*.what", PROFILE(what), .type = DV_CONF_STRING, .def = "", .reload = true, .help = "What it is for, a sentence"},
    {.name = "profiles.*.base", PROFILE(base), .type = DV_CONF_STRING, .def = "", .def_shown = "the one of its name, else balanced", .check = dv__form_profile, .reload = true,
     .help = "Profile that it takes from what is not given here; if it is none of drover's own it must come before"},
    ROWS_TUNED("profiles.*.", IN_PROFILE, NONE, "its base's"),

    {.name = "models.*.name", MODEL(name), .type = DV_CONF_STRING, .def = "", .def_shown = "the file's name without .gguf", .check = dv__form_name, .reload = true,
     .help = "What requests call it"},
    {.name = "models.*.aliases", MODEL(aliases), LIST(',', dv__form_name), .reload = true, .help = "Further names"},
    {.name = "models.*.path", MODEL(path), .type = DV_CONF_PATH, .def = "", .reload = true, .help = "GGUF file; relative to models_dir"},
    {.name = "models.*.url", MODEL(url), .type = DV_CONF_STRING, .def = "", .check = dv__form_url, .reload = true,
     .help = "Instead of a file, a server of OpenAI's API, with the path before /chat/completions: https://api.example/v1. It must be among remote.allow"},
    {.name = "models.*.backend", MODEL(backend), ENUM("auto|native|upstream|remote"), .def = "auto", .reload = true,
     .help = "What runs it; auto: a url is remote, a file native where the engine knows its architecture and upstream where not"},
    ROWS_RUN("models.*.", IN_MODEL, NONE),
    {.name = "models.*.pin", MODEL(pin), .type = DV_CONF_BOOL, .def = "false", .reload = true, .help = "Once loaded it stays loaded"},
    {.name = "models.*.preload", MODEL(preload), .type = DV_CONF_BOOL, .def = "false", .reload = true, .help = "Load it at the start, not at the first request"},
    {.name = "models.*.upstream_program", MODEL(upstream_program), .type = DV_CONF_STRING, .def = "", .def_shown = "upstream.program", .reload = true,
     .help = "llama-server to start for it"},
    {.name = "models.*.upstream_flags", MODEL(upstream_flags), LIST(' ', dv__form_flag), .reload = true, .help = "For its llama-server, after upstream.flags"},
    {.name = "models.*.key_env", MODEL(key_env), .type = DV_CONF_STRING, .def = "", .check = dv__form_env, .reload = true, .help = "Variable with the key that its url wants"},
    {.name = "models.*.key_file", MODEL(key_file), .type = DV_CONF_PATH, .def = "", .reload = true, .help = "File with that key"},
    {.name = "models.*.remote_name", MODEL(remote_name), .type = DV_CONF_STRING, .def = "", .def_shown = "its name", .reload = true, .help = "What the server at its url calls it"},
    {.name = "models.*.chat_template", MODEL(chat_template), .type = DV_CONF_PATH, .def = "", .reload = true, .help = "File with a Jinja template to use instead of the model's own"},
};
/* clang-format on */

const dv_conf_option *dv_conf_option_at(size_t i) { return i < DV_ARRAY_LEN(rows) ? &rows[i] : NULL; }

const dv_conf_option *dv_conf_options_of(dv_conf_scope scope, size_t *n)
{
    size_t first = 0, end;
    while (first < DV_ARRAY_LEN(rows) && rows[first].scope != scope)
        first++;
    for (end = first; end < DV_ARRAY_LEN(rows) && rows[end].scope == scope;)
        end++;
    *n = end - first;
    return rows + first;
}

const dv_conf_option *dv_conf_option_find(const char *name)
{
    for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

const char *dv_conf_env_name(const dv_conf_option *o, char buf[DV_CONF_ENV_LEN])
{
    int n = snprintf(buf, DV_CONF_ENV_LEN, "DROVER_%s", o->name);
    for (int i = 0; i < n && i < DV_CONF_ENV_LEN - 1; i++) {
        if (buf[i] == '.')
            buf[i] = '_';
        else if (buf[i] == '*')
            buf[i] = 'N';
        else if (buf[i] >= 'a' && buf[i] <= 'z')
            buf[i] = (char)(buf[i] - 'a' + 'A');
    }
    return buf;
}

const dv_conf_source *dv_conf_source_of(const dv_conf_option *o, const void *object)
{
    size_t n;
    /* Each scope's struct begins with its sources. */
    const dv_conf_source *src = *(const dv_conf_source *const *)object;
    return src + (o - dv_conf_options_of(o->scope, &n));
}
