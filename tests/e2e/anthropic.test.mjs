// SPDX-License-Identifier: MIT
// Anthropic's Messages API with Anthropic's own client.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Anthropic, Server, all, frames, root, user } from './helper.mjs';

const tools = [{ name: 'get_time', description: 'The time', input_schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } }];
const thoughts = 'root ::= "<think>ab c</think>\\n\\nhello"';
const calls = 'root ::= "ok <tool_call>{\\"name\\": \\"get_time\\", \\"arguments\\": {\\"city\\": \\"Rome é\\"}}</tool_call>"';

let server, thinker, locked, client, think;
before(async () => {
    server = await Server.start(['-c', '256']);
    thinker = await Server.start(['-c', '256', '--chat-template-file', root + 'tests/e2e/think-tools.jinja']);
    locked = await Server.start(['-c', '256', '--api-key', 'secret']);
    client = new Anthropic({ baseURL: server.url, apiKey: 'none', maxRetries: 0 });
    think = new Anthropic({ baseURL: thinker.url, apiKey: 'none', maxRetries: 0 });
});
after(async () => {
    for (const s of [server, thinker, locked]) assert.equal(await s.stop(), 0);
});

const request = (fields) => ({ model: 'any', max_tokens: 8, temperature: 0, messages: user('apple'), ...fields });
const create = (fields, options, c = client) => c.messages.create(request(fields), options);

async function refused(fields, says, s = server, path = '/v1/messages', base = request({})) {
    const r = await s.post(path, { ...base, ...fields });
    assert.equal(r.status, 400, `${JSON.stringify(fields)}: ${r.text}`);
    assert.equal(r.json.type, 'error');
    assert.equal(r.json.error.type, 'invalid_request_error');
    assert.match(r.json.error.message, says);
    assert.equal(r.json.request_id, r.headers.get('x-request-id'));
}

test('a message', async () => {
    const m = await create({});
    assert.match(m.id, /^msg_/);
    assert.deepEqual([m.type, m.role, m.model, m.stop_reason, m.stop_sequence], ['message', 'assistant', 'any', 'max_tokens', null]);
    assert.equal(m.content.length, 1);
    assert.equal(m.content[0].type, 'text');
    assert.equal(m.usage.output_tokens, 8);
    const again = await create({});
    assert.deepEqual(again.content, m.content);
    const sum = (u) => u.input_tokens + u.cache_read_input_tokens + u.cache_creation_input_tokens;
    assert.ok(again.usage.cache_read_input_tokens > 0);
    assert.equal(sum(again.usage), sum(m.usage));
    assert.equal((await create({ max_tokens: 200 })).stop_reason, 'end_turn');
    const text = (await create({ max_tokens: 200 })).content[0].text;
    const stop = await create({ max_tokens: 200, stop_sequences: ['qqqq', text.slice(3, 6)] });
    assert.deepEqual([stop.stop_reason, stop.stop_sequence], ['stop_sequence', text.slice(3, 6)]);
    assert.equal(stop.content.map((b) => b.text).join(''), text.slice(0, text.indexOf(text.slice(3, 6))));
    assert.equal((await create({ max_tokens: 1000, ignore_eos: true })).stop_reason, 'model_context_window_exceeded');
});

test('a stream is the message in pieces', async () => {
    const whole = await create({});
    const events = await all(await create({ stream: true }));
    const types = events.map((e) => e.type);
    assert.deepEqual(types.slice(0, 2), ['message_start', 'content_block_start']);
    assert.deepEqual(types.slice(-3), ['content_block_stop', 'message_delta', 'message_stop']);
    assert.ok(types.slice(2, -3).every((t) => t === 'content_block_delta'));
    assert.equal(events[0].message.usage.output_tokens, 0);
    const text = events.filter((e) => e.type === 'content_block_delta').map((e) => e.delta.text).join('');
    assert.equal(text, whole.content[0].text);
    const final = await client.messages.stream(request({})).finalMessage();
    assert.deepEqual(final.content, whole.content);
    assert.deepEqual([final.stop_reason, final.usage.output_tokens], [whole.stop_reason, whole.usage.output_tokens]);
    const raw = frames((await server.post('/v1/messages', request({ stream: true }))).text);
    assert.ok(raw.every((f) => f.event === JSON.parse(f.data).type));
    assert.ok(raw.some((f) => f.event === 'ping'));
});

