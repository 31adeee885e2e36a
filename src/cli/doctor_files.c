/* SPDX-License-Identifier: MIT */
/* Folders, the store, certificates, keys, and the space there is. */
#include "base/err.h"
#include "cli/doctor.h"
#include "cli/format.h"
#include "http/tls.h"
#include "store/store.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { DAY_S = 86400, SOON_DAYS = 30, CHECK_MIB = 256, OTHERS_WRITE = 022, OTHERS_ANY = 077 };
enum { SPACE_LOW_MIB = 1024, SPACE_NONE_MIB = 64 };

static const char *user_of(uid_t uid, char buf[64])
{
    const struct passwd *p = getpwuid(uid);
    if (p != NULL)
        snprintf(buf, 64, "%s", p->pw_name);
    else
        snprintf(buf, 64, "uid %ld", (long)uid);
    return buf;
}

static void cut_last(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash != NULL)
        slash[slash == path] = 0;
}

/* The folder that path is in. */
static void parent_of(char out[PATH_MAX], const char *path)
{
    snprintf(out, PATH_MAX, "%s", path);
    cut_last(out);
}

/* The nearest folder above that is there. */
static void nearest(char out[PATH_MAX], const char *path)
{
    struct stat st;
    snprintf(out, PATH_MAX, "%s", path);
    do
        cut_last(out);
    while (strchr(out, '/') != NULL && strcmp(out, "/") != 0 && stat(out, &st) != 0);
}

static bool in_path(char out[PATH_MAX], const char *folder, const char *name)
{
    return snprintf(out, PATH_MAX, "%s/%s", folder, name) < PATH_MAX;
}

/* ---- folders ---- */

/* One that is made at the start. deep: with those above it. */
static void check_absent(dv__doctor *d, const char *option, const char *path, bool deep)
{
    char above[PATH_MAX], parent[PATH_MAX];
    parent_of(parent, path);
    nearest(above, path);
    bool ok = access(above, W_OK | X_OK) == 0 && (deep || strcmp(above, parent) == 0);
    if (ok) {
        dv__doctor_say(d, DV__FINDING_OK, "%s: %s is made at the first start", option, path);
        return;
    }
    dv__doctor_say(d, DV__FINDING_PROBLEM, "%s: %s is not there, and cannot be made in %s", option, path, above);
    dv__doctor_advise(d, "make it for the user that runs drover serve (mkdir -p -m 700), or set %s to another folder",
                      option);
}

/* One that must be ours alone to change. Returns whether it can be used. */
static bool check_folder(dv__doctor *d, const char *option, const char *path, const struct stat *st)
{
    char owner[64];
    if (!S_ISDIR(st->st_mode)) {
        dv__doctor_say(d, DV__FINDING_PROBLEM, "%s: %s is no folder", option, path);
        dv__doctor_advise(d, "move it away, or set %s to another one", option);
        return false;
    }
    if ((st->st_mode & OTHERS_WRITE) != 0) {
        dv__doctor_say(d, DV__FINDING_PROBLEM, "%s: others may write to %s", option, path);
        dv__doctor_advise(d, "chmod 700 %s", path);
        return false;
    }
    if (access(path, R_OK | W_OK | X_OK) == 0)
        return true;
    dv__doctor_say(d, DV__FINDING_PROBLEM, "%s: this user may not use %s, which is %s's", option, path,
                   user_of(st->st_uid, owner));
    dv__doctor_advise(
        d,
        "run drover doctor as the user that runs drover serve (sudo -u %s drover doctor); or chown the folder to that user",
        owner);
    return false;
}

static bool within(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && path[n] == '/';
}

static void check_run_dir(dv__doctor *d)
{
    char owner[64];
    struct stat st;
    const char *path = d->conf->run_dir;
    if (lstat(path, &st) != 0) {
        check_absent(d, "run_dir", path, within(path, d->conf->data_dir));
    } else if (check_folder(d, "run_dir", path, &st)) {
        bool ours = st.st_uid == geteuid();
        dv__doctor_say(d, ours ? DV__FINDING_OK : DV__FINDING_PROBLEM, "run_dir: %s%s%s", path, ours ? "" : " is ",
                       ours ? "" : user_of(st.st_uid, owner));
        if (!ours)
            dv__doctor_advise(
                d, "it must be of the user that runs drover serve: chown it, or set run_dir to another folder");
    }
}

