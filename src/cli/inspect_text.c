/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"
#include "cli/format.h"
#include "cli/inspect.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    TEXT_MAX = 72,  /* bytes shown of a string */
    WORD_MAX = 24,  /* and of one in an array */
    NAME_WIDTH = 32 /* columns of a tensor's name, at least */
};

static void put_cut(dv_buf *b, dv_str s, size_t max)
{
    size_t n = DV_MIN(s.n, max);
    if (n < s.n)
        n -= dv_utf8_incomplete(s.p, n);
    dv_buf_addc(b, '"');
    dv_buf_escaped(b, s.p, n);
    dv_buf_addc(b, '"');
    if (n < s.n)
        dv_buf_printf(b, "... (%zu bytes)", s.n);
}

static void put_element(dv_buf *b, const dv_gguf_kv *kv, uint64_t i, size_t max)
{
    dv_gguf_vtype type = dv_gguf_kv_type(kv) == DV_GGUF_ARR ? dv_gguf_kv_elem_type(kv) : dv_gguf_kv_type(kv);
    uint64_t u;
    int64_t s;
    double f;
    bool flag;
    dv_str str;
    if (dv_gguf_kv_str(kv, i, &str))
        put_cut(b, str, max);
    else if (dv_gguf_kv_bool(kv, i, &flag))
        dv_buf_adds(b, flag ? "true" : "false");
    else if ((type == DV_GGUF_F32 || type == DV_GGUF_F64) && dv_gguf_kv_f64(kv, i, &f))
        dv_buf_printf(b, "%.7g", f);
    else if (dv_gguf_kv_u64(kv, i, &u))
        dv_buf_printf(b, "%" PRIu64, u);
    else if (dv_gguf_kv_i64(kv, i, &s))
        dv_buf_printf(b, "%" PRId64, s);
    else
        dv_buf_adds(b, "[...]");
}

static void put_value(dv_buf *b, const dv_gguf_kv *kv)
{
    if (dv_gguf_kv_type(kv) != DV_GGUF_ARR) {
        put_element(b, kv, 0, TEXT_MAX);
        return;
    }
    uint64_t n = dv_gguf_kv_len(kv), shown = n <= DV__INSPECT_HEAD ? n : DV__INSPECT_HEAD;
    dv_buf_addc(b, '[');
    for (uint64_t i = 0; i < shown; i++) {
        dv_buf_adds(b, i > 0 ? ", " : "");
        put_element(b, kv, i, WORD_MAX);
    }
    dv_buf_adds(b, shown < n ? ", ...]" : "]");
}

/* Fill with blanks until the line that began at `from` is `width` characters wide; at least one. */
static void pad_to(dv_buf *b, size_t from, size_t width)
{
    size_t have = b->code == 0 ? dv_utf8_count(b->data + from, b->len - from) : width;
    do
        dv_buf_addc(b, ' ');
    while (++have < width);
}

static void put_metadata(dv_buf *b, const dv_gguf *g)
{
    dv_buf_printf(b, "\nMetadata (%zu keys)\n", dv_gguf_n_kv(g));
    for (size_t i = 0; i < dv_gguf_n_kv(g) && b->code == 0; i++) {
        const dv_gguf_kv *kv = dv_gguf_kv_at(g, i);
        dv_str key = dv_gguf_kv_key(kv);
        size_t from = b->len;
        dv_buf_adds(b, "  ");
        dv_buf_escaped(b, key.p, key.n);
        pad_to(b, from, 42);
        if (dv_gguf_kv_type(kv) == DV_GGUF_ARR)
            dv_buf_printf(b, "%s[%" PRIu64 "]", dv__inspect_vtype_name(dv_gguf_kv_elem_type(kv)), dv_gguf_kv_len(kv));
        else
            dv_buf_adds(b, dv__inspect_vtype_name(dv_gguf_kv_type(kv)));
        pad_to(b, from, 58);
        put_value(b, kv);
        dv_buf_addc(b, '\n');
    }
}

