/* SPDX-License-Identifier: MIT */
/* Files on disk: writer to reader and back, split models, and the models that ship or lie beside the project. */
#include "gguf_make.h"

#include "base/file.h"
#include "gguf/split.h"
#include "gguf/write.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/dv-gguf-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[4][512];
    static int turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static void save(const char *path, const dv_buf *b)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b->len > 0 ? b->data : "", 1, b->len, f), b->len);
    assert_int_equal(fclose(f), 0);
}

static void open_fails(const char *path, int code, const char *say)
{
    dv_gguf *g;
    dv_err err = {0};
    size_t used = dv_mem_used(DV_MEM_CAT_N);
    int rc = dv_gguf_open(&g, path, &err);
    if (rc != code || strstr(err.msg, say) == NULL)
        print_error("expected %s with \"%s\", got %s: %s\n", dv_error_name(code), say, dv_error_name(rc), err.msg);
    assert_int_equal(rc, code);
    assert_non_null(strstr(err.msg, say));
    assert_null(g);
    assert_int_equal(dv_mem_used(DV_MEM_CAT_N), used);
}

static dv_gguf *open_ok(const char *path)
{
    dv_gguf *g;
    dv_err err = {0};
    if (dv_gguf_open(&g, path, &err) != 0)
        print_error("%s\n", err.msg);
    assert_non_null(g);
    return g;
}

/* One of every value, and a tensor of every type with data that depend on the type. */
static int write_everything(const char *path, uint32_t align, dv_err *err)
{
    static const dv_str words[] = {{"one", 3}, {"", 0}, {"\0\xff", 2}};
    static const float floats[] = {1, -0.0f, 3e38f};
    dv_gguf_writer *w;
    int rc = dv_gguf_writer_open(&w, path, align, err);
    if (rc != 0)
        return rc;
    dv_gguf_put_u32(w, "u32", UINT32_MAX);
    dv_gguf_put_u64(w, "u64", UINT64_MAX);
    dv_gguf_put_i32(w, "i32", INT32_MIN);
    dv_gguf_put_f32(w, "f32", 0.1f);
    dv_gguf_put_bool(w, "bool", true);
    dv_gguf_put_str(w, "str", "a\0b", 3);
    dv_gguf_put_array(w, "floats", DV_GGUF_F32, floats, 3);
    dv_gguf_put_array(w, "none", DV_GGUF_U8, NULL, 0);
    dv_gguf_put_str_array(w, "words", words, 3);
    for (uint32_t id = 0; id < DV_TYPE_N; id++)
        if (dv_type_get(id) != NULL)
            dv_gguf_add_tensor(w, dv_type_name(id), id, 3, (const uint64_t[]){dv_type_get(id)->block_len, 3, 5});
    for (uint32_t id = 0; id < DV_TYPE_N; id++) {
        uint8_t row[256 * 4];
        memset(row, (int)id + 1, sizeof row);
        for (int i = 0; dv_type_get(id) != NULL && i < 15; i++)
            dv_gguf_write_data(w, row, dv_type_get(id)->block_bytes);
    }
    return dv_gguf_writer_finish(&w, err);
}

