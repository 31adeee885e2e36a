// SPDX-License-Identifier: MIT
// Which models are in memory: loaded when they are asked for, gone when they are idle or others need the room; never a busy or pinned one.
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Reply, engine, long, sound } from './faults.mjs';
import { model, until, user } from './helper.mjs';
import { Service, alive } from './service.mjs';

const folder = mkdtempSync(join(tmpdir(), 'drover-e2e-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const ask = (s, name, more = {}) => s.post('/v1/chat/completions', { model: name, messages: user('hello'), max_tokens: 4 }, more);
const loaded = async (s) => (await s.instances()).filter((i) => ['ready', 'starting', 'draining'].includes(i.state)).map((i) => i.model).sort();

/** Three models of the same size in a folder of their own. */
async function three(settings = {}) {
    const models = mkdtempSync(join(folder, 'models-'));
    for (const name of ['one', 'two', 'three']) copyFileSync(model, join(models, `${name}.gguf`));
    return Service.start({ files: [], settings: { models_dir: models, ...settings } });
}

/** What one of them takes, in bytes. */
async function estimate() {
    const s = await three();
    await ask(s, 'one');
    const { memory_estimate: bytes } = await engine(s, 'one');
    assert.equal(await s.end(), 0);
    return bytes;
}

test('a budget for two of three: the one that was used last stays, and an answer that runs is never cut', async () => {
    const s = await three({ 'residency.memory': `${Math.floor((await estimate()) * 2.5)}B` });
    for (const name of ['one', 'two', 'one', 'three']) assert.equal((await ask(s, name)).status, 200);
    await until(async () => (await loaded(s)).length === 2);
    assert.deepEqual(await loaded(s), ['one', 'three'], 'two was not used for longest');
    const running = ['one', 'three'].map((name) => Reply.open(s, '/v1/chat/completions', { ...long(1500), model: name }));
    await until(() => running.every((r) => r.said !== ''));
    const waits = ask(s, 'two');
    for (const r of running) {
        const { events, cut, error } = await r.done;
        assert.deepEqual([cut, error, events.at(-2).choices[0].finish_reason], [false, undefined, 'length']);
    }
    assert.equal((await waits).status, 200, (await waits).text);
    assert.equal((await loaded(s)).length, 2);
    await sound(s);
    assert.equal(await s.end(), 0);
});

test('twelve clients of three models and room for one: everybody is answered', async () => {
    const s = await three({ 'residency.models': 1, 'supervision.stop_time': '2s' });
    const replies = await Promise.all(Array.from({ length: 12 }, (_, i) => ask(s, ['one', 'two', 'three'][i % 3])));
    assert.deepEqual(replies.map((r) => r.status), Array(12).fill(200));
    assert.equal((await s.instances()).filter((i) => i.state === 'ready').length, 1);
    assert.ok((await s.instances()).every((i) => i.crashes === 0));
    assert.equal(await s.end(), 0);
});

test('what is pinned stays: others are told with numbers why they cannot come', async () => {
    const s = await three({ 'residency.memory': `${Math.floor((await estimate()) * 1.5)}B` });
    assert.equal((await s.admin('POST', '/api/models/load', { model: 'one', pin: true })).status, 200);
    const r = await ask(s, 'two');
    assert.equal(r.status, 503, r.text);
    assert.match(r.json.error.message, /two needs \d+ MiB .* pinned models have \d+/);
    assert.deepEqual(await loaded(s), ['one']);
    assert.equal((await s.admin('POST', '/api/models/unload', { model: 'one' })).status, 200);
    assert.equal((await ask(s, 'two')).status, 200);
    assert.deepEqual(await loaded(s), ['two']);
    assert.equal(await s.end(), 0);
});

test('idle models go, and come back when they are asked for', async () => {
    const s = await three({ 'defaults.keep_alive': '300ms', 'models.0.path': model, 'models.0.name': 'always', 'models.0.pin': true, 'models.0.preload': true });
    await until(async () => (await loaded(s)).includes('always'));
    assert.equal((await ask(s, 'one')).status, 200);
    const { pid } = await engine(s, 'one');
    const stream = Reply.open(s, '/v1/chat/completions', { ...long(3000), model: 'one' });
    const { cut, error } = await stream.done;
    assert.deepEqual([cut, error], [false, undefined], 'it is not idle while it answers');
    await until(async () => (await loaded(s)).join() === 'always' && !alive(pid));
    assert.equal((await ask(s, 'one')).status, 200);
    assert.ok(s.auditRows().some((r) => r.action === 'model.unload' && r.model === 'one'));
    assert.equal(await s.end(), 0);
});

test('two profiles of a model share its weights; unloading takes both', async () => {
    const s = await three();
    for (const profile of ['fast', 'quality', 'memory']) assert.equal((await ask(s, 'one', { headers: { 'x-drover-profile': profile } })).status, 200);
    const list = await s.instances();
    assert.deepEqual(list.map((i) => i.profile).sort(), ['fast', 'memory', 'quality']);
    const sum = list.reduce((n, i) => n + i.memory_estimate, 0);
    const { used } = (await s.admin('GET', '/api/instances')).json;
    const size = (await s.get('/api/models/one')).json.size;
    assert.ok(used <= sum - 2 * size + 1024, `${used} of ${sum}: weights count once`);
    assert.equal((await s.admin('POST', '/api/models/unload', { model: 'one' })).status, 200);
    assert.deepEqual(await loaded(s), []);
    assert.equal(await s.end(), 0);
});

test('unloading waits for answers; by force it does not, and they say so', async () => {
    const s = await three();
    const begin = async () => {
        const r = Reply.open(s, '/v1/chat/completions', { ...long(2000), model: 'one' });
        await until(() => r.said !== '');
        return r;
    };
    const first = await begin();
    assert.equal((await s.admin('POST', '/api/models/unload', { model: 'one' })).status, 200);
    assert.equal((await first.done).events.at(-2).choices[0].finish_reason, 'length');
    const second = await begin();
    assert.equal((await s.admin('POST', '/api/models/unload', { model: 'one', force: true })).status, 200);
    assert.equal((await second.done).cut, false);
    assert.ok(second.error, second.text.slice(-300));
    assert.equal((await ask(s, 'one')).status, 200);
    assert.equal(await s.end(), 0);
});

test('the models folder: files come, change and go while it serves; what is no plain file is not looked at', async () => {
    const s = await three();
    const models = s.args.find((a) => a.startsWith('models_dir=')).slice('models_dir='.length);
    const names = async () => (await s.get('/api/models')).json.models.map((m) => m.name).sort().join();
    await until(async () => (await names()) === 'one,three,two'); // new files are looked at first
    copyFileSync(model, join(models, '.tmp'));
    renameSync(join(models, '.tmp'), join(models, 'four.gguf'));
    await until(async () => (await names()) === 'four,one,three,two');
    assert.equal((await ask(s, 'four')).status, 200);
    rmSync(join(models, 'four.gguf'));
    await until(async () => (await names()) === 'one,three,two');
    assert.equal((await ask(s, 'four')).status, 404);
    // Half a file is no model yet.
    const bytes = readFileSync(model);
    writeFileSync(join(models, 'slow.gguf'), bytes.subarray(0, 1000000));
    for (let at = 1000000; at < bytes.length; at += 1000000) {
        assert.notEqual((await ask(s, 'slow')).status, 200);
        writeFileSync(join(models, 'slow.gguf'), bytes.subarray(at, at + 1000000), { flag: 'a' });
    }
    await until(async () => (await ask(s, 'slow')).status === 200);
    symlinkSync(model, join(models, 'link.gguf'));
    mkdirSync(join(models, 'folder.gguf'));
    writeFileSync(join(models, 'evil\n\u001b[31m".gguf'), 'x');
    assert.equal((await s.admin('POST', '/api/models/rescan')).status, 200);
    assert.equal((await ask(s, 'link')).status, 404);
    assert.equal((await ask(s, 'folder')).status, 404);
    s.lines();
    assert.doesNotMatch(s.log, /\u001b/);
    await sound(s);
    assert.equal(await s.end(), 0);
});

test('an engine that runs keeps its file when it is replaced; the next one has the new file', async () => {
    const s = await three();
    const models = s.args.find((a) => a.startsWith('models_dir=')).slice('models_dir='.length);
    await ask(s, 'one');
    const { pid } = await engine(s, 'one');
    const stream = Reply.open(s, '/v1/chat/completions', { ...long(2000), model: 'one' });
    await until(() => stream.said !== '');
    copyFileSync(model, join(models, '.new'));
    renameSync(join(models, '.new'), join(models, 'one.gguf'));
    assert.equal((await stream.done).events.at(-2).choices[0].finish_reason, 'length', stream.text.slice(-300));
    await until(async () => !alive(pid));
    assert.equal((await ask(s, 'one')).status, 200);
    assert.notEqual((await engine(s, 'one')).pid, pid);
    assert.equal(await s.end(), 0);
});
