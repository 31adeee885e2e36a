/* SPDX-License-Identifier: MIT */
/* Files become a context, connections are made from the context of the moment and hold it. Everything about bytes is bev.c's. */
#include "http/tls.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "http/tls_session.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { MAX_FILE = 1 << 20, SECURITY_LEVEL = 2 /* 112 bits: RSA from 2048 bits on, no SHA-1 */ };

struct dv_http_tls {
    pthread_mutex_t lock;
    SSL_CTX *ctx;
    int64_t expires;
};

/* What openssl says about its last failure; the queue is empty afterwards, as everybody who uses it expects. */
static const char *reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return text != NULL ? text : "unknown error";
}

static int bad_file(dv_err *err, const char *path, const char *what)
{
    return dv_fail(err, DV_EFORMAT, "%s: %s: %s", path, what, reason());
}

static void warn(const dv_http_tls_options *o, const char *path, const char *what)
{
    dv_err text = {0};
    dv_fail(&text, DV_EINVAL, "%s: %s", path, what); /* safe to print, whatever the path is */
    if (o->log != NULL)
        o->log(o->arg, DV_HTTP_LOG_WARN, text.msg);
}

/* A file as a BIO that reads from b, which the caller wipes. */
static int open_pem(BIO **out, dv_buf *b, const char *path, dv_err *err)
{
    dv_buf_init(b, MAX_FILE);
    int code = dv_file_read(b, path, err);
    if (code == DV_ELIMIT)
        return dv_err_prefix(err, "%s", path);
    if (code != 0)
        return code;
    *out = BIO_new_mem_buf(dv_buf_str(b), (int)b->len);
    return *out != NULL ? 0 : dv_fail(err, DV_ENOMEM, "%s: %s", path, dv_error_text(DV_ENOMEM));
}

static void close_pem(BIO *bio, dv_buf *b)
{
    BIO_free(bio);
    if (b->data != NULL)
        OPENSSL_cleanse(b->data, b->cap);
    dv_buf_fini(b);
}

/* Without this openssl would ask on the terminal. */
static int no_passphrase(char *buf, int size, int writing, void *arg)
{
    *(bool *)arg = true;
    return -1;
}

/* The rest of a chain, up to the file's end. */
static int add_chain(SSL_CTX *ctx, BIO *bio, const char *path, dv_err *err)
{
    X509 *next;
    while ((next = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        if (SSL_CTX_add0_chain_cert(ctx, next) != 1) {
            X509_free(next);
            return bad_file(err, path, "an intermediate certificate");
        }
    }
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return bad_file(err, path, "an intermediate certificate");
    ERR_clear_error();
    return 0;
}

static int64_t unix_time(const ASN1_TIME *t)
{
    struct tm tm;
    return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static int load_cert(SSL_CTX *ctx, const dv_http_tls_options *o, int64_t *expires, dv_err *err)
{
    dv_buf b;
    BIO *bio = NULL;
    X509 *cert = NULL;
    int code = open_pem(&bio, &b, o->cert_file, err);
    if (code == 0 && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) == NULL)
        code = bad_file(err, o->cert_file, "not a certificate in PEM");
    if (code == 0 && SSL_CTX_use_certificate(ctx, cert) != 1)
        code = bad_file(err, o->cert_file, "the certificate");
    if (code == 0)
        code = add_chain(ctx, bio, o->cert_file, err);
    if (code == 0) {
        *expires = unix_time(X509_get0_notAfter(cert));
        if (*expires < (int64_t)time(NULL))
            warn(o, o->cert_file, "the certificate has expired");
        if (unix_time(X509_get0_notBefore(cert)) > (int64_t)time(NULL))
            warn(o, o->cert_file, "the certificate is not valid yet");
    }
    X509_free(cert);
    close_pem(bio, &b);
    return code;
}

static int use_key(SSL_CTX *ctx, EVP_PKEY *key, const dv_http_tls_options *o, dv_err *err)
{
    if (X509_check_private_key(SSL_CTX_get0_certificate(ctx), key) != 1) {
        ERR_clear_error();
        return dv_fail(err, DV_EFORMAT, "%s: not the key of the certificate in %s", o->key_file, o->cert_file);
    }
    return SSL_CTX_use_PrivateKey(ctx, key) == 1 ? 0 : bad_file(err, o->key_file, "the key");
}

static int load_key(SSL_CTX *ctx, const dv_http_tls_options *o, dv_err *err)
{
    dv_buf b;
    BIO *bio = NULL;
    EVP_PKEY *key = NULL;
    bool asked = false;
    struct stat st;
    int code = open_pem(&bio, &b, o->key_file, err);
    if (code == 0 && (key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked)) == NULL) {
        code = bad_file(err, o->key_file,
                        asked ? "a key with a passphrase, which nobody could type" : "not a private key in PEM");
    }
    if (code == 0)
        code = use_key(ctx, key, o, err);
    if (code == 0 && stat(o->key_file, &st) == 0 && (st.st_mode & (S_IRGRP | S_IROTH)) != 0)
        warn(o, o->key_file, "other users can read this key: chmod 600");
    EVP_PKEY_free(key);
    close_pem(bio, &b);
    return code;
}