static void check_everything(const dv_gguf *g, size_t n_own)
{
    uint64_t u;
    int64_t s;
    double f;
    bool flag;
    dv_str str;
    assert_int_equal(dv_gguf_n_kv(g), 9 + n_own);
    assert_true(dv_gguf_kv_u64(dv_gguf_find(g, "u32"), 0, &u) && u == UINT32_MAX);
    assert_true(dv_gguf_kv_u64(dv_gguf_find(g, "u64"), 0, &u) && u == UINT64_MAX);
    assert_true(dv_gguf_kv_i64(dv_gguf_find(g, "i32"), 0, &s) && s == INT32_MIN);
    assert_true(dv_gguf_kv_f64(dv_gguf_find(g, "f32"), 0, &f) && f == (double)0.1f);
    assert_true(dv_gguf_kv_bool(dv_gguf_find(g, "bool"), 0, &flag) && flag);
    assert_true(dv_gguf_kv_str(dv_gguf_find(g, "str"), 0, &str) && str.n == 3 && memcmp(str.p, "a\0b", 3) == 0);
    assert_true(dv_gguf_kv_f64(dv_gguf_find(g, "floats"), 2, &f) && f == (double)3e38f);
    assert_memory_equal(dv_gguf_kv_raw(dv_gguf_find(g, "floats")), "\0\0\x80\x3f\0\0\0\x80", 8);
    assert_int_equal(dv_gguf_kv_len(dv_gguf_find(g, "none")), 0);
    assert_true(dv_gguf_kv_str(dv_gguf_find(g, "words"), 2, &str) && str.n == 2 && memcmp(str.p, "\0\xff", 2) == 0);
    size_t n = 0;
    for (uint32_t id = 0; id < DV_TYPE_N; id++) {
        const dv_type_info *info = dv_type_get(id);
        if (info == NULL)
            continue;
        n++;
        const dv_gguf_tensor *t = dv_gguf_find_tensor(g, info->name);
        assert_non_null(t);
        assert_int_equal(t->n_bytes, 15 * info->block_bytes);
        assert_int_equal((uintptr_t)t->data % DV_MIN(dv_gguf_alignment(g), 4096), 0);
        for (uint64_t i = 0; i < t->n_bytes; i++)
            assert_int_equal(t->data[i], id + 1);
    }
    assert_int_equal(n, 15);
    assert_int_equal(dv_gguf_n_tensors(g), n);
}

static void writer_round_trip(void **state)
{
    (void)state;
    static const uint32_t aligns[] = {8, 32, 64, 65536};
    for (size_t i = 0; i < DV_ARRAY_LEN(aligns); i++) {
        const char *path = in_folder("all.gguf");
        dv_err err = {0};
        size_t used = dv_mem_used(DV_MEM_CAT_N);
        assert_int_equal(write_everything(path, aligns[i], &err), 0);
        dv_gguf *g = open_ok(path);
        assert_int_equal(dv_gguf_alignment(g), aligns[i]);
        assert_int_equal(dv_gguf_version(g), 3);
        assert_int_equal(dv_gguf_file_bytes(g) % aligns[i], 0);
        check_everything(g, aligns[i] != 32);
        /* A copy of it, with another alignment and in large pieces. */
        dv_gguf_writer *w;
        assert_int_equal(dv_gguf_writer_open(&w, in_folder("copy.gguf"), 16, &err), 0);
        for (size_t k = 0; k < dv_gguf_n_kv(g); k++)
            assert_int_equal(dv_gguf_put_kv(w, dv_gguf_kv_at(g, k)), 0);
        for (size_t k = 0; k < dv_gguf_n_tensors(g); k++) {
            const dv_gguf_tensor *t = dv_gguf_tensor_at(g, k);
            char name[DV_GGUF_MAX_NAME + 1];
            snprintf(name, sizeof name, "%.*s", (int)t->name.n, t->name.p);
            assert_int_equal(dv_gguf_add_tensor(w, name, t->type, t->n_dims, t->ne), 0);
        }
        for (size_t k = 0; k < dv_gguf_n_tensors(g); k++)
            assert_int_equal(dv_gguf_write_data(w, dv_gguf_tensor_at(g, k)->data, dv_gguf_tensor_at(g, k)->n_bytes), 0);
        assert_int_equal(dv_gguf_writer_finish(&w, &err), 0);
        dv_gguf_close(&g);
        g = open_ok(in_folder("copy.gguf"));
        assert_int_equal(dv_gguf_alignment(g), 16);
        check_everything(g, 1);
        dv_gguf_close(&g);
        assert_int_equal(dv_mem_used(DV_MEM_CAT_N), used);
    }
}

