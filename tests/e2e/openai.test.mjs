// SPDX-License-Identifier: MIT
// OpenAI's own client against the server: chats, completions, embeddings, models.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { all, frames, Server, user } from './helper.mjs';

let server, client;
before(async () => {
    server = await Server.start(['-c', '1024', '--alias', 'dict', '--metrics']);
    client = server.openai();
});
after(async () => assert.equal(await server.stop(), 0));

const base = { model: 'dict', temperature: 0 };

test('models', async () => {
    const list = await all(client.models.list());
    assert.equal(list.length, 1);
    assert.equal(list[0].id, 'dict');
    assert.equal(list[0].object, 'model');
    assert.equal((await client.models.retrieve('dict')).id, 'dict');
    await assert.rejects(client.models.retrieve('other'), { status: 404 });
    assert.equal((await server.ask('GET', '/models')).json.data[0].id, 'dict');
});

test('a chat', async () => {
    const r = await client.chat.completions.create({ ...base, messages: user('define cat') });
    assert.match(r.id, /^chatcmpl-/);
    assert.equal(r.object, 'chat.completion');
    assert.equal(r.model, 'dict');
    assert.match(r.system_fingerprint, /^b/);
    assert.equal(r.choices.length, 1);
    assert.equal(r.choices[0].message.role, 'assistant');
    assert.match(r.choices[0].message.content, /^cat \(noun\): feline mammal/);
    assert.equal(r.choices[0].finish_reason, 'stop');
    assert.equal(r.choices[0].logprobs, null);
    assert.equal(r.usage.total_tokens, r.usage.prompt_tokens + r.usage.completion_tokens);
    assert.equal(r.timings.predicted_n, r.usage.completion_tokens);
    assert.match(r._request_id, /^[0-9a-f]{24}$/);
});

test('the second turn computes only what is new', async () => {
    const messages = user('define a word that nobody has asked for: gramophone');
    const first = await client.chat.completions.create({ ...base, messages });
    const again = await client.chat.completions.create({ ...base, messages });
    assert.equal(again.choices[0].message.content, first.choices[0].message.content);
    assert.equal(again.usage.prompt_tokens_details.cached_tokens, again.usage.prompt_tokens - 1);
    const cold = await client.chat.completions.create({ ...base, messages, cache_prompt: false });
    assert.equal(cold.usage.prompt_tokens_details.cached_tokens, 0);
    assert.equal(cold.choices[0].message.content, first.choices[0].message.content);
});

test('a stream has the order that clients expect', async () => {
    const request = { ...base, messages: user('define cat'), stream: true };
    const whole = await client.chat.completions.create({ ...base, messages: user('define cat') });
    const chunks = await all(await client.chat.completions.create({ ...request, stream_options: { include_usage: true } }));
    assert.deepEqual(chunks[0].choices[0].delta, { role: 'assistant', content: null });
    for (const c of chunks.slice(1, -1)) {
        assert.equal(c.choices[0].delta.role, undefined);
        assert.equal(c.id, chunks[0].id);
        assert.equal(c.object, 'chat.completion.chunk');
        assert.equal(c.usage, null);
    }
    assert.deepEqual(chunks.at(-1).choices, []);
    assert.equal(chunks.at(-1).usage.completion_tokens, whole.usage.completion_tokens);
    assert.equal(chunks.at(-2).choices[0].finish_reason, 'stop');
    assert.equal(chunks.filter((c) => c.choices[0]?.finish_reason).length, 1);
    const text = chunks.map((c) => c.choices[0]?.delta.content ?? '').join('');
    assert.equal(text, whole.choices[0].message.content);
    const raw = frames((await server.post('/v1/chat/completions', request)).text);
    assert.equal(raw.at(-1).data, '[DONE]');
    assert.ok(raw.slice(0, -1).every((f) => JSON.parse(f.data).choices.length === 1), 'no usage chunk unless it is asked for');
});

const timed = ['cache_n', 'predicted_ms', 'predicted_n', 'predicted_per_second', 'predicted_per_token_ms', 'prompt_ms', 'prompt_n', 'prompt_per_second', 'prompt_per_token_ms'];
function isTimed(t, n) {
    assert.deepEqual(Object.keys(t).filter((k) => !k.startsWith('draft')).sort(), timed);
    assert.equal(t.predicted_n, n);
    for (const k of timed.filter((k) => k !== 'cache_n' && k !== 'predicted_n')) assert.ok(t[k] > 0, `${k} of token ${n} is ${t[k]}`);
}

