/* SPDX-License-Identifier: MIT */
/* libdrover-provider: answers of a language model from a server, or from an engine process that the provider starts and owns.
 *
 * A dv_provider asks one server: any that speaks OpenAI's API (drover's service and engine, llama-server, others), given as a URL; or a
 * `drover engine` for a model file, on a private unix socket. A server that is gone is started again, if it is the provider's own, and
 * asked once more, as long as nothing of the answer was handed out.
 *
 * Threads: calls block. A provider does one thing at a time: a second call meanwhile, from another thread or from a callback, returns
 * DV_EBUSY and changes nothing. dv_provider_cancel and dv_provider_engine_pid are for any thread at any time between open and close.
 * Different providers have nothing to do with each other. A process that forks uses its providers in the parent only.
 *
 * What a call returns in strings and lists is the provider's, and valid until the next call on it (other than the two above).
 * Functions that can fail return 0 or a negative DV_E* code and fill err (which may be NULL) with a sentence; keys are never in it.
 * Errors of all calls that ask the server: DV_EINVAL (an argument, or the server found the request wrong), DV_EAUTH and DV_EACCES (key),
 * DV_ENOENT (no such model or file), DV_ECONTEXT, DV_ERATE, DV_EBUSY (server, or this provider), DV_EUNSUPPORTED, DV_ELIMIT (more than is
 * taken of an answer), DV_EFORMAT (no answer that makes sense), DV_EIO (unreachable, gone, too slow), DV_ECANCELED, DV_ENOMEM. */
#ifndef DROVER_PROVIDER_H
#define DROVER_PROVIDER_H

#include "drover/error.h"
#include "drover/export.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dv_provider dv_provider;

/** Zero is a good value for each field. Strings are copied. */
typedef struct dv_provider_options {
    const char *
        model; /**< name that requests ask for; NULL: whatever the server answers with. With a file: the engine's name for it */
    const char *
        profile; /**< "fast", "balanced", ...: how the model runs; NULL: what the server or the engine does by itself */
    const char *key; /**< API key, visible ASCII; NULL: none. Not used with a file */
    const char *
        ca_file; /**< PEM file of the authorities that an https server's certificate may come from; NULL: the system's */
    /** The program that runs a file, NULL: `drover` next to this program, next to this library or in its ../bin, or in PATH. */
    const char *program;
    const char *const *engine_args; /**< [n_engine_args] further arguments of it, such as "--threads", "2" */
    size_t n_engine_args;           /**< at most 64 */
    unsigned connect_ms;            /**< until there is a connection; 0: 10 s */
    unsigned start_ms;              /**< until an own engine has loaded its model; 0: 120 s */
    unsigned silence_ms;            /**< without a byte from the server; 0: 120 s */
    unsigned total_ms;              /**< of a whole exchange; 0: no limit */
} dv_provider_options;

/**
 * Open a provider.
 * @param target   "http://HOST:PORT", "https://HOST/v1", "unix:/path/of.sock": a server. Without a path "/v1" is meant; a path is that of the
 *                 API. It is not asked for anything yet. Anything else is the path of a GGUF file: its engine is started, and has loaded it
 *                 when this returns.
 * @param options  NULL: defaults
 * The engine gets no descriptor of this process, no signals of its terminal, and little of its environment; it is killed when this
 * process ends, however that happens. A thread of the provider waits for it.
 * Errors: DV_EINVAL; DV_ENOENT, DV_EACCES (file or program); DV_EIO if the engine ends or does not get ready; DV_ENOMEM.
 */
DV_API int dv_provider_open(dv_provider **out, const char *target, const dv_provider_options *options, dv_err *err);
/** Close it, and stop an own engine: within a second, by force if need be. NULL-safe, sets *provider to NULL. No call may be running. */
DV_API void dv_provider_close(dv_provider **provider);

typedef struct dv_provider_message {
    const char *role; /**< "system", "user", "assistant", ... */
    const char *text; /**< UTF-8 */
} dv_provider_message;

/** Start from dv_provider_request_default(). Everything is borrowed for the call. */
typedef struct dv_provider_request {
    const dv_provider_message *messages; /**< [n_messages] a chat; or: */
    size_t n_messages;
    const char *prompt; /**< a text to go on from, UTF-8; NULL with messages */
    const char *model;  /**< NULL: the provider's. Own engines have one: leave it NULL */
    const char *
        profile; /**< NULL: the provider's. An own engine that runs with another one is started anew, which takes as long as loading does */
    uint32_t max_tokens;     /**< 0: the server's default */
    double temperature;      /**< 0: always the most likely token; negative: the server's default */
    double top_p;            /**< (0, 1]; 0: the server's default */
    int64_t seed;            /**< same seed, same text, where the server can do that; negative: a random one */
    const char *const *stop; /**< [n_stop] texts that end the answer */
    size_t n_stop;           /**< at most 16 */
    const char *json_schema; /**< text of a JSON Schema that the answer must be valid for; NULL: none */
} dv_provider_request;

