/* SPDX-License-Identifier: MIT */
/* Files are only found here, never read. Each is opened below the folder without following any link, so that a name stands for a file of the
 * folder or for nothing; only its kind, size and dates are looked at. */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "fleet/impl.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    NAME_LEN_MAX = 200,
    FILES_MAX = 4096,
    PARTS_MAX = 1024,
    SPLIT_TAIL = sizeof "-00001-of-00003" - 1,
    SOON_MS = 100
};

/* ---- names ---- */

/* What can be in a request, a log and a header without being escaped anywhere. */
static bool is_name(const char *s, size_t n)
{
    if (n == 0 || n > NAME_LEN_MAX || s[0] == '.' || s[0] == '-')
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f || s[i] == '/' || s[i] == '\\' || s[i] == '"')
            return false;
    return true;
}

/* Bytes of a name before ".gguf"; 0: it is no name of a model. */
static size_t stem_len(const char *s)
{
    size_t n = strlen(s);
    return n > 5 && strcasecmp(s + n - 5, ".gguf") == 0 && is_name(s, n) ? n - 5 : 0;
}

static unsigned number(const char *s)
{
    unsigned v = 0;
    for (int i = 0; i < 5; i++) {
        if (s[i] < '0' || s[i] > '9')
            return 0;
        v = 10 * v + (unsigned)(s[i] - '0');
    }
    return v;
}

/* "x-00002-of-00003" of n bytes: the part, of how many; false: not split. */
static bool split_of(const char *s, size_t n, unsigned *no, unsigned *count)
{
    if (n <= SPLIT_TAIL)
        return false;
    const char *tail = s + n - SPLIT_TAIL;
    *no = tail[0] == '-' ? number(tail + 1) : 0;
    *count = memcmp(tail + 6, "-of-", 4) == 0 ? number(tail + 10) : 0;
    return *no != 0 && *no <= *count && *count <= PARTS_MAX;
}

/* ---- files ---- */

/* Below folder and through no link; -1: not so. Kernels before 5.6, or a filter of system calls, leave only the last element to look at,
 * which is all there is in a name without slashes. */
static int open_below(int folder, const char *name)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC | O_NOFOLLOW,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, folder, name, &how, sizeof how);
    if (fd >= 0 || (errno != ENOSYS && errno != EPERM) || strchr(name, '/') != NULL)
        return fd;
    return openat(folder, name, O_PATH | O_CLOEXEC | O_NOFOLLOW);
}

/* Add what a file's status says to the id of its model; false: it is no regular file. */
static bool add_status(dv__file_id *id, const struct stat *st, bool first)
{
    if (!S_ISREG(st->st_mode))
        return false;
    uint64_t modified = (uint64_t)st->st_mtim.tv_sec * 1000000000 + (uint64_t)st->st_mtim.tv_nsec;
    if (first) {
        id->dev = st->st_dev;
        id->ino = st->st_ino;
    }
    id->bytes += (uint64_t)st->st_size;
    id->modified_ns = DV_MAX(id->modified_ns, modified);
    return true;
}

static bool stat_below(int folder, const char *name, dv__file_id *id, bool first)
{
    struct stat st;
    int fd = open_below(folder, name);
    if (fd < 0)
        return false;
    bool ok = fstat(fd, &st) == 0 && add_status(id, &st, first);
    close(fd);
    return ok;
}

/* All parts of a split model, of which name is the first. A part that is missing is not counted: what reads the model says so. */
static bool stat_model(int folder, const char *name, size_t stem, unsigned count, dv__file_id *id)
{
    char part[NAME_LEN_MAX + 8];
    *id = (dv__file_id){0};
    if (!stat_below(folder, name, id, true))
        return false;
    for (unsigned no = 2; no <= count; no++) {
        snprintf(part, sizeof part, "%.*s-%05u-of-%05u%s", (int)(stem - SPLIT_TAIL), name, no, count, name + stem);
        (void)stat_below(folder, part, id, false);
    }
    return true;
}

bool dv__scan_file(const char *path, dv__file_id *out)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    size_t n = strlen(name), stem = n > 5 && strcasecmp(name + n - 5, ".gguf") == 0 ? n - 5 : n;
    unsigned no, count;
    struct stat st;
    *out = (dv__file_id){0};
    if (stat(path, &st) != 0 || !add_status(out, &st, true))
        return false;
    if (!split_of(name, stem, &no, &count))
        return true;
    for (unsigned i = 1; i <= count; i++) {
        char part[4096];
        int len = snprintf(part, sizeof part, "%.*s-%05u-of-%05u%s", (int)((size_t)(name - path) + stem - SPLIT_TAIL),
                           path, i, count, name + stem);
        if (i != no && len < (int)sizeof part && stat(part, &st) == 0)
            (void)add_status(out, &st, false);
    }
    return true;
}