static void writer_truncates_what_was_there(void **state)
{
    (void)state;
    dv_buf b;
    dv_err err = {0};
    dv_gguf_writer *w;
    dv_buf_init(&b, 0);
    mk_zeros(&b, 100000);
    save(in_folder("old.gguf"), &b);
    dv_buf_fini(&b);
    assert_int_equal(dv_gguf_writer_open(&w, in_folder("old.gguf"), 32, &err), 0);
    assert_int_equal(dv_gguf_writer_finish(&w, &err), 0);
    dv_gguf *g = open_ok(in_folder("old.gguf"));
    assert_int_equal(dv_gguf_file_bytes(g), 32);
    dv_gguf_close(&g);
}

static void writer_moves_a_lot_of_data(void **state)
{
    (void)state;
    enum { ROWS = 300, ROW = 4096 };
    dv_err err = {0};
    dv_gguf_writer *w;
    float *data = dv_alloc(DV_MEM_BASE, (size_t)ROWS * ROW * sizeof *data);
    assert_non_null(data);
    for (int i = 0; i < ROWS * ROW; i++)
        data[i] = (float)i;
    assert_int_equal(dv_gguf_writer_open(&w, in_folder("big.gguf"), 32, &err), 0);
    assert_int_equal(dv_gguf_add_tensor(w, "big", DV_TYPE_F32, 2, (const uint64_t[]){ROW, ROWS}), 0);
    const char *p = (const char *)data;
    size_t left = (size_t)ROWS * ROW * sizeof *data;
    for (size_t step = 1; left > 0; step = step * 3 + 1) {
        size_t n = DV_MIN(step, left);
        assert_int_equal(dv_gguf_write_data(w, p, n), 0);
        p += n;
        left -= n;
    }
    assert_int_equal(dv_gguf_writer_finish(&w, &err), 0);
    dv_gguf *g = open_ok(in_folder("big.gguf"));
    assert_memory_equal(dv_gguf_tensor_at(g, 0)->data, data, (size_t)ROWS * ROW * sizeof *data);
    dv_gguf_close(&g);
    dv_free(data);
}

/* A wrong call sticks, is what finish reports, and leaves no file. */
static void writer_refuses_misuse(void **state)
{
    (void)state;
    static const uint64_t four[] = {4}, bad[] = {33}, zero[] = {0}, huge[] = {UINT64_C(1) << 62, 4};
    /* clang-format off */
    static const char *const say[] = {"given twice", "given twice", "key of 0 bytes", "impossible shape",
        "impossible shape", "impossible shape", "impossible shape", "impossible shape", "after the first tensor data",
        "after the first tensor data", "more than the tensors have", "16 of its 16 bytes", "cannot be written",
        "tensor of 0 bytes"};
    /* clang-format on */
    for (size_t i = 0; i < DV_ARRAY_LEN(say); i++) {
        const char *path = in_folder("misuse.gguf");
        dv_err err = {0};
        dv_gguf_writer *w;
        assert_int_equal(dv_gguf_writer_open(&w, path, 32, &err), 0);
        assert_int_equal(dv_gguf_put_u32(w, "k", 1), 0);
        assert_int_equal(dv_gguf_add_tensor(w, "t", DV_TYPE_F32, 1, four), 0);
        switch (i) {
        case 0: dv_gguf_put_str(w, "k", "", 0); break;
        case 1: dv_gguf_add_tensor(w, "t", DV_TYPE_F32, 1, four); break;
        case 2: dv_gguf_put_u32(w, "", 1); break;
        case 3: dv_gguf_add_tensor(w, "u", DV_TYPE_Q8_0, 1, bad); break;
        case 4: dv_gguf_add_tensor(w, "u", DV_TYPE_F32, 1, zero); break;
        case 5: dv_gguf_add_tensor(w, "u", DV_TYPE_F32, 2, huge); break;
        case 6: dv_gguf_add_tensor(w, "u", DV_TYPE_F32, 5, huge); break;
        case 7: dv_gguf_add_tensor(w, "u", 16, 1, four); break;
        case 8:
            dv_gguf_write_data(w, "", 1);
            dv_gguf_put_u32(w, "late", 1);
            break;
        case 9:
            dv_gguf_write_data(w, "", 1);
            dv_gguf_add_tensor(w, "late", DV_TYPE_F32, 1, four);
            break;
        case 10: dv_gguf_write_data(w, "0123456789abcdefX", 17); break;
        case 11: dv_gguf_write_data(w, "0123456789abcde", 15); break;
        case 12: dv_gguf_put_array(w, "a", DV_GGUF_STR, NULL, 1); break;
        default: dv_gguf_add_tensor(w, "", DV_TYPE_F32, 1, four); break;
        }
        int sticky = i == 11 ? 0 : DV_EINVAL;
        assert_int_equal(dv_gguf_write_data(w, NULL, 0), sticky);
        assert_int_equal(dv_gguf_writer_finish(&w, &err), DV_EINVAL);
        assert_null(w);
        assert_non_null(strstr(err.msg, i == 11 ? "15 of its 16 bytes" : say[i]));
        assert_false(exists(path));
    }
}

