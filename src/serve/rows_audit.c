/* SPDX-License-Identifier: MIT */
/* The audit log for admins. */
#include "base/attr.h"
#include "base/err.h"
#include "serve/exchange.h"
#include "serve/rows.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 10000 };

typedef struct list {
    dv_buf *b;
    unsigned n;
} list;

static bool put_row(void *arg, const dv_audit_row *r)
{
    list *l = arg;
    dv_buf_adds(l->b, l->n++ > 0 ? "," : "");
    return dv_audit_row_json(l->b, r) == 0;
}

/* The table has checked that it is a number. */
static uint64_t number(const dv__xchg *x, const char *name)
{
    const char *text = dv_http_query(x->req, name);
    return text != NULL ? strtoull(text, NULL, 10) : 0;
}

static int get_audit(dv__xchg *x, dv_err *err)
{
    const dv_audit_filter f = {.after_seq = number(x, "after"),
                               .since_ms = number(x, "since"),
                               .until_ms = number(x, "until"),
                               .limit = (uint32_t)number(x, "limit"),
                               .id = dv_http_query(x->req, "who"),
                               .action = dv_http_query(x->req, "action")};
    dv_buf b;
    dv_buf_init(&b, 0);
    list l = {.b = &b};
    dv_buf_adds(&b, "{\"rows\":[");
    int rc = dv_audit_query(x->s->o.store, &f, put_row, &l, err);
    if (rc != 0) {
        dv_buf_fini(&b);
        return rc;
    }
    dv_buf_adds(&b, "]}");
    return dv__xchg_json(x, 200, &b);
}

enum { MAX_PROBLEMS = 100 };

static void put_problem(void *arg, const dv_audit_problem *p)
{
    list *l = arg;
    if (l->n >= MAX_PROBLEMS)
        return;
    dv_buf_printf(l->b, "%s{\"seq\":%" PRIu64 ",\"text\":", l->n++ > 0 ? "," : "", p->seq);
    dv_buf_json_str(l->b, p->text, strlen(p->text));
    dv_buf_addc(l->b, '}');
}

static int get_verify(dv__xchg *x, dv_err *err)
{
    dv_audit_report r;
    dv_buf b;
    dv_buf_init(&b, 0);
    list l = {.b = &b};
    dv_buf_adds(&b, "{\"problems\":[");
    int rc = dv_audit_flush(x->s->o.store, 5000, err);
    if (rc == 0)
        rc = dv_audit_verify(x->s->o.store, NULL, put_problem, &l, &r, err);
    if (rc != 0) {
        dv_buf_fini(&b);
        return rc;
    }
    dv_buf_printf(&b,
                  "],\"ok\":%s,\"rows\":%" PRIu64 ",\"lines\":%" PRIu64 ",\"first\":%" PRIu64 ",\"last\":%" PRIu64 "}",
                  r.problems == 0 ? "true" : "false", r.rows, r.lines, r.head.first, r.head.seq);
    return dv__xchg_json(x, 200, &b);
}

#define NUMBER(n, h)                                                                  \
    {                                                                                 \
        .name = n, .types = DV__T_INT, .min = 0, .max = 9007199254740991.0, .help = h \
    }
static const dv__field fields[] = {
    NUMBER("after", "rows after this number"),
    NUMBER("since", "milliseconds since 1970"),
    NUMBER("until", "milliseconds since 1970"),
    {.name = "limit", .types = DV__T_INT, .min = 1, .max = MAX_ROWS, .help = "the newest so many; 1000"},
    {.name = "who", .types = DV__T_STR, .max_len = DV_AUDIT_TEXT, .help = "name of a key or a user, or an address"},
    {.name = "action", .types = DV__T_STR, .max_len = DV_AUDIT_TEXT},
};
static const dv__schema schema = {.name = "AuditQuery", .fields = fields, .n = DV_ARRAY_LEN(fields)};

#define AUDIT \
    .api = DV_CONF_API_APP, .style = DV_STYLE_OPENAI, .group = DV__GROUP_ADMIN, .flags = DV__ROW_ADMIN | DV__ROW_WORK
static const dv__row rows[] = {
    {DV_HTTP_GET, "/api/audit", AUDIT, .query = &schema, .handle = get_audit,
     .summary = "Rows of the audit log, oldest first", .reply = "AuditList"},
    {DV_HTTP_GET, "/api/audit/verify", AUDIT, .handle = get_verify, .summary = "Check the chain of the audit log",
     .reply = "AuditReport"},
};
const dv__rows dv__rows_audit = {rows, DV_ARRAY_LEN(rows)};
