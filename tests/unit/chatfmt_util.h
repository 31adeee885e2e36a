/* SPDX-License-Identifier: MIT */
/* Templates in published formats, cut down to what the tests need, and events as text. Used by the tests of src/chat. */
#ifndef DV_TEST_CHATFMT_UTIL_H
#define DV_TEST_CHATFMT_UTIL_H

#include "base/buf.h"
#include "chat/parser.h"

#include <string.h>

#define BAR "\xef\xbd\x9c"
#define LOW "\xe2\x96\x81"
#define DS(word) "<" BAR word BAR ">"
#define DS_CALLS DS("tool" LOW "calls" LOW "begin")
#define DS_CALL DS("tool" LOW "call" LOW "begin")
#define DS_SEP DS("tool" LOW "sep")
#define DS_CALL_END DS("tool" LOW "call" LOW "end")
#define DS_CALLS_END DS("tool" LOW "calls" LOW "end")

/* Hermes and Qwen: text or object arguments, any content. */
static const char tmpl_qwen[] =
    "{% if tools %}<|im_start|>system\n{% if messages[0].role == 'system' %}{{ messages[0].content + '\\n' }}{% endif %}"
    "<tools>{% for t in tools %}\n{{ t | tojson }}{% endfor %}\n</tools> <tool_call><|im_end|>\n"
    "{% elif messages[0].role == 'system' %}<|im_start|>system\n{{ messages[0].content }}<|im_end|>\n{% endif %}"
    "{% for m in messages %}{% if m.role == 'system' and loop.first %}{% continue %}{% endif %}"
    "{% if m.role == 'tool' %}<|im_start|>user\n<tool_response>{{ m.content }}</tool_response><|im_end|>\n"
    "{% else %}<|im_start|>{{ m.role }}\n"
    "{% if m.reasoning_content %}<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}{{ '\\n' }}<tool_call>\n{\"name\": \"{{ c.function.name }}\", \"arguments\": "
    "{% if c.function.arguments is string %}{{ c.function.arguments }}{% else %}{{ c.function.arguments | tojson }}{% endif %}}\n</tool_call>"
    "{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n"
    "{% elif open_think is defined %}<think>\n{% endif %}{% endif %}";

/* Llama 3.x: one call a message, arguments as an object. */
static const char tmpl_llama3[] =
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.tool_calls %}{% if m.tool_calls | length != 1 %}{{ raise_exception('one call') }}{% endif %}"
    "<|start_header_id|>assistant<|end_header_id|>\n\n{\"name\": \"{{ m.tool_calls[0].function.name }}\", \"parameters\": "
    "{{ m.tool_calls[0].function.arguments | tojson }}}<|eot_id|>"
    "{% elif m.role == 'tool' %}<|start_header_id|>ipython<|end_header_id|>\n\n{{ m.content }}<|eot_id|>"
    "{% else %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{% if tools and loop.first %}{{ tools | tojson }}\n{% endif %}{{ m.content | trim }}<|eot_id|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}";

/* DeepSeek V3: tools are not shown, a message has content or calls, arguments are text. */
static const char tmpl_deepseek[] =
    "{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% elif m.role == 'user' %}" DS(
        "User") "{{ m.content }}"
                "{% elif m.role == 'tool' %}<out>{{ m.content }}</out>"
                "{% elif m.content is none %}" DS("Assistant") DS_CALLS
    "{% for c in m.tool_calls %}" DS_CALL "{{ c.type }}" DS_SEP
    "{{ c.function.name + '\\n```json\\n' + c.function.arguments + '\\n```' }}" DS_CALL_END "{% endfor %}" DS_CALLS_END
    "{% else %}" DS("Assistant") "{{ m.content }}{% endif %}{% endfor %}{% if add_generation_prompt %}" DS(
        "Assistant") "{% endif %} {# </think> #}";

static const char tmpl_deepseek31[] = "{{ messages[0].content }}" DS_CALLS "</think>";

/* Gemma 3: no system role, no tools, roles alternate. */
static const char tmpl_gemma[] =
    "{{ bos_token }}{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('alternate') }}{% endif %}"
    "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}";

/* Mistral: old and new form of calls. */
static const char tmpl_mistral[] =
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{% if tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}"
    "[INST]{{ m.content }}[/INST]{% elif m.tool_calls %}[TOOL_CALLS][{% for c in m.tool_calls %}"
    "{% if c.id | length != 9 %}{{ raise_exception('nine') }}{% endif %}"
    "{\"name\": \"{{ c.function.name }}\", \"arguments\": {{ c.function.arguments }}, \"id\": \"{{ c.id }}\"}{{ ', ' if not loop.last }}{% endfor %}]"
    "{% elif m.role == 'tool' %}{% if m.tool_call_id | length != 9 %}{{ raise_exception('nine') }}{% endif %}"
    "[TOOL_RESULTS]{{ m.tool_call_id }} {{ m.content }}[/TOOL_RESULTS]"
    "{% elif m.role == 'system' %}[SYSTEM_PROMPT]{{ m.content }}[/SYSTEM_PROMPT]{% else %}{{ m.content }}</s>{% endif %}{% endfor %}";
static const char tmpl_mistral_args[] = "{{ messages[0].content }}[TOOL_CALLS]f[ARGS]{}";
static const char tmpl_magistral[] = "{{ messages[0].content }}[TOOL_CALLS]f[ARGS]{}[THINK]x[/THINK]";
static const char tmpl_phi4[] =
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% if tools and m.role == 'system' %}<|tool|>{{ tools | tojson }}<|/tool|>"
    "{% endif %}<|end|>{% endfor %}";
static const char tmpl_harmony[] =
    "{% for m in messages %}<|start|>{{ m.role }}{% if m.tool_calls %} to=functions.{{ m.tool_calls[0].function.name }}<|channel|>commentary json<|message|>"
    "{{ m.tool_calls[0].function.arguments | tojson }}<|call|>{% else %}<|message|>{{ m.content }}<|end|>{% endif %}{% endfor %}"
    "{% if tools %}{{ tools | tojson }}{% endif %}{{ reasoning_effort }}<|start|>assistant";

/* ---- events as text ------------------------------------------------------------------------------------------------ */

/* C(content) R(reasoning) B0 name (begin) A(arguments) E+ (complete) or E-; neighbouring deltas are one. */
typedef struct event_log {
    dv_buf text;
    int last;
    bool with_ids;
} event_log;

static inline int log_event(void *arg, const dv_chatfmt_event *ev)
{
    event_log *l = arg;
    static const char letters[] = "CR?A";
    bool delta = ev->type != DV_CHATFMT_CALL_BEGIN && ev->type != DV_CHATFMT_CALL_END;
    if (l->last >= 0 && l->last != (int)ev->type)
        dv_buf_addc(&l->text, ')');
    if (delta && l->last != (int)ev->type) {
        dv_buf_addc(&l->text, letters[ev->type]);
        dv_buf_addc(&l->text, '(');
    }
    if (delta)
        dv_buf_add(&l->text, ev->text, ev->n);
    else if (ev->type == DV_CHATFMT_CALL_BEGIN)
        dv_buf_printf(&l->text, "B%u %s %s", ev->index, l->with_ids ? ev->id : "", ev->name);
    else
        dv_buf_printf(&l->text, "E%c", ev->complete ? '+' : '-');
    l->last = delta ? (int)ev->type : -1;
    return l->text.code;
}

static inline const char *log_text(event_log *l)
{
    if (l->last >= 0)
        dv_buf_addc(&l->text, ')');
    l->last = -1;
    return dv_buf_str(&l->text);
}

#endif
