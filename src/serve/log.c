/* SPDX-License-Identifier: MIT */
#include "serve/log.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct dv__log {
    pthread_mutex_t lock; /* one line at a time */
    int fd;
    bool own; /* fd is a file of ours */
    bool json;
    atomic_int level;
    dv_buf line;
};

enum { LINE_MAX_BYTES = 16 << 10 };

static const char *const names[] = {"error", "warn", "info", "debug"};

static int open_target(const dv_conf *conf, int *fd, dv_err *err)
{
    *fd = STDERR_FILENO;
    if (conf->log.file == NULL)
        return 0;
    *fd = open(conf->log.file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    if (*fd < 0)
        return dv_fail(err, errno == EACCES ? DV_EACCES : DV_EIO, "log.file: %s: %s", conf->log.file, strerror(errno));
    return 0;
}

static void adopt(dv__log *l, const dv_conf *conf, int fd)
{
    if (l->own)
        close(l->fd);
    l->fd = fd;
    l->own = conf->log.file != NULL;
    l->json =
        conf->log.format == DV_CONF_LOG_JSON || (conf->log.format == DV_CONF_LOG_AUTO && (l->own || isatty(fd) == 0));
    atomic_store_explicit(&l->level, conf->log.level, memory_order_relaxed);
}

int dv__log_open(dv__log **out, const dv_conf *conf, dv_err *err)
{
    int fd;
    *out = NULL;
    int rc = open_target(conf, &fd, err);
    if (rc != 0)
        return rc;
    dv__log *l = dv_calloc(DV_MEM_API, 1, sizeof *l);
    if (l == NULL) {
        if (conf->log.file != NULL)
            close(fd);
        return dv_fail(err, DV_ENOMEM, "log: %s", dv_error_text(DV_ENOMEM));
    }
    pthread_mutex_init(&l->lock, NULL);
    dv_buf_init(&l->line, LINE_MAX_BYTES);
    adopt(l, conf, fd);
    *out = l;
    return 0;
}

void dv__log_close(dv__log **log)
{
    dv__log *l = *log;
    if (l == NULL)
        return;
    *log = NULL;
    if (l->own)
        close(l->fd);
    dv_buf_fini(&l->line);
    pthread_mutex_destroy(&l->lock);
    dv_free(l);
}

int dv__log_reopen(dv__log *l, const dv_conf *conf, dv_err *err)
{
    int fd;
    int rc = open_target(conf, &fd, err);
    if (rc != 0)
        return rc;
    pthread_mutex_lock(&l->lock);
    adopt(l, conf, fd);
    pthread_mutex_unlock(&l->lock);
    return 0;
}

bool dv__log_wants(const dv__log *l, int level)
{
    return level >= 0 && level <= atomic_load_explicit(&l->level, memory_order_relaxed);
}

/* RFC 3339, UTC, milliseconds. */
static void put_time(dv_buf *b)
{
    uint64_t ms = dv_clock_wall_ms();
    time_t at = (time_t)(ms / 1000);
    struct tm tm;
    char text[32];
    gmtime_r(&at, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    dv_buf_printf(b, "%s.%03uZ", text, (unsigned)(ms % 1000));
}

static void put_json(dv_buf *b, const char *level, const char *message, const dv__log_field *f, size_t n)
{
    dv_buf_adds(b, "{\"time\":\"");
    put_time(b);
    dv_buf_printf(b, "\",\"level\":\"%s\",\"message\":", level);
    dv_buf_json_log(b, message, strlen(message));
    for (size_t i = 0; i < n; i++) {
        dv_buf_printf(b, ",\"%s\":", f[i].name);
        if (f[i].text != NULL)
            dv_buf_json_log(b, f[i].text, strlen(f[i].text));
        else
            dv_buf_json_num(b, f[i].number);
    }
    dv_buf_addc(b, '}');
}

static void put_text(dv_buf *b, const char *level, const char *message, const dv__log_field *f, size_t n)
{
    put_time(b);
    dv_buf_printf(b, " %s ", level);
    dv_buf_escaped(b, message, strlen(message));
    for (size_t i = 0; i < n; i++) {
        dv_buf_printf(b, " %s=", f[i].name);
        if (f[i].text == NULL)
            dv_buf_json_num(b, f[i].number);
        else if (strpbrk(f[i].text, " \"=") != NULL)
            dv_buf_json_log(b, f[i].text, strlen(f[i].text));
        else
            dv_buf_escaped(b, f[i].text, strlen(f[i].text));
    }
}

void dv__log_line(dv__log *l, int level, const char *message, const dv__log_field *fields, size_t n)
{
    if (!dv__log_wants(l, level))
        return;
    const char *name = names[level > DV_CONF_LOG_DEBUG ? DV_CONF_LOG_DEBUG : level];
    pthread_mutex_lock(&l->lock);
    dv_buf_clear(&l->line);
    if (l->json)
        put_json(&l->line, name, message, fields, n);
    else
        put_text(&l->line, name, message, fields, n);
    if (l->line.code == 0 && dv_buf_addc(&l->line, '\n') == 0) {
        ssize_t got = write(l->fd, l->line.data, l->line.len); /* whole lines: O_APPEND keeps them so */
        (void)got;                                             /* there is nobody to tell */
    }
    pthread_mutex_unlock(&l->lock);
}

void dv__log_printf(dv__log *l, int level, const char *fmt, ...)
{
    char text[1024];
    if (!dv__log_wants(l, level))
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    dv__log_line(l, level, text, NULL, 0);
}
