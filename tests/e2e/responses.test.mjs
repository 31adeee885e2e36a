// SPDX-License-Identifier: MIT
// OpenAI's Responses API with OpenAI's own client.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Server, all, frames, root } from './helper.mjs';

const tools = [{ type: 'function', name: 'get_time', description: 'The time', strict: true, parameters: { type: 'object', properties: { city: { type: 'string' } } } }];
const thoughts = 'root ::= "<think>ab c</think>\\n\\nhello"';
const call = '<tool_call>{\\"name\\": \\"get_time\\", \\"arguments\\": {\\"city\\": \\"Rome é\\"}}</tool_call>';
const calls = `root ::= "ok ${call}\\n${call}"`;

let server, thinker, client, think;
before(async () => {
    server = await Server.start(['-c', '256']);
    thinker = await Server.start(['-c', '256', '--chat-template-file', root + 'tests/e2e/think-tools.jinja']);
    client = server.openai();
    think = thinker.openai();
});
after(async () => {
    for (const s of [server, thinker]) assert.equal(await s.stop(), 0);
});

const request = (fields) => ({ model: 'any', max_output_tokens: 8, temperature: 0, input: 'apple', ...fields });
const create = (fields, c = client) => c.responses.create(request(fields));

async function refused(fields, param, path = '/v1/responses', base = request({})) {
    const r = await server.post(path, { ...base, ...fields });
    assert.equal(r.status, 400, `${JSON.stringify(fields)}: ${r.text}`);
    assert.equal(r.json.error.type, 'invalid_request_error');
    if (param) assert.equal(r.json.error.param, param, r.text);
}

test('a response', async () => {
    const r = await create({ max_output_tokens: 200, metadata: { a: 'b' }, instructions: 'Be short.' });
    assert.match(r.id, /^resp_/);
    assert.deepEqual([r.object, r.status, r.error, r.incomplete_details, r.model, r.store], ['response', 'completed', null, null, 'any', false]);
    assert.deepEqual([r.metadata, r.instructions, r.max_output_tokens, r.temperature], [{ a: 'b' }, 'Be short.', 200, 0]);
    assert.equal(r.output.length, 1);
    assert.match(r.output[0].id, /^msg_/);
    assert.deepEqual([r.output[0].type, r.output[0].role, r.output[0].status], ['message', 'assistant', 'completed']);
    assert.equal(r.output_text, r.output[0].content[0].text);
    assert.ok(r.output_text.length > 0);
    assert.equal(r.usage.total_tokens, r.usage.input_tokens + r.usage.output_tokens);
    assert.ok((await create({ instructions: 'Be short.' })).usage.input_tokens_details.cached_tokens > 0);
    const cut = await create({ max_output_tokens: 2 });
    assert.deepEqual([cut.status, cut.incomplete_details, cut.output[0].status, cut.usage.output_tokens],
        ['incomplete', { reason: 'max_output_tokens' }, 'incomplete', 2]);
    const bare = await server.post('/responses', request({}));
    assert.equal(bare.status, 200);
});

test('a stream is the response in pieces', async () => {
    const whole = await create({});
    const events = await all(await create({ stream: true }));
    assert.deepEqual(events.map((e) => e.sequence_number), events.map((_, i) => i));
    const types = events.map((e) => e.type);
    assert.deepEqual(types.filter((t, i) => t !== types[i - 1]), ['response.created', 'response.in_progress', 'response.output_item.added', 'response.content_part.added',
        'response.output_text.delta', 'response.output_text.done', 'response.content_part.done', 'response.output_item.done', 'response.incomplete']);
    const text = events.filter((e) => e.type === 'response.output_text.delta').map((e) => e.delta).join('');
    assert.equal(text, whole.output_text);
    assert.deepEqual(events.at(-1).response.output[0].content, whole.output[0].content);
    assert.equal(events[0].response.status, 'in_progress');
    const final = await client.responses.stream(request({})).finalResponse();
    assert.deepEqual([final.output_text, final.status, final.usage.output_tokens], [whole.output_text, 'incomplete', 8]);
    assert.equal((await client.responses.stream(request({ max_output_tokens: 200 })).finalResponse()).status, 'completed');
    const raw = frames((await server.post('/v1/responses', request({ stream: true }))).text);
    assert.ok(raw.every((f) => f.event === JSON.parse(f.data).type));
});

test('thoughts are an item of their own', async () => {
    const fields = { max_output_tokens: 60, grammar: thoughts };
    const r = await create(fields, think);
    assert.deepEqual(r.output.map((o) => [o.type, o.content[0].type, o.content[0].text]), [['reasoning', 'reasoning_text', 'ab c'], ['message', 'output_text', 'hello']]);
    assert.ok(r.usage.output_tokens_details.reasoning_tokens > 0);
    const types = (await all(await create({ ...fields, stream: true }, think))).map((e) => e.type);
    assert.deepEqual(types.filter((t, i) => t !== types[i - 1]).slice(2, 8), ['response.output_item.added', 'response.content_part.added', 'response.reasoning_text.delta',
        'response.reasoning_text.done', 'response.content_part.done', 'response.output_item.done']);
    const final = await think.responses.stream(request(fields)).finalResponse();
    const bare = (o) => o.map(({ id, ...rest }) => rest);
    assert.deepEqual(bare(JSON.parse(JSON.stringify(final.output))).map((o) => o.content[0].text), ['ab c', 'hello']);
    const back = await create({ input: [{ role: 'user', content: 'a' }, ...r.output, { role: 'user', content: 'b' }] }, think);
    assert.equal(back.object, 'response');
});

