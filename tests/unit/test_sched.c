/* SPDX-License-Identifier: MIT */
/* The scheduler: whatever runs beside it, a request gets the tokens that a session of its own would get. */
#include "sched_client.h"

/* Sixteen prompts at once, in the order that happens to be; twice, so that the second time they are in the prefix cache. */
static void many_get_what_they_get_alone(void **state)
{
    (void)state;
    static const struct {
        const char *shape, *quant;
        dv_kv_format kv;
    } models[] = {{"tiny-llama", "Q4_K_M", DV_KV_FORMAT_F16},
                  {"tiny-gemma3", "Q8_0", DV_KV_FORMAT_AUTO},
                  {"tiny-qwen3moe", "Q6_K", DV_KV_FORMAT_Q8_0}};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        dv_engine *e = open_engine(models[m].shape, models[m].quant, 2, models[m].kv),
                  *ref = open_engine(models[m].shape, models[m].quant, 1, models[m].kv);
        dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 5, .slice = 48, .cache_bytes = 1 << 30});
        for (int round = 0; round < 2; round++) {
            client *c[16];
            for (uint32_t i = 0; i < 16; i++) {
                c[i] = client_new(i + 1, 1 + i * 23 % 300, 24);
                submit(s, c[i]);
            }
            for (uint32_t i = 0; i < 16; i++) {
                wait_end(c[i]);
                same_as_alone(ref, c[i]);
                if (round == 1 && c[i]->n_prompt > 1)
                    assert_true(c[i]->timing.n_cached >= (c[i]->n_prompt - 1) / 64 * 64);
                client_free(c[i]);
            }
        }
        dv_sched_close(&s);
        dv_engine_close(&e);
        dv_engine_close(&ref);
    }
}

/* Many agents with one system prompt, all at once: it is computed once. */
static void a_shared_prefix_is_computed_once(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16),
              *ref = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 6, .cache_bytes = 1 << 30});
    client *c[6];
    dv_sched_stats st;
    for (uint32_t i = 0; i < 6; i++) {
        c[i] = client_new(77, 230, 12);
        c[i]->p.sampling.seed = i;
        for (uint32_t k = 200; k < 230; k++) /* their own questions */
            c[i]->prompt[k] = (k * 17 + i * 301) % 4000;
        submit(s, c[i]);
    }
    for (uint32_t i = 0; i < 6; i++) {
        wait_end(c[i]);
        same_as_alone(ref, c[i]);
        assert_true(i == 0 || c[i]->timing.n_cached >= 192);
        client_free(c[i]);
    }
    dv_sched_get_stats(s, &st, NULL);
    assert_int_equal(st.n_prompt_tokens, 6 * 230);
    assert_int_equal(st.n_prompt_computed + st.n_cached_tokens, 6 * 230);
    assert_true(st.n_prompt_computed <= 230 + 5 * (230 - 192));
    dv_sched_close(&s);
    dv_engine_close(&e);
    dv_engine_close(&ref);
}

static void choices_share_their_prompt(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16),
              *ref = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    for (uint32_t parallel = 1; parallel <= 4; parallel += 3) {
        dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = parallel, .cache_bytes = 1 << 30});
        client *c = client_new(5, 150, 16);
        dv_sched_stats st;
        c->p.n = 4;
        run(s, c);
        same_as_alone(ref, c);
        dv_sched_get_stats(s, &st, NULL);
        assert_int_equal(st.n_prompt_computed, 150 + 3); /* the last token of each, for its logits */
        assert_int_equal(c->timing.n_predicted, 64);
        client_free(c);
        dv_sched_close(&s);
    }
    dv_engine_close(&e);
    dv_engine_close(&ref);
}

/* Text that repeats is guessed; the tokens are those of no guessing, greedy and drawn. */
static void speculation_changes_nothing_but_steps(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16),
              *ref = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    uint64_t steps[2], accepted = 0;
    for (int off = 0; off < 2; off++) {
        dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 2, .no_speculation = off});
        dv_sched_stats st;
        for (uint32_t i = 0; i < 6; i++) {
            client *c = client_new(i, 120, 150);
            for (uint32_t k = 0; k < 120; k++)
                c->prompt[k] = 100 + k % (7 + i);
            /* A strong bias makes even a random model repeat itself, and drawing makes the guesses fail now and then. */
            dv_logit_bias bias[3] = {{100, 60}, {101, 60}, {102, 60.5f}};
            c->p.sampling.bias = bias;
            c->p.sampling.n_bias = i < 2 ? 0 : 3;
            run(s, c);
            same_as_alone(ref, c);
            accepted += c->timing.n_accepted;
            assert_true(c->timing.n_accepted <= c->timing.n_drafted);
            client_free(c);
        }
        dv_sched_get_stats(s, &st, NULL);
        steps[off] = st.n_steps;
        dv_sched_close(&s);
    }
    assert_true(accepted > 100);
    assert_true(steps[0] < steps[1]);
    dv_engine_close(&e);
    dv_engine_close(&ref);
}

