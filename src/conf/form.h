/* SPDX-License-Identifier: MIT */
/* The form of texts in options: each check returns NULL, or what is wrong, to be put behind the value ("is no host name"). Pure. */
#ifndef DV_CONF_FORM_H
#define DV_CONF_FORM_H

#include <stdbool.h>
#include <stddef.h>

/** A host name or an IP address, without port. */
const char *dv__form_host(const char *text);
/** "https://app.example", "http://localhost:5173" or "*". RFC 6454 6.2. */
const char *dv__form_origin(const char *text);
/** The same without "*". */
const char *dv__form_allow(const char *text);
/** An address or a network in CIDR notation. */
const char *dv__form_net(const char *text);
/** http:// or https:// with a host, maybe a port and a path; no user, query or fragment. */
const char *dv__form_url(const char *text);
const char *dv__form_redis(const char *text);
/** Name of a model. */
const char *dv__form_name(const char *text);
/** Name of a profile. */
const char *dv__form_profile(const char *text);
/** Name of an environment variable. */
const char *dv__form_env(const char *text);
/** An argument for llama-server; not one that drover sets itself. */
const char *dv__form_flag(const char *text);

/** An http URL; pointers into its text. */
typedef struct dv__url {
    bool https;
    const char *host; /**< [host_len] without brackets */
    size_t host_len;
    unsigned port;
    const char *path; /**< "" or "/..." */
} dv__url;

/** False if dv__form_url refuses it. */
bool dv__url_parse(const char *text, dv__url *out);
/** The same scheme, host (in any case) and port. */
bool dv__url_same_origin(const dv__url *a, const dv__url *b);

/** A loopback address or a name below localhost (RFC 6761 6.3): cannot be reached from other machines. */
bool dv__host_is_loopback(const char *host, size_t len);

#endif
