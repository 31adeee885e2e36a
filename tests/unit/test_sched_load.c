/* SPDX-License-Identifier: MIT */
/* The scheduler with more to do than it can: who is served when, who must wait, who is turned away, and what is left of those who go. */
#include "sched_client.h"

#include <unistd.h>

static void a_full_queue_says_so(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 1, .queue = 2});
    client *c[5];
    dv_sched_stats st;
    for (uint32_t i = 0; i < 5; i++)
        c[i] = client_new(i + 1, 30, 100);
    c[0]->hold_at_start = true;
    submit(s, c[0]);
    wait_started(c[0]);
    submit(s, c[1]);
    submit(s, c[2]);
    assert_int_equal(dv_sched_submit(s, &c[3]->p, &c[3]->job, NULL), DV_EBUSY);
    dv_job_cancel(c[1]->job); /* a place becomes free */
    release(c[0]);
    wait_end(c[1]);
    assert_int_equal(c[1]->code, DV_ECANCELED);
    assert_int_equal(c[1]->started, 0);
    submit(s, c[4]);
    wait_end(c[0]);
    wait_end(c[2]);
    wait_end(c[4]);
    assert_int_equal(c[0]->code + c[2]->code + c[4]->code, 0);
    dv_sched_get_stats(s, &st, NULL);
    assert_int_equal(st.n_refused, 1);
    while (dv_sched_n_jobs(s) > 0) /* counted down behind the last event */
        usleep(1000);
    for (uint32_t i = 0; i < 5; i++)
        client_free(c[i]);
    dv_sched_close(&s);
    dv_engine_close(&e);
}

/* Queued, in prefill, decoding, paused: whoever leaves frees everything. */
static void canceled_jobs_free_everything(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 2, .slice = 16, .no_prefix_cache = true});
    client *c[8];
    dv_sched_stats st;
    for (uint32_t i = 0; i < 8; i++) {
        c[i] = client_new(i + 1, 300, 200);
        c[i]->cancel_at = i % 2 == 0 ? 5 : 0;
        c[i]->pause_at = i == 3 ? 1 : 0;
        submit(s, c[i]);
    }
    for (uint32_t i = 1; i < 8; i += 2)
        dv_job_cancel(c[i]->job);
    for (uint32_t i = 0; i < 8; i++) {
        wait_end(c[i]);
        assert_int_equal(c[i]->code, DV_ECANCELED);
        assert_true(c[i]->n_ids[0] <= 5 + 8); /* guesses of the same step count */
        client_free(c[i]);
    }
    client *last = client_new(9, 20, 4);
    run(s, last);
    client_free(last);
    dv_sched_get_stats(s, &st, NULL);
    assert_int_equal(st.n_running, 0);
    assert_true(st.kv_pages_used <= 1); /* the spare one */
    dv_sched_close(&s);
    dv_engine_close(&e);
}

static void closing_ends_what_runs(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 2});
    client *c[6];
    for (uint32_t i = 0; i < 6; i++) {
        c[i] = client_new(i + 1, 100, 400);
        submit(s, c[i]);
    }
    wait_started(c[0]);
    dv_sched_close(&s);
    for (uint32_t i = 0; i < 6; i++) {
        assert_true(c[i]->ended);
        client_free(c[i]);
    }
    dv_engine_close(&e);
}

static void higher_priority_goes_first(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 1});
    client *c[4];
    for (uint32_t i = 0; i < 4; i++) {
        c[i] = client_new(i + 1, 20, 20);
        c[i]->p.priority = i == 3;
    }
    c[0]->hold_at_start = true;
    submit(s, c[0]);
    wait_started(c[0]);
    for (uint32_t i = 1; i < 4; i++)
        submit(s, c[i]);
    release(c[0]);
    for (uint32_t i = 0; i < 4; i++)
        wait_end(c[i]);
    assert_true(c[3]->order < c[1]->order);
    assert_true(c[1]->order < c[2]->order);
    for (uint32_t i = 0; i < 4; i++)
        client_free(c[i]);
    dv_sched_close(&s);
    dv_engine_close(&e);
}

