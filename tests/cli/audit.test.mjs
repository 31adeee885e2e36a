// SPDX-License-Identifier: MIT
// drover audit.
import assert from 'node:assert/strict';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import test from 'node:test';
import { data } from './data.mjs';

function log(n) {
    const d = data();
    for (let i = 1; i <= n; i++) d.ok(['key', 'create', `key ${i}`]);
    return d;
}

test('what commands do is in the log', () => {
    const d = log(3);
    d.ok(['key', 'revoke', '2']);
    const lines = d.ok(['audit', 'show']).trimEnd().split('\n');
    assert.equal(lines.length, 4);
    assert.match(lines[0], /^ +1  20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC  command \S+  key\.create  ok  key 1 'key 1' dv_.{6}\.\.\.$/);
    assert.match(lines[3], / key\.revoke  ok  key 2$/);
    assert.equal(d.ok(['audit', 'show', '-n', '1']), `${lines[3]}\n`);
    assert.equal(d.ok(['audit', 'show', '--action', 'key.revoke']), `${lines[3]}\n`);
    assert.equal(d.ok(['audit', 'show', '--id', "x' OR '1'='1"]), '');
    assert.equal(d.ok(['audit', 'show', '--since', '1h']).split('\n').length, 5);
    assert.equal(d.ok(['audit', 'show', '--until', '1h']), '');
    assert.equal(d.ok(['audit', 'show', '--until', '2001-01-01T10:00']), '');
    d.fails(['audit', 'show', '--since', 'x'], 2, /--since must be a time/);
    d.fails(['audit', 'show', '-n', '0'], 2, /--limit/);
});

test('an export is the lines of the file', () => {
    const d = log(5);
    const text = d.ok(['audit', 'export']);
    assert.equal(text, readFileSync(`${d.dir}/audit.jsonl`, 'utf8'));
    assert.equal(d.ok(['audit', 'show', '--json']), text);
    const rows = text.trimEnd().split('\n').map((l) => JSON.parse(l));
    rows.forEach((r, i) => assert.deepEqual([r.seq, r.prev], [i + 1, i === 0 ? '0'.repeat(64) : rows[i - 1].hash]));
});

test('a whole log, and its head', () => {
    const d = log(3);
    const r = d.json(['audit', 'verify', '--json']);
    assert.deepEqual([r.rows, r.lines, r.problems, r.found], [3, 3, 0, []]);
    assert.match(r.head, /^3:[0-9a-f]{64}$/);
    assert.match(d.ok(['audit', 'verify']), new RegExp(`rows   3\nlines  3\nhead   ${r.head}\nThe log is whole.\n`));
    d.ok(['key', 'create', 'later']);
    d.ok(['audit', 'verify', '--head', r.head]);
    d.fails(['audit', 'verify', '--head', r.head.replace(/.$/, (c) => (c === '0' ? '1' : '0'))], 1, /1 problem$/m);
    d.fails(['audit', 'verify', '--head', `99:${'0'.repeat(64)}`], 1, /1 problem$/m);
    for (const bad of ['', '3', '3:', '0:' + '0'.repeat(64), 'x:' + '0'.repeat(64), '3:' + 'g'.repeat(64)])
        d.fails(['audit', 'verify', '--head', bad], 2, /--head must be/);
});

test('a flipped byte is found where it is', () => {
    const d = log(6);
    const path = `${d.dir}/drover.db`, good = readFileSync(path);
    d.ok(['audit', 'verify']);
    // In the database: the name of a key in the detail of row 4.
    const at = good.indexOf("key 4 'key 4'");
    assert.ok(at > 0, 'the row is in the file');
    const bad = Buffer.from(good);
    bad[at + 7] ^= 1;
    writeFileSync(path, bad);
    const r = d.fails(['audit', 'verify'], 1, /^drover audit verify: 1 problem$/m);
    assert.equal(r.out.split('\n')[0], 'row 4: the row was changed');
    assert.equal(JSON.parse(d.run(['audit', 'verify', '--json']).out).found[0].row, 4);
    writeFileSync(path, good);
    d.ok(['audit', 'verify']);
    // In the lines.
    const lines = readFileSync(`${d.dir}/audit.jsonl`, 'latin1');
    writeFileSync(`${d.dir}/audit.jsonl`, lines.replace("'key 3'", "'key 7'"));
    assert.match(d.fails(['audit', 'verify'], 1, /1 problem/).out, /^audit\.jsonl line 3: the line was changed\n/);
    // Half a line, as a crash leaves it, is none, and goes with the next row.
    writeFileSync(`${d.dir}/audit.jsonl`, lines);
    appendFileSync(`${d.dir}/audit.jsonl`, '{"seq":7,"prev');
    d.ok(['audit', 'verify']);
    d.ok(['key', 'create', 'seventh']);
    assert.equal(d.json(['audit', 'verify', '--json']).lines, 7);
    assert.ok(readFileSync(`${d.dir}/audit.jsonl`, 'latin1').startsWith(lines));
});
