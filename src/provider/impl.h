/* SPDX-License-Identifier: MIT */
#ifndef DV_PROVIDER_IMPL_H
#define DV_PROVIDER_IMPL_H

#include "provider/answer.h"
#include "provider/owned.h"
#include "provider/transfer.h"

#include <stdatomic.h>

struct dv_provider {
    dv_arena arena;         /* of what does not change */
    const char *api, *root; /* URLs that paths are appended to: of OpenAI's API, of drover's */
    const char *socket, *ca_file;
    char *key;
    unsigned silence_ms, total_ms;
    char *model, *profile; /* of requests that name none; NULL: none. Change with dv_provider_switch_model */
    bool is_owned;
    dv__owned owned;
    dv__wire wire;
    atomic_int pid;      /* the own engine's, for any thread to read */
    dv__answer answer;   /* the last one */
    dv_arena list_arena; /* the last list of models */
    dv_provider_model *list;
    size_t n_list;
};

typedef struct dv__question {
    const char *base, *path; /* base is p->api or p->root */
    const char *profile;
    const char *body; /* [n_body] NULL: GET */
    size_t n_body;
    unsigned silence_ms, total_ms;
    int (*on_data)(void *arg, dv__transfer *t, const char *p, size_t n, bool *enough);
    /* The reply is complete, or so it seems: 0, or what is wrong with it. Sets t->gone where it was cut. */
    int (*on_end)(void *arg, dv__transfer *t, dv_err *err);
    void (*on_again)(void *arg); /* what came is void: the question is asked again */
    bool (*is_final)(void *arg); /* it cannot be asked again; NULL: it can */
    void *arg;
    dv__transfer t; /* what came of it */
    bool retried;
} dv__question;

/**
 * Ask: with the own engine running, and once more if the server is gone.
 * Errors: those of dv__owned_ensure, dv__transfer_run, on_end.
 */
int dv__ask(dv_provider *p, dv__question *q, dv_err *err);

/** A copy of s in *to, which is freed; s may be NULL. Errors: DV_ENOMEM, *to is as it was. */
int dv__set_text(char **to, const char *s, dv_err *err);
/** May it be a profile's name in a request or for an own engine? NULL may. Errors: DV_EINVAL. */
int dv__check_profile(const dv_provider *p, const char *profile, dv_err *err);

#endif