/* A long request among short ones that need its pages gets its turn, and so does everybody else. */
static void first_come_first_served(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16),
              *ref = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 3}); /* 8 pages of 64 */
    client *c[16];
    for (uint32_t i = 0; i < 16; i++)
        c[i] = client_new(i + 1, i == 5 ? 440 : 30 + i * 5, i == 5 ? 20 : 60 - i);
    c[0]->hold_at_start = true;
    submit(s, c[0]);
    wait_started(c[0]);
    for (uint32_t i = 1; i < 16; i++)
        submit(s, c[i]);
    release(c[0]);
    for (uint32_t i = 0; i < 16; i++) {
        wait_end(c[i]);
        same_as_alone(ref, c[i]);
        assert_true(i == 0 || c[i]->order > c[i - 1]->order);
    }
    for (uint32_t i = 0; i < 16; i++)
        client_free(c[i]);
    dv_sched_close(&s);
    dv_engine_close(&e);
    dv_engine_close(&ref);
}

/* Each step takes every decoding sequence further: as many steps as the longest answer has tokens, not as all have. */
static void a_step_serves_everybody(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 4, .no_speculation = true, .cache_bytes = 1 << 30});
    client *c[4];
    dv_sched_stats st;
    for (uint32_t i = 0; i < 4; i++)
        c[i] = client_new(i + 1, 20, 100);
    c[0]->hold_at_start = true;
    submit(s, c[0]);
    wait_started(c[0]);
    for (uint32_t i = 1; i < 4; i++)
        submit(s, c[i]);
    release(c[0]);
    for (uint32_t i = 0; i < 4; i++)
        wait_end(c[i]);
    dv_sched_get_stats(s, &st, NULL);
    assert_int_equal(st.n_step_tokens, 4 * (20 + 99));
    assert_true(st.n_steps <= 100 + 3); /* the three came one or two steps later */
    for (uint32_t i = 0; i < 4; i++)
        client_free(c[i]);
    dv_sched_close(&s);
    dv_engine_close(&e);
}

static void a_long_prompt_stops_others_for_a_slice(void **state)
{
    (void)state;
    enum { SLICE = 16, LONG = 480 };
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(
        e, &(dv_sched_options){.parallel = 2, .slice = SLICE, .no_speculation = true, .cache_bytes = 1 << 30});
    client *talks = client_new(1, 10, 400), *comes = client_new(2, LONG, 1);
    comes->beside = talks;
    submit(s, talks);
    wait_tokens(talks, 5);
    submit(s, comes);
    wait_end(comes);
    pthread_mutex_lock(&talks->mutex);
    assert_true(talks->n_ids[0] < 400);
    pthread_mutex_unlock(&talks->mutex);
    assert_int_equal(comes->progress, LONG / SLICE);
    for (int i = 0; i < comes->progress; i++) {
        assert_int_equal(comes->n_done[i], (i + 1) * SLICE);
        assert_true(i == 0 || comes->seen[i] > comes->seen[i - 1]); /* a token with every slice */
    }
    dv_job_cancel(talks->job);
    wait_end(talks);
    client_free(talks);
    client_free(comes);
    dv_sched_close(&s);
    dv_engine_close(&e);
}

/* In prefill: what was begun is the last thing that is done for it. */
static void who_leaves_in_prefill_is_gone_after_the_step(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16);
    dv_sched *s =
        open_sched(e, &(dv_sched_options){.parallel = 2, .slice = 16, .no_speculation = true, .cache_bytes = 1 << 30});
    client *talks = client_new(1, 10, 400), *leaves = client_new(2, 480, 1);
    dv_sched_stats st;
    leaves->hold_at_start = true;
    submit(s, talks);
    wait_tokens(talks, 5);
    submit(s, leaves);
    wait_started(leaves);
    dv_job_cancel(leaves->job);
    release(leaves);
    wait_end(leaves);
    assert_int_equal(leaves->code, DV_ECANCELED);
    assert_int_equal(leaves->progress, 1);
    dv_sched_get_stats(s, &st, NULL);
    assert_int_equal(st.n_running, 1);
    dv_job_cancel(talks->job);
    wait_end(talks);
    dv_sched_get_stats(s, &st, NULL);
    assert_true(st.kv_pages_used - st.kv_pages_cached <= 2); /* spare ones: nobody holds any */
    client_free(talks);
    client_free(leaves);
    dv_sched_close(&s);
    dv_engine_close(&e);
}

