// SPDX-License-Identifier: MIT
// Structured outputs and tools: a model of six million weights that knows neither must answer in form all the same.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { all, Server, user } from './helper.mjs';

let server, client;
before(async () => {
    server = await Server.start(['-c', '4096']);
    client = server.openai();
});
after(async () => assert.equal(await server.stop(), 0));

const base = { model: 'm', messages: user('define cat'), max_tokens: 1000 };

const person = {
    type: 'object',
    properties: { name: { type: 'string', maxLength: 12 }, age: { type: 'integer', minimum: 0, maximum: 150 }, tags: { type: 'array', items: { enum: ['a', 'b'] }, maxItems: 3 } },
    required: ['name', 'age', 'tags'],
    additionalProperties: false,
};

function isPerson(p) {
    assert.deepEqual(Object.keys(p), ['name', 'age', 'tags']);
    assert.ok(typeof p.name === 'string' && [...p.name].length <= 12);
    assert.ok(Number.isInteger(p.age) && p.age >= 0 && p.age <= 150);
    assert.ok(p.tags.length <= 3 && p.tags.every((t) => t === 'a' || t === 'b'));
}

test('json_schema, in the three ways to say it', async () => {
    for (const fields of [{ response_format: { type: 'json_schema', json_schema: { name: 'person', strict: true, schema: person } } },
        { response_format: { type: 'json_object', schema: person } }, { json_schema: person }])
        for (const temperature of [0, 1.5]) {
            const r = await client.chat.completions.create({ ...base, temperature, seed: 3, ...fields });
            assert.equal(r.choices[0].finish_reason, 'stop');
            isPerson(JSON.parse(r.choices[0].message.content));
        }
});

test('json_schema, streamed and for completions', async () => {
    const chunks = await all(await client.chat.completions.create({ ...base, temperature: 0, stream: true, json_schema: person }));
    isPerson(JSON.parse(chunks.map((c) => c.choices[0]?.delta.content ?? '').join('')));
    const r = await client.completions.create({ model: 'm', prompt: 'cat', max_tokens: 500, seed: 1, json_schema: person });
    isPerson(JSON.parse(r.choices[0].text));
});

