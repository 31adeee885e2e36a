// SPDX-License-Identifier: MIT
// llama-server's own routes: what its clients send and read.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Server, frames, model, user } from './helper.mjs';

const folder = mkdtempSync(join(tmpdir(), 'drover-e2e-'));
const slots = join(folder, 'slots');
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

let server, plain;
before(async () => {
    mkdirSync(slots);
    server = await Server.start(['-c', '256', '--parallel', '2', '--slot-save-path', slots, '--seed', '42', '--n-predict', '64']);
    plain = await Server.start(['-c', '256', '--parallel', '2', '--no-slots', '--alias', 'dictionary']);
});
after(async () => {
    assert.equal(await server.stop(), 0);
    assert.equal(await plain.stop(), 0);
});

async function complete(fields, path = '/completion') {
    const r = await server.post(path, { prompt: 'apple', n_predict: 6, temperature: 0, ...fields });
    assert.equal(r.status, 200, r.text);
    return r.json;
}

async function refused(fields, param, path = '/completion', base = { prompt: 'apple', n_predict: 1 }) {
    const r = await server.post(path, { ...base, ...fields });
    assert.equal(r.status, 400, `${JSON.stringify(fields)}: ${r.text}`);
    assert.equal(r.json.error.type, 'invalid_request_error');
    if (param) assert.equal(r.json.error.param, param, r.text);
    return r.json.error.message;
}

async function stream(fields) {
    const r = await server.post('/completion', { prompt: 'apple', n_predict: 6, temperature: 0, stream: true, ...fields });
    assert.equal(r.status, 200, r.text);
    return frames(r.text).map((f) => JSON.parse(f.data));
}

test('the shape of a completion', async () => {
    const r = await complete({});
    assert.deepEqual(Object.keys(r).sort(), ['content', 'generation_settings', 'has_new_line', 'id_slot', 'index', 'model', 'prompt', 'stop', 'stop_type', 'stopping_word',
        'timings', 'tokens', 'tokens_cached', 'tokens_evaluated', 'tokens_predicted', 'truncated']);
    assert.ok(r.content.length > 0);
    assert.equal(r.prompt, 'apple');
    assert.equal(r.stop, true);
    assert.deepEqual(r.tokens, []);
    assert.equal(r.tokens_predicted, r.timings.predicted_n);
    assert.equal(r.tokens_cached, r.tokens_evaluated + r.tokens_predicted - 1);
    assert.equal(r.timings.prompt_n + r.timings.cache_n, r.tokens_evaluated);
    assert.equal(r.generation_settings.n_predict, 6);
    assert.equal(r.generation_settings.temperature, 0);
    assert.equal(r.generation_settings.seed, 42);
    assert.deepEqual(await complete({}, '/completions').then((x) => x.content), r.content);
});

test('how an answer ends', async () => {
    const whole = await complete({ n_predict: -1 });
    assert.equal(whole.stop_type, 'eos');
    assert.equal(whole.truncated, false);
    const cut = await complete({ n_predict: 2 });
    assert.deepEqual([cut.stop_type, cut.tokens_predicted, cut.truncated], ['limit', 2, false]);
    const word = await complete({ n_predict: -1, stop: [whole.content.slice(4, 6)] });
    assert.deepEqual([word.stop_type, word.stopping_word], ['word', whole.content.slice(4, 6)]);
    assert.equal(word.content, whole.content.slice(0, whole.content.indexOf(whole.content.slice(4, 6))));
    const none = await complete({ n_predict: 0 });
    assert.deepEqual([none.content, none.tokens_predicted, none.tokens_cached], ['', 0, none.tokens_evaluated]);
    const full = await complete({ n_predict: -1, ignore_eos: true });
    assert.deepEqual([full.stop_type, full.truncated], ['limit', true]);
    assert.equal(full.tokens_evaluated + full.tokens_predicted, 256);
    const lines = await complete({ n_predict: 40, grammar: 'root ::= "a\\nb"' });
    assert.deepEqual([lines.content, lines.has_new_line, whole.has_new_line], ['a\nb', true, false]);
    const late = await complete({ n_predict: -1, ignore_eos: true, logit_bias: [['\n', 1000]], t_max_predict_ms: 1 });
    assert.equal(late.truncated, false);
    assert.equal(late.generation_settings.t_max_predict_ms, 1);
});

test('the default of --n-predict', async () => {
    const { json } = await server.post('/completion', { prompt: 'apple', ignore_eos: true });
    assert.equal(json.tokens_predicted, 64);
});