static void writer_refuses_paths(void **state)
{
    (void)state;
    static const uint32_t aligns[] = {0, 1, 3, 4, 48, 1u << 17, 1u << 31};
    dv_gguf_writer *w;
    for (size_t i = 0; i < DV_ARRAY_LEN(aligns); i++) {
        dv_err err = {0};
        assert_int_equal(dv_gguf_writer_open(&w, in_folder("x"), aligns[i], &err), DV_EINVAL);
        assert_null(w);
    }
    assert_false(exists(in_folder("x")));
    dv_err err = {0};
    assert_int_equal(dv_gguf_writer_open(&w, in_folder("no/such/folder"), 32, &err), DV_ENOENT);
    assert_int_equal(dv_gguf_writer_open(&w, folder, 32, NULL), DV_EIO); /* a folder */
    assert_int_equal(dv_gguf_writer_open(&w, "/dev/null", 32, NULL), DV_EINVAL);
    assert_true(exists("/dev/null"));
    assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
    assert_true(dv_gguf_writer_open(&w, in_folder("fifo"), 32, NULL) != 0); /* at once: nobody reads it */
    assert_true(exists(in_folder("fifo")));
    assert_int_equal(dv_gguf_writer_open(&w, in_folder("given-up"), 32, NULL), 0);
    dv_gguf_writer_close(&w);
    dv_gguf_writer_close(&w);
    assert_false(exists(in_folder("given-up")));
}

