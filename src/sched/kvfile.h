/* SPDX-License-Identifier: MIT */
/* Files of KV pages: tokens and what was computed for them, bound to a model and a cache format by a hash, sealed by a checksum. Written
 * to a temporary file and renamed, so a file is whole or absent; read with every number checked against the file's real size. */
#ifndef DV_SCHED_KVFILE_H
#define DV_SCHED_KVFILE_H

#include "gguf/gguf.h"
#include "model/kv.h"

enum { DV__KVFILE_HASH = 32 };

/** What a file must match: hash of everything that the content of a page depends on. */
typedef struct dv__kvfile_id {
    uint8_t hash[DV__KVFILE_HASH];
} dv__kvfile_id;

/** From the file's metadata, tensor directory, size and samples of its tensors, and from the cache's format. */
void dv__kvfile_identify(dv__kvfile_id *id, const dv_gguf *g, const dv_kv *kv);

/**
 * Write pages that hold tokens[0..n_tok).
 * @param key  16 bytes that are stored along: what came before these tokens
 * Errors: DV_EIO, DV_EACCES, DV_ENOENT (no such folder), with errno's text; DV_ENOMEM.
 */
int dv__kvfile_write(const char *path, const dv__kvfile_id *id, const dv_kv *kv, const uint8_t key[16],
                     const uint32_t *tokens, uint32_t n_tok, dv_kv_page *const *pages, uint64_t *n_bytes, dv_err *err);

/** A file that is being read, page by page: never more than a page in memory, and nothing is mapped that could be cut short. */
typedef struct dv__kvfile {
    int fd;
    struct dv__kvfile_hash *hash;
    uint8_t key[16];
    uint32_t *tokens; /* [n_tok] owned */
    uint32_t n_tok, n_pages, n_read;
    uint64_t n_bytes;
} dv__kvfile;

/** Open and check head and size. Errors: DV_ENOENT, DV_EACCES, DV_EIO, DV_ENOMEM; DV_EFORMAT for what is no such file of this model and cache,
 *  says what. */
int dv__kvfile_open(dv__kvfile *f, const char *path, const dv__kvfile_id *id, const dv_kv *kv, uint32_t max_tok,
                    dv_err *err);
/** The next page's content into data [page_bytes]. Nothing may be used before dv__kvfile_verify. Errors: DV_EIO, DV_EFORMAT (cut short). */
int dv__kvfile_page(dv__kvfile *f, uint8_t *data, const dv_kv *kv, dv_err *err);
/** After the last page: whether the checksum is right. Errors: DV_EFORMAT, DV_EIO. */
int dv__kvfile_verify(dv__kvfile *f, dv_err *err);
/** Also after a failed open. */
void dv__kvfile_close(dv__kvfile *f);

#endif
