/* SPDX-License-Identifier: MIT */
/* Configurations from texts. */
#ifndef DV_CONF_UTIL_H
#define DV_CONF_UTIL_H

#include "base/mem.h"
#include "conf/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const cu_home[] = {"HOME=/h/me", NULL};

static inline dv_conf_input cu_input(const char *text)
{
    return (dv_conf_input){
        .file = "/etc/drover/drover.yaml", .text = text, .len = strlen(text), .env = cu_home, .dir = "/cwd"};
}

static inline dv_conf *cu_open_input(const dv_conf_input *in)
{
    dv_conf *c = NULL;
    dv_err err = {0};
    if (dv_conf_open(&c, in, &err) != 0)
        fail_msg("%s\n%s", err.msg, in->text);
    return c;
}

static inline dv_conf *cu_open(const char *text)
{
    dv_conf_input in = cu_input(text);
    return cu_open_input(&in);
}

/* The message of a configuration that is refused, without "/etc/drover/" in front of the file's name. */
static inline const char *cu_refused_input(const dv_conf_input *in, int code)
{
    static dv_err err;
    dv_conf *c = NULL;
    err = (dv_err){0};
    int rc = dv_conf_open(&c, in, &err);
    if (rc == 0)
        fail_msg("taken:\n%s", in->text);
    assert_null(c);
    assert_int_equal(rc, err.code);
    assert_int_equal(rc, code);
    return strncmp(err.msg, "/etc/drover/", 12) == 0 ? err.msg + 12 : err.msg;
}

static inline const dv_conf_option *cu_option(const char *name)
{
    const dv_conf_option *o = dv_conf_option_find(name);
    if (o == NULL)
        fail_msg("there is no option %s", name);
    return o;
}

/* The configuration itself, or the first of a list that the file has. */
static inline const void *cu_first(const dv_conf *c, dv_conf_scope scope)
{
    switch (scope) {
    case DV_CONF_LISTENER: return &c->listeners[0];
    case DV_CONF_MODEL: return &c->models[0];
    case DV_CONF_PROFILE:
        for (size_t i = 0; i < c->n_profiles; i++)
            if (c->profiles[i].listed)
                return &c->profiles[i];
        fail_msg("no profile is listed");
        return NULL;
    default: return c;
    }
}

/* "VALUE (SOURCE)" of an option in object. */
static inline const char *cu_shown(const char *name, const void *object)
{
    static char text[2][1024];
    static int turn;
    const dv_conf_option *o = cu_option(name);
    dv_buf b;
    dv_buf_init(&b, 0);
    dv_conf_value_text(&b, o, object);
    dv_buf_adds(&b, " (");
    dv_conf_source_text(&b, dv_conf_source_of(o, object));
    turn = !turn;
    snprintf(text[turn], sizeof text[turn], "%s)", dv_buf_str(&b));
    dv_buf_fini(&b);
    return text[turn];
}

#endif
