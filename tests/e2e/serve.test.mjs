// SPDX-License-Identifier: MIT
// The service as people start it, with the clients that they have: models by name, streams, identities, the app API.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { all, frames, until, user } from './helper.mjs';
import { Service, alive } from './service.mjs';

let s;
before(async () => (s = await Service.start()));
after(async () => assert.equal(await s.end(), 0));

const name = 'pocket-dictionary';
const question = { messages: user('What is a llama?'), max_tokens: 24, temperature: 0 };

test('it says where it is, and serves without any configuration', async () => {
    assert.match(s.log, /curl http:\/\/127\.0\.0\.1:\d+\/v1\/chat\/completions/);
    assert.match(s.log, /The admin key is in .*admin\.key/);
    assert.equal(s.log.includes(s.adminKey), false);
    const r = await s.post('/v1/chat/completions', question);
    assert.equal(r.status, 200, r.text);
    assert.match(r.json.choices[0].message.content, /llama/);
    assert.equal(r.headers.get('x-content-type-options'), 'nosniff');
});

test('openai: chat, stream, usage, embeddings, models', async () => {
    const client = s.openai();
    const whole = await client.chat.completions.create({ ...question, model: name });
    const chunks = await all(await client.chat.completions.create({ ...question, model: name, stream: true, stream_options: { include_usage: true } }));
    assert.equal(chunks.map((c) => c.choices[0]?.delta.content ?? '').join(''), whole.choices[0].message.content);
    assert.equal(chunks.at(-1).usage.completion_tokens, whole.usage.completion_tokens);
    const { data } = await client.embeddings.create({ model: name, input: ['a', 'b'] });
    assert.equal(data.length, 2);
    assert.ok(Math.abs(data[0].embedding.reduce((sum, v) => sum + v * v, 0) - 1) < 1e-3);
    const models = await all(await client.models.list());
    assert.deepEqual(models.map((m) => m.id), [name]);
    assert.equal((await client.models.retrieve(name)).id, name);
    await assert.rejects(client.models.retrieve('other'), { status: 404 });
    await assert.rejects(client.chat.completions.create({ ...question, model: 'other' }), { status: 404, code: 'model_not_found' });
});

test('anthropic: messages, streams, counts, errors in its own shape', async () => {
    const client = s.anthropic();
    const params = { model: name, max_tokens: 24, temperature: 0, messages: user('What is a llama?') };
    const whole = await client.messages.create(params);
    const stream = client.messages.stream(params);
    const streamed = await stream.finalMessage();
    assert.equal(streamed.content[0].text, whole.content[0].text);
    assert.ok((await client.messages.countTokens({ model: name, messages: params.messages })).input_tokens > 3);
    const bad = await s.post('/v1/messages', { ...params, max_tokens: -1 });
    assert.equal(bad.status, 400);
    assert.equal(bad.json.type, 'error');
    assert.match(bad.json.error.message, /max_tokens/);
});

test("llama-server's routes, with and without a model's name", async () => {
    const { tokens } = (await s.post('/tokenize', { content: 'Hello, world!' })).json;
    assert.equal((await s.post('/detokenize', { tokens, model: name })).json.content, 'Hello, world!');
    const c = (await s.post('/completion', { prompt: 'A llama is', n_predict: 5, temperature: 0 })).json;
    assert.equal(c.tokens_predicted, 5);
    assert.match((await s.post('/apply-template', { messages: user('hi') })).json.prompt, /hi/);
    assert.equal((await s.get('/props')).status, 200);
    assert.equal((await s.get(`/slots?model=${name}`)).status, 200);
    assert.equal((await s.get('/health')).json.status, 'ok');
    assert.equal((await s.post('/rerank', { query: 'a', documents: [] })).status, 501);
});

test('what a request says is checked before an engine sees it', async () => {
    const rows = [
        [{ ...question, temprature: 1 }, /temprature/],
        [{ ...question, temperature: 'hot' }, /temperature/],
        [{ ...question, max_tokens: 1e308 }, /max_tokens/],
        [{ messages: [{ role: 'user', content: 'x', nme: 1 }] }, /messages\[0\]\.nme/],
        [{ messages: 'x' }, /messages/],
    ];
    for (const [body, what] of rows) {
        const r = await s.post('/v1/chat/completions', body);
        assert.equal(r.status, 400, r.text);
        assert.match(r.json.error.message, what);
    }
    for (const text of ['', '[]', '{"a":1', '{"a":1,"a":2}', '['.repeat(100000)]) assert.equal((await s.post('/v1/chat/completions', text)).status, 400);
    assert.equal((await s.get('/v1/models?x=1')).status, 400);
});