test('thoughts are blocks of their own', async () => {
    const m = await create({ max_tokens: 60, grammar: thoughts }, {}, think);
    assert.deepEqual(m.content, [{ type: 'thinking', thinking: 'ab c', signature: '' }, { type: 'text', text: 'hello', citations: null }]);
    const events = await all(await create({ max_tokens: 60, grammar: thoughts, stream: true }, {}, think));
    const kinds = events.map((e) => e.content_block?.type ?? e.delta?.type ?? e.type).filter((k, i, l) => k !== l[i - 1]);
    assert.deepEqual(kinds, ['message_start', 'thinking', 'thinking_delta', 'signature_delta', 'content_block_stop', 'text', 'text_delta', 'content_block_stop',
        'message_delta', 'message_stop']);
    assert.deepEqual((await think.messages.stream(request({ max_tokens: 60, grammar: thoughts })).finalMessage()).content, m.content);
    const back = await create({ messages: [...user('a'), { role: 'assistant', content: m.content }, ...user('b')] }, {}, think);
    assert.equal(back.type, 'message');
});

test('tools are called', async () => {
    const m = await create({ max_tokens: 120, tools, grammar: calls, thinking: { type: 'disabled' } }, {}, think);
    assert.equal(m.stop_reason, 'tool_use');
    assert.deepEqual(m.content.map((b) => b.type), ['text', 'tool_use']);
    assert.deepEqual([m.content[1].name, m.content[1].input], ['get_time', { city: 'Rome é' }]);
    const s = think.messages.stream(request({ max_tokens: 120, tools, grammar: calls, thinking: { type: 'disabled' } }));
    const partial = [];
    s.on('inputJson', (piece) => partial.push(piece));
    const final = await s.finalMessage();
    assert.deepEqual(JSON.parse(partial.join('')), { city: 'Rome é' });
    assert.deepEqual([final.content[1].name, final.content[1].input, final.stop_reason], ['get_time', { city: 'Rome é' }, 'tool_use']);
    const result = { type: 'tool_result', tool_use_id: m.content[1].id, content: 'noon' };
    const next = await create({ tools, messages: [...user('a'), { role: 'assistant', content: m.content }, { role: 'user', content: [result] }] }, {}, think);
    assert.equal(next.type, 'message');
    await refused({ messages: [{ role: 'user', content: [result] }] }, /tool_use_id/, thinker);
});

test('counting', async () => {
    const { usage } = await create({ system: 'You know words.' });
    const n = await client.messages.countTokens({ model: 'any', messages: user('apple'), system: 'You know words.' });
    assert.deepEqual(n, { input_tokens: usage.input_tokens + usage.cache_read_input_tokens });
    const with_tools = await think.messages.countTokens({ model: 'any', messages: user('apple'), tools });
    const without = await think.messages.countTokens({ model: 'any', messages: user('apple') });
    assert.ok(with_tools.input_tokens > without.input_tokens);
    await refused({ max_tokens: 5 }, /^max_tokens: /, server, '/v1/messages/count_tokens', { messages: user('a') });
    await refused({}, /messages/, server, '/v1/messages/count_tokens', {});
});

test('thinking is honoured or refused', async () => {
    const enabled = { type: 'enabled', budget_tokens: 1024 };
    assert.equal((await create({ max_tokens: 2000, thinking: enabled, grammar: thoughts }, {}, think)).content[0].type, 'thinking');
    const on = await think.messages.countTokens({ model: 'any', messages: user('a') });
    const off = await think.messages.countTokens({ model: 'any', messages: user('a'), thinking: { type: 'disabled' } });
    assert.ok(off.input_tokens > on.input_tokens);
    assert.ok(await create({ thinking: { type: 'disabled' } }));
    assert.ok(await create({ thinking: { type: 'adaptive' } }));
    await refused({ max_tokens: 2000, thinking: enabled }, /^thinking: this model does not think/);
    await refused({ thinking: { type: 'enabled' } }, /^thinking\.budget_tokens: is needed/);
    await refused({ thinking: enabled }, /^thinking\.budget_tokens: must be less than max_tokens/);
    for (const thinking of [{ ...enabled, budget_tokens: 1023 }, { ...enabled, budget_tokens: 1e308 }, { type: 'always' }, {}, 'yes', { type: 'adaptive', display: 'omitted' },
        { type: 'disabled', x: 1 }])
        await refused({ thinking }, /^thinking/);
});

