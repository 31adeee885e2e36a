/* SPDX-License-Identifier: MIT */
#include "cli/table.h"

#include "base/utf8.h"

#include <string.h>

static void add(dv_table *t, const char *text)
{
    size_t at = t->cells.len, col = t->n_cells % t->n_cols;
    dv_buf_escaped(&t->cells, text, strlen(text));
    size_t width = t->cells.code == 0 ? dv_utf8_count(t->cells.data + at, t->cells.len - at) : 0;
    dv_buf_addc(&t->cells, 0);
    t->width[col] = DV_MAX(t->width[col], width);
    t->n_cells++;
}

void dv_table_init(dv_table *t, const char *const *titles, size_t n)
{
    *t = (dv_table){.n_cols = n};
    dv_buf_init(&t->cells, 0);
    for (size_t i = 0; i < n; i++) {
        t->right[i] = titles[i][0] == '>';
        t->untitled[i] = titles[i][0] == 0;
        add(t, titles[i] + t->right[i]);
    }
}

void dv_table_fini(dv_table *t) { dv_buf_fini(&t->cells); }

void dv_table_cell(dv_table *t, const char *text)
{
    bool empty = text == NULL || text[0] == 0;
    add(t, !empty ? text : t->untitled[t->n_cells % t->n_cols] ? "" : "-");
}

static void put_cell(dv_buf *b, const dv_table *t, size_t col, const char *text, size_t len)
{
    size_t blanks = t->width[col] - dv_utf8_count(text, len);
    bool last = col + 1 == t->n_cols;
    if (t->right[col])
        dv_buf_printf(b, "%*s", (int)blanks, "");
    dv_buf_add(b, text, len);
    if (!t->right[col] && !last)
        dv_buf_printf(b, "%*s", (int)blanks, "");
    while (last && b->len > 0 && b->data[b->len - 1] == ' ')
        b->data[--b->len] = 0;
    dv_buf_adds(b, last ? "\n" : "  ");
}

int dv_table_write(dv_buf *b, const dv_table *t)
{
    const char *cell = t->cells.data;
    if (t->cells.code != 0)
        b->code = b->code != 0 ? b->code : t->cells.code;
    for (size_t i = 0; b->code == 0 && i < t->n_cells - t->n_cells % t->n_cols; i++) {
        size_t len = strlen(cell);
        put_cell(b, t, i % t->n_cols, cell, len);
        cell += len + 1;
    }
    return b->code;
}
