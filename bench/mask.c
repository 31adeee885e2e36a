/* SPDX-License-Identifier: MIT */
/* What a constraint costs while a model decodes: after each step of the model, the next token is drawn from its logits as they are, and once more the
 * way the server does under a constraint: mask, logits, draw, going on in the grammar. What the second takes longer is set in relation to a
 * token without a constraint, so both come from the same moment of the same machine. A new grammar has no masks yet; "again" is another answer with
 * the same one. Random weights write noise, each token of which leads to a place where nobody was: a trained model repeats itself more.
 * Usage: bench_mask MODEL [THREADS [TOKENS [RUNS]]] */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "engine/session.h"
#include "grammar/grammar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RUNS = 99, PROMPT = 16 };

static const char *const any_json = "{\"type\":\"array\",\"minItems\":1000}";
static const char *const schema =
    "{\"type\":\"array\",\"minItems\":100,\"items\":{\"type\":\"object\",\"required\":[\"id\",\"kind\",\"text\",\"sizes\"],\"additionalProperties\":false,"
    "\"properties\":{\"id\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":100000},\"kind\":{\"enum\":[\"red\",\"green\",\"blue\"]},"
    "\"text\":{\"type\":\"string\",\"maxLength\":60},\"sizes\":{\"type\":\"array\",\"items\":{\"type\":\"number\"},\"minItems\":1,\"maxItems\":4}}}}";
static const char *const lines =
    "root ::= line+ \"end\"\nline ::= word (\" \" word)* [,.] \"\\n\"\nword ::= [a-z]{1,12} | [0-9]+ | \"\\\"\" [^\"\\n]+ \"\\\"\"";

/* Words in which calls may stand, as they do when a model is given tools. */
static int make_tools(dv_grammar **out, dv_err *err)
{
    dv_grammar_builder *b;
    int rc = dv_grammar_builder_open(&b, NULL, err);
    if (rc != 0)
        return rc;
    const dv_gx call[] = {dv_gx_json_object(b, NULL), dv_gx_literal(b, "</tool_call>", 12)};
    const dv_grammar_trigger t = {.text = "<tool_call>", .n = 11, .special = true, .then = dv_gx_seq(b, call, 2)};
    rc = dv_grammar_build(out, b, dv_gx_text(b, &t, 1, true), err);
    dv_grammar_builder_close(&b);
    return rc;
}

static int make_schema(dv_grammar **out, const char *text, dv_err *err)
{
    json_t *j = json_loads(text, 0, NULL);
    int rc = dv_grammar_from_schema(out, j, NULL, NULL, err);
    json_decref(j);
    return rc;
}

enum { ANY_JSON, SCHEMA, LINES, TOOLS, FORMS };
static const char *const names[FORMS] = {"any JSON", "JSON Schema", "GBNF", "tools or words"};

static int make_grammar(dv_grammar **out, int form, dv_err *err)
{
    switch (form) {
    case ANY_JSON: return make_schema(out, any_json, err);
    case SCHEMA: return make_schema(out, schema, err);
    case LINES: return dv_grammar_from_gbnf(out, lines, strlen(lines), NULL, err);
    default: return make_tools(out, err);
    }
}

typedef struct bench {
    dv_session *session;
    dv_grammar_vocab *vocab;
    size_t n_vocab;
    uint32_t *mask;
    float *logits; /* [n_vocab] */
    unsigned n_token;
} bench;

/* Means of one answer, in milliseconds for a token. */
typedef struct cost {
    double step, draw, extra;
} cost;

/* The token that the constraint leads to, and how long it took to find out. */
static int draw_under(bench *b, dv_grammar_state *g, uint32_t *id, uint64_t *ns, dv_err *err)
{
    uint64_t start = dv_clock_ns();
    int rc = dv_grammar_state_mask(g, b->mask, err);
    if (rc == 0 && dv_grammar_mask_logits(b->mask, b->logits, b->n_vocab) == 0)
        rc = dv_fail(err, DV_EINTERNAL, "the answer came to its end");
    if (rc == 0)
        rc = dv_sampler_draw(&b->session->sampler, b->logits, id, err);
    if (rc == 0)
        rc = dv_grammar_state_accept(g, (int32_t)*id, err);
    *ns = dv_clock_ns() - start;
    return rc;
}

