// SPDX-License-Identifier: MIT
// drover key.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import test from 'node:test';
import { data } from './data.mjs';
import { folder } from './helper.mjs';

test('a key is printed once and kept nowhere', () => {
    const d = data();
    const r = d.run(['key', 'create', 'ci']);
    assert.equal(r.code, 0, r.err);
    assert.match(r.out, /^dv_[A-Za-z0-9_-]{43}\n$/);
    assert.match(r.err, /^drover key create: key 1 in .*\/data; it is not shown again\n$/);
    assert.ok(!d.ok(['key', 'list', '--json']).includes(r.out.trim()));
    const secret = r.out.trim().slice(9);
    assert.throws(() => execFileSync('grep', ['-rqa', secret, d.dir]), { status: 1 });
});

test('the folder and its files are for their owner only', () => {
    const d = data();
    d.ok(['key', 'create', 'ci']);
    assert.equal(statSync(d.dir).mode & 0o777, 0o700);
    for (const name of readdirSync(d.dir)) assert.equal(statSync(`${d.dir}/${name}`).mode & 0o777, 0o600, name);
    chmodSync(`${d.dir}/drover.db`, 0o644);
    d.fails(['key', 'list'], 1, /others may read or write it/);
});

test('scopes', () => {
    const d = data();
    d.ok(['key', 'create', 'bot', '--route', 'chat', '--route', '/v1/embeddings', '--model', 'llama*', '--requests', '60', '--tokens', '9000',
        '--concurrency', '2', '--context', '4096', '--expires', '2999-01-31']);
    d.ok(['key', 'create', 'boss', '--admin']);
    const [bot, boss] = d.json(['key', 'list', '--json']);
    assert.deepEqual(
        { ...bot, created_ms: 0, prefix: '' },
        { id: 1, name: 'bot', prefix: '', state: 'live', owner: 0, admin: false, routes: ['chat', '/v1/embeddings'], models: ['llama*'],
            requests_per_min: 60, tokens_per_min: 9000, concurrency: 2, max_context: 4096, created_ms: 0, used_ms: 0,
            expires_ms: Date.UTC(2999, 0, 31), revoked_ms: 0 });
    assert.deepEqual([boss.admin, boss.routes, boss.models, boss.expires_ms], [true, ['*'], ['*'], 0]);
    const text = d.ok(['key', 'list']);
    assert.match(text, /\n +1  dv_.{6}  live     never +bot, routes chat \/v1\/embeddings, models llama\*, 60 requests\/min, 9000 tokens\/min, 2 at a time, 4096 tokens of context, until 2999-01-31 00:00:00 UTC\n/);
    assert.match(text, /\n +2  dv_.{6}  live     never +boss, admin\n/);
});

test('a key ends', async () => {
    const d = data();
    const before = Date.now();
    d.ok(['key', 'create', 'month', '--expires', '30d']);
    const [k] = d.json(['key', 'list', '--json']);
    assert.ok(k.expires_ms >= before + 30 * 864e5 && k.expires_ms <= Date.now() + 30 * 864e5);
    d.ok(['key', 'create', 'soon', '--expires', '1s']);
    await new Promise((r) => setTimeout(r, 1100));
    assert.equal(d.json(['key', 'list', '--json'])[1].state, 'expired');
});

test('keys are revoked by name or number', () => {
    const d = data();
    for (const name of ['one', 'two', 'three', '2']) d.ok(['key', 'create', name]);
    assert.equal(d.ok(['key', 'revoke', 'one', '3']), 'key 1 is revoked\nkey 3 is revoked\n');
    d.fails(['key', 'revoke', '2'], 1, /'2' is the name of key 4 and the number of another/);
    d.fails(['key', 'revoke', 'one'], 1, /there is no live key 'one'/);
    d.fails(['key', 'revoke', "x' OR '1'='1"], 1, /there is no live key/);
    assert.deepEqual(d.json(['key', 'list', '--json']).map((k) => k.name), ['two', '2']);
    assert.deepEqual(d.json(['key', 'list', '--json', '--all']).map((k) => k.state), ['revoked', 'live', 'revoked', 'live']);
    d.ok(['key', 'create', 'one']); /* the name is free again */
});

test('what makes no sense is refused', () => {
    const d = data();
    d.fails(['key', 'list'], 1, /No such file|there is no drover data/);
    d.ok(['key', 'create', 'one']);
    d.fails(['key', 'create', 'one'], 1, /'one'/);
    d.fails(['key', 'create', ''], 1, /name/);
    d.fails(['key', 'create', 'a\nb'], 1, /name/);
    d.fails(['key', 'create', 'x'.repeat(65)], 1, /name/);
    d.fails(['key', 'create', 'b', '--route', ''], 1, /route/);
    d.fails(['key', 'create', 'b', '--model', 'a\x1b[31m'], 1, /model/);
    d.fails(['key', 'create', 'b', '--requests', '-1'], 2, /--requests/);
    d.fails(['key', 'create', 'b', '--requests', '4294967296'], 2, /--requests/);
    d.fails(['key', 'create', 'b', '--user', 'nobody'], 1, /--user nobody: there is no such user/);
    for (const t of ['', 'soon', '10', '5y', '2027-02-31', '2027-13-01', '2027-01-01x', '99999999999999999999d', '999999999999999w', '-1d', '1e3d'])
        d.fails(['key', 'create', 'b', '--expires', t], 2, /--expires must be a time/);
    d.fails(['key', 'create', 'b', '--expires', '2001-01-01'], 1, /expire/);
    d.fails(['key', 'create'], 2, /drover key create/);
    d.fails(['key'], 2, /a command is missing/);
    d.fails(['key', 'craete'], 2, /unknown command 'craete', did you mean 'create'/);
    d.fails(['key', 'x\x1b[31m'], 2, /unknown command 'x\\x1b\[31m'/);
    assert.equal(d.json(['key', 'list', '--json']).length, 1);
});

test('the folder is named by --data-dir, DROVER_DATA_DIR, drover.yaml, XDG_DATA_HOME', () => {
    const d = data(), other = `${folder()}/other`;
    d.ok(['key', 'create', 'one']);
    d.ok(['key', 'create', 'two', '--data-dir', other]);
    assert.deepEqual(d.json(['key', 'list', '--json', '--data-dir', other]).map((k) => k.name), ['two']);
    assert.deepEqual(d.json(['key', 'list', '--json']).map((k) => k.name), ['one']);
    const file = `${folder()}/drover.yaml`;
    writeFileSync(file, `data_dir: ${other}\n`);
    assert.deepEqual(d.json(['key', 'list', '--json', '--config', file]).map((k) => k.name), ['one']); /* the variable counts more */
    delete d.env.DROVER_DATA_DIR;
    assert.deepEqual(d.json(['key', 'list', '--json', '--config', file]).map((k) => k.name), ['two']);
    writeFileSync(file, 'data_dri: x\n');
    d.fails(['key', 'list', '--config', file], 1, /drover\.yaml:1:1: .*data_dri/);
    d.ok(['key', 'list', '--config', file, '--data-dir', other]); /* nothing of it is needed */
    if (process.getuid() !== 0) {
        d.env.XDG_DATA_HOME = folder();
        d.ok(['key', 'create', 'xdg']);
        assert.ok(statSync(`${d.env.XDG_DATA_HOME}/drover/drover.db`).isFile());
    }
    mkdirSync(`${other}/open`);
    chmodSync(`${other}/open`, 0o777);
    d.fails(['key', 'list', '--data-dir', `${other}/open`], 1, /others may write to this folder/);
});
