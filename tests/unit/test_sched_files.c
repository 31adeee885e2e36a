/* SPDX-License-Identifier: MIT */
/* What the scheduler keeps on disk and in memory: snapshots of prefixes, slot files, pages, the plan. */
#include "base/mem.h"
#include "sched_client.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

static void make_dir(char dir[160], const char *name)
{
    snprintf(dir, 160, "%s/%s", mf_folder(), name);
    mkdir(dir, 0700);
}

/* Change one byte of every .kv file; returns how many there are. */
static int damage_files(const char *dir, long at)
{
    char path[512];
    int n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (strstr(e->d_name, ".kv") == NULL)
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        n++;
        FILE *f = at >= 0 ? fopen(path, "r+b") : NULL;
        if (f == NULL)
            continue;
        fseek(f, at, SEEK_SET);
        int c = fgetc(f);
        fseek(f, at, SEEK_SET);
        fputc(c ^ 0x20, f);
        fclose(f);
    }
    closedir(d);
    return n;
}

static uint32_t ask_after_restart(const char *dir, const char *shape, uint64_t *rejects)
{
    dv_engine *e = open_engine(shape, "Q4_K_M", 2, DV_KV_FORMAT_F16),
              *ref = open_engine(shape, "Q4_K_M", 1, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 2, .cache_dir = dir});
    client *c = client_new(42, 260, 10);
    dv_sched_stats st;
    run(s, c);
    same_as_alone(ref, c);
    uint32_t n_cached = c->timing.n_cached;
    client_free(c);
    dv_sched_get_stats(s, &st, NULL);
    *rejects = st.n_snapshot_rejects;
    dv_sched_close(&s);
    dv_engine_close(&e);
    dv_engine_close(&ref);
    return n_cached;
}

static void snapshots_survive_a_restart(void **state)
{
    (void)state;
    char dir[160];
    uint64_t rejects;
    make_dir(dir, "snapshots");
    assert_int_equal(ask_after_restart(dir, "tiny-llama", &rejects), 0);
    assert_int_equal(damage_files(dir, -1), 4);
    assert_int_equal(ask_after_restart(dir, "tiny-llama", &rejects), 256);
    assert_int_equal(rejects, 0);
    assert_int_equal(ask_after_restart(dir, "tiny-qwen3", &rejects), 0); /* another model's are not even found */
    assert_int_equal(damage_files(dir, -1), 8);
    /* A bit in the head, in the tokens, in a page, in the checksum. */
    static const long places[] = {9, 41, 100, 90000};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        damage_files(dir, places[i]);
        assert_int_equal(ask_after_restart(dir, "tiny-llama", &rejects), 0);
        assert_int_equal(rejects, 1); /* the first of the chain; what follows it is not looked for */
        /* It was written anew, but the others of the chain are still bad. */
        char cmd[256];
        snprintf(cmd, sizeof cmd, "rm -f '%s'/*", dir);
        assert_int_equal(system(cmd), 0);
        assert_int_equal(ask_after_restart(dir, "tiny-llama", &rejects), 0);
    }
    assert_int_equal(ask_after_restart(dir, "tiny-llama", &rejects), 256);
}

static void slots_are_saved_and_restored(void **state)
{
    (void)state;
    char dir[160], path[200];
    uint32_t n;
    uint64_t bytes, restored;
    dv_err err = {0};
    make_dir(dir, "slots");
    snprintf(path, sizeof path, "%s/one.kv", dir);
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16),
              *ref = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 2});
    client *c = client_new(7, 150, 9);
    c->p.slot = 1;
    run(s, c);
    assert_int_equal(dv_sched_slot_save(s, 0, path, &n, &bytes, &err), DV_EINVAL);
    assert_int_equal(dv_sched_slot_save(s, 2, path, &n, &bytes, NULL), DV_EINVAL);
    assert_int_equal(dv_sched_slot_save(s, 1, path, &n, &bytes, NULL), 0);
    assert_int_equal(n, 158); /* the last token was never computed */
    dv_sched_close(&s);

    s = open_sched(e, &(dv_sched_options){.parallel = 2});
    assert_int_equal(dv_sched_slot_restore(s, 0, "/nowhere/at.all", &n, &restored, NULL), DV_ENOENT);
    assert_int_equal(dv_sched_slot_restore(s, 0, "/dev/zero", &n, &restored, NULL), DV_EFORMAT);
    assert_int_equal(dv_sched_slot_restore(s, 0, path, &n, &restored, NULL), 0);
    assert_int_equal(n, 158);
    assert_int_equal(bytes, restored);
    client *again = client_new(7, 150, 9);
    run(s, again);
    same_as_alone(ref, again);
    assert_int_equal(again->timing.n_cached, 149);
    assert_int_equal(dv_sched_slot_erase(s, 0, &n, NULL), 0);
    dv_sched_close(&s);

    /* Every place where a bit can flip: refused, and the slot is as it was. */
    s = open_sched(e, &(dv_sched_options){.parallel = 2});
    for (long at = 0; at < (long)bytes;
         at += at < 800 || at >= (long)bytes - 40 ? 1 : DV_MIN(9973, (long)bytes - 40 - at)) {
        damage_files(dir, at);
        assert_int_equal(dv_sched_slot_restore(s, 0, path, &n, &restored, NULL), DV_EFORMAT);
        damage_files(dir, at);
    }
    for (uint64_t len = 0; len < bytes; len += len < 100 ? 1 : 30011) { /* cut short */
        char part[220], cmd[600];
        snprintf(part, sizeof part, "%s/part", dir);
        snprintf(cmd, sizeof cmd, "head -c %llu '%s' > '%s'", (unsigned long long)len, path, part);
        assert_int_equal(system(cmd), 0);
        assert_int_equal(dv_sched_slot_restore(s, 0, part, &n, &restored, NULL), DV_EFORMAT);
    }
    client_free(c);
    c = client_new(7, 150, 9);
    run(s, c);
    same_as_alone(ref, c);
    assert_int_equal(c->timing.n_cached, 0);
    client_free(c);
    client_free(again);
    dv_sched_close(&s);
    dv_engine_close(&e);
    dv_engine_close(&ref);
}

