/* SPDX-License-Identifier: MIT */
#include "sched/snapshot.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    QUEUE = 32,        /* pages that wait to be written, or to be given back */
    NAME_LEN = 35,     /* 32 hexadecimal digits and ".kv" */
    MAX_FILES = 65536, /* of the folder: its index is in memory */
    LOG_WARN = 1,
    LOG_INFO = 2
};
static const uint64_t poll_ns = UINT64_C(200000000), close_ns = UINT64_C(10000000000);

typedef struct entry {
    uint8_t key[16];
    uint64_t bytes, used; /* used: larger is later */
} entry;

typedef struct item {
    dv_kv_page *page;
    uint8_t key[16];
    uint32_t tokens[DV_KV_PAGE];
} item;

struct dv__snapshot {
    char *dir;
    uint64_t max_bytes;
    dv__kvfile_id id;
    dv__prefix *prefix;
    void (*log)(void *arg, int level, const char *text);
    void *log_arg;
    uint64_t polled_ns, n_hits, n_rejects; /* scheduler's thread */
    pthread_t thread;
    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t wake;
    bool stop;
    entry *entry; /* [n_entries] in no order */
    size_t n_entries, cap_entries;
    uint64_t bytes, clock, n_writes;
    item queue[QUEUE];
    dv_kv_page *done[QUEUE];
    uint32_t n_queue, n_done;
};

static void say(const dv__snapshot *s, int level, const char *what, const dv_err *err)
{
    char line[400];
    if (s->log == NULL)
        return;
    snprintf(line, sizeof line, "prefix snapshot: %s: %s", what, err->msg);
    s->log(s->log_arg, level, line);
}

static void path_of(const dv__snapshot *s, const uint8_t key[16], char path[4096])
{
    char hex[33];
    sodium_bin2hex(hex, sizeof hex, key, 16);
    snprintf(path, 4096, "%s/%s.kv", s->dir, hex);
}

/* --- the index; under the mutex --- */

static entry *find_entry(dv__snapshot *s, const uint8_t key[16])
{
    for (size_t i = 0; i < s->n_entries; i++)
        if (memcmp(s->entry[i].key, key, 16) == 0)
            return &s->entry[i];
    return NULL;
}

static void remove_entry(dv__snapshot *s, entry *e)
{
    char path[4096];
    path_of(s, e->key, path);
    unlink(path);
    s->bytes -= e->bytes;
    *e = s->entry[--s->n_entries];
}

static void make_room(dv__snapshot *s)
{
    while (s->n_entries > 0 && (s->bytes > s->max_bytes || s->n_entries >= MAX_FILES)) {
        entry *oldest = &s->entry[0];
        for (size_t i = 1; i < s->n_entries; i++)
            if (s->entry[i].used < oldest->used)
                oldest = &s->entry[i];
        remove_entry(s, oldest);
    }
}

static int add_entry(dv__snapshot *s, const uint8_t key[16], uint64_t bytes, uint64_t used)
{
    if (s->n_entries == s->cap_entries) {
        size_t cap = s->cap_entries * 2 + 64;
        entry *more = dv_realloc(DV_MEM_SESSION, s->entry, cap * sizeof *more);
        if (more == NULL)
            return DV_ENOMEM;
        s->entry = more;
        s->cap_entries = cap;
    }
    entry *e = &s->entry[s->n_entries++];
    memcpy(e->key, key, 16);
    e->bytes = bytes;
    e->used = used;
    s->bytes += bytes;
    return 0;
}

static bool parse_name(const char *name, uint8_t key[16])
{
    size_t n;
    return strlen(name) == NAME_LEN && strcmp(name + 32, ".kv") == 0 &&
           sodium_hex2bin(key, 16, name, 32, NULL, &n, NULL) == 0 && n == 16;
}

/* Names of other files are left alone, but for what an interrupted write left behind. */
static int scan_dir(dv__snapshot *s, dv_err *err)
{
    DIR *d = opendir(s->dir);
    if (d == NULL)
        return dv_fail(err, errno == ENOENT || errno == ENOTDIR ? DV_ENOENT : DV_EACCES, "%s: %s", s->dir,
                       strerror(errno));
    int rc = 0;
    for (struct dirent *e; rc == 0 && (e = readdir(d)) != NULL;) {
        uint8_t key[16];
        struct stat st;
        size_t n = strlen(e->d_name);
        if (n > 5 && strcmp(e->d_name + n - 5, ".part") == 0 && n > NAME_LEN && strncmp(e->d_name + 32, ".kv.", 4) == 0)
            unlinkat(dirfd(d), e->d_name, 0);
        if (!parse_name(e->d_name, key) || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(st.st_mode))
            continue;
        uint64_t used = (uint64_t)st.st_mtim.tv_sec;
        rc = add_entry(s, key, (uint64_t)st.st_size, used);
        s->clock = DV_MAX(s->clock, used);
    }
    closedir(d);
    if (rc != 0)
        return dv_fail(err, rc, "%s: %s", s->dir, dv_error_text(rc));
    make_room(s);
    return 0;
}