test('prompts of every form', async () => {
    const { tokens } = (await server.post('/tokenize', { content: 'apple' })).json;
    const { content } = await complete({});
    assert.equal((await complete({ prompt: tokens })).content, content);
    assert.equal((await complete({ prompt: ['app', ...(await server.post('/tokenize', { content: 'le' })).json.tokens] })).prompt, 'apple');
    assert.equal((await complete({ prompt: ['apple'] })).content, content);
    const many = await complete({ prompt: ['apple', tokens, 'dog'] });
    assert.deepEqual(many.map((r) => r.index), [0, 1, 2]);
    assert.deepEqual([many[0].content, many[1].content], [content, content]);
    assert.deepEqual(many.map((r) => r.prompt), ['apple', 'apple', 'dog']);
    const two = await complete({ prompt: ['apple', 'dog'], n: 2, temperature: 1 });
    assert.deepEqual(two.map((r) => [r.index, r.prompt]), [[0, 'apple'], [1, 'apple'], [2, 'dog'], [3, 'dog']]);
    for (const prompt of [undefined, 5, {}, [], '', [''], [-1], [1e9], ['a', true], Array(2049).fill('a')]) await refused({ prompt }, 'prompt');
});

test('seeds', async () => {
    const draw = async (seed) => (await complete({ temperature: 1.5, seed, n_predict: 20 })).content;
    assert.equal(await draw(7), await draw(7));
    const texts = new Set();
    for (let seed = 0; seed < 8; seed++) texts.add(await draw(seed));
    assert.ok(texts.size > 1);
});

test('logit_bias in its three forms', async () => {
    const { content } = await complete({ n_predict: 1 });
    const [id] = (await complete({ n_predict: 1, return_tokens: true })).tokens;
    for (const logit_bias of [[[id, false]], { [id]: false }, [[content, false]], [[id, -100]]]) {
        const r = await complete({ n_predict: 1, logit_bias });
        assert.notEqual(r.content, content, JSON.stringify(logit_bias));
        assert.deepEqual(r.generation_settings.logit_bias.map((b) => b.token), [id]);
    }
    for (const logit_bias of [5, [[1]], [[1, 'x']], { x: [] }, [[-2, 1]], [[1e9, 1]], [[1, 1e308]]]) await refused({ logit_bias }, 'logit_bias');
});

test('probabilities', async () => {
    const r = await complete({ n_probs: 5, return_tokens: true });
    assert.equal(r.completion_probabilities.length, r.tokens.length - (r.stop_type === 'eos')); // the end has a token, but no text
    for (const [i, p] of r.completion_probabilities.entries()) {
        assert.equal(p.id, r.tokens[i]);
        assert.equal(p.top_logprobs.length, 5);
        assert.deepEqual(Object.keys(p.top_logprobs[0]).sort(), ['bytes', 'id', 'logprob', 'token']);
        assert.equal(p.logprob, p.top_logprobs[0].logprob); // greedy
        assert.deepEqual(p.bytes, [...Buffer.from(p.token)]);
        assert.ok(p.top_logprobs.every((t, k) => k === 0 || t.logprob <= p.top_logprobs[k - 1].logprob));
    }
    const post = await complete({ n_probs: 10, post_sampling_probs: true, temperature: 1, top_k: 3, top_p: 1, min_p: 0 });
    for (const p of post.completion_probabilities) {
        assert.equal(p.top_probs.length, 3);
        assert.ok(Math.abs(p.top_probs.reduce((sum, t) => sum + t.prob, 0) - 1) < 1e-5);
        assert.ok(p.prob > 0 && p.prob <= p.top_probs[0].prob);
        assert.deepEqual(Object.keys(p).sort(), ['bytes', 'id', 'prob', 'token', 'top_probs']);
    }
    const sure = await complete({ n_probs: 2, post_sampling_probs: true });
    assert.deepEqual(sure.completion_probabilities[0].top_probs.map((t) => t.prob), [1]);
    await refused({ post_sampling_probs: true }, 'post_sampling_probs');
    for (const n_probs of [-1, 101, 1.5, 'x', 2 ** 31, 1e308]) await refused({ n_probs }, 'n_probs');
});

