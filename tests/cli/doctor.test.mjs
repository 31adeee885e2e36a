// SPDX-License-Identifier: MIT
// drover doctor, on folders, ports, certificates and models that tests put into every state it has a finding for.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { drover, folder, model } from './helper.mjs';

const servers = [];
after(() => servers.forEach((s) => (s.closeAllConnections?.(), s.close())));
const listen = (server, ...where) => new Promise((r) => server.listen(...where, () => r(server.address())));
const root = process.getuid() === 0;

/** A place with a data folder and free ports; see() examines it, with more environment. */
function patient(env = {}) {
    const dir = folder(), data = join(dir, 'data');
    const base = { PATH: '/usr/bin:/bin', HOME: dir, LC_ALL: 'C.UTF-8', DROVER_DATA_DIR: data, DROVER_RUN_DIR: join(dir, 'run'), DROVER_LISTEN_OPENAI: '127.0.0.1:0', DROVER_LISTEN_APP: 'off', ...env };
    const start = (args, more) => new Promise((resolve) => {
        const child = spawn(drover, ['doctor', ...args], { env: { ...base, ...more }, stdio: ['ignore', 'pipe', 'pipe'] });
        let out = '', err = '';
        child.stdout.on('data', (d) => (out += d));
        child.stderr.on('data', (d) => (err += d));
        child.on('close', (code, signal) => resolve({ code: signal ?? code, out, err }));
    });
    /** Findings; the exit status must fit them, and each that is not ok must say what to do. */
    const see = async (more = {}, args = []) => {
        const r = await start(['--json', ...args], more);
        assert.equal(r.err, '');
        const all = JSON.parse(r.out), count = (level) => all.findings.filter((f) => f.level === level).length;
        assert.deepEqual([all.ok, all.problems, all.warnings], [count('problem') === 0, count('problem'), count('warning')]);
        assert.equal(r.code, all.ok ? 0 : 1);
        for (const f of all.findings) assert.equal(f.advice !== undefined, f.level !== 'ok', JSON.stringify(f));
        return all.findings;
    };
    return { dir, data, start, see, base };
}

function has(findings, level, text, advice = /./) {
    const hits = findings.filter((f) => text.test(f.text));
    assert.equal(hits.length, 1, `${text}: ${JSON.stringify(findings, null, 1)}`);
    assert.equal(hits[0].level, level, JSON.stringify(hits[0]));
    if (level !== 'ok') assert.match(hits[0].advice, advice);
}
const hasNot = (findings, text) => assert.ok(!findings.some((f) => text.test(f.text)), JSON.stringify(findings, null, 1));

test('a good place: nothing to do, and nothing is changed', async () => {
    const p = patient();
    const f = await p.see({}, ['-m', model]);
    has(f, 'ok', /there is no drover\.yaml/);
    has(f, 'ok', /^CPU: .*, kernels .*, \d+ cores?$/);
    has(f, 'ok', /^data_dir: .*\/data is made at the first start/);
    has(f, 'ok', /^run_dir: .*\/run is made at the first start/);
    has(f, 'ok', /^pocket-dictionary: llama Q8_0, native, needs \d+\.\d+ MiB$/);
    has(f, 'ok', /^upstream: no llama-server, and no model needs it$/);
    has(f, 'ok', /^127\.0\.0\.1:0 is free/);
    assert.ok(f.every((x) => x.level !== 'problem'), JSON.stringify(f));
    assert.throws(() => statSync(p.data));
    const r = await p.start(['-m', model]);
    assert.equal(r.code, 0);
    assert.match(r.out, /^configuration\n  ok       there is no drover\.yaml.*\nmachine\n  ok       CPU: /);
    assert.match(r.out, /\n0 problems, \d+ warnings?\n$/);
});

test('the command line', async () => {
    const p = patient();
    assert.equal((await p.start(['--help'])).code, 0);
    assert.equal((await p.start(['x'])).code, 2);
    assert.equal((await p.start(['--nope'])).code, 2);
});