/* A client that speaks ALPN and not HTTP/1.1 is told so: RFC 7301 3.2. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                           unsigned in_len, void *arg)
{
    static const unsigned char http[] = "http/1.1";
    for (unsigned i = 0; i < in_len && in[i] < in_len - i; i += in[i] + 1u) {
        if (in[i] != sizeof http - 1 || memcmp(in + i + 1, http, sizeof http - 1) != 0)
            continue;
        *out = in + i + 1;
        *out_len = in[i];
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static bool set_rules(SSL_CTX *ctx, dv_http_tls_version min)
{
    SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
    /* A connection that ends without an alert ends like one without TLS: requests have lengths, so none can be cut short unseen. */
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    /* An idle connection holds no record buffers. Not SSL_MODE_ENABLE_PARTIAL_WRITE: libevent 2.1 goes on with the next extent after a part. Nor
     * read-ahead: it does not see what that has read. */
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets resume sessions, without memory here */
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
    /* Elliptic curves only: a client may ask for finite-field groups to make the server compute (CVE-2002-20001). */
    return SSL_CTX_set_min_proto_version(ctx, min == DV_HTTP_TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1 &&
           SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") == 1;
}

static int make(SSL_CTX **out, int64_t *expires, const dv_http_tls_options *o, dv_err *err)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL || !set_rules(ctx, o->min_version)) {
        SSL_CTX_free(ctx);
        return dv_fail(err, DV_ENOMEM, "tls: %s", reason());
    }
    int code = load_cert(ctx, o, expires, err);
    if (code == 0)
        code = load_key(ctx, o, err);
    if (code != 0) {
        SSL_CTX_free(ctx);
        return code;
    }
    *out = ctx;
    return 0;
}

int dv_http_tls_open(dv_http_tls **out, const dv_http_tls_options *o, dv_err *err)
{
    *out = NULL;
    dv_http_tls *t = dv_calloc(DV_MEM_HTTP, 1, sizeof *t);
    if (t == NULL)
        return dv_fail(err, DV_ENOMEM, "tls: %s", dv_error_text(DV_ENOMEM));
    int code = make(&t->ctx, &t->expires, o, err);
    if (code != 0) {
        dv_free(t);
        return code;
    }
    pthread_mutex_init(&t->lock, NULL);
    *out = t;
    return 0;
}

int dv_http_tls_reload(dv_http_tls *t, const dv_http_tls_options *o, dv_err *err)
{
    SSL_CTX *ctx, *old;
    int64_t expires;
    int code = make(&ctx, &expires, o, err);
    if (code != 0)
        return code;
    pthread_mutex_lock(&t->lock);
    old = t->ctx;
    t->ctx = ctx;
    t->expires = expires;
    pthread_mutex_unlock(&t->lock);
    SSL_CTX_free(old); /* connections hold it */
    return 0;
}

void dv_http_tls_close(dv_http_tls **tls)
{
    dv_http_tls *t = *tls;
    if (t == NULL)
        return;
    *tls = NULL;
    SSL_CTX_free(t->ctx);
    pthread_mutex_destroy(&t->lock);
    dv_free(t);
}

int64_t dv_http_tls_expires(dv_http_tls *t)
{
    pthread_mutex_lock(&t->lock);
    int64_t expires = t->expires;
    pthread_mutex_unlock(&t->lock);
    return expires;
}

SSL *dv__tls_session(dv_http_tls *t)
{
    pthread_mutex_lock(&t->lock);
    SSL *ssl = SSL_new(t->ctx);
    pthread_mutex_unlock(&t->lock);
    if (ssl == NULL)
        ERR_clear_error();
    return ssl;
}
