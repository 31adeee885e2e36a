/* SPDX-License-Identifier: MIT */
/* One exchange with the service, by libcurl: no proxies, no redirects, nothing but HTTP, every time bounded. */
#include "base/attr.h"
#include "base/base64.h"
#include "base/err.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/ask.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { CONNECT_MS = 5000, REPLY_MAX = 16 << 20, JSON_MAX = 128 << 20, CERT_MAX = 1 << 20 };

typedef struct exchange {
    const dv_ask *ask;
    CURL *curl;
    struct curl_slist *lines;
    dv_buf reply, request;
    bool in_the_clear; /* a key would have gone to another machine without TLS */
    char pin[128];
    long status;
} exchange;

/* ---- whom libcurl talks to ---- */

static bool is_loopback(const struct sockaddr *sa)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)sa;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)sa;
    if (sa->sa_family == AF_INET)
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    return sa->sa_family != AF_INET6 || IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) ||
           (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) && v6->sin6_addr.s6_addr[12] == 127);
}

/* On the address that is dialled, whatever the name was. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *sa)
{
    exchange *x = arg;
    bool plain = strncmp(x->ask->base, "http://", 7) == 0;
    if (x->ask->key[0] != 0 && plain && !x->ask->configured && !is_loopback(&sa->addr)) {
        x->in_the_clear = true;
        return CURL_SOCKET_BAD;
    }
    return socket(sa->family, sa->socktype | SOCK_CLOEXEC, sa->protocol);
}

/* The service's certificate is for the name that others know it by, not for 127.0.0.1; here its key is known. */
static int pin_certificate(exchange *x, dv_err *err)
{
    dv_buf file, text;
    unsigned char hash[EVP_MAX_MD_SIZE], *der = NULL;
    unsigned n = 0;
    dv_buf_init(&file, CERT_MAX);
    dv_buf_init(&text, 0);
    int rc = dv_file_read(&file, x->ask->cert, err);
    BIO *bio = rc == 0 ? BIO_new_mem_buf(dv_buf_str(&file), (int)file.len) : NULL;
    X509 *cert = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    int len = cert != NULL ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der) : 0;
    if (len > 0 && EVP_Digest(der, (size_t)len, hash, &n, EVP_sha256(), NULL) == 1) {
        dv_buf_adds(&text, "sha256//");
        dv_buf_base64(&text, hash, n);
        snprintf(x->pin, sizeof x->pin, "%s", dv_buf_str(&text));
    } else if (rc == 0) {
        rc = dv_fail(err, DV_EFORMAT, "%s: it is no certificate in PEM", x->ask->cert);
    }
    ERR_clear_error();
    OPENSSL_free(der);
    X509_free(cert);
    BIO_free(bio);
    dv_buf_fini(&file);
    dv_buf_fini(&text);
    return rc;
}

/* ---- setting up ---- */

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    return dv_buf_add(arg, p, size * n) == 0 ? size * n : 0;
}

static unsigned set_policy(exchange *x, unsigned timeout_s)
{
    CURL *e = x->curl;
    unsigned bad = 0;
    bad |= curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    bad |= curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    bad |= curl_easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L);
    bad |= curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    bad |= curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
    bad |= curl_easy_setopt(e, CURLOPT_PROXY, "");
    bad |= curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    bad |= curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    bad |= curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    bad |= curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L); /* an order may wait for long without a byte */
    bad |= curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    bad |= curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)timeout_s * 1000);
    bad |= curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    bad |= curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, x);
    bad |= curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    bad |= curl_easy_setopt(e, CURLOPT_WRITEDATA, &x->reply);
    if (x->ask->socket[0] != 0)
        bad |= curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, x->ask->socket);
    return bad;
}

static unsigned set_trust(exchange *x)
{
    CURL *e = x->curl;
    bool own = x->pin[0] != 0;
    unsigned bad = 0;
    bad |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, own ? 0L : 1L);
    bad |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, own ? 0L : 2L);
    if (own)
        bad |= curl_easy_setopt(e, CURLOPT_PINNEDPUBLICKEY, x->pin);
    else if (x->ask->ca[0] != 0)
        bad |= curl_easy_setopt(e, CURLOPT_CAINFO, x->ask->ca);
    return bad;
}

