// SPDX-License-Identifier: MIT
// Limits of an identity over HTTP: requests, tokens, concurrency, alone and for a key; addresses behind proxies; what replies say of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until, user } from './helper.mjs';
import { Service } from './service.mjs';

const question = { messages: user('What is a llama?'), max_tokens: 8, temperature: 0 };

test('requests in a time: exactly so many of a crowd get through, and replies tell', async () => {
    const s = await Service.start({ settings: { 'limits.requests': 20, 'limits.window': '1h' } });
    const first = await s.get('/v1/models');
    assert.equal(first.headers.get('ratelimit-limit'), '20');
    assert.equal(first.headers.get('ratelimit-remaining'), '19');
    assert.equal(first.headers.get('ratelimit-policy'), '20;w=3600');
    assert.equal(first.headers.get('x-ratelimit-remaining-requests'), '19');
    const replies = await Promise.all(Array.from({ length: 60 }, () => s.get('/v1/models')));
    assert.equal(replies.filter((r) => r.status === 200).length, 19);
    const refused = replies.find((r) => r.status === 429);
    assert.equal(refused.json.error.type, 'rate_limit_error');
    assert.ok(Number(refused.headers.get('retry-after')) >= 1);
    assert.equal(refused.headers.get('ratelimit-remaining'), '0');
    assert.equal((await s.get('/api/health')).status, 200, 'health is not counted');
    // A key is another identity, and its own limit counts instead.
    const { key } = await s.newKey({ name: 'three', requests_per_minute: 3 });
    const mine = await Promise.all(Array.from({ length: 10 }, () => s.get('/v1/models', { key })));
    assert.equal(mine.filter((r) => r.status === 200).length, 3);
    // The anthropic shape.
    const a = await s.post('/v1/messages', { ...question, max_tokens: 4 }, { key });
    assert.equal(a.status, 429);
    assert.equal(a.json.error.type, 'rate_limit_error');
    assert.ok(s.auditRows().length >= 0);
    await until(() => s.auditRows().some((r) => r.outcome === 'limited' && r.status === 429));
    assert.equal(await s.end(), 0);
});

test('guessing keys counts against the address', async () => {
    const s = await Service.start({ settings: { 'limits.requests': 5, 'limits.window': '1h', 'security.loopback_keyless': 'no' } });
    const codes = [];
    for (let i = 0; i < 10; i++) codes.push((await s.get('/v1/models', { key: 'dv_' + String(i).repeat(43) })).status);
    assert.deepEqual(codes, [401, 401, 401, 401, 401, 429, 429, 429, 429, 429]);
    assert.equal((await s.admin('GET', '/v1/models')).status, 200, 'a right key is counted for itself');
    assert.equal(await s.end(), 0);
});

test('tokens in a minute', async () => {
    const s = await Service.start();
    const { key } = await s.newKey({ name: 'tokens', tokens_per_minute: 30 });
    const one = await s.post('/v1/chat/completions', question, { key });
    assert.equal(one.status, 200);
    assert.ok(one.json.usage.total_tokens > 15);
    let last;
    await until(async () => (last = await s.post('/v1/chat/completions', question, { key })).status === 429);
    assert.match(last.json.error.message, /tokens of this minute/);
    assert.ok(Number(last.headers.get('retry-after')) >= 1);
    assert.equal((await s.get('/v1/models', { key })).status, 200, 'what needs no tokens goes on');
    assert.equal(await s.end(), 0);
});

test('requests at one time, of a key and of all', async () => {
    const s = await Service.start({ settings: { 'limits.total_concurrency': 3 } });
    const { key } = await s.newKey({ name: 'two', concurrency: 2 });
    const long = { ...question, max_tokens: 600, ignore_eos: true };
    const mine = await Promise.all(Array.from({ length: 8 }, () => s.post('/v1/chat/completions', long, { key })));
    const counts = (list) => [200, 429, 503].map((c) => list.filter((r) => r.status === c).length);
    const [ok, limited, other] = counts(mine);
    assert.ok(ok >= 2 && limited >= 1 && other === 0 && ok + limited === 8, `${ok} ${limited} ${other}`);
    const all = await Promise.all(Array.from({ length: 8 }, () => s.post('/v1/chat/completions', long)));
    const [got, , full] = counts(all);
    assert.ok(got >= 3 && full >= 1 && got + full === 8, counts(all).join(' '));
    assert.ok(all.filter((r) => r.status === 503).every((r) => Number(r.headers.get('retry-after')) < 60));
    // All places are free again.
    assert.deepEqual(counts(await Promise.all([1, 2, 3].map(() => s.post('/v1/chat/completions', question)))), [3, 0, 0]);
    assert.equal(await s.end(), 0);
});

test('addresses behind proxies: only those that are trusted are believed', async () => {
    const s = await Service.start({ settings: { 'security.trusted_proxies': '127.0.0.1,10.0.0.0/8', 'limits.requests': 1000 } });
    const who = async (list) => {
        const r = await s.get('/v1/models', { key: s.adminKey, headers: { 'x-forwarded-for': list } });
        const id = r.headers.get('x-request-id');
        let row;
        await until(() => (row = s.auditRows().find((x) => x.request === id)));
        return row.address;
    };
    assert.equal(await who('192.0.2.7'), '192.0.2.7');
    assert.equal(await who('6.6.6.6, 192.0.2.7'), '192.0.2.7', 'what the client says itself is not believed');
    assert.equal(await who('192.0.2.7, 10.1.2.3'), '192.0.2.7');
    assert.equal(await who('::ffff:192.0.2.9'), '192.0.2.9');
    assert.equal(await who('[2001:db8::1]:4711'), '2001:db8::1');
    assert.equal(await who('192.0.2.7:80'), '192.0.2.7');
    assert.equal(await who('fe80::1%eth0'), 'fe80::1');
    assert.equal(await who('nonsense'), '127.0.0.1');
    assert.equal((await s.get('/v1/models')).status, 401, 'behind a proxy this machine is nobody in particular');
    assert.equal(await s.end(), 0);
    const t = await Service.start();
    const r = await t.get('/v1/models', { headers: { 'x-forwarded-for': '192.0.2.7' } });
    const id = r.headers.get('x-request-id');
    let row;
    await until(() => (row = t.auditRows().find((x) => x.request === id)));
    assert.equal(row.address, '127.0.0.1');
    assert.equal(await t.end(), 0);
});