/* The reader of the first stops, and its pages and its only slot go to the others; then it reads on. */
static void a_slow_reader_holds_up_nobody(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16),
              *ref = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    for (uint32_t parallel = 1; parallel <= 3; parallel++) {
        dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = parallel}); /* 8 pages of 64 */
        client *slow[4], *c[6];
        dv_sched_stats st;
        for (uint32_t i = 0; i < 4; i++) {
            slow[i] = client_new(20 + i, 300 + i, 100);
            slow[i]->pause_at = 4 + i;
            submit(s, slow[i]);
            wait_tokens(slow[i], 4 + i);
        }
        for (uint32_t i = 0; i < 6; i++) {
            c[i] = client_new(i + 1, 400 - i, 60);
            submit(s, c[i]);
        }
        for (uint32_t i = 0; i < 6; i++) {
            wait_end(c[i]);
            same_as_alone(ref, c[i]);
            client_free(c[i]);
        }
        dv_slot_info slots[3];
        dv_sched_get_stats(s, &st, slots);
        assert_int_equal(st.n_running, 4);
        dv_job_cancel(slow[1]->job); /* it may be one without a slot */
        wait_end(slow[1]);
        for (uint32_t i = 0; i < 4; i++) {
            slow[i]->pause_at = 0;
            dv_job_resume(slow[i]->job);
        }
        for (uint32_t i = 0; i < 4; i++) {
            wait_end(slow[i]);
            assert_int_equal(slow[i]->code, i == 1 ? DV_ECANCELED : 0);
            if (i != 1)
                same_as_alone(ref, slow[i]);
            client_free(slow[i]);
        }
        dv_sched_get_stats(s, &st, slots);
        assert_int_equal(st.n_running, 0);
        assert_true(st.kv_pages_used <= 8);
        dv_sched_close(&s);
    }
    dv_engine_close(&e);
    dv_engine_close(&ref);
}

/* More slow readers than there are places: whoever comes then waits for one of them, and the end takes all with it. */
static void slow_readers_have_their_limit(void **state)
{
    (void)state;
    enum { SLOW = 17 }; /* one slot, and sixteen places without */
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 1});
    client *slow[SLOW], *c = client_new(1, 20, 5), *d = client_new(2, 20, 5);
    for (uint32_t i = 0; i < SLOW; i++) {
        slow[i] = client_new(20 + i, 10, 400);
        slow[i]->pause_at = 2;
        submit(s, slow[i]);
        wait_tokens(slow[i], 2);
    }
    submit(s, c);
    dv_job_cancel(slow[3]->job);
    wait_end(slow[3]);
    wait_end(c);
    assert_int_equal(c->code, 0);
    submit(s, d);
    wait_end(d);
    assert_int_equal(d->code, 0);
    dv_sched_close(&s);
    for (uint32_t i = 0; i < SLOW; i++) {
        assert_int_equal(slow[i]->code, DV_ECANCELED);
        client_free(slow[i]);
    }
    client_free(c);
    client_free(d);
    dv_engine_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_queue_says_so),
        cmocka_unit_test(canceled_jobs_free_everything),
        cmocka_unit_test(closing_ends_what_runs),
        cmocka_unit_test(higher_priority_goes_first),
        cmocka_unit_test(first_come_first_served),
        cmocka_unit_test(a_step_serves_everybody),
        cmocka_unit_test(a_long_prompt_stops_others_for_a_slice),
        cmocka_unit_test(who_leaves_in_prefill_is_gone_after_the_step),
        cmocka_unit_test(a_slow_reader_holds_up_nobody),
        cmocka_unit_test(slow_readers_have_their_limit),
    };
    return cmocka_run_group_tests_name("sched-load", tests, NULL, clean_up);
}
