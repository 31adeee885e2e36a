// SPDX-License-Identifier: MIT
// 64 streams at once with the client that people use: all of them whole, and as each would be alone; some leave, some come when there is no room, some when it ends.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server, all, user } from './helper.mjs';

const N = 64;
const words = ['apple', 'cat', 'dog', 'house', 'river', 'stone', 'tree', 'winter'];
const question = (i) => ({ model: 'm', messages: user(`${words[i % words.length]} ${i}`), temperature: i % 2, seed: i, max_tokens: 150 + i, ignore_eos: true, stream: true, stream_options: { include_usage: true } });
const args = ['-c', '32768', '--metrics', '--log-level', 'error'];
const numbers = Array.from({ length: N }, (_, i) => i);

/** Text of a stream that must be whole: a role, text, an end, the usage. */
function whole(chunks, i) {
    assert.equal(chunks[0].choices[0].delta.role, 'assistant', `${i}`);
    assert.equal(chunks.at(-1).usage.completion_tokens, question(i).max_tokens, `${i}`);
    assert.equal(chunks.at(-2).choices[0].finish_reason, 'length', `${i}`);
    return chunks.map((c) => c.choices[0]?.delta.content ?? '').join('');
}

/** What each says when nobody else is there. */
let alone;
async function expected() {
    if (alone !== undefined) return alone;
    const server = await Server.start([...args, '--parallel', '1']);
    const texts = [];
    for (const i of numbers) texts.push(whole(await all(await server.openai().chat.completions.create(question(i))), i));
    assert.equal(await server.stop(), 0);
    assert.ok(new Set(texts).size > N / 2);
    return (alone = texts);
}

for (const parallel of [64, 6])
    test(`64 streams, ${parallel} slots`, async () => {
        const want = await expected();
        const server = await Server.start([...args, '--parallel', `${parallel}`, '--queue', '64']);
        const client = server.openai();
        const streams = await Promise.all(numbers.map((i) => client.chat.completions.create(question(i)))); // each has its head: none was refused
        const texts = await Promise.all(streams.map(async (s, i) => whole(await all(s), i)));
        assert.deepEqual(texts, want);
        assert.equal(await server.metric('drover_http_refused_total'), 0);
        await server.busy(0, 0);
        assert.equal(await server.stop(), 0);
    });

test('64 streams for 4 slots and a queue of 8: 503, and the client comes again until it is served', async () => {
    const want = await expected();
    const server = await Server.start([...args, '--parallel', '4', '--queue', '8']);
    const client = server.openai({ maxRetries: 100 });
    const texts = await Promise.all(numbers.map(async (i) => whole(await all(await client.chat.completions.create(question(i))), i)));
    assert.deepEqual(texts, want);
    assert.ok((await server.metric('drover_http_refused_total')) >= N - 12);
    await server.busy(0, 0);
    assert.equal(await server.stop(), 0);
});

test('every second of 64 streams leaves in the middle: the others do not notice, and everything is free again', async () => {
    const want = await expected();
    const server = await Server.start([...args, '--parallel', '16', '--queue', '64']);
    const client = server.openai();
    const streams = await Promise.all(numbers.map((i) => client.chat.completions.create(i % 2 ? { ...question(i), max_tokens: 30000 } : question(i))));
    const texts = await Promise.all(
        streams.map(async (s, i) => {
            if (i % 2 === 0) return whole(await all(s), i);
            let n = 0;
            for await (const _ of s) if (++n > i) break; // leaves
            return null;
        }),
    );
    texts.forEach((text, i) => assert.equal(text, i % 2 ? null : want[i]));
    await server.busy(0, 0);
    assert.equal(await server.metric('drover_jobs_canceled_total'), N / 2);
    const held = (await server.metric('drover_kv_pages_used')) - (await server.metric('drover_kv_pages_cached'));
    assert.ok(held <= 16, `${held}`); // the end of each slot's last sequence
    assert.equal(await server.stop(), 0);
});

test('SIGTERM among 64 streams: what was taken is finished, what comes is refused, the exit code is 0', async () => {
    const want = await expected();
    const server = await Server.start(['-c', '32768', '--metrics', '--parallel', '16', '--queue', '64', '--drain', '250']);
    const client = server.openai();
    const streams = await Promise.all(numbers.map((i) => client.chat.completions.create(question(i))));
    // One that lasts, so that the server is still there when it is asked again.
    const long = await client.chat.completions.create({ ...question(0), max_tokens: 30000, ignore_eos: true });
    const texts = Promise.all(streams.map(async (s, i) => whole(await all(s), i)));
    const stopped = server.stop();
    await server.see(/draining/);
    await assert.rejects(client.chat.completions.create(question(0)), { status: 503 });
    long.controller.abort();
    assert.deepEqual(await texts, want);
    assert.equal(await stopped, 0);
});