test('response_fields', async () => {
    const r = await complete({ response_fields: ['content', 'generation_settings/n_predict', 'timings/prompt_n', 'prompt', 'no/such', 'stop/x'] });
    assert.deepEqual(Object.keys(r).sort(), ['content', 'generation_settings/n_predict', 'prompt', 'timings/prompt_n']);
    assert.equal(r['generation_settings/n_predict'], 6);
    assert.ok('timings' in (await complete({ response_fields: [] })));
    for (const response_fields of ['content', [5], Array(65).fill('content')]) await refused({ response_fields }, 'response_fields');
});

test('samplers: what is done anyway, or nothing', async () => {
    for (const samplers of [['penalties', 'dry', 'top_n_sigma', 'top_k', 'typ_p', 'top_p', 'min_p', 'xtc', 'temperature'], 'edskypmxt',
        (await server.ask('GET', '/props')).json.default_generation_settings.params.samplers])
        await complete({ samplers });
    for (const samplers of [[], ['top_k'], ['temperature', 'top_k', 'penalties', 'typ_p', 'top_p', 'min_p'], 'k', 'edskypmx?', 5, ['penalties', 5], 'edskypmxtt'])
        await refused({ samplers }, 'samplers');
});

test('fields are honoured or refused by name', async () => {
    for (const [name, value] of [['lora', []], ['image_data', []], ['system_prompt', {}], ['mirostat', 1], ['min_keep', 2], ['dynatemp_range', 0.5], ['no_such_field', 1],
        ['t_max_predict_ms', -1], ['n_predict', -2], ['n_predict', 2 ** 31], ['n', 0], ['n', 33], ['n', 1e308], ['id_slot', 2], ['id_slot', -2], ['return_tokens', 1],
        ['stop', [5]], ['grammar', 'root ::= ('], ['n_discard', -1], ['n_keep', -2], ['top_k', 1e308], ['seed', 'x'], ['stream', 1], ['n_indent', 3]])
        await refused({ [name]: value }, name);
    await complete({ n_keep: 5, n_discard: 3, min_keep: 0, mirostat: 0, dynatemp_range: 0, model: 'x', 'speculative.n_max': 4, cache_prompt: false, id_slot: 1 });
});

test('streams', async () => {
    const whole = await complete({});
    const list = await stream({ n_probs: 1 });
    const last = list.pop();
    assert.equal(list.map((c) => c.content).join(''), whole.content);
    assert.ok(list.every((c) => c.stop === false && c.index === 0 && c.tokens.length > 0 && c.completion_probabilities.length === c.tokens.length));
    assert.equal(list.flatMap((c) => c.tokens).length, whole.tokens_predicted - (whole.stop_type === 'eos'));
    assert.deepEqual([last.stop, last.content, last.stop_type, last.tokens], [true, '', whole.stop_type, []]);
    assert.equal(last.generation_settings.stream, true);
    assert.ok(!('timings' in list[0]));

    const timed = await stream({ timings_per_token: true, return_progress: true, cache_prompt: false });
    const progress = timed.filter((c) => c.prompt_progress);
    assert.ok(progress.length >= 2);
    assert.deepEqual(Object.keys(progress[0].prompt_progress).sort(), ['cache', 'processed', 'time_ms', 'total']);
    assert.equal(progress.at(-1).prompt_progress.processed, progress[0].prompt_progress.total);
    assert.ok(timed.every((c) => c.timings));
    for (const c of timed.filter((c) => c.content && !c.stop)) {
        assert.equal(c.timings.predicted_n, c.tokens_predicted);
        for (const k of ['prompt_n', 'prompt_ms', 'prompt_per_token_ms', 'prompt_per_second', 'predicted_ms', 'predicted_per_token_ms', 'predicted_per_second']) assert.ok(c.timings[k] > 0, k);
    }

    const many = await stream({ prompt: ['apple', 'dog'], response_fields: ['index', 'content', 'stop'] });
    for (const index of [0, 1]) {
        const own = many.filter((c) => c.index === index);
        assert.equal(own.filter((c) => c.stop).length, 1);
        assert.deepEqual(own.at(-1), { index, content: '', stop: true });
    }
});

test('characters are never split', async () => {
    const list = await stream({ grammar: 'root ::= "é€😀é"', n_predict: 60 });
    const last = list.pop();
    assert.equal(list.map((c) => c.content).join(''), 'é€😀é');
    assert.equal(list.flatMap((c) => c.tokens).length, last.tokens_predicted - 1);
    assert.ok(list.every((c) => !c.content.includes('\ufffd')));
});

