// SPDX-License-Identifier: MIT
// What is refused, with which status and in which shape; nothing of it may disturb the next request.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { Server, user } from './helper.mjs';

let server, locked;
before(async () => {
    server = await Server.start(['-c', '256']);
    locked = await Server.start(['-c', '256', '--api-key', 'first-key', '--api-key', 'second-key', '--allow-origin', 'https://app.example', '--metrics']);
});
after(async () => {
    const ok = await server.post('/v1/completions', { prompt: 'cat', max_tokens: 1 });
    assert.equal(ok.status, 200);
    assert.equal(await server.stop(), 0);
    assert.equal(await locked.stop('SIGINT'), 0);
});

function is(r, status, type, message, param) {
    assert.equal(r.status, status, r.text);
    assert.equal(r.json.error.type, type);
    assert.equal(r.json.error.code, status);
    if (message) assert.match(r.json.error.message, message);
    if (param !== undefined) assert.equal(r.json.error.param, param);
}

const chat = (fields) => server.post('/v1/chat/completions', { messages: user('hi'), max_tokens: 1, ...fields });

test('bodies that are no request', async () => {
    for (const [body, says] of [
        ['', /empty/], ['{', /not valid JSON/], ['[]', /must be a JSON object/], ['"x"', /not valid JSON/], ['{"a":1,"a":2}', /duplicate/],
        ['{"messages":[],}', /not valid JSON/], ['{"a":"\\ud800"}', /not valid JSON/], ['{"a":"\\u0000"}', /not valid JSON/],
        ['{"a":1e999}', /not valid JSON/], ['{"a":123456789012345678901234567890}', /not valid JSON/], ['{"a":NaN}', /not valid JSON/],
        ['['.repeat(100000), /nested more than 64/], ['{"a":'.repeat(65), /nested more than 64/], ['[' + '1,'.repeat(1 << 20) + '1]', /values/],
    ])
        is(await server.post('/v1/chat/completions', body), 400, 'invalid_request_error', says);
    const bad = await fetch(server.url + '/v1/completions', { method: 'POST', body: Buffer.from('{"prompt":"\xff"}', 'latin1') });
    assert.equal(bad.status, 400);
    for (const bytes of ['\xc0\xaf', '\xed\xa0\x80', '\xed\xb2\x80', '\xf4\x90\x80\x80', '\xf8\x88\x80\x80\x80', '\x80', '\xe2\x82', '\xfe', '\x00', '\\u0000', '\\ud800', '\\udc00\\ud800', '\\ud800x', '\n', '\\x41']) {
        const text = Buffer.from(`{"prompt":"a${bytes}b","max_tokens":1}`, 'latin1');
        const r = await fetch(server.url + '/v1/completions', { method: 'POST', body: text });
        assert.equal(r.status, 400, bytes);
        assert.match((await r.json()).error.message, /JSON/, bytes);
    }
    for (const depth of [62, 63, 64, 65, 100000]) { // each list is a level, the object around it another
        const r = await server.post('/v1/completions', `{"prompt":"a","max_tokens":1,"metadata":${'['.repeat(depth)}${']'.repeat(depth)}}`);
        is(r, 400, 'invalid_request_error', depth < 64 ? /^metadata: / : /nested more than 64/);
    }
    const nul = await fetch(server.url + '/v1/completions', { method: 'POST', body: '{"prompt":"a"}\0' });
    assert.equal(nul.status, 400);
});

test('a body that is too large is refused before it is read', async () => {
    const r = await new Promise((resolve, reject) => {
        const req = http.request(server.url + '/v1/completions', { method: 'POST', headers: { 'content-length': 1 << 30 } }, (res) => {
            resolve(res.statusCode);
            req.destroy();
        });
        req.on('error', reject);
        req.write('{');
    });
    assert.equal(r, 413);
});

