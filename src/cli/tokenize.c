/* SPDX-License-Identifier: MIT */
/* drover tokenize: what a model's tokenizer makes of a text. */
#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/utf8.h"
#include "cli/cmd.h"
#include "tok/tok.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct values {
    const char *model;
    bool special, bos, json;
} values;

/* clang-format off */
static const dv_opt opts[] = {
    DV_OPT_ROW_MODEL(values, model),
    {.name = "special", .type = DV_OPT_FLAG, .offset = offsetof(values, special), .help = "Parse special tokens written in the text"},
    {.name = "bos", .type = DV_OPT_FLAG, .offset = offsetof(values, bos), .help = "Add the tokens that the model wants in front and behind"},
    {.name = "json", .type = DV_OPT_FLAG, .offset = offsetof(values, json), .help = "One JSON array of ids"},
};
/* clang-format on */

/* What a token stands for, on one line and safe for a terminal: bytes that are no printable UTF-8 as \xNN. */
static void put_escaped(dv_buf *b, dv_str s)
{
    for (size_t i = 0; i < s.n;) {
        uint32_t cp = 0;
        int k = dv_utf8_decode(s.p + i, s.n - i, &cp);
        bool control = k < 0 || cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x2028 || cp == 0x2029;
        size_t used = k > 0 ? (size_t)k : 1;
        if (k > 0 && cp == '\n')
            dv_buf_adds(b, "\\n");
        else if (k > 0 && cp == '\t')
            dv_buf_adds(b, "\\t");
        else if (k > 0 && cp == '\\')
            dv_buf_adds(b, "\\\\");
        else if (!control)
            dv_buf_add(b, s.p + i, used);
        else
            for (size_t j = 0; j < used; j++)
                dv_buf_printf(b, "\\x%02x", (unsigned char)s.p[i + j]);
        i += used;
    }
}

static int print_ids(const dv_cmd *cmd, const dv_tok *t, const dv_ids *ids, bool json)
{
    dv_buf b;
    dv_buf_init(&b, 0);
    if (json)
        dv_buf_addc(&b, '[');
    for (size_t i = 0; i < ids->len && b.code == 0; i++) {
        if (json) {
            dv_buf_printf(&b, i > 0 ? ",%d" : "%d", (int)ids->id[i]);
            continue;
        }
        dv_buf_printf(&b, "%d\t", (int)ids->id[i]);
        put_escaped(&b, dv_tok_piece(t, ids->id[i]));
        dv_buf_addc(&b, '\n');
    }
    if (json)
        dv_buf_adds(&b, "]\n");
    int code = b.code != 0 ? dv_cmd_fail(cmd, "%s", dv_error_text(b.code)) : DV_EXIT_OK;
    if (code == DV_EXIT_OK)
        fwrite(dv_buf_str(&b), 1, b.len, stdout);
    dv_buf_fini(&b);
    return code;
}

/* Everything on standard input, or the argument as it is. */
static int read_text(dv_buf *b, const char *arg, dv_err *err)
{
    if (strcmp(arg, "-") == 0) {
        int rc = dv_fd_read(b, STDIN_FILENO, err);
        return rc != 0 ? dv_err_prefix(err, "standard input") : 0;
    }
    int rc = dv_buf_adds(b, arg);
    return rc != 0 ? dv_fail(err, rc, "%s", dv_error_text(rc)) : 0;
}

static int run(const dv_cmd *cmd, int argc, char **argv)
{
    values v;
    size_t n_args;
    int code;
    if (!dv_opt_parse(cmd, argc, argv, &v, sizeof v, &n_args, &code))
        return code;
    if (v.model == NULL)
        return dv_cmd_usage(cmd, "a model is needed: -m FILE");

    dv_err err = {0};
    dv_gguf *g = NULL;
    dv_tok *t = NULL;
    dv_ids ids = {0};
    dv_buf text;
    dv_buf_init(&text, DV_TOK_MAX_TEXT);
    int rc = dv_gguf_open(&g, v.model, &err);
    if (rc == 0)
        rc = dv_tok_open(&t, g, &err);
    if (rc != 0)
        dv_err_prefix(&err, "%s", v.model);
    if (rc == 0)
        rc = read_text(&text, argv[1], &err);
    unsigned flags = (v.special ? DV_TOK_SPECIAL : 0u) | (v.bos ? DV_TOK_BOS_EOS : 0u);
    if (rc == 0)
        rc = dv_tok_encode(t, text.data, text.len, flags, &ids, &err);
    if (rc == 0 && dv_tok_note(t)[0] != 0)
        fprintf(stderr, "drover tokenize: %s\n", dv_tok_note(t));
    code = rc != 0 ? dv_cmd_fail_err(cmd, &err) : print_ids(cmd, t, &ids, v.json);
    dv_buf_fini(&text);
    dv_ids_fini(&ids);
    dv_tok_close(&t);
    dv_gguf_close(&g);
    return code;
}

const dv_cmd dv_cmd_tokenize = {
    .name = "tokenize",
    .args = "(TEXT | -)",
    .summary = "Show the tokens of a text",
    .details =
        "'-' reads the text from standard input, byte for byte. Each line of the output is a token's id, a tab, and its text with\n"
        "control characters escaped. Without --special and --bos no special token is parsed or added.",
    .opts = opts,
    .n_opts = DV_ARRAY_LEN(opts),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
