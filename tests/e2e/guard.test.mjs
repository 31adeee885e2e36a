// SPDX-License-Identifier: MIT
// Who may not ask gets nothing done: every route, method and spelling, without a byte of a body being waited for.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Server, root } from './helper.mjs';

/** Every route of the tables in the sources: {method, paths, public}. */
function routes() {
    const folder = join(root, 'src/api');
    const list = [];
    for (const name of readdirSync(folder).filter((n) => n.endsWith('.c')))
        for (const [, method, path, flags] of readFileSync(join(folder, name), 'utf8').matchAll(/\{DV_HTTP_([A-Z]+), "([^"]+)",([^{}]*?)DV_STYLE/g)) {
            const full = path.replace('*', 'x');
            list.push({ method, paths: flags.includes('ROUTE_BARE') ? [full, full.slice(3)] : [full], open: flags.includes('ROUTE_PUBLIC') });
        }
    return list;
}
const all = routes();
const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'TRACE', 'PROPFIND'];

const folder = mkdtempSync(join(tmpdir(), 'drover-e2e-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

let server;
before(async () => (server = await Server.start(['-c', '256', '--api-key', 'right-key', '--metrics', '--slot-save-path', folder, '--log-level', 'debug'])));
after(async () => assert.equal(await server.stop(), 0));

/** Status of a request whose body is announced and never sent. */
function status(method, target, fields = '', host = 'localhost') {
    return new Promise((resolve, reject) => {
        const socket = net.connect(new URL(server.url).port, '127.0.0.1');
        let text = '';
        socket.on('data', (d) => {
            text += d;
            const m = /^HTTP\/1\.1 (\d+) /.exec(text);
            if (m) socket.destroy(), resolve(Number(m[1]));
        });
        socket.on('error', reject);
        socket.on('end', () => reject(new Error(`no reply to ${method} ${target}: ${text}`)));
        const length = method === 'GET' || method === 'HEAD' ? '' : 'Content-Length: 1000000\r\n';
        socket.write(`${method} ${target} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\n${length}${fields}\r\n`);
    });
}

test('the tables were found', () => {
    assert.ok(all.length >= 30);
    assert.deepEqual(all.filter((r) => r.open).flatMap((r) => r.paths).sort(), ['/health', '/v1/health']);
});

test('every route under every name, with every method, wants the key', async () => {
    const open = new Set(all.filter((r) => r.open).flatMap((r) => r.paths));
    const paths = new Set([...all.flatMap((r) => r.paths), '/', '/nothing', '/v1', '/metrics/', '/slots/0']);
    for (const path of paths)
        for (const method of methods) {
            const without = await status(method, path);
            const known = open.has(path) && ['GET', 'HEAD'].includes(method);
            assert.equal(without, known ? 200 : 401, `${method} ${path}`);
        }
    for (const path of paths)
        for (const fields of ['Authorization: Bearer wrong-key\r\n', 'Authorization: Bearer right-key2\r\n', 'Authorization: Bearer right-ke\r\n', 'Authorization: right-key\r\n', 'X-Api-Key: RIGHT-KEY\r\n',
            'Authorization: Bearer right-key, Bearer x\r\n', 'Cookie: api_key=right-key\r\n'])
            assert.equal(await status('POST', path, fields), 401, `${path} ${fields}`);
});

test('other spellings of a path lead nowhere else', async () => {
    for (const path of ['//v1/models', '/v1//models', '/v1/models/', '/V1/MODELS', '/v1%2fmodels', '/v1%2Fmodels', '/%76%31/models', '/v1/models;x', '/v1/models%00', '/health/../v1/models', '/health/%2e%2e/v1/models',
        '/v1/models?key=right-key', '/v1/models?api_key=right-key', '/health%2f..%2fv1/models', '/health;/v1/models', '/health?x=/v1/models#', 'http://localhost/v1/models', '/./v1/models', '\\v1\\models']) {
        const s = await status('GET', path);
        assert.ok(s === 401 || s === 400 || (path.startsWith('/health?') && (s === 400 || s === 200)), `${path}: ${s}`);
    }
});

test('a wrong Host or Origin comes before the key, and before the body', async () => {
    for (const { method, paths } of all)
        for (const path of paths) {
            assert.equal(await status(method, path, 'Authorization: Bearer right-key\r\n', 'evil.example'), 403, path);
            assert.equal(await status(method, path, 'Authorization: Bearer right-key\r\nOrigin: https://evil.example\r\n'), 403, path);
        }
});

test('with the key they are there', async () => {
    for (const { method, paths, open } of all)
        for (const path of paths) {
            if (open) continue;
            const r = await server.ask(method, path, method === 'GET' ? undefined : '{"', { authorization: 'Bearer right-key' });
            assert.ok(![401, 403, 405].includes(r.status), `${method} ${path}: ${r.status}`);
        }
});

test('keys and queries are in no log', () => {
    assert.match(server.log, /POST \/v1\/chat\/completions 401/);
    assert.doesNotMatch(server.log, /right-key|wrong-key|RIGHT-KEY/);
});