/* Stands for a full disk: the file may not grow beyond some size. */
static void writer_meets_the_end_of_space(void **state)
{
    (void)state;
    static const size_t room[] = {0, 100, 5000, 300000, 700000};
    struct rlimit old, tight;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    for (size_t i = 0; i < DV_ARRAY_LEN(room); i++) {
        const char *path = in_folder("full.gguf");
        dv_err err = {0};
        dv_gguf_writer *w;
        tight = (struct rlimit){.rlim_cur = room[i], .rlim_max = old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
        assert_int_equal(dv_gguf_writer_open(&w, path, 65536, &err), 0);
        dv_gguf_put_u32(w, "k", 1);
        dv_gguf_add_tensor(w, "t", DV_TYPE_F32, 1, (const uint64_t[]){200000});
        for (int k = 0; k < 200; k++)
            dv_gguf_write_data(w, (const float[1000]){0}, 4000);
        int rc = dv_gguf_writer_finish(&w, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_int_equal(rc, DV_EIO);
        assert_non_null(strstr(err.msg, "full.gguf: "));
        assert_false(exists(path));
    }
    signal(SIGXFSZ, handler);
}

static void writer_allocation_failures(void **state)
{
    (void)state;
    const char *path = in_folder("oom.gguf");
    size_t used = dv_mem_used(DV_MEM_CAT_N);
    uint64_t before = dv_mem_count();
    assert_int_equal(write_everything(path, 32, NULL), 0);
    uint64_t n = dv_mem_count() - before;
    assert_int_equal(unlink(path), 0);
    for (uint64_t i = 1; i <= n; i++) {
        dv_err err = {0};
        dv_mem_fail_after(i);
        int rc = write_everything(path, 32, &err);
        dv_mem_fail_after(0);
        assert_int_equal(rc, DV_ENOMEM);
        assert_int_equal(dv_mem_used(DV_MEM_CAT_N), used);
        assert_false(exists(path));
    }
}

static void open_refuses_what_is_no_file(void **state)
{
    (void)state;
    dv_buf b;
    open_fails(in_folder("absent.gguf"), DV_ENOENT, "absent.gguf");
    open_fails(folder, DV_EINVAL, "not a regular file");
    open_fails("/dev/zero", DV_EINVAL, "not a regular file");
    open_fails(in_folder("fifo"), DV_EINVAL, "not a regular file");
    dv_buf_init(&b, 0);
    save(in_folder("empty.gguf"), &b);
    open_fails(in_folder("empty.gguf"), DV_EFORMAT, "empty.gguf: the magic number");
    dv_buf_adds(&b, "GGUF");
    save(in_folder("magic.gguf"), &b);
    open_fails(in_folder("magic.gguf"), DV_EFORMAT, "ends at byte 4");
    dv_buf_fini(&b);
}

static void split_names(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        uint32_t no, count;
    } rows[] = {
        {"m-00001-of-00003.gguf", 1, 3},
        {"/a/b-00001-of-00002.gguf/m-00003-of-00003.gguf", 3, 3},
        {"-00001-of-00001.gguf", 1, 1},
        {"m-00001-of-01024.gguf", 1, 1024},
        {"m-00001-of-01025.gguf", 0, 0},
        {"m-00000-of-00003.gguf", 0, 0},
        {"m-00004-of-00003.gguf", 0, 0},
        {"m-00001-of-00000.gguf", 0, 0},
        {"m-0001-of-0003.gguf", 0, 0},
        {"m-00001-of-00003.ggu", 0, 0},
        {"m_00001-of-00003.gguf", 0, 0},
        {"m-+0001-of-00003.gguf", 0, 0},
        {"m- 0001-of-00003.gguf", 0, 0},
        {"", 0, 0},
        {".gguf", 0, 0},
    };
    for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
        dv__split s = dv__split_parse(rows[i].path);
        assert_int_equal(s.count, rows[i].count);
        assert_int_equal(s.no, rows[i].no);
        if (s.count == 0)
            continue;
        char *again = dv__split_path(rows[i].path, &s, s.no);
        assert_string_equal(again, rows[i].path);
        dv_free(again);
    }
}

static void files_of_a_model_are_known_by_name(void **state)
{
    dv_buf b;
    dv_buf_init(&b, 0);
    assert_int_equal(dv_gguf_file_path(&b, "d/m-00002-of-00003.gguf", 3), 0);
    assert_string_equal(dv_buf_str(&b), "d/m-00003-of-00003.gguf");
    assert_int_equal(dv_gguf_file_path(&b, "d/m-00002-of-00003.gguf", 4), DV_ENOENT);
    assert_int_equal(dv_gguf_file_path(&b, "d/m-00002-of-00003.gguf", 0), DV_ENOENT);
    dv_buf_clear(&b);
    assert_int_equal(dv_gguf_file_path(&b, "d/m.gguf", 1), 0);
    assert_string_equal(dv_buf_str(&b), "d/m.gguf");
    assert_int_equal(dv_gguf_file_path(&b, "d/m.gguf", 2), DV_ENOENT);
    dv_buf_fini(&b);
    dv_mem_fail_after(1);
    assert_int_equal(dv_gguf_file_path(&b, "d/m-00002-of-00003.gguf", 1), DV_ENOMEM);
    dv_mem_fail_after(0);
    dv_buf_fini(&b);
}

