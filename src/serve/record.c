/* SPDX-License-Identifier: MIT */
/* What is written down of an exchange: a line in the log, a row in the audit log, counters. */
#include "base/attr.h"
#include "base/clock.h"
#include "serve/exchange.h"
#include "serve/log.h"

#include <stdio.h>

/* Rows of refused strangers: as many as tell what goes on, not as many as strangers like. */
enum { STRANGER_ROWS = 60, MINUTE_MS = 60 * 1000 };

static dv_audit_outcome outcome_of(const dv__xchg *x, int status)
{
    if (status == 0)
        return DV_AUDIT_CANCELED;
    if (status < 400)
        return x->failed ? DV_AUDIT_FAILED : DV_AUDIT_OK;
    if (x->limited || status == 429)
        return DV_AUDIT_LIMITED;
    if (status == 401 || status == 403)
        return DV_AUDIT_DENIED;
    return status < 500 ? DV_AUDIT_INVALID : DV_AUDIT_FAILED;
}

/* Whether there is still room for a row of this stranger in this minute. */
static bool room_for_stranger(dv__xchg *x)
{
    const dv_rate_rule rule = {.limit = STRANGER_ROWS, .window_ms = MINUTE_MS};
    dv_rate_key key = dv_rate_key_of("audit", x->who.id);
    dv_rate_answer a;
    dv_rate_take_here(x->s->rate, &key, &rule, 1, &a);
    return a.allowed;
}

static bool is_public(const dv__xchg *x) { return x->row != NULL && (x->row->flags & DV__ROW_PUBLIC) != 0; }

static void record_audit(dv__xchg *x, int status)
{
    char action[DV_AUDIT_TEXT + 1];
    dv_err err = {0};
    if (!x->cfg->conf->audit.enabled || is_public(x))
        return;
    if (x->who.kind == DV__WHO_NONE && !room_for_stranger(x))
        return;
    /* The row's path, not the client's: names of models and keys are said elsewhere, texts of strangers nowhere. */
    snprintf(action, sizeof action, "%s %s", dv_http_method_text(x->req),
             x->row != NULL ? x->row->path : dv_http_path(x->req));
    const dv_audit_entry e = {.who = dv__xchg_who(x),
                              .action = action,
                              .outcome = outcome_of(x, status),
                              .status = status,
                              .tokens_in = x->tokens_in,
                              .tokens_out = x->tokens_out,
                              .model = x->model[0] != 0 ? x->model : NULL,
                              .detail = x->detail,
                              .prompt = x->cfg->conf->audit.prompts ? x->prompt : NULL};
    int rc = dv_audit_log(x->s->o.store, &e, NULL, NULL, &err);
    if (rc == 0)
        return;
    if (!x->s->audit_blocked)
        dv__log_printf(x->s->log, DV_CONF_LOG_ERROR, "audit log: %s", err.msg);
    x->s->audit_blocked = true;
    atomic_fetch_add_explicit(&x->s->totals.audit_refused, 1, memory_order_relaxed);
}

static void record_log(const dv__xchg *x, int status)
{
    const dv_serve *s = x->s;
    int level = is_public(x) ? DV_CONF_LOG_DEBUG : DV_CONF_LOG_INFO;
    if (!dv__log_wants(s->log, level))
        return;
    const dv__log_field fields[] = {
        {"request", dv_http_id(x->req), 0},
        {"method", dv_http_method_text(x->req), 0},
        {"path", dv_http_path(x->req), 0},
        {"status", NULL, status},
        {"ms", NULL, (double)(dv_clock_ns() - dv_http_begun_ns(x->req)) / 1e6},
        {"peer", dv_http_peer(x->req), 0},
        {"who", x->who.id, 0},
        {"model", x->model, 0},
        {"tokens_in", NULL, (double)x->tokens_in},
        {"tokens_out", NULL, (double)x->tokens_out},
    };
    size_t n = DV_ARRAY_LEN(fields);
    dv__log_line(s->log, level, "request", fields, x->model[0] != 0 ? n : n - 3);
}

void dv__record_end(dv__xchg *x)
{
    int status = dv_http_status(x->req);
    dv__totals *t = &x->s->totals;
    size_t digit = status >= 100 && status < 600 ? (size_t)status / 100 : 0;
    atomic_fetch_add_explicit(&t->status[digit], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&t->limited, x->limited, memory_order_relaxed);
    atomic_fetch_add_explicit(&t->tokens_in, x->tokens_in, memory_order_relaxed);
    atomic_fetch_add_explicit(&t->tokens_out, x->tokens_out, memory_order_relaxed);
    record_log(x, status);
    record_audit(x, status);
}

void dv__record_event(dv_serve *s, const char *what, const char *model, int code, const char *detail)
{
    const dv__log_field fields[] = {{"model", model != NULL ? model : "", 0},
                                    {"detail", detail != NULL ? detail : "", 0}};
    dv__log_line(s->log, code == 0 ? DV_CONF_LOG_INFO : DV_CONF_LOG_WARN, what, fields, DV_ARRAY_LEN(fields));
    if (!s->cfg->conf->audit.enabled)
        return;
    dv_err err = {0};
    const dv_audit_entry e = {.who = {.kind = DV_AUDIT_SYSTEM, .id = "drover"},
                              .action = what,
                              .outcome = code == 0 ? DV_AUDIT_OK : DV_AUDIT_FAILED,
                              .model = model,
                              .detail = detail};
    if (dv_audit_log(s->o.store, &e, NULL, NULL, &err) != 0)
        s->audit_blocked = true;
}
