// SPDX-License-Identifier: MIT
// Every field of every route with values that make no sense there: each gets an answer of its own, in the API's shape, and harms nobody else.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Server, until, user } from './helper.mjs';

const folder = mkdtempSync(join(tmpdir(), 'drover-e2e-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

let server;
before(async () => {
    mkdirSync(join(folder, 'slots'));
    server = await Server.start(['-c', '256', '--slot-save-path', join(folder, 'slots'), '--queue', '64', '--log-level', 'error']);
});
after(async () => assert.equal(await server.stop(), 0));

const values = [null, true, false, 0, -1, 1.5, 2 ** 31, -(2 ** 31) - 1, 2 ** 32, 2 ** 53, 2 ** 63, 1e308, -1e308, 5e-324, '', 'x', '0', 'NaN', '../x', '\u0000', '\u{10ffff}',
    'é'.repeat(300), 'x'.repeat(5000), [], [[]], [null], [{}], [1e308], ['x'], Array(70).fill(1), Array(300).fill('x'), {}, { '': '' }, { type: 'x' }, { x: { x: { x: {} } } },
    { type: 'function' }, [{ type: 'text', text: 5 }], [{ role: 'user', content: 5 }], [[1, 1e308]], { 5: 1e308 }];

const parameters = { type: 'object', properties: { a: { type: 'string' } } };
const sampling = { temperature: 1, top_p: 0.5, top_k: 5, min_p: 0.1, typical_p: 1, repeat_penalty: 1, repeat_last_n: 5, presence_penalty: 0, frequency_penalty: 0, seed: 1,
    logit_bias: { 5: 1 }, ignore_eos: true, n_probs: 0, cache_prompt: true, id_slot: 0, timings_per_token: true, return_progress: true, n_keep: 0, n_discard: 0, min_keep: 0,
    dynatemp_range: 0, top_n_sigma: -1, xtc_probability: 0, dry_multiplier: 0, dry_sequence_breakers: [], mirostat: 0, n_indent: 0, stream: true, grammar: '', json_schema: null };

const requests = [
    ['/completion', { prompt: 'a', n_predict: 1, stop: ['x'], ...sampling, n: 1, return_tokens: true, response_fields: ['content'], post_sampling_probs: false, t_max_predict_ms: 0,
        samplers: null }],
    ['/infill', { input_prefix: 'a', input_suffix: 'b', input_extra: [{ filename: 'a', text: 'b' }], prompt: 'c', n_predict: 1 }],
    ['/tokenize', { content: 'a', add_special: true, parse_special: true, with_pieces: true }],
    ['/detokenize', { tokens: [1, 2] }],
    ['/apply-template', { messages: user('a'), tools: [{ type: 'function', function: { name: 'f', parameters } }], chat_template_kwargs: { a: 1 }, add_generation_prompt: true }],
    ['/slots/0?action=save', { filename: 'a.bin' }],
    ['/slots/0?action=restore', { filename: 'a.bin' }],
    ['/v1/chat/completions', { messages: [{ role: 'system', content: 'a' }, { role: 'user', content: [{ type: 'text', text: 'b' }] },
        { role: 'assistant', content: null, tool_calls: [{ id: 'i', type: 'function', function: { name: 'f', arguments: '{}' } }] }, { role: 'tool', tool_call_id: 'i', content: 'c' }],
        tools: [{ type: 'function', function: { name: 'f', description: 'd', parameters, strict: true } }], tool_choice: 'auto', parallel_tool_calls: true, max_tokens: 1, stop: 'x', n: 1,
        logprobs: true, top_logprobs: 1, stream: true, stream_options: { include_usage: true }, response_format: { type: 'text' }, reasoning_effort: 'none', metadata: {} }],
    ['/v1/completions', { prompt: ['a'], max_tokens: 1, echo: true, logprobs: 1, suffix: '', best_of: 1, n: 1, stop: ['x'] }],
    ['/v1/embeddings', { input: ['a'], encoding_format: 'float', dimensions: null }],
    ['/embedding', { content: ['a'], embd_normalize: 2 }],
    ['/v1/messages', { messages: [{ role: 'user', content: [{ type: 'text', text: 'a', cache_control: { type: 'ephemeral' } }] },
        { role: 'assistant', content: [{ type: 'thinking', thinking: 't', signature: '' }, { type: 'tool_use', id: 'i', name: 'f', input: { a: 'b' } }] },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'i', content: [{ type: 'text', text: 'c' }], is_error: false }] }],
        system: [{ type: 'text', text: 's' }], tools: [{ name: 'f', description: 'd', input_schema: parameters }], tool_choice: { type: 'auto', disable_parallel_tool_use: false },
        max_tokens: 1, stop_sequences: ['x'], temperature: 1, top_p: 1, top_k: 5, stream: true, thinking: { type: 'disabled' }, output_config: { effort: 'high', format: null },
        metadata: { user_id: 'u' }, service_tier: 'auto', cache_control: null }],
    ['/v1/messages/count_tokens', { messages: user('a'), system: 's', tools: [{ name: 'f', input_schema: parameters }], tool_choice: { type: 'any' } }],
    ['/v1/responses', { input: [{ role: 'user', content: [{ type: 'input_text', text: 'a' }] }, { type: 'reasoning', id: 'r', summary: [], content: [{ type: 'reasoning_text', text: 't' }] },
        { type: 'function_call', call_id: 'i', name: 'f', arguments: '{}' }, { type: 'function_call_output', call_id: 'i', output: 'c' }],
        instructions: 's', tools: [{ type: 'function', name: 'f', description: 'd', parameters, strict: true }], tool_choice: 'auto', parallel_tool_calls: true, max_output_tokens: 1,
        temperature: 1, top_p: 1, reasoning: { effort: 'none', summary: 'auto' }, text: { format: { type: 'text' }, verbosity: 'medium' }, truncation: 'disabled', stream: true,
        stream_options: { include_obfuscation: false }, include: ['reasoning.encrypted_content'], metadata: {}, store: false, background: false, top_logprobs: 0 }],
    ['/v1/responses/input_tokens', { input: 'a', instructions: 's', text: { format: { type: 'text' } } }],
];

