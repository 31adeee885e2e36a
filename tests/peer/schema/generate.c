/* SPDX-License-Identifier: MIT */
/* Random texts of a schema: each line of the input is a schema; the output has for each a line "ok", or "refused" and why, and then the texts,
 * one a line and with the line ends of free white space turned into blanks. A text is a walk over tokens that the mask allows: all alike, but
 * after a while the ends of strings, lists and objects are preferred, and the walk tries to say what the schema says, letter by letter, since
 * nobody finds the text that an unanchored pattern wants by chance.
 *
 * usage: schema_generate [-n TEXTS] [-s SEED] [-m VOCABULARY.gguf] [-w 0|1|2] <schemas */
#include "base/buf.h"
#include "base/rng.h"
#include "gguf/gguf.h"
#include "grammar/grammar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_BYTES = 257, SOON = 40, MAX_STEPS = 6000 };

typedef struct walker {
    dv_grammar_vocab *v;
    dv_tok *tok; /* NULL: bytes */
    uint32_t *mask, *ids;
    dv_rng rng;
} walker;

static int byte_vocab(dv_grammar_vocab **v)
{
    static char byte[256];
    dv_grammar_token token[N_BYTES] = {0};
    for (int i = 0; i < 256; i++) {
        byte[i] = (char)i;
        token[i] = (dv_grammar_token){.p = &byte[i], .n = 1};
    }
    token[256] = (dv_grammar_token){.p = "<end>", .n = 5, .special = true, .end = true};
    return dv_grammar_vocab_open(v, token, N_BYTES, NULL);
}

static dv_str piece(const walker *w, uint32_t id, char *byte)
{
    if (w->tok != NULL)
        return dv_tok_piece(w->tok, (int32_t)id);
    *byte = (char)id;
    return (dv_str){byte, 1};
}

static bool is_end(const walker *w, uint32_t id)
{
    return w->tok != NULL ? dv_tok_is_eog(w->tok, (int32_t)id) : id == 256;
}

static bool has_byte(const walker *w, uint32_t id, const char *of)
{
    char byte;
    const dv_str p = piece(w, id, &byte);
    return p.n == 1 && p.p[0] != 0 && strchr(of, p.p[0]) != NULL;
}

/* How much a token is wanted; the most wanted ones are drawn from. */
static int wanted(const walker *w, uint32_t id, int step, char say)
{
    const bool saying = step / 256 % 2 != 0;
    if (is_end(w, id) || (step >= SOON && has_byte(w, id, "\"")))
        return 3;
    if (step >= SOON && has_byte(w, id, saying ? (char[]){say, 0} : "]}"))
        return 2;
    return step < SOON && has_byte(w, id, "abcdefghijklmnopqrstuvwxyz");
}

/* One of the allowed tokens; false if there is none. */
static bool choose(walker *w, const char *schema, int step, uint32_t *id)
{
    size_t n = 0, m = 0;
    int most = 1;
    const char say = schema[(size_t)step % strlen(schema)];
    for (uint32_t i = 0; i < dv_grammar_vocab_n(w->v); i++)
        if (w->mask[i / 32] >> i % 32 & 1)
            w->ids[n++] = i;
    if (n == 0)
        return false;
    *id = w->ids[dv_rng_below(&w->rng, n)];
    if (dv_rng_below(&w->rng, step < SOON ? 3 : 100) == 0)
        return true;
    for (size_t i = 0; i < n; i++) {
        const int want = wanted(w, w->ids[i], step, say);
        if (want < most)
            continue;
        m = want > most ? 0 : m;
        most = want;
        w->ids[m++] = w->ids[i];
    }
    if (m > 0)
        *id = w->ids[dv_rng_below(&w->rng, m)];
    return true;
}