/* Part `no` of `count` with one tensor "t<no>" of one float, no - 1; `stated` is the total of tensors it claims. */
static void save_part(const char *path, const char *tensor, uint32_t no, uint32_t count, uint32_t stated)
{
    dv_buf b;
    mk_head(&b, 3, 1, 4);
    mk_key(&b, "split.no", DV_GGUF_U16);
    mk_u8(&b, (no - 1) & 255);
    mk_u8(&b, 0);
    mk_key(&b, "split.count", DV_GGUF_U16);
    mk_u8(&b, count & 255);
    mk_u8(&b, 0);
    mk_key(&b, "split.tensors.count", DV_GGUF_I32);
    mk_u32(&b, stated);
    mk_kv_u32(&b, "only.here", no);
    mk_tensor(&b, tensor, DV_TYPE_F32, 1, (const uint64_t[]){1}, 0);
    mk_pad(&b, 32);
    float v = (float)no - 1;
    dv_buf_add(&b, &v, sizeof v);
    save(path, &b);
    dv_buf_fini(&b);
}

static void split_model_is_one(void **state)
{
    (void)state;
    char name[64];
    for (uint32_t no = 1; no <= 3; no++) {
        snprintf(name, sizeof name, "s-0000%u-of-00003.gguf", no);
        char tensor[8] = {'t', (char)('0' + no)};
        save_part(in_folder(name), tensor, no, 3, 3);
    }
    for (uint32_t no = 1; no <= 3; no++) { /* whichever part is named */
        snprintf(name, sizeof name, "s-0000%u-of-00003.gguf", no);
        dv_gguf *g = open_ok(in_folder(name));
        assert_int_equal(dv_gguf_n_tensors(g), 3);
        uint32_t v = 0;
        assert_int_equal(dv_gguf_get_u32(g, "only.here", 0, 9, &v, NULL), 0);
        assert_int_equal(v, 1); /* the first part's metadata */
        for (uint32_t k = 1; k <= 3; k++) {
            char tensor[8] = {'t', (char)('0' + k)};
            float f;
            memcpy(&f, dv_gguf_find_tensor(g, tensor)->data, sizeof f);
            assert_true(f == (float)k - 1);
        }
        struct stat st;
        assert_int_equal(stat(in_folder(name), &st), 0);
        assert_int_equal(dv_gguf_file_bytes(g), 3 * (uint64_t)st.st_size);
        dv_gguf_close(&g);
    }
    size_t used = dv_mem_used(DV_MEM_CAT_N);
    for (uint64_t i = 1, rc = 1; rc != 0; i++) { /* every allocation failing, until none does */
        dv_gguf *g;
        const char *path = in_folder("s-00001-of-00003.gguf");
        dv_mem_fail_after(i);
        int code = dv_gguf_open(&g, path, NULL);
        dv_mem_fail_after(0);
        assert_true(code == 0 || code == DV_ENOMEM);
        dv_gguf_close(&g);
        assert_int_equal(dv_mem_used(DV_MEM_CAT_N), used);
        rc = code != 0;
    }
}

