/* SPDX-License-Identifier: MIT */
/* drover inspect: what a GGUF file holds. It opens any file that the reader accepts, also one whose tensors have types
 * or whose architecture drover cannot run, and prints nothing from the file unescaped. */
#include "cli/inspect.h"

#include "cli/cmd.h"

#include <stdio.h>

typedef struct values {
    bool json;
    uint64_t n_ctx;
} values;

/* clang-format off */
static const dv_opt opts[] = {
    {.name = "ctx", .type = DV_OPT_UINT, .value = "N", .offset = offsetof(values, n_ctx), .min = 1, .max = 1 << 30,
     .help = "Context in tokens for the memory estimate; without it the model's own, at most 4096"},
    {.name = "json", .type = DV_OPT_FLAG, .offset = offsetof(values, json), .help = "One JSON object"},
};
/* clang-format on */

const char *dv__inspect_vtype_name(dv_gguf_vtype type)
{
    static const char *const names[DV_GGUF_VTYPE_N] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                       "bool", "string", "array", "u64", "i64", "f64"};
    return type < DV_GGUF_VTYPE_N ? names[type] : "?";
}

uint64_t dv__inspect_n_elements(const dv_gguf_tensor *t)
{
    return t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3]; /* the reader made sure that it fits */
}

/* Tensors of unsupported types have no size that was checked against the file, so their sum may exceed anything. */
static uint64_t saturating_sum(uint64_t a, uint64_t b) { return a <= INT64_MAX - b ? a + b : INT64_MAX; }

void dv__inspect_collect(dv__inspect *in, const char *path, const dv_gguf *g, uint64_t n_ctx)
{
    *in = (dv__inspect){.path = path, .gguf = g};
    for (size_t i = 0; i < dv_gguf_n_tensors(g); i++) {
        const dv_gguf_tensor *t = dv_gguf_tensor_at(g, i);
        dv__inspect_type *type = &in->types[DV_MIN(t->type, (uint32_t)DV__INSPECT_TYPES)];
        uint64_t n = dv__inspect_n_elements(t);
        type->id = t->type;
        type->n_tensors++;
        type->n_elements = saturating_sum(type->n_elements, n);
        in->n_elements = saturating_sum(in->n_elements, n);
        type->n_bytes += t->n_bytes; /* disjoint parts of files that exist */
        in->weight_bytes += t->n_bytes;
        in->n_unsupported += t->data == NULL;
    }
    dv__inspect_memory_of(&in->memory, g, n_ctx);
}

static int run(const dv_cmd *cmd, int argc, char **argv)
{
    values v;
    size_t n_args;
    int code;
    if (!dv_opt_parse(cmd, argc, argv, &v, sizeof v, &n_args, &code))
        return code;
    dv_err err = {0};
    dv_gguf *g;
    if (dv_gguf_open(&g, argv[1], &err) != 0)
        return dv_cmd_fail_err(cmd, &err);
    dv__inspect in;
    dv_buf b;
    dv_buf_init(&b, 0);
    dv__inspect_collect(&in, argv[1], g, v.n_ctx);
    (v.json ? dv__inspect_json : dv__inspect_text)(&b, &in);
    if (b.code != 0)
        code = dv_cmd_fail(cmd, "%s", dv_error_text(b.code));
    else
        fwrite(dv_buf_str(&b), 1, b.len, stdout); /* main() sees whether it arrived */
    dv_buf_fini(&b);
    dv_gguf_close(&g);
    return code;
}

const dv_cmd dv_cmd_inspect = {
    .name = "inspect",
    .args = "FILE",
    .summary = "Show the metadata, tensors and memory needs of a GGUF file",
    .details = "Shapes have the fastest axis first, as in the file. A split model is named by any of its parts.\n"
               "Weights are mapped from the file and shared; the KV cache is what a context needs beside them.",
    .opts = opts,
    .n_opts = DV_ARRAY_LEN(opts),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
