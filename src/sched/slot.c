/* SPDX-License-Identifier: MIT */
/* Slot files: llama-server's save, restore and erase. The caller waits while the scheduler's thread does it between steps. */
#include "base/err.h"
#include "base/mem.h"
#include "sched/impl.h"

#include <string.h>

static const uint8_t no_key[16];

static int idle_slot(dv_sched *s, dv__command *c, dv__seq **q)
{
    *q = s->seq;
    while ((*q)->slot != c->slot)
        ++*q;
    return (*q)->job == NULL ? 0 : dv_fail(&c->err, DV_EBUSY, "slot %u is running", c->slot);
}

/* Saved is what of the slot's tokens is still in the prefix cache. */
static int save(dv_sched *s, dv__command *c)
{
    dv__seq *q;
    dv__kvfile_id id;
    int rc = idle_slot(s, c, &q);
    if (rc != 0)
        return rc;
    if (q->n_tok == 0)
        return dv_fail(&c->err, DV_EINVAL, "slot %u holds nothing", c->slot);
    dv_kv_seq seq;
    if ((rc = dv_kv_seq_open(&seq, &s->engine->kv, q->n_tok, &c->err)) != 0)
        return rc;
    uint32_t n = dv__prefix_take(&s->prefix, &seq, q->tokens, q->n_tok);
    if (n == 0) {
        rc = dv_fail(&c->err, DV_EINVAL, "the content of slot %u is not in memory any more", c->slot);
    } else {
        dv__kvfile_identify(&id, s->engine->gguf, &s->engine->kv);
        rc = dv__kvfile_write(c->path, &id, &s->engine->kv, no_key, q->tokens, n, seq.pages, &c->n_bytes, &c->err);
        c->n_tokens = n;
        dv__prefix_put(&s->prefix, &seq, q->tokens, n, true, false);
    }
    dv_kv_seq_close(&seq);
    return rc;
}

static int read_pages(dv_sched *s, dv__kvfile *f, dv_kv_seq *seq, dv_err *err)
{
    int rc = 0;
    for (uint32_t i = 0; i < f->n_pages && rc == 0; i++) {
        while ((rc = dv_kv_seq_reserve(seq, DV_MIN((i + 1) * DV_KV_PAGE, f->n_tok), NULL)) == DV_EBUSY &&
               dv__prefix_evict(&s->prefix))
            continue;
        if (rc != 0)
            return dv_fail(err, rc, "no room for the file's %u tokens", f->n_tok);
        rc = dv__kvfile_page(f, seq->pages[i]->data, &s->engine->kv, err);
    }
    return rc != 0 ? rc : dv__kvfile_verify(f, err);
}

static int check_tokens(const dv_sched *s, const dv__kvfile *f, dv_err *err)
{
    for (uint32_t i = 0; i < f->n_tok; i++)
        if (f->tokens[i] >= s->engine->info.n_vocab)
            return dv_fail(err, DV_EFORMAT, "token %u of the file is outside the vocabulary", i);
    return 0;
}

static int restore(dv_sched *s, dv__command *c)
{
    dv__seq *q;
    dv__kvfile_id id;
    dv__kvfile f;
    dv_kv_seq seq = {0};
    int rc = idle_slot(s, c, &q);
    if (rc != 0)
        return rc;
    dv__kvfile_identify(&id, s->engine->gguf, &s->engine->kv);
    rc = dv__kvfile_open(&f, c->path, &id, &s->engine->kv, s->engine->info.n_ctx, &c->err);
    rc = rc != 0 ? rc : check_tokens(s, &f, &c->err);
    rc = rc != 0 ? rc : dv_kv_seq_open(&seq, &s->engine->kv, f.n_tok, &c->err);
    rc = rc != 0 ? rc : read_pages(s, &f, &seq, &c->err);
    if (rc == 0) {
        dv__prefix_put(&s->prefix, &seq, f.tokens, f.n_tok, true, false);
        dv_free(q->tokens);
        q->tokens = f.tokens;
        q->n_tok = c->n_tokens = f.n_tok;
        f.tokens = NULL;
        c->n_bytes = f.n_bytes;
    } else {
        for (uint32_t i = 0; i < seq.n_pages; i++) /* a damaged page is used again, and must be finite */
            memset(seq.pages[i]->data, 0, s->engine->kv.page_bytes);
    }
    if (seq.kv != NULL)
        dv_kv_seq_close(&seq);
    dv__kvfile_close(&f);
    return rc;
}

static int erase(dv_sched *s, dv__command *c)
{
    dv__seq *q;
    int rc = idle_slot(s, c, &q);
    if (rc != 0)
        return rc;
    c->n_tokens = q->n_tok;
    q->n_tok = 0;
    return 0;
}

int dv__slot_command(dv_sched *s, dv__command *c, dv_err *err)
{
    if (c->slot >= s->o.parallel)
        return dv_fail(err, DV_EINVAL, "there is no slot %u, only 0 to %u", c->slot, s->o.parallel - 1);
    pthread_mutex_lock(&s->mutex);
    if (s->stop) {
        pthread_mutex_unlock(&s->mutex);
        return dv_fail(err, DV_EBUSY, "the server is shutting down");
    }
    c->next = s->command;
    s->command = c;
    pthread_cond_signal(&s->wake);
    while (!c->done)
        pthread_cond_wait(&s->done, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
    return c->code != 0 ? dv_fail(err, c->code, "%s", c->err.msg) : 0;
}

int dv_sched_slot_save(dv_sched *s, uint32_t slot, const char *path, uint32_t *n_tokens, uint64_t *n_bytes, dv_err *err)
{
    dv__command c = {.run = save, .slot = slot, .path = path};
    int rc = dv__slot_command(s, &c, err);
    *n_tokens = c.n_tokens;
    *n_bytes = c.n_bytes;
    return rc;
}

int dv_sched_slot_restore(dv_sched *s, uint32_t slot, const char *path, uint32_t *n_tokens, uint64_t *n_bytes,
                          dv_err *err)
{
    dv__command c = {.run = restore, .slot = slot, .path = path};
    int rc = dv__slot_command(s, &c, err);
    *n_tokens = c.n_tokens;
    *n_bytes = c.n_bytes;
    return rc;
}

int dv_sched_slot_erase(dv_sched *s, uint32_t slot, uint32_t *n_tokens, dv_err *err)
{
    dv__command c = {.run = erase, .slot = slot};
    int rc = dv__slot_command(s, &c, err);
    *n_tokens = c.n_tokens;
    return rc;
}
