/* SPDX-License-Identifier: MIT */
/* drover score: how likely a model finds a text, token by token, as one JSON object. */
#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/word.h"
#include "cli/load.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Up to INSERT_MAX tokens of a position are found by insertion, more by sorting all. */
enum { TOP_MAX = 1 << 20, INSERT_MAX = 64, FILE_MAX_BYTES = 1 << 28 };

typedef struct values {
    dv_load_opts load;
    const char *tokens, *text, *file;
    uint64_t top;
} values;

/* clang-format off */
static const dv_opt opts[] = {
    DV_OPT_ROWS_LOAD(values, load),
    {.name = "tokens", .type = DV_OPT_STRING, .value = "1,2,3", .offset = offsetof(values, tokens), .help = "Score these token ids"},
    {.name = "text", .type = DV_OPT_STRING, .value = "TEXT", .offset = offsetof(values, text), .help = "Score a text"},
    {.name = "file", .short_name = 'f', .type = DV_OPT_STRING, .value = "FILE", .offset = offsetof(values, file), .help = "Score the text in a file"},
    {.name = "top", .type = DV_OPT_UINT, .value = "K", .offset = offsetof(values, top), .max = TOP_MAX, .def = "0",
     .help = "List the K most likely tokens at each position; 0: none"},
};
/* clang-format on */

typedef struct ids {
    uint32_t *v; /* owned */
    size_t n;
} ids;

typedef struct top_entry {
    uint32_t id;
    float logit;
} top_entry;

typedef struct scoring {
    ids ids;
    uint32_t n_vocab;
    size_t n_top;
    top_entry *best;       /* [n_top]; [n_vocab] if n_top > INSERT_MAX */
    dv_buf logprobs, tops; /* JSON, without the outer brackets */
    double nll;
} scoring;

/* Input. */

static int parse_tokens(const char *text, ids *out, dv_err *err)
{
    size_t cap = 1;
    for (const char *p = text; *p != 0; p++)
        cap += *p == ',';
    out->v = dv_alloc_array(DV_MEM_BASE, cap, sizeof *out->v);
    if (out->v == NULL)
        return dv_fail(err, DV_ENOMEM, "--tokens: %s", dv_error_text(DV_ENOMEM));
    for (out->n = 0; out->n < cap; out->n++) {
        char number[16];
        uint64_t v;
        size_t n = strcspn(text, ",");
        snprintf(number, sizeof number, "%.*s", (int)DV_MIN(n, sizeof number - 1), text);
        if (n >= sizeof number || !dv_word_u64(number, &v) || v > UINT32_MAX)
            return dv_fail(err, DV_EINVAL, "--tokens must be token ids separated by commas; number %zu is '%.40s'",
                           out->n + 1, number);
        out->v[out->n] = (uint32_t)v;
        text += n + (text[n] == ',');
    }
    return 0;
}

static int tokenize(dv_engine *engine, const char *text, size_t len, ids *out, dv_err *err)
{
    int64_t n = dv_engine_tokenize(engine, text, len, false, true, NULL, 0, err);
    if (n < 0)
        return (int)n;
    out->v = dv_alloc_array(DV_MEM_BASE, (size_t)n, sizeof *out->v);
    if (out->v == NULL)
        return dv_fail(err, DV_ENOMEM, "tokens: %s", dv_error_text(DV_ENOMEM));
    out->n = (size_t)n;
    n = dv_engine_tokenize(engine, text, len, false, true, out->v, out->n, err);
    return n < 0 ? (int)n : 0;
}

static int read_input(const values *v, dv_engine *engine, ids *out, dv_err *err)
{
    if (v->tokens != NULL)
        return parse_tokens(v->tokens, out, err);
    if (v->text != NULL)
        return tokenize(engine, v->text, strlen(v->text), out, err);
    dv_buf b;
    dv_buf_init(&b, FILE_MAX_BYTES);
    int code = dv_file_read(&b, v->file, err);
    if (code == 0)
        code = tokenize(engine, dv_buf_str(&b), b.len, out, err);
    dv_buf_fini(&b);
    return code;
}

/* Scoring. */

/* ln of the sum of exp; NaN if a logit is NaN. */
static double log_sum_exp(const float *logits, uint32_t n)
{
    float max = -INFINITY;
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        max = logits[i] > max ? logits[i] : max;
    for (uint32_t i = 0; i < n; i++)
        sum += exp((double)logits[i] - (double)max);
    return log(sum) + (double)max;
}

static void add_number(dv_buf *b, double v)
{
    if (isfinite(v))
        dv_buf_printf(b, "%.9g", v);
    else
        dv_buf_adds(b, "null");
}

static int by_logit(const void *a, const void *b)
{
    const top_entry *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit < y->logit ? 1 : -1;
    return (x->id > y->id) - (x->id < y->id);
}

static size_t sort_all(scoring *s, const float *logits)
{
    for (uint32_t id = 0; id < s->n_vocab; id++)
        s->best[id] = (top_entry){.id = id, .logit = isnan(logits[id]) ? -INFINITY : logits[id]};
    qsort(s->best, s->n_vocab, sizeof *s->best, by_logit);
    return s->n_top;
}

