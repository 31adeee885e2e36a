/* SPDX-License-Identifier: MIT */
#include "store/secret.h"

#include "base/err.h"
#include "base/file.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char file_name[] = "secret.key";

enum { LINE = 2 * DV__SECRET + 1, FILE_MAX = DV__SECRETS_MAX * LINE };

typedef struct masters {
    uint8_t v[DV__SECRETS_MAX][DV__SECRET];
    size_t n;
} masters;

static void derive(dv__secret *s, const uint8_t master[DV__SECRET])
{
    memcpy(s->master, master, DV__SECRET);
    for (int use = 0; use < DV__SECRET_USES; use++)
        crypto_kdf_derive_from_key(s->derived[use], DV__MAC, (uint64_t)use, "drover__", master);
    sodium_bin2hex(s->id, sizeof s->id, s->derived[DV__FOR_ID], DV__SECRET_ID / 2);
}

void dv__secret_wipe(dv__secret *s) { sodium_memzero(s, sizeof *s); }

void dv__secret_mac(const dv__secret *s, dv__secret_use use, const void *p, size_t n, uint8_t out[DV__MAC])
{
    crypto_generichash(out, DV__MAC, p, n, s->derived[use], DV__MAC);
}

/* ---- the file: a line of hexadecimal digits for each ---- */

static int parse(masters *m, const char *text, size_t n, const char *path, dv_err *err)
{
    m->n = 0;
    if (n == 0 || n % LINE != 0 || n > FILE_MAX)
        return dv_fail(err, DV_EFORMAT, "%s/%s: the file is damaged", path, file_name);
    for (; m->n < n / LINE; m->n++) {
        const char *line = text + m->n * LINE;
        size_t got = 0;
        if (sodium_hex2bin(m->v[m->n], DV__SECRET, line, LINE - 1, NULL, &got, NULL) != 0 || got != DV__SECRET ||
            line[LINE - 1] != '\n')
            return dv_fail(err, DV_EFORMAT, "%s/%s: line %zu is damaged", path, file_name, m->n + 1);
    }
    return 0;
}

/* No file: no secrets. */
static int load_file(masters *m, const dv__folder *f, dv_err *err)
{
    char text[FILE_MAX + 1];
    size_t n = 0;
    m->n = 0;
    int fd = dv__file_open(f, file_name, O_RDONLY, err);
    if (fd < 0)
        return fd == DV_ENOENT ? 0 : fd;
    for (ssize_t k = 1; k > 0 && n<sizeof text; n += k> 0 ? (size_t)k : 0)
        k = read(fd, text + n, sizeof text - n);
    close(fd);
    int rc = parse(m, text, n, f->path, err);
    sodium_memzero(text, sizeof text);
    return rc;
}

static int save_file(const masters *m, const dv__folder *f, dv_err *err)
{
    char text[FILE_MAX + 1];
    for (size_t i = 0; i < m->n; i++) {
        sodium_bin2hex(text + i * LINE, LINE, m->v[i], DV__SECRET);
        text[(i + 1) * LINE - 1] = '\n';
    }
    int rc = dv__file_replace(f, file_name, text, m->n * LINE, err);
    sodium_memzero(text, sizeof text);
    return rc;
}

int dv__secret_add(const dv__folder *f, const uint8_t master[DV__SECRET], dv_err *err)
{
    masters m;
    int rc = load_file(&m, f, err);
    bool there = false;
    for (size_t i = 0; rc == 0 && i < m.n; i++)
        there = there || sodium_memcmp(m.v[i], master, DV__SECRET) == 0;
    if (rc == 0 && !there) {
        if (m.n == DV__SECRETS_MAX) /* the oldest belongs to a database that was replaced many restores ago */
            memmove(m.v[0], m.v[1], --m.n * sizeof m.v[0]);
        memcpy(m.v[m.n++], master, DV__SECRET);
        rc = save_file(&m, f, err);
    }
    sodium_memzero(&m, sizeof m);
    return rc;
}

/* ---- the database's ---- */

static int named_by(dv_db *db, char id[DV__SECRET_ID + 1], dv_err *err)
{
    dv_conn *c;
    int rc = dv_db_read(db, &c, err);
    if (rc != 0)
        return rc;
    id[0] = 0;
    dv_stmt *st = dv_stmt_get(c, "SELECT value FROM meta WHERE name = 'secret'");
    if (dv_stmt_row(st))
        dv_stmt_get_str(st, 0, id, DV__SECRET_ID + 1);
    return dv_db_commit(&c, err);
}

static int name_it(dv_db *db, const char *id, dv_err *err)
{
    dv_conn *c;
    int rc = dv_db_write(db, &c, err);
    if (rc != 0)
        return rc;
    dv_stmt *st = dv_stmt_get(c, "INSERT INTO meta (name, value) VALUES ('secret', ?1)");
    dv_stmt_str(st, 1, id);
    dv_stmt_run(st);
    return dv_db_commit(&c, err);
}

/* A database that is new: the file's secret, or one that is on the disk before the database names it. The caller keeps others out. */
static int begin_secret(masters *m, const dv__folder *f, dv_db *db, char id[DV__SECRET_ID + 1], dv_err *err)
{
    dv__secret s;
    int rc = 0;
    if (m->n == 0) {
        randombytes_buf(m->v[m->n++], DV__SECRET);
        rc = save_file(m, f, err);
    }
    derive(&s, m->v[m->n - 1]);
    memcpy(id, s.id, sizeof s.id);
    dv__secret_wipe(&s);
    return rc != 0 ? rc : name_it(db, id, err);
}

int dv__secret_load(dv__secret *s, const dv__folder *f, dv_db *db, dv_err *err)
{
    masters m;
    char id[DV__SECRET_ID + 1] = "";
    bool found = false;
    int rc = load_file(&m, f, err);
    rc = rc != 0 ? rc : named_by(db, id, err);
    if (rc == 0 && id[0] == 0)
        rc = begin_secret(&m, f, db, id, err);
    for (size_t i = 0; rc == 0 && i < m.n && !found; i++) {
        derive(s, m.v[i]);
        found = strcmp(s->id, id) == 0;
    }
    if (rc == 0 && !found)
        rc = dv_fail(err, DV_EFORMAT, "%s/%s: the secret of this database is not in it; restore a backup, which has it",
                     f->path, file_name);
    sodium_memzero(&m, sizeof m);
    if (rc != 0)
        dv__secret_wipe(s);
    return rc;
}