static void split_model_with_faults(void **state)
{
    (void)state;
    const char *one = in_folder("f-00001-of-00002.gguf"), *two = in_folder("f-00002-of-00002.gguf");
    save_part(one, "a", 1, 2, 2);
    open_fails(one, DV_ENOENT, "part 2 of 2: ");
    open_fails(one, DV_ENOENT, "f-00002-of-00002.gguf");
    save_part(two, "a", 2, 2, 2);
    open_fails(one, DV_EFORMAT, "tensor \"a\" occurs twice");
    save_part(two, "b", 1, 2, 2);
    open_fails(one, DV_EFORMAT, "\"split.no\" is 0, in part 2 it must be 1");
    save_part(two, "b", 2, 3, 2);
    open_fails(one, DV_EFORMAT, "\"split.count\" is 3, the file's name says 2");
    save_part(two, "b", 2, 2, 3);
    open_fails(one, DV_EFORMAT, "\"split.tensors.count\" is 2 in part 1 and 3 in part 2");
    save_part(one, "a", 1, 2, 3);
    open_fails(one, DV_EFORMAT, "is 3, but the parts have 2 tensors");
    save_part(one, "a", 1, 2, (uint32_t)-1);
    open_fails(one, DV_EFORMAT, "\"split.tensors.count\" is no unsigned integer");
    save_part(in_folder("renamed.gguf"), "a", 1, 2, 2);
    open_fails(in_folder("renamed.gguf"), DV_EFORMAT, "one of 2 parts");
    dv_buf b;
    mk_head(&b, 3, 0, 0);
    save(two, &b);
    save_part(one, "a", 1, 2, 2);
    open_fails(one, DV_EFORMAT, "no key \"split.count\"");
    b.len = 10;
    save(two, &b);
    open_fails(one, DV_EFORMAT, "f-00002-of-00002.gguf: ");
    b.len = 24;
    save(in_folder("alone-00001-of-00001.gguf"), &b); /* one part of one needs no keys */
    dv_gguf *g = open_ok(in_folder("alone-00001-of-00001.gguf"));
    mk_close(&g, &b);
    mk_head(&b, 3, 0, 1);
    mk_kv_u32(&b, "split.count", 0); /* as merging leaves it */
    g = mk_opens(&b);
    mk_close(&g, &b);
}

static void check_file(const char *path, size_t min_tensors)
{
    if (!exists(path)) {
        print_message("%s is not here\n", path);
        return;
    }
    dv_gguf *g = open_ok(path);
    dv_str arch;
    assert_int_equal(dv_gguf_get_str(g, "general.architecture", &arch, NULL), 0);
    assert_true(dv_gguf_n_tensors(g) >= min_tensors);
    const dv_gguf_kv *tokens = dv_gguf_find(g, "tokenizer.ggml.tokens");
    assert_non_null(tokens);
    dv_str s;
    assert_true(dv_gguf_kv_str(tokens, dv_gguf_kv_len(tokens) - 1, &s));
    dv_gguf_close(&g);
}

/* Started from the project's folder by Meson; what lies beside the project is optional. */
static void real_files_open(void **state)
{
    (void)state;
    static const char *const folders[] = {"models", "../shared/models", "../shared/vocab"};
    assert_true(exists("models/pocket-dictionary.gguf"));
    for (size_t i = 0; i < DV_ARRAY_LEN(folders); i++) {
        DIR *dir = opendir(folders[i]);
        if (dir == NULL)
            continue;
        for (struct dirent *e; (e = readdir(dir)) != NULL;) {
            char path[512];
            size_t n = strlen(e->d_name);
            if (n < 5 || strcmp(e->d_name + n - 5, ".gguf") != 0)
                continue;
            snprintf(path, sizeof path, "%s/%s", folders[i], e->d_name);
            check_file(path, i < 2 ? 10 : 0);
        }
        closedir(dir);
    }
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    (void)state;
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return 1;
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        if (e->d_name[0] != '.')
            unlink(in_folder(e->d_name));
    closedir(dir);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writer_round_trip),
        cmocka_unit_test(writer_truncates_what_was_there),
        cmocka_unit_test(writer_moves_a_lot_of_data),
        cmocka_unit_test(writer_refuses_misuse),
        cmocka_unit_test(writer_refuses_paths),
        cmocka_unit_test(writer_meets_the_end_of_space),
        cmocka_unit_test(writer_allocation_failures),
        cmocka_unit_test(open_refuses_what_is_no_file),
        cmocka_unit_test(split_names),
        cmocka_unit_test(files_of_a_model_are_known_by_name),
        cmocka_unit_test(split_model_is_one),
        cmocka_unit_test(split_model_with_faults),
        cmocka_unit_test(real_files_open),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