static bool add_line(exchange *x, const char *line)
{
    struct curl_slist *l = curl_slist_append(x->lines, line);
    x->lines = l != NULL ? l : x->lines;
    return l != NULL;
}

static bool add_lines(exchange *x)
{
    char line[DV_ASK_KEY_CAP + 32];
    bool ok = add_line(x, "Expect:") && add_line(x, "Content-Type: application/json");
    if (x->ask->key[0] != 0) {
        snprintf(line, sizeof line, "Authorization: Bearer %s", x->ask->key);
        ok = ok && add_line(x, line);
        explicit_bzero(line, sizeof line);
    }
    return ok;
}

static bool set_request(exchange *x, const char *path, const json_t *body)
{
    dv_buf url;
    unsigned bad = 0;
    dv_buf_init(&url, 0);
    dv_buf_printf(&url, "%s%s", x->ask->base, path);
    bad |= curl_easy_setopt(x->curl, CURLOPT_URL, dv_buf_str(&url)); /* copied */
    bad |= url.code != 0;
    dv_buf_fini(&url);
    if (body != NULL) {
        bad |= dv_json_dump(&x->request, body, JSON_COMPACT) != 0;
        bad |= curl_easy_setopt(x->curl, CURLOPT_POST, 1L);
        bad |= curl_easy_setopt(x->curl, CURLOPT_POSTFIELDS, dv_buf_str(&x->request));
        bad |= curl_easy_setopt(x->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)x->request.len);
    }
    bad |= !add_lines(x);
    bad |= curl_easy_setopt(x->curl, CURLOPT_HTTPHEADER, x->lines);
    return bad == 0;
}

/* ---- what it came to ---- */

static int fail_transport(const exchange *x, CURLcode code, dv_err *err)
{
    const dv_ask *a = x->ask;
    if (x->in_the_clear)
        return dv_fail(err, DV_EACCES, "%s is another machine: the key of %s is not sent to it in the clear; use https",
                       a->shown, a->key_from);
    if (x->reply.code != 0)
        return dv_fail(err, x->reply.code, "%s: the answer is too large to be drover's", a->shown);
    switch (code) {
    case CURLE_COULDNT_CONNECT:
        return dv_fail(err, DV_EIO, "drover serve is not running at %s: start it, or say where it is with --url",
                       a->shown);
    case CURLE_COULDNT_RESOLVE_HOST: return dv_fail(err, DV_EIO, "%s: there is no host of this name", a->shown);
    case CURLE_OPERATION_TIMEDOUT: return dv_fail(err, DV_EIO, "%s does not answer in time", a->shown);
    case CURLE_PEER_FAILED_VERIFICATION:
        return dv_fail(err, DV_EIO, "%s: its certificate is not one that is trusted here (--ca-file names others)",
                       a->shown);
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
        return dv_fail(
            err, DV_EIO,
            "%s: its certificate is not the one in %s: it is another server, or has to read that file again (SIGHUP)",
            a->shown, a->cert);
    case CURLE_SSL_CACERT_BADFILE: return dv_fail(err, DV_EIO, "%s: there are no certificates in PEM in it", a->ca);
    case CURLE_SSL_CONNECT_ERROR: return dv_fail(err, DV_EIO, "%s: no TLS: is it http?", a->shown);
    case CURLE_OUT_OF_MEMORY: return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    default: return dv_fail(err, DV_EIO, "%s: %s", a->shown, curl_easy_strerror(code));
    }
}

/* What the server says of the failure, in any of the shapes that it has; NULL: nothing. */
static const char *says(const json_t *reply)
{
    const json_t *e = json_object_get(reply, "error");
    return json_is_string(e) ? json_string_value(e) : dv_ask_text(e, "message");
}