test('a prompt that is too long', async () => {
    for (const path of ['/completion', '/completions']) {
        const r = await server.post(path, { prompt: 'cat '.repeat(400) });
        assert.equal(r.status, 400);
        assert.equal(r.json.error.type, 'exceed_context_size_error');
        assert.match(r.json.error.message, /exceeds the available context size/);
        assert.deepEqual([r.json.error.n_ctx, r.json.error.n_prompt_tokens >= 400], [256, true]);
    }
});

test('constraints', async () => {
    assert.equal((await complete({ grammar: 'root ::= "yes" | "no"', n_predict: 10 })).content.match(/^(yes|no)$/).length, 2);
    await refused({ grammar: 'root ::= "a"', json_schema: {} }, 'grammar');
});

test('tokenize and detokenize', async () => {
    const { tokens } = (await server.post('/tokenize', { content: 'Hello é world' })).json;
    assert.ok(tokens.every(Number.isInteger));
    assert.equal((await server.post('/detokenize', { tokens })).json.content, 'Hello é world');
    const pieces = (await server.post('/tokenize', { content: 'Hello é world', with_pieces: true })).json.tokens;
    assert.deepEqual(pieces.map((p) => p.id), tokens);
    assert.equal(Buffer.concat(pieces.map((p) => Buffer.from(p.piece))).toString(), 'Hello é world');
    assert.ok(pieces.some((p) => Array.isArray(p.piece)));
    const marker = (fields) => server.post('/tokenize', { content: '<|im_end|>', ...fields }).then((r) => r.json.tokens);
    assert.equal((await marker({})).length, 1);
    assert.ok((await marker({ parse_special: false })).length > 1);
    const special = await marker({});
    assert.equal((await server.post('/detokenize', { tokens: special })).json.content, '<|im_end|>');
    assert.deepEqual((await server.post('/tokenize', { content: ['a', 5, 'b'] })).json.tokens, [97, 5, 98]);
    assert.deepEqual((await server.post('/tokenize', { content: '' })).json.tokens, []);
    assert.deepEqual((await server.post('/detokenize', { tokens: [] })).json, { content: '' });
    for (const body of [{}, { content: 5 }, { content: [true] }, { content: [-1] }]) await refused(body, 'content', '/tokenize', {});
    for (const body of [{}, { tokens: 5 }, { tokens: ['a'] }, { tokens: [1e9] }, { tokens: [-1] }]) await refused(body, 'tokens', '/detokenize', {});
    await refused({ content: 'a', add_special: 1 }, 'add_special', '/tokenize', {});
    await refused({ content: 'a', nothing: 1 }, 'nothing', '/tokenize', {});
});

test('apply-template', async () => {
    const r = await server.post('/apply-template', { messages: user('<|im_end|> & more') });
    assert.deepEqual(r.json, { prompt: '<|im_start|>user\n<|im_end|> & more<|im_end|>\n<|im_start|>assistant\n' });
    await refused({ messages: [] }, 'messages', '/apply-template', {});
    await refused({ messages: user('x'), no_such_field: 1 }, 'no_such_field', '/apply-template', {});
});

test('embeddings in a list each', async () => {
    const wanted = (await server.post('/v1/embeddings', { input: ['cat', 'dog'] })).json.data.map((d) => d.embedding);
    for (const path of ['/embedding', '/embeddings']) {
        const r = await server.post(path, { content: ['cat', 'dog'], embd_normalize: 2 });
        assert.deepEqual(r.json, wanted.map((v, index) => ({ index, embedding: [v] })));
    }
    const one = await server.post('/embedding', { input: 'cat' });
    assert.deepEqual(one.json, [{ index: 0, embedding: [wanted[0]] }]);
    for (const content of [undefined, 5, [], '', [null]]) await refused({ content }, 'content', '/embedding', {});
    await refused({ content: 'a', embd_normalize: 1 }, 'embd_normalize', '/embedding', {});
    await refused({ content: 'a', input: 'a' }, 'input', '/embedding', {});
});

test('what there is nothing for says so', async () => {
    const is501 = (r) => assert.deepEqual([r.status, r.json.error.type, r.json.error.code], [501, 'not_supported_error', 501]);
    is501(await server.post('/infill', { input_prefix: 'a', input_suffix: 'b' }));
    for (const path of ['/rerank', '/v1/rerank', '/reranking', '/v1/reranking', '/lora-adapters', '/props']) is501(await server.post(path, {}));
    assert.deepEqual((await server.ask('GET', '/lora-adapters')).json, []);
    is501(await plain.ask('GET', '/slots'));
    is501(await plain.post('/slots/0?action=erase', {}));
});