test('numbers are checked', async () => {
    const fields = ['temperature', 'top_p', 'min_p', 'typical_p', 'repeat_penalty', 'repeat_last_n', 'presence_penalty', 'frequency_penalty', 'n', 'n_probs',
        'top_logprobs', 'id_slot', 'n_keep', 'n_discard', 'seed', 'max_tokens', 'top_k', 'n_predict', 'min_keep', 'max_completion_tokens', 'mirostat'];
    for (const name of fields)
        for (const value of [-2147483649, 1e308, '7', true, [], {}, -1e308])
            is(await chat({ [name]: value }), 400, 'invalid_request_error', new RegExp(`^${name}: `), name);
    for (const [name, value] of [['n', 0], ['n', 33], ['n', 1.5], ['seed', 2 ** 53 + 2], ['seed', -2], ['n_discard', -1], ['n_predict', -2], ['top_p', 1.01],
        ['temperature', -0.1], ['repeat_penalty', 0], ['id_slot', 2147483648], ['max_completion_tokens', 0]])
        is(await chat({ [name]: value }), 400, 'invalid_request_error', null, name);
    const whole = await chat({ seed: 5.0, n: 1 });
    assert.equal(whole.status, 200);
});

// Text that goes into the body as it is: numbers beyond what a field, a double or JSON can hold, and what is no number.
test('integers of every route', async () => {
    const routes = [
        ['/v1/chat/completions', '"messages":[{"role":"user","content":"hi"}]',
            ['n', 'max_tokens', 'max_completion_tokens', 'n_predict', 'n_keep', 'n_discard', 'n_probs', 'top_logprobs', 'top_k', 'id_slot', 'repeat_last_n', 'seed', 'min_keep']],
        ['/v1/completions', '"prompt":"hi"', ['n', 'best_of', 'max_tokens', 'logprobs', 'n_probs', 'top_k', 'id_slot', 'repeat_last_n', 'seed']],
        ['/completion', '"prompt":"hi"', ['n', 'n_predict', 'n_keep', 'n_discard', 'n_probs', 'top_k', 'id_slot', 'repeat_last_n', 'seed', 'n_indent', 'min_keep', 't_max_predict_ms']],
        ['/v1/embeddings', '"input":"hi"', ['dimensions']],
        ['/v1/messages', '"messages":[{"role":"user","content":"hi"}]', ['max_tokens', 'top_k']],
        ['/v1/responses', '"input":"hi"', ['max_output_tokens', 'top_logprobs', 'max_tool_calls']],
    ];
    const values = ['-2147483649', '-9223372036854775809', '9007199254740994', '9223372036854775807', '9223372036854775808', '18446744073709551616', '1e308', '-1e308', '1e309', '0.5', '1e-320', '"7"', '"x"',
        'NaN', '-NaN', 'Infinity', '0x10', '1_000', '+1', '01', 'true', '[]', '[1]', '{}', '"\\u0000"'];
    for (const [path, base, fields] of routes)
        for (const field of fields)
            for (const value of values) {
                const r = await server.post(path, `{${base},"${field}":${value}}`);
                const what = `${path} ${field} ${value}: ${r.text}`;
                assert.equal(r.status, 400, what);
                assert.match(r.json.error.message, new RegExp(`^${field}: |not valid JSON`), what);
            }
});

test('every field is honoured or refused by name', async () => {
    for (const [name, value] of [
        ['audio', {}], ['web_search_options', {}], ['functions', []], ['function_call', 'auto'], ['store', true], ['service_tier', 'flex'], ['modalities', ['audio']],
        ['verbosity', 'high'], ['no_such_field', 1], ['stream', 'yes'], ['logprobs', 1], ['top_logprobs', 2], ['stop', ['']], ['stop', 5], ['stop', Array(17).fill('x')],
        ['stop', 'x'.repeat(257)], ['logit_bias', { 9999999: 1 }], ['logit_bias', { 5: 'x' }], ['logit_bias', [[1]]], ['logit_bias', 3], ['samplers', []], ['lora', []],
        ['response_format', 'json'], ['stream_options', {}], ['grammar', 5], ['mirostat', 2], ['dry_multiplier', 0.5], ['xtc_probability', 0.1],
        ['user', 5], ['metadata', 'x'], ['chat_template_kwargs', []], ['reasoning_effort', 'much'],
    ])
        is(await chat({ [name]: value }), 400, 'invalid_request_error', null, name);
    is(await chat({ response_format: { type: 'xml' } }), 400, 'invalid_request_error', /json_schema/, 'response_format.type');
    is(await chat({ stream: true, stream_options: { include: 1 } }), 400, 'invalid_request_error', null, 'stream_options.include');
    is(await chat({ max_tokens: 5, n_predict: 6 }), 400, 'invalid_request_error', /contradicts/);
    is(await chat({ grammar: 'root ::= (' }), 400, 'invalid_request_error', null, 'grammar');
    is(await chat({ grammar: 'root ::= root' }), 400, 'invalid_request_error', null, 'grammar');
    const accepted = await chat({ user: 'u', metadata: { a: 'b' }, store: false, service_tier: 'auto', safety_identifier: 's', prompt_cache_key: 'k', verbosity: 'medium',
        modalities: ['text'], model: 'anything', n_keep: 5, mirostat: 0, mirostat_tau: 5, temperature: null, response_format: { type: 'text' } });
    assert.equal(accepted.status, 200, accepted.text);
    assert.equal(accepted.json.model, 'anything');
});