static dv_engine *open_file(const char *path, dv_kv_format format)
{
    dv_engine *e;
    const dv_engine_options o = {.threads = 1, .ctx = CTX, .kv_format = format};
    assert_int_equal(dv_engine_open(&e, path, &o, NULL), 0);
    return e;
}

/* Every other model and cache: another shape, the same one in other formats, one with a single number changed, one with other weights. */
static void slots_belong_to_their_model(void **state)
{
    (void)state;
    char dir[160], path[200];
    uint32_t n;
    uint64_t bytes;
    dv_err err = {0};
    make_dir(dir, "bound");
    snprintf(path, sizeof path, "%s/one.kv", dir);
    mf_path own = mf_model("tiny-llama", "Q4_K_M"), shape = mf_model("tiny-qwen3", "Q4_K_M"),
            type = mf_model("tiny-llama", "Q8_0");
    mf_path number = mf_changed(own.at, &(mf_change){.set_f32 = "llama.rope.freq_base", .f32 = 10001}), weights;
    snprintf(weights.at, sizeof weights.at, "%s/other-weights.gguf", mf_folder());
    const synth_options o = {.shape = "tiny-llama", .quant = "Q4_K_M", .seed = 2, .threads = 1};
    assert_int_equal(synth_write(weights.at, &o, &err), 0);
    const struct {
        const char *path;
        dv_kv_format format;
        int code;
    } cases[] = {{own.at, DV_KV_FORMAT_F16, 0},
                 {own.at, DV_KV_FORMAT_Q8_0, DV_EFORMAT},
                 {shape.at, DV_KV_FORMAT_F16, DV_EFORMAT},
                 {type.at, DV_KV_FORMAT_F16, DV_EFORMAT},
                 {number.at, DV_KV_FORMAT_F16, DV_EFORMAT},
                 {weights.at, DV_KV_FORMAT_F16, DV_EFORMAT}};
    for (size_t i = 0; i < DV_ARRAY_LEN(cases); i++) {
        dv_engine *e = open_file(cases[i].path, cases[i].format);
        dv_sched *s = open_sched(e, NULL);
        if (i == 0) {
            client *c = client_new(7, 150, 9);
            c->p.slot = 0;
            run(s, c);
            client_free(c);
            assert_int_equal(dv_sched_slot_save(s, 0, path, &n, &bytes, NULL), 0);
        }
        assert_int_equal(dv_sched_slot_restore(s, 0, path, &n, &bytes, NULL), cases[i].code);
        client *c = client_new(7, 150, 9);
        run(s, c);
        assert_int_equal(c->timing.n_cached, cases[i].code == 0 ? 149 : 0);
        client_free(c);
        dv_sched_close(&s);
        dv_engine_close(&e);
    }
}

static void memory_is_planned(void **state)
{
    (void)state;
    mf_path p = mf_model("tiny-llama", "Q4_K_M");
    dv_sched_plan plan;
    dv_err err = {0};
    assert_int_equal(dv_sched_plan_memory(p.at, &(dv_engine_options){.ctx = CTX}, &(dv_sched_options){0}, &plan, &err),
                     0);
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    assert_int_equal(plan.kv, dv_engine_get_info(e)->kv_bytes_per_token * CTX);
    dv_engine_close(&e);
    assert_int_equal(dv_sched_plan_memory(p.at, &(dv_engine_options){.ctx = 1 << 22},
                                          &(dv_sched_options){.kv_bytes = UINT64_C(1) << 50}, &plan, &err),
                     DV_ENOMEM);
    assert_non_null(strstr(err.msg, "MiB are available"));
    err = (dv_err){0};
    e = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    dv_sched *s;
    assert_int_equal(dv_sched_open(&s, e, &(dv_sched_options){.kv_bytes = 1000}, &err), DV_EINVAL);
    assert_non_null(strstr(err.msg, "kv_bytes"));
    assert_int_equal(dv_sched_open(&s, e, &(dv_sched_options){.parallel = 257}, NULL), DV_EINVAL);
    assert_int_equal(dv_sched_open(&s, e, &(dv_sched_options){.cache_dir = "/nowhere"}, NULL), DV_ENOENT);
    dv_engine_close(&e);
}

