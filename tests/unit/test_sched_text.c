/* SPDX-License-Identifier: MIT */
/* What an answer of the scheduler consists of: constrained texts, the order of texts and tokens, the times that come along. */
#include "sched_client.h"

static void grammars_bind_answers(void **state)
{
    (void)state;
    static const char text[] = "root ::= \"yes\" | \"no\" | [0-9]{3}";
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 3});
    dv_grammar *g;
    dv_err err = {0};
    if (dv_grammar_from_gbnf(&g, text, strlen(text), NULL, &err) != 0)
        fail_msg("%s", err.msg);
    for (uint64_t seed = 0; seed < 12; seed++) {
        client *c = client_new(seed, 30, 20);
        c->p.ignore_end = false;
        c->p.grammar = g;
        run(s, c);
        const char *t = dv_buf_str(&c->text);
        assert_int_equal(c->reason[0], DV_STOP_END);
        assert_true(strcmp(t, "yes") == 0 || strcmp(t, "no") == 0 || (strlen(t) == 3 && strspn(t, "0123456789") == 3));
        client_free(c);
    }
    dv_grammar_unref(&g);
    dv_sched_close(&s);
    dv_engine_close(&e);
}

static dv_grammar *gbnf(const char *text, const dv_grammar_limits *limits)
{
    dv_grammar *g;
    dv_err err = {0};
    if (dv_grammar_from_gbnf(&g, text, strlen(text), limits, &err) != 0)
        fail_msg("%s", err.msg);
    return g;
}

static void run_to_failure(dv_sched *s, client *c, const char *says)
{
    submit(s, c);
    wait_end(c);
    assert_int_equal(c->code, DV_EINTERNAL);
    if (strstr(c->message, says) == NULL)
        fail_msg("%s", c->message);
    client_free(c);
}

/* A text that a grammar has led into a corner: an error, for every way to sample, and never a token that was not allowed. */
static void a_grammar_without_a_way_on_is_an_error(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 2});
    static const char nested[] = "root ::= \"(\" a \")\"\na ::= \"(\" b \")\"\nb ::= \"(\" c \")\"\nc ::= \"(\" \")\"";
    dv_grammar *deep = gbnf(nested, &(dv_grammar_limits){.max_stack = 2}), *word = gbnf("root ::= \"7\"", NULL);
    static const dv_sampling ways[] = {{.temperature = 0},
                                       {.temperature = 1, .top_k = 40},
                                       {.temperature = 1, .min_p = 0.1f},
                                       {.temperature = 1},
                                       {.temperature = 1, .top_p = 0.9f, .typical_p = 0.9f}};
    dv_logit_bias bias[MAX_BIAS];
    size_t n_bias = 0;
    for (uint32_t id = 0; id < dv_engine_get_info(e)->n_vocab; id++) {
        const char *p;
        if (dv_engine_piece(e, id, true, &p) == 1 && p[0] == '7')
            bias[n_bias++] = (dv_logit_bias){id, -INFINITY};
    }
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        client *c = client_new(i, 30, 200);
        dv_sampling sampling = dv_sampling_default();
        sampling.temperature = ways[i].temperature;
        sampling.top_k = ways[i].top_k;
        sampling.min_p = ways[i].min_p;
        sampling.top_p = ways[i].top_p > 0 ? ways[i].top_p : 1;
        sampling.typical_p = ways[i].typical_p > 0 ? ways[i].typical_p : 1;
        c->p.sampling = sampling;
        c->p.grammar = deep;
        c->p.ignore_end = i % 2 != 0;
        run_to_failure(s, c, "the constraint allows no token here");
        c = client_new(i, 30, 200);
        c->p.sampling = sampling;
        c->p.sampling.bias = bias;
        c->p.sampling.n_bias = n_bias;
        c->p.grammar = word;
        run_to_failure(s, c, "logit_bias");
    }
    client *c = client_new(1, 30, 20); /* a text that is complete ends, although no end was wanted */
    c->p.grammar = word;
    run(s, c);
    assert_string_equal(dv_buf_str(&c->text), "7");
    assert_int_equal(c->reason[0], DV_STOP_END);
    client_free(c);
    dv_grammar_unref(&deep);
    dv_grammar_unref(&word);
    dv_sched_close(&s);
    dv_engine_close(&e);
}

