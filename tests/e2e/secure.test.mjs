// SPDX-License-Identifier: MIT
// Secure by default: what may be reached from other machines, TLS and its certificates, names and pages, paths of models, what the logs keep.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { drover, model, until, user } from './helper.mjs';
import { Service, env } from './service.mjs';

const folder = mkdtempSync(join(tmpdir(), 'drover-secure-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const question = { messages: user('What is a llama?'), max_tokens: 8, temperature: 0 };

function certificate(name) {
    const cert = join(folder, `${name}.pem`), key = join(folder, `${name}.key`);
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', key, '-out', cert], { stdio: 'ignore' });
    return { cert, key };
}

/** How `drover serve` ends when it does not start: {status, text}. */
function refused(settings, more = [], data = join(folder, 'refused')) {
    const sets = Object.entries({ data_dir: data, run_dir: join(folder, 'run'), 'listen.app': 'off', ...settings }).flatMap(([k, v]) => ['--set', `${k}=${v}`]);
    const r = spawnSync(drover, ['serve', '-m', model, ...sets, ...more], { env: { ...env, HOME: folder }, encoding: 'utf8', timeout: 20000 });
    return { status: r.status, text: r.stderr };
}

test('a listener that others can reach needs TLS, or --insecure', () => {
    const r = refused({ 'listen.openai': '0.0.0.0:0' });
    assert.equal(r.status, 1, r.text);
    assert.match(r.text, /TLS|tls/);
    const missing = refused({ 'listen.openai': '0.0.0.0:0', 'tls.cert': join(folder, 'no.pem'), 'tls.key': join(folder, 'no.key') });
    assert.equal(missing.status, 1, missing.text);
    assert.match(missing.text, /no\.pem|no\.key/);
});

test('then nobody gets in without a key, also from this machine', async () => {
    const { cert, key } = certificate('one');
    const s = await Service.start({ settings: { 'listen.openai': '0.0.0.0:0', 'tls.cert': cert, 'tls.key': key } });
    const url = new URL(s.url.replace('0.0.0.0', '127.0.0.1'));
    const get = (path, headers = {}) =>
        new Promise((resolve, reject) =>
            https
                .get({ host: '127.0.0.1', port: url.port, path, headers, rejectUnauthorized: false, agent: false }, (res) => {
                    const subject = res.socket.getPeerCertificate().subject.CN;
                    res.resume().on('end', () => resolve({ status: res.statusCode, headers: res.headers, subject }));
                })
                .on('error', reject),
        );
    assert.equal((await get('/v1/models')).status, 401);
    const ok = await get('/v1/models', { authorization: `Bearer ${s.adminKey}` });
    assert.equal(ok.status, 200);
    assert.match(ok.headers['strict-transport-security'], /max-age/);
    assert.equal(ok.subject, 'one');
    // A new certificate in the same files, and then a broken one.
    const two = certificate('two');
    copyFileSync(two.cert, cert), copyFileSync(two.key, key);
    s.child.kill('SIGHUP');
    await until(async () => (await get('/health')).subject === 'two');
    writeFileSync(cert, 'nonsense');
    s.child.kill('SIGHUP');
    await until(() => /old one goes on/.test(s.log));
    assert.equal((await get('/health')).subject, 'two');
    assert.equal(await s.end(), 0);
});

test('names and pages that are not ours', async () => {
    const s = await Service.start({ settings: { 'security.allowed_origins': 'https://app.example', 'security.allowed_hosts': 'drover.example' } });
    const port = new URL(s.url).port;
    const status = (headers) => Number(execFileSync('curl', ['-s', '-o', '/dev/null', '-w', '%{http_code}', ...headers.flatMap((h) => ['-H', h]), `http://127.0.0.1:${port}/v1/models`], { encoding: 'utf8' }));
    assert.equal(status([]), 200);
    assert.equal(status(['Host: evil.example']), 403);
    assert.equal(status([`Host: drover.example:${port}`]), 200);
    assert.equal(status(['Origin: https://evil.example']), 403);
    assert.equal(status(['Origin: null']), 403);
    assert.equal(status(['Origin: https://app.example']), 200);
    assert.equal(status(['Origin: https://app.example.evil']), 403);
    assert.equal(status([`Origin: http://127.0.0.1:${port}`]), 200);
    const r = await s.get('/v1/models', { headers: { origin: 'https://app.example' } });
    assert.equal(r.headers.get('access-control-allow-origin'), 'https://app.example');
    const preflight = await s.ask('OPTIONS', '/v1/chat/completions', undefined, { headers: { origin: 'https://app.example', 'access-control-request-method': 'POST' } });
    assert.equal(preflight.status, 204);
    assert.match(preflight.headers.get('access-control-allow-methods'), /POST/);
    assert.equal(await s.end(), 0);
});

test('models are found below their folder only', async () => {
    const models = join(folder, 'models'), outside = join(folder, 'outside');
    mkdirSync(models), mkdirSync(outside);
    copyFileSync(model, join(models, 'inside.gguf'));
    copyFileSync(model, join(outside, 'secret.gguf'));
    symlinkSync(join(outside, 'secret.gguf'), join(models, 'link.gguf'));
    symlinkSync(outside, join(models, 'folder'));
    execFileSync('mkfifo', [join(models, 'pipe.gguf')]);
    mkdirSync(join(models, 'folder.gguf'));
    const s = await Service.start({ files: [], settings: { models_dir: models } });
    await until(async () => (await s.get('/v1/models')).json.data.length > 0);
    assert.deepEqual((await s.get('/v1/models')).json.data.map((m) => m.id), ['inside']);
    const names = ['../outside/secret', '../outside/secret.gguf', join(outside, 'secret.gguf'), 'link', 'link.gguf', 'folder/secret', 'pipe', 'folder', '/dev/random', '%2e%2e/outside/secret', 'inside\u0000', 'inside/..', './inside', 'sha256:../../x'];
    const texts = new Set();
    for (const name of names) {
        const r = await s.post('/v1/chat/completions', { ...question, model: name });
        assert.ok([400, 404].includes(r.status), `${name}: ${r.status}`);
        if (r.status === 404) texts.add(r.json.error.message.replace(name, 'NAME'));
        const got = await s.get(`/v1/models/${encodeURIComponent(name)}`);
        assert.ok([400, 404].includes(got.status), `${name}: ${got.status}`);
    }
    assert.equal(texts.size, 1, 'what exists is not told by the words');
    assert.equal((await s.post('/v1/chat/completions', { ...question, model: 'inside.gguf' })).status, 200);
    // A file that comes later is found.
    copyFileSync(model, join(models, 'later.gguf'));
    await until(async () => (await s.get('/v1/models')).json.data.length === 2);
    assert.equal(await s.end(), 0);
});

test('prompts are in the audit log if that is asked for, and nowhere else', async () => {
    const s = await Service.start({ settings: { 'audit.prompts': true, 'log.level': 'debug' } });
    await s.post('/v1/chat/completions', { ...question, messages: user('words to keep') });
    await until(() => s.auditRows().some((r) => JSON.stringify(r).includes('words to keep')));
    assert.equal(s.log.includes('words to keep'), false);
    assert.equal(await s.end(), 0);
});

test('texts are cleaned before a model sees them, or refused', async () => {
    const dirty = { messages: user('a\u202eb\u0007c\u{e0041}d'), max_tokens: 4 };
    const repairs = await Service.start();
    assert.equal((await repairs.post('/v1/chat/completions', dirty)).status, 200);
    const { json } = await repairs.post('/apply-template', { messages: dirty.messages });
    assert.match(json.prompt, /a\ufffdb\ufffdc\ufffdd/);
    assert.equal((await repairs.post('/v1/chat/completions', { ...dirty, model: 'a\u202eb' })).status, 400, 'names are not repaired');
    assert.equal(await repairs.end(), 0);
    const refuses = await Service.start({ settings: { 'security.invalid_text': 'refuse', 'limits.text_size': '100B' } });
    const r = await refuses.post('/v1/chat/completions', dirty);
    assert.equal(r.status, 400);
    assert.match(r.json.error.message, /messages\[0\]\.content/);
    assert.equal((await refuses.post('/v1/chat/completions', { messages: user('x'.repeat(101)) })).status, 400);
    assert.equal(await refuses.end(), 0);
});