test('a stream goes through as it comes, and a client that leaves frees its place', async () => {
    const client = s.openai();
    const stream = await client.chat.completions.create({ messages: user('Tell me more'), max_tokens: 2000, ignore_eos: true, model: name, stream: true });
    let n = 0;
    for await (const chunk of stream) if (++n === 5) break;
    await until(async () => (await s.instances()).every((i) => i.running === 0));
});

test('a profile of a request runs the model in that profile', async () => {
    const r = await s.post('/v1/chat/completions', question, { headers: { 'x-drover-profile': 'fast' } });
    assert.equal(r.status, 200, r.text);
    assert.deepEqual((await s.instances()).map((i) => i.profile).sort(), ['balanced', 'fast']);
    assert.equal((await s.post('/v1/chat/completions', question, { headers: { 'x-drover-profile': 'none' } })).status, 400);
});

test('the app API: models, instances, profiles, load, unload, switch', async () => {
    const { models } = (await s.get('/api/models')).json;
    assert.equal(models.length, 1);
    assert.equal(models[0].name, name);
    assert.equal(models[0].architecture, 'llama');
    assert.ok(models[0].size > 0 && models[0].memory_estimate > 0);
    assert.equal((await s.get(`/api/models/${name}`)).json.name, name);
    assert.equal((await s.get('/api/models/other')).status, 404);
    assert.ok((await s.get('/api/profiles')).json.profiles.some((p) => p.name === 'quality' && p.context === 8192));
    assert.equal((await s.post('/api/models/unload', { model: name })).status, 403, 'keyless is no admin');
    assert.equal((await s.admin('POST', '/api/models/unload', { model: name })).status, 200);
    assert.ok((await s.instances()).every((i) => i.state === 'stopped'));
    assert.equal((await s.admin('POST', '/api/models/load', { model: name, profile: 'memory' })).status, 200);
    assert.ok((await s.instances()).some((i) => i.state === 'ready' && i.profile === 'memory'));
    assert.equal((await s.admin('POST', '/api/switch', { model: name })).status, 200);
    assert.equal((await s.admin('POST', '/api/switch', { model: 'other' })).status, 404);
});

test('health, metrics and the document', async () => {
    const h = (await s.get('/api/health')).json;
    assert.equal(h.status, 'ok');
    assert.ok(h.live && h.ready && h.checks.database.ok && h.checks.database.latency_us >= 0 && h.checks.engines.ok);
    const { text } = await s.admin('GET', '/metrics');
    assert.match(text, /^drover_service_replies_total\{class="2xx"\} \d+$/m);
    assert.match(text, /^llamacpp:tokens_predicted_total\{model="pocket-dictionary"\} \d+$/m);
    const lines = text.split('\n').filter((l) => l.startsWith('# TYPE'));
    assert.equal(new Set(lines).size, lines.length);
    const doc = (await s.get('/api/openapi.json')).json;
    assert.match(doc.openapi, /^3\.1/);
    assert.ok(doc.paths['/v1/chat/completions'].post);
});

test('keys have scopes, are shown once and end when they are revoked', async () => {
    const made = await s.newKey({ name: 'only-embeddings', routes: ['embeddings'], models: ['pocket-*'] });
    const { key } = made;
    assert.equal((await s.post('/v1/embeddings', { input: 'a' }, { key })).status, 200);
    assert.equal((await s.post('/v1/chat/completions', question, { key })).status, 403);
    assert.equal((await s.ask('GET', '/api/keys', undefined, { key })).status, 403);
    const list = await s.admin('GET', '/api/keys');
    assert.equal(list.text.includes(key), false);
    assert.equal((await s.admin('DELETE', `/api/keys/${made.id}`)).status, 204);
    assert.equal((await s.post('/v1/embeddings', { input: 'a' }, { key })).status, 401);
    const other = await s.newKey({ name: 'other-model', models: ['llama-*'] });
    assert.equal((await s.post('/v1/chat/completions', question, { key: other.key })).status, 404);
    assert.deepEqual((await s.get('/v1/models', { key: other.key })).json.data, []);
    const short = await s.newKey({ name: 'short', max_context: 40 });
    const long = await s.post('/v1/chat/completions', { messages: user('word '.repeat(100)) }, { key: short.key });
    assert.equal(long.status, 400, long.text);
    const cut = await s.post('/completion', { prompt: 'A llama is', n_predict: 500, ignore_eos: true }, { key: short.key });
    assert.ok(cut.json.tokens_evaluated + cut.json.tokens_predicted <= 40, cut.text);
    assert.equal((await s.post('/v1/chat/completions', question, { key: 'dv_' + 'x'.repeat(43) })).status, 401);
});