static void check_models_dir(dv__doctor *d)
{
    struct stat st;
    const char *path = d->conf->models_dir;
    if (stat(path, &st) != 0 && errno == ENOENT) {
        dv__doctor_say(d, DV__FINDING_OK, "models_dir: %s is not there yet", path);
    } else if (access(path, R_OK | X_OK) != 0 || !S_ISDIR(st.st_mode)) {
        dv__doctor_say(d, DV__FINDING_PROBLEM, "models_dir: %s cannot be read as a folder", path);
        dv__doctor_advise(
            d, "let the user that runs drover serve read it (chmod u+rx), or set models_dir to another folder");
    } else if ((st.st_mode & S_IWOTH) != 0) {
        dv__doctor_say(d, DV__FINDING_WARNING,
                       "models_dir: everybody may write to %s: whatever they put there is served as a model", path);
        dv__doctor_advise(d, "chmod o-w %s", path);
    } else {
        dv__doctor_say(d, DV__FINDING_OK, "models_dir: %s", path);
    }
}

/* ---- the store ---- */

static void drop_log(void *arg, dv_store_log_level level, const char *text) {}

static void check_database(dv__doctor *d, const struct stat *db)
{
    dv_store *s = NULL;
    dv_err err = {0};
    const dv_store_options o = {.dir = d->conf->data_dir, .log = drop_log};
    int rc = dv_store_open(&s, &o, &err);
    bool quick = db->st_size < (off_t)CHECK_MIB << 20;
    rc = rc == 0 && quick ? dv_store_check(s, &err) : rc;
    dv_store_close(&s);
    if (rc == 0) {
        dv__doctor_say(d, DV__FINDING_OK,
                       quick ? "database: opens, and is whole"
                             : "database: opens; it is large, so it was not read from end to end");
        return;
    }
    dv__doctor_say(d, DV__FINDING_PROBLEM, "database: %s", err.msg);
    if (rc == DV_ECORRUPT || rc == DV_EFORMAT)
        dv__doctor_advise(d, "stop drover serve and restore a backup (drover restore FILE)");
    else if (rc == DV_EACCES)
        dv__doctor_advise(
            d, "run drover doctor as the user that runs drover serve; its files are for that user only (chmod 600)");
    else if (rc == DV_EUNSUPPORTED)
        dv__doctor_advise(d, "run the newer drover that made it, or restore a backup of this one");
    else if (rc == DV_EBUSY)
        dv__doctor_advise(d, "try again when the other process is ready");
}

/* The database's own files are looked at when it is opened. */
static void check_admin_key(dv__doctor *d)
{
    char path[PATH_MAX];
    struct stat st;
    if (!in_path(path, d->conf->data_dir, "admin.key") || lstat(path, &st) != 0 || !S_ISREG(st.st_mode) ||
        (st.st_mode & OTHERS_ANY) == 0)
        return;
    dv__doctor_say(d, DV__FINDING_PROBLEM, "%s: others may read or write it", path);
    dv__doctor_advise(
        d, "chmod 600 %s; who has read it may have copied the key: drover key revoke admin, drover key create --admin",
        path);
}

static void check_space(dv__doctor *d)
{
    char folder[PATH_MAX], free_now[DV_FORMAT_BYTES_LEN];
    struct statvfs v;
    snprintf(folder, sizeof folder, "%s", d->conf->data_dir);
    if (statvfs(folder, &v) != 0) {
        nearest(folder, d->conf->data_dir);
        if (statvfs(folder, &v) != 0)
            return;
    }
    uint64_t bytes = (uint64_t)v.f_bavail * v.f_frsize;
    bool full = bytes < (uint64_t)SPACE_NONE_MIB << 20 || (v.f_files > 0 && v.f_favail == 0),
         low = bytes < (uint64_t)SPACE_LOW_MIB << 20;
    dv__doctor_say(d,
                   full  ? DV__FINDING_PROBLEM
                   : low ? DV__FINDING_WARNING
                         : DV__FINDING_OK,
                   "space: %s free for %s%s", dv_format_bytes(free_now, bytes), d->conf->data_dir,
                   v.f_files > 0 && v.f_favail == 0 ? ", and no file can be made" : "");
    if (full || low)
        dv__doctor_advise(
            d,
            "make room, or set data_dir to another disk: on a full one keys and the audit log cannot be written, and requests are refused");
}