/* The n_top largest logits in order, equal ones by id. */
static size_t find_top(scoring *s, const float *logits)
{
    size_t n = 0;
    if (s->n_top > INSERT_MAX)
        return sort_all(s, logits);
    for (uint32_t id = 0; id < s->n_vocab; id++) {
        float l = logits[id];
        if (n == s->n_top && !(l > s->best[n - 1].logit))
            continue;
        size_t at = n < s->n_top ? n++ : n - 1;
        for (; at > 0 && l > s->best[at - 1].logit; at--)
            s->best[at] = s->best[at - 1];
        s->best[at] = (top_entry){.id = id, .logit = l};
    }
    return n;
}

static int on_position(void *arg, size_t i, const float *logits)
{
    scoring *s = arg;
    double z = log_sum_exp(logits, s->n_vocab);
    if (i + 1 < s->ids.n) {
        double logprob = (double)logits[s->ids.v[i + 1]] - z;
        s->nll -= logprob;
        if (i > 0)
            dv_buf_addc(&s->logprobs, ',');
        add_number(&s->logprobs, logprob);
    }
    size_t n = s->n_top > 0 ? find_top(s, logits) : 0;
    for (size_t k = 0; k < n; k++) {
        dv_buf_printf(&s->tops, "%s[%u,", k > 0 ? "," : i > 0 ? "],[" : "[", s->best[k].id);
        add_number(&s->tops, (double)s->best[k].logit - z);
        dv_buf_addc(&s->tops, ']');
    }
    return s->logprobs.code != 0 || s->tops.code != 0;
}

static void print_json(scoring *s)
{
    dv_buf tail;
    dv_buf_init(&tail, 0);
    printf("{\"tokens\":[");
    for (size_t i = 0; i < s->ids.n; i++)
        printf("%s%u", i > 0 ? "," : "", s->ids.v[i]);
    add_number(&tail, s->nll);
    dv_buf_adds(&tail, ",\"perplexity\":");
    add_number(&tail, s->ids.n > 1 ? exp(s->nll / (double)(s->ids.n - 1)) : NAN);
    printf("],\"logprobs\":[%s],\"top\":[%s%s],\"nll\":%s}\n", dv_buf_str(&s->logprobs), dv_buf_str(&s->tops),
           s->tops.len > 0 ? "]" : "", dv_buf_str(&tail));
    dv_buf_fini(&tail);
}

static int score(dv_engine *engine, scoring *s, dv_err *err)
{
    dv_session *session = NULL;
    s->n_vocab = dv_engine_get_info(engine)->n_vocab;
    s->n_top = DV_MIN(s->n_top, (size_t)s->n_vocab);
    s->best = dv_alloc_array(DV_MEM_BASE, s->n_top > INSERT_MAX ? s->n_vocab : s->n_top, sizeof *s->best);
    int code = s->best != NULL ? 0 : dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    if (code == 0)
        code = dv_session_open(&session, engine, NULL, err);
    if (code == 0)
        code = dv_session_score(session, s->ids.v, s->ids.n, on_position, s, err);
    dv_session_close(&session);
    if (s->logprobs.code != 0 || s->tops.code != 0)
        code = DV_ENOMEM;
    return code;
}

/* A text longer than the default context is scored with a context of its own length, as far as the model was trained for it. */
static int reopen_larger(dv_engine **engine, const values *v, size_t n_ids, dv_err *err)
{
    const dv_engine_info *info = dv_engine_get_info(*engine);
    if (v->load.ctx != 0 || n_ids <= info->n_ctx || n_ids > info->n_ctx_train)
        return 0;
    const char *path;
    dv_load_opts larger = v->load;
    larger.ctx = n_ids;
    dv_engine_close(engine);
    return dv_load(engine, &larger, &path, err);
}

static int run(const dv_cmd *cmd, int argc, char **argv)
{
    values v;
    size_t n_args;
    int code;
    if (!dv_opt_parse(cmd, argc, argv, &v, sizeof v, &n_args, &code))
        return code;
    if ((v.tokens != NULL) + (v.text != NULL) + (v.file != NULL) != 1)
        return dv_cmd_usage(cmd, "one of --tokens, --text and --file is needed");
    dv_engine *engine = NULL;
    dv_err err = {0};
    scoring s = {.n_top = v.top};
    const char *path;
    code = dv_load(&engine, &v.load, &path, &err);
    if (code == 0)
        code = read_input(&v, engine, &s.ids, &err);
    if (code == 0 && s.ids.n == 0)
        code = dv_fail(&err, DV_EINVAL, "there is nothing to score: the text has no tokens");
    if (code == 0)
        code = reopen_larger(&engine, &v, s.ids.n, &err);
    if (code == 0)
        code = score(engine, &s, &err);
    if (code == 0)
        print_json(&s);
    dv_free(s.ids.v);
    dv_free(s.best);
    dv_buf_fini(&s.logprobs);
    dv_buf_fini(&s.tops);
    dv_engine_close(&engine);
    return code == 0 ? DV_EXIT_OK : dv_cmd_fail_err(cmd, &err);
}

const dv_cmd dv_cmd_score = {
    .name = "score",
    .args = "",
    .summary = "Show the log-probabilities of a text's tokens",
    .details =
        "Prints one JSON object; all logarithms are natural.\n"
        "  tokens      the ids; --text and --file are tokenized with what the model wants in front, special tokens not parsed\n"
        "  logprobs    of each token but the first, given those before it\n"
        "  top         with --top: for each position the K most likely next tokens, [id, log-probability];\n"
        "              the last entry is the prediction after the whole input\n"
        "  nll         minus the sum of logprobs\n"
        "  perplexity  exp(nll / number of logprobs); null for a single token",
    .opts = opts,
    .n_opts = DV_ARRAY_LEN(opts),
    .run = run,
};