test('a configuration that is wrong', async () => {
    const p = patient(), file = join(p.dir, 'drover.yaml');
    writeFileSync(file, 'limits:\n  request: 1\n');
    let f = await p.see({ DROVER_CONFIG: file });
    has(f, 'problem', /drover\.yaml:2:3: unknown key 'request'/, /docs\/configuration\.md/);
    has(f, 'ok', /^CPU/); // what does not depend on it is checked
    hasNot(f, /data_dir/);
    writeFileSync(file, 'models:\n  - {name: far, url: "https://api.example/v1"}\n');
    f = await p.see({ DROVER_CONFIG: file });
    has(f, 'problem', /is at a server that is not among remote\.allow/);
    writeFileSync(file, 'listen:\n  openai: 127.0.0.1:0\ninsecure: true\nmodels:\n  - {name: e, path: "/a\\u00e9b.gguf"}\n');
    const r = await p.start(['--json'], { DROVER_CONFIG: file });
    assert.match(r.out, /^[\x20-\x7e]+\n$/);
    f = JSON.parse(r.out).findings;
    has(f, 'warning', /insecure is on/, /tls\.cert/);
    has(f, 'problem', /No such file/, /correct its path/);
});

test('the data folder', async () => {
    const p = patient(), env = { ...process.env, ...p.base };
    execFileSync(drover, ['key', 'create', 'ci'], { env, stdio: 'ignore' });
    const f = await p.see();
    has(f, 'ok', /^database: opens, and is whole/);
    has(f, 'ok', /^space: .* free for/);
    chmodSync(p.data, 0o770);
    has(await p.see(), 'problem', /^data_dir: others may write to/, /chmod 700/);
    chmodSync(p.data, 0o700);
    writeFileSync(join(p.data, 'admin.key'), 'dv_x\n');
    chmodSync(join(p.data, 'admin.key'), 0o644);
    has(await p.see(), 'problem', /admin\.key: others may read or write it/, /chmod 600 .*drover key revoke/);
    chmodSync(join(p.data, 'admin.key'), 0o600);
    chmodSync(join(p.data, 'drover.db'), 0o640);
    has(await p.see(), 'problem', /^database: .*drover\.db: others may read or write it/, /chmod 600/);
    chmodSync(join(p.data, 'drover.db'), 0o600);
    has(await p.see(), 'ok', /^database: opens/);
    for (const n of ['-wal', '-shm']) rmSync(join(p.data, `drover.db${n}`), { force: true });
    const good = readFileSync(join(p.data, 'drover.db'));
    writeFileSync(join(p.data, 'drover.db'), Buffer.concat([good.subarray(0, 4096), Buffer.alloc(good.length - 4096, 0xa5)]));
    has(await p.see(), 'problem', /^database: /, /restore a backup/);
    writeFileSync(join(p.data, 'drover.db'), 'hello, this is no database at all');
    has(await p.see(), 'problem', /^database: /);
    rmSync(p.data, { recursive: true });
    writeFileSync(p.data, 'a file');
    has(await p.see(), 'problem', /^data_dir: .* is no folder/, /move it away/);
    if (!root) {
        rmSync(p.data);
        chmodSync(p.dir, 0o500);
        has(await p.see(), 'problem', /^data_dir: .* cannot be made in/, /mkdir -p/);
        chmodSync(p.dir, 0o700);
        has(await p.see({ DROVER_DATA_DIR: '/proc/1/fd/drover' }), 'problem', /^data_dir: /, /as the user that runs|mkdir/);
    }
});

test('other folders and files', async () => {
    const p = patient(), run = join(p.dir, 'run'), models = join(p.dir, 'models');
    mkdirSync(run, { mode: 0o700 });
    mkdirSync(models);
    let f = await p.see({ DROVER_MODELS_DIR: models, DROVER_LOG_FILE: join(p.dir, 'log.jsonl') });
    has(f, 'ok', /^run_dir: .*\/run$/);
    has(f, 'ok', /^models_dir: .*\/models$/);
    has(f, 'ok', /^log\.file: /);
    has(f, 'warning', /there is no model/, /put GGUF files into/);
    chmodSync(run, 0o777);
    chmodSync(models, 0o777);
    f = await p.see({ DROVER_MODELS_DIR: models, DROVER_LOG_FILE: join(p.dir, 'no/log.jsonl') });
    has(f, 'problem', /^run_dir: others may write to/, /chmod 700/);
    has(f, 'warning', /^models_dir: everybody may write to/, /chmod o-w/);
    has(f, 'problem', /^log\.file: .* cannot be written/);
    writeFileSync(join(p.dir, 'file'), '');
    f = await p.see({ DROVER_MODELS_DIR: join(p.dir, 'file'), DROVER_RUN_DIR: join(p.dir, 'a/b') });
    has(f, 'problem', /^models_dir: .* cannot be read as a folder/);
    has(f, 'problem', /^run_dir: .* cannot be made/, /mkdir/);
    f = await p.see({ DROVER_RUN_DIR: join(p.data, 'run') });
    has(f, 'ok', /^run_dir: .* is made at the first start/); // with the data folder
});

