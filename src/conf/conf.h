/* SPDX-License-Identifier: MIT */
/* The configuration of the service: what drover.yaml, the environment and flags say, in this order of precedence, checked and in one struct.
 * conf/options.h has the table that everything here comes from: names, types, ranges, defaults, which of them SIGHUP changes.
 *
 * A dv_conf does not change after it was opened; any thread may read it. A reload makes another one. Strings, lists and paths are owned by it;
 * a string that was not given is NULL, and one that may not be missing has its default. Paths are absolute where the input says what relative
 * ones are relative to. Numbers are int64_t whatever they count; a value is in the range that the table gives.
 * docs/configuration.md is the reference for people. */
#ifndef DV_CONF_CONF_H
#define DV_CONF_CONF_H

#include "base/attr.h"
#include "drover/engine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DV_CONF_FOREVER INT64_MAX /**< value of a time that never ends */

enum {
    DV_CONF_FILE_MAX = 1 << 20, /**< bytes of a configuration file */
    DV_CONF_MODELS_MAX = 256,
    DV_CONF_LISTENERS_MAX = 64,
    DV_CONF_PROFILES_MAX = 64, /**< of the list, besides drover's own */
    DV_CONF_LIST_MAX = 256,    /**< elements of a list */
    DV_CONF_TEXT_MAX = 4096    /**< bytes of one value */
};

/** Where a value comes from. */
typedef enum dv_conf_from {
    DV_CONF_FROM_DEFAULT,
    DV_CONF_FROM_PROFILE, /**< name: the profile's */
    DV_CONF_FROM_FILE,    /**< name: the path; line and column are valid */
    DV_CONF_FROM_ENV,     /**< name: the variable's */
    DV_CONF_FROM_FLAG,    /**< name: as it was written, "--ctx" */
    DV_CONF_FROM_N
} dv_conf_from;

typedef struct dv_conf_source {
    dv_conf_from from;
    const char *name;      /**< NULL for a default */
    uint32_t line, column; /**< from 1; 0 but for a file */
} dv_conf_source;

typedef struct dv_conf_list {
    const char *const *v; /**< [n] */
    size_t n;
} dv_conf_list;

/** "127.0.0.1:8081", "[::1]:8081", "host:8081", "unix:/run/drover.sock" or "off". */
typedef struct dv_conf_address {
    const char *text; /**< as above, never NULL once open */
    const char *host; /**< of a TCP address, without brackets; else NULL */
    const char *path; /**< of a unix socket; else NULL */
    uint16_t port;    /**< 0: any free one */
} dv_conf_address;

/** The APIs. Each listener serves all of them; its own one answers paths that several have ("/", "/api/tags"...). */
typedef enum dv_conf_api {
    DV_CONF_API_OPENAI,
    DV_CONF_API_APP,
    DV_CONF_API_WEBSOCKET,
    DV_CONF_API_CHROMA,
    DV_CONF_API_OLLAMA,
    DV_CONF_API_N
} dv_conf_api;

typedef enum dv_conf_backend {
    DV_CONF_BACKEND_AUTO, /**< of a file: native where the engine knows the architecture, else upstream. Never of a model with a URL */
    DV_CONF_BACKEND_NATIVE,
    DV_CONF_BACKEND_UPSTREAM, /**< a supervised llama-server */
    DV_CONF_BACKEND_REMOTE,   /**< a URL */
    DV_CONF_BACKEND_N
} dv_conf_backend;

/** Do requests from loopback addresses need a key? dv_conf_loopback_keyless decides. */
typedef enum dv_conf_keyless { DV_CONF_KEYLESS_AUTO, DV_CONF_KEYLESS_YES, DV_CONF_KEYLESS_NO } dv_conf_keyless;
typedef enum dv_conf_sandbox { DV_CONF_SANDBOX_ON, DV_CONF_SANDBOX_REQUIRE, DV_CONF_SANDBOX_OFF } dv_conf_sandbox;
typedef enum dv_conf_tls_version { DV_CONF_TLS_1_2, DV_CONF_TLS_1_3 } dv_conf_tls_version;
typedef enum dv_conf_bad_text { DV_CONF_TEXT_REFUSE, DV_CONF_TEXT_REPAIR } dv_conf_bad_text;
typedef enum dv_conf_no_redis { DV_CONF_REDIS_LOCAL, DV_CONF_REDIS_REFUSE } dv_conf_no_redis;
typedef enum dv_conf_log_level {
    DV_CONF_LOG_ERROR,
    DV_CONF_LOG_WARN,
    DV_CONF_LOG_INFO,
    DV_CONF_LOG_DEBUG
} dv_conf_log_level;
typedef enum dv_conf_log_format {
    DV_CONF_LOG_AUTO, /**< text on a terminal, else JSON */
    DV_CONF_LOG_TEXT,
    DV_CONF_LOG_JSON
} dv_conf_log_format;

