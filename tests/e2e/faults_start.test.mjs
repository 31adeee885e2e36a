// SPDX-License-Identifier: MIT
// Models that do not start: damaged files, too little memory, programs that fail again and again or write without end.
import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { engine, sound } from './faults.mjs';
import { model, until, user } from './helper.mjs';
import { Service, alive } from './service.mjs';

const folder = mkdtempSync(join(tmpdir(), 'drover-e2e-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const at = (name) => join(folder, name);
const ask = (s, name) => s.post('/v1/chat/completions', { model: name, messages: user('hello'), max_tokens: 4 });

/** A program that stands where llama-server is expected. */
function program(name, text) {
    writeFileSync(at(name), text);
    chmodSync(at(name), 0o755);
    return at(name);
}

test('damaged files: told at once, and the other model goes on', async () => {
    copyFileSync(model, at('cut.gguf'));
    truncateSync(at('cut.gguf'), 3000000);
    writeFileSync(at('empty.gguf'), '');
    writeFileSync(at('text.gguf'), 'not a model\n'.repeat(1000));
    const s = await Service.start({ files: [model], settings: { 'models.0.path': at('cut.gguf'), 'models.1.path': at('empty.gguf'), 'models.2.path': at('text.gguf') } });
    for (const name of ['cut', 'empty', 'text']) {
        const r = await ask(s, name);
        assert.equal(r.status, 502, r.text);
        assert.match(r.json.error.message, new RegExp(name));
        assert.equal(r.text.includes(folder), false, 'no paths');
        const m = await s.post('/v1/messages', { model: name, messages: user('hello'), max_tokens: 4 });
        assert.deepEqual([m.status, m.json.type, m.json.error.type], [502, 'error', 'api_error']);
        assert.ok((await s.get(`/api/models/${name}`)).json.problem.length > 5);
    }
    assert.equal((await ask(s, 'pocket-dictionary')).status, 200);
    await sound(s);
    assert.equal(await s.end(), 0);
});

test('it does not fit: 503 with the numbers', async () => {
    const s = await Service.start({ settings: { 'residency.memory': '64MiB', 'models.0.path': model, 'models.0.name': 'wide', 'models.0.context': 1048576 } });
    const r = await ask(s, 'wide');
    assert.equal(r.status, 503, r.text);
    assert.match(r.json.error.message, /wide needs \d+ MiB \(weights \d+, the rest \d+\), more than the budget of 64 MiB/);
    assert.ok(Number(r.headers.get('retry-after')) < 60);
    const fits = await s.ask('POST', '/v1/chat/completions', { model: 'wide', messages: user('hello'), max_tokens: 4 }, { headers: { 'x-drover-profile': 'memory' } });
    assert.equal(fits.status, 503, 'its own context counts more than the profile');
    assert.equal((await ask(s, 'pocket-dictionary')).status, 200);
    const load = await s.admin('POST', '/api/models/load', { model: 'wide' });
    assert.match(load.json.error.message, /MiB/);
    await sound(s);
    assert.equal(await s.end(), 0);
});

test('it fails again and again: told why, then left alone for a while, then tried again', async () => {
    const upstream = program('fails', `#!/bin/sh\necho started >> ${at('starts')}\necho "no luck today" >&2\nexit 3\n`);
    const s = await Service.start({
        settings: {
            'models.0.path': model, 'models.0.name': 'unlucky', 'models.0.backend': 'upstream', 'upstream.program': upstream, 'supervision.backoff_min': '10ms', 'supervision.backoff_max': '50ms',
            'supervision.crash_limit': 4, 'supervision.cooldown': '3s',
        },
    });
    const starts = () => readFileSync(at('starts'), 'utf8').trim().split('\n').length;
    const first = await ask(s, 'unlucky');
    assert.equal(first.status, 502, first.text);
    assert.match(first.json.error.message, /unlucky does not start: it exited with status 3: no luck today/);
    let r;
    await until(async () => /left alone/.test((r = await ask(s, 'unlucky')).text));
    assert.equal(r.status, 503, r.text);
    assert.ok(Number(r.headers.get('retry-after')) >= 1 && Number(r.headers.get('retry-after')) < 60);
    assert.equal((await s.instances()).find((i) => i.model === 'unlucky').state, 'broken');
    const tried = starts();
    for (let i = 0; i < 20; i++) assert.equal((await ask(s, 'unlucky')).status, 503);
    assert.equal(starts(), tried, 'nothing is started meanwhile');
    assert.equal((await ask(s, 'pocket-dictionary')).status, 200);
    await until(async () => (await ask(s, 'unlucky')).status >= 500 && starts() > tried); // the cool-down is over
    assert.ok(starts() < 20, 'it is not tried without end');
    await sound(s);
    assert.equal(await s.end(), 0);
});

test('a program that is not there: told what is missing', async () => {
    const s = await Service.start({ settings: { 'models.0.path': model, 'models.0.name': 'lost', 'models.0.backend': 'upstream', 'upstream.program': at('nothing-here') } });
    const r = await ask(s, 'lost');
    assert.equal(r.status, 502, r.text);
    assert.match(r.json.error.message, /llama-server|upstream\.program/);
    assert.equal(await s.end(), 0);
});

/** Answers as llama-server does, and does what is asked of it besides. */
const fake = (more) => `#!/usr/bin/env node
const http = require('node:http');
const key = 'Bearer ' + process.env.LLAMA_API_KEY;
const answer = JSON.stringify({ id: 'x', object: 'chat.completion', choices: [{ index: 0, message: { role: 'assistant', content: 'hi' }, finish_reason: 'stop' }], usage: { prompt_tokens: 1, completion_tokens: 1 } });
const server = http.createServer((q, r) => {
    if (q.headers.authorization !== key) return r.writeHead(401).end();
    q.resume().on('end', () => r.setHeader('Content-Type', 'application/json').end(q.url === '/health' ? '{"status":"ok"}' : answer));
});
server.listen(process.argv[process.argv.indexOf('--host') + 1]);
process.on('SIGTERM', () => process.exit(0));
${more}
`;
const upstream = (name, more, settings = {}) => Service.start({ settings: { 'models.0.path': model, 'models.0.name': 'fake', 'models.0.backend': 'upstream', 'upstream.program': program(name, fake(more)), 'log.level': 'debug', ...settings } });

test('it floods its log: the log stays short, and everybody is served', async () => {
    const s = await upstream('floods', `const line = 'flood '.repeat(20) + '\\n';\n(function more() { while (process.stderr.write(line.repeat(50))); process.stderr.once('drain', more); })();`);
    for (let i = 0; i < 20; i++) {
        assert.equal((await ask(s, 'fake')).status, 200);
        assert.equal((await ask(s, 'pocket-dictionary')).status, 200);
    }
    await until(() => /lines of its output were left out/.test(s.log));
    assert.ok(s.lines().filter((l) => l.message.includes('flood ')).length < 1500, 'a bound a second');
    await sound(s);
    assert.equal(await s.end(), 0);
});

test('it writes lines that are none: nothing of the log is forged', async () => {
    const evil = JSON.stringify('\u001b[31mred\r{"time":"x","level":"error","message":"forged"}\n{"time":"x","level":"error","message":"forged"}\n\u0000\ufffd' + 'x'.repeat(100000) + '\n');
    const s = await upstream('forges', `process.stderr.write(${evil}); process.stderr.write(Buffer.from([0xff, 0xfe, 0x80, 0x0a]));`);
    assert.equal((await ask(s, 'fake')).status, 200);
    await until(() => s.log.includes('forged'));
    for (const line of s.log.split('\n').slice(s.log.split('\n').findIndex((l) => l.startsWith('{')))) if (line !== '') assert.notEqual(JSON.parse(line).message, 'forged');
    assert.doesNotMatch(s.log, /[\u0000-\u0009\u000b-\u001f]/);
    assert.equal(await s.end(), 0);
});

test('it does not want to end, and has children: all of them go with the service', async () => {
    const s = await upstream('stays', `process.removeAllListeners('SIGTERM'); process.on('SIGTERM', () => {}); process.on('SIGINT', () => {});
const child = require('node:child_process').spawn('sleep', ['1000']); require('node:fs').writeFileSync(${JSON.stringify(at('child'))}, String(child.pid));`, { 'supervision.stop_time': '300ms' });
    assert.equal((await ask(s, 'fake')).status, 200);
    const { pid } = await engine(s, 'fake');
    await until(() => readFileSync(at('child'), 'utf8') !== '');
    const child = Number(readFileSync(at('child'), 'utf8'));
    assert.equal(await s.end(), 0);
    await until(() => !alive(pid) && !alive(child));
});

test('it eats its answer, or breaks off in its head: 502 after one more try', async () => {
    for (const [name, bad] of [['closes', 'q.socket.destroy()'], ['garbage', `q.socket.end('SSH-2.0-nothing\\r\\n\\r\\n')`], ['endless', `q.socket.write('HTTP/1.1 200 OK\\r\\nX: ' + 'x'.repeat(2000000))`]]) {
        const s = await upstream(name, `let n = 0; server.prependListener('request', (q) => q.url !== '/health' && (${bad}, console.error('request', ++n)));`);
        const r = await ask(s, 'fake');
        assert.equal(r.status, 502, `${name}: ${r.text}`);
        assert.match(r.json.error.message, /broke off/);
        assert.equal((await ask(s, 'pocket-dictionary')).status, 200);
        assert.equal(await s.end(), 0);
    }
});