const openssl = (...args) => execFileSync('openssl', args, { stdio: 'ignore' });

test('certificates', async () => {
    const p = patient();
    const at = (name) => join(p.dir, name);
    const make = (name, days) => openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', days, '-subj', '/CN=drover.example', '-keyout', at(`${name}.key`), '-out', at(`${name}.pem`));
    make('long', '90');
    make('soon', '10');
    const tls = (cert, key = cert) => p.see({ DROVER_TLS_CERT: at(`${cert}.pem`), DROVER_TLS_KEY: at(`${key}.key`) });
    chmodSync(at('long.key'), 0o600);
    has(await tls('long'), 'ok', /^TLS: .*long\.pem and its key match; (89|90) days left$/);
    chmodSync(at('long.key'), 0o644);
    has(await tls('long'), 'warning', /^TLS: other users can read .*long\.key/, /chmod 600/);
    chmodSync(at('long.key'), 0o600);
    has(await tls('soon'), 'warning', /^TLS: .* (9|10) days left/, /renew it and send SIGHUP/);
    has(await tls('long', 'soon'), 'problem', /^TLS: .*soon\.key: not the key of the certificate/);
    has(await tls('none'), 'problem', /^TLS: .*none\.pem: No such file/);
    writeFileSync(at('text.pem'), 'hello');
    writeFileSync(at('text.key'), 'hello');
    has(await tls('text'), 'problem', /^TLS: .*text\.pem: not a certificate/);
    writeFileSync(at('ca.cnf'), '[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n');
    writeFileSync(at('index.txt'), '');
    writeFileSync(at('serial'), '01\n');
    openssl('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=old.example', '-keyout', at('old.key'), '-out', at('old.csr'));
    execFileSync('openssl', ['ca', '-batch', '-config', 'ca.cnf', '-selfsign', '-keyfile', 'old.key', '-in', 'old.csr', '-out', 'old.pem', '-notext', '-startdate', '20200101000000Z', '-enddate', '20210101000000Z'], { cwd: p.dir, stdio: 'ignore' });
    chmodSync(at('old.key'), 0o600);
    has(await tls('old'), 'problem', /^TLS: the certificate in .*old\.pem has expired/, /renew/);
});

test('ports: free, taken by a drover, taken by others', async () => {
    const p = patient();
    const other = net.createServer((c) => c.on('error', () => {}).destroy());
    const fake = http.createServer((req, res) => res.end(req.url === '/api/health' ? '{"status":"ok","live":true,"ready":true,"checks":{}}' : '{}'));
    servers.push(other, fake);
    const { port } = await listen(other, 0, '127.0.0.1'), { port: ours } = await listen(fake, 0, '127.0.0.1');
    let f = await p.see({ DROVER_LISTEN_OPENAI: `127.0.0.1:${port}`, DROVER_LISTEN_APP: `127.0.0.1:${ours}` });
    has(f, 'problem', new RegExp(`^127\\.0\\.0\\.1:${port}: .*(node|MainThread).* \\(process ${process.pid}\\) has it`), /set listen\.openai \(--listen\) to another/);
    has(f, 'ok', new RegExp(`^127\\.0\\.0\\.1:${ours}: a drover serve runs there`));
    f = await p.see({ DROVER_LISTENERS_0_ADDRESS: `127.0.0.1:${port}` });
    has(f, 'problem', /has it/, /set listeners\.0\.address to another/);
    f = await p.see({ DROVER_LISTEN_OPENAI: '192.0.2.1:8081', DROVER_INSECURE: 'true' });
    has(f, 'problem', /^192\.0\.2\.1:8081: Cannot assign/, /address of this machine/);
    f = await p.see({ DROVER_LISTEN_OPENAI: 'no-such-host.invalid:8081', DROVER_INSECURE: 'true' });
    has(f, 'problem', /^no-such-host\.invalid:8081: /, /address of this machine/);
    if (!root) has(await p.see({ DROVER_LISTEN_OPENAI: '127.0.0.1:80' }), 'problem', /Permission denied/, /below 1024/);
});