/** The server's defaults, and no text. */
DV_API dv_provider_request dv_provider_request_default(void);

typedef enum dv_finish {
    DV_FINISH_NONE,     /**< the server did not say */
    DV_FINISH_STOP,     /**< the model ended it, or a stop string did */
    DV_FINISH_LENGTH,   /**< max_tokens, or the context is full */
    DV_FINISH_CANCELED, /**< a callback or dv_provider_cancel ended it */
    DV_FINISH_OTHER,    /**< something else, such as a content filter */
    DV_FINISH_N
} dv_finish;

typedef struct dv_provider_result {
    const char *text; /**< the answer, UTF-8, terminated; never NULL */
    size_t len;
    const char *reasoning; /**< what the model thought before, where the server tells; never NULL */
    size_t reasoning_len;
    const char *model; /**< what the server says has answered; "" if it does not */
    dv_finish finish;
    uint64_t prompt_tokens, completion_tokens;
    uint64_t cached_tokens; /**< of prompt_tokens: did not have to be computed */
    int status;             /**< of HTTP; 0: there was no reply */
    unsigned
        retry_after_s; /**< after which the server wants to be asked again (with DV_ERATE, DV_EBUSY); 0: not said */
    bool retried;      /**< the server was gone, and was asked once more */
} dv_provider_result;

/** Whole UTF-8 characters as they come. Called within the call, in its thread. Non-zero: stop. */
typedef struct dv_provider_stream {
    int (*on_text)(void *arg, const char *text, size_t len);
    int (*on_reasoning)(void *arg, const char *text, size_t len); /**< NULL: not wanted */
    void *arg;
} dv_provider_stream;

/**
 * Ask, and wait for the whole answer. Asked again if the server goes away at any time before the answer is complete.
 * @param result  filled whatever is returned: after an error with what had come until then; may be NULL
 * Cancelling is no error: 0, with DV_FINISH_CANCELED. An answer takes at most 16 MiB.
 */
DV_API int dv_provider_generate(dv_provider *provider, const dv_provider_request *request, dv_provider_result *result,
                                dv_err *err);
/** The same, handing out text as it comes. Asked again only if nothing was handed out yet. A callback that takes its time slows the server down. */
DV_API int dv_provider_generate_stream(dv_provider *provider, const dv_provider_request *request,
                                       const dv_provider_stream *stream, dv_provider_result *result, dv_err *err);
/** The call that runs now, if there is one, ends soon. Any thread; not from a signal handler. */
DV_API void dv_provider_cancel(dv_provider *provider);

/** What is known of a model: "" and 0 are for what is not. */
typedef struct dv_provider_model {
    const char *name;
    const char *arch;         /**< "llama" */
    const char *quantization; /**< "Q4_K_M" */
    uint64_t n_ctx;           /**< tokens it runs with */
    uint64_t n_ctx_train;     /**< tokens it was trained for */
    uint64_t n_params;
    uint64_t bytes;  /**< of its file */
    bool loaded;     /**< now; true where the server does not say */
    bool is_default; /**< answers requests that name none */
} dv_provider_model;

/** The server's models. *out [*n] may be empty. */
DV_API int dv_provider_models(dv_provider *provider, const dv_provider_model **out, size_t *n, dv_err *err);
/** One of them, by name. @param name  NULL: the one that requests of this provider get. Errors: DV_ENOENT; DV_EINVAL if that is not known. */
DV_API int dv_provider_model_info(dv_provider *provider, const char *name, dv_provider_model *out, dv_err *err);
/**
 * From now on another model. With an own engine: model is a file, and the engine is started anew; if that fails, the next call goes back to
 * the file before. With drover's service: it loads the model as its default one (needs a key that may); with other servers the name
 * is looked up and put into requests.
 * @param profile  NULL: as before
 */
DV_API int dv_provider_switch_model(dv_provider *provider, const char *model, const char *profile, dv_err *err);

/** Process id of the own engine; 0: none runs. It may have ended meanwhile. */
DV_API int dv_provider_engine_pid(dv_provider *provider);

#ifdef __cplusplus
}
#endif
#endif
