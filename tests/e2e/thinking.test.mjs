// SPDX-License-Identifier: MIT
// Thoughts, calls and forms of answers at once, with markup that is a token of its own: control tokens, and tokens that the file calls text.
// The model knows none of it, so a bias on the markup takes the place of its will.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Anthropic, Server, all, root, user } from './helper.mjs';
import { CONTROL, USER, modelWith } from './tokens.mjs';

const names = ['<think>', '</think>', '<tool_call>', '</tool_call>'];
const kinds = { control: modelWith(Object.fromEntries(names.map((n) => [n, CONTROL]))), user: modelWith(Object.fromEntries(names.map((n) => [n, USER]))) };
const template = root + 'tests/e2e/think-tools.jinja';

const servers = {};
before(async () => {
    for (const [kind, { path }] of Object.entries(kinds)) servers[kind] = await Server.start(['-c', '1024', '--chat-template-file', template], path);
});
after(async () => {
    for (const s of Object.values(servers)) assert.equal(await s.stop(), 0);
});

/** A bias for each of the tokens of a kind of model. */
const bias = (kind, list) => Object.fromEntries(Object.entries(list).map(([text, b]) => [kinds[kind].ids[text], b]));
const each = (name, run) => Object.keys(kinds).forEach((kind) => test(`${name} (${kind} tokens)`, () => run(kind, servers[kind].openai())));

const schema = { type: 'object', properties: { name: { type: 'string', maxLength: 8 }, n: { type: 'integer', minimum: 0, maximum: 9 } }, required: ['name', 'n'], additionalProperties: false };
const forms = [{ response_format: { type: 'json_schema', json_schema: { name: 'x', schema } } }, { response_format: { type: 'json_object', schema } }, { json_schema: schema },
    { grammar: 'root ::= "{\\"name\\": \\"" [a-z]{0,8} "\\", \\"n\\": " [0-9] "}"' }];
function isForm(text) {
    const v = JSON.parse(text);
    assert.deepEqual(Object.keys(v), ['name', 'n']);
    assert.ok(v.name.length <= 8 && v.n >= 0 && v.n <= 9);
}
const open = { chat_template_kwargs: { open_think: true } }, closed = { chat_template_kwargs: { enable_thinking: false } };
const base = { model: 'm', messages: user('define cat'), temperature: 0, max_tokens: 200 };
const choice = async (client, fields) => (await client.chat.completions.create({ ...base, ...fields })).choices[0];

each('a form binds what comes behind the thoughts', async (kind, client) => {
    for (const form of forms) {
        // The template has opened them: free text, until they close.
        const thinking = await choice(client, { ...form, ...open, max_tokens: 12 });
        assert.deepEqual([thinking.message.content, thinking.finish_reason], ['', 'length']);
        assert.ok(thinking.message.reasoning_content.length > 5 && !thinking.message.reasoning_content.includes('{'));
        const done = await choice(client, { ...form, ...open, logit_bias: bias(kind, { '</think>': 100 }) });
        assert.equal(done.finish_reason, 'stop');
        isForm(done.message.content);
        // The template has closed them, or the model does not want to.
        for (const fields of [closed, {}, { reasoning_effort: 'none' }]) {
            const none = await choice(client, { ...form, ...fields, logit_bias: bias(kind, fields === closed ? { '<think>': 100, '</think>': 100 } : { '<think>': -100 }) });
            assert.equal(none.message.reasoning_content, undefined);
            isForm(none.message.content);
        }
    }
    // It opens them itself. (As text they may stand in thoughts again and again, which such a bias makes them do.)
    if (kind === 'control')
        for (const form of forms) {
            const own = await choice(client, { ...form, logit_bias: bias(kind, { '<think>': 100, '</think>': 50 }) });
            isForm(own.message.content);
            const long = await choice(client, { ...form, max_tokens: 12, logit_bias: bias(kind, { '<think>': 100 }) });
            assert.ok(long.message.reasoning_content.length > 5);
            assert.equal(long.message.content, '');
        }
});

