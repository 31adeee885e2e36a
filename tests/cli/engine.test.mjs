// SPDX-License-Identifier: MIT
// The command line of drover engine; what it serves is tested in tests/e2e.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { drover, fails, folder, model } from './helper.mjs';

const dir = folder();

/** Starts it with these arguments, waits until it listens, or says something else with a URL; {child, log, url}. */
async function start(args, says = /listening on (\S+)\n/) {
    const s = { child: spawn(drover, ['engine', '-m', model, '-c', '256', ...args], { stdio: ['ignore', 'pipe', 'pipe'] }), log: '', out: '' };
    s.closed = new Promise((resolve) => s.child.on('close', (code, signal) => resolve(signal ?? code)));
    s.child.stdout.on('data', (d) => (s.out += d));
    await new Promise((resolve, reject) => {
        s.child.on('close', () => reject(new Error(s.log)));
        s.child.stderr.on('data', (d) => {
            s.log += d;
            if (says.test(s.log)) resolve();
        });
    });
    s.url = s.log.match(says)[1];
    return s;
}

async function stop(s) {
    s.child.kill('SIGTERM');
    assert.equal(await s.closed, 0, s.log);
    assert.equal(s.out, '');
}

test('options that contradict each other or make no sense', () => {
    for (const [args, says] of [
        [['--no-jinja'], /--no-jinja: chats are always/],
        [['--slots', '--no-slots'], /contradict/],
        [['--speculate', '--no-speculate'], /contradict/],
        [['--chat-template', 'a{{b}}', '--chat-template-file', 'x'], /contradict/],
        [['--chat-template', 'llama2'], /--chat-template must be the text of a template or 'chatml', not 'llama2'/],
        [['--seed', '1.5'], /whole/],
        [['--seed', '-2'], /--seed must be/],
        [['-n', '-2'], /--n-predict must be/],
        [['--port', '65536'], /--port must be a whole number from 0 to 65535/],
        [['-np', '0'], /--parallel must be/],
        [['-np', '257'], /--parallel must be/],
        [['-ub', 'x'], /--ubatch-size must be/],
        [['--queue', '0'], /--queue must be/],
        [['--log-level', 'loud'], /--log-level must be one of error\|warn\|info\|debug/],
        [['--lora', 'x'], /unknown option '--lora'/],
        [['file'], /file/],
    ])
        fails(['engine', ...args], 2, says);
});

test('files that are not what they should be', () => {
    const keys = join(dir, 'keys'), empty = join(dir, 'empty'), broken = join(dir, 'broken');
    writeFileSync(keys, '# a comment\ngood-key\nbad key\n');
    writeFileSync(empty, '# nothing\n\n');
    writeFileSync(broken, '{% if %}');
    const line = fails(['engine', '-m', model, '--api-key-file', keys], 1, /API key 2 is not 1 to 512 visible ASCII/);
    assert.doesNotMatch(line, /bad key|good-key/);
    fails(['engine', '-m', model, '--api-key-file', empty], 1, /there is no key in it/);
    fails(['engine', '-m', model, '--api-key-file', join(dir, 'none')], 1, /none/);
    fails(['engine', '-m', model, '--api-key', ''], 1, /API key 1/);
    // What is found while loading is found after the server listens; the process ends with it all the same.
    for (const address of [['--port', '0'], ['--socket', join(dir, 'failing')]]) {
        fails(['engine', '-m', model, '--chat-template-file', broken, ...address], 1, /\ndrover engine: chat template: .*1:7/);
        fails(['engine', '-m', join(dir, 'none'), ...address], 1, /\ndrover engine: .*none/);
        fails(['engine', '-m', keys, ...address], 1, /\ndrover engine: .*keys/);
    }
    assert.equal(existsSync(join(dir, 'failing')), false);
});

test('memory that is not there is refused with numbers before anything is loaded', () => {
    fails(['engine', '-m', model, '--kv-bytes', '4503599627370496', '--port', '0'], 1, /MiB are needed .* available/);
});

/** A control group with a limit of memory, of version 2 or 1; null where we may not make one. */
function group(bytes) {
    for (const [top, file] of [['/sys/fs/cgroup', 'memory.max'], ['/sys/fs/cgroup/memory', 'memory.limit_in_bytes']]) {
        const path = join(top, `drover-test-${process.pid}`);
        try {
            if (!existsSync(join(top, 'cgroup.procs'))) continue;
            mkdirSync(path);
            process.on('exit', () => rmdirSync(path));
            writeFileSync(join(path, file), String(bytes));
            return path;
        } catch {}
    }
    return null;
}

