// SPDX-License-Identifier: MIT
// The server in its sandbox, seen from outside: docs/sandbox.md.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Server, drover, model, until, user } from './helper.mjs';

const folder = mkdtempSync(join(tmpdir(), 'drover-e2e-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A field of /proc/PID/status for every thread of a process. */
const threads = (pid, field) =>
    readdirSync(`/proc/${pid}/task`).map((t) => new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/task/${t}/status`, 'utf8'))[1]);

test('every thread is confined, and the log says how', async () => {
    const s = await Server.start();
    await s.see(/sandbox: no new privileges, .*Landlock.*seccomp/);
    const sealed = threads(s.child.pid, 'Seccomp');
    assert.ok(sealed.length >= 4, 'threads for I/O, steps, requests');
    if (!s.log.includes('NO seccomp')) assert.ok(sealed.every((v) => v === '2'), String(sealed));
    assert.ok(threads(s.child.pid, 'NoNewPrivs').every((v) => v === '1'));
    const limits = readFileSync(`/proc/${s.child.pid}/limits`, 'utf8');
    assert.match(limits, /^Max core file size +1 /m);
    const { status } = await s.post('/v1/chat/completions', { messages: user('What is a llama?'), max_tokens: 8 });
    assert.equal(status, 200);
    assert.equal(await s.stop(), 0);
});

test('--no-sandbox warns and leaves everything as it is', async () => {
    const s = await Server.start(['--no-sandbox', '--log-level', 'warn']);
    await s.see(/warn sandbox: off/);
    assert.deepEqual(threads(s.child.pid, 'Seccomp').slice(0, 1), threads(process.pid, 'Seccomp').slice(0, 1));
    assert.equal(await s.stop(), 0);
    const r = spawnSync(drover, ['engine', '-m', model, '--no-sandbox', '--require-sandbox'], { encoding: 'utf8' });
    assert.equal(r.status, 2);
    assert.match(r.stderr, /--no-sandbox and --require-sandbox contradict/);
});

test('slot files and caches work inside, also after a restart', async () => {
    const args = ['--slot-save-path', folder, '--cache-dir', folder, '--metrics', '--ctx', '1024'];
    const ask = { messages: [{ role: 'system', content: 'You explain a word to somebody who learns the language. '.repeat(12) }, ...user('What is a llama?')], max_tokens: 8, temperature: 0 };
    let s = await Server.start(args);
    const first = await s.post('/v1/chat/completions', ask);
    assert.equal(first.status, 200);
    const saved = await s.post('/slots/0?action=save', { filename: 'a.bin' });
    assert.equal(saved.status, 200, saved.text);
    assert.equal((await s.post('/slots/0?action=restore', { filename: 'a.bin' })).status, 200);
    assert.equal(await s.stop(), 0);
    assert.ok(readdirSync(folder).some((n) => n.endsWith('.kv')));
    s = await Server.start(args);
    const again = await s.post('/v1/chat/completions', ask);
    assert.equal(again.json.choices[0].message.content, first.json.choices[0].message.content);
    assert.ok(again.json.usage.prompt_tokens_details.cached_tokens > 0, again.text);
    assert.equal(await s.stop(), 0);
});

test('a unix socket is served, and gone afterwards', async () => {
    const path = join(folder, 'socket');
    const s = await Server.start(['--socket', path]);
    const status = await new Promise((resolve, reject) => http.get({ socketPath: path, path: '/health' }, (r) => resolve(r.resume().statusCode)).on('error', reject));
    assert.equal(status, 200);
    assert.equal(await s.stop(), 0);
    await until(() => !existsSync(path));
});

test('an address may be a name', async () => {
    const s = await Server.start(['--host', 'localhost']);
    assert.equal((await s.ask('GET', '/health')).status, 200);
    assert.equal(await s.stop(), 0);
});
