// SPDX-License-Identifier: MIT
// Requests that want to cost more than they may: each is answered or refused by name, and a stream beside them goes on as if it were alone.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { Server, all, user } from './helper.mjs';

let server;
before(async () => (server = await Server.start(['-c', '4096', '--metrics', '--log-level', 'error'])));
after(async () => assert.equal(await server.stop(), 0));

const times = (n, f) => Array.from({ length: n }, (_, i) => f(i));
const nested = (n, f, x) => {
    for (let i = 0; i < n; i++) x = f(x);
    return x;
};
const grammar = (text) => ['/v1/completions', { prompt: 'a', max_tokens: 3, grammar: text }];
const schema = (s) => ['/v1/completions', { prompt: 'a', max_tokens: 3, json_schema: s }];
const object = (n, f, more) => ({ type: 'object', properties: Object.fromEntries(times(n, (i) => [`p${i}`, f(i)])), ...more });

// What it is, the request, and the words of the refusal; null: it is answered.
const bombs = [
    ['left recursion', grammar('root ::= root "a" | "b"'), /^grammar: rule 'root' is left-recursive/],
    ['left recursion over two rules', grammar('root ::= a | "x"\na ::= b\nb ::= a "x" | "y"'), /left-recursive/],
    ['rules that never end', grammar('root ::= "(" root ")"'), /never ends/],
    ['100,000 parentheses', grammar('root ::= ' + '('.repeat(100000) + '"a"' + ')'.repeat(100000)), /nested more than/],
    ['100,000 repetitions', grammar('root ::= "a"{100000}'), null],
    ['a billion repetitions', grammar('root ::= "a"{1000000000}'), /grammar: .*more than \d+/],
    ['a billion repetitions in three steps', grammar('root ::= ((("a"{1000}){1000}){1000})'), /grammar: .*more than \d+/],
    ['optional repetitions in three steps', grammar('root ::= ((("a"?){0,100}){0,100}){0,100}'), /grammar: .*more than \d+/],
    ['stars of stars', grammar('root ::= ' + nested(50, (x) => `(${x})*`, '"a"')), null],
    ['100,000 alternatives', grammar('root ::= ' + times(100000, (i) => `"w${i}"`).join(' | ')), /grammar: .*\d+ bytes/],
    ['5 MB of literal', grammar(`root ::= "${'a'.repeat(5e6)}"`), /grammar: .*\d+ bytes/],
    ['$ref to itself', schema({ $ref: '#' }), /json_schema: /],
    ['$ref in a circle', schema({ $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } } }), /json_schema: /],
    ['allOf of itself', schema({ allOf: [{ $ref: '#' }, { type: 'object' }] }), /'\$ref'/],
    ['a product of branches', schema({ allOf: times(12, (k) => ({ anyOf: times(8, (i) => ({ type: 'object', properties: { [`p${k}`]: { const: i } } })) })) }), /'anyOf'/],
    ['an enum of 1 MB', schema({ enum: times(100000, (i) => `value ${i}`) }), /json_schema: .*\d+ bytes/],
    ['100,000 properties', schema(object(100000, () => ({ type: 'integer' }))), /json_schema: .*\d+ bytes/],
    ['200 properties in any selection', schema(object(200, () => ({ type: 'integer' }), { additionalProperties: true })), null],
    ['a million items', schema({ type: 'array', minItems: 1000000 }), null],
    ['a billion characters', schema({ type: 'string', maxLength: 1e9 }), null],
    ['a pattern that backtracks elsewhere', schema({ type: 'string', pattern: '^((a+)+|(a|a)*)*$' }), null],
    ['a pattern with 2^20 states', schema({ type: 'string', pattern: '^(a|b)*a(a|b){20}$' }), /json_schema: .*\d+ states/],
    ['a pattern of a million repetitions', schema({ type: 'string', pattern: '^(a{1,1000}){1,1000}$' }), /json_schema: .*more than \d+/],
    ['a pattern of 50,000 groups', schema({ type: 'string', pattern: '^' + '('.repeat(50000) + 'a' + ')'.repeat(50000) + '$' }), /nested more than/],
    ['a schema of 4,096 branches', schema(nested(12, (x) => ({ anyOf: [{ type: 'array', items: x }, { type: 'object', properties: { a: x } }] }), { type: 'string' })), null],
    ['JSON that is 100,000 deep', ['/v1/completions', '{"prompt":' + '['.repeat(100000)], /nested more than 64/],
    ['two million values', ['/v1/completions', `{"prompt":[${'1,'.repeat(2e6)}1]}`], /\d+ values/],
    ['5,000 tools', ['/v1/chat/completions', { messages: user('a'), tools: times(5000, (i) => ({ type: 'function', function: { name: `f${i}` } })) }], /5000 tools; the limit is/],
    ['100,000 messages', ['/v1/chat/completions', { messages: times(100000, (i) => ({ role: i % 2 ? 'assistant' : 'user', content: 'x' })) }], /100000 messages; the limit is/],
    ['a prompt of 8 MB', ['/v1/completions', { prompt: 'cat '.repeat(2e6), max_tokens: 1 }], /exceeds the available context size/],
    ['a prompt of 8 MB in one word', ['/v1/completions', { prompt: 'c'.repeat(8e6), max_tokens: 1 }], /longer than 4194304 bytes/],
    ['a message of 8 MB', ['/v1/chat/completions', { messages: user('dog '.repeat(2e6)), max_tokens: 1 }], /exceeds the available context size/],
    ['a million tokens', ['/v1/completions', { prompt: times(1000000, () => 5), max_tokens: 1 }], /exceeds the available context size/],
    ['five million tokens to be listed', ['/tokenize', { content: 'dog '.repeat(5e6), with_pieces: true }], /at most 1048576 tokens/],
    ['a reply of 150 MB', ['/v1/completions', { prompt: times(7, () => 'dog '.repeat(3500)), max_tokens: 1, echo: true, n_probs: 100 }], /longer than 128 MiB/],
    ['100,000 biases', ['/v1/completions', { prompt: 'a', max_tokens: 1, logit_bias: times(100000, (i) => [i % 4000, 1]) }], /logit_bias: .*more than \d+/],
];