/* Its positions are all that a request takes memory for. */
static void pages_come_as_they_are_used(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 2, .no_prefix_cache = true, .no_speculation = true});
    static const uint32_t n_prompt[] = {1, 64, 65, 130, 300};
    dv_sched_stats st;
    for (size_t i = 0; i < sizeof n_prompt / sizeof *n_prompt; i++) {
        dv_sched_get_stats(s, &st, NULL);
        assert_true(st.kv_pages_used <= (i > 0)); /* a spare one, for whoever comes next */
        dv_mem_peak_reset(DV_MEM_KV);
        client *c = client_new(i + 1, n_prompt[i], 1);
        run(s, c);
        client_free(c);
        uint64_t pages = (n_prompt[i] + 63) / 64, peak = dv_mem_peak(DV_MEM_KV);
        assert_true(peak >= pages * st.kv_page_bytes && peak < pages * (st.kv_page_bytes + 256) + 256);
    }
    dv_sched_close(&s);
    dv_engine_close(&e);
}

static uint32_t cached(dv_sched *s, uint64_t seed, uint32_t n_prompt)
{
    client *c = client_new(seed, n_prompt, 1);
    run(s, c);
    uint32_t n = c->timing.n_cached;
    client_free(c);
    return n;
}

/* Eight pages: two prompts of three fit beside each other, and a third one takes the place of the one that was asked for less lately. */
static void prefixes_unused_for_longest_go_first(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    for (uint64_t again = 1; again <= 2; again++) {
        dv_sched *s = open_sched(e, NULL);
        uint64_t other = 3 - again;
        assert_int_equal(cached(s, 1, 160), 0);
        assert_int_equal(cached(s, 2, 160), 0);
        assert_int_equal(cached(s, again, 160), 159);
        assert_int_equal(cached(s, 3, 250), 0);
        assert_int_equal(cached(s, again, 160), 159);
        assert_true(cached(s, other, 160) < 64);
        dv_sched_close(&s);
    }
    dv_engine_close(&e);
}

static uint64_t folder_bytes(const char *dir, int *n_files)
{
    struct stat st;
    uint64_t sum = 0;
    char path[512];
    *n_files = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
            sum += (uint64_t)st.st_size;
            ++*n_files;
        }
    }
    closedir(d);
    return sum;
}

/* The folder keeps to its bound, also after a restart with a smaller one, and what was used last stays. Files of others stay, too. */
static void snapshots_keep_to_their_bound(void **state)
{
    (void)state;
    char dir[160], path[200];
    int n;
    make_dir(dir, "bounded");
    snprintf(path, sizeof path, "%s/notes.txt", dir);
    FILE *f = fopen(path, "w");
    fputs("mine", f);
    fclose(f);
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    for (uint64_t files = 6; files >= 2; files -= 2) {
        uint64_t bound = files * (dv_engine_get_info(e)->kv_bytes_per_token * 64 + 1000);
        for (uint64_t seed = 1; seed <= 4; seed++) { /* 8 files in all */
            dv_sched *s = open_sched(e, &(dv_sched_options){.cache_dir = dir, .cache_dir_bytes = bound});
            cached(s, seed, 150);
            dv_sched_close(&s);
            assert_true(folder_bytes(dir, &n) <= bound + 4);
        }
        assert_int_equal(n, files + 1);
        dv_sched *s = open_sched(e, &(dv_sched_options){.cache_dir = dir, .cache_dir_bytes = bound});
        assert_int_equal(cached(s, 4, 150), 128);
        dv_sched_close(&s);
    }
    assert_int_equal(access(path, F_OK), 0);
    dv_engine_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshots_survive_a_restart),   cmocka_unit_test(slots_are_saved_and_restored),
        cmocka_unit_test(slots_belong_to_their_model),   cmocka_unit_test(memory_is_planned),
        cmocka_unit_test(pages_come_as_they_are_used),   cmocka_unit_test(prefixes_unused_for_longest_go_first),
        cmocka_unit_test(snapshots_keep_to_their_bound),
    };
    return cmocka_run_group_tests_name("sched-files", tests, NULL, clean_up);
}
