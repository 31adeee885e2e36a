// SPDX-License-Identifier: MIT
// Calls that must be made, in every format that models use: the tool is there and the arguments match its schema, whatever the model would rather say.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { whyInvalid } from '../peer/schema/validate.mjs';
import { Anthropic, Server, packages, user } from './helper.mjs';

// What drover tells a format by, and a layout that shows the last message only.
const ds = (word) => `<｜${word}｜>`;
const calls = ds('tool▁calls▁begin');
const formats = {
    'llama3': '<|start_header_id|>ipython',
    'llama3 with a tag': '<|python_tag|>',
    'hermes': '<tool_call>',
    'mistral': '[TOOL_CALLS]',
    'mistral-args': '[TOOL_CALLS] [ARGS]',
    'phi4': '<|tool_call|>',
    'phi4 with a word': 'functools',
    'deepseek': calls + ' ```json',
    'deepseek-3.1': calls,
    'gemma': '<start_of_turn>',
    'harmony': '<|channel|> <|message|>',
    'generic': '',
};

const schemas = {
    get_weather: {
        type: 'object',
        properties: { city: { enum: ['Berlin', 'Rome', 'São Paulo'] }, days: { type: 'integer', minimum: 1, maximum: 7 }, from: { type: 'string', format: 'date' },
            note: { type: 'string', maxLength: 12 } },
        required: ['city', 'days', 'from'],
        additionalProperties: false,
    },
    move: {
        type: 'object',
        properties: { by: { type: 'array', prefixItems: [{ type: 'number', minimum: -1, maximum: 1 }, { type: 'boolean' }], items: { $ref: '#/$defs/step' }, maxItems: 4 } },
        required: ['by'],
        additionalProperties: false,
        $defs: { step: { type: 'object', properties: { to: { type: 'string', pattern: '^[a-h][1-8]$' }, next: { anyOf: [{ $ref: '#/$defs/step' }, { type: 'null' }] } },
            required: ['to', 'next'], additionalProperties: false } },
    },
    stop_all: { type: 'object', properties: {}, additionalProperties: false },
};
const names = Object.keys(schemas);
const why = Object.fromEntries(names.map((n) => [n, whyInvalid(schemas[n], packages)]));
const tools = names.map((name) => ({ type: 'function', function: { name, description: `does ${name}`, parameters: schemas[name] } }));

function isCall(name, args, only) {
    assert.ok(names.includes(name), name);
    if (only) assert.equal(name, only);
    const text = typeof args === 'string' ? args : JSON.stringify(args);
    assert.equal(why[name](text), null, `${name}(${text})`);
}

// Ends of strings, objects and lists, which a model that knows none of this would hardly come to.
const common = { temperature: 1.5, top_k: 0, top_p: 1, min_p: 0, logit_bias: { '"': 5, '}': 5, ']': 5 } };

/** Each way to ask, with what says that a call must be made: of any tool, or of that one. */
const ways = {
    async chat(client, _, only, more) {
        const tool_choice = only ? { type: 'function', function: { name: only } } : 'required';
        const r = await client.chat.completions.create({ model: 'm', messages: user('cat'), tools, tool_choice, max_tokens: 2000, ...common, ...more });
        const { message, finish_reason } = r.choices[0];
        assert.equal(finish_reason, 'tool_calls', JSON.stringify(r.choices[0]));
        assert.equal(message.content, null);
        return message.tool_calls.map((c) => [c.function.name, c.function.arguments]);
    },
    async streamed(client, _, only, more) {
        const tool_choice = only ? { type: 'function', function: { name: only } } : 'required';
        const s = client.chat.completions.stream({ model: 'm', messages: user('cat'), tools, tool_choice, max_tokens: 2000, ...common, ...more });
        const { message, finish_reason } = (await s.finalChatCompletion()).choices[0];
        assert.equal(finish_reason, 'tool_calls');
        return message.tool_calls.map((c) => [c.function.name, c.function.arguments]);
    },
    async messages(_, client, only, { seed }) {
        const choice = only ? { type: 'tool', name: only } : { type: 'any' };
        const r = await client.messages.create({
            model: 'm', max_tokens: 2000, messages: user('cat'), tools: names.map((name) => ({ name, input_schema: schemas[name] })), tool_choice: choice, ...common, temperature: 1, seed,
        });
        assert.equal(r.stop_reason, 'tool_use', JSON.stringify(r));
        return r.content.filter((b) => b.type !== 'thinking').map((b) => [b.name, b.input]);
    },
    async responses(client, _, only, { seed }) {
        const r = await client.responses.create({
            model: 'm', max_output_tokens: 2000, input: 'cat', tools: names.map((name) => ({ type: 'function', name, parameters: schemas[name], strict: true })),
            tool_choice: only ? { type: 'function', name: only } : 'required', ...common, seed,
        });
        assert.equal(r.status, 'completed', JSON.stringify(r));
        return r.output.filter((i) => i.type !== 'reasoning').map((i) => [i.name, i.arguments]);
    },
};

for (const [format, marker] of Object.entries(formats))
    test(`${format}: required, and named`, async () => {
        const template = `{# ${marker} #}{{ messages[-1].content }}\n`;
        const server = await Server.start(['-c', '16384', '--chat-template', template]);
        const client = server.openai(), anthropic = new Anthropic({ baseURL: server.url, apiKey: 'none', maxRetries: 0 });
        let n = 0;
        for (const [way, ask] of Object.entries(ways))
            for (const only of [undefined, ...names])
                for (const parallel_tool_calls of [true, false]) {
                    const made = await ask(client, anthropic, only, { seed: n++, parallel_tool_calls });
                    assert.ok(made.length >= 1, way);
                    if (only) assert.equal(made.length, 1);
                    for (const [name, args] of made) isCall(name, args, only);
                }
        assert.equal(await server.stop(), 0);
    });
