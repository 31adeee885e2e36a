// SPDX-License-Identifier: MIT
// Clients that are slow, silent, many or gone: those that behave are served all the time.
import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';
import { Reply, long, sound } from './faults.mjs';
import { all, until, user } from './helper.mjs';
import { Service } from './service.mjs';

const question = { model: 'pocket-dictionary', messages: user('hello'), max_tokens: 4 };
const serves = async (s) => {
    const r = await s.post('/v1/chat/completions', question);
    assert.equal(r.status, 200, r.text);
};
const free = (s) => until(async () => (await s.instances()).every((i) => i.running === 0 && i.waiting === 0));

/** A connection: what came so far, and whether the other side has ended it. */
class Socket {
    static open(s, text = '') {
        const c = new Socket();
        c.text = '';
        c.ended = false;
        c.socket = net.connect(new URL(s.url).port, '127.0.0.1');
        c.socket.on('data', (d) => (c.text += d));
        c.socket.on('error', () => (c.ended = true));
        c.socket.on('close', () => (c.ended = true));
        c.opened = new Promise((resolve) => (c.socket.once('connect', resolve), c.socket.once('error', resolve)));
        if (text !== '') c.socket.write(text);
        return c;
    }
    close() {
        this.socket.destroy();
    }
}
const head = (length, more = '') => `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n${more}\r\n`;

test('1000 connections that say nothing: others are served, and they are let go in the end', async () => {
    const s = await Service.start({ settings: { 'limits.idle_time': '5s', 'limits.head_time': '5s' } });
    const idle = Array.from({ length: 1000 }, () => Socket.open(s));
    await Promise.all(idle.map((c) => c.opened));
    const streams = Array.from({ length: 8 }, (_, i) => Reply.open(s, '/v1/chat/completions', long(200, i)));
    for (let i = 0; i < 50; i++) await serves(s);
    for (const r of streams) assert.equal((await r.done).events.at(-1), '[DONE]');
    await until(() => idle.every((c) => c.ended));
    await sound(s);
    assert.equal(await s.end(), 0);
});

test('more connections than there may be: the oldest idle ones make room, and who works stays', async () => {
    const s = await Service.start({ settings: { 'limits.connections': 50 } });
    const stream = Reply.open(s, '/v1/chat/completions', long(800));
    await until(() => stream.said !== '');
    const idle = Array.from({ length: 200 }, () => Socket.open(s));
    await Promise.all(idle.map((c) => c.opened));
    for (let i = 0; i < 20; i++) await serves(s);
    assert.equal((await stream.done).events.at(-1), '[DONE]');
    idle.forEach((c) => c.close());
    await sound(s);
    assert.equal(await s.end(), 0);
});