/* --- reading, on the scheduler's thread --- */

static int read_page(dv__snapshot *s, const char *path, const uint32_t *tokens, const uint8_t key[16], dv_kv_page *page,
                     dv_err *err)
{
    dv__kvfile f;
    dv_kv *kv = s->prefix->kv;
    int rc = dv__kvfile_open(&f, path, &s->id, kv, DV_KV_PAGE, err);
    if (rc == 0 && (f.n_tok != DV_KV_PAGE || memcmp(f.key, key, 16) != 0 ||
                    memcmp(f.tokens, tokens, sizeof(uint32_t) * DV_KV_PAGE) != 0))
        rc = dv_fail(err, DV_EFORMAT, "it holds other tokens");
    rc = rc != 0 ? rc : dv__kvfile_page(&f, page->data, kv, err);
    rc = rc != 0 ? rc : dv__kvfile_verify(&f, err);
    dv__kvfile_close(&f);
    return rc;
}

static bool is_known(dv__snapshot *s, const uint8_t key[16])
{
    pthread_mutex_lock(&s->mutex);
    entry *e = find_entry(s, key);
    if (e != NULL)
        e->used = ++s->clock;
    pthread_mutex_unlock(&s->mutex);
    return e != NULL;
}

static void forget(dv__snapshot *s, const uint8_t key[16])
{
    pthread_mutex_lock(&s->mutex);
    entry *e = find_entry(s, key);
    if (e != NULL)
        remove_entry(s, e);
    pthread_mutex_unlock(&s->mutex);
}

static bool find(void *arg, const dv__node *parent, const uint32_t *tokens, const uint8_t key[16], dv_kv_page **page)
{
    dv__snapshot *s = arg;
    char path[4096];
    dv_err err = {0};
    int rc;
    (void)parent;
    if (!is_known(s, key))
        return false;
    while ((rc = dv_kv_page_new(s->prefix->kv, page)) == DV_EBUSY && dv__prefix_evict(s->prefix))
        continue;
    if (rc != 0)
        return false;
    path_of(s, key, path);
    if (read_page(s, path, tokens, key, *page, &err) != 0) {
        /* What a bad file held was read into the page: it must not become the finite content that others rely on. */
        memset((*page)->data, 0, s->prefix->kv->page_bytes);
        dv_kv_page_unref(s->prefix->kv, *page);
        say(s, LOG_WARN, "ignored", &err);
        s->n_rejects++;
        forget(s, key);
        return false;
    }
    utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW); /* used now, for the next start's order; not important */
    s->n_hits++;
    return true;
}

/* --- writing --- */

static void write_item(dv__snapshot *s, const item *it)
{
    char path[4096];
    dv_err err = {0};
    uint64_t bytes;
    path_of(s, it->key, path);
    int rc = dv__kvfile_write(path, &s->id, s->prefix->kv, it->key, it->tokens, DV_KV_PAGE, &it->page, &bytes, &err);
    pthread_mutex_lock(&s->mutex);
    if (rc == 0) {
        s->n_writes++;
        if (find_entry(s, it->key) == NULL)
            rc = add_entry(s, it->key, bytes, ++s->clock);
        make_room(s);
    }
    pthread_mutex_unlock(&s->mutex);
    if (rc != 0)
        say(s, LOG_WARN, "not written", &err);
}

