/* SPDX-License-Identifier: MIT */
/* TLS of listeners: files that are good and bad, and a server whose files change while clients come and go. */
#include "base/mem.h"
#include "http/server.h"
#include "http/tls.h"
#include "tls_make.h"

#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { DAY = 24 * 3600, N_CLIENTS = 3, N_ROUNDS = 20, N_RELOADS = 30 };

static char folder[] = "/tmp/drover-tls-XXXXXX";
static char cert[64], key[64], other_cert[64], other_key[64], scratch[64], scratch_key[64];
static unsigned n_warnings;
static char warning[512];

static void on_log(void *arg, int level, const char *text)
{
    n_warnings += level == DV_HTTP_LOG_WARN;
    snprintf(warning, sizeof warning, "%s", text);
}

static dv_http_tls_options files(const char *cert_file, const char *key_file)
{
    n_warnings = 0;
    return (dv_http_tls_options){.cert_file = cert_file, .key_file = key_file, .log = on_log};
}

static void write_text(const char *path, const char *text, size_t times)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (size_t i = 0; i < times; i++)
        fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
    struct {
        char *path;
        const char *name;
    } rows[] = {{cert, "a.pem"},      {key, "a.key"},       {other_cert, "b.pem"},
                {other_key, "b.key"}, {scratch, "scratch"}, {scratch_key, "scratch.key"}};
    signal(SIGPIPE, SIG_IGN); /* the clients here write by openssl, too */
    if (mkdtemp(folder) == NULL)
        return -1;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        snprintf(rows[i].path, sizeof cert, "%s/%s", folder, rows[i].name);
    return tls_write_pair(cert, key, "first", -DAY, 10 * DAY) &&
                   tls_write_pair(other_cert, other_key, "second", -DAY, 20 * DAY)
               ? 0
               : -1;
}

static int teardown(void **state)
{
    const char *const all[] = {cert, key, other_cert, other_key, scratch, scratch_key};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        unlink(all[i]);
    return rmdir(folder);
}

static void expect(const char *cert_file, const char *key_file, int code, const char *named)
{
    dv_http_tls *t = (dv_http_tls *)1;
    dv_err err = {0};
    dv_http_tls_options o = files(cert_file, key_file);
    assert_int_equal(dv_http_tls_open(&t, &o, &err), code);
    assert_null(t);
    if (strstr(err.msg, named) == NULL)
        fail_msg("\"%s\" does not have \"%s\"", err.msg, named);
    assert_int_equal(ERR_peek_error(), 0); /* nothing is left for the next user of openssl */
}

static void test_bad_files(void **state)
{
    expect("/nonexistent/c", key, DV_ENOENT, "/nonexistent/c");
    expect(cert, "/nonexistent/k", DV_ENOENT, "/nonexistent/k");
    expect(folder, key, DV_EINVAL, folder);
    expect(cert, "/dev/null", DV_EINVAL, "/dev/null");
    expect(key, key, DV_EFORMAT, "a.key: not a certificate in PEM");
    expect(cert, cert, DV_EFORMAT, "a.pem: not a private key in PEM");
    expect(cert, other_key, DV_EFORMAT, "b.key: not the key of the certificate in ");
    write_text(scratch, "", 0);
    expect(scratch, key, DV_EFORMAT, "scratch: not a certificate");
    expect(cert, scratch, DV_EFORMAT, "scratch: not a private key");
    write_text(scratch, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 1);
    expect(scratch, key, DV_EFORMAT, "scratch: not a certificate");
    write_text(scratch, "0123456789abcdef", (1 << 16) + 1);
    expect(scratch, key, DV_ELIMIT, "scratch: ");
    expect(cert, scratch, DV_ELIMIT, "scratch: ");
}

