// SPDX-License-Identifier: MIT
// drover list, ps, show, load, unload and switch, against servers that say what each test wants: good answers, refusals, and nonsense.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { drover, folder } from './helper.mjs';

const place = folder();
const KEY = 'dv_' + 'k'.repeat(43);
const GIB = 2 ** 30;

/** Run drover, while servers of this process answer. */
function run(args, env = {}) {
    return new Promise((resolve) => {
        const child = spawn(drover, args, { env: { PATH: process.env.PATH, HOME: place, LC_ALL: 'C.UTF-8', DROVER_DATA_DIR: join(place, 'data'), ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
        let out = '', err = '';
        child.stdout.on('data', (d) => (out += d));
        child.stderr.on('data', (d) => (err += d));
        child.on('close', (code, signal) => resolve({ code: signal ?? code, out, err }));
    });
}

async function fails(args, env, says, code = 1) {
    const r = await run(args, env);
    assert.equal(r.code, code, r.out + r.err);
    assert.match(r.err, says);
    assert.ok(r.err.startsWith(`drover ${args[0]}: `), r.err);
    assert.equal(r.out, '');
    assert.ok(!r.err.includes(KEY), 'a key is never printed');
    return r.err;
}

const servers = [];
after(() => servers.forEach((s) => (s.closeAllConnections?.(), s.close())));

/** A server that keeps what it is asked in .seen; answer(req) gives [status, body]: an object, or text. */
async function serve(answer, where = 0, tls) {
    const seen = [];
    const on = (req, res) => {
        let body = '';
        req.on('data', (d) => (body += d));
        req.on('end', () => {
            seen.push({ method: req.method, url: req.url, host: req.headers.host, key: req.headers.authorization, body: body && JSON.parse(body) });
            const [status, reply, head = {}] = answer({ method: req.method, url: req.url, key: req.headers.authorization });
            res.writeHead(status, { 'content-type': 'application/json', ...head });
            res.end(typeof reply === 'string' || Buffer.isBuffer(reply) ? reply : JSON.stringify(reply));
        });
    };
    const server = tls ? https.createServer(tls, on) : http.createServer(on);
    servers.push(server);
    await new Promise((r) => server.listen(where, typeof where === 'string' ? undefined : '127.0.0.1', r));
    const { port } = server.address();
    return { seen, port, url: `http${tls ? 's' : ''}://127.0.0.1:${port}` };
}

const llama = {
    name: 'llama', aliases: ['gpt-4o-mini', 'l'], state: 'ready', backend: 'native', profile: 'balanced', default: true, pinned: false, size: 2 * GIB,
    modified: Math.floor(Date.now() / 1000) - 3 * 86400, memory_estimate: 2.5 * GIB, architecture: 'llama', quantization: 'Q4_K_M', parameters: 3212749888,
    context_length: 131072, embedding_length: 3072, problem: null, file: '/srv/models/llama.gguf',
};
const far = {
    name: 'far', aliases: [], state: 'stopped', backend: 'remote', profile: 'fast', default: false, pinned: true, size: 0, modified: 0, memory_estimate: 0,
    architecture: null, quantization: null, parameters: 0, context_length: 0, embedding_length: 0, problem: null,
};
const broken = { ...far, name: 'broken', backend: 'auto', pinned: false, size: 100, modified: 1, problem: 'the file is cut off' };
const ready = {
    model: 'llama', profile: 'balanced', backend: 'native', state: 'ready', pid: 4242, running: 1, waiting: 2, places: 4, memory_estimate: 2.5 * GIB,
    memory_resident: 2 * GIB, memory_anonymous: GIB / 2, loaded_ms: Date.now() - 60000, used_ms: Date.now(), expires_ms: Date.now() + 290000, load_time_ms: 900,
    starts: 1, crashes: 0, health_us: 200, last_error: null,
};
const pinned = { ...ready, model: 'far', backend: 'remote', pid: 0, expires_ms: 0, memory_estimate: 0, memory_resident: 0, running: 0, waiting: 0 };
const dead = { ...pinned, model: 'broken', state: 'broken', last_error: 'it was killed by signal 9' };
const refusal = (status, message) => [status, { error: { message, type: 'x', param: null, code: status } }];
const good = ({ method, url }) => {
    if (url === '/api/models') return [200, { models: [llama, far, broken] }];
    if (url === '/api/instances') return [200, { budget: 8 * GIB, used: 2.5 * GIB, instances: [ready, pinned, dead] }];
    if (method === 'GET' && url === '/api/models/llama') return [200, llama];
    if (method === 'POST' && /^\/api\/(models\/(un)?load|switch)$/.test(url)) return [200, { model: 'llama', success: true }];
    return refusal(404, "the model 'nope' does not exist");
};

const lines = (text) => text.trimEnd().split('\n');

test('list', async () => {
    const s = await serve(good);
    const r = await run(['list', '--url', s.url]);
    assert.deepEqual([r.code, r.err], [0, '']);
    assert.deepEqual(lines(r.out), [
        'NAME    STATE        SIZE  PARAMETERS  TYPE    BACKEND  PROFILE   MODIFIED',
        'llama   ready    2.00 GiB        3.2B  Q4_K_M  native   balanced  3 days ago    default',
        'far     stopped         -           -  -       remote   fast      -             pinned',
        `broken  stopped     100 B           -  -       auto     fast      ${new Date().getFullYear() - 1970} years ago`,
        'broken: the file is cut off',
    ]);
    assert.deepEqual(JSON.parse((await run(['list', '--json', '--url', s.url])).out), { models: [llama, far, broken] });
    assert.deepEqual(s.seen[0], { method: 'GET', url: '/api/models', host: `127.0.0.1:${s.port}`, key: undefined, body: '' });
});

test('list of nothing', async () => {
    const s = await serve(() => [200, { models: [] }]);
    const r = await run(['list', '--url', s.url]);
    assert.equal(r.code, 0);
    assert.equal(lines(r.out).length, 1);
    assert.match(r.err, /there is no model: put GGUF files into the models folder/);
});

test('ps', async () => {
    const s = await serve(good);
    const r = await run(['ps', '--url', s.url]);
    assert.deepEqual([r.code, r.err], [0, '']);
    const rows = lines(r.out);
    assert.equal(rows[0], 'MODEL   PROFILE   BACKEND  STATE      NEEDS  RESIDENT  RUNNING  WAITING  UNLOADED       PID');
    assert.match(rows[1], /^llama   balanced  native   ready   2\.50 GiB  2\.00 GiB      1\/4        2  in 4 minutes  4242$/);
    assert.match(rows[2], /^far .* for ever +-$/);
    assert.match(rows[3], /^broken .* broken .*- +-$/);
    assert.deepEqual(rows.slice(4), ['broken: it was killed by signal 9', 'memory for models: 2.50 GiB of 8.00 GiB']);
    assert.equal(JSON.parse((await run(['ps', '--json', '--url', s.url])).out).instances.length, 3);
});

test('show', async () => {
    const s = await serve(good);
    const r = await run(['show', 'llama', '--url', s.url]);
    assert.deepEqual([r.code, r.err], [0, '']);
    assert.match(r.out, /^name           llama\naliases        gpt-4o-mini, l\nstate          ready\n/);
    assert.match(r.out, /\nparameters     3\.2B\ncontext        131072\n/);
    assert.match(r.out, /\nfile           \/srv\/models\/llama\.gguf\n$/);
    assert.equal(JSON.parse((await run(['show', 'llama', '--json', '--url', s.url])).out).name, 'llama');
    await fails(['show', 'nope', '--url', s.url], {}, /the model 'nope' does not exist; `drover list` shows those that do/);
    await fails(['show', '', '--url', s.url], {}, /MODEL must not be empty/, 2);
    await fails(['show', '--url', s.url], {}, /an argument is missing/, 2);
    await fails(['show', '../keys?a=1#é/', '--url', s.url], {}, /does not exist/);
    assert.equal(s.seen.at(-1).url, '/api/models/..%2Fkeys%3Fa%3D1%23%C3%A9%2F');
});

test('load, unload, switch', async () => {
    const s = await serve(good);
    const order = async (args, url, body, says) => {
        const r = await run([...args, '--url', s.url]);
        assert.deepEqual([r.code, r.err], [0, '']);
        assert.match(r.out, says);
        const { method, url: asked, body: sent } = s.seen.at(-1);
        assert.deepEqual([method, asked, sent], ['POST', url, body]);
        assert.deepEqual(JSON.parse((await run([...args, '--json', '--url', s.url])).out), { model: 'llama', success: true });
    };
    await order(['load', 'l'], '/api/models/load', { model: 'l' }, /^llama is loaded \(\d+\.\d s\)\n$/);
    await order(['load', 'llama', '--profile', 'fast', '--pin'], '/api/models/load', { model: 'llama', profile: 'fast', pin: true }, /loaded/);
    await order(['unload', 'llama'], '/api/models/unload', { model: 'llama' }, /^llama is unloaded/);
    await order(['unload', 'llama', '--force'], '/api/models/unload', { model: 'llama', force: true }, /unloaded/);
    await order(['switch', 'llama', '--profile=fast'], '/api/switch', { model: 'llama', profile: 'fast' }, /^llama is the default model/);
    await fails(['switch', 'llama', '--pin', '--url', s.url], {}, /unknown option '--pin'/, 2);
    await fails(['load', 'a', 'b', '--url', s.url], {}, /unexpected argument 'b'/, 2);
    await fails(['load', '--url', s.url], {}, /an argument is missing: MODEL/, 2);
});

test('what the server refuses is said in its words', async () => {
    let reply = refusal(400, "profile: there is no profile 'x'");
    const s = await serve(() => reply);
    await fails(['load', 'llama', '--url', s.url], {}, /profile: there is no profile 'x'/);
    reply = refusal(503, 'it needs 9 GiB and there are 8');
    await fails(['load', 'llama', '--url', s.url], {}, /it needs 9 GiB and there are 8/);
    reply = refusal(404, "the model 'x' does not exist");
    for (const c of ['load', 'unload', 'switch']) await fails([c, 'x', '--url', s.url], {}, /'x' does not exist; `drover list`/);
    reply = refusal(500, 'the engine does not start');
    await fails(['load', 'llama', '--url', s.url], {}, /the engine does not start/);
    reply = refusal(429, 'too many requests');
    await fails(['list', '--url', s.url], {}, /too many requests/);
});

test('where: --url, DROVER_URL, the configuration, unix sockets', async () => {
    const s = await serve(good), path = join(place, 'app.sock');
    const u = await serve(good, path);
    const listed = async (args, env) => {
        const r = await run(['list', '--json', ...args], env);
        assert.equal(r.code, 0, r.err);
        assert.equal(JSON.parse(r.out).models.length, 3);
    };
    await listed([], { DROVER_URL: s.url });
    await listed([], { DROVER_URL: s.url + '/' });
    await listed(['--url', s.url], { DROVER_URL: 'http://127.0.0.1:1' });
    await listed(['--set', `listen.app=127.0.0.1:${s.port}`]);
    await listed(['--set', 'listen.app=off', '--set', `listen.openai=0.0.0.0:${s.port}`, '--set', 'insecure=true']);
    assert.equal(s.seen.length, 5);
    await listed(['--url', `unix:${path}`]);
    await listed([], { DROVER_LISTEN_APP: `unix:${path}` });
    assert.equal(u.seen.length, 2);
    await listed([], { DROVER_URL: s.url, http_proxy: 'http://127.0.0.1:1', HTTP_PROXY: 'http://127.0.0.1:1', all_proxy: 'http://127.0.0.1:1' });
    for (const url of ['localhost', 'ftp://h', 'http://', 'http://u:p@127.0.0.1:1', 'http://h/api', 'http://h?x', 'http://h#x', 'file:///etc/passwd', 'http://a b', 'unix:', `unix:/${'x'.repeat(200)}`, 'http://' + 'x'.repeat(600)])
        await fails(['list', '--url', url], {}, /the address of a drover is http|the path of a socket/);
    await fails(['list'], { DROVER_LISTEN_APP: '127.0.0.1:0' }, /may be at any port: say where it is with --url/);
    await fails(['list'], { DROVER_LIMITS_QUEUE: 'x' }, /DROVER_LIMITS_QUEUE/);
});

test('no server', async () => {
    const port = await new Promise((r) => {
        const probe = net.createServer().listen(0, '127.0.0.1', () => {
            const { port } = probe.address();
            probe.close(() => r(port));
        });
    });
    for (const c of [['list'], ['ps'], ['show', 'x'], ['load', 'x'], ['unload', 'x'], ['switch', 'x']])
        await fails([...c, '--url', `http://127.0.0.1:${port}`], {}, new RegExp(`drover serve is not running at http://127\\.0\\.0\\.1:${port}: start it`));
    await fails(['list'], { DROVER_LISTEN_APP: `127.0.0.1:${port}` }, /is not running at http:\/\/127\.0\.0\.1/);
    await fails(['list', '--url', `unix:${place}/none.sock`], {}, /is not running at unix:/);
    await fails(['list', '--url', 'http://no-such-host.invalid:1'], {}, /there is no host of this name/);
});

test('keys: --key-file, DROVER_API_KEY, admin.key', async () => {
    const s = await serve(good), file = join(place, 'a.key'), data = join(place, 'data');
    const used = async (args, env) => {
        const r = await run(['list', '--url', s.url, ...args], env);
        assert.equal(r.code, 0, r.err);
        assert.ok(!(r.out + r.err).includes(KEY));
        return s.seen.at(-1).key?.replace('Bearer ', '');
    };
    writeFileSync(file, `  ${KEY}\n`);
    assert.equal(await used([], {}), undefined);
    assert.equal(await used([], { DROVER_API_KEY: 'dv_variable' }), 'dv_variable');
    assert.equal(await used(['--key-file', file], { DROVER_API_KEY: 'dv_variable' }), KEY);
    mkdirSync(data, { recursive: true });
    writeFileSync(join(data, 'admin.key'), 'dv_admin\n', { mode: 0o600 });
    assert.equal(await used([], {}), 'dv_admin');
    assert.equal(await used([], { DROVER_API_KEY: 'dv_variable' }), 'dv_variable');
    for (const bad of ['', '\n', 'two keys', 'one\ntwo', 'ké', 'x'.repeat(1024)]) {
        writeFileSync(file, bad);
        await fails(['list', '--url', s.url, '--key-file', file], {}, /a\.key: (there must be one API key in it|what is in it is no API key)/);
    }
    await fails(['list', '--url', s.url, '--key-file', `${place}/none`], {}, /none: No such file/);
    await fails(['list', '--url', s.url, '--key-file', place], {}, /not a regular file/);
    await fails(['list', '--url', s.url], { DROVER_API_KEY: 'a b' }, /DROVER_API_KEY: there must be one API key/);
});

test('a key is not sent to another machine in the clear, nor the admin key at all', async () => {
    // 192.0.2.1 is nobody's (RFC 5737): before anything is sent, the address that would be dialled is looked at.
    await fails(['list', '--url', 'http://192.0.2.1:9'], { DROVER_API_KEY: KEY }, /is another machine: the key of DROVER_API_KEY is not sent to it in the clear/);
    const lookups = join(place, 'data', 'admin.key');
    writeFileSync(lookups, 'dv_admin\n');
    const address = Object.values((await import('node:os')).networkInterfaces()).flat().find((i) => i.family === 'IPv4' && !i.internal)?.address;
    if (address === undefined) return;
    const seen = [];
    const server = http.createServer((req, res) => (seen.push(req.headers.authorization), res.end('{"models":[]}')));
    servers.push(server);
    await new Promise((r) => server.listen(0, address, r));
    const url = `http://${address}:${server.address().port}`;
    assert.equal((await run(['list', '--url', url])).code, 0);
    assert.deepEqual(seen, [undefined]);
    await fails(['list', '--url', url], { DROVER_API_KEY: KEY }, /is not sent to it in the clear/);
    assert.equal(seen.length, 1);
    // A listener of the configuration is this machine's.
    const r = await run(['list', '--set', `listen.app=${address}:${server.address().port}`, '--set', 'insecure=true']);
    assert.equal(r.code, 0, r.err);
    assert.equal(seen[1], 'Bearer dv_admin');
});

test('401 and 403 say which key it was, and where one can be had', async () => {
    let reply = refusal(401, 'Invalid API Key');
    const s = await serve(() => reply), data = join(folder(), 'data'), env = { DROVER_DATA_DIR: data };
    await fails(['list', '--url', s.url], env, /wants an API key: give it with --key-file or DROVER_API_KEY \(`drover key create` makes one\)/);
    await fails(['list', '--url', s.url], { ...env, DROVER_API_KEY: KEY }, /does not accept the key of DROVER_API_KEY: it is not one of its keys, was revoked, or has expired/);
    reply = refusal(403, 'only admins may use /api/switch');
    await fails(['switch', 'x', '--url', s.url], env, /only admins may use \/api\/switch; without a key nobody may: give an administrator's/);
    await fails(['switch', 'x', '--url', s.url], { ...env, DROVER_API_KEY: KEY }, /the key of DROVER_API_KEY may not do this: only admins/);
    mkdirSync(data);
    writeFileSync(join(data, 'admin.key'), `${KEY}\n`);
    await fails(['switch', 'x', '--url', s.url], env, /the key of .*\/data\/admin\.key may not do this/);
    if (process.getuid() !== 0) {
        chmodSync(join(data, 'admin.key'), 0);
        reply = refusal(401, 'Invalid API Key');
        await fails(['list', '--url', s.url], env, /this user may not read .*admin\.key: give another/);
    }
});

test('answers that are not drover\'s', async () => {
    let reply;
    const s = await serve(() => reply);
    const cases = [
        ['<html>', 200, /what answers at .* is not drover serve/], ['', 200, /not drover serve/], ['[]', 200, /not drover serve/], ['{"a":1,"a":2}', 200, /not drover serve/],
        ['{"models":{}}', 200, /is not what drover serve says/], ['{}', 200, /is not what drover serve says/], ['<html>', 404, /not drover serve \(status 404\)/],
        ['{"detail":"Not Found"}', 404, /not drover serve/], ['', 302, /not drover serve \(status 302\)/], ['{"models":[]}', 206, /not drover serve/],
        ['['.repeat(100000), 200, /not drover serve/], [Buffer.from('{"models":["\xff"]}', 'latin1'), 200, /not drover serve/],
    ];
    for (const [body, status, says] of cases) {
        reply = [status, body, status === 302 ? { location: `${s.url}/api/instances` } : {}];
        await fails(['list', '--url', s.url], {}, says);
    }
    assert.equal(s.seen.length, cases.length); // no redirect was followed
    reply = [200, '{}'];
    for (const c of [['ps'], ['show', 'x'], ['load', 'x'], ['unload', 'x'], ['switch', 'x']]) await fails([...c, '--url', s.url], {}, /is not what drover serve says/);
    reply = [200, Buffer.alloc(17 << 20, ' ')];
    await fails(['list', '--url', s.url], {}, /the answer is too large to be drover's/);
    const raw = net.createServer((c) => (c.on('error', () => {}), c.end('SSH-2.0-OpenSSH_9\r\n')));
    servers.push(raw);
    await new Promise((r) => raw.listen(0, '127.0.0.1', r));
    await fails(['list', '--url', `http://127.0.0.1:${raw.address().port}`], {}, /drover list: /);
});

test('members of any type are no trouble', async () => {
    const odd = [null, true, 1, -1, 1.5, 2 ** 62, 'x', [], {}, [[{}]]];
    let reply;
    const s = await serve(() => [200, reply]);
    for (const v of odd) {
        const m = Object.fromEntries(Object.keys(llama).map((k) => [k, v])), i = Object.fromEntries(Object.keys(ready).map((k) => [k, v]));
        reply = { models: [m, v], instances: [i, v], budget: v, used: v };
        for (const c of ['list', 'ps']) {
            const r = await run([c, '--url', s.url]);
            assert.equal(r.code, 0, `${c} ${JSON.stringify(v)}: ${r.err}`);
        }
        reply = { ...m, name: 'x' };
        const r = await run(['show', 'x', '--url', s.url]);
        assert.equal(r.code, 0, r.err);
    }
});

test('nothing that a server says reaches the terminal as a command', async () => {
    const evil = 'a\x1b[2Jb\x9bc\nd\u202ee\x7f';
    const m = { ...llama, name: evil, aliases: [evil], state: evil, backend: evil, profile: evil, quantization: evil, architecture: evil, problem: evil, file: evil };
    const i = { ...ready, model: evil, profile: evil, backend: evil, state: evil, last_error: evil };
    let reply = [200, { ...m, models: [m], instances: [i], model: evil }];
    const s = await serve(() => reply);
    const commands = [['list'], ['ps'], ['show', 'x'], ['load', 'x'], ['unload', 'x'], ['switch', 'x']];
    for (const c of commands)
        for (const more of [[], ['--json']]) {
            const r = await run([...c, ...more, '--url', s.url]);
            assert.equal(r.code, 0, r.err);
            assert.match(r.out, more.length ? /^[\x20-\x7e]+\n$/ : /^[\x20-\x7e\n]+$/);
            if (more.length) assert.deepEqual(JSON.parse(r.out), JSON.parse(JSON.stringify(reply[1])));
        }
    reply = refusal(400, evil);
    for (const c of commands) assert.match(await fails([...c, '--url', s.url], {}, /a\\x1b/), /^[\x20-\x7e]+\n$/);
});

test('TLS: the certificate of the configuration, or one that is trusted', async () => {
    const make = (name, cn) => {
        execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', `/CN=${cn}`, '-addext', `subjectAltName=${cn === 'localhost' ? 'IP:127.0.0.1' : `DNS:${cn}`}`,
            '-keyout', join(place, `${name}.key`), '-out', join(place, `${name}.pem`)], { stdio: 'ignore' });
        return { key: readFileSync(join(place, `${name}.key`)), cert: readFileSync(join(place, `${name}.pem`)) };
    };
    const own = make('own', 'drover.example'), other = make('other', 'drover.example'), local = make('local', 'localhost');
    const s = await serve(good, 0, own), l = await serve(good, 0, local);
    const listen = (port, cert) => ({ DROVER_LISTEN_APP: `127.0.0.1:${port}`, DROVER_TLS_CERT: join(place, `${cert}.pem`), DROVER_TLS_KEY: join(place, `${cert}.key`) });
    const r = await run(['list'], { ...listen(s.port, 'own'), DROVER_API_KEY: KEY });
    assert.equal(r.code, 0, r.err);
    assert.equal(s.seen.at(-1).key, `Bearer ${KEY}`);
    await fails(['list'], { ...listen(s.port, 'other'), DROVER_API_KEY: KEY }, /its certificate is not the one in .*other\.pem/);
    await fails(['list', '--url', s.url], { DROVER_API_KEY: KEY }, /its certificate is not one that is trusted here/);
    await fails(['list', '--url', s.url, '--ca-file', join(place, 'own.pem')], { DROVER_API_KEY: KEY }, /its certificate is not one that is trusted here/); // not its name
    assert.equal(s.seen.length, 1);
    assert.equal((await run(['list', '--url', l.url, '--ca-file', join(place, 'local.pem')], { DROVER_API_KEY: KEY })).code, 0);
    await fails(['list', '--url', l.url, '--ca-file', join(place, 'none.pem')], {}, /none\.pem/);
    writeFileSync(join(place, 'no.pem'), 'hello');
    await fails(['list'], { ...listen(s.port, 'own'), DROVER_TLS_CERT: join(place, 'no.pem') }, /no\.pem: it is no certificate in PEM/);
    const plain = await serve(good);
    await fails(['list', '--url', `https://127.0.0.1:${plain.port}`], {}, /no TLS: is it http\?/);
});