test('connections of one address are bounded', async () => {
    const s = await Service.start({ settings: { 'limits.connections_per_address': 10 } });
    const idle = Array.from({ length: 10 }, () => Socket.open(s, 'GET'));
    await Promise.all(idle.map((c) => c.opened));
    await new Promise((r) => setTimeout(r, 100));
    const next = Socket.open(s, 'GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await until(() => next.ended);
    assert.doesNotMatch(next.text, /200 OK/);
    idle.forEach((c) => c.close());
    await until(async () => (await s.get('/health').catch(() => ({}))).status === 200);
    assert.equal(await s.end(), 0);
});

test('slowloris: heads and bodies that drip are cut in time, also when there are hundreds', async () => {
    const s = await Service.start({ settings: { 'limits.head_time': '1s', 'limits.body_time': '1s' } });
    const slow = Array.from({ length: 300 }, (_, i) => Socket.open(s, i % 2 ? 'POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nX: ' : head(1000)));
    const drip = setInterval(() => slow.forEach((c) => !c.ended && c.socket.write('a')), 100);
    for (let i = 0; i < 30; i++) await serves(s);
    await until(() => slow.every((c) => c.ended));
    clearInterval(drip);
    assert.ok(slow.every((c) => c.text === '' || /^HTTP\/1\.1 408 /.test(c.text)), slow.find((c) => c.text)?.text);
    await sound(s);
    assert.equal(await s.end(), 0);
});

test('clients that do not read: they hold their own places only, are cut, and cost no memory', async () => {
    const s = await Service.start({ settings: { 'limits.stall_time': '2s', 'defaults.parallel': 8, 'defaults.context': 65536 } });
    await serves(s);
    const body = JSON.stringify({ ...long(8000), logprobs: true, top_logprobs: 20 }); // many bytes a token
    const stuck = Array.from({ length: 6 }, () => {
        const c = Socket.open(s, head(body.length) + body);
        c.socket.pause();
        return c;
    });
    await until(async () => (await s.instances())[0].running === 6);
    for (let i = 0; i < 20; i++) await serves(s);
    await free(s); // without anybody's help
    stuck.forEach((c) => c.close());
    await sound(s);
    assert.equal(await s.end(), 0);
});

test('200 clients leave in the middle of their streams: places are free again, others do not notice', async () => {
    const s = await Service.start({ settings: { 'defaults.parallel': 4, 'defaults.context': 8192, 'limits.concurrency': 0, 'limits.queue': 1000 } });
    const stays = Reply.open(s, '/v1/chat/completions', long(1500));
    await until(() => stays.said !== '');
    const leave = Array.from({ length: 200 }, (_, i) => Reply.open(s, i % 2 ? '/v1/chat/completions' : '/v1/messages', { ...long(3000, i), model: 'pocket-dictionary' }));
    await until(() => leave.some((r) => r.said !== ''));
    await Promise.all(leave.map((r) => r.leave()));
    assert.equal((await stays.done).events.at(-1), '[DONE]');
    await free(s);
    await serves(s);
    await until(() => s.auditRows().filter((r) => r.outcome === 'canceled').length >= 1);
    await sound(s);
    assert.equal(await s.end(), 0);
});

test('the queue is full: 503 in the shape of the API, so that clients come again by themselves', async () => {
    const s = await Service.start({ settings: { 'defaults.parallel': 1, 'limits.queue': 2, 'limits.concurrency': 0 } });
    await serves(s);
    const busy = Array.from({ length: 4 }, (_, i) => Reply.open(s, '/v1/chat/completions', long(300, i)));
    await until(() => busy.some((r) => r.said !== ''));
    await until(async () => (await s.instances())[0].waiting === 2);
    const r = await s.post('/v1/chat/completions', question);
    assert.equal(r.status, 503, r.text);
    assert.ok(Number(r.headers.get('retry-after')) >= 1 && Number(r.headers.get('retry-after')) < 60);
    assert.match(r.json.error.message, /2 requests are waiting/);
    assert.equal(r.json.error.type, 'unavailable_error');
    const m = await s.post('/v1/messages', question);
    assert.deepEqual([m.status, m.json.type, m.json.error.type], [503, 'error', 'overloaded_error']);
    const texts = await Promise.all(Array.from({ length: 12 }, () => s.openai({ maxRetries: 50 }).chat.completions.create({ ...question, temperature: 0 })));
    assert.equal(new Set(texts.map((t) => t.choices[0].message.content)).size, 1);
    for (const b of busy) assert.equal((await b.done).events.at(-1), '[DONE]');
    await free(s);
    await sound(s);
    assert.equal(await s.end(), 0);
});

test('who waits too long in the queue is told', async () => {
    const s = await Service.start({ settings: { 'defaults.parallel': 1, 'limits.queue_time': '1s', 'defaults.context': 32768 } });
    await serves(s);
    const busy = Array.from({ length: 2 }, (_, i) => Reply.open(s, '/v1/chat/completions', long(20000, i)));
    await until(async () => (await s.instances())[0].running === 2);
    const r = await s.post('/v1/chat/completions', question);
    assert.equal(r.status, 503, r.text);
    assert.match(r.json.error.message, /no place became free in time/);
    await Promise.all(busy.map((b) => b.leave()));
    await free(s);
    assert.equal(await s.end(), 0);
});

test('somebody who asks for much does not starve those who ask for little', async () => {
    const s = await Service.start({ settings: { 'defaults.parallel': 1, 'limits.concurrency': 0, 'limits.queue': 500 } });
    await serves(s);
    const [greedy, modest] = [await s.newKey({ name: 'greedy' }), await s.newKey({ name: 'modest' })];
    const order = [];
    const as = (k) => s.openai({ apiKey: k.key });
    const jobs = Array.from({ length: 40 }, () => as(greedy).chat.completions.create({ ...question, max_tokens: 200, ignore_eos: true }).then(() => order.push('greedy')));
    await until(async () => (await s.instances())[0].waiting >= 30);
    jobs.push(...Array.from({ length: 3 }, () => as(modest).chat.completions.create(question).then(() => order.push('modest'))));
    await Promise.all(jobs);
    assert.ok(order.lastIndexOf('modest') < 20, order.join());
    assert.equal(await s.end(), 0);
});

test('pipelined, chunked and early requests on one connection are answered in order', async () => {
    const s = await Service.start();
    const body = JSON.stringify(question);
    const chunked = `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${[...body].map((c) => `1\r\n${c}\r\n`).join('')}0\r\n\r\n`;
    const c = Socket.open(s, head(body.length) + body + chunked + 'GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    await until(() => c.ended);
    assert.equal(c.text.match(/HTTP\/1\.1 200 OK/g).length, 3, c.text);
    assert.match(c.text, /"status":"ok"\}$/);
    const list = await all(await s.openai().models.list());
    assert.equal(list.length, 1);
    assert.equal(await s.end(), 0);
});