test('unix sockets', async () => {
    const p = patient(), at = (name) => ({ DROVER_LISTEN_OPENAI: `unix:${join(p.dir, name)}` });
    has(await p.see(at('new.sock')), 'ok', /new\.sock is free/);
    has(await p.see(at('no/new.sock')), 'problem', /cannot be made in that folder/, /make .*\/no for the user/);
    writeFileSync(join(p.dir, 'file'), '');
    has(await p.see(at('file')), 'problem', /there is a file that is no socket/, /move it away/);
    const other = net.createServer((c) => c.on('error', () => {}).destroy());
    const fake = http.createServer((req, res) => res.end('{"checks":{}}'));
    servers.push(other, fake);
    await listen(other, join(p.dir, 'other.sock'));
    await listen(fake, join(p.dir, 'ours.sock'));
    has(await p.see(at('other.sock')), 'problem', /another process has it/);
    has(await p.see(at('ours.sock')), 'ok', /a drover serve runs there/);
    // One that was killed leaves its socket behind.
    const dead = join(p.dir, 'dead.sock');
    spawnSync(process.execPath, ['-e', `require('net').createServer().listen(${JSON.stringify(dead)}, () => process.kill(process.pid, 'SIGKILL'))`]);
    has(await p.see(at('dead.sock')), 'ok', /a socket that nobody listens on, which is replaced/);
});

test('models', async () => {
    const p = patient(), models = join(p.dir, 'models'), good = readFileSync(model);
    mkdirSync(models);
    const put = (name, data) => writeFileSync(join(models, name), data);
    put('good.gguf', good);
    put('cut.gguf', good.subarray(0, good.length / 2));
    put('text.gguf', 'hello');
    put('notes.txt', 'not a model');
    put('.hidden.gguf', 'x');
    put('part-00002-of-00002.gguf', 'x');
    symlinkSync(model, join(models, 'link.gguf'));
    const foreign = Buffer.from(good), key = Buffer.from('general.architecture');
    foreign.write('zzama', good.indexOf(key) + key.length + 4 + 8);
    put('foreign.gguf', foreign);
    let f = await p.see({ DROVER_MODELS_DIR: models });
    has(f, 'ok', /^good: llama Q8_0, native/);
    has(f, 'warning', /^cut: /, /download the file again/);
    has(f, 'warning', /^text: .*not a GGUF|^text: /, /download the file again/);
    has(f, 'warning', /^link\.gguf in models_dir is no file of its own/, /links are not followed/);
    has(f, 'ok', /^foreign: zzama Q8_0, upstream/);
    has(f, 'problem', /there is no llama-server/, /install llama\.cpp/);
    for (const t of [/notes/, /hidden/, /part-/]) hasNot(f, t);

    // With one: any program that tells a version will do.
    const upstream = join(p.dir, 'llama-server');
    writeFileSync(upstream, '#!/bin/sh\n[ "$1" = --version ] && echo "version: 8064 (abc)" >&2\n', { mode: 0o755 });
    f = await p.see({ DROVER_MODELS_DIR: models, DROVER_UPSTREAM_PROGRAM: upstream });
    has(f, 'ok', /^upstream: .*\/llama-server, version: 8064 \(abc\)$/);
    f = await p.see({ DROVER_MODELS_DIR: models, PATH: `${p.dir}:/usr/bin:/bin` });
    has(f, 'ok', /^upstream: .*\/llama-server, version/);
    writeFileSync(upstream, '#!/bin/sh\nexit 1\n');
    f = await p.see({ DROVER_MODELS_DIR: models, DROVER_UPSTREAM_PROGRAM: upstream });
    has(f, 'warning', /^upstream: .* does not run/, /--version/);

    // What drover.yaml names must be right.
    const file = join(p.dir, 'drover.yaml');
    const needs = Number(f.find((x) => /^good: /.test(x.text)).text.match(/needs ([\d.]+) MiB/)[1]), room = Math.round(needs * 1536); // for one, not for two
    writeFileSync(file, `models_dir: ${models}\nmodels:\n  - {path: good.gguf, chat_template: none.jinja, pin: true}\n  - {path: cut.gguf}\n  - {path: gone.gguf}\n  - {name: n, path: foreign.gguf, backend: native}\n  - {name: again, path: ${model}, pin: true}\nresidency: {memory: ${room}KiB}\n`);
    f = await p.see({ DROVER_CONFIG: file });
    has(f, 'ok', /^good: llama/);
    has(f, 'problem', /^good: chat_template: .*none\.jinja: No such file/);
    has(f, 'problem', /^cut: /);
    has(f, 'problem', /^gone: .*No such file/, /correct its path/);
    has(f, 'problem', /^n: /, /backend to upstream/);
    has(f, 'problem', /^the 2 models that stay loaded \(pin\) need .* together, and models may have /, /take pin away/);
    hasNot(f, /^foreign: /); // it is n
    f = await p.see({ DROVER_CONFIG: file, DROVER_RESIDENCY_MEMORY: `${room >> 1}KiB`, DROVER_DEFAULT_MODEL: 'nobody' });
    has(f, 'problem', /^good: llama Q8_0, native; it needs .*, and models may have /, /smaller/);
    has(f, 'problem', /^default_model: there is no model nobody/);
    f = await p.see({ DROVER_MODELS_DIR: models, DROVER_DEFAULT_MODEL: 'good' });
    hasNot(f, /default_model/);
});