static int fail_identity(const dv_ask *a, dv_err *err)
{
    if (a->key[0] != 0)
        return dv_fail(err, DV_EAUTH,
                       "%s does not accept the key of %s: it is not one of its keys, was revoked, or has expired",
                       a->shown, a->key_from);
    if (a->key_missing[0] != 0)
        return dv_fail(err, DV_EAUTH,
                       "%s wants an API key; this user may not read %s: give another with --key-file or DROVER_API_KEY",
                       a->shown, a->key_missing);
    return dv_fail(err, DV_EAUTH,
                   "%s wants an API key: give it with --key-file or DROVER_API_KEY (`drover key create` makes one)",
                   a->shown);
}

static int fail_right(const dv_ask *a, const char *said, dv_err *err)
{
    if (a->key[0] != 0)
        return dv_fail(err, DV_EACCES, "the key of %s may not do this: %s", a->key_from, said);
    return dv_fail(err, DV_EACCES,
                   "%s; without a key nobody may: give an administrator's with --key-file or DROVER_API_KEY%s%s", said,
                   a->key_missing[0] != 0 ? "; this user may not read " : "", a->key_missing);
}

static int fail_status(const exchange *x, const json_t *reply, dv_err *err)
{
    const dv_ask *a = x->ask;
    const char *said = says(reply);
    if (said == NULL)
        return dv_fail(err, DV_EFORMAT, "what answers at %s is not drover serve (status %ld)", a->shown, x->status);
    switch (x->status) {
    case 401: return fail_identity(a, err);
    case 403: return fail_right(a, said, err);
    case 404: return dv_fail(err, DV_ENOENT, "%s", said);
    case 429:
    case 503: return dv_fail(err, DV_EBUSY, "%s: %s", a->shown, said);
    default: return dv_fail(err, x->status < 500 ? DV_EINVAL : DV_EIO, "%s: %s", a->shown, said);
    }
}

static int take_reply(const exchange *x, json_t **out, dv_err *err)
{
    json_error_t e;
    bool no_memory = false;
    dv_json_bound_begin(JSON_MAX);
    json_t *v =
        dv_json_load(x->reply.data != NULL ? x->reply.data : "", x->reply.len, JSON_REJECT_DUPLICATES, &e, &no_memory);
    dv_json_bound_end();
    int rc = 0;
    if (no_memory)
        rc = dv_fail(err, DV_ENOMEM, "%s: %s", x->ask->shown, dv_error_text(DV_ENOMEM));
    else if (x->status != 200)
        rc = fail_status(x, v, err);
    else if (!json_is_object(v))
        rc = dv_fail(err, DV_EFORMAT, "what answers at %s is not drover serve", x->ask->shown);
    if (rc == 0)
        *out = v;
    else
        json_decref(v);
    return rc;
}

static void end(exchange *x)
{
    for (struct curl_slist *l = x->lines; l != NULL; l = l->next)
        explicit_bzero(l->data, strlen(l->data)); /* the key is in one */
    curl_slist_free_all(x->lines);
    curl_easy_cleanup(x->curl);
    dv_buf_fini(&x->reply);
    dv_buf_fini(&x->request);
}

int dv_ask_send(const dv_ask *a, const char *path, const json_t *body, unsigned timeout_s, json_t **out, dv_err *err)
{
    exchange x = {.ask = a};
    *out = NULL;
    dv_buf_init(&x.reply, REPLY_MAX);
    dv_buf_init(&x.request, 0);
    dv_err why = {0};
    int rc = a->cert[0] != 0 ? pin_certificate(&x, &why) : 0;
    if (rc != 0 && rc != DV_EACCES) /* a file that is not for this user: then as with any other server */
        return dv_fail(err, rc, "%s", why.msg);
    x.curl = curl_easy_init();
    if (x.curl == NULL || (set_policy(&x, timeout_s) | set_trust(&x)) != 0 || !set_request(&x, path, body)) {
        end(&x);
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    }
    CURLcode code = curl_easy_perform(x.curl);
    curl_easy_getinfo(x.curl, CURLINFO_RESPONSE_CODE, &x.status);
    rc = code != CURLE_OK ? fail_transport(&x, code, err) : take_reply(&x, out, err);
    end(&x);
    return rc;
}
