// SPDX-License-Identifier: MIT
// kill -9 of the whole service under load, twenty times: it starts again, what was acknowledged is there, and nothing of the dead one is left.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Reply, long, sound } from './faults.mjs';
import { until, user } from './helper.mjs';
import { Service, alive } from './service.mjs';

const ROUNDS = 20;

/** Requests of all kinds until the service is gone; what was acknowledged is added to `kept`. */
async function load(s, kept, round) {
    const goes = async (what) => {
        try {
            for (let i = 0; ; i++) await what(i);
        } catch {} // it is gone
    };
    await Promise.all([
        goes(async (i) => {
            const r = await s.admin('POST', '/api/keys', { name: `${round}-${i}` });
            if (r.status === 201) kept.keys.set(r.json.id, r.json.key);
        }),
        goes(async (i) => {
            const name = `u${round}-${i}`;
            if ((await s.admin('POST', '/api/users', { name, password: 'correct horse', role: 'user' })).status === 201) kept.users.add(name);
            const [entry] = kept.keys.entries();
            if (entry === undefined) return;
            const [id, key] = entry;
            kept.keys.delete(id); // once asked for it may be either, if the answer is lost
            const r = await s.admin('DELETE', `/api/keys/${id}`);
            if (r.status === 204) kept.revoked.set(id, key);
        }),
        goes(async () => void (await s.post('/v1/chat/completions', { messages: user('hello'), max_tokens: 8 }))),
        goes(async (i) => {
            const r = Reply.open(s, '/v1/chat/completions', long(100, i));
            await r.done;
            if (r.cut) throw new Error('gone');
        }),
    ]);
}

async function check(s, kept) {
    const keys = (await s.admin('GET', '/api/keys')).json.keys;
    const live = new Set(keys.filter((k) => k.revoked_ms === 0).map((k) => k.id));
    for (const id of kept.keys.keys()) assert.ok(live.has(id), `key ${id} was acknowledged`);
    for (const id of kept.revoked.keys()) assert.ok(!live.has(id), `key ${id} was revoked`);
    const names = new Set((await s.admin('GET', '/api/users')).json.users.map((u) => u.name));
    for (const name of kept.users) assert.ok(names.has(name), name);
    const [some] = [...kept.keys.values()].slice(-1);
    if (some !== undefined) assert.equal((await s.get('/v1/models', { key: some })).status, 200);
    const [gone] = [...kept.revoked.values()].slice(-1);
    if (gone !== undefined) assert.equal((await s.get('/v1/models', { key: gone })).status, 401);
    await sound(s);
}

test(`killed ${ROUNDS} times under load`, async () => {
    const kept = { keys: new Map(), revoked: new Map(), users: new Set() };
    const s = await Service.start();
    for (let round = 0; round < ROUNDS; round++) {
        const running = load(s, kept, round);
        await until(async () => (await s.instances()).some((i) => i.state === 'ready'));
        const pids = (await s.instances()).map((i) => i.pid).filter((p) => p > 0);
        assert.ok(pids.length > 0);
        await new Promise((r) => setTimeout(r, (round * 37) % 300));
        s.child.kill('SIGKILL');
        assert.equal(await s.ended(), 'SIGKILL');
        await running;
        await until(() => pids.every((p) => !alive(p)));
        await s.spawn();
        await check(s, kept);
        assert.ok(s.sockets().every((f) => f.startsWith(`s${s.child.pid}`)), `left behind: ${s.sockets()}`);
    }
    assert.ok(kept.keys.size > 0 && kept.revoked.size > 0 && kept.users.size > 0);
    assert.equal((await s.post('/v1/chat/completions', { messages: user('hello'), max_tokens: 8 })).status, 200);
    assert.match(s.command('audit', 'verify'), /\d/);
    assert.equal(await s.end(), 0);
});

test('a second service on the same data folder is refused, the first goes on', async () => {
    const s = await Service.start();
    const other = new Service();
    Object.assign(other, { dir: s.dir, vars: s.vars, args: s.args });
    await assert.rejects(other.spawn(), /Ctrl-C/);
    assert.match(other.log, /another|has the folder|in use|runs/i);
    assert.equal((await s.post('/v1/chat/completions', { messages: user('hello'), max_tokens: 8 })).status, 200);
    assert.equal(await s.end(), 0);
});