test('timings_per_token: the times so far in every chunk; without it in the last', async () => {
    const more = { ...base, stream: true, max_tokens: 4, ignore_eos: true };
    const calls = [(f) => client.chat.completions.create({ ...more, messages: user('define cat'), ...f }), (f) => client.completions.create({ ...more, prompt: 'cat', ...f })];
    for (const call of calls) {
        const list = (await all(await call({ timings_per_token: true }))).filter((c) => c.choices[0].delta?.role === undefined);
        list.slice(0, 4).forEach((c, i) => isTimed(c.timings, i + 1));
        isTimed(list.at(-1).timings, 4);
        const plain = await all(await call({}));
        assert.equal(plain.findIndex((c) => c.timings), plain.length - 1);
        isTimed(plain.at(-1).timings, 4);
        const usage = await all(await call({ stream_options: { include_usage: true } }));
        assert.equal(usage.findIndex((c) => c.timings), usage.length - 1);
        isTimed(usage.at(-1).timings, 4);
    }
});

test('return_progress', async () => {
    const more = { ...base, stream: true, max_tokens: 2, cache_prompt: false, return_progress: true };
    for (const call of [client.chat.completions.create({ ...more, messages: user('define cat') }), client.completions.create({ ...more, prompt: 'a cat is' })]) {
        const list = (await all(await call)).filter((c) => c.prompt_progress);
        assert.ok(list.length >= 2);
        assert.deepEqual(Object.keys(list[0].prompt_progress).sort(), ['cache', 'processed', 'time_ms', 'total']);
        assert.equal(list.at(-1).prompt_progress.processed, list[0].prompt_progress.total);
    }
});

test('the streaming helper of the client', async () => {
    const stream = client.chat.completions.stream({ ...base, messages: user('define dog'), n: 2, stream_options: { include_usage: true } });
    const deltas = [];
    stream.on('content', (d) => deltas.push(d));
    const done = await stream.finalChatCompletion();
    assert.equal(done.choices.length, 2);
    assert.equal(done.choices[0].message.content, done.choices[1].message.content);
    assert.ok(deltas.length > 2);
    assert.equal((await stream.totalUsage()).prompt_tokens, done.usage.prompt_tokens);
});

test('n choices with different seeds; the same seed says the same', async () => {
    const request = { ...base, temperature: 2, top_p: 1, seed: 7, n: 3, messages: user('define tree'), max_tokens: 20 };
    const a = await client.chat.completions.create({ ...request, top_k: 0, min_p: 0 });
    const b = await client.chat.completions.create({ ...request, top_k: 0, min_p: 0 });
    const texts = a.choices.map((c) => c.message.content);
    assert.deepEqual(texts, b.choices.map((c) => c.message.content));
    assert.equal(new Set(texts).size, 3);
    assert.deepEqual(a.choices.map((c) => c.index), [0, 1, 2]);
    const second = await client.chat.completions.create({ ...request, top_k: 0, min_p: 0, n: 1, seed: 8 });
    assert.equal(second.choices[0].message.content, texts[1]);
});

test('logprobs', async () => {
    const request = { ...base, messages: user('define cat'), max_tokens: 5, logprobs: true, top_logprobs: 3 };
    const r = await client.chat.completions.create(request);
    const content = r.choices[0].logprobs.content;
    assert.equal(content.map((t) => t.token).join(''), r.choices[0].message.content);
    for (const t of content) {
        assert.ok(t.logprob <= 0 && t.logprob > -1);
        assert.equal(Buffer.from(t.bytes).toString(), t.token);
        assert.equal(t.top_logprobs.length, 3);
        assert.equal(t.top_logprobs[0].token, t.token, 'greedy: the best one');
        assert.ok(t.top_logprobs[0].logprob >= t.top_logprobs[1].logprob);
    }
    const chunks = await all(await client.chat.completions.create({ ...request, stream: true }));
    assert.deepEqual(chunks.flatMap((c) => c.choices[0].logprobs?.content ?? []), content);
});