/* The order of texts and tokens of an answer that a grammar dictates: "ab" or half a character, a control token, "cd", the end. */
static void check_order(dv_sched *s, uint32_t ctl, const char *text, const char *stop, bool cut, const char *want)
{
    dv_grammar_builder *b;
    dv_grammar *g;
    char name[40];
    assert_int_equal(dv_grammar_builder_open(&b, NULL, NULL), 0);
    int n = snprintf(name, sizeof name, "root ::= <[%u]>", ctl);
    dv_gx part[] = {dv_gx_literal(b, text, strlen(text)), dv_gx_gbnf(b, name, (size_t)n), dv_gx_literal(b, "cd", 2)};
    assert_int_equal(dv_grammar_build(&g, b, dv_gx_seq(b, part, 3), NULL), 0);
    dv_grammar_builder_close(&b);
    client *c = client_new(2, 30, 20);
    c->p.grammar = g;
    c->p.stop = &stop;
    c->p.n_stop = 1;
    c->p.cut = &ctl;
    c->p.n_cut = cut;
    run(s, c);
    dv_buf trace = {0}; /* of the tokens only that one: how many the others are is the vocabulary's business */
    for (const char *at = dv_buf_str(&c->trace); *at != 0;) {
        if (*at == '{') {
            size_t k = strcspn(at, "}");
            dv_buf_add(&trace, at + 1, k - 1);
            at += k + 1;
        } else {
            char *end;
            if (strtoul(at, &end, 10) == ctl)
                dv_buf_addc(&trace, '#');
            at = end + 1;
        }
    }
    assert_string_equal(dv_buf_str(&trace), want);
    dv_buf_fini(&trace);
    client_free(c);
    dv_grammar_unref(&g);
}

static void held_text_comes_before_what_cuts_it(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 2});
    uint32_t ctl = 0;
    while (!dv_tok_is_control(e->tok, (int32_t)ctl) || dv_engine_is_end(e, ctl))
        ctl++;
    check_order(s, ctl, "ab", "abX", true, "ab#cd");
    check_order(s, ctl, "ab", "abcX", true, "ab#cd");
    check_order(s, ctl, "ab", "abcdX", false, "#abcd"); /* not told so, the text is one */
    check_order(s, ctl, "ab", "cdX", true, "ab#cd");    /* the end lets go, too */
    check_order(s, ctl, "\xc3", "X", true, "\xef\xbf\xbd#cd");
    check_order(s, ctl, "\xc3", "\xef\xbf\xbd", true, ""); /* and with it the answer is over */
    dv_sched_close(&s);
    dv_engine_close(&e);
}

static void timings_are_there_all_along(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 2});
    client *c = client_new(1, 30, 400);
    c->cancel_at = 5; /* what it then knows comes from the last token */
    submit(s, c);
    wait_end(c);
    assert_int_equal(c->code, DV_ECANCELED);
    assert_true(c->token_timing.prompt_ms > 0 && c->token_timing.predicted_ms > 0);
    assert_int_equal(c->token_timing.n_predicted, 5);
    client_free(c);
    dv_sched_close(&s);
    dv_engine_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grammars_bind_answers),
        cmocka_unit_test(a_grammar_without_a_way_on_is_an_error),
        cmocka_unit_test(held_text_comes_before_what_cuts_it),
        cmocka_unit_test(timings_are_there_all_along),
    };
    return cmocka_run_group_tests_name("sched-text", tests, NULL, clean_up);
}