test('the memory of a control group counts: refused with numbers, or never killed', async (t) => {
    const path = group(512 << 20);
    if (path === null) return t.skip('needs the right to make control groups');
    const inside = (args) => ['-c', 'echo $$ > "$0/cgroup.procs"; exec "$@"', path, drover, 'engine', '-m', model, '--port', '0', ...args];
    const refused = spawnSync('sh', inside(['-c', '1000000']), { encoding: 'utf8' });
    assert.equal(refused.status, 1, refused.stderr);
    const [, needed, left] = refused.stderr.match(/: (\d+) MiB are needed .*, (\d+) MiB are available/);
    assert.ok(Number(needed) > 512 && Number(left) <= 512, refused.stderr);
    const child = spawn('sh', inside(['-c', '2048']), { stdio: ['ignore', 'ignore', 'pipe'] });
    const ended = new Promise((resolve) => child.on('close', (code, signal) => resolve(signal ?? code)));
    let log = '';
    const url = await new Promise((resolve) => child.stderr.on('data', (d) => /listening on \S+\n/.test((log += d)) && resolve(log.match(/listening on (\S+)/)[1])));
    const r = await fetch(url + '/v1/completions', { method: 'POST', body: JSON.stringify({ prompt: 'cat '.repeat(1500), max_tokens: 300, ignore_eos: true }) });
    assert.equal((await r.json()).usage.completion_tokens, 300);
    child.kill('SIGTERM');
    assert.equal(await ended, 0, log);
});

const early = /: loading \S+, for (\S+)\n/;

// How long it loads is not known here; tests/unit/test_api_serve.c has a server that does so as long as it likes.
test('from the first line on every request is answered: that the model is loaded, or with it', async () => {
    const s = await start(['--port', '0'], early);
    const loading = { error: { message: 'Loading model', type: 'unavailable_error', param: null, code: 503 } };
    for (let served = false; !served; ) {
        const r = await fetch(s.url + '/health');
        served = r.status === 200;
        if (!served) assert.equal(r.status, 503);
        assert.deepEqual(await r.json(), served ? { status: 'ok' } : loading);
        if (!served) assert.match(r.headers.get('retry-after'), /^\d+$/);
    }
    assert.match(s.log, /sandbox: (no new privileges|off)/); // before anything was served
    const r = await fetch(s.url + '/v1/chat/completions', { method: 'POST', body: '{"messages":[{"role":"user","content":"define cat"}],"max_tokens":4}' });
    assert.equal((await r.json()).usage.completion_tokens, 4);
    await stop(s);
});

test('SIGTERM while the model is loaded', async () => {
    const path = join(dir, 'early');
    await stop(await start(['--socket', path], early));
    assert.equal(existsSync(path), false);
});

test('an address that cannot be had', async () => {
    const first = await start(['--port', '0']);
    fails(['engine', '-m', model, '--port', new URL(first.url).port], 1, /in use/);
    fails(['engine', '-m', model, '--host', 'no.such.host.invalid', '--port', '0'], 1, /no\.such\.host\.invalid/);
    await stop(first);
});

test('a unix socket', async () => {
    const path = join(dir, 'socket');
    const s = await start(['--socket', path, '--alias', 'mine', '--log-level', 'error']);
    assert.equal(s.url, `unix:${path}`);
    const text = await new Promise((resolve, reject) =>
        http.get({ socketPath: path, path: '/v1/models', headers: { host: 'whatever.example' } }, (res) => {
            let t = '';
            res.on('data', (d) => (t += d)).on('end', () => resolve(t));
        }).on('error', reject),
    );
    assert.equal(JSON.parse(text).data[0].id, 'mine');
    fails(['engine', '-m', model, '--socket', path], 1, /socket/);
    await stop(s);
    assert.equal(existsSync(path), false);
    assert.doesNotMatch(s.log, /GET/);
});

test('llama-server\'s options', async () => {
    const s = await start(['--port', '0', '--host', 'localhost', '-np', '2', '-b', '64', '-ub', '32', '--temp', '0', '--seed', '42', '--jinja', '--offline', '--embedding', '--metrics', '--slots',
        '--cache-ram', '16', '-n', '5', '--chat-template', 'chatml']);
    const r = await fetch(s.url + '/v1/chat/completions', { method: 'POST', body: '{"messages":[{"role":"user","content":"define cat"}]}' });
    assert.equal((await r.json()).usage.completion_tokens, 5);
    await stop(s);
});