test('output_config', async () => {
    assert.ok(await create({ output_config: { effort: 'high' } }));
    assert.ok(await create({ output_config: { effort: 'low' } }, {}, think));
    await refused({ output_config: { effort: 'low' } }, /^output_config\.effort: /);
    await refused({ output_config: { effort: 'low' }, thinking: { type: 'disabled' } }, /^output_config\.effort: does not go/);
    await refused({ output_config: { effort: 'much' } }, /^output_config\.effort: /);
    await refused({ output_config: { format: { type: 'xml' } } }, /^output_config\.format\.type: /);
    await refused({ output_config: { format: { type: 'json_schema' } } }, /^output_config\.format\.schema: /);
});

test('fields are honoured or refused by name', async () => {
    for (const [name, value] of [['max_tokens', undefined], ['max_tokens', 0], ['max_tokens', 2 ** 31], ['max_tokens', '5'], ['temperature', 1.1], ['temperature', -1],
        ['top_p', 2], ['top_k', 1e308], ['stop_sequences', 'x'], ['stop_sequences', ['']], ['stop_sequences', [5]], ['stop', 'x'], ['stream', 'yes'], ['container', {}],
        ['inference_geo', 'eu'], ['diagnostics', {}], ['speed', 'fast'], ['service_tier', 'batch'], ['metadata', 5], ['mcp_servers', []], ['n', 2], ['no_such_field', 1],
        ['tools', {}], ['tool_choice', 'auto'], ['n_predict', 5], ['cache_control', 5], ['n_probs', 1], ['timings_per_token', true], ['return_progress', true]])
        await refused({ [name]: value }, new RegExp(`^${name}[:. ]`));
    for (const [fields, says] of [
        [{ messages: undefined }, /messages/], [{ messages: [] }, /messages/], [{ messages: [{ role: 'system', content: 'x' }] }, /messages\[0\]\.role/],
        [{ messages: [{ role: 'user', content: [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'x' } }] }] }, /images are not supported/],
        [{ tools: [{ type: 'bash_20250124', name: 'bash' }] }, /tools\[0\]/], [{ tool_choice: { type: 'any' } }, /tool_choice/], [{ system: 5 }, /system/],
    ])
        await refused(fields, says);
    await create({ metadata: { user_id: 'u' }, service_tier: 'auto', cache_control: { type: 'ephemeral' }, top_k: 5, top_p: 0.9, seed: 3,
        system: [{ type: 'text', text: 'Hi', cache_control: { type: 'ephemeral' } }] }, { headers: { 'anthropic-beta': 'x-2025-01-01' } });
});

test('errors have the shape of this API', async () => {
    await assert.rejects(create({ messages: user('cat '.repeat(400)) }), (e) => e instanceof Anthropic.BadRequestError && /context size/.test(e.message));
    const bad = new Anthropic({ baseURL: locked.url, apiKey: 'wrong', maxRetries: 0 });
    await assert.rejects(create({}, {}, bad), (e) => e instanceof Anthropic.AuthenticationError && e.error.error.type === 'authentication_error' && e.error.type === 'error');
    assert.ok(await create({}, {}, new Anthropic({ baseURL: locked.url, apiKey: 'secret' })));
    assert.ok(await create({}, {}, new Anthropic({ baseURL: locked.url, apiKey: null, authToken: 'secret' })));
    const json = await server.post('/v1/messages', '{');
    assert.deepEqual([json.status, json.json.type], [400, 'error']);
});

test('a client that leaves', async () => {
    const s = client.messages.stream(request({ max_tokens: 240, ignore_eos: true }));
    s.on('text', () => s.abort());
    await assert.rejects(s.done(), Anthropic.APIUserAbortError);
    assert.equal((await create({})).type, 'message');
});
