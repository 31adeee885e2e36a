// SPDX-License-Identifier: MIT
// What clients send comes back in logs, audit rows and metrics as text only: no line is broken, forged or steers a terminal.
import assert from 'node:assert/strict';
import net from 'node:net';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { sound } from './faults.mjs';
import { until, user } from './helper.mjs';
import { Service } from './service.mjs';

const forged = '{"time":"2020-01-01T00:00:00.000Z","level":"error","message":"forged"}';
const evil = ['\r\n' + forged + '\r\n', '\n' + forged, '\u0000x', '\u001b[2J\u001b]0;title\u0007', '"},{"a":"b', '\\', "'; DROP TABLE audit; --", '\u202efdp.exe', '\u2028\u2029\u0085', '\ud800', '%0a%0d%1b', '${jndi:ldap://x}', '%s%n%n', '<script>alert(1)</script>', 'x'.repeat(5000), '\u{e0001}\ufeff'];

let s, key;
before(async () => {
    s = await Service.start({ settings: { 'log.level': 'debug', 'security.loopback_keyless': 'yes' } });
    key = await s.newKey({ name: 'plain' });
});
after(async () => assert.equal(await s.end(), 0));

/** Bytes as they are, and the status of the reply; 0: none. */
function raw(bytes) {
    return new Promise((resolve) => {
        let text = '';
        const socket = net.connect(new URL(s.url).port, '127.0.0.1');
        socket.setTimeout(2000, () => socket.destroy());
        socket.on('data', (d) => ((text += d), socket.end()));
        socket.on('error', () => {});
        socket.on('close', () => resolve(Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0)));
        socket.write(bytes);
    });
}
const latin = (text) => Buffer.from(text, 'utf8').toString('latin1');

test('bodies: names of models, keys, users, fields and prompts', async () => {
    for (const e of evil) {
        const name = e.slice(0, 200);
        for (const [path, body] of [
            ['/v1/chat/completions', { model: name, messages: user('x') }],
            ['/v1/chat/completions', { messages: [{ role: e, content: 'x' }] }],
            ['/v1/chat/completions', { messages: user(e), max_tokens: 2, [e]: 1 }],
            ['/v1/chat/completions', { messages: user(e), max_tokens: 2, user: name }],
            ['/v1/messages', { model: name, messages: user('x'), max_tokens: 2 }],
            ['/v1/embeddings', { input: e, model: name }],
            ['/api/login', { name, password: e }],
        ])
            assert.ok([200, 400, 401, 404, 429].includes((await s.post(path, body)).status), `${path} ${JSON.stringify(name)}`);
        for (const [method, path, body] of [['POST', '/api/keys', { name }], ['POST', '/api/users', { name, password: 'correct horse', role: 'user' }], ['POST', '/api/models/load', { model: name }], ['POST', '/api/switch', { model: name }]])
            assert.ok([201, 400, 404, 409].includes((await s.admin(method, path, body)).status), `${path} ${JSON.stringify(name)}`);
    }
});

test('heads: paths, queries, fields, methods, hosts, addresses', async () => {
    for (const e of evil) {
        const text = latin(e), url = encodeURIComponent(e.toWellFormed()).slice(0, 3000);
        for (const head of [
            `GET /${text} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
            `GET /v1/models/${url} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
            `GET /props?model=${url} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
            `GET /${url}?${url}=${url} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
            `GET /v1/models HTTP/1.1\r\nHost: localhost\r\nUser-Agent: ${text}\r\n\r\n`,
            `GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: ${text}\r\nX-Forwarded-For: ${text}\r\nX-Drover-Profile: ${text}\r\n\r\n`,
            `GET /v1/models HTTP/1.1\r\nHost: ${text}\r\n\r\n`,
            `GET /v1/models HTTP/1.1\r\nHost: localhost\r\nOrigin: ${text}\r\n\r\n`,
            `GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer dv_${text}\r\n\r\n`,
            `GET /v1/models HTTP/1.1\r\nHost: localhost\r\nCookie: drover_session=${text}\r\n\r\n`,
            `${text} / HTTP/1.1\r\nHost: localhost\r\n\r\n`,
            `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${text}\r\nContent-Length: 2\r\n\r\n{}`,
        ])
            await raw(Buffer.from(head, 'latin1'));
    }
});

test('headers that go to an engine carry nothing that a client made up', async () => {
    for (const name of ['X-Drover-Max-Context', 'X-Request-Id', 'anthropic-version', 'anthropic-beta', 'Accept']) {
        const r = await s.post('/completion', { prompt: 'A llama is', n_predict: 3, temperature: 0 }, { headers: { [name]: '1' }, key: key.key });
        assert.equal(r.status, 200, `${name}: ${r.text}`);
        assert.equal(r.json.tokens_predicted, 3);
        assert.notEqual(r.headers.get('x-request-id'), '1');
    }
});

test('every line of the log, of the audit log and of the metrics is one of ours', async () => {
    await until(() => s.auditRows().some((r) => r.action === 'GET /v1/models'));
    const lines = s.log.slice(s.log.indexOf('\n{')).split('\n').filter((l) => l !== '');
    assert.ok(lines.length > 300, String(lines.length));
    for (const l of lines) {
        const o = JSON.parse(l);
        assert.ok(/^\d{4}-\d\d-\d\dT/.test(o.time) && ['error', 'warn', 'info', 'debug'].includes(o.level) && typeof o.message === 'string', l);
        assert.notEqual(o.message, 'forged');
        assert.ok(l.length < 17000);
    }
    const file = readFileSync(join(s.dir, 'data', 'audit.jsonl'));
    for (const [what, text] of [['log', s.log], ['audit', file.toString()]]) {
        assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\u2028\u2029]/, what);
        assert.equal(text.includes(s.adminKey) || text.includes(key.key), false, what);
    }
    assert.equal(Buffer.compare(Buffer.from(file.toString(), 'utf8'), file), 0, 'UTF-8');
    for (const r of s.auditRows()) assert.ok(typeof r.action === 'string' && !('forged' in r), JSON.stringify(r));
    const metrics = (await s.admin('GET', '/metrics')).text.split('\n');
    for (const l of metrics) assert.match(l, /^$|^# (HELP|TYPE) [a-zA-Z_:][\w:]* .+$|^[a-zA-Z_:][\w:]*(\{\w+="(?:[^"\\\n]|\\["\\n])*"(,\w+="(?:[^"\\\n]|\\["\\n])*")*\})? [-+\d.eInfNa]+$/);
    assert.equal((await s.admin('GET', '/api/audit?limit=100')).json.rows.length, 100);
    await sound(s);
    assert.match(s.command('audit', 'verify'), /\d/);
    for (const command of [['key', 'list'], ['user', 'list']]) assert.doesNotMatch(s.command(...command), /[\u0000-\u0009\u000b-\u001f]/);
});

test('the log as text is as safe', async () => {
    const t = await Service.start({ settings: { 'log.format': 'text' } });
    for (const e of evil) await t.post('/v1/chat/completions', { model: e.slice(0, 200), messages: user('x') });
    await until(() => t.log.split('\n').filter((l) => / path=/.test(l)).length >= evil.length);
    for (const l of t.log.slice(t.log.indexOf('stops.\n') + 8).split('\n')) assert.match(l, /^$|^\d{4}-\d\d-\d\dT[\d:.]+Z (error|warn|info|debug) /);
    assert.doesNotMatch(t.log, /[\u0000-\u0009\u000b-\u001f\u202e]/);
    assert.equal(await t.end(), 0);
});
