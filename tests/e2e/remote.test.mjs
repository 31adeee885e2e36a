// SPDX-License-Identifier: MIT
// Models on other servers: a real drover, and servers that misbehave. The key goes where it belongs, failures are told, nobody else notices.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Reply, sound } from './faults.mjs';
import { Server, all, drover, until, user } from './helper.mjs';
import { Service, env } from './service.mjs';

const folder = mkdtempSync(join(tmpdir(), 'drover-e2e-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const SECRET = 'sk-very-secret-key-of-the-remote';
const keyFile = join(folder, 'remote.key');
writeFileSync(keyFile, SECRET + '\n', { mode: 0o600 });

const question = { model: 'far', messages: user('What is a llama?'), max_tokens: 12, temperature: 0 };
const service = (url, settings = {}) =>
    Service.start({ settings: { 'models.0.name': 'far', 'models.0.url': url, 'models.0.key_file': keyFile, 'models.0.remote_name': 'pocket-dictionary', 'supervision.backoff_min': '50ms', 'supervision.backoff_max': '100ms', 'supervision.cooldown': '1s', 'log.level': 'debug', ...settings } });
const secretFree = (s) => assert.equal([s.log, JSON.stringify(s.auditRows())].join().includes(SECRET), false);

test('a real server: chat, streams, embeddings, by another name, with a key; gone and back again', async () => {
    let remote = await Server.start(['--api-key', SECRET, '--metrics']);
    const port = new URL(remote.url).port;
    const s = await service(remote.url + '/v1');
    const client = s.openai();
    const whole = await client.chat.completions.create(question);
    const near = await client.chat.completions.create({ ...question, model: 'pocket-dictionary' });
    assert.equal(whole.choices[0].message.content, near.choices[0].message.content);
    const chunks = await all(await client.chat.completions.create({ ...question, stream: true }));
    assert.equal(chunks.map((c) => c.choices[0]?.delta.content ?? '').join(''), near.choices[0].message.content);
    assert.equal((await client.embeddings.create({ model: 'far', input: ['a'] })).data.length, 1);
    const message = await s.anthropic().messages.create({ model: 'far', max_tokens: 12, temperature: 0, messages: user('What is a llama?') });
    assert.equal(message.content[0].text, near.choices[0].message.content);
    const other = await s.post('/tokenize', { model: 'far', content: 'x' });
    assert.equal(other.status, 501, other.text);
    assert.equal((await s.instances()).find((i) => i.model === 'far').backend, 'remote');

    const stream = Reply.open(s, '/v1/chat/completions', { ...question, max_tokens: 3000, ignore_eos: true, stream: true });
    await until(() => stream.said !== '');
    assert.equal(await remote.stop('SIGKILL'), 'SIGKILL');
    await stream.done;
    assert.equal(stream.cut, false);
    assert.match(stream.error.message, /broke off/);
    const gone = await s.post('/v1/chat/completions', question);
    assert.ok([502, 503].includes(gone.status), gone.text);
    assert.equal((await s.post('/v1/chat/completions', { ...question, model: 'pocket-dictionary' })).status, 200);
    remote = await Server.start(['--api-key', SECRET, '--port', port]);
    await until(async () => (await s.post('/v1/chat/completions', question)).status === 200);
    secretFree(s);
    await sound(s);
    assert.equal(await s.end(), 0);
    assert.equal(await remote.stop(), 0);
});

test('a service behind a service', async () => {
    const far = await Service.start({ settings: { 'security.loopback_keyless': 'no' } });
    const { key } = await far.newKey({ name: 'for the other', routes: ['chat', 'models'] });
    writeFileSync(join(folder, 'service.key'), key, { mode: 0o600 });
    const s = await service(far.url + '/v1', { 'models.0.key_file': join(folder, 'service.key') });
    assert.equal((await s.post('/v1/chat/completions', question)).status, 200);
    await until(() => far.auditRows().some((r) => r.action === 'POST /v1/chat/completions' && JSON.stringify(r).includes('for the other'))); // it knows who asks
    assert.equal(s.log.includes(key), false);
    assert.equal(await s.end(), 0);
    assert.equal(await far.end(), 0);
});

/** A server whose answers the test writes; `seen` has what was asked. */
async function fake(answer, models = (q, r) => r.setHeader('Content-Type', 'application/json').end('{"object":"list","data":[]}')) {
    const seen = [];
    const server = createServer((q, r) => {
        let body = '';
        q.on('data', (d) => (body += d));
        q.on('end', () => {
            if (q.url.endsWith('/models')) return models(q, r);
            seen.push({ url: q.url, headers: q.headers, body: body && JSON.parse(body) });
            answer(q, r, seen.length);
        });
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    server.unref();
    return { seen, url: `http://127.0.0.1:${server.address().port}/api/v1`, close: () => (server.closeAllConnections(), server.close()) };
}
const json = (r, status, body, headers = {}) => r.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(JSON.stringify(body));

test('what it gets: its own name and key, the path below its base, nothing of the client', async () => {
    const far = await fake((q, r) => json(r, 200, { choices: [{ message: { content: 'hi' } }], usage: { prompt_tokens: 7, completion_tokens: 5 } }));
    const s = await service(far.url);
    const { key } = await s.newKey({ name: 'x' });
    const r = await s.post('/v1/chat/completions', question, { key, headers: { cookie: 'a=b', 'x-forwarded-for': '192.0.2.9', 'x-custom': 'y' } });
    assert.equal(r.status, 200, r.text);
    const [q] = far.seen;
    assert.equal(q.url, '/api/v1/chat/completions');
    assert.equal(q.body.model, 'pocket-dictionary');
    assert.equal(q.headers.authorization, `Bearer ${SECRET}`);
    for (const name of ['cookie', 'x-forwarded-for', 'x-custom', 'x-api-key', 'x-drover-max-context']) assert.equal(q.headers[name], undefined, name);
    await until(() => s.auditRows().some((x) => x.model === 'far' && x.tokens_in === 7 && x.tokens_out === 5));
    secretFree(s);
    assert.equal(await s.end(), 0);
    far.close();
});

test('its refusals are passed on so that clients understand them', async () => {
    const replies = [
        [400, { error: { message: 'no such parameter', type: 'invalid_request_error' } }, {}, (r) => r.status === 400 && /no such parameter/.test(r.text)],
        [429, { error: { message: 'slow down' } }, { 'Retry-After': '7' }, (r) => r.status === 429 && r.headers.get('retry-after') === '7'],
        [500, { error: { message: 'oh no' } }, {}, (r) => r.status >= 500],
        [503, { error: { message: 'later' } }, { 'Retry-After': '3' }, (r) => r.status === 503 && r.headers.get('retry-after') === '3'],
        // Its key is ours to have right: the client's is not meant.
        [401, { error: { message: 'Incorrect API key provided: ' + SECRET } }, {}, (r) => r.status === 502 && !r.text.includes(SECRET)],
        [403, { error: { message: 'no' } }, {}, (r) => r.status === 502],
    ];
    const far = await fake((q, r, n) => json(r, replies[n - 1][0], replies[n - 1][1], { 'Set-Cookie': 'spy=1', 'X-Spy': '1', ...replies[n - 1][2] }));
    const s = await service(far.url);
    for (const [status, , , good] of replies) {
        const r = await s.post('/v1/chat/completions', question);
        assert.ok(good(r), `${status}: ${r.status} ${r.text}`);
        assert.deepEqual([r.headers.get('set-cookie'), r.headers.get('x-spy')], [null, null]);
    }
    secretFree(s);
    assert.equal(await s.end(), 0);
    far.close();
});

test('redirects are not followed, and the key does not go with them', async () => {
    const thief = await fake((q, r) => json(r, 200, {}));
    const far = await fake((q, r) => r.writeHead(307, { Location: thief.url + '/chat/completions' }).end());
    const s = await service(far.url);
    const r = await s.post('/v1/chat/completions', question);
    assert.ok(r.status >= 500, `${r.status} ${r.text}`);
    assert.equal(r.headers.get('location'), null);
    assert.equal(thief.seen.length, 0);
    assert.equal(await s.end(), 0);
    far.close();
    thief.close();
});

test('slow, silent and broken ones', async () => {
    const bad = {
        silent: () => {},
        'closes': (q, r) => r.socket.destroy(),
        'garbage': (q, r) => r.socket.end('\u0000\u0001 what is this\r\n\r\n'),
        'half a reply': (q, r) => (r.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': 1000 }), r.write('{"a":'), setTimeout(() => r.socket.destroy(), 50)),
        'half a stream': (q, r) => (r.writeHead(200, { 'Content-Type': 'text/event-stream' }), r.write('data: {"choices":[{"delta":{"content":"a"}}]}\n\n'), setTimeout(() => r.socket.destroy(), 100)),
        'a stream that stops': (q, r) => (r.writeHead(200, { 'Content-Type': 'text/event-stream' }), r.write('data: {"choices":[{"delta":{"content":"a"}}]}\n\n')),
    };
    for (const [name, answer] of Object.entries(bad)) {
        const far = await fake(answer);
        const s = await service(far.url, { 'remote.silence_time': '1s' });
        const stream = name.includes('stream');
        const r = await Reply.open(s, '/v1/chat/completions', { ...question, stream }).done;
        assert.equal(r.cut, false, name);
        if (stream) assert.ok(r.status === 200 && r.error && r.said === 'a', `${name}: ${r.text}`);
        else assert.equal(r.status, 502, `${name}: ${r.text}`);
        assert.equal((await s.post('/v1/chat/completions', { ...question, model: 'pocket-dictionary' })).status, 200, name);
        await sound(s);
        assert.equal(await s.end(), 0);
        far.close();
    }
});

test('more than a client takes: the remote waits, memory does not grow', async () => {
    const far = await fake((q, r) => {
        r.writeHead(200, { 'Content-Type': 'text/event-stream' });
        const more = () => {
            while (!r.destroyed && r.write(`data: {"choices":[{"delta":{"content":"${'x'.repeat(10000)}"}}]}\n\n`));
        };
        r.on('drain', more);
        more();
    });
    const s = await service(far.url, { 'limits.stall_time': '2s' });
    const body = JSON.stringify({ ...question, stream: true });
    const socket = net.connect(new URL(s.url).port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(`POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    socket.pause();
    await until(async () => (await s.instances()).some((i) => i.running === 1));
    await until(async () => (await s.instances()).every((i) => i.running === 0)); // it is cut
    const peak = Number(/VmHWM:\s+(\d+) kB/.exec(execFileSync('cat', [`/proc/${s.child.pid}/status`], { encoding: 'utf8' }))[1]);
    if (!process.env.DROVER?.includes('asan')) assert.ok(peak < 200000, `${peak} kB`);
    socket.destroy();
    assert.equal(await s.end(), 0);
    far.close();
});

test('servers that were not allowed, and keys in the clear, are refused at the start', () => {
    const refused = (url, ...more) => {
        const sets = { data_dir: join(folder, 'data'), run_dir: join(folder, 'run'), 'listen.openai': '127.0.0.1:0', 'listen.app': 'off', 'models.0.name': 'far', 'models.0.url': url };
        const args = ['serve', ...Object.entries(sets).flatMap(([k, v]) => ['--set', `${k}=${v}`]), ...more];
        try {
            execFileSync(drover, args, { env: { ...env, HOME: folder }, stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8', timeout: 10000 });
        } catch (e) {
            return e.stderr;
        }
        return '';
    };
    assert.match(refused('https://api.example/v1'), /remote\.allow/);
    assert.match(refused('https://user:pass@localhost/v1'), /url/);
    assert.match(refused('file:///etc/passwd'), /url/);
    assert.match(refused('http://api.example/v1', '--allow-remote', 'http://api.example', '--set', `models.0.key_file=${keyFile}`), /clear|https/);
});

test('with remote.public_only a name that stands for a private address is not dialled', async () => {
    let asked = 0;
    const server = createServer((_, res) => (asked++, res.end('{}')));
    await new Promise((r) => server.listen(0, '127.0.0.1', r));
    const s = await service(`http://localhost:${server.address().port}/v1`, { 'remote.public_only': true });
    const r = await s.post('/v1/chat/completions', question);
    assert.ok([502, 503].includes(r.status), r.text);
    assert.equal(asked, 0);
    assert.equal(await s.end(), 0);
    server.close();
});