/** A copy of the model with further numbers in its head. The head grows by a multiple of the alignment, so that the tensors stay where they are. */
function withNumbers(path, numbers) {
    const file = readFileSync(model);
    const entry = (key, type, value) => {
        const head = Buffer.alloc(8);
        head.writeBigUInt64LE(BigInt(key.length));
        const kind = Buffer.alloc(4);
        kind.writeUInt32LE(type);
        return Buffer.concat([head, Buffer.from(key), kind, value]);
    };
    const added = Object.entries(numbers).map(([key, n]) => {
        const value = Buffer.alloc(4);
        value.writeUInt32LE(n);
        return entry(key, 4, value);
    });
    const filler = (n) => entry('test.filler', 8, Buffer.concat([Buffer.from([n, 0, 0, 0, 0, 0, 0, 0]), Buffer.alloc(n, 'x')]));
    const short = Buffer.concat([...added, filler(0)]).length;
    added.push(filler((32 - (short % 32)) % 32));
    file.writeBigUInt64LE(file.readBigUInt64LE(16) + BigInt(added.length), 16);
    writeFileSync(path, Buffer.concat([file.subarray(0, 24), ...added, file.subarray(24)]));
}

test('filling in', async () => {
    const path = join(folder, 'fim.gguf');
    const key = (name) => `tokenizer.ggml.fim_${name}_token_id`;
    withNumbers(path, { [key('pre')]: 1, [key('suf')]: 2, [key('mid')]: 3 });
    const fim = await Server.start(['-c', '256'], path);
    const ask = (fields) => fim.post('/infill', { n_predict: 4, temperature: 0, ...fields });
    const r = await ask({ input_prefix: 'int f() {', input_suffix: '}', prompt: ' return' });
    assert.equal(r.status, 200, r.text);
    assert.equal(r.json.prompt, '\u0001int f() { return\u0002}\u0003');
    const extra = await ask({ input_prefix: 'a', input_suffix: 'b', input_extra: [{ filename: 'x.c', text: 'int x;' }] });
    assert.equal(extra.json.prompt, '\n\n--- snippet ---\n\nint x;\u0001a\u0002b\u0003');
    assert.equal((await fim.post('/v1/completions', { prompt: 'a', suffix: 'b', max_tokens: 1 })).status, 200);
    for (const [fields, param] of [[{ input_suffix: 'b' }, 'input_prefix'], [{ input_prefix: 'a' }, 'input_suffix'], [{ input_prefix: 5, input_suffix: 'b' }, 'input_prefix'],
        [{ input_prefix: 'a', input_suffix: 'b', input_extra: 5 }, 'input_extra'], [{ input_prefix: 'a', input_suffix: 'b', input_extra: [5] }, 'input_extra'],
        [{ input_prefix: 'a', input_suffix: 'b', input_extra: [{ filename: 'x' }] }, 'input_extra'], [{ input_prefix: 'a', input_suffix: 'b', prompt: [5] }, 'prompt'],
        [{ input_prefix: 'a', input_suffix: 'b', input_extra: [{ text: 'x', filename: 5 }] }, 'input_extra']]) {
        const bad = await ask(fields);
        assert.deepEqual([bad.status, bad.json.error.param], [400, param], bad.text);
    }
    assert.equal((await ask({ input_prefix: 'cat '.repeat(400), input_suffix: 'b' })).json.error.type, 'exceed_context_size_error');
    assert.equal(await fim.stop(), 0);

    withNumbers(path, { [key('pre')]: 1, [key('suf')]: 2, [key('mid')]: 3, [key('rep')]: 4, [key('sep')]: 5 });
    const repo = await Server.start(['-c', '256'], path);
    const files = await repo.post('/infill', { n_predict: 1, input_prefix: 'a', input_suffix: 'b', input_extra: [{ filename: 'x.c', text: 'int x;' }] });
    assert.equal(files.json.prompt, '\u0004myproject\n\u0005x.c\nint x;\u0005filename\n\u0001a\u0002b\u0003');
    assert.equal(await repo.stop(), 0);
});

