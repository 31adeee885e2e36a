// SPDX-License-Identifier: MIT
// Clients that leave, wait, or come too late; the server's own end.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { all, frames, Server, until, user } from './helper.mjs';

// Long enough that nobody waits for its end.
const long = { messages: user('define cat'), ignore_eos: true, temperature: 0, stream: true };
const args = ['-c', '65536', '--metrics', '--no-speculate'];

test('a client that leaves frees its slot, streamed or not, running or waiting', async () => {
    const server = await Server.start([...args, '--parallel', '1']);
    const client = server.openai();
    const stream = await client.chat.completions.create(long);
    for await (const _ of stream) break; // leaves
    await server.busy(0, 0);
    const first = new AbortController(), second = new AbortController();
    const running = client.chat.completions.create({ ...long, stream: false }, { signal: first.signal });
    await server.busy(1, 0);
    const waiting = client.chat.completions.create(long, { signal: second.signal });
    await server.busy(1, 1);
    second.abort();
    await assert.rejects(waiting);
    await server.busy(1, 0);
    first.abort();
    await assert.rejects(running);
    await server.busy(0, 0);
    assert.equal(await server.metric('drover_jobs_canceled_total'), 3);
    // What is held is there for the next request: prefixes, and the end of the slot's last sequence.
    const held = (await server.metric('drover_kv_pages_used')) - (await server.metric('drover_kv_pages_cached'));
    assert.ok(held <= 1, `${held}`);
    assert.equal(await server.stop(), 0);
});

test('a full queue says 503 and when to come again; the client does, and is served', async () => {
    const server = await Server.start([...args, '--parallel', '1', '--queue', '1']);
    const client = server.openai();
    const leave = [new AbortController(), new AbortController()];
    const jobs = [];
    for (let i = 0; i < 2; i++) {
        jobs.push(client.chat.completions.create({ ...long, stream: false }, { signal: leave[i].signal }).catch(() => 'left'));
        await server.busy(1, i);
    }
    const r = await server.post('/v1/chat/completions', { messages: user('x') });
    assert.equal(r.status, 503);
    assert.equal(r.json.error.type, 'unavailable_error');
    assert.ok(Number(r.headers.get('retry-after')) >= 1 && Number(r.headers.get('retry-after')) < 60);
    await assert.rejects(client.chat.completions.create({ messages: user('x') }), { status: 503 });
    const patient = server.openai({ maxRetries: 20 }).chat.completions.create({ messages: user('define cat'), temperature: 0 });
    await until(async () => (await server.metric('drover_http_refused_total')) >= 3);
    leave.forEach((l) => l.abort());
    assert.match((await patient).choices[0].message.content, /^cat/);
    assert.deepEqual(await Promise.all(jobs), ['left', 'left']);
    assert.equal(await server.stop(), 0);
});

test('a stream that waits gets comment lines', async () => {
    const server = await Server.start([...args, '--parallel', '1', '--sse-ping', '0.05']);
    const leave = new AbortController();
    const running = server.openai().chat.completions.create({ ...long, stream: false }, { signal: leave.signal }).catch(() => 'left');
    await server.busy(1, 0);
    const waiting = await fetch(server.url + '/v1/chat/completions', { method: 'POST', body: JSON.stringify({ ...long, ignore_eos: false }) });
    let text = '';
    const reader = waiting.body.getReader();
    while (!/: ping\n\n: ping\n\n/.test(text)) text += Buffer.from((await reader.read()).value).toString();
    leave.abort();
    await running;
    for (let r = await reader.read(); !r.done; r = await reader.read()) text += Buffer.from(r.value).toString();
    const list = frames(text);
    assert.equal(list.at(-1).data, '[DONE]');
    assert.equal(JSON.parse(list.find((f) => f.data).data).choices[0].delta.role, 'assistant');
    assert.equal(await server.stop(), 0);
});

test('so does one whose prompt is long', async () => {
    const server = await Server.start([...args, '--sse-ping', '0.02']);
    const request = { prompt: 'cat '.repeat(3000), max_tokens: 1, stream: true };
    for (const path of ['/v1/completions', '/completion']) {
        const r = await server.post(path, { ...request, cache_prompt: false });
        const list = frames(r.text);
        assert.equal(list[0].comment, 'ping');
        const first = list.findIndex((f) => f.data);
        assert.ok(list.slice(0, first).every((f) => f.comment === 'ping'));
    }
    assert.equal(await server.stop(), 0);
});

test('a reader that is slow gets everything, and holds up nobody, not even with the only slot', async () => {
    const server = await Server.start([...args, '--parallel', '1']);
    const request = { ...long, max_tokens: 6000, logprobs: true, top_logprobs: 20 };
    const slow = await fetch(server.url + '/v1/chat/completions', { method: 'POST', body: JSON.stringify(request) });
    for (let i = 0; i < 5; i++) {
        const other = await server.openai().chat.completions.create({ messages: user('define cat'), temperature: 0 });
        assert.match(other.choices[0].message.content, /^cat/);
    }
    const list = frames(await slow.text());
    assert.equal(list.at(-1).data, '[DONE]');
    const n = list.slice(0, -1).flatMap((f) => JSON.parse(f.data).choices[0].logprobs?.content ?? []).length;
    assert.equal(n, 6000);
    assert.equal(await server.stop(), 0);
});

test('SIGTERM: what runs is finished, what comes gets 503', async () => {
    const server = await Server.start(args);
    const stream = await server.openai().chat.completions.create({ ...long, max_tokens: 3000 });
    const chunks = all(stream);
    await server.busy(1, 0);
    const stopped = server.stop();
    await server.see(/draining/);
    const r = await server.post('/v1/completions', { prompt: 'x' });
    assert.equal(r.status, 503);
    assert.ok(r.headers.get('retry-after'));
    assert.equal((await server.ask('GET', '/health')).status, 503);
    assert.equal((await chunks).at(-1).choices[0].finish_reason, 'length');
    assert.equal(await stopped, 0);
});

test('SIGTERM with a limit, and a second signal', async () => {
    for (const [options, signals] of [[['--drain', '0.2'], 1], [[], 2]]) {
        const server = await Server.start([...args, ...options]);
        const stream = await server.openai().chat.completions.create(long);
        const broken = assert.rejects(all(stream));
        await server.busy(1, 0);
        const stopped = server.stop();
        if (signals === 2) {
            await server.see(/draining/);
            server.child.kill('SIGTERM');
        }
        assert.equal(await stopped, 0);
        await broken;
    }
});
