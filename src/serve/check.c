/* SPDX-License-Identifier: MIT */
/* The body of a request, on a worker: parsed within bounds, checked against its table, its texts cleaned. */
#include "base/attr.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "serve/exchange.h"
#include "web/body.h"

#include <stddef.h>

enum { TRIM_BYTES = 1 << 20 };

/* What the parser gets: the body, or a copy whose broken UTF-8 is replaced. */
static int parse_repaired(dv__xchg *x, const char *text, size_t n, const dv__text_rules *rules, dv_err *err)
{
    if (!rules->repair || dv_utf8_valid(text, n))
        return dv_body_parse(text, n, &x->body, err);
    int rc = dv__text_repair_utf8(&x->rewritten, text, n);
    x->check.repaired = true;
    return rc != 0 ? dv_fail(err, rc, "%s", dv_error_text(rc))
                   : dv_body_parse(x->rewritten.data, x->rewritten.len, &x->body, err);
}

static int check_body(dv__xchg *x, dv_err *err)
{
    size_t n;
    const char *text = dv_http_body(x->req, &n);
    const dv_conf *c = x->cfg->conf;
    dv__text_rules rules = {.repair = c->security.invalid_text == DV_CONF_TEXT_REPAIR,
                            .max_text = (size_t)c->limits.text_bytes};
    if (x->row->body == NULL)
        return n == 0 ? 0 : dv_fail(err, DV_EINVAL, "this route takes no body");
    if (n == 0 && (x->row->flags & DV__ROW_OPTIONAL) != 0) {
        x->body = json_object();
        return x->body != NULL ? 0 : dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    }
    int rc = parse_repaired(x, text, n, &rules, err);
    if (rc == 0)
        rc = dv__schema_check(x->row->body, x->body, &rules, &x->check, err);
    if (rc != 0 || !x->check.repaired)
        return rc;
    dv_buf_clear(&x->rewritten);
    rc = dv_json_dump(&x->rewritten, x->body, JSON_COMPACT);
    return rc != 0 ? dv_fail(err, rc, "%s", dv_error_text(rc)) : 0;
}

/* What was asked, for an audit log that keeps it: as much as it takes. */
static void keep_prompt(dv__xchg *x)
{
    static const char *const names[] = {"messages", "prompt", "input", "content", "input_prefix"};
    const json_t *v = NULL;
    dv_buf b;
    if (!x->cfg->conf->audit.prompts || x->body == NULL || (x->row->flags & DV__ROW_JOB) == 0)
        return;
    for (size_t i = 0; i < DV_ARRAY_LEN(names) && v == NULL; i++)
        v = json_object_get(x->body, names[i]);
    dv_buf_init(&b, 0);
    if (v != NULL && dv_json_dump(&b, v, JSON_COMPACT | JSON_ENCODE_ANY) == 0)
        x->prompt = dv_strndup(DV_MEM_API, b.data, DV_MIN(b.len, (size_t)DV_AUDIT_PROMPT));
    dv_buf_fini(&b);
}

/* Back on the I/O thread. */
static void on_checked(dv_http_task *t)
{
    dv__xchg *x = (dv__xchg *)((char *)t - offsetof(dv__xchg, task));
    dv_http_req *req = x->req;
    x->working = false;
    x->s->n_working--;
    if (x->ended)
        dv__admit_end(x);
    else if (x->code != 0)
        dv__xchg_fail(x, &x->err);
    else if (!x->handled)
        dv__xchg_handle(x);
    dv_http_unref(req);
}

static void work(void *arg)
{
    dv__xchg *x = arg;
    size_t n;
    (void)dv_http_body(x->req, &n);
    x->code = dv_http_gone(x->req) ? DV_ECANCELED : 0;
    if (x->code == 0)
        x->code = dv__schema_check_query(x->row->query, x->req, &x->check, &x->err);
    if (x->code == 0)
        x->code = check_body(x, &x->err);
    if (x->code == 0)
        keep_prompt(x);
    if (x->code == 0 && (x->row->flags & DV__ROW_WORK) != 0) {
        x->handled = true;
        x->code = x->row->handle(x, &x->err);
    }
    if (x->code != 0 && x->err.code == 0)
        dv_fail(&x->err, x->code, "%s", dv_error_text(x->code));
    if (n > TRIM_BYTES)
        dv_mem_trim();
    dv_http_post(x->s->http, &x->task);
}

/* No body and no waiting: there is nothing that a worker would be better for. */
static bool check_here(dv__xchg *x)
{
    dv_err err = {0};
    if (x->row->body != NULL || (x->row->flags & DV__ROW_WORK) != 0)
        return false;
    if (dv__schema_check_query(x->row->query, x->req, &x->check, &err) != 0)
        dv__xchg_fail(x, &err);
    else
        dv__xchg_handle(x);
    return true;
}

void dv__check_start(dv__xchg *x)
{
    if (check_here(x))
        return;
    dv_http_ref(x->req);
    x->working = true;
    x->s->n_working++;
    x->task.fn = on_checked;
    if (dv_work_add(x->s->work, work, x) == 0)
        return;
    dv_problem p = {
        .status = 503, .text = "too many requests wait; try again later", .retry_after = DV_PROBLEM_RETRY_S};
    x->working = false;
    x->s->n_working--;
    x->limited = true;
    dv__xchg_problem(x, &p);
    dv_http_unref(x->req);
}
