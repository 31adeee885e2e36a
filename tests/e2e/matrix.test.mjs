// SPDX-License-Identifier: MIT
// Every route of the service under every name: with no key, a wrong one, one without the scope, and the right one. The routes come from the document
// that the service makes of its own tables.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import net from 'node:net';
import { Service } from './service.mjs';

let s, routes, keys;
const without = {}; // for each group a key that has all others
before(async () => {
    s = await Service.start({ settings: { 'security.loopback_keyless': 'no' } });
    const doc = (await s.get('/api/openapi.json')).json;
    routes = Object.entries(doc.paths).flatMap(([path, ops]) =>
        Object.entries(ops)
            .filter(([method]) => ['get', 'post', 'put', 'patch', 'delete'].includes(method))
            .map(([method, op]) => ({ method: method.toUpperCase(), path, op, open: Boolean(op['x-drover-public']), admin: Boolean(op['x-drover-admin']), group: op['x-drover-group'] })),
    );
    const groups = [...new Set(routes.map((r) => r.group))];
    keys = { admin: s.adminKey, user: (await s.newKey({ name: 'user' })).key };
    for (const g of groups) without[g] = (await s.newKey({ name: 'not-' + g, admin: true, routes: groups.filter((o) => o !== g) })).key;
});
after(async () => assert.equal(await s.end(), 0));

const fill = (path) => path.replace(/\{[^}]*\}/g, 'x');
// A session or a login decides in its own way who may.
const own = (r) => ['/api/login', '/api/logout', '/api/session'].includes(r.path);

/** Status of a request whose body is announced and never sent: what is refused is refused before that. With `body` it is sent. */
function status(method, target, fields = {}, body = undefined) {
    return new Promise((resolve, reject) => {
        const socket = net.connect(new URL(s.url).port, '127.0.0.1');
        let text = '';
        const late = setTimeout(() => (socket.destroy(), reject(new Error(`no answer to ${method} ${target}: ${text}`))), 30000);
        socket.on('data', (d) => {
            text += d;
            const m = /^HTTP\/1\.1 (\d+) /.exec(text);
            if (m) clearTimeout(late), socket.destroy(), resolve(Number(m[1]));
        });
        socket.on('error', reject);
        const length = ['GET', 'HEAD'].includes(method) ? '' : `Content-Length: ${body?.length ?? 10}\r\nContent-Type: application/json\r\n`;
        const more = Object.entries(fields).map(([k, v]) => `${k}: ${v}\r\n`).join('');
        socket.write(`${method} ${target} HTTP/1.1\r\nHost: localhost\r\n${length}${more}\r\n${length === '' ? '' : (body ?? '')}`);
    });
}
/** The same for who may: something that is asked for is answered, whatever is missing in the body. */
const asks = (r, key) => status(r.method, fill(r.path), bearer(key), '{}');
const bearer = (key) => ({ Authorization: `Bearer ${key}` });

test('the document has the routes', () => {
    assert.ok(routes.length >= 45, String(routes.length));
    for (const path of ['/v1/chat/completions', '/chat/completions', '/v1/messages', '/completion', '/api/keys', '/metrics', '/slots/{slot}', '/models/{model}', '/api/health'])
        assert.ok(routes.some((r) => r.path.replace('*', '') === path), path);
});

test('no key and a wrong key: nothing but what is for everybody', async () => {
    for (const r of routes) {
        const wrong = [{}, bearer('wrong'), bearer('dv_' + 'a'.repeat(43)), { 'X-Api-Key': keys.user + 'x' }, { Authorization: 'Basic ' + keys.user }, { Cookie: 'drover_session=' + 'a'.repeat(43) }];
        for (const fields of r.path === '/api/login' ? [] : wrong) {
            const got = await status(r.method, fill(r.path), fields, r.open ? '{}' : undefined);
            if (r.open) assert.notEqual(got, 401, `${r.method} ${r.path}`);
            else assert.equal(got, 401, `${r.method} ${r.path} with ${JSON.stringify(fields)}`);
        }
    }
});

test('a key without the scope', async () => {
    for (const r of routes.filter((x) => !x.open && !own(x))) assert.equal(await status(r.method, fill(r.path), bearer(without[r.group])), 403, `${r.method} ${r.path}`);
});

test('a key that is no admin', async () => {
    for (const r of routes.filter((x) => !x.open && !own(x))) {
        const got = await asks(r, keys.user);
        if (r.admin) assert.equal(got, 403, `${r.method} ${r.path}`);
        else assert.ok(got !== 401 && got !== 403, `${r.method} ${r.path}: ${got}`);
    }
});

test('the right key', async () => {
    for (const r of routes.filter((x) => !own(x))) {
        const got = await asks(r, keys.admin);
        assert.ok(got !== 401 && got !== 403, `${r.method} ${r.path}: ${got}`);
    }
});

test('other spellings of paths and other methods get nobody in', async () => {
    for (const r of routes.filter((x) => !x.open && x.path !== '/api/login'))
        for (const spell of [(p) => p + '/', (p) => '/' + p, (p) => p.toUpperCase(), (p) => p + '?x=1', (p) => p + ';x', (p) => p.replace('/', '/%2e/'), (p) => p.replace(/\w(?=\/|$)/, '%61')]) {
            const got = await status(r.method, spell(fill(r.path)));
            assert.ok([400, 401, 404].includes(got), `${r.method} ${spell(fill(r.path))}: ${got}`);
        }
    for (const r of routes)
        for (const method of ['PUT', 'PATCH', 'DELETE', 'TRACE', 'PROPFIND', 'GET', 'POST'])
            if (!routes.some((x) => fill(x.path) === fill(r.path) && x.method === method) && r.path !== '/api/login')
                assert.ok([401, 405, 404].includes(await status(method, fill(r.path))), `${method} ${r.path}`);
});

test('a key with a scope sees the same wall on every alias of a model', async () => {
    const { key } = await s.newKey({ name: 'no-model', models: ['nothing-*'] });
    const bodies = {
        '/v1/chat/completions': { messages: [{ role: 'user', content: 'a' }] },
        '/chat/completions': { messages: [{ role: 'user', content: 'a' }] },
        '/v1/messages': { messages: [{ role: 'user', content: 'a' }], max_tokens: 1 },
        '/v1/messages/count_tokens': { messages: [{ role: 'user', content: 'a' }] },
        '/v1/responses': { input: 'a' },
        '/v1/completions': { prompt: 'a' },
        '/v1/embeddings': { input: 'a' },
        '/embeddings': { content: 'a' },
        '/embedding': { content: 'a' },
        '/completion': { prompt: 'a' },
        '/completions': { prompt: 'a' },
        '/tokenize': { content: 'a' },
        '/detokenize': { tokens: [1] },
        '/apply-template': { messages: [{ role: 'user', content: 'a' }] },
    };
    for (const [path, body] of Object.entries(bodies))
        for (const model of ['pocket-dictionary', 'pocket-dictionary.gguf', 'nothing-there', undefined])
            assert.equal((await s.post(path, { ...body, model }, { key })).status, 404, `${path} ${model}`);
    for (const path of ['/props', '/slots', '/lora-adapters']) assert.equal((await s.get(`${path}?model=pocket-dictionary`, { key })).status, 404, path);
    assert.deepEqual((await s.get('/v1/models', { key })).json.data, []);
    assert.equal((await s.get('/api/models/pocket-dictionary', { key })).status, 404);
    assert.deepEqual((await s.get('/api/instances', { key })).json.instances, []);
});
