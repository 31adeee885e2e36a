/* SPDX-License-Identifier: MIT */
/* Command-line options: one table row per option gives its parsing, its range check, its default, its line in --help and the name in
 * its errors. A command is a dv_cmd with such a table; main.c lists the commands. */
#ifndef DV_CLI_OPT_H
#define DV_CLI_OPT_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum dv_opt_type {
    DV_OPT_FLAG,   /**< bool; takes no value */
    DV_OPT_STRING, /**< const char *, points into argv; NULL when not given and without a default */
    DV_OPT_UINT,   /**< uint64_t in [min, max], decimal */
    DV_OPT_NUM,    /**< double in [min, max], or (min, max] with open_min; finite */
    DV_OPT_CHOICE, /**< int: index of the word in value, "f16|q8_0" */
    DV_OPT_LIST,   /**< dv_opt_list; may be given up to max times */
    DV_OPT_TYPE_N
} dv_opt_type;

enum { DV_OPT_LIST_MAX = 256 };

typedef struct dv_opt_list {
    const char *v[DV_OPT_LIST_MAX]; /**< point into argv, in order */
    size_t n;
} dv_opt_list;

typedef struct dv_opt {
    const char *name; /**< long name without the dashes; NULL: only the short one */
    char short_name;  /**< 0: none */
    dv_opt_type type;
    const char *value; /**< what --help calls the value, "FILE"; the words of a choice; NULL for a flag */
    size_t offset;     /**< of the field in the command's struct of values */
    double min, max;   /**< DV_OPT_UINT, DV_OPT_NUM: range; DV_OPT_LIST: max is how often it may be given */
    bool open_min;     /**< min itself is out of range */
    const char *def;   /**< default, in the syntax of the command line and shown by --help; NULL: false, 0, NULL */
    const char *help;
} dv_opt;

typedef struct dv_cmd dv_cmd;
struct dv_cmd {
    const char *name;
    const char *args;    /**< the positional arguments in the usage line, "(TEXT | -)"; "" if there are none */
    const char *summary; /**< one line */
    const char *details; /**< paragraphs below the options in --help; NULL: none */
    const dv_opt *opts;
    size_t n_opts;
    size_t min_args, max_args;                            /**< how many positional arguments it takes */
    int (*run)(const dv_cmd *cmd, int argc, char **argv); /**< argv[0] is the command's name; returns an exit code */
};

/** What a program tells its caller. */
enum dv_exit { DV_EXIT_OK = 0, DV_EXIT_FAILURE = 1, DV_EXIT_USAGE = 2 };

/**
 * Fill values (zeroed first, then defaults, then argv). Options and arguments may be mixed; "--" ends the options; --name=value and
 * -nVALUE work too; the last one given wins. Positional arguments end up in argv[1..n_args].
 * @return true: run the command. False: *exit_code is what it must return, and --help or an error was printed.
 */
bool dv_opt_parse(const dv_cmd *cmd, int argc, char **argv, void *values, size_t values_size, size_t *n_args,
                  int *exit_code) DV_WARN_UNUSED;

#endif