static void test_bad_keys(void **state)
{
    EVP_PKEY *weak = EVP_RSA_gen(1024), *good = tls_make_key();
    X509 *c = tls_make_cert(weak, "weak", -DAY, DAY);
    assert_true(tls_write_cert(scratch, "w", c) && tls_write_key(scratch_key, "w", weak, NULL));
    expect(scratch, scratch_key, DV_EFORMAT, "ee key too small");
    X509_free(c);
    EVP_PKEY_free(weak);
    c = tls_make_cert(good, "good", -DAY, DAY);
    assert_true(tls_write_cert(scratch, "w", c) && tls_write_key(scratch_key, "w", good, "secret"));
    expect(scratch, scratch_key, DV_EFORMAT, "a key with a passphrase");
    X509_free(c);
    EVP_PKEY_free(good);
}

/* The second certificate of a file counts, too. */
static void test_chain(void **state)
{
    dv_http_tls *t = NULL;
    EVP_PKEY *k = tls_make_key();
    X509 *c = tls_make_cert(k, "leaf", -DAY, DAY), *ca = tls_make_cert(k, "ca", -DAY, DAY);
    assert_true(tls_write_cert(scratch, "w", c) && tls_write_cert(scratch, "a", ca) &&
                tls_write_key(scratch, "a", k, NULL));
    dv_http_tls_options o = files(scratch, scratch); /* certificates and key in one file */
    assert_int_equal(dv_http_tls_open(&t, &o, NULL), 0);
    assert_int_equal(n_warnings, 0);
    dv_http_tls_close(&t);
    X509_free(c);
    X509_free(ca);
    EVP_PKEY_free(k);
    FILE *f = fopen(scratch, "a");
    assert_non_null(f);
    fputs("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", f);
    fclose(f);
    expect(scratch, scratch, DV_EFORMAT, "scratch: an intermediate certificate");
}

static void warns(long from, long to, unsigned mode, const char *what)
{
    dv_http_tls *t = NULL;
    assert_true(tls_write_pair(scratch, scratch_key, "w", from, to));
    assert_int_equal(chmod(scratch_key, mode), 0);
    dv_http_tls_options o = files(scratch, scratch_key);
    assert_int_equal(dv_http_tls_open(&t, &o, NULL), 0);
    assert_int_equal(n_warnings, what != NULL);
    if (what != NULL)
        assert_non_null(strstr(warning, what));
    int64_t left = dv_http_tls_expires(t) - (int64_t)time(NULL);
    assert_true(left >= to - 60 && left <= to);
    o.log = NULL; /* nobody listens */
    assert_int_equal(dv_http_tls_reload(t, &o, NULL), 0);
    dv_http_tls_close(&t);
    dv_http_tls_close(&t);
}

static void test_warnings(void **state)
{
    warns(-DAY, DAY, 0600, NULL);
    warns(-DAY, DAY, 0400, NULL);
    warns(-DAY, DAY, 0640, "scratch.key: other users can read this key");
    warns(-DAY, DAY, 0604, "scratch.key: other users can read this key");
    warns(-2 * DAY, -DAY, 0600, "scratch: the certificate has expired");
    warns(DAY, 2 * DAY, 0600, "scratch: the certificate is not valid yet");
}

static void test_no_memory(void **state)
{
    dv_http_tls_options o = files(cert, key);
    int code = DV_ENOMEM;
    for (uint64_t i = 1; code != 0; i++) {
        dv_http_tls *t = NULL;
        size_t used = dv_mem_used(DV_MEM_CAT_N);
        assert_true(i < 100);
        dv_mem_fail_after(i);
        code = dv_http_tls_open(&t, &o, NULL);
        dv_mem_fail_after(0);
        assert_true(code == 0 || (code == DV_ENOMEM && t == NULL));
        dv_http_tls_close(&t);
        assert_int_equal(dv_mem_used(DV_MEM_CAT_N), used);
    }
}

/* A server that answers everything with the path, and its thread. */
typedef struct site {
    dv_http_server *http;
    dv_http_tls *tls;
    uint16_t port;
    pthread_t thread;
} site;

static void on_request(void *arg, dv_http_req *r)
{
    const char *path = dv_http_path(r);
    dv_http_reply(r, dv_http_is_tls(r) ? 200 : 500, "text/plain", path, strlen(path));
}