test('messages', async () => {
    for (const [messages, param] of [
        [undefined, 'messages'], [[], 'messages'], ['x', 'messages'], [[{ role: 'king', content: 'x' }], 'messages[0].role'],
        [[{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }], undefined], [[{ role: 'tool', content: 'x' }], undefined],
    ])
        is(await chat({ messages }), 400, 'invalid_request_error', /messages/, param);
});

test('prompts and inputs', async () => {
    for (const prompt of [undefined, null, 5, {}, [], '', [''], [[]], [-1], [1e9], [1.5], [true], Array(2049).fill('a')])
        is(await server.post('/v1/completions', { prompt, max_tokens: 1 }), 400, 'invalid_request_error', /prompt/, 'prompt');
    for (const input of [undefined, 5, [], '', [['x']], [null]])
        is(await server.post('/v1/embeddings', { input }), 400, 'invalid_request_error', /input/, 'input');
    is(await server.post('/v1/embeddings', { input: 'x', dimensions: 5 }), 400, 'invalid_request_error', null, 'dimensions');
    is(await server.post('/v1/embeddings', { input: 'x', encoding_format: 'hex' }), 400, 'invalid_request_error', null, 'encoding_format');
    is(await server.post('/v1/completions', { prompt: 'x', suffix: 'y' }), 400, 'invalid_request_error', null, 'suffix');
    is(await server.post('/v1/completions', { prompt: 'x', best_of: 3 }), 400, 'invalid_request_error', null, 'best_of');
});

test('a prompt that is too long', async () => {
    for (const stream of [false, true]) {
        const r = await server.post('/v1/chat/completions', { messages: user('cat '.repeat(500)), stream });
        is(r, 400, 'exceed_context_size_error', /exceeds the available context size/);
        assert.equal(r.json.error.n_ctx, 256);
        assert.ok(r.json.error.n_prompt_tokens >= 500);
    }
});

test('a constraint that leads into a corner is an error, in a stream too', async () => {
    const corner = { prompt: 'cat', temperature: 0, grammar: 'root ::= "abc " "7"', logit_bias: [['7', false], [' 7', false]], max_tokens: 20 };
    for (const path of ['/v1/completions', '/completion']) {
        is(await server.post(path, corner), 500, 'server_error', /logit_bias/);
        const r = await server.post(path, { ...corner, stream: true });
        assert.equal(r.status, 200);
        const list = r.text.trim().split('\n\n').map((f) => f.replace(/^data: /, ''));
        assert.match(list.map((f) => JSON.parse(f)).map((o) => o.content ?? o.choices?.[0].text ?? '').join(''), /^abc ?$/);
        const last = JSON.parse(list.at(-1));
        assert.deepEqual([last.error.type, last.error.code], ['server_error', 500]);
    }
});

test('paths and methods', async () => {
    for (const path of ['/v1/nothing', '/', '/v1/chat/completions/', '//health', '/v2/models', '/v1/chat', '/models/'])
        is(await server.ask('GET', path), 404, 'not_found_error');
    const r = await server.ask('GET', '/v1/chat/completions');
    is(r, 405, 'invalid_request_error');
    assert.equal(r.headers.get('allow'), 'POST');
    assert.equal((await server.post('/health', '{}')).status, 405);
    for (const path of ['/health', '/v1/health', '/props', '/slots', '/metrics', '/lora-adapters', '/v1/models', '/models', '/v1/models/x', '/v1/chat/completions', '/no/such']) {
        const get = await server.ask('GET', path), head = await server.ask('HEAD', path);
        assert.deepEqual([head.status, head.text, head.headers.get('content-type')], [get.status, '', get.headers.get('content-type')], path);
        for (const r of [get, head]) assert.match(r.headers.get('x-request-id'), /^[0-9a-f]{24}$/, path);
    }
    is(await server.ask('GET', '/metrics'), 501, 'not_supported_error', /--metrics/);
    assert.equal((await server.ask('OPTIONS', '/v1/models')).status, 204);
});