/** How a model runs. What neither the model nor `defaults` says is the profile's. */
typedef struct dv_conf_run {
    const char *profile; /**< name, for dv_conf_find_profile; NULL in a profile itself */
    int64_t context;     /**< tokens, shared by the sequences of an engine */
    int64_t batch;       /**< tokens of a step */
    int64_t threads;     /**< 0: one per usable core */
    int64_t parallel;
    int kv_type; /**< dv_kv_format */
    bool speculation;
    /* For requests that do not say: dv_conf_sampling. */
    double temperature, top_p, min_p, typical_p, repeat_penalty, presence_penalty, frequency_penalty;
    int64_t top_k, repeat_last_n;
    /* Not of profiles: */
    int64_t prefix_cache_bytes; /**< beyond what the context needs */
    int64_t prefix_disk_bytes;  /**< 0: prefixes are not kept on disk */
    int64_t keep_alive_ms;      /**< idle time until it is unloaded; DV_CONF_FOREVER */
    int64_t gpu_layers;         /**< of an upstream; -1: it decides */
} dv_conf_run;

/** A named set of how models run. */
typedef struct dv_conf_profile {
    const dv_conf_source *src; /**< [options of DV_CONF_PROFILE] */
    const char *name;
    const char *what; /**< what it is for, a sentence; NULL: not said */
    const char *base; /**< as given; NULL */
    dv_conf_run run;  /**< everything filled in up to frequency_penalty; the rest means nothing */
    bool own;         /**< one of drover's own: fast, balanced, quality, memory, batch */
    bool listed;      /**< the list has it, or changes it */
    dv_conf_source where;
} dv_conf_profile;

typedef struct dv_conf_listener {
    const dv_conf_source *src;      /**< [options of DV_CONF_LISTENER] */
    dv_conf_address address;        /**< never off */
    int api;                        /**< dv_conf_api */
    const char *tls_cert, *tls_key; /**< both, or neither: plain HTTP */
    bool loopback;                  /**< cannot be reached from other machines: a loopback address, a unix socket */
    bool tls_shared;                /**< they are tls.cert and tls.key */
    bool shorthand;                 /**< comes from listen.*, not from the list */
    dv_conf_source where;           /**< the element, or the shorthand */
} dv_conf_listener;

typedef struct dv_conf_model {
    const dv_conf_source *src; /**< [options of DV_CONF_MODEL] */
    const char *name;          /**< unique among all names and aliases */
    dv_conf_list aliases;
    const char *path; /**< a GGUF file; or NULL: */
    const char *url;  /**< base URL without a slash at its end, "https://api.example/v1" */
    int backend;      /**< dv_conf_backend */
    dv_conf_run run;
    bool pin;                       /**< never evicted, never idle */
    bool preload;                   /**< loaded at the start */
    const char *upstream_program;   /**< of a file whose backend is upstream or auto; else NULL */
    dv_conf_list upstream_flags;    /**< after upstream.flags */
    const char *key_env, *key_file; /**< where a remote's key is: dv_conf_read_key */
    const char *remote_name;        /**< what the remote calls it; NULL: name */
    const char *chat_template;      /**< file */
    bool shorthand;                 /**< comes from `model` and `model_url`, not from the list */
    dv_conf_source where;           /**< the element, or the shorthand */
} dv_conf_model;

typedef struct dv_conf {
    const dv_conf_source *src;                   /**< [options of DV_CONF_TOP] */
    const char *data_dir, *models_dir, *run_dir; /**< sockets in run_dir may have names of up to 24 bytes */
    const char *model, *model_url; /**< models has what they say; model_url is NULL if it names this server itself */
    const char
        *default_model; /**< as given, or that of `model`, or the first of the list; NULL: none of them is there */
    int64_t drain_ms;
    bool insecure;

    dv_conf_address listen[DV_CONF_API_N]; /**< as given; listeners has what to do */
    struct {
        const char *cert, *key;
        int min_version; /**< dv_conf_tls_version */
    } tls;
    struct {
        int loopback_keyless;                                         /**< dv_conf_keyless */
        dv_conf_list allowed_hosts, allowed_origins, trusted_proxies; /**< proxies: dv_conf_net_parse reads them */
        int sandbox;                                                  /**< dv_conf_sandbox */
        int invalid_text;                                             /**< dv_conf_bad_text */
        int64_t session_ms, session_idle_ms;
    } security;
    struct {
        int64_t requests, window_ms, burst;     /**< of an identity; requests 0: no limit; burst 0: requests */
        int64_t tokens_per_minute, concurrency; /**< of an identity; 0: no limit */
        int64_t total_concurrency;              /**< of all; 0: no limit */
        int64_t queue, queue_ms;
        int64_t connections, connections_per_address; /**< the latter 0: no limit */
        int64_t head_bytes, body_bytes, bodies_bytes, text_bytes;
        int64_t head_ms, body_ms, idle_ms, stall_ms;
        int64_t memory_reserve_bytes; /**< 0: not looked at */
        int64_t cpu_load;             /**< percent of all cores; 0: not looked at */
    } limits;
    struct {
        const char *url; /**< secret; NULL: limits are this process's own */
        const char *prefix;
        int64_t timeout_ms;
        int on_failure; /**< dv_conf_no_redis */
    } redis;
    struct {
        int64_t bytes, reserve_bytes; /**< bytes 0: what machine or cgroup have, less the reserve */
        int64_t models;               /**< 0: no limit */
    } residency;
    dv_conf_run defaults;
    struct {
        const char *program;
        dv_conf_list flags;
    } upstream;
    struct {
        dv_conf_list allow;
        bool public_only;
        int64_t connect_ms, silence_ms;
    } remote;
    struct {
        int64_t start_ms, health_interval_ms, health_ms, backoff_min_ms, backoff_max_ms;
        int64_t crash_limit, crash_window_ms, cooldown_ms, stop_ms;
    } supervision;
    struct {
        bool enabled, prompts;
        int64_t keep_ms, file_bytes; /**< keep_ms: DV_CONF_FOREVER */
    } audit;
    struct {
        int level, format; /**< dv_conf_log_level, dv_conf_log_format */
        const char *file;  /**< NULL: standard error */
    } log;
    struct {
        bool enabled;
    } metrics;

    /* All of them, with everything filled in; shorthands come last. */
    dv_conf_listener *listeners; /**< [n_listeners] */
    size_t n_listeners;
    dv_conf_profile *profiles; /**< [n_profiles] drover's own, then those of the list */
    size_t n_profiles;
    dv_conf_model *models; /**< [n_models] those that are named; files of models_dir come besides, with `defaults` */
    size_t n_models;
} dv_conf;