/* Far fewer pages than the sequences want at once: some give way and come back. */
static void giving_way_changes_nothing(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16),
              *ref = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 6}); /* 8 pages of 64 */
    client *c[6];
    dv_sched_stats st;
    for (uint32_t i = 0; i < 6; i++) {
        c[i] = client_new(i + 1, 100 + i * 10, 180);
        submit(s, c[i]);
    }
    for (uint32_t i = 0; i < 6; i++) {
        wait_end(c[i]);
        same_as_alone(ref, c[i]);
        client_free(c[i]);
    }
    dv_sched_get_stats(s, &st, NULL);
    assert_true(st.n_preempted > 0);
    assert_true(st.kv_pages_used <= 8);
    dv_sched_close(&s);
    dv_engine_close(&e);
    dv_engine_close(&ref);
}

static void context_and_length_end_an_answer(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, NULL);
    client *c = client_new(1, 500, 0);
    run(s, c);
    assert_int_equal(c->reason[0], DV_STOP_CONTEXT);
    assert_int_equal(c->n_ids[0], 12);
    client_free(c);
    c = client_new(1, 10, 3);
    run(s, c);
    assert_int_equal(c->reason[0], DV_STOP_LENGTH);
    assert_int_equal(c->n_ids[0], 3);
    client_free(c);
    c = client_new(1, 100, 3);
    c->p.no_tokens = true;
    run(s, c);
    assert_int_equal(c->n_ids[0], 0);
    assert_int_equal(c->reason[0], DV_STOP_LENGTH);
    client_free(c);
    dv_sched_close(&s);
    dv_engine_close(&e);
}

static void bad_requests_are_refused(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, NULL);
    client *c = client_new(1, 20, 3);
    dv_err err;
    dv_job_params good = c->p;
    const char *empty[] = {""};
    uint32_t foreign[] = {1, 1u << 30}, many[CTX + 1] = {0};
    struct {
        dv_job_params p;
        int code;
        const char *what;
    } bad[9] = {{good, DV_EINVAL, "no tokens"},    {good, DV_EINVAL, "vocabulary"}, {good, DV_ECONTEXT, "513 tokens"},
                {good, DV_ECONTEXT, "512 tokens"}, {good, DV_EINVAL, "n: 0"},       {good, DV_EINVAL, "n: 33"},
                {good, DV_EINVAL, "top_logprobs"}, {good, DV_EINVAL, "id_slot"},    {good, DV_EINVAL, "stop"}};
    bad[0].p.n_prompt = 0;
    bad[1].p.prompt = foreign;
    bad[1].p.n_prompt = 2;
    bad[2].p.prompt = bad[3].p.prompt = many;
    bad[2].p.n_prompt = CTX + 1;
    bad[3].p.n_prompt = CTX;
    bad[4].p.n = 0;
    bad[5].p.n = 33;
    bad[6].p.n_top = DV_JOB_MAX_TOP + 1;
    bad[7].p.slot = 4;
    bad[8].p.stop = empty;
    bad[8].p.n_stop = 1;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err = (dv_err){0};
        assert_int_equal(dv_sched_submit(s, &bad[i].p, &c->job, &err), bad[i].code);
        assert_null(c->job);
        if (strstr(err.msg, bad[i].what) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", err.msg, bad[i].what);
    }
    dv_sched_drain(s);
    assert_int_equal(dv_sched_submit(s, &good, &c->job, NULL), DV_EBUSY);
    client_free(c);
    dv_sched_close(&s);
    dv_engine_close(&e);
}

typedef struct scores {
    float *rows;
    uint32_t n_vocab;
} scores;

static int keep_row(void *arg, size_t i, const float *logits)
{
    scores *s = arg;
    dv_logits_to_logprobs(logits, s->n_vocab, s->rows + i * s->n_vocab);
    return 0;
}