static void *io(void *arg)
{
    dv_http_server *s = arg;
    return dv_http_run(s) == 0 ? s : NULL;
}

static void site_open(site *s, const dv_http_tls_options *t)
{
    dv_http_options o;
    *s = (site){0};
    dv_http_options_init(&o);
    o.on_request = on_request;
    assert_int_equal(dv_http_tls_open(&s->tls, t, NULL), 0);
    assert_int_equal(dv_http_open(&s->http, &o, NULL), 0);
    const dv_http_where w = {.host = "127.0.0.1", .tls = s->tls};
    assert_int_equal(dv_http_listen(s->http, &w, &s->port, NULL), 0);
    const dv_http_where none = {.path = scratch, .mode = 0600, .tls = s->tls};
    assert_int_equal(dv_http_listen(s->http, &none, NULL, NULL), DV_EINVAL);
    assert_int_equal(pthread_create(&s->thread, NULL, io, s->http), 0);
}

static void site_close(site *s)
{
    void *ran = NULL;
    dv_http_stop(s->http);
    pthread_join(s->thread, &ran);
    assert_ptr_equal(ran, s->http);
    dv_http_close(&s->http);
    dv_http_tls_close(&s->tls);
}

/* A client's connection with its handshake done; NULL if there is none. */
static SSL *client(SSL_CTX *ctx, uint16_t port, SSL_SESSION *session)
{
    const struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    SSL *ssl = SSL_new(ctx);
    BIO *bio = BIO_new_socket(fd, BIO_CLOSE);
    SSL_set_bio(ssl, bio, bio);
    if (session != NULL)
        SSL_set_session(ssl, session);
    if (connect(fd, (const struct sockaddr *)&sa, sizeof sa) == 0 && SSL_connect(ssl) == 1)
        return ssl;
    SSL_free(ssl);
    return NULL;
}

/* One exchange; the reply's end is known by its length. */
static bool ask(SSL *ssl, const char *path, bool last)
{
    char text[1024];
    size_t n = 0;
    int len =
        snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n", path, last ? "Connection: close\r\n" : "");
    if (SSL_write(ssl, text, len) != len)
        return false;
    while (n < sizeof text - 1) {
        int k = SSL_read(ssl, text + n, (int)(sizeof text - 1 - n));
        if (k <= 0)
            return false;
        n += (size_t)k;
        text[n] = 0;
        const char *body = strstr(text, "\r\n\r\n");
        if (body != NULL && strcmp(body + 4, path) == 0)
            return strncmp(text, "HTTP/1.1 200 ", 13) == 0;
    }
    return false;
}

static void test_exchange(void **state)
{
    site s;
    dv_http_tls_options o = files(cert, key);
    site_open(&s, &o);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    static const unsigned char protocols[] = "\x02h2\x08http/1.1";
    SSL_CTX_set_alpn_protos(ctx, protocols, sizeof protocols - 1);
    SSL *ssl = client(ctx, s.port, NULL);
    assert_non_null(ssl);
    assert_int_equal(SSL_version(ssl), TLS1_3_VERSION);
    const unsigned char *chosen;
    unsigned len;
    SSL_get0_alpn_selected(ssl, &chosen, &len);
    assert_true(len == 8 && memcmp(chosen, "http/1.1", 8) == 0);
    assert_true(ask(ssl, "/one", false));
    assert_true(ask(ssl, "/two", true));
    /* The end is said, not just made. */
    char c;
    int n = SSL_read(ssl, &c, 1);
    assert_int_equal(SSL_get_error(ssl, n), SSL_ERROR_ZERO_RETURN);
    /* A session can be taken up again, if its first connection was ended properly. */
    SSL_SESSION *session = SSL_get1_session(ssl);
    SSL_shutdown(ssl);
    SSL_free(ssl);
    ssl = client(ctx, s.port, session);
    assert_non_null(ssl);
    assert_true(SSL_session_reused(ssl));
    assert_true(ask(ssl, "/three", false));
    SSL_free(ssl);
    SSL_SESSION_free(session);
    SSL_CTX_free(ctx);
    site_close(&s);
}