test('json_object', async () => {
    for (const seed of [1, 2, 3]) {
        const r = await client.chat.completions.create({ ...base, seed, response_format: { type: 'json_object' } });
        if (r.choices[0].finish_reason === 'stop') assert.equal(typeof JSON.parse(r.choices[0].message.content), 'object');
        else assert.match(r.choices[0].message.content, /^\s*\{/);
    }
});

test('what cannot be enforced is refused by name', async () => {
    const format = (schema) => ({ response_format: { type: 'json_schema', json_schema: { name: 'x', schema } } });
    for (const [fields, says, param] of [
        [format({ type: 'object', if: {} }), /'if'|"if"/, 'response_format.json_schema'],
        [format({ type: 'string', pattern: '(a)\\1' }), /pattern/, 'response_format.json_schema'],
        [format({ $ref: '#/nowhere' }), /ref/, 'response_format.json_schema'],
        [format({ type: 'thing' }), /type/, 'response_format.json_schema'],
        [format(5), /schema/, 'response_format.json_schema'],
        [{ response_format: { type: 'json_schema' } }, /schema/, 'response_format.json_schema.schema'],
        [{ response_format: {} }, /json_schema/, 'response_format.type'],
        [{ response_format: { type: 5 } }, /string/, 'response_format.type'],
        [{ response_format: { type: 'text', schema: {} } }, /schema/, 'response_format.type'],
        [{ response_format: { type: 'json_object', grammar: 'x' } }, /not known/, 'response_format.grammar'],
        [{ response_format: { type: 'json_schema', json_schema: { schema: {}, stric: true } } }, /not known/, 'response_format.json_schema.stric'],
        [{ response_format: { type: 'json_object' }, grammar: 'root ::= "x"' }, /contradicts/, 'grammar'],
    ])
        await assert.rejects(client.chat.completions.create({ ...base, ...fields }), (e) => e.status === 400 && says.test(e.message) && e.param === param);
});

const tool = (name, parameters) => ({ type: 'function', function: { name, description: `does ${name}`, parameters } });
const tools = [
    tool('get_weather', { type: 'object', properties: { city: { enum: ['Berlin', 'Rome'] }, days: { type: 'integer', minimum: 1, maximum: 7 } }, required: ['city', 'days'], additionalProperties: false }),
    tool('stop_all', { type: 'object', properties: {}, additionalProperties: false }),
];

function isCall(call, name) {
    assert.equal(call.type, 'function');
    assert.match(call.id, /^\w{9,}$/);
    if (name) assert.equal(call.function.name, name);
    const args = JSON.parse(call.function.arguments);
    if (call.function.name === 'stop_all') assert.deepEqual(args, {});
    else assert.ok(['Berlin', 'Rome'].includes(args.city) && args.days >= 1 && args.days <= 7);
}

test('tool_choice required and named', async () => {
    for (const seed of [1, 2, 3]) {
        const any = await client.chat.completions.create({ ...base, seed, tools, tool_choice: 'required', parallel_tool_calls: false });
        assert.equal(any.choices[0].finish_reason, 'tool_calls');
        assert.equal(any.choices[0].message.tool_calls.length, 1);
        assert.equal(any.choices[0].message.content, null);
        isCall(any.choices[0].message.tool_calls[0]);
        const named = await client.chat.completions.create({ ...base, seed, tools, tool_choice: { type: 'function', function: { name: 'get_weather' } } });
        isCall(named.choices[0].message.tool_calls[0], 'get_weather');
    }
});

test('streamed calls, with the helper of the client', async () => {
    const request = { ...base, temperature: 0, tools, tool_choice: { type: 'function', function: { name: 'get_weather' } } };
    const whole = await client.chat.completions.create(request);
    const stream = client.chat.completions.stream(request);
    const done = await stream.finalChatCompletion();
    assert.equal(done.choices[0].finish_reason, 'tool_calls');
    isCall(done.choices[0].message.tool_calls[0], 'get_weather');
    assert.equal(done.choices[0].message.tool_calls[0].function.arguments, whole.choices[0].message.tool_calls[0].function.arguments);
    const chunks = await all(await client.chat.completions.create({ ...request, stream: true }));
    const deltas = chunks.flatMap((c) => c.choices[0]?.delta.tool_calls ?? []);
    assert.equal(deltas[0].index, 0);
    assert.ok(deltas[0].id && deltas[0].function.name === 'get_weather');
    for (const d of deltas.slice(1)) assert.ok(d.id === undefined && typeof d.function.arguments === 'string');
});

test('tools that the model may call, or may not', async () => {
    const auto = await client.chat.completions.create({ ...base, temperature: 0, tools });
    for (const call of auto.choices[0].message.tool_calls ?? []) isCall(call);
    const none = await client.chat.completions.create({ ...base, temperature: 0, tools, tool_choice: 'none' });
    assert.equal(none.choices[0].message.tool_calls, undefined);
    const history = [...user('weather?'), { role: 'assistant', content: null, tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'get_weather', arguments: '{"city":"Rome","days":1}' } }] },
        { role: 'tool', tool_call_id: 'call_1', content: 'sunny' }];
    const r = await client.chat.completions.create({ ...base, messages: history, temperature: 0, tools, max_tokens: 20 });
    assert.equal(r.choices.length, 1);
});

test('tools and a form: a call or an answer in the form', async () => {
    const both = { ...base, tools, response_format: { type: 'json_schema', json_schema: { name: 'person', schema: person } } };
    for (const seed of [1, 2, 3, 4]) {
        const { message, finish_reason } = (await client.chat.completions.create({ ...both, seed, temperature: 1.5 })).choices[0];
        assert.ok(finish_reason === 'stop' || finish_reason === 'tool_calls');
        if (message.tool_calls) message.tool_calls.forEach((c) => isCall(c));
        else isPerson(JSON.parse(message.content));
        isPerson(JSON.parse((await client.chat.completions.create({ ...both, seed, tool_choice: 'none' })).choices[0].message.content));
        const must = (await client.chat.completions.create({ ...both, seed, tool_choice: 'required', parallel_tool_calls: false })).choices[0];
        isCall(must.message.tool_calls[0]);
        assert.equal(must.message.content, null);
    }
});

test('tools and history that make no sense', async () => {
    const bad = (fields, says) => assert.rejects(client.chat.completions.create({ ...base, ...fields }), (e) => e.status === 400 && says.test(e.message));
    await bad({ tools: [{ type: 'web_search' }] }, /tools\[0\]/);
    await bad({ tools: [tool('a b', {})] }, /tools\[0\]/);
    await bad({ tools: [tool('a', {}), tool('a', {})] }, /tools/);
    await bad({ tools: [tool('a', { type: 'object', properties: { x: { not: {} } } })] }, /tools.*not/);
    await bad({ tool_choice: 'required' }, /tool_choice/);
    await bad({ tools, tool_choice: { type: 'function', function: { name: 'other' } } }, /tool_choice/);
    await bad({ tools, tool_choice: 'required', grammar: 'root ::= "x"' }, /tool_choice/);
    await bad({ messages: [{ role: 'assistant', content: null, tool_calls: [{ id: 'x', type: 'function', function: { name: 'f', arguments: '{' } }] }] }, /messages\[0\]\.tool_calls\[0\]/);
});