static void log_probabilities_are_the_models(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16),
              *ref = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    uint32_t n_vocab = dv_engine_get_info(e)->n_vocab, all[MAX_IDS];
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 2, .slice = 32});
    for (uint64_t seed = 1; seed <= 2; seed++) {
        client *c = client_new(seed, 90, 30);
        c->p.logprobs = c->p.prompt_logprobs = true;
        c->p.n_top = 5;
        c->p.sampling.repeat_penalty = 1.3f;
        run(s, c);
        assert_int_equal(c->n_prompt_logprobs, 89);
        assert_int_equal(c->n_top, 5);
        memcpy(all, c->prompt, 90 * sizeof *all);
        memcpy(all + 90, c->ids[0], 30 * sizeof *all);
        scores sc = {malloc((size_t)120 * n_vocab * sizeof(float)), n_vocab};
        dv_session *one;
        assert_int_equal(dv_session_open(&one, ref, NULL, NULL), 0);
        assert_int_equal(dv_session_score(one, all, 120, keep_row, &sc, NULL), 0);
        for (uint32_t i = 1; i < 120; i++) {
            float want = sc.rows[(size_t)(i - 1) * n_vocab + all[i]],
                  got = i < 90 ? c->prompt_logprob[i] : c->logprob[i - 90];
            assert_true(fabsf(want - got) < 1e-4f);
        }
        dv_session_close(&one);
        free(sc.rows);
        client_free(c);
    }
    dv_sched_close(&s);
    dv_engine_close(&e);
    dv_engine_close(&ref);
}

/* With top_k of 1 there is one token that can be drawn, and it is certain, whatever the model thought of it. */
static void probabilities_after_sampling(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 1});
    for (uint32_t top_k = 1; top_k <= 4; top_k += 3) {
        client *c = client_new(1, 20, 8);
        c->p.logprobs = c->p.post_probs = true;
        c->p.n_top = 10;
        c->p.sampling.temperature = 5;
        c->p.sampling.min_p = 0;
        c->p.sampling.top_p = 1;
        c->p.sampling.top_k = top_k;
        run(s, c);
        assert_int_equal(c->n_top, top_k);
        for (uint32_t i = 0; i < 8; i++)
            assert_true(top_k == 1 ? c->logprob[i] == 0 : c->logprob[i] < 0 && c->logprob[i] > -10);
        client_free(c);
    }
    dv_sched_close(&s);
    dv_engine_close(&e);
}

/* A limit of time ends a text at the first chance after it had a line end, and no other text. */
static void time_ends_texts_of_lines(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 1, .no_speculation = true});
    uint32_t newline;
    assert_int_equal(dv_engine_tokenize(e, "\n", 1, false, false, &newline, 1, NULL), 1);
    for (int lines = 0; lines < 2; lines++) {
        client *c = client_new(2, 20, 0);
        dv_logit_bias bias = {newline, lines ? 1000 : -INFINITY};
        c->p.sampling.bias = &bias;
        c->p.sampling.n_bias = 1;
        c->p.line_ms = 1;
        run(s, c);
        assert_int_equal(c->reason[0], lines ? DV_STOP_LENGTH : DV_STOP_CONTEXT);
        assert_true(lines ? c->n_ids[0] < CTX - 20 : c->n_ids[0] >= CTX - 20);
        client_free(c);
    }
    dv_sched_close(&s);
    dv_engine_close(&e);
}

static void embeddings_do_not_depend_on_slices(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16);
    uint32_t n_embd = dv_engine_get_info(e)->n_embd;
    float want[256];
    assert_true(n_embd <= 256);
    for (uint32_t slice = 512; slice >= 7; slice /= 8) {
        dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 3, .slice = slice});
        client *other = client_new(9, 40, 400), *c = client_new(3, 300, 1);
        submit(s, other); /* decodes beside it, so that there are slices */
        wait_started(other);
        c->p.kind = DV_JOB_EMBED;
        run(s, c);
        double norm = 0;
        for (uint32_t i = 0; i < n_embd; i++)
            norm += (double)c->embedding[i] * (double)c->embedding[i];
        assert_true(norm > 0);
        if (slice == 512)
            memcpy(want, c->embedding, sizeof want);
        assert_memory_equal(want, c->embedding, n_embd * sizeof *want);
        client_free(c);
        dv_job_cancel(other->job);
        wait_end(other);
        client_free(other);
        dv_sched_close(&s);
    }
    dv_engine_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_get_what_they_get_alone),       cmocka_unit_test(a_shared_prefix_is_computed_once),
        cmocka_unit_test(choices_share_their_prompt),         cmocka_unit_test(speculation_changes_nothing_but_steps),
        cmocka_unit_test(giving_way_changes_nothing),         cmocka_unit_test(context_and_length_end_an_answer),
        cmocka_unit_test(bad_requests_are_refused),           cmocka_unit_test(log_probabilities_are_the_models),
        cmocka_unit_test(probabilities_after_sampling),       cmocka_unit_test(time_ends_texts_of_lines),
        cmocka_unit_test(embeddings_do_not_depend_on_slices),
    };
    return cmocka_run_group_tests_name("sched", tests, NULL, clean_up);
}
