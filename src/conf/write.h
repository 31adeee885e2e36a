/* SPDX-License-Identifier: MIT */
/* A configuration, or the table itself, written out. Secrets are "***". All append, and return b->code. */
#ifndef DV_CONF_WRITE_H
#define DV_CONF_WRITE_H

#include "conf/options.h"

/** Everything that is in effect as a drover.yaml, with the source of each value behind it. */
int dv_conf_write_yaml(dv_buf *b, const dv_conf *c);
/** The same as a JSON object: "options", "listeners", "profiles" and "models", each value with its source; shorthands' elements and
 * drover's own profiles too. */
int dv_conf_write_json(dv_buf *b, const dv_conf *c);
/** A drover.yaml in which each option is a line that is commented out, with its default, below what it means. */
int dv_conf_write_example(dv_buf *b);
/** The reference in Markdown: a table for each section. */
int dv_conf_write_reference(dv_buf *b);

/** "whole number, 1 to 256", "size, 1KiB to 1GiB or off", "one of a, b, c". */
int dv__conf_type_text(dv_buf *b, const dv_conf_option *o);
/** The default for people; "none" if there is none. */
int dv__conf_default_text(dv_buf *b, const dv_conf_option *o);
/** Length of the section's name in front of an option's: 0, "limits", "models". */
size_t dv__conf_section(const dv_conf_option *o);
/** The option's name in its section: "requests", "path". */
const char *dv__conf_leaf(const dv_conf_option *o);
/** The value in object as YAML; in a list in brackets. */
int dv__conf_value_yaml(dv_buf *b, const dv_conf_option *o, const void *object);

#endif
