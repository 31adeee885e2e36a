/* SPDX-License-Identifier: MIT */
/* Certificates that sign themselves, for tests. */
#ifndef DV_TEST_TLS_MAKE_H
#define DV_TEST_TLS_MAKE_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>

static inline EVP_PKEY *tls_make_key(void) { return EVP_EC_gen("P-256"); }

/* A certificate for key, valid from and to these seconds from now. */
static inline X509 *tls_make_cert(EVP_PKEY *key, const char *name, long from, long to)
{
    X509 *c = X509_new();
    X509_NAME *n = X509_NAME_new();
    X509_set_version(c, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(c), 1);
    X509_gmtime_adj(X509_getm_notBefore(c), from);
    X509_gmtime_adj(X509_getm_notAfter(c), to);
    X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_subject_name(c, n);
    X509_set_issuer_name(c, n);
    X509_NAME_free(n);
    X509_set_pubkey(c, key);
    X509_sign(c, key, EVP_sha256());
    return c;
}

static inline bool tls_write_cert(const char *path, const char *mode, X509 *cert)
{
    FILE *f = fopen(path, mode);
    bool ok = f != NULL && PEM_write_X509(f, cert) == 1;
    return f != NULL && fclose(f) == 0 && ok;
}

/* passphrase: NULL for none */
static inline bool tls_write_key(const char *path, const char *mode, EVP_PKEY *key, const char *passphrase)
{
    FILE *f = fopen(path, mode);
    bool ok = f != NULL && PEM_write_PrivateKey(f, key, passphrase != NULL ? EVP_aes_128_cbc() : NULL, NULL, 0, NULL,
                                                (void *)(size_t)passphrase) == 1;
    return f != NULL && fclose(f) == 0 && ok && chmod(path, 0600) == 0;
}

/* Both files for a new key. */
static inline bool tls_write_pair(const char *cert_path, const char *key_path, const char *name, long from, long to)
{
    EVP_PKEY *key = tls_make_key();
    X509 *cert = tls_make_cert(key, name, from, to);
    bool ok = tls_write_cert(cert_path, "w", cert) && tls_write_key(key_path, "w", key, NULL);
    X509_free(cert);
    EVP_PKEY_free(key);
    return ok;
}

#endif
