/* SPDX-License-Identifier: MIT */
/* POST /v1/embeddings, llama-server's /embeddings and its /rerank. */
#include "serve/fields.h"

/* clang-format off */

#define F_INPUT(n, more, about) F(n, T_STR | T_ARR | T_OBJ, .flags = DV__F_TEXT | (more), .min_len = 0, .max_len = DV__LISTED, \
                                  .item = &dv__part_prompt, .of = &dv__part_prompt_object, .help = about)

static const dv__field rows[] = {
    F_INPUT("input", DV__F_REQUIRED, "A text, a list of tokens, or a list of either."),
    F_WORD("encoding_format", "float|base64", "base64: little-endian floats."),
    F_INT("dimensions", 1, 16777216, "Of each embedding."),
    F_INT("embd_normalize", -1, 32767, "The norm; 2: to length 1."),
};
const dv__schema dv__schema_embeddings = F_SCHEMA("EmbeddingsRequest", rows, &dv__part_meta, "Texts of which the embeddings are wanted.");

static const dv__field native_rows[] = {
    F_INPUT("content", 0, "A text, a list of tokens, or a list of either."),
    F_INPUT("input", 0, "Another name of content."),
    F_WORD("encoding_format", "float|base64", "base64: little-endian floats."),
    F_INT("embd_normalize", -1, 32767, "The norm; 2: to length 1."),
};
const dv__schema dv__schema_native_embeddings = F_SCHEMA("NativeEmbeddingsRequest", native_rows, &dv__part_meta, "Texts of which the embeddings are wanted.");

static const dv__field document_fields[] = {F("text", T_STR, .flags = DV__F_TEXT | DV__F_REQUIRED, .help = "Its text.")};
static const dv__schema document_schema = F_SCHEMA("RerankDocument", document_fields, NULL, "A document.");
static const dv__field document_item = {.types = T_STR | T_OBJ, .flags = DV__F_TEXT, .of = &document_schema};
static const dv__field rerank_rows[] = {
    F("query", T_STR, .flags = DV__F_TEXT | DV__F_REQUIRED, .help = "What is looked for."),
    F("documents", T_ARR, .max_len = 65536, .item = &document_item, .help = "Where."),
    F("texts", T_ARR, .max_len = 65536, .item = &document_item, .help = "Another name of documents."),
    F_INT("top_n", 0, INT_MOST, "How many are wanted."),
    F_BOOL("return_documents", "Their texts too."),
    F_BOOL("return_text", "Their texts too."),
    F_BOOL("raw_scores", "Scores as the model gives them."),
};
const dv__schema dv__schema_rerank = F_SCHEMA("RerankRequest", rerank_rows, &dv__part_meta, "Documents to be put in order.");
