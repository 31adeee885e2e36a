/* SPDX-License-Identifier: MIT */
/* The option table: one row per option gives its name in drover.yaml, its variables, its flag, its type, range, default, help, and whether a
 * reload changes it. Reading, --help, `drover config`, the example file and docs/configuration.md all come from it. */
#ifndef DV_CONF_OPTIONS_H
#define DV_CONF_OPTIONS_H

#include "base/buf.h"
#include "conf/conf.h"

enum {
    DV_CONF_ENV_LEN = 128,
    DV_CONF_OPTIONS_MAX = 256, /**< rows of the table at most */
};

typedef enum dv_conf_type {
    DV_CONF_BOOL,     /**< bool */
    DV_CONF_INT,      /**< int64_t in [min, max] */
    DV_CONF_SIZE,     /**< int64_t bytes in [min, max]: "512MiB"; B, KiB, MiB, GiB, TiB; a bare number counts bytes */
    DV_CONF_DURATION, /**< int64_t milliseconds in [min, max]: "30s"; ms, s, m, h, d */
    DV_CONF_NUM,      /**< double in [min, max], or (min, max] with open_min; finite */
    DV_CONF_STRING,   /**< const char *; NULL for "" */
    DV_CONF_PATH, /**< the same; ~/ is the home folder, relative ones are relative to drover.yaml, or the working folder */
    DV_CONF_ENUM,    /**< int: index among words */
    DV_CONF_LIST,    /**< dv_conf_list of strings; in variables and flags separated by sep */
    DV_CONF_ADDRESS, /**< dv_conf_address */
    DV_CONF_TYPE_N
} dv_conf_type;

/** The struct that an option is a field of. */
typedef enum dv_conf_scope {
    DV_CONF_TOP,      /**< dv_conf */
    DV_CONF_LISTENER, /**< dv_conf_listener: "listeners.*.address" */
    DV_CONF_PROFILE,  /**< dv_conf_profile: "profiles.*.context" */
    DV_CONF_MODEL,    /**< dv_conf_model: "models.*.path" */
    DV_CONF_SCOPE_N
} dv_conf_scope;

typedef struct dv_conf_option {
    const char *name; /**< "limits.requests"; '*' stands for an element of a list */
    dv_conf_type type;
    dv_conf_scope scope;
    size_t offset; /**< in the scope's struct */
    int64_t min, max;
    bool open_min;     /**< of a DV_CONF_NUM: min itself is out of range */
    const char *words; /**< of an enum: "a|b|c"; of numbers: a word that stands for word_value, "off" */
    int64_t word_value;
    char sep;              /**< of a list */
    const char *def;       /**< default, in the syntax of a variable; "": none */
    const char *def_shown; /**< how people are told about a default that is computed; NULL: def */
    const char *env; /**< variables of other programs that set it, "A B"; the own one is made of the name; NULL: none */
    const char *flag;  /**< long flag without dashes; a bool has --no-FLAG too; NULL: none but --set */
    char short_flag;   /**< 0: none */
    const char *value; /**< what --help calls the flag's value */
    const char *help;
    bool secret; /**< never shown */
    bool reload; /**< SIGHUP changes it */
    bool
        inherit; /**< what is not given is, for models.*, that of defaults.*; for both then the profile's, if it has one; for profiles.*, the base's */
    const char *(*check)(
        const char *text); /**< of a string or an element: NULL, or what is wrong with it ("is no host name") */
} dv_conf_option;

/** Row i of the table, those of a scope together; NULL after the last one. Static. */
const dv_conf_option *dv_conf_option_at(size_t i);
/** The rows of a scope. */
const dv_conf_option *dv_conf_options_of(dv_conf_scope scope, size_t *n);
/** By its name in the table; NULL: none. */
const dv_conf_option *dv_conf_option_find(const char *name);
/** Its variable: "DROVER_LIMITS_REQUESTS"; "DROVER_MODELS_N_PATH" for an element of a list. Returns buf. */
const char *dv_conf_env_name(const dv_conf_option *o, char buf[DV_CONF_ENV_LEN]);
/** Where the value in object, a struct of the option's scope, comes from. */
const dv_conf_source *dv_conf_source_of(const dv_conf_option *o, const void *object);

/** Append the value in object in the syntax of a variable; "***" for a secret that is there. */
int dv_conf_value_text(dv_buf *b, const dv_conf_option *o, const void *object);
/** "drover.yaml:12:3", "LLAMA_CTX_SIZE", "--ctx", "profile fast", "default". */
int dv_conf_source_text(dv_buf *b, const dv_conf_source *s);

#endif
