// SPDX-License-Identifier: MIT
// The commands that ask a service, with a real one: what they send it takes, and what it says they understand.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import { drover, folder, model } from './helper.mjs';

const dir = folder(), data = join(dir, 'data'), models = join(dir, 'models');
const base = { ...Object.fromEntries(Object.entries(process.env).filter(([n]) => !/^(DROVER_|LLAMA_|RATE_|SECURITY_|XDG_)/.test(n))), HOME: dir, LC_ALL: 'C.UTF-8', DROVER_DATA_DIR: data, DROVER_RUN_DIR: join(dir, 'run'), DROVER_MODELS_DIR: models, DROVER_LIMITS_REQUESTS: '0' };
const socket = join(dir, 'app.sock');
let child, log = '', closed, env;

const run = (args, more = {}) => {
    const r = spawnSync(drover, args, { env: { ...base, ...env, ...more }, timeout: 120000 });
    return { code: r.signal ?? r.status, out: r.stdout.toString(), err: r.stderr.toString() };
};
const ok = (args, more) => {
    const r = run(args, more);
    assert.equal(r.code, 0, `${args.join(' ')}: ${r.out}${r.err}`);
    return r.out;
};
const json = (args, more) => JSON.parse(ok([...args, '--json'], more));
const fails = (args, says, more) => {
    const r = run(args, more);
    assert.equal(r.code, 1, r.out + r.err);
    assert.match(r.err, says);
};

before(async () => {
    mkdirSync(models);
    for (const name of ['one', 'two']) copyFileSync(model, join(models, `${name}.gguf`));
    child = spawn(drover, ['serve'], { env: { ...base, DROVER_LISTEN_OPENAI: '127.0.0.1:0', DROVER_LISTEN_APP: `unix:${socket}`, DROVER_DEFAULT_MODEL: 'one' }, stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr.on('data', (d) => (log += d));
    closed = new Promise((r) => child.on('close', r));
    for (let i = 0; i < 600 && !/Ctrl-C stops/.test(log) && child.exitCode === null; i++) await new Promise((r) => setTimeout(r, 100));
    assert.match(log, /Ctrl-C stops/);
    env = { DROVER_LISTEN_APP: `unix:${socket}` };
    for (let i = 0; i < 600 && json(['list']).models.some((m) => m.architecture === null); i++) await new Promise((r) => setTimeout(r, 100)); // files are looked at one by one
});
after(async () => {
    child.kill();
    await closed;
});

test('list and show', () => {
    assert.match(ok(['list']), /^NAME +STATE +SIZE.*\none +stopped +5\.98 MiB +5\.8M +Q8_0 +native +balanced +.* ago +default\ntwo +stopped .* ago\n$/);
    assert.match(ok(['show', 'two']), /^name +two\nstate +stopped\nbackend +native\nprofile +balanced\narchitecture +llama\ntype +Q8_0\nparameters +5\.8M\ncontext +256\nembedding +256\nsize +5\.98 MiB\nneeds +\d.*\nmodified +\d{4}-.* UTC\nfile +.*\/two\.gguf\n$/);
    fails(['show', 'three'], /the model 'three' does not exist; `drover list`/);
});

test('load, ps, switch, unload', () => {
    assert.match(ok(['load', 'two', '--pin', '--profile', 'fast']), /^two is loaded \(\d+\.\d s\)\n$/);
    assert.match(ok(['ps']), /\ntwo +fast +native +ready +\d+\.\d+ MiB +\d+\.\d+ MiB +0\/\d +0 +for ever +\d+\nmemory for models: \d+\.\d+ MiB of \d+\.\d+ GiB\n$/);
    assert.match(ok(['switch', 'two']), /^two is the default model/);
    assert.deepEqual(json(['list']).models.filter((m) => m.default).map((m) => m.name), ['two']);
    assert.match(ok(['load', 'one']), /^one is loaded/);
    assert.match(ok(['ps']), /\none +balanced +native +ready .* in \d+ (minutes|seconds) /);
    assert.deepEqual(json(['unload', 'two', '--force']), { model: 'two', success: true });
    ok(['unload', 'one']);
    assert.deepEqual(json(['ps']).instances.filter((i) => i.state === 'ready'), []);
    fails(['load', 'three'], /'three' does not exist/);
    fails(['load', 'one', '--profile', 'nope'], /nope/);
});

test('who may: the admin key of the data folder, keys of others', () => {
    const key = (...args) => ok(['key', 'create', ...args]).trim();
    const plain = key('plain'), narrow = key('narrow', '--model', 'one');
    assert.match(ok(['list'], { DROVER_API_KEY: plain }), /\none .*\ntwo /);
    assert.doesNotMatch(ok(['list'], { DROVER_API_KEY: narrow }), /two/);
    assert.doesNotMatch(ok(['show', 'one'], { DROVER_API_KEY: plain }), /^file/m);
    fails(['switch', 'one'], /the key of DROVER_API_KEY may not do this: /, { DROVER_API_KEY: plain });
    fails(['list'], /does not accept the key of DROVER_API_KEY/, { DROVER_API_KEY: 'dv_' + 'x'.repeat(43) });
    const admin = join(data, 'admin.key');
    renameSync(admin, admin + '.away');
    fails(['switch', 'one'], /only admins may use .*; without a key nobody may: give an administrator's/);
    renameSync(admin + '.away', admin);
    ok(['switch', 'one']);
});

test('doctor, beside the running service', () => {
    const see = () => {
        const r = run(['doctor', '--json']);
        return { code: r.code, findings: JSON.parse(r.out).findings };
    };
    const { code, findings } = see(), text = findings.map((f) => `${f.level}: ${f.text}`).join('\n');
    assert.equal(code, 0, text);
    assert.match(text, /^ok: unix:.*app\.sock: a drover serve runs there$/m);
    assert.match(text, /^ok: database: opens, and is whole$/m);
    assert.match(text, /^ok: two: llama Q8_0, native, needs /m);
    chmodSync(join(data, 'admin.key'), 0o604);
    assert.match(see().findings.map((f) => `${f.level}: ${f.text}`).join('\n'), /^problem: .*admin\.key: others may read/m);
    chmodSync(join(data, 'admin.key'), 0o600);
});

test('what doctor says a model needs is what the service says', () => {
    const needs = Object.fromEntries(JSON.parse(run(['doctor', '--json']).out).findings.flatMap((f) => [...f.text.matchAll(/^(one|two): .*needs (.*)$/g)].map((m) => [m[1], m[2]])));
    for (const name of ['one', 'two']) assert.equal(ok(['show', name]).match(/\nneeds +(.*)\n/)[1], needs[name]);
});

test('a service that has ended is not running', async () => {
    child.kill();
    assert.equal(await closed, 0, log);
    fails(['list'], /drover serve is not running at unix:.*app\.sock: start it/);
    assert.equal(run(['doctor']).code, 0);
    assert.ok(!log.includes(readFileSync(join(data, 'admin.key'), 'utf8').trim()));
});