static void test_versions(void **state)
{
    const struct {
        dv_http_tls_version min;
        int client;
        bool ok;
    } rows[] = {{DV_HTTP_TLS_1_2, TLS1_1_VERSION, false},
                {DV_HTTP_TLS_1_2, TLS1_2_VERSION, true},
                {DV_HTTP_TLS_1_2, TLS1_3_VERSION, true},
                {DV_HTTP_TLS_1_3, TLS1_2_VERSION, false},
                {DV_HTTP_TLS_1_3, TLS1_3_VERSION, true}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        site s;
        dv_http_tls_options o = files(cert, key);
        o.min_version = rows[i].min;
        site_open(&s, &o);
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_security_level(ctx, 0);
        SSL_CTX_set_min_proto_version(ctx, rows[i].client);
        SSL_CTX_set_max_proto_version(ctx, rows[i].client);
        SSL *ssl = client(ctx, s.port, NULL);
        assert_int_equal(ssl != NULL, rows[i].ok);
        if (ssl != NULL)
            assert_true(ask(ssl, "/v", false));
        else
            assert_int_equal(ERR_GET_REASON(ERR_peek_last_error()), SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
        ERR_clear_error();
        SSL_free(ssl);
        SSL_CTX_free(ctx);
        site_close(&s);
    }
}

static atomic_uint n_ok;

static void *come_and_go(void *arg)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    for (int i = 0; i < N_ROUNDS; i++) {
        SSL *ssl = client(ctx, *(const uint16_t *)arg, NULL);
        bool ok = ssl != NULL && ask(ssl, "/a", false) && ask(ssl, "/b", false);
        atomic_fetch_add(&n_ok, ok);
        SSL_free(ssl);
    }
    SSL_CTX_free(ctx);
    return NULL;
}

static bool shows(uint16_t port, const char *name)
{
    char text[64] = "";
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = client(ctx, port, NULL);
    if (ssl != NULL)
        X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(ssl)), NID_commonName, text,
                                  sizeof text);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return strcmp(text, name) == 0;
}

static void test_reload(void **state)
{
    site s;
    pthread_t clients[N_CLIENTS];
    dv_http_tls_options one = files(cert, key), two = files(other_cert, other_key), bad = files(other_cert, key);
    site_open(&s, &one);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *old = client(ctx, s.port, NULL);
    assert_true(old != NULL && ask(old, "/before", false));
    int64_t expires = dv_http_tls_expires(s.tls);
    for (int i = 0; i < N_CLIENTS; i++)
        assert_int_equal(pthread_create(&clients[i], NULL, come_and_go, &s.port), 0);
    for (int i = 0; i < N_RELOADS; i++) {
        dv_err err = {0};
        assert_int_equal(dv_http_tls_reload(s.tls, i % 2 ? &one : &two, NULL), 0);
        assert_int_equal(dv_http_tls_reload(s.tls, &bad, &err), DV_EFORMAT);
        assert_non_null(strstr(err.msg, "a.key: not the key"));
        assert_true(shows(s.port, i % 2 ? "first" : "second"));
        assert_int_equal(dv_http_tls_expires(s.tls) == expires, i % 2);
    }
    for (int i = 0; i < N_CLIENTS; i++)
        pthread_join(clients[i], NULL);
    assert_int_equal(atomic_load(&n_ok), N_CLIENTS * N_ROUNDS);
    assert_true(ask(old, "/after", true));
    SSL_free(old);
    SSL_CTX_free(ctx);
    site_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_files), cmocka_unit_test(test_bad_keys),  cmocka_unit_test(test_chain),
        cmocka_unit_test(test_warnings),  cmocka_unit_test(test_no_memory), cmocka_unit_test(test_exchange),
        cmocka_unit_test(test_versions),  cmocka_unit_test(test_reload),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