each('streams tell thoughts from the answer', async (kind, client) => {
    const chunks = await all(await client.chat.completions.create({ ...base, ...forms[0], ...open, stream: true, max_tokens: 300, logit_bias: bias(kind, { '</think>': 8 }) }));
    const thoughts = chunks.findLastIndex((c) => c.choices[0].delta.reasoning_content), text = chunks.findIndex((c) => c.choices[0].delta.content);
    assert.ok(text === -1 || thoughts < text);
    if (chunks.at(-1).choices[0].finish_reason === 'stop') isForm(chunks.map((c) => c.choices[0].delta.content ?? '').join(''));
});

each('an answer that is gone on with', async (kind, client) => {
    const on = (content) => choice(client, { ...forms[3], messages: [...base.messages, { role: 'assistant', content }], logit_bias: bias(kind, { '</think>': 100 }) });
    isForm((await on('<think>hm')).message.content);
    isForm((await on('<think>hm</think>')).message.content);
    const text = await on('Here: ');
    assert.equal(text.message.reasoning_content, undefined);
    isForm(text.message.content);
});

each('a grammar that spells the thoughts itself is the grammar of all of the answer', async (kind, client) => {
    for (const fields of [{}, closed]) {
        const r = await choice(client, { ...fields, grammar: 'root ::= "<think>ab c</think>\\n\\nhello"' });
        assert.deepEqual([r.message.reasoning_content, r.message.content], ['ab c', 'hello']);
    }
    const r = await choice(client, { ...open, grammar: 'root ::= "ab c</think>\\n\\nhello"' });
    assert.deepEqual([r.message.reasoning_content, r.message.content], ['ab c', 'hello']);
});

const tool = (name, parameters) => ({ type: 'function', function: { name, parameters } });
const tools = [tool('get_weather', { type: 'object', properties: { city: { enum: ['Berlin', 'Rome'] }, days: { type: 'integer', minimum: 1, maximum: 7 } }, required: ['city', 'days'], additionalProperties: false }),
    tool('stop_all', { type: 'object', properties: {}, additionalProperties: false })];
function isCall(c) {
    assert.equal(c.finish_reason, 'tool_calls');
    assert.equal(c.message.content, null);
    for (const call of c.message.tool_calls) {
        const args = JSON.parse(call.function.arguments);
        if (call.function.name === 'stop_all') assert.deepEqual(args, {});
        else assert.ok(['Berlin', 'Rome'].includes(args.city) && args.days >= 1 && args.days <= 7);
    }
}

each('a call that must be made is made behind the thoughts', async (kind, client) => {
    const must = { tools, tool_choice: 'required', parallel_tool_calls: false };
    const thinking = await choice(client, { ...must, ...open, max_tokens: 12 });
    assert.ok(thinking.message.reasoning_content.length > 5);
    assert.equal(thinking.finish_reason, 'length');
    for (const fields of [{ ...open, logit_bias: bias(kind, { '</think>': 100 }) }, closed, {}]) isCall(await choice(client, { ...must, ...fields }));
    const named = await choice(client, { ...must, ...closed, tool_choice: { type: 'function', function: { name: 'get_weather' } } });
    isCall(named);
    assert.equal(named.message.tool_calls[0].function.name, 'get_weather');
});

each('tools and a form: one or the other', async (kind, client) => {
    const will = { logit_bias: bias(kind, { '<tool_call>': 100 }) }, not = { logit_bias: bias(kind, { '<tool_call>': -100 }) };
    for (const form of forms.slice(0, 3))
        for (const think of [closed, {}, { ...open, end: { '</think>': 100 } }]) {
            const { end, ...fields } = think;
            const ask = (w, more) => choice(client, { ...form, ...fields, ...more, tools, parallel_tool_calls: false, logit_bias: { ...w.logit_bias, ...(end ? bias(kind, end) : {}) } });
            isForm((await ask(not)).message.content);
            isForm((await ask(not, { tool_choice: 'none' })).message.content);
            if (!end) isCall(await ask(will)); // a bias as strong as the other's keeps the thoughts open
            isCall(await ask({}, { tool_choice: 'required' }));
        }
    // What spells a call inside of the form is not one.
    const quote = { type: 'object', properties: { q: { const: '<tool_call>{"name": "stop_all", "arguments": {}}</tool_call>' } }, required: ['q'], additionalProperties: false };
    for (const stream of [false, true]) {
        const r = await client.chat.completions.create({ ...base, ...closed, json_schema: quote, tools, stream, ...not });
        const text = stream ? (await all(r)).map((c) => (assert.equal(c.choices[0].delta.tool_calls, undefined), c.choices[0].delta.content ?? '')).join('') : r.choices[0].message.content;
        assert.deepEqual(JSON.parse(text), { q: quote.properties.q.const });
    }
    await assert.rejects(choice(client, { tools, tool_choice: 'required', grammar: 'root ::= "x"' }), (e) => e.status === 400 && e.param === 'grammar');
    await assert.rejects(choice(client, { tools, tool_choice: 'required', json_schema: { not: {} } }), (e) => e.status === 400 && e.param === 'json_schema');
    await assert.rejects(choice(client, { tools: [tool('f', { not: {} })], json_schema: schema }), (e) => e.status === 400 && e.param === 'tools[0]');
});