static void *writer(void *arg)
{
    dv__snapshot *s = arg;
    pthread_mutex_lock(&s->mutex);
    for (;;) {
        while (s->n_queue == 0 && !s->stop)
            pthread_cond_wait(&s->wake, &s->mutex);
        if (s->n_queue == 0)
            break;
        item it = s->queue[0];
        pthread_mutex_unlock(&s->mutex);
        write_item(s, &it);
        pthread_mutex_lock(&s->mutex);
        memmove(s->queue, s->queue + 1, --s->n_queue * sizeof it);
        s->done[s->n_done++] = it.page; /* it had its place in the queue, which is as long */
        pthread_cond_broadcast(&s->wake);
    }
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

/* Room for another page; under the mutex. */
static bool has_room(const dv__snapshot *s) { return s->n_queue + s->n_done < QUEUE; }

static void take_back(dv__snapshot *s)
{
    while (s->n_done > 0)
        dv_kv_page_unref(s->prefix->kv, s->done[--s->n_done]);
}

static bool enqueue(dv__snapshot *s, dv__node *n)
{
    if (!has_room(s))
        return false;
    n->saved = true;
    if (find_entry(s, n->key) != NULL)
        return true;
    item *it = &s->queue[s->n_queue++];
    it->page = dv_kv_page_ref(n->page);
    memcpy(it->key, n->key, 16);
    memcpy(it->tokens, n->tokens, sizeof it->tokens);
    pthread_cond_broadcast(&s->wake);
    return true;
}

void dv__snapshot_poll(dv__snapshot *s)
{
    uint64_t now = dv_clock_ns();
    if (now - s->polled_ns < poll_ns)
        return;
    s->polled_ns = now;
    pthread_mutex_lock(&s->mutex);
    take_back(s);
    for (dv__node *n = s->prefix->newest; n != NULL; n = n->older)
        if (n->n_hits > 0 && n->of_prompt && !n->saved && n->n_tok == DV_KV_PAGE && !enqueue(s, n))
            break;
    pthread_mutex_unlock(&s->mutex);
}

/* The prompts that were used last, as many as the folder and a few seconds hold. */
static void write_all(dv__snapshot *s)
{
    uint64_t until = dv_clock_ns() + close_ns, room = s->max_bytes;
    for (dv__node *n = s->prefix->newest; n != NULL && dv_clock_ns() < until && room > s->prefix->kv->page_bytes;
         n = n->older) {
        if (!n->of_prompt || n->n_tok != DV_KV_PAGE)
            continue;
        room -= s->prefix->kv->page_bytes;
        if (n->saved)
            continue;
        while (!has_room(s)) {
            take_back(s);
            if (!has_room(s))
                pthread_cond_wait(&s->wake, &s->mutex);
        }
        enqueue(s, n);
    }
}

int dv__snapshot_open(dv__snapshot **out, const char *dir, uint64_t max_bytes, const dv__kvfile_id *id,
                      dv__prefix *prefix, void (*log)(void *arg, int level, const char *text), void *log_arg,
                      dv_err *err)
{
    *out = NULL;
    if (strlen(dir) > 3072)
        return dv_fail(err, DV_EINVAL, "cache_dir: the name is too long");
    dv__snapshot *s = dv_calloc(DV_MEM_SESSION, 1, sizeof *s);
    if (s == NULL)
        return dv_fail(err, DV_ENOMEM, "snapshots: %s", dv_error_text(DV_ENOMEM));
    *s = (dv__snapshot){.max_bytes = max_bytes, .id = *id, .prefix = prefix, .log = log, .log_arg = log_arg};
    s->dir = dv_strndup(DV_MEM_SESSION, dir, strlen(dir));
    int rc = s->dir != NULL ? scan_dir(s, err) : dv_fail(err, DV_ENOMEM, "snapshots: %s", dv_error_text(DV_ENOMEM));
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->wake, NULL);
    if (rc == 0 && pthread_create(&s->thread, NULL, writer, s) != 0)
        rc = dv_fail(err, DV_EIO, "snapshots: no thread");
    if (rc != 0) {
        dv_free(s->dir);
        dv_free(s->entry);
        dv_free(s);
        return rc;
    }
    prefix->find = find;
    prefix->find_arg = s;
    /* Chains of keys begin with the model, so a file of another one is not even found. */
    memcpy(prefix->root.key, id->hash, sizeof prefix->root.key);
    *out = s;
    return 0;
}

void dv__snapshot_close(dv__snapshot **ps, bool all)
{
    dv__snapshot *s = *ps;
    if (s == NULL)
        return;
    pthread_mutex_lock(&s->mutex);
    if (all)
        write_all(s);
    s->stop = true;
    pthread_cond_broadcast(&s->wake);
    pthread_mutex_unlock(&s->mutex);
    pthread_join(s->thread, NULL);
    take_back(s);
    s->prefix->find = NULL;
    pthread_mutex_destroy(&s->mutex);
    pthread_cond_destroy(&s->wake);
    dv_free(s->dir);
    dv_free(s->entry);
    dv_free(s);
    *ps = NULL;
}

void dv__snapshot_counts(const dv__snapshot *s, uint64_t *n_hits, uint64_t *n_writes, uint64_t *n_rejects)
{
    dv__snapshot *m = (dv__snapshot *)(uintptr_t)s;
    *n_hits = s->n_hits;
    *n_rejects = s->n_rejects;
    pthread_mutex_lock(&m->mutex);
    *n_writes = s->n_writes;
    pthread_mutex_unlock(&m->mutex);
}