test('props', async () => {
    const { json } = await server.ask('GET', '/props');
    assert.equal(json.total_slots, 2);
    assert.equal(json.default_generation_settings.n_ctx, 256);
    assert.equal(json.default_generation_settings.params.seed, 42);
    assert.equal(json.default_generation_settings.params.n_predict, 64);
    assert.equal(json.is_sleeping, false);
    assert.match(json.model_path, /pocket-dictionary\.gguf$/);
    assert.match(json.chat_template, /im_start/);
    assert.equal(json.eos_token, '<|im_end|>');
    assert.equal((await plain.ask('GET', '/props')).json.model_alias, 'dictionary');
});

test('slots, and who is in them', async () => {
    const idle = (await server.ask('GET', '/slots')).json;
    assert.deepEqual(idle.map((s) => [s.id, s.n_ctx, s.is_processing]), [[0, 256, false], [1, 256, false]]);
    assert.equal((await server.ask('GET', '/slots?fail_on_no_slot=1')).status, 200);
    const gone = new AbortController();
    const busy = [0, 1].map(() =>
        fetch(server.url + '/completion', {
            method: 'POST', signal: gone.signal, body: JSON.stringify({ prompt: 'x', n_predict: 250, ignore_eos: true, stream: true, n: 32, temperature: 1 }),
        }).then((r) => r.text()).catch(() => {}));
    let full = 0;
    for (let i = 0; i < 500 && full !== 503; i++) full = (await server.ask('GET', '/slots?fail_on_no_slot=1')).status;
    assert.equal(full, 503);
    gone.abort();
    await Promise.all(busy);
});

test('slot files', async () => {
    const long = 'the quick brown fox jumps over the lazy dog and runs far away from there into the deep dark wood where nobody lives';
    const slot = (query, body) => server.post(`/slots/1?action=${query}`, body);
    const first = await complete({ prompt: long, id_slot: 1 });
    assert.equal(first.id_slot, 1);
    const saved = (await slot('save', { filename: 'one.bin' })).json;
    assert.deepEqual([saved.id_slot, saved.filename, saved.n_saved > 0, saved.timings.save_ms >= 0], [1, 'one.bin', true, true]);
    assert.equal(readFileSync(join(slots, 'one.bin')).length, saved.n_written);
    await refused({ filename: 'x' }, 'filename', '/slots/1?action=erase', {});
    assert.equal((await slot('erase')).json.n_erased > 0, true);
    assert.deepEqual((await slot('erase')).json, { id_slot: 1, n_erased: 0 });
    const restored = (await slot('restore', { filename: 'one.bin' })).json;
    assert.deepEqual([restored.n_restored, restored.n_read], [saved.n_saved, saved.n_written]);
    assert.equal((await complete({ prompt: long, id_slot: 1 })).content, first.content);

    // Nothing tells what is in the folder or outside of it.
    const damaged = readFileSync(join(slots, 'one.bin'));
    damaged[damaged.length >> 1] ^= 1;
    writeFileSync(join(slots, 'damaged.bin'), damaged);
    writeFileSync(join(slots, 'text.bin'), 'hello');
    writeFileSync(join(folder, 'outside.bin'), readFileSync(join(slots, 'one.bin')));
    symlinkSync(join(folder, 'outside.bin'), join(slots, 'link.bin'));
    execFileSync('mkfifo', [join(slots, 'fifo.bin')]);
    const says = new Set();
    for (const filename of ['damaged.bin', 'text.bin', 'missing.bin', 'link.bin', 'fifo.bin']) {
        const r = await slot('restore', { filename });
        assert.equal(r.status, 400, filename);
        says.add(r.json.error.message);
    }
    assert.equal(says.size, 1);
    assert.doesNotMatch([...says][0], new RegExp(folder));
    for (const filename of ['../outside.bin', 'a/b', '/etc/passwd', '..', '.', '.hidden', '', 'a\u0001b', 'a\\b', 'x'.repeat(129), 'ü.bin', '%2e%2e', 5, null, undefined])
        for (const action of ['save', 'restore']) {
            const r = await slot(action, { filename });
            assert.deepEqual([r.status, r.json.error.param], [400, 'filename'], `${action} ${filename}`);
        }
    assert.ok(!existsSync(join(folder, 'a')));
    assert.deepEqual((await slot('restore', { filename: 'one.bin', no_such_field: 1 })).json.error.param, 'no_such_field');
    for (const path of ['/slots/2?action=erase', '/slots/-1?action=erase', '/slots/99999?action=erase', '/slots/x?action=erase', '/slots/0?action=burn', '/slots/0'])
        assert.equal((await server.post(path, {})).status, 400, path);
    assert.equal((await slot('save', 'no JSON')).status, 400);
});
