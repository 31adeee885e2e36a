// SPDX-License-Identifier: MIT
// SIGTERM and SIGHUP while requests run: what runs is finished, what is wrong is told and changes nothing.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Reply, engine, long, sound } from './faults.mjs';
import { model, until, user } from './helper.mjs';
import { Service, alive } from './service.mjs';

const folder = mkdtempSync(join(tmpdir(), 'drover-e2e-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const N = 16;
const open = (s, i, tokens = 400) => Reply.open(s, '/v1/chat/completions', long(tokens, i));
const begin = async (s, n = N, tokens) => {
    const replies = Array.from({ length: n }, (_, i) => open(s, i, tokens));
    await until(() => replies.some((r) => r.said !== ''));
    return replies;
};
const whole = (r) => {
    assert.deepEqual([r.status, r.cut, r.error], [200, false, undefined], r.text.slice(-300));
    assert.equal(r.events.at(-1), '[DONE]');
    assert.equal(r.events.at(-2).choices[0].finish_reason, 'length');
};

test('SIGTERM: what runs or waits is finished, what comes is refused, the exit code is 0', async () => {
    const s = await Service.start({ settings: { 'defaults.parallel': 4, 'defaults.context': 8192, drain_time: '50s' } });
    const replies = await begin(s);
    const idle = await s.get('/health'); // its connection stays open
    assert.equal(idle.status, 200);
    const pids = (await s.instances()).map((i) => i.pid);
    s.child.kill('SIGTERM');
    await until(() => /draining/.test(s.log));
    const late = await s.post('/v1/chat/completions', { messages: user('late') });
    assert.equal(late.status, 503, late.text);
    assert.ok(Number(late.headers.get('retry-after')) < 60);
    const health = await s.get('/api/health');
    assert.deepEqual([health.status, health.json.live, health.json.ready], [503, true, false]);
    for (const r of replies) whole(await r.done);
    assert.equal(await s.ended(), 0);
    assert.ok(pids.every((p) => !alive(p)));
    assert.equal(s.auditRows().filter((r) => r.action === 'POST /v1/chat/completions' && r.outcome === 'ok').length, N);
    assert.equal(s.auditRows().at(-1).action, 'serve.stop');
    assert.match(s.command('audit', 'verify'), /\d/);
    await s.end();
});

test('SIGTERM: what takes longer than it may ends with an error; a second SIGTERM does not wait', async () => {
    for (const twice of [false, true]) {
        const s = await Service.start({ settings: { drain_time: twice ? '1h' : '500ms', 'supervision.stop_time': '500ms', 'defaults.context': 8192 } });
        const replies = await begin(s, 6, 8000);
        const pids = (await s.instances()).map((i) => i.pid);
        s.child.kill('SIGTERM');
        await until(() => /draining/.test(s.log));
        if (twice) s.child.kill('SIGTERM');
        for (const r of replies) {
            await r.done;
            assert.ok(r.cut || r.status === 503 || r.error, `${r.status} ${r.text.slice(-300)}`);
        }
        assert.equal(await s.ended(), 0);
        assert.ok(pids.every((p) => !alive(p)));
        assert.match(s.command('audit', 'verify'), /\d/);
        await s.end();
    }
});

test('SIGINT is the same; a client that never reads its answer does not hold it up', async () => {
    const s = await Service.start({ settings: { drain_time: '1s' } });
    const stuck = await fetch(s.url + '/v1/chat/completions', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(long(2000)) });
    assert.equal(stuck.status, 200);
    assert.equal(await s.stop('SIGINT'), 0);
    await stuck.body.cancel().catch(() => {});
    await s.end();
});

/** A service with a configuration file. */
async function configured(text) {
    const file = join(mkdtempSync(join(folder, 'conf-')), 'drover.yaml');
    writeFileSync(file, text);
    const s = await Service.start({ files: [], args: ['--config', file], settings: { 'limits.requests': undefined } });
    s.write = async (next, what) => {
        const at = s.log.length;
        writeFileSync(file, next);
        s.child.kill('SIGHUP');
        await until(() => what.test(s.log.slice(at)));
    };
    return s;
}
const ask = (s, name) => s.post('/v1/chat/completions', { model: name, messages: user('hello'), max_tokens: 2 });
const yaml = (limits, models) => `limits:\n  requests: 100000\n${limits}models:\n${models.map(([name, more]) => `  - path: ${model}\n    name: ${name}\n${more ?? ''}`).join('')}`;

test('SIGHUP under load: limits, models and aliases change, streams go on', async () => {
    const s = await configured(yaml('', [['a'], ['b']]));
    const replies = await begin(s, 8);
    const { pid } = await engine(s, 'a');
    await s.write(yaml('  text_size: 100B\n', [['a', '    aliases: [first]\n'], ['c']]), /config\.reload/);
    for (const name of ['a', 'first', 'c']) assert.equal((await ask(s, name)).status, 200, name);
    assert.equal((await ask(s, 'b')).status, 404);
    const r = await s.post('/v1/chat/completions', { messages: user('x'.repeat(200)) });
    assert.equal(r.status, 400, r.text);
    for (const x of replies) whole(await x.done);
    assert.equal((await engine(s, 'a')).pid, pid, 'its engine is the same');
    assert.ok(s.lines().some((l) => /limits\.text_size: .* -> 100/.test(l.message)));
    await sound(s);
    assert.equal(await s.end(), 0);
});

test('SIGHUP with a file that is wrong: told with its line, and the old one goes on', async () => {
    const good = yaml('', [['a']]);
    const s = await configured(good);
    const replies = await begin(s, 4);
    for (const bad of [good.replace('requests', 'request'), '\t: [', 'limits: 5\n', good + 'surprise: 1\n', '\u0000\u0001\u0002', good.replace(model, 'relative\n    name: a')]) await s.write(bad, /the old configuration goes on/);
    assert.ok(s.lines().some((l) => /drover\.yaml:2:\d+: unknown key 'request' in limits/.test(l.message)));
    assert.equal((await ask(s, 'a')).status, 200);
    for (const r of replies) whole(await r.done);
    await s.write(yaml('', [['a'], ['d']]), /config\.reload","model":"","detail":""|config\.reload"/);
    await until(async () => (await ask(s, 'd')).status === 200);
    const rows = s.auditRows().filter((r) => r.action === 'config.reload');
    assert.ok(rows.some((r) => r.outcome === 'failed') && rows.some((r) => r.outcome === 'ok'));
    await sound(s);
    assert.equal(await s.end(), 0);
});

test('a model whose options change is started anew when it is idle, one that goes is unloaded when its answers are finished', async () => {
    const s = await configured(yaml('', [['a'], ['b']]));
    await ask(s, 'b');
    const replies = await begin(s, 2, 1500);
    const [a, b] = [(await engine(s, 'a')).pid, (await engine(s, 'b')).pid];
    await s.write(yaml('', [['a', '    context: 2048\n']]), /config\.reload/);
    for (const r of replies) whole(await r.done);
    await until(() => !alive(a) && !alive(b));
    assert.equal((await ask(s, 'a')).status, 200);
    assert.equal((await s.get('/props?model=a')).json.default_generation_settings.n_ctx, 2048);
    assert.equal(await s.end(), 0);
});

test('SIGHUP a hundred times under load: nothing is lost', async () => {
    const s = await configured(yaml('', [['a']]));
    const replies = await begin(s, 8);
    for (let i = 0; i < 100; i++) {
        s.child.kill('SIGHUP');
        await new Promise((r) => setTimeout(r, 5));
    }
    for (const r of replies) whole(await r.done);
    await sound(s);
    assert.equal(await s.end(), 0);
});