test('requests that want too much', async (t) => {
    const question = { model: 'm', messages: user('define cat'), temperature: 0, max_tokens: 4000, ignore_eos: true };
    const text = (chunks) => chunks.map((c) => c.choices[0]?.delta.content ?? '').join('');
    const want = text(await all(await server.openai().chat.completions.create({ ...question, stream: true })));
    let got = '', over = false;
    const beside = (async () => {
        while (!over) got = text(await all(await server.openai().chat.completions.create({ ...question, stream: true })));
    })();
    try {
        for (const [what, [path, body], says] of bombs) {
            const start = performance.now();
            const r = await server.post(path, body);
            t.diagnostic(`${what}: ${Math.round(performance.now() - start)} ms`);
            assert.equal(r.status, says === null ? 200 : 400, `${what}: ${r.text.slice(0, 300)}`);
            if (says !== null) assert.match(r.json.error.message, says, what);
            assert.ok(r.status === 200 || r.json.error.message.length < 400, what);
        }
    } finally {
        over = true;
        await beside;
    }
    assert.equal(got, want);
});

/** A connection that asks and never reads. */
function silent(path, body) {
    const socket = net.connect({ port: new URL(server.url).port, host: '127.0.0.1' });
    socket.pause();
    socket.on('error', () => {});
    socket.write(`POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
    return socket;
}

test('replies that nobody reads have a limit, and go with their clients', async () => {
    const body = JSON.stringify({ content: 'dog '.repeat(1e6), with_pieces: true }); // tens of MB of reply
    const clients = Array.from({ length: 16 }, () => silent('/tokenize', body));
    for (;;) {
        const r = await server.post('/tokenize', body);
        if (r.status !== 503) continue; // not yet
        assert.equal(r.json.error.type, 'unavailable_error');
        assert.match(r.json.error.message, /too many/);
        assert.ok(Number(r.headers.get('retry-after')) > 0);
        break;
    }
    assert.equal((await server.post('/v1/completions', { prompt: 'a', max_tokens: 1 })).status, 200);
    for (const c of clients) c.destroy();
    for (let status = 503; status !== 200; ) ({ status } = await server.post('/tokenize', body));
});

test('a body that is compressed is not unpacked', async () => {
    const { gzipSync } = await import('node:zlib');
    const r = await fetch(server.url + '/v1/completions', {
        method: 'POST', headers: { 'content-encoding': 'gzip', 'content-type': 'application/json' }, body: gzipSync(JSON.stringify({ prompt: 'a', max_tokens: 1 })),
    });
    assert.equal(r.status, 415);
    assert.match((await r.json()).error.message, /Content-Encoding/);
    const plain = await server.post('/v1/completions', { prompt: 'a', max_tokens: 1 }, { 'content-encoding': 'identity' });
    assert.equal(plain.status, 200);
});
