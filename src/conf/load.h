/* SPDX-License-Identifier: MIT */
/* Steps of making a configuration: defaults, the file, the environment, flags, each through the table; then what is left is filled in and
 * checked. Everything lives in the configuration's arena. */
#ifndef DV_CONF_LOAD_H
#define DV_CONF_LOAD_H

#include "base/arena.h"
#include "conf/options.h"

/** What dv_conf_open makes; the public part comes first. */
typedef struct dv__conf {
    dv_conf pub;
    dv_arena arena;
} dv__conf;

typedef struct dv__load {
    dv__conf *conf;
    const dv_conf_input *in;
    dv_err *err;
    const char *file;   /**< how messages call drover.yaml; in the arena; NULL: there is none */
    const char *folder; /**< what its relative paths are relative to; "" if that is not known */
    size_t caps[DV_CONF_SCOPE_N];
} dv__load;

/** An option of one object: that of element `index` in a list; index means nothing for DV_CONF_TOP. */
typedef struct dv__slot {
    const dv_conf_option *o;
    size_t index;
} dv__slot;

/* object.c: the structs that options are fields of. */

/** dv_conf or a struct of one of its lists; elements must exist. */
const void *dv__conf_at(const dv_conf *c, dv_conf_scope scope, size_t index);
void *dv__conf_object(dv__load *l, dv_conf_scope scope, size_t index);
size_t *dv__conf_count(dv__load *l, dv_conf_scope scope);
/** Make sure that element index (at most the count) exists; a new one has its defaults. Errors: DV_ELIMIT, DV_ENOMEM. */
int dv__conf_element(dv__load *l, dv_conf_scope scope, size_t index, const dv_conf_source *where);
/** Sources and defaults of an object that is zero. */
int dv__conf_init_object(dv__load *l, dv_conf_scope scope, void *object);
/** Copy a value and its source, strings too, from a field of one object to a field of the same type of another. */
int dv__conf_copy(dv__load *l, const dv_conf_option *o_to, void *to, const dv_conf_option *o_from, const void *from);
bool dv__conf_equal(const dv_conf_option *o, const void *a, const void *b);
/** A writable view of dv_conf_source_of. */
dv_conf_source *dv__conf_source(const dv_conf_option *o, void *object);
/** The source with its name in the arena. */
int dv__conf_keep_source(dv__load *l, const dv_conf_source *s, dv_conf_source *out);
bool dv__conf_given(const dv_conf_option *o, const void *object);

/* value.c: texts to values. Errors: DV_EINVAL with the source in front, DV_ELIMIT, DV_ENOMEM. */

/** "drover.yaml:3:5: ", "LLAMA_CTX_SIZE: ", "--ctx: " or nothing, then the text. */
int dv__conf_fail(dv__load *l, int code, const dv_conf_source *s, const char *fmt, ...) DV_PRINTF(4, 5);
/** The same with the option's name in front of the text: "limits.requests must be..." */
int dv__conf_fail_option(dv__load *l, dv__slot slot, const dv_conf_source *s, const char *fmt, ...) DV_PRINTF(4, 5);
/** In the syntax of variables and flags. */
int dv__conf_set(dv__load *l, dv__slot slot, const char *text, const dv_conf_source *s);
/** Add elements to a list whose value has this source already, or replace it. */
int dv__conf_add(dv__load *l, dv__slot slot, const char *text, const dv_conf_source *s);
/** A list of texts [n]. */
int dv__conf_set_list(dv__load *l, dv__slot slot, const char *const *v, size_t n, const dv_conf_source *s);
/** A number as people write it: "512MiB", "30s", "auto". */
void dv__conf_number_text(dv_buf *b, const dv_conf_option *o, int64_t v);

/* One file each: file.c, env.c, flag.c, resolve.c, rules.c. Errors: those of dv_conf_open. */

int dv__conf_load_file(dv__load *l);
int dv__conf_load_env(dv__load *l);
int dv__conf_load_flags(dv__load *l);
/** Once everything is read: variables that begin with DROVER_ and mean nothing are errors. */
int dv__conf_check_env(dv__load *l);
/** Top options: computed defaults, paths, profiles, what `defaults` takes from its profile. */
int dv__conf_resolve_top(dv__load *l);
/** Then listeners and models: shorthands, what they inherit. */
int dv__conf_resolve_lists(dv__load *l);
/** What no single option can say: pairs, ranges against each other, names that must be unique, what is exposed. */
int dv__conf_check_rules(dv__load *l);

/** Is url an address that this server listens on? */
bool dv__conf_is_self(const dv_conf *c, const char *url);
/** The row and the index that a name such as "models.0.path" means; false: none. */
bool dv__conf_find_slot(const char *name, dv__slot *out);

#endif
