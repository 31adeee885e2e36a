/* SPDX-License-Identifier: MIT */
/* Asking, and asking again. */
#include "base/err.h"
#include "provider/impl.h"

#include <string.h>

enum { PAUSE_MS = 300 }; /* in which a server that is supervised may be back */

static int ask_once(dv_provider *p, dv__question *q, const char *url, dv_err *err)
{
    q->t = (dv__transfer){.url = url,
                          .profile = p->is_owned ? NULL : q->profile,
                          .body = q->body,
                          .n_body = q->n_body,
                          .silence_ms = q->silence_ms,
                          .total_ms = q->total_ms,
                          .on_data = q->on_data,
                          .arg = q->arg};
    int rc = p->is_owned ? dv__owned_ensure(&p->owned, &p->wire, q->profile, err) : 0;
    atomic_store(&p->pid, p->owned.process.there ? (int)p->owned.process.pid : 0);
    if (rc == 0)
        rc = dv__transfer_run(&p->wire, &q->t, err);
    /* Somebody has told our own engine to end: it refuses what comes, and is gone in a moment. */
    if (rc == DV_EBUSY && p->is_owned)
        q->t.gone = dv__owned_ends(&p->owned);
    if ((rc == 0 || (q->t.gone && rc == DV_EIO)) && q->on_end != NULL) {
        /* A reply without a length that is cut looks like one that is complete; one that is complete may end badly. */
        dv_err why = {0};
        int end = q->on_end(q->arg, &q->t, &why);
        if (rc != 0 && end == 0)
            err->code = rc = 0;
        else if (rc == 0 && end != 0)
            rc = dv_fail(err, end, "%s", why.msg);
    }
    if (q->t.slow && p->is_owned)
        p->owned.suspect = true;
    return rc;
}

/* What is needed before it makes sense to ask again. */
static void prepare(dv_provider *p, dv__question *q)
{
    q->retried = true;
    if (q->on_again != NULL)
        q->on_again(q->arg);
    if (p->is_owned)
        dv__owned_lost(&p->owned);
    else
        dv__wire_sleep(&p->wire, PAUSE_MS);
}

int dv__ask(dv_provider *p, dv__question *q, dv_err *err)
{
    dv_buf url;
    dv_err why = {0};
    dv_buf_init(&url, 0);
    dv_buf_printf(&url, "%s%s", q->base, q->path);
    if (url.code != 0)
        return dv_fail(err, url.code, "%s", dv_error_text(url.code));
    q->retried = false;
    int rc = ask_once(p, q, url.data, &why);
    if (rc != 0 && q->t.gone && (q->is_final == NULL || !q->is_final(q->arg)) && !dv__wire_canceled(&p->wire)) {
        prepare(p, q);
        why = (dv_err){0};
        rc = dv__wire_canceled(&p->wire) ? dv_fail(&why, DV_ECANCELED, "%s", dv_error_text(DV_ECANCELED))
                                         : ask_once(p, q, url.data, &why);
    }
    dv_buf_fini(&url);
    return rc != 0 ? dv_fail(err, rc, "%s", why.msg[0] != 0 ? why.msg : dv_error_text(rc)) : 0;
}