test('keys', async () => {
    const good = { authorization: 'Bearer second-key' };
    for (const headers of [{}, { authorization: 'Bearer second-ke' }, { authorization: 'Bearer second-key2' }, { authorization: 'Bearer ' }, { authorization: 'second-key' },
        { authorization: 'Basic second-key' }, { 'x-api-key': '' }, { 'x-api-key': 'nope' }, { authorization: 'Bearer x', 'x-api-key': 'first-key' }])
        for (const [method, path] of [['GET', '/v1/models'], ['GET', '/models'], ['POST', '/v1/chat/completions'], ['POST', '/chat/completions'], ['GET', '/metrics'],
            ['POST', '/v1/embeddings'], ['GET', '/no/such/path'], ['POST', '/health']]) {
            const r = await locked.ask(method, path, method === 'POST' ? 'not even JSON' : undefined, headers);
            is(r, 401, 'authentication_error', /^Invalid API Key$/);
        }
    assert.equal((await locked.ask('GET', '/health')).status, 200);
    assert.equal((await locked.ask('GET', '/v1/models', undefined, good)).status, 200);
    assert.equal((await locked.ask('GET', '/v1/models', undefined, { 'x-api-key': 'first-key' })).status, 200);
    assert.equal((await locked.openai({ apiKey: 'first-key' }).models.list()).data.length, 1);
    await assert.rejects(locked.openai({ apiKey: 'wrong' }).models.list(), { status: 401 });
    assert.doesNotMatch(locked.log, /first-key|second-key|nope/);
});

/** fetch does not let one set Host. */
const withHost = (host, headers = {}) =>
    new Promise((resolve, reject) =>
        http.get(server.url + '/health', { headers: { host, ...headers }, setHost: false }, (res) => resolve(res.resume().statusCode)).on('error', reject),
    );

test('Host and Origin', async () => {
    const port = new URL(server.url).port;
    for (const host of ['localhost', `localhost:${port}`, '127.0.0.1', '127.8.9.1:80', '[::1]:5', 'a.localhost']) assert.equal(await withHost(host), 200, host);
    for (const host of ['evil.example', '127.0.0.1.evil.example', 'localhost.evil.example', '10.0.0.1', 'localhost:x', '[::2]', '127.0.0.1:1:2', 'xlocalhost'])
        assert.equal(await withHost(host), 403, host);
    const origin = (o, s = server, method = 'GET') => s.ask(method, '/health', undefined, { origin: o });
    for (const o of ['http://evil.example', 'null', 'https://app.example.evil', 'file://', server.url + '.evil']) is(await origin(o), 403, 'permission_error');
    const own = await origin(server.url);
    assert.equal(own.headers.get('access-control-allow-origin'), server.url);
    assert.equal((await origin('https://app.example')).status, 403);
    const allowed = await origin('https://app.example', locked);
    assert.equal(allowed.headers.get('access-control-allow-origin'), 'https://app.example');
    assert.equal(allowed.headers.get('access-control-allow-credentials'), null);
    const preflight = await locked.ask('OPTIONS', '/v1/chat/completions', undefined, {
        origin: 'https://app.example', 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,content-type',
    });
    assert.equal(preflight.status, 204);
    assert.match(preflight.headers.get('access-control-allow-methods'), /POST/);
    assert.match(preflight.headers.get('access-control-allow-headers'), /authorization/);
});

test('log lines cannot be forged', async () => {
    await new Promise((resolve) => http.get(server.url + '/x%C2%9B31m%E2%80%AE', (res) => resolve(res.resume())));
    await server.see(/GET \/x\\xc2\\x9b31m\\xe2\\x80\\xae 404/);
    assert.doesNotMatch(server.log, /\u009b|\u202e/);
});