test('tools and a form in the other APIs', async () => {
    const kind = 'control', server = servers[kind];
    const will = bias(kind, { '<tool_call>': 100 }), not = bias(kind, { '<tool_call>': -100 });
    const claude = new Anthropic({ baseURL: server.url, apiKey: 'none', maxRetries: 0 });
    const ask = (logit_bias) => claude.messages.create({ model: 'm', max_tokens: 200, temperature: 0, messages: base.messages, thinking: { type: 'disabled' }, logit_bias,
        tools: [{ name: 'stop_all', input_schema: { type: 'object', properties: {}, additionalProperties: false } }], tool_choice: { type: 'auto', disable_parallel_tool_use: true }, output_config: { format: { type: 'json_schema', schema } } });
    isForm((await ask(not)).content[0].text);
    assert.deepEqual((await ask(will)).content.map((b) => [b.type, b.name, b.input])[0], ['tool_use', 'stop_all', {}]);
    const respond = (logit_bias) => server.openai().responses.create({ model: 'm', input: 'define cat', temperature: 0, max_output_tokens: 200, ...closed, logit_bias,
        tools: [{ type: 'function', name: 'stop_all', parameters: { type: 'object', properties: {}, additionalProperties: false } }], parallel_tool_calls: false, text: { format: { type: 'json_schema', name: 'x', schema } } });
    isForm((await respond(not)).output_text);
    assert.deepEqual((await respond(will)).output.map((o) => [o.type, o.name, JSON.parse(o.arguments)])[0], ['function_call', 'stop_all', {}]);
});

test('text that is held back comes before the token that ends it', async () => {
    const call = '"{\\"name\\": \\"stop_all\\", \\"arguments\\": {}}"';
    const fields = { ...base, ...closed, tools, grammar: `root ::= "ok" <tool_call> ${call} </tool_call>`, stop: ['okay', '}}}'] };
    const client = servers.control.openai();
    const whole = (await client.chat.completions.create(fields)).choices[0];
    assert.equal(whole.message.content, 'ok');
    assert.deepEqual(whole.message.tool_calls.map((c) => [c.function.name, c.function.arguments]), [['stop_all', '{}']]);
    const chunks = await all(await client.chat.completions.create({ ...fields, stream: true }));
    const kindsOf = chunks.flatMap((c) => (c.choices[0].delta.content ? ['text'] : c.choices[0].delta.tool_calls ? ['call'] : []));
    assert.deepEqual([...new Set(kindsOf)], ['text', 'call']);
    assert.equal(kindsOf.lastIndexOf('text') < kindsOf.indexOf('call'), true);
});

test('markup is no part of a string', async () => {
    // As text to the file, and wanted very much: only ordinary tokens spell it inside of a string.
    const client = servers.user.openai();
    const r = await choice(client, { ...closed, json_schema: { type: 'object', properties: { s: { type: 'string', minLength: 5, maxLength: 40 } }, required: ['s'], additionalProperties: false },
        logit_bias: bias('user', { '<tool_call>': 100, '<think>': 100 }) });
    assert.doesNotMatch(JSON.parse(r.message.content).s, /<tool_call>|<think>/);
    const spelled = await choice(client, { ...closed, grammar: 'root ::= "<tool_call>" [a-z]{3}', logprobs: true, logit_bias: bias('user', { '<tool_call>': 100 }) });
    assert.equal(spelled.logprobs.content[0].token, '<tool_call>');
});
