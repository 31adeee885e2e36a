/* SPDX-License-Identifier: MIT */
/* YAML files to a tree with lines and columns. What configuration needs, and nothing that a hostile or mistaken file could hide in: one
 * document; no anchors, aliases, tags or merge keys; keys are words and come once; depth, nodes and lengths are bounded. What a scalar means
 * is for the reader of the tree to say: nothing is guessed from how it looks. */
#ifndef DV_CONF_TREE_H
#define DV_CONF_TREE_H

#include "base/arena.h"
#include "drover/error.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    DV__YAML_DEPTH = 12,    /**< of maps and lists in each other */
    DV__YAML_NODES = 65536, /**< of a file, keys included */
    DV__YAML_KEYS = 1024,   /**< of a map */
    DV__YAML_SCALAR = 4096, /**< bytes of a scalar */
    DV__YAML_KEY = 64,      /**< bytes of a key */
};

typedef enum dv__yaml_kind { DV__YAML_TEXT, DV__YAML_MAP, DV__YAML_LIST } dv__yaml_kind;

typedef struct dv__yaml dv__yaml;
struct dv__yaml {
    dv__yaml_kind kind;
    uint32_t line, column; /**< from 1; columns count characters */
    const char *text;      /**< TEXT: [len] terminated, valid UTF-8 without control characters */
    size_t len;
    bool null;           /**< TEXT: nothing, ~ or null, not in quotes */
    const dv__yaml *key; /**< in a MAP: this entry's key, a TEXT */
    dv__yaml *first, *last, *next;
    size_t n; /**< entries */
};

/**
 * @param root   in a; NULL if there is nothing but comments
 * @param shown  what errors call the file
 * Errors: DV_EFORMAT, DV_ELIMIT, "shown:line:column: sentence"; DV_ENOMEM.
 */
int dv__yaml_parse(dv__yaml **root, dv_arena *a, const char *shown, const char *text, size_t len, dv_err *err);

#endif
