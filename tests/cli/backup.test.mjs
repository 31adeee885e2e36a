// SPDX-License-Identifier: MIT
// drover backup, drover restore.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import test from 'node:test';
import { data } from './data.mjs';
import { folder } from './helper.mjs';

const names = (d) => d.json(['key', 'list', '--json']).map((k) => k.name);

test('a backup comes back, here and elsewhere', () => {
    const d = data(), other = data(), file = `${folder()}/backup`;
    d.ok(['key', 'create', 'one']);
    d.ok(['user', 'add', 'ada'], 'correct horse battery\n');
    assert.match(d.ok(['backup', file]), /backup: [\d.]+ KiB, 1 keys, 1 users, audit log up to row 2; checked\n$/);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    d.ok(['key', 'create', 'two']);
    const out = d.ok(['restore', file]);
    const old = out.match(/The database that was there is (.*)\n/)[1];
    assert.ok(existsSync(old));
    assert.deepEqual(names(d), ['one']);
    d.ok(['audit', 'verify']);
    d.ok(['restore', old]);
    assert.deepEqual(names(d), ['one', 'two']);
    assert.doesNotMatch(other.ok(['restore', file]), /that was there/);
    assert.deepEqual(names(other), ['one']);
    assert.match(other.ok(['audit', 'show']), /store\.restore/);
    other.ok(['audit', 'verify']);
});

test('what cannot be done changes nothing', () => {
    const d = data(), file = `${folder()}/backup`;
    d.fails(['backup', file], 1, /No such file|there is no drover data/);
    assert.ok(!existsSync(d.dir));
    d.ok(['key', 'create', 'one']);
    d.ok(['backup', file]);
    const bytes = readFileSync(file);
    d.fails(['backup', file], 1, /there is such a file already/);
    assert.deepEqual(readFileSync(file), bytes);
    d.fails(['backup', '/no/such/folder/x'], 1, /No such file/);
    d.fails(['backup'], 2, /drover backup/);
    const bad = `${folder()}/bad`;
    writeFileSync(bad, 'this is no backup'.repeat(100));
    d.fails(['restore', bad], 1, /bad/);
    writeFileSync(bad, bytes.subarray(0, 20000));
    d.fails(['restore', bad], 1, /damaged/);
    d.fails(['restore', '/no/such/file'], 1, /No such file/);
    assert.deepEqual(names(d), ['one']);
    d.ok(['audit', 'verify']);
    assert.deepEqual(readdirSync(d.dir).filter((n) => /part|restore|old/.test(n)), []);
});
