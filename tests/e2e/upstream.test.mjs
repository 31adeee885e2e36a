// SPDX-License-Identifier: MIT
// Models that Debian's llama-server runs, in its own root (tests/peer/setup.sh): the same routes and the same care as with engines of our own.
import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test as every } from 'node:test';
import { Reply, engine, long, sound } from './faults.mjs';
import { all, model, root, until, user } from './helper.mjs';
import { Service, alive } from './service.mjs';

const peer = process.env.DV_PEER ?? join(root, 'build-peer', 'llama');
const why = process.getuid() !== 0 ? 'llama-server lives in a root folder of its own: only root may run it' : !existsSync(join(peer, 'usr/bin/llama-server')) ? `there is no llama-server in ${peer} (tests/peer/setup.sh)` : false;
const test = (name, fn) => every(name, { skip: why }, fn);

let s, inside, link, program;
/** What llama-server is given are paths below `link`: the same folder has another name in its root. */
before(async () => {
    if (why) return console.log(`# skipped: ${why}`);
    inside = mkdtempSync(join(peer, 'tmp', 'drover-'));
    link = join(mkdtempSync(join(tmpdir(), 'drover-e2e-')), 'p');
    symlinkSync(inside, link);
    copyFileSync(model, join(link, 'up.gguf'));
    copyFileSync(model, join(link, 'unknown.gguf'));
    rename(join(link, 'unknown.gguf'));
    program = join(link, 'llama-server.sh');
    writeFileSync(program, `#!/bin/bash\nexec chroot ${peer} /usr/bin/llama-server "\${@//${link.replaceAll('/', '\\/')}//tmp/${inside.split('/').at(-1)}}"\n`);
    chmodSync(program, 0o755);
    s = await Service.start({
        settings: {
            run_dir: join(link, 'run'), 'models.0.path': join(link, 'up.gguf'), 'models.0.backend': 'upstream', 'models.0.upstream_flags': '--embeddings --pooling mean', 'models.1.path': join(link, 'unknown.gguf'),
            'upstream.program': program, 'supervision.backoff_max': '250ms', 'defaults.threads': 2, 'log.level': 'debug',
        },
    });
});
after(async () => {
    if (s) assert.equal(await s.end(), 0);
    if (inside) rmSync(inside, { recursive: true, force: true });
    if (link) rmSync(join(link, '..'), { recursive: true, force: true });
});

/** An architecture that llama.cpp knows and drover does not, of the same length, in the name and in the keys. Only what is decided by it is looked at. */
function rename(file) {
    const bytes = readFileSync(file);
    const end = bytes.indexOf('tokenizer.ggml.tokens');
    const head = bytes.subarray(0, end).toString('latin1').replaceAll('llama.', 'orion.').replace(/(general\.architecture.{12})llama/s, '$1orion');
    bytes.write(head, 0, 'latin1');
    writeFileSync(file, bytes);
}

const question = { model: 'up', messages: user('What is a llama?'), max_tokens: 12, temperature: 0 };

test('openai: chat and stream, the same words as from an engine of our own; embeddings', async () => {
    const client = s.openai();
    const whole = await client.chat.completions.create(question);
    assert.equal((await engine(s, 'up')).backend, 'upstream');
    const chunks = await all(await client.chat.completions.create({ ...question, stream: true, stream_options: { include_usage: true } }));
    assert.equal(chunks.map((c) => c.choices[0]?.delta.content ?? '').join(''), whole.choices[0].message.content);
    const near = await client.chat.completions.create({ ...question, model: 'pocket-dictionary' });
    assert.equal(whole.choices[0].message.content, near.choices[0].message.content);
    await until(() => s.auditRows().filter((r) => r.model === 'up' && r.tokens_in === whole.usage.prompt_tokens && r.tokens_out === whole.usage.completion_tokens).length >= 2);
    const { data } = await client.embeddings.create({ model: 'up', input: ['a', 'b'] });
    assert.equal(data.length, 2);
});

test('llama-server’s own routes, and Anthropic’s', async () => {
    const { tokens } = (await s.post('/tokenize', { content: 'Hello, world!', model: 'up' })).json;
    assert.deepEqual(tokens, (await s.post('/tokenize', { content: 'Hello, world!', model: 'pocket-dictionary' })).json.tokens);
    assert.equal((await s.post('/detokenize', { tokens, model: 'up' })).json.content.trim(), 'Hello, world!');
    assert.match((await s.post('/apply-template', { messages: user('hi'), model: 'up' })).json.prompt, /hi/);
    assert.equal((await s.post('/completion', { prompt: 'A llama is', n_predict: 5, temperature: 0, model: 'up' })).json.tokens_predicted, 5);
    for (const path of ['/props', '/slots']) assert.equal((await s.get(`${path}?model=up`)).status, 200, path);
    const message = await s.anthropic().messages.create({ model: 'up', max_tokens: 12, temperature: 0, messages: user('What is a llama?') });
    assert.equal(message.role, 'assistant');
    assert.ok(message.content[0].text.length > 0);
    const bad = await s.post('/v1/messages', { model: 'up', messages: 5, max_tokens: 1 });
    assert.deepEqual([bad.status, bad.json.type], [400, 'error']);
    assert.match((await s.admin('GET', '/metrics')).text, /^llamacpp:tokens_predicted_total\{model="up"\} \d+$/m);
});

test('its key is its own: nobody else gets in, and it is in no log', async () => {
    const { pid } = await engine(s, 'up');
    const environ = readFileSync(`/proc/${pid}/environ`, 'latin1');
    const key = /LLAMA_API_KEY=([0-9a-f]{32,})/.exec(environ)[1];
    assert.equal(readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(key), false);
    assert.equal(s.log.includes(key), false);
    assert.equal((await s.post('/v1/chat/completions', question, { key: 'something-else' })).status, 200);
});

test('killed while it streams: an error and an end, then the next request works', async () => {
    for (const path of ['/v1/chat/completions', '/v1/messages']) {
        const { pid } = await engine(s, 'up');
        const r = Reply.open(s, path, { ...long(3500), model: 'up' });
        await until(() => r.said !== '');
        process.kill(pid, 'SIGKILL'); // its answer is a second long
        await r.done;
        assert.equal(r.cut, false);
        assert.match(r.error.message, /broke off/);
        assert.equal((await s.post('/v1/chat/completions', question)).status, 200);
    }
    await sound(s);
});

test('a client that leaves frees its place; unloading ends the process', async () => {
    const r = Reply.open(s, '/v1/chat/completions', { ...long(3500), model: 'up' });
    await until(() => r.said !== '');
    await r.leave();
    await until(async () => (await s.instances()).every((i) => i.running === 0));
    const { pid } = await engine(s, 'up');
    assert.equal((await s.admin('POST', '/api/models/unload', { model: 'up' })).status, 200);
    await until(() => !alive(pid));
    assert.equal((await s.post('/v1/chat/completions', question)).status, 200);
});

test('a model whose architecture drover does not know goes to llama-server by itself, and what that says of it is told', async () => {
    const m = (await s.get('/api/models/unknown')).json;
    assert.deepEqual([m.architecture, m.backend], ['orion', 'upstream']);
    assert.equal((await s.get('/api/models/pocket-dictionary')).json.backend, 'native');
    const r = await s.post('/v1/chat/completions', { ...question, model: 'unknown' });
    assert.equal(r.status, 502, r.text); // its tensors are not an orion's
    assert.match(r.json.error.message, /unknown does not start: it exited with status 1/);
    assert.equal((await s.post('/v1/chat/completions', question)).status, 200);
});