/** A value from the command line. */
typedef struct dv_conf_flag {
    const char *option; /**< "limits.requests", "models.0.path" */
    const char *text;
    const char *shown; /**< how it was written, "--ctx": for messages */
} dv_conf_flag;

/** Borrowed for a call. Everything may be NULL or 0. */
typedef struct dv_conf_input {
    const char *file; /**< path of drover.yaml; NULL: none */
    const char *text; /**< [len] its content, instead of reading it */
    size_t len;
    const char *const *env;    /**< "NAME=value"..., NULL: as environ */
    const char *dir;           /**< absolute; what relative paths of variables and flags, and file, are relative to */
    const dv_conf_flag *flags; /**< [n_flags] later ones win; those of a list add up */
    size_t n_flags;
} dv_conf_input;

/**
 * Read, check and fill in. No file is looked at but the configuration itself.
 * Errors: DV_EINVAL, DV_EFORMAT (what is wrong in a sentence that begins with file:line:column, the variable or the flag), DV_ELIMIT, DV_ENOMEM;
 * of the file DV_ENOENT, DV_EACCES, DV_EIO.
 */
int dv_conf_open(dv_conf **out, const dv_conf_input *in, dv_err *err);
/** Secrets are wiped. *conf may be NULL, becomes NULL. */
void dv_conf_close(dv_conf **conf);

typedef struct dv_conf_change {
    const char *name;      /**< "limits.requests", "models.llama.context", "models.llama" (one that came or went) */
    const char *from, *to; /**< text of the values, "***" for secrets; NULL: there is none */
    bool restart;          /**< not in effect: it needs a restart, and the new configuration has the old value */
} dv_conf_change;

typedef struct dv_conf_changes {
    const dv_conf_change *v; /**< [n] owned by the new configuration */
    size_t n;
} dv_conf_changes;

/**
 * Read again. The new configuration has the new values of options that can be reloaded and the old ones of all others: it says what is in
 * effect. old stays as it is, and stays valid.
 * Errors: those of dv_conf_open; then old goes on.
 */
int dv_conf_reload(dv_conf **out, const dv_conf *old, const dv_conf_input *in, dv_conf_changes *changes, dv_err *err);

/** The model with this name or alias; NULL: none. */
const dv_conf_model *dv_conf_find_model(const dv_conf *conf, const char *name);

/** The profile with this name; NULL: none. */
const dv_conf_profile *dv_conf_find_profile(const dv_conf *conf, const char *name);
/** One of drover's own profiles, as it is without a configuration; NULL: none has this name. src is NULL. Static. */
const dv_conf_profile *dv_conf_own_profile(const char *name);

/** Sampling of requests that say nothing; seed and bias are 0. run: of a model or of a profile. */
dv_sampling dv_conf_sampling(const dv_conf_run *run);

/**
 * May requests from loopback addresses do without a key? What `auto` says: no as soon as a listener can be reached from other machines or a
 * proxy is trusted, since then others may come from these addresses too.
 */
bool dv_conf_loopback_keyless(const dv_conf *conf);

/**
 * The key of a remote, from its variable or file (one line; blanks around it do not count).
 * @param env  as in dv_conf_input
 * @param out  [cap] terminated; "" if the model has none. The caller wipes it.
 * Errors: DV_ENOENT (no such variable or file), DV_EACCES, DV_EINVAL (no key in it, not visible ASCII), DV_ELIMIT (longer than cap), DV_EIO.
 * They never quote the key.
 */
int dv_conf_read_key(const dv_conf_model *model, const char *const *env, char *out, size_t cap, dv_err *err);

/** Value of a variable in env; NULL if it is not there or empty: an empty variable says nothing. */
const char *dv_conf_env(const char *const *env, const char *name);

#endif