test('stop strings, limits, biases', async () => {
    const stop = await client.chat.completions.create({ ...base, messages: user('define cat'), stop: [' mammal', 'zzz'] });
    assert.equal(stop.choices[0].message.content, 'cat (noun): feline');
    assert.equal(stop.choices[0].finish_reason, 'stop');
    const short = await client.chat.completions.create({ ...base, messages: user('define cat'), max_completion_tokens: 3 });
    assert.equal(short.choices[0].finish_reason, 'length');
    assert.equal(short.usage.completion_tokens, 3);
    const bias = await client.chat.completions.create({ ...base, messages: user('define cat'), max_tokens: 1, logit_bias: { 2775: -100 } });
    assert.notEqual(bias.choices[0].message.content, 'cat');
});

test('a grammar', async () => {
    const r = await client.chat.completions.create({ ...base, messages: user('define cat'), grammar: 'root ::= "yes" | "no"' });
    assert.match(r.choices[0].message.content, /^(yes|no)$/);
    assert.equal(r.choices[0].finish_reason, 'stop');
});

test('completions', async () => {
    const r = await client.completions.create({ ...base, prompt: 'cat (noun):', max_tokens: 6 });
    assert.match(r.id, /^cmpl-/);
    assert.equal(r.object, 'text_completion');
    assert.equal(r.choices[0].finish_reason, 'length');
    assert.equal(r.usage.completion_tokens, 6);
    const chunks = await all(await client.completions.create({ ...base, prompt: 'cat (noun):', max_tokens: 6, stream: true }));
    assert.equal(chunks.map((c) => c.choices[0].text).join(''), r.choices[0].text);
    assert.equal(chunks.at(-1).choices[0].finish_reason, 'length');
});

test('completions of several prompts, as text and as tokens', async () => {
    const { json } = await server.post('/v1/completions', { ...base, prompt: ['cat', 'dog', [100, 200, 300]], n: 2, max_tokens: 4 });
    assert.deepEqual(json.choices.map((c) => c.index), [0, 1, 2, 3, 4, 5]);
    assert.equal(json.choices[0].text, json.choices[1].text);
    const one = await client.completions.create({ ...base, prompt: 'dog', max_tokens: 4 });
    assert.equal(json.choices[2].text, one.choices[0].text);
    const many = await client.completions.create({ ...base, prompt: Array(40).fill('cat'), max_tokens: 2 });
    assert.equal(many.choices.length, 40);
    assert.equal(new Set(many.choices.map((c) => c.text)).size, 1);
});

test('echo with logprobs', async () => {
    const r = await client.completions.create({ ...base, prompt: 'a cat is', max_tokens: 2, echo: true, logprobs: 2 });
    const c = r.choices[0];
    assert.ok(c.text.startsWith('a cat is'));
    assert.equal(c.logprobs.tokens.join(''), c.text);
    assert.equal(c.logprobs.token_logprobs[0], null);
    assert.ok(c.logprobs.token_logprobs.slice(1).every((p) => p < 0));
    assert.deepEqual(c.logprobs.text_offset.slice(0, 3), [0, 1, 5]);
    assert.equal(c.logprobs.top_logprobs[1] && Object.keys(c.logprobs.top_logprobs[1]).length, 2);
    const score = await client.completions.create({ ...base, prompt: 'a cat is', max_tokens: 0, echo: true, logprobs: 0 });
    assert.equal(score.choices[0].text, 'a cat is');
    assert.equal(score.usage.completion_tokens, 0);
});

test('embeddings: base64, which the client asks for, and floats are the same', async () => {
    const input = ['a cat', 'a dog', 'the law of large numbers'];
    const packed = await client.embeddings.create({ model: 'dict', input });
    const plain = await client.embeddings.create({ model: 'dict', input, encoding_format: 'float' });
    assert.equal(packed.data.length, 3);
    for (let i = 0; i < 3; i++) {
        assert.equal(packed.data[i].index, i);
        assert.deepEqual(packed.data[i].embedding, plain.data[i].embedding.map(Math.fround));
        const norm = Math.hypot(...plain.data[i].embedding);
        assert.ok(Math.abs(norm - 1) < 1e-5, `${norm}`);
    }
    const one = await client.embeddings.create({ model: 'dict', input: 'a dog' });
    assert.deepEqual(one.data[0].embedding, packed.data[1].embedding, 'alone and together');
    const tokens = await client.embeddings.create({ model: 'dict', input: [[5, 6, 7], [8]] });
    assert.equal(tokens.usage.prompt_tokens, 4);
    const many = await client.embeddings.create({ model: 'dict', input: Array(100).fill('a dog') });
    assert.deepEqual(many.data[99].embedding, one.data[0].embedding);
});
