// SPDX-License-Identifier: MIT
// What the service keeps: on a full disk, with a database that another program holds, with a clock that jumps. Models go on answering, what was acknowledged is there.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { sound } from './faults.mjs';
import { until, user } from './helper.mjs';
import { Service } from './service.mjs';

const folder = mkdtempSync(join(tmpdir(), 'drover-e2e-'));
const mounts = new Set();
process.prependListener('exit', () => {
    mounts.forEach((m) => execFileSync('umount', ['-l', m]));
    rmSync(folder, { recursive: true, force: true });
});

const question = { messages: user('hello'), max_tokens: 4 };
const ask = async (s) => (await s.post('/v1/chat/completions', question)).status;
const keyNames = async (s) => (await s.admin('GET', '/api/keys')).json.keys.map((k) => k.name);

/** A file system of so many bytes; null: this user cannot have one. */
function small(size) {
    const at = mkdtempSync(join(folder, 'disk-'));
    try {
        execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=0700`, 'tmpfs', at], { stdio: 'ignore' });
    } catch {
        return null;
    }
    mounts.add(at);
    return at;
}

test('the disk is full: models answer, reading works, changes are refused and not half made; with space all goes on by itself', async (t) => {
    const disk = small('6m');
    if (disk === null) return t.skip('only root may mount a small disk');
    const s = await Service.start({ dir: disk });
    const before = await s.newKey({ name: 'before' });
    assert.equal(await ask(s), 200);
    const ballast = join(disk, 'ballast');
    writeFileSync(ballast, '');
    try {
        for (let size = 1 << 20; size > 0; size >>= 1) // to the last byte
            try {
                for (;;) writeFileSync(ballast, Buffer.alloc(size), { flag: 'a' });
            } catch {}
    } finally {
        assert.equal(statfsSync(disk).bavail, 0);
    }
    let made = [], refused;
    await until(async () => {
        const r = await s.admin('POST', '/api/keys', { name: `full-${made.length}` });
        if (r.status === 201) made.push(r.json);
        else refused = r;
        return refused !== undefined;
    });
    assert.equal(refused.status, 507, refused.text);
    assert.match(refused.json.error.message, /full|space/i);
    for (let i = 0; i < 20; i++) assert.equal(await ask(s), 200);
    assert.equal((await s.get('/v1/models', { key: before.key })).status, 200);
    assert.ok((await keyNames(s)).includes('before'));
    let h;
    await until(async () => (h = (await s.get('/api/health')).json).status === 'degraded');
    assert.deepEqual([h.ready, h.checks.database.ok], [true, false]);
    assert.match(h.checks.database.detail, /full/);
    rmSync(ballast);
    await until(async () => (await s.get('/api/health')).json.status === 'ok');
    const after = await s.newKey({ name: 'after' });
    assert.equal((await s.get('/v1/models', { key: after.key })).status, 200);
    for (const k of made) assert.equal((await s.get('/v1/models', { key: k.key })).status, 200, 'acknowledged');
    await until(() => s.auditRows().filter((r) => r.action === 'POST /v1/chat/completions').length >= 21);
    await sound(s);
    assert.equal(await s.stop(), 0);
    await s.spawn();
    assert.ok((await keyNames(s)).includes('after'));
    await sound(s);
    assert.equal(await s.stop(), 0);
});

/** Holds the database for writing as another program might, until its input ends. */
async function hold(s) {
    const python = `import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
db.execute('BEGIN EXCLUSIVE')
print('held', flush=True)
sys.stdin.read()`;
    const child = spawn('python3', ['-c', python, join(s.dir, 'data', 'drover.db')], { stdio: ['pipe', 'pipe', 'inherit'] });
    await new Promise((resolve, reject) => (child.stdout.once('data', resolve), child.once('exit', reject)));
    child.removeAllListeners('exit');
    const ended = new Promise((resolve) => child.once('exit', resolve));
    return async () => (child.stdin.end(), ended);
}

test('another program holds the database: models answer, reading works; changes wait, or are refused as busy', async () => {
    const s = await Service.start();
    let release = await hold(s);
    const waits = s.admin('POST', '/api/keys', { name: 'waits' });
    for (let i = 0; i < 20; i++) assert.equal(await ask(s), 200);
    assert.deepEqual(await keyNames(s), ['admin']);
    await release();
    assert.equal((await waits).status, 201, (await waits).text);
    release = await hold(s);
    const late = await s.admin('POST', '/api/keys', { name: 'late' });
    assert.equal(late.status, 503, late.text);
    assert.ok(Number(late.headers.get('retry-after')) < 60);
    assert.match(late.json.error.message, /database|busy/);
    assert.equal(await ask(s), 200);
    await release();
    await until(async () => (await s.get('/api/health')).json.status === 'ok');
    assert.deepEqual(await keyNames(s), ['admin', 'waits'], 'what was refused is not there');
    await s.newKey({ name: 'again' });
    await until(() => s.auditRows().filter((r) => r.action === 'POST /v1/chat/completions').length === 21);
    await sound(s);
    assert.equal(await s.end(), 0);
});

test('the clock jumps: sessions and keys end by it, limits and the audit log do not care', async (t) => {
    if (!process.env.CLOCK) return t.skip('a build without sanitizers is needed to move its clock');
    const offset = join(folder, 'offset');
    const jump = (s) => writeFileSync(offset, String(s));
    jump(0);
    const s = await Service.start({ vars: { LD_PRELOAD: process.env.CLOCK, CLOCK_OFFSET: offset } });
    assert.equal(await ask(s), 200);
    const short = await s.newKey({ name: 'an hour', expires_ms: Date.now() + 3600e3 });
    const slow = await s.newKey({ name: 'slow', requests_per_minute: 2 });
    await s.admin('POST', '/api/users', { name: 'ann', password: 'correct horse', role: 'admin' });
    const login = async () => (await s.post('/api/login', { name: 'ann', password: 'correct horse' })).headers.get('set-cookie').split(';')[0];
    const first = await login();
    const as = (cookie) => s.get('/api/session', { headers: { cookie } });
    const uses = (key) => s.get('/v1/models', { key });
    assert.equal((await as(first)).status, 200);
    for (const expected of [200, 200, 429]) assert.equal((await uses(slow.key)).status, expected);
    jump(7200);
    assert.equal((await uses(short.key)).status, 401, 'an hour has passed');
    assert.equal((await uses(slow.key)).status, 429, 'and no second of it counts for limits');
    assert.equal((await as(first)).status, 200);
    assert.equal(await ask(s), 200);
    jump(10 * 86400);
    assert.equal((await as(first)).status, 401, 'ten days');
    const future = await login();
    assert.equal((await as(future)).status, 200);
    jump(-86400);
    assert.equal(await ask(s), 200);
    assert.equal((await as(future)).status, 401, 'nobody knows how old a session from the future is');
    assert.equal((await as(await login())).status, 200);
    assert.equal((await s.get('/api/health')).status, 200);
    jump(0);
    assert.equal(await ask(s), 200);
    await until(() => s.auditRows().filter((r) => r.action === 'POST /v1/chat/completions').length === 4);
    await sound(s);
    s.lines();
    assert.equal(await s.end(), 0);
});
