/* SPDX-License-Identifier: MIT */
/* Tables for people: columns as wide as their widest cell. What comes from outside is escaped, so that it can neither steer a terminal nor forge
 * a row. */
#ifndef DV_CLI_TABLE_H
#define DV_CLI_TABLE_H

#include "base/buf.h"

#include <stdbool.h>

enum { DV_TABLE_COLS = 12 };

/** Errors stick, in cells.code. */
typedef struct dv_table {
    dv_buf cells; /**< row by row, each escaped and terminated; the titles are the first row */
    size_t n_cells, n_cols;
    size_t width[DV_TABLE_COLS]; /**< characters */
    bool right[DV_TABLE_COLS];
    bool untitled[DV_TABLE_COLS]; /**< what is empty in it stays so */
} dv_table;

/** @param titles  [n] at most DV_TABLE_COLS; a '>' before one sets its column to the right */
void dv_table_init(dv_table *t, const char *const *titles, size_t n);
void dv_table_fini(dv_table *t);
/** The next cell, row after row; NULL or "": "-", below a title. */
void dv_table_cell(dv_table *t, const char *text);
/** Append the table; a row that is not full is left out. Returns b->code. */
int dv_table_write(dv_buf *b, const dv_table *t);

#endif