/* "Q4_K"; an id that no version of the format has named comes with its number. */
static void put_type(dv_buf *b, uint32_t id)
{
    bool named = strcmp(dv_type_name(id), "unknown") != 0;
    dv_buf_adds(b, dv_type_name(id));
    if (!named)
        dv_buf_printf(b, " (%" PRIu32 ")", id);
}

static void put_tensors(dv_buf *b, const dv_gguf *g)
{
    size_t width = NAME_WIDTH;
    dv_buf_printf(b, "\nTensors (%zu; shape with the fastest axis first)\n", dv_gguf_n_tensors(g));
    for (size_t i = 0; i < dv_gguf_n_tensors(g); i++)
        width = DV_MAX(width, DV_MIN(dv_gguf_tensor_at(g, i)->name.n, (size_t)64) + 4);
    for (size_t i = 0; i < dv_gguf_n_tensors(g) && b->code == 0; i++) {
        const dv_gguf_tensor *t = dv_gguf_tensor_at(g, i);
        size_t from = b->len;
        dv_buf_adds(b, "  ");
        dv_buf_escaped(b, t->name.p, t->name.n);
        pad_to(b, from, width);
        put_type(b, t->type);
        pad_to(b, from, width + 10);
        for (uint32_t d = 0; d < t->n_dims; d++)
            dv_buf_printf(b, "%s%" PRIu64, d > 0 ? " x " : "", t->ne[d]);
        pad_to(b, from, width + 30);
        if (t->data != NULL)
            dv_buf_printf(b, "%14" PRIu64 " bytes\n", t->n_bytes);
        else
            dv_buf_adds(b, "   unsupported type\n");
    }
}

static void put_types(dv_buf *b, const dv__inspect *in)
{
    char size[DV_FORMAT_BYTES_LEN];
    dv_buf_adds(b, "\nTypes\n");
    for (size_t i = 0; i <= DV__INSPECT_TYPES; i++) {
        const dv__inspect_type *t = &in->types[i];
        if (t->n_tensors == 0)
            continue;
        const char *bytes = dv_type_get(t->id) != NULL ? dv_format_bytes(size, t->n_bytes) : "unsupported";
        dv_buf_printf(b, "  %-10s %6zu tensors %16" PRIu64 " elements   %s\n",
                      i < DV__INSPECT_TYPES ? dv_type_name(t->id) : "others", t->n_tensors, t->n_elements, bytes);
    }
}

static void put_memory(dv_buf *b, const dv__inspect *in)
{
    const dv__inspect_memory *m = &in->memory;
    char size[DV_FORMAT_BYTES_LEN];
    dv_buf_adds(b, "\nMemory");
    if (m->known)
        dv_buf_printf(b, " at a context of %" PRIu64 " tokens", m->n_ctx);
    dv_buf_printf(b, "\n  weights (mapped)   %s%s\n", dv_format_bytes(size, in->weight_bytes),
                  in->n_unsupported > 0 ? " and tensors of unsupported types" : "");
    if (!m->known) {
        dv_buf_printf(b, "  KV cache           unknown: %s\n", m->why.msg);
        return;
    }
    dv_buf_printf(b, "  KV cache, f32      %s\n", dv_format_bytes(size, m->kv_f32));
    dv_buf_printf(b, "  KV cache, f16      %s\n", dv_format_bytes(size, m->kv_f16));
    if (m->has_q8_0)
        dv_buf_printf(b, "  KV cache, q8_0     %s\n", dv_format_bytes(size, m->kv_q8_0));
}

void dv__inspect_text(dv_buf *b, const dv__inspect *in)
{
    char size[DV_FORMAT_BYTES_LEN];
    const dv_gguf *g = in->gguf;
    dv_buf_escaped(b, in->path, strlen(in->path));
    dv_buf_printf(b, "\nGGUF version %" PRIu32 ", %s, alignment %" PRIu64 "\n", dv_gguf_version(g),
                  dv_format_bytes(size, dv_gguf_file_bytes(g)), dv_gguf_alignment(g));
    put_metadata(b, g);
    if (dv_gguf_n_tensors(g) > 0) {
        put_tensors(b, g);
        put_types(b, in);
    }
    put_memory(b, in);
}