/* ---- the folder ---- */

static int add_file(dv__files *fs, const char *folder, const char *name, size_t name_len, const dv__file_id *id)
{
    if (fs->n == fs->cap) {
        size_t cap = fs->cap != 0 ? 2 * fs->cap : 32;
        dv__file *v = dv_realloc(DV_MEM_FLEET, fs->v, cap * sizeof *v);
        if (v == NULL)
            return DV_ENOMEM;
        fs->v = v;
        fs->cap = cap;
    }
    size_t n = strlen(folder) + strlen(name) + 2;
    dv__file *file = &fs->v[fs->n];
    *file = (dv__file){
        .name = dv_arena_strndup(&fs->arena, name, name_len), .path = dv_arena_alloc(&fs->arena, n), .id = *id};
    if (file->name == NULL || file->path == NULL)
        return DV_ENOMEM;
    snprintf(file->path, n, "%s/%s", folder, name);
    fs->n++;
    return 0;
}

static int look_at(dv__files *fs, int fd, const char *folder, const char *name)
{
    unsigned no = 0, count = 0;
    size_t stem = stem_len(name);
    dv__file_id id;
    if (stem == 0 || fs->n == FILES_MAX)
        return 0;
    bool split = split_of(name, stem, &no, &count);
    if ((split && no != 1) || !stat_model(fd, name, stem, count, &id))
        return 0;
    return add_file(fs, folder, name, split ? stem - SPLIT_TAIL : stem, &id);
}

static int by_name(const void *a, const void *b)
{
    const dv__file *x = a, *y = b;
    int c = strcmp(x->name, y->name);
    return c != 0 ? c : strcmp(x->path, y->path);
}

int dv__scan_folder(dv__files *out, const char *folder, dv_err *err)
{
    *out = (dv__files){0};
    dv_arena_init(&out->arena, DV_MEM_FLEET, 0);
    DIR *d = opendir(folder);
    if (d == NULL)
        return errno == ENOENT ? 0 : dv_fail(err, DV_EIO, "the models folder cannot be read: %s", strerror(errno));
    int rc = 0;
    for (struct dirent *e; rc == 0 && (e = readdir(d)) != NULL;)
        rc = look_at(out, dirfd(d), folder, e->d_name);
    closedir(d);
    if (rc != 0)
        return dv_fail(err, rc, "%s", dv_error_text(rc));
    if (out->n > 1)
        qsort(out->v, out->n, sizeof *out->v, by_name);
    return 0;
}

void dv__files_fini(dv__files *fs)
{
    dv_free(fs->v);
    dv_arena_fini(&fs->arena);
    *fs = (dv__files){0};
}

/* ---- changes ---- */

static void on_folder(evutil_socket_t fd, short what, void *arg)
{
    dv_fleet *f = arg;
    _Alignas(struct inotify_event) char buf[4096];
    ssize_t n;
    while ((n = read(f->watch_fd, buf, sizeof buf)) > 0)
        for (const char *p = buf; p < buf + n;
             p += sizeof(struct inotify_event) + ((const struct inotify_event *)p)->len)
            if (((const struct inotify_event *)p)->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED))
                f->watched = false; /* the folder itself is another one now, or none */
    f->rescan_ns = DV_MIN(f->rescan_ns, dv_clock_ns() + SOON_MS * DV__MS); /* several files often come together */
    dv__fleet_kick(f);
}

void dv__scan_watch(dv_fleet *f)
{
    static const uint32_t mask = IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB |
                                 IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
    if (f->watch_fd < 0) {
        f->watch_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (f->watch_fd < 0)
            return;
        f->on_folder = event_new(f->base, f->watch_fd, EV_READ | EV_PERSIST, on_folder, f);
        if (f->on_folder == NULL || event_add(f->on_folder, NULL) != 0) {
            dv__scan_fini(f);
            return;
        }
    }
    if (!f->watched)
        f->watched = inotify_add_watch(f->watch_fd, f->conf->models_dir, mask) >= 0;
}

void dv__scan_fini(dv_fleet *f)
{
    if (f->on_folder != NULL)
        event_free(f->on_folder);
    f->on_folder = NULL;
    if (f->watch_fd >= 0)
        close(f->watch_fd);
    f->watch_fd = -1;
    f->watched = false;
}
