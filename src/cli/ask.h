/* SPDX-License-Identifier: MIT */
/* Requests to a running `drover serve`: where it is, who asks, and what its refusals mean for people. What a server answers is hostile input:
 * bounded, and escaped before anybody sees it. */
#ifndef DV_CLI_ASK_H
#define DV_CLI_ASK_H

#include "base/buf.h"
#include "cli/cmd.h"
#include "conf/conf.h"

#include <jansson.h>
#include <limits.h>

typedef struct dv_ask_opts {
    const char *url, *key_file, *ca_file;
    bool json;
} dv_ask_opts;

/** Their rows; S is the command's struct of values, field its dv_ask_opts. */
/* clang-format off */
#define DV_OPT_ROWS_ASK(S, field)                                                                                                     \
    {.name = "url", .type = DV_OPT_STRING, .value = "URL", .offset = offsetof(S, field.url),                                          \
     .help = "Where drover serve is: http://HOST:PORT, https://HOST:PORT or unix:PATH (default: DROVER_URL, else listen.app of the "  \
             "configuration)"},                                                                                                       \
    {.name = "key-file", .type = DV_OPT_STRING, .value = "FILE", .offset = offsetof(S, field.key_file),                               \
     .help = "File with an API key (default: the key in DROVER_API_KEY, else admin.key in the data folder)"},                         \
    {.name = "ca-file", .type = DV_OPT_STRING, .value = "FILE", .offset = offsetof(S, field.ca_file),                                 \
     .help = "Certificates in PEM that an https server's must come from (default: the system's)"},                                    \
    {.name = "json", .type = DV_OPT_FLAG, .offset = offsetof(S, field.json), .help = "The server's answer, one JSON object"}
/* clang-format on */

enum { DV_ASK_KEY_CAP = 1024, DV_ASK_URL_CAP = 512 };

typedef struct dv_ask {
    char base[DV_ASK_URL_CAP];    /**< "http://127.0.0.1:3001" */
    char shown[DV_ASK_URL_CAP];   /**< how people know it: base, or "unix:/run/drover.sock" */
    char socket[PATH_MAX];        /**< of a unix socket; "" */
    char ca[PATH_MAX];            /**< --ca-file; "" */
    char cert[PATH_MAX];          /**< the configuration's certificate, whose key the server must have; "" */
    char key[DV_ASK_KEY_CAP];     /**< ""; wiped by dv_ask_close */
    char key_from[PATH_MAX + 64]; /**< how people know the key: "DROVER_API_KEY", a path; "" */
    char
        key_missing[PATH_MAX +
                    64]; /**< without a key: where one may be, for an error: "", or a path that this user cannot read */
    bool configured;     /**< the address is the configuration's: a server of this machine */
} dv_ask;

/**
 * Parse as dv_opt_parse does, with --config and --set besides, and find out where to ask and with which key. The key goes to servers of this
 * machine, and with TLS to others; the one in the data folder to servers of this machine only.
 * @param o  the field of values that DV_OPT_ROWS_ASK fills
 * @return   false: *exit_code is what the command must return; help or an error was printed. True: dv_ask_close ends it
 */
bool dv_ask_parse(const dv_cmd *cmd, int argc, char **argv, void *values, size_t size, dv_ask_opts *o, dv_ask *a,
                  size_t *n_args, int *exit_code) DV_WARN_UNUSED;
void dv_ask_close(dv_ask *a);

/**
 * Read a URL: "http://HOST[:PORT]", "https://...", "unix:PATH". Fills base, shown and socket.
 * @param local  whether it can only be this machine
 * Errors: DV_EINVAL.
 */
int dv_ask_url(dv_ask *a, const char *url, bool *local, dv_err *err);

/** The same of a listener of this machine; its certificate is known. Errors: DV_EINVAL (it may be at any port). */
int dv_ask_listener(dv_ask *a, const dv_conf_listener *l, dv_err *err);

/**
 * GET path, or POST body to it if there is one, and wait for the answer.
 * @param path       "/api/models"; of visible ASCII
 * @param timeout_s  for all of it
 * @param out        an object, owned by the caller; NULL on failure
 * Errors, as sentences that say what to do: DV_EIO (no server, no answer), DV_EFORMAT (not drover's answer), DV_EAUTH, DV_EACCES, DV_ENOENT,
 * DV_EBUSY, DV_EINVAL (the server's words), DV_ENOMEM.
 */
int dv_ask_send(const dv_ask *a, const char *path, const json_t *body, unsigned timeout_s, json_t **out, dv_err *err);

enum { DV_ASK_SHORT_S = 30, DV_ASK_LONG_S = 3600 }; /* a question; an order, which waits for a model */

/** Append the part of a path that name is, percent-encoded. */
void dv_ask_path(dv_buf *b, const char *name);
/** Print v in one line of ASCII. Returns an exit code. */
int dv_ask_print_json(const dv_cmd *cmd, const json_t *v);
/** The text, or number that is not negative, of a member; NULL, 0 if it is none. */
const char *dv_ask_text(const json_t *object, const char *name);
uint64_t dv_ask_number(const json_t *object, const char *name);
/** The array that member name of an answer is. Errors: DV_EFORMAT (it is none). */
int dv_ask_array(const json_t *object, const char *name, const json_t **out, dv_err *err);
/** An answer does not look like drover's: DV_EFORMAT. */
int dv_ask_fail_shape(dv_err *err);
/** err says that there is no such model: say where to look. Returns DV_ENOENT. */
int dv_ask_no_model(dv_err *err);

#endif
