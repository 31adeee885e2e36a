/* SPDX-License-Identifier: MIT */
#include "cli/confine.h"

#include "base/err.h"
#include "base/mem.h"
#include "gguf/gguf.h"
#include "http/server.h"

#include <arpa/inet.h>
#include <string.h>

static bool is_name(const char *host)
{
    struct in6_addr a;
    return inet_pton(AF_INET, host, &a) != 1 && inet_pton(AF_INET6, host, &a) != 1;
}

/* All files of a split model. */
static int list_files(dv_confine *c, const char *model)
{
    uint32_t n = 0;
    int rc;
    while ((rc = dv_gguf_file_path(&c->names, model, n + 1)) == 0 && dv_buf_addc(&c->names, 0) == 0)
        n++;
    if (rc != DV_ENOENT)
        return DV_ENOMEM;
    c->files = dv_alloc_array(DV_MEM_BASE, n, sizeof *c->files);
    if (c->files == NULL)
        return DV_ENOMEM;
    const char *p = c->names.data;
    for (uint32_t i = 0; i < n; i++, p += strlen(p) + 1)
        c->files[i] = p;
    c->o.read = c->files;
    c->o.n_read = n;
    return 0;
}

int dv_confine_begin(dv_confine *c, const char *model, const char *host, dv_err *err)
{
    dv_buf_init(&c->names, 0);
    if (c->off)
        return 0;
    if (list_files(c, model) != 0)
        return dv_fail(err, DV_ENOMEM, "sandbox: %s", dv_error_text(DV_ENOMEM));
    c->o.tcp = host != NULL;
    c->o.resolve = host != NULL && is_name(host);
    return dv_sandbox_confine(&c->o, &c->report, err);
}

int dv_confine_latch(const dv_confine *c, dv_err *err) { return c->off ? 0 : dv_sandbox_latch(&c->o, err); }

int dv_confine_seal(dv_confine *c, void (*log)(void *arg, int level, const char *text), dv_err *err)
{
    char text[DV_SANDBOX_TEXT];
    if (c->off) {
        log(NULL, DV_HTTP_LOG_WARN,
            "sandbox: off (--no-sandbox): whoever takes this process over can do what its user can");
        return 0;
    }
    int rc = dv_sandbox_seal(&c->o, &c->report, err);
    if (rc != 0)
        return rc;
    dv_sandbox_text(&c->report, text);
    if (c->require && !dv_sandbox_whole(&c->report))
        return dv_fail(err, DV_EUNSUPPORTED, "--require-sandbox: %s", text);
    log(NULL, dv_sandbox_whole(&c->report) ? DV_HTTP_LOG_INFO : DV_HTTP_LOG_WARN, text);
    return 0;
}

void dv_confine_end(dv_confine *c)
{
    dv_buf_fini(&c->names);
    dv_free((void *)c->files);
    c->files = NULL;
}