static int one_text(walker *w, dv_grammar *g, const char *schema, dv_buf *out, dv_err *err)
{
    dv_grammar_state s;
    int rc = dv_grammar_state_init(&s, g, w->v, err);
    for (int step = 0; rc == 0 && !dv_grammar_state_is_done(&s); step++) {
        uint32_t id = 0;
        char byte;
        rc = dv_grammar_state_mask(&s, w->mask, err);
        if (rc == 0 && (step > MAX_STEPS || !choose(w, schema, step, &id))) {
            snprintf(err->msg, sizeof err->msg, "%s",
                     step > MAX_STEPS ? "a text that does not end" : "no token is allowed");
            rc = err->code = DV_EINTERNAL;
        }
        if (rc == 0)
            rc = dv_grammar_state_accept(&s, (int32_t)id, err);
        const dv_str p = piece(w, id, &byte);
        for (size_t i = 0; rc == 0 && i < p.n && !is_end(w, id); i++)
            dv_buf_addc(out, p.p[i] == '\n' ? ' ' : p.p[i]);
    }
    dv_grammar_state_fini(&s);
    return rc;
}

static void one_schema(walker *w, const char *line, int n, dv_grammar_space space)
{
    json_error_t bad;
    json_t *schema = json_loads(line, JSON_DECODE_ANY, &bad);
    dv_grammar *g = NULL;
    dv_err err = {0};
    const dv_grammar_schema_options options = {.space = space};
    if (schema == NULL)
        printf("refused not JSON: %s\n", bad.text);
    else if (dv_grammar_from_schema(&g, schema, &options, NULL, &err) != 0)
        printf("refused %s\n", err.msg);
    else
        printf("ok\n");
    for (int i = 0; i < n && g != NULL; i++) {
        dv_buf out;
        dv_buf_init(&out, 0);
        if (one_text(w, g, line, &out, &err) != 0)
            printf("!%s: %s\n", err.msg, dv_buf_str(&out));
        else
            printf("%s\n", dv_buf_str(&out));
        dv_buf_fini(&out);
        err = (dv_err){0};
    }
    printf("end\n");
    dv_grammar_unref(&g);
    json_decref(schema);
}

static int open_vocab(walker *w, const char *model, dv_gguf **file)
{
    dv_err err = {0};
    int rc = 0;
    if (model == NULL)
        rc = byte_vocab(&w->v);
    else if ((rc = dv_gguf_open(file, model, &err)) == 0 && (rc = dv_tok_open(&w->tok, *file, &err)) == 0)
        rc = dv_grammar_vocab_from_tok(&w->v, w->tok, &err);
    if (rc != 0)
        fprintf(stderr, "schema_generate: %s\n", err.msg);
    return rc;
}

int main(int argc, char **argv)
{
    walker w = {0};
    int n = 10, space = 0;
    const char *model = NULL;
    uint64_t seed = 1;
    for (int i = 1; i + 1 < argc; i += 2)
        switch (argv[i][1]) {
        case 'n': n = atoi(argv[i + 1]); break;
        case 's': seed = strtoull(argv[i + 1], NULL, 10); break;
        case 'w': space = atoi(argv[i + 1]); break;
        case 'm': model = argv[i + 1]; break;
        default: return 2;
        }
    dv_gguf *file = NULL;
    if (open_vocab(&w, model, &file) != 0)
        return 1;
    dv_rng_seed(&w.rng, seed);
    w.mask = calloc(dv_grammar_mask_words(dv_grammar_vocab_n(w.v)), sizeof *w.mask);
    w.ids = calloc(dv_grammar_vocab_n(w.v), sizeof *w.ids);
    char *line = NULL;
    size_t cap = 0;
    while (w.mask != NULL && w.ids != NULL && getline(&line, &cap, stdin) > 0)
        one_schema(&w, line, n, (dv_grammar_space)space);
    free(line);
    free(w.mask);
    free(w.ids);
    dv_grammar_vocab_unref(&w.v);
    dv_tok_close(&w.tok);
    dv_gguf_close(&file);
    return 0;
}