test('users log in, have roles, need their token, and log out', async () => {
    assert.equal((await s.admin('POST', '/api/users', { name: 'ann', password: 'correct horse', role: 'admin' })).status, 201);
    assert.equal((await s.admin('POST', '/api/users', { name: 'vic', password: 'battery staple', role: 'viewer' })).status, 201);
    assert.equal((await s.post('/api/login', { name: 'ann', password: 'wrong' })).status, 401);
    const login = async (name, password) => {
        const r = await s.post('/api/login', { name, password });
        assert.equal(r.status, 200, r.text);
        const cookie = r.headers.get('set-cookie');
        assert.match(cookie, /HttpOnly; SameSite=Strict/);
        return { cookie: cookie.split(';')[0], token: r.json.csrf_token };
    };
    const ann = await login('ann', 'correct horse');
    const as = (u, token = u.token) => ({ headers: { cookie: u.cookie, ...(token ? { 'x-csrf-token': token } : {}) } });
    assert.equal((await s.get('/api/users', as(ann, null))).json.users.length, 2);
    assert.equal((await s.post('/api/keys', { name: 'x' }, as(ann, null))).status, 403);
    assert.equal((await s.post('/api/keys', { name: 'x' }, as(ann, 'y'.repeat(43)))).status, 403);
    assert.equal((await s.post('/api/keys', { name: 'by-ann' }, as(ann))).status, 201);
    assert.equal((await s.get('/api/session', as(ann))).json.user.name, 'ann');
    assert.equal((await s.get('/api/users', { headers: { ...as(ann).headers, origin: 'https://evil.example' } })).status, 403);
    const vic = await login('vic', 'battery staple');
    assert.equal((await s.get('/v1/models', as(vic))).status, 200);
    assert.equal((await s.post('/v1/chat/completions', question, as(vic))).status, 403);
    assert.equal((await s.get('/api/users', as(vic))).status, 403);
    assert.equal((await s.ask('PATCH', '/api/users/vic', { role: 'user' }, as(ann))).status, 200);
    assert.equal((await s.get('/v1/models', as(vic))).status, 401, 'a changed role ends sessions');
    assert.equal((await s.post('/api/logout', undefined, as(ann))).status, 204);
    assert.equal((await s.get('/api/session', as(ann))).status, 401);
    assert.equal((await s.admin('DELETE', '/api/users/vic')).status, 204);
});

test('everything that was done is in the audit log, without prompts and keys, and the chain holds', async () => {
    await s.post('/v1/chat/completions', { ...question, messages: user('secret-words-of-mine') });
    await until(() => s.auditRows().some((r) => r.action === 'POST /v1/chat/completions' && r.outcome === 'ok' && r.model === name && r.tokens_out > 0));
    const text = JSON.stringify(s.auditRows());
    assert.equal(text.includes('secret-words-of-mine'), false);
    assert.equal(text.includes(s.adminKey), false);
    assert.ok(s.auditRows().some((r) => r.outcome === 'denied' && r.status === 403));
    const rows = (await s.admin('GET', '/api/audit?limit=5')).json.rows;
    assert.equal(rows.length, 5);
    assert.equal((await s.admin('GET', '/api/audit/verify')).json.ok, true);
    assert.match(s.command('audit', 'verify'), /\d/);
    assert.equal(s.log.includes('secret-words-of-mine'), false);
});

test('a key that a command makes is good at once', async () => {
    const key = s.command('key', 'create', 'from-cli').trim();
    await until(async () => (await s.get('/v1/models', { key })).status === 200);
});

test('the engines end with the service', async () => {
    const other = await Service.start();
    await other.post('/v1/chat/completions', question);
    const pids = (await other.instances()).map((i) => i.pid).filter((p) => p > 0);
    assert.equal(pids.length, 1);
    assert.ok(pids.every(alive));
    assert.equal(await other.end(), 0);
    assert.ok(pids.every((p) => !alive(p)));
});