static void check_data_dir(dv__doctor *d)
{
    char path[PATH_MAX];
    struct stat st, db;
    const char *dir = d->conf->data_dir;
    int e = stat(dir, &st) == 0 ? 0 : errno;
    if (e == ENOENT) {
        check_absent(d, "data_dir", dir, true);
    } else if (e != 0) {
        dv__doctor_say(d, DV__FINDING_PROBLEM, "data_dir: %s: %s", dir, strerror(e));
        dv__doctor_advise(d, "run drover doctor as the user that runs drover serve");
    } else if (check_folder(d, "data_dir", dir, &st)) {
        dv__doctor_say(d, DV__FINDING_OK, "data_dir: %s", dir);
        check_admin_key(d);
        if (in_path(path, dir, "drover.db") && stat(path, &db) == 0)
            check_database(d, &db);
        else
            dv__doctor_say(d, DV__FINDING_OK, "database: is made at the first start");
    }
    check_space(d);
}

/* ---- TLS ---- */

typedef struct tls_notes {
    dv__doctor *d;
    bool key_open;
} tls_notes;

static void on_tls(void *arg, int level, const char *text)
{
    tls_notes *n = arg;
    n->key_open |= strstr(text, "read this key") != NULL; /* dates are looked at below */
}

static void say_days(dv__doctor *d, const char *cert, int64_t expires)
{
    int64_t days = (expires - (int64_t)d->now_s) / DAY_S;
    if (expires < (int64_t)d->now_s)
        dv__doctor_say(d, DV__FINDING_PROBLEM, "TLS: the certificate in %s has expired", cert);
    else
        dv__doctor_say(d, days < SOON_DAYS ? DV__FINDING_WARNING : DV__FINDING_OK,
                       "TLS: %s and its key match; %" PRId64 " day%s left", cert, days, days == 1 ? "" : "s");
    if (days < SOON_DAYS)
        dv__doctor_advise(d,
                          "renew it and send SIGHUP to drover serve: it reads the files again, and connections go on");
}

static void check_pair(dv__doctor *d, const char *cert, const char *key)
{
    tls_notes n = {.d = d};
    dv_err err = {0};
    dv_http_tls *t = NULL;
    const dv_http_tls_options o = {.cert_file = cert,
                                   .key_file = key,
                                   .min_version = (dv_http_tls_version)d->conf->tls.min_version,
                                   .log = on_tls,
                                   .arg = &n};
    if (dv_http_tls_open(&t, &o, &err) != 0) {
        dv__doctor_say(d, DV__FINDING_PROBLEM, "TLS: %s", err.msg);
        dv__doctor_advise(
            d,
            "tls.cert is the certificate, then the intermediate ones, tls.key its key, both in PEM and readable for the user that runs drover serve");
        return;
    }
    say_days(d, cert, dv_http_tls_expires(t));
    dv_http_tls_close(&t);
    if (n.key_open) {
        dv__doctor_say(d, DV__FINDING_WARNING, "TLS: other users can read %s", key);
        dv__doctor_advise(d, "chmod 600 %s", key);
    }
}

/* Several listeners often have the same. */
static bool was_before(const dv_conf *c, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (c->listeners[k].tls_cert != NULL && strcmp(c->listeners[k].tls_cert, c->listeners[i].tls_cert) == 0 &&
            strcmp(c->listeners[k].tls_key, c->listeners[i].tls_key) == 0)
            return true;
    return false;
}

static void check_tls(dv__doctor *d)
{
    const dv_conf *c = d->conf;
    for (size_t i = 0; i < c->n_listeners; i++)
        if (c->listeners[i].tls_cert != NULL && !was_before(c, i))
            check_pair(d, c->listeners[i].tls_cert, c->listeners[i].tls_key);
}

/* ---- files that are written ---- */

static void check_written(dv__doctor *d, const char *option, const char *path)
{
    char folder[PATH_MAX];
    struct stat st;
    if (path == NULL)
        return;
    parent_of(folder, path);
    if (stat(path, &st) == 0 ? access(path, W_OK) == 0 : access(folder, W_OK | X_OK) == 0) {
        dv__doctor_say(d, DV__FINDING_OK, "%s: %s", option, path);
        return;
    }
    dv__doctor_say(d, DV__FINDING_PROBLEM, "%s: %s cannot be written", option, path);
    dv__doctor_advise(d, "make its folder for the user that runs drover serve, or set %s to another file", option);
}

void dv__doctor_files(dv__doctor *d)
{
    check_data_dir(d);
    check_run_dir(d);
    check_models_dir(d);
    check_written(d, "log.file", d->conf->log.file);
    check_tls(d);
}