/** Paths of all values in v, itself left out. */
function* places(v, at = []) {
    if (v === null || typeof v !== 'object') return;
    for (const key of Object.keys(v)) {
        yield [...at, key];
        yield* places(v[key], [...at, key]);
    }
}

function put(body, path, value) {
    const copy = structuredClone(body);
    const last = path.at(-1);
    const holder = path.slice(0, -1).reduce((v, key) => v[key], copy);
    if (value === undefined) Array.isArray(holder) ? holder.splice(last, 1) : delete holder[last];
    else holder[last] = value;
    return copy;
}

/** What may come back: an answer, or an error that says what is wrong in the API's shape. */
function check(path, r, what) {
    assert.ok([200, 400, 501].includes(r.status), `${what}: ${r.status} ${r.text.slice(0, 200)}`);
    if (r.status === 200) return;
    const { error, type } = r.json;
    assert.equal(path.startsWith('/v1/messages') ? type : 'error', 'error', what);
    assert.ok(typeof error.message === 'string' && error.message.length > 5 && error.message.length < 1000, what);
    assert.ok(['invalid_request_error', 'exceed_context_size_error', 'not_supported_error'].includes(error.type), what);
    assert.doesNotMatch(error.message, /[\u0000-\u001f]/, what);
}

for (const [path, body] of requests)
    test(`${path}: every field with every value`, async () => {
        const good = await server.post(path, body);
        check(path, good, 'as it should be');
        if (!['/infill', '/slots/0?action=save', '/slots/0?action=restore'].includes(path)) assert.equal(good.status, 200, good.text);
        let refused = 0;
        for (const place of places(body))
            for (const value of [undefined, ...values]) {
                const r = await server.post(path, put(body, place, value));
                check(path, r, `${path} ${place.join('.')} = ${JSON.stringify(value)?.slice(0, 60)}`);
                refused += r.status !== 200;
            }
        assert.ok(refused > 10);
        assert.equal((await server.ask('GET', '/health')).status, 200);
    });

test('bodies that take much more memory than they have bytes', async () => {
    const s = await Server.start(['-c', '256', '--metrics']);
    const many = 2 ** 20 - 20, most = 2 ** 25 - 64, list = (item, n) => `[${item}${(',' + item).repeat(n - 1)}]`;
    const bodies = [
        ['['.repeat(most), /nested/], ['{"a":'.repeat(most / 5), /nested/],
        [`{"messages":${list('{}', many / 2)}}`, /memory/], [`{"messages":${list('{"a":0}', many / 3)}}`, /memory/],
        [`{"messages":${list('[]', many / 2)}}`, /messages/], [`{"messages":${list('""', many)}}`, /messages/],
        [`{${Array.from({ length: many / 2 }, (_, i) => `"${i.toString(36)}":0`).join()}}`, /not known/],
        [JSON.stringify({ messages: user('x '.repeat(most / 2 - 20)) }), /template|context/], [JSON.stringify({ messages: user('~^'.repeat(most / 2 - 20)) }), /template|word/],
    ];
    for (const [body, says] of bodies) {
        const r = await s.post('/v1/chat/completions', body);
        assert.equal(r.status, 400, r.text);
        assert.match(r.json.error.message, says);
    }
    // Several at once: refused as such, or because there are several.
    const all = await Promise.all(bodies.slice(2, 6).flatMap((b) => [b, b, b]).map(([body]) => s.post('/v1/chat/completions', body)));
    assert.ok(all.every((r) => r.status === 400 || (r.status === 503 && r.headers.get('retry-after'))));
    const prompt = await s.post('/tokenize', { content: 'x '.repeat(most / 2 - 20) });
    assert.equal(prompt.status, 400, prompt.text);
    assert.match(prompt.json.error.message, /at most 1048576 tokens/);
    const peak = Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${s.child.pid}/status`, 'utf8'))[1]);
    if (!s.log.includes('sanitizer')) assert.ok(peak < 1000000, `${peak} kB`);
    await until(async () => (await s.metric('drover_memory_bytes{category="json"}')) < 100000);
    assert.equal((await s.post('/v1/chat/completions', { messages: user('a'), max_tokens: 1 })).status, 200);
    assert.equal(await s.stop(), 0);
});

test('nothing is left behind', async () => {
    const slots = (await server.ask('GET', '/slots')).json;
    assert.ok(slots.every((s) => !s.is_processing));
    const r = await server.post('/completion', { prompt: 'apple', n_predict: 4, temperature: 0 });
    assert.equal(r.status, 200);
});