static int answer(bench *b, dv_grammar *grammar, uint64_t seed, cost *c, dv_err *err)
{
    uint32_t id, prompt[PROMPT];
    uint64_t step = 0, plain = 0, under = 0, ns = 0;
    dv_grammar_state g = {0};
    dv_sampling how = dv_sampling_default();
    how.seed = seed;
    for (uint32_t i = 0; i < PROMPT; i++)
        prompt[i] = 1000 + 7 * i;
    int rc = dv_grammar_state_init(&g, grammar, b->vocab, err);
    if (rc == 0)
        rc = dv_session_set_sampling(b->session, &how, err);
    if (rc == 0)
        rc = dv_session_truncate(b->session, 0, err);
    if (rc == 0)
        rc = dv_session_append(b->session, prompt, PROMPT, NULL, NULL, err);
    for (unsigned i = 0; i < b->n_token && rc == 0; i++) {
        memcpy(b->logits, dv_session_logits(b->session), b->n_vocab * sizeof *b->logits);
        uint64_t start = dv_clock_ns();
        rc = dv_sampler_draw(&b->session->sampler, b->logits, &id, err);
        plain += dv_clock_ns() - start;
        if (rc == 0)
            rc = draw_under(b, &g, &id, &ns, err);
        under += ns;
        start = dv_clock_ns();
        if (rc == 0)
            rc = dv_session_append(b->session, &id, 1, NULL, NULL, err);
        step += dv_clock_ns() - start;
    }
    dv_grammar_state_fini(&g);
    double per_token = 1e-6 / b->n_token;
    *c = (cost){(double)step * per_token, (double)plain * per_token, ((double)under - (double)plain) * per_token};
    return rc;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, unsigned n)
{
    qsort(v, n, sizeof *v, by_value);
    return v[n / 2];
}

static void report(int form, bool again, const cost *c, unsigned n)
{
    double step[MAX_RUNS], draw[MAX_RUNS], extra[MAX_RUNS], share[MAX_RUNS];
    for (unsigned i = 0; i < n; i++) {
        step[i] = c[i].step;
        draw[i] = c[i].draw;
        extra[i] = c[i].extra;
        share[i] = 100 * c[i].extra / (c[i].step + c[i].draw);
    }
    double middle = median(share, n);
    printf("| %s | %s | %.2f | %.3f | %+.3f | %+.2f %% | %+.2f .. %+.2f %% |\n", names[form], again ? "again" : "new",
           median(step, n), median(draw, n), median(extra, n), middle, share[0], share[n - 1]);
    fflush(stdout);
}

static int measure(bench *b, unsigned runs, dv_err *err)
{
    static cost costs[FORMS][2][MAX_RUNS];
    cost warm_up;
    int rc = 0;
    for (unsigned i = 0; i <= runs && rc == 0; i++)
        for (int form = 0; form < FORMS && rc == 0; form++) {
            dv_grammar *g = NULL;
            rc = make_grammar(&g, form, err);
            for (int again = 0; again < 2 && rc == 0; again++)
                rc = answer(b, g, 2 * i + (unsigned)again, i > 0 ? &costs[form][again][i - 1] : &warm_up, err);
            dv_grammar_unref(&g);
        }
    for (int form = 0; form < FORMS && rc == 0; form++)
        for (int again = 0; again < 2; again++)
            report(form, again, costs[form][again], runs);
    return rc;
}

int main(int argc, char **argv)
{
    unsigned runs = argc > 4 ? (unsigned)atoi(argv[4]) : 5;
    bench b = {.n_token = argc > 3 ? (unsigned)atoi(argv[3]) : 64};
    if (argc < 2 || runs < 1 || runs > MAX_RUNS || b.n_token < 1 || b.n_token > 4000) {
        fprintf(stderr, "usage: bench_mask MODEL [THREADS [TOKENS [RUNS]]]\n");
        return 2;
    }
    const dv_engine_options o = {.threads = argc > 2 ? (unsigned)atoi(argv[2]) : 2, .ctx = PROMPT + b.n_token};
    dv_engine *engine = NULL;
    dv_err err = {0};
    int rc = dv_engine_open(&engine, argv[1], &o, &err);
    if (rc == 0)
        rc = dv_session_open(&b.session, engine, NULL, &err);
    if (rc == 0)
        rc = dv_grammar_vocab_from_tok(&b.vocab, engine->tok, &err);
    if (rc == 0) {
        b.n_vocab = engine->info.n_vocab;
        b.mask = dv_alloc_array(DV_MEM_BASE, dv_grammar_mask_words(b.n_vocab), sizeof *b.mask);
        b.logits = dv_alloc_array(DV_MEM_BASE, b.n_vocab, sizeof *b.logits);
        rc = b.mask != NULL && b.logits != NULL ? 0 : dv_fail(&err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    }
    if (rc == 0) {
        printf("%zu tokens in the vocabulary, %u threads; medians of %u answers of %u tokens\n\n", b.n_vocab,
               engine->info.threads, runs, b.n_token);
        printf(
            "| constraint | masks | ms of a step | ms of drawing | more with the constraint | share | least .. most |\n| --- | --- | ---: | ---: | ---: | ---: | ---: |\n");
        rc = measure(&b, runs, &err);
    }
    if (rc != 0)
        fprintf(stderr, "bench_mask: %s\n", err.msg);
    dv_free(b.logits);
    dv_free(b.mask);
    dv_grammar_vocab_unref(&b.vocab);
    dv_session_close(&b.session);
    dv_engine_close(&engine);
    return rc == 0 ? 0 : 1;
}
