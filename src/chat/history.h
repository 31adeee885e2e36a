/* SPDX-License-Identifier: MIT */
/* Building internal messages (message.h), and small helpers for reading requests. Private to src/chat. */
#ifndef DV_CHAT_HISTORY_H
#define DV_CHAT_HISTORY_H

#include "base/attr.h"
#include "base/buf.h"
#include "chat/message.h"

enum { DV__PATH = 160 }; /* bytes of the path of a field, terminated; longer ones are cut */

/** Write the path of a field into out; returns out. */
const char *dv__chat_path(char out[DV__PATH], const char *fmt, ...) DV_PRINTF(2, 3);

/** A field of an object; NULL if it is absent or null. */
const json_t *dv__chat_get(const json_t *obj, const char *key);
/** Set a key; the reference of value is taken. value NULL (no memory): DV_ENOMEM. */
int dv__chat_put(json_t *obj, const char *key, json_t *value, dv_err *err);
/** Append an item; the reference of value is taken. value NULL (no memory): DV_ENOMEM. */
int dv__chat_push(json_t *list, json_t *value, dv_err *err);
/** The content of b as a JSON string; NULL when out of memory (b->code too). */
json_t *dv__chat_text(dv_buf *b);
bool dv__chat_is(const json_t *string, const char *text);
/** Whether word is one of the words of list, which blanks separate. */
bool dv__chat_in_list(const char *list, const char *word);
/** The field `key` of obj as a string that must be there and not be empty. */
int dv__chat_need_str(const char **out, const json_t *obj, const char *key, const char *at, dv_err *err);

/** Names of tools: letters, digits, '_', '-', '.', at most DV_CHAT_MAX_NAME. at: path of the name's field. */
int dv__chat_check_name(const char *name, const char *at, dv_err *err);

/** Messages so far. Zero-initialise; dv__history_fini drops everything. */
typedef struct dv__history {
    json_t *list;  /* the result */
    json_t *names; /* id of each call so far: name of its tool */
    json_t *turn;  /* borrowed: the assistant's message that is being filled; NULL: none */
} dv__history;

int dv__history_init(dv__history *h, dv_err *err);
void dv__history_fini(dv__history *h);

/**
 * One content field, a string or a list of parts, appended to out; text parts are joined with a line feed.
 * @param what  types of part that are text, separated by blanks; their text is in "text", or "refusal" in a refusal
 */
int dv__history_content(dv_buf *out, const json_t *content, const char *what, const char *at, dv_err *err);

/** Add a message of system or user. name: may be NULL. */
int dv__history_add(dv__history *h, const char *role, dv_buf *content, const char *name, dv_err *err);
/** Add a tool's answer to the call id. id_at: path of the id's field. */
int dv__history_result(dv__history *h, const char *id, const char *id_at, dv_buf *content, dv_err *err);
/** Begin an assistant's message (join: go on with the one before it if nothing came between). */
int dv__history_turn(dv__history *h, bool join, dv_err *err);
/** Append to "content" or "reasoning_content" of the turn, after a line feed if there is some already. */
int dv__history_say(dv__history *h, const char *key, dv_buf *text, dv_err *err);
/** Add a call to the turn. arguments: the text of a JSON object, or the object; at, args_at: paths of the call and of these. */
int dv__history_call(dv__history *h, const char *id, const char *name, const json_t *arguments, const char *at,
                     const char *args_at, dv_err *err);

#endif
