/* SPDX-License-Identifier: MIT */
/* Runs a fuzz target over files and folders of inputs, without libFuzzer: each input as it is, then with its
 * allocations failing one after the other (spread evenly when there are many), and checks that nothing stays
 * allocated. */
#include "base/file.h"
#include "base/mem.h"
#include "target.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_FAILURES = 200 }; /* allocation failures tried per input */

static int n_inputs;

/* The exact size on the heap, so that a sanitizer sees a read past the end. */
static int run_one(const char *path, const uint8_t *data, size_t n, uint64_t fail_after)
{
    uint8_t *copy = malloc(n > 0 ? n : 1);
    if (copy == NULL)
        return 1;
    if (n > 0)
        memcpy(copy, data, n);
    size_t used = dv_mem_used(DV_MEM_CAT_N);
    dv_mem_fail_after(fail_after);
    LLVMFuzzerTestOneInput(copy, n);
    dv_mem_fail_after(0);
    free(copy);
    if (dv_mem_used(DV_MEM_CAT_N) == used)
        return 0;
    fprintf(stderr, "%s: %zu bytes stay allocated (allocation %llu failing)\n", path, dv_mem_used(DV_MEM_CAT_N) - used,
            (unsigned long long)fail_after);
    return 1;
}

static int run_file(const char *path)
{
    dv_err err = {0};
    dv_buf b;
    dv_buf_init(&b, (size_t)1 << 28);
    if (dv_file_read(&b, path, &err) != 0) {
        fprintf(stderr, "%s\n", err.msg);
        dv_buf_fini(&b);
        return 1;
    }
    n_inputs++;
    uint64_t before = dv_mem_count();
    int bad = run_one(path, (const uint8_t *)b.data, b.len, 0);
    uint64_t n_alloc = dv_mem_count() - before;
    uint64_t step = n_alloc / MAX_FAILURES + 1;
    for (uint64_t i = 1; i <= n_alloc && bad == 0; i += step)
        bad = run_one(path, (const uint8_t *)b.data, b.len, i);
    dv_buf_fini(&b);
    return bad;
}

static int run_path(const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
        return run_file(path);
    DIR *dir = opendir(path);
    if (dir == NULL) {
        perror(path);
        return 1;
    }
    int bad = 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char name[4096];
        if (e->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        bad |= run_file(name);
    }
    closedir(dir);
    return bad;
}

int main(int argc, char **argv)
{
    int bad = 0;
    for (int i = 1; i < argc; i++)
        bad |= run_path(argv[i]);
    printf("%d inputs\n", n_inputs);
    return bad != 0 || n_inputs == 0; /* a replay of nothing is no test */
}
