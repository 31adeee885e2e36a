/* SPDX-License-Identifier: MIT */
/* What the readers of the tables share: those that check by them and the one that writes them down. */
#ifndef DV_SERVE_FIELD_H
#define DV_SERVE_FIELD_H

#include "serve/schema.h"

enum {
    DV__FIELD_MAX_NAME = 4096, /**< bytes of an identifier, of a field's name, without a bound of its own */
    DV__FIELD_MAX_PARAMS = 64, /**< parameters of a query */
};
#define DV__FIELD_MAX_INT 9007199254740992LL /**< 2^53: beyond it JSON's numbers are not exact for every reader */

/** The field of this name, or the one that stands for any name; NULL if there is neither. Own fields come before those of bases. */
const dv__field *dv__field_find(const dv__schema *s, const char *name);
/** What says what a string may be: the field, or its elements' field if it is a list that a single string may stand for. */
const dv__field *dv__field_alone(const dv__field *f);

/** The bounds of a number, those included that no field says. */
void dv__field_bounds(const dv__field *f, double *min, double *max);
/** Whether d is finite, whole where it must be, and within the bounds. */
bool dv__field_number_ok(const dv__field *f, double d);

/** Write "a string or a list", what a value of these types is. */
void dv__field_types(char *out, size_t n, unsigned types);
/** Write "a whole number from 0 to 5", what a number may be. */
void dv__field_range(char *out, size_t n, const dv__field *f);
/** Write "a, b, c" of "a|b|c". */
void dv__field_words(char *out, size_t n, const char *words);

/** Append the name of a field as somebody wrote it: safe to print, and cut if it is long. */
void dv__field_put_name(dv_buf *b, const char *name);
/** Set param to a path: the end of it if it is too long, since that names the field. */
void dv__field_say(dv__check *out, const char *path, size_t n);

#endif