test('tools are called', async () => {
    const fields = { max_output_tokens: 200, tools, grammar: calls, chat_template_kwargs: { enable_thinking: false } };
    const r = await create(fields, think);
    assert.equal(r.status, 'completed');
    assert.deepEqual(r.output.map((o) => o.type), ['message', 'function_call', 'function_call']);
    assert.deepEqual([r.output[1].name, JSON.parse(r.output[1].arguments), r.output[1].status], ['get_time', { city: 'Rome é' }, 'completed']);
    assert.notEqual(r.output[1].call_id, r.output[2].call_id);
    assert.deepEqual(r.tools, tools);
    const s = think.responses.stream(request(fields));
    const pieces = {};
    s.on('response.function_call_arguments.delta', (e) => (pieces[e.output_index] = (pieces[e.output_index] ?? '') + e.delta));
    const final = await s.finalResponse();
    assert.deepEqual(Object.keys(pieces), ['1', '2']);
    assert.deepEqual(JSON.parse(pieces[1]), { city: 'Rome é' });
    assert.deepEqual(final.output.map((o) => o.type), ['message', 'function_call', 'function_call']);
    assert.deepEqual(JSON.parse(final.output[2].arguments), { city: 'Rome é' });
    const answers = r.output.slice(1).map((o) => ({ type: 'function_call_output', call_id: o.call_id, output: 'noon' }));
    const next = await create({ tools, input: [{ role: 'user', content: 'a' }, ...r.output, ...answers] }, think);
    assert.equal(next.object, 'response');
    await refused({ input: answers }, undefined);
});

test('counting', async () => {
    const { usage } = await create({});
    assert.deepEqual({ ...(await client.responses.inputTokens.count({ model: 'any', input: 'apple' })) }, { object: 'response.input_tokens', input_tokens: usage.input_tokens });
    await refused({ personality: 'friendly' }, 'personality', '/v1/responses/input_tokens', { input: 'a' });
    await refused({}, undefined, '/v1/responses/input_tokens', {});
});

test('nothing is stored', async () => {
    for (const [name, value] of [['previous_response_id', 'resp_1'], ['conversation', 'conv_1'], ['conversation', { id: 'conv_1' }], ['background', true], ['store', true],
        ['prompt', { id: 'p' }]])
        await refused({ [name]: value }, name);
    await assert.rejects(client.responses.retrieve('resp_1'), { status: 404 });
    await assert.rejects(client.responses.delete('resp_1'), { status: 404 });
    await assert.rejects(client.responses.cancel('resp_1'), { status: 404 });
    assert.equal((await server.ask('GET', '/v1/responses/resp_1/input_items')).json.error.type, 'not_found_error');
    assert.equal((await server.post('/v1/responses/compact', {})).status, 501);
    assert.ok(await create({ store: false, background: false, previous_response_id: null }));
});

test('fields are honoured or refused by name', async () => {
    for (const [name, value] of [['max_output_tokens', 0], ['max_output_tokens', 2 ** 31], ['max_output_tokens', '5'], ['temperature', 2.1], ['top_p', -1], ['truncation', 'auto'],
        ['top_logprobs', 3], ['include', 'x'], ['include', ['message.output_text.logprobs']], ['include', [5]], ['max_tool_calls', 1], ['moderation', {}], ['stop', 'x'],
        ['context_management', []], ['max_tokens', 5], ['response_format', {}], ['service_tier', 'flex'], ['instructions', []], ['no_such_field', 1], ['metadata', 'x'],
        ['stream', 1], ['tools', {}], ['parallel_tool_calls', 'x'], ['n', 2], ['timings_per_token', true], ['return_progress', true]])
        await refused({ [name]: value }, name);
    for (const [fields, param] of [
        [{ reasoning: { effort: 'much' } }, 'reasoning.effort'], [{ reasoning: { effort: 'low' } }, 'reasoning.effort'], [{ reasoning: { summary: 'detailed' } }, 'reasoning.summary'],
        [{ reasoning: { x: 1 } }, 'reasoning.x'], [{ reasoning: 'low' }, 'reasoning'], [{ text: { verbosity: 'high' } }, 'text.verbosity'],
        [{ text: { format: { type: 'xml' } } }, 'text.format.type'], [{ text: { format: {} } }, 'text.format.type'], [{ text: { format: { type: 'json_schema', name: 'x' } } }, 'text.format.schema'],
        [{ text: 'x' }, 'text'], [{ stream_options: { include_obfuscation: true } }, 'stream_options.include_obfuscation'], [{ input: undefined }, undefined], [{ input: [] }, undefined],
        [{ input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'x' }] }] }, undefined], [{ tools: [{ type: 'web_search' }] }, undefined],
        [{ tool_choice: 'required' }, undefined], [{ input: [{ type: 'item_reference', id: 'x' }] }, undefined],
    ])
        await refused(fields, param);
    assert.ok(await create({ user: 'u', service_tier: 'default', truncation: 'disabled', text: { format: { type: 'text' }, verbosity: 'medium' }, top_p: 0.9,
        include: ['reasoning.encrypted_content'], reasoning: { summary: 'auto' }, prompt_cache_key: 'k', parallel_tool_calls: true, stream_options: { include_obfuscation: false } }));
    assert.ok(await create({ reasoning: { effort: 'none' } }));
    assert.ok(await create({ reasoning: { effort: 'high' } }, think));
});

test('errors', async () => {
    await assert.rejects(create({ input: 'cat '.repeat(400) }), (e) => e.status === 400 && /context size/.test(e.message));
    await assert.rejects(create({ input: 'cat '.repeat(400), stream: true }), (e) => e.status === 400 && e.type === 'exceed_context_size_error');
});