test('remotes and their keys', async () => {
    const p = patient(), file = join(p.dir, 'drover.yaml'), key = join(p.dir, 'far.key');
    writeFileSync(file, `remote: {allow: ["https://api.example"]}\nmodels:\n  - {name: far, url: "https://api.example/v1", key_file: far.key}\n  - {name: env, url: "https://api.example/v1", key_env: FAR_KEY}\n  - {name: open, url: "http://127.0.0.1:1"}\n`);
    let f = await p.see({ DROVER_CONFIG: file });
    has(f, 'problem', /^far: .*far\.key/, /key_env or key_file/);
    has(f, 'problem', /^env: .*FAR_KEY/);
    has(f, 'ok', /^open: at http:\/\/127\.0\.0\.1:1, which is allowed$/);
    writeFileSync(key, 'sk-very-secret\n', { mode: 0o644 });
    chmodSync(key, 0o644);
    const r = await p.start(['--json'], { DROVER_CONFIG: file, FAR_KEY: 'sk-other-secret' });
    assert.ok(!/secret/.test(r.out));
    f = JSON.parse(r.out).findings;
    has(f, 'ok', /^far: at https:\/\/api\.example\/v1, which is allowed; its key is there$/);
    has(f, 'warning', /^far: other users can read .*far\.key/, /chmod 600/);
    has(f, 'ok', /^env: .*its key is there/);
});

test('Redis', async () => {
    const p = patient();
    let says = '+PONG\r\n', heard = '';
    const fake = net.createServer((c) => c.on('error', () => {}).on('data', (d) => ((heard += d), says === null || c.write(says))));
    servers.push(fake);
    const { port } = await listen(fake, 0, '127.0.0.1');
    await new Promise((r) => { const u = net.createServer((c) => c.on('error', () => {}).on('data', () => c.write('+PONG\r\n'))); servers.push(u); u.listen(join(p.dir, 'redis.sock'), r); });
    const see = (url, more = {}) => p.see({ DROVER_REDIS_URL: url, ...more });
    has(await see(`redis://127.0.0.1:${port}`), 'ok', /^Redis: 127\.0\.0\.1 answers/);
    assert.equal(heard, '*1\r\n$4\r\nPING\r\n');
    heard = '';
    says = '+OK\r\n+PONG\r\n';
    has(await see(`redis://me:p%40ss@127.0.0.1:${port}/2`), 'ok', /^Redis: 127\.0\.0\.1 answers/);
    assert.equal(heard, '*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$4\r\np@ss\r\n*1\r\n$4\r\nPING\r\n');
    has(await see(`unix://${p.dir}/redis.sock`), 'ok', /^Redis: .*redis\.sock answers/);
    for (const [reply, text] of [['-NOAUTH Authentication \x1b[2Jrequired.\r\n', /it says: NOAUTH Authentication \\x1b\[2Jrequired/], ['HTTP/1.1 400\r\n', /it is no Redis: HTTP/], ['x'.repeat(4000), /it is no Redis/], [null, /it does not answer/]]) {
        says = reply;
        has(await see(`redis://:pw@127.0.0.1:${port}`), 'warning', text, /redis\.url.*each node counts/);
        has(await see(`redis://:pw@127.0.0.1:${port}`, { DROVER_REDIS_ON_FAILURE: 'refuse' }), 'problem', text, /every request is refused/);
    }
    has(await see('redis://127.0.0.1:1'), 'warning', /Connection refused/);
    has(await see('redis://no-such-host.invalid'), 'warning', /no-such-host\.invalid/);
    const r = await p.start([], { DROVER_REDIS_URL: `redis://:pw-secret@127.0.0.1:${port}` });
    assert.ok(!r.out.includes('pw-secret'));
});
