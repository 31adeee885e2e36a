// SPDX-License-Identifier: MIT
// drover tokenize.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { drover, fails, folder, json, model, ok, run } from './helper.mjs';
import { spawnSync } from 'node:child_process';

const tokenize = (...args) => json(['tokenize', '-m', model, '--json', ...args]);

test('one line for each token: its id and its text', () => {
    const lines = ok(['tokenize', '-m', model, 'What is\ta llama?\n']).trimEnd().split('\n').map((l) => l.split('\t'));
    assert.deepEqual(lines.map(([id]) => Number(id)), tokenize('What is\ta llama?\n'));
    assert.equal(lines.map(([, text]) => text).join(''), 'What is\\ta llama?\\n');
});

test('no special tokens unless asked for', () => {
    const text = '<|im_start|>user';
    const [start, ...rest] = tokenize('--special', text);
    assert.deepEqual(rest, tokenize('user'));
    assert.ok(!tokenize(text).includes(start));
    assert.ok(tokenize(text).length > 5);
    assert.deepEqual(tokenize(''), []);
});

test('standard input is read byte for byte', () => {
    const bytes = Buffer.from([0x61, 0, 0xff, 0xe4, 0xb8, 0x0d, 0x0a, 0x1b, 0x5b, 0x0a]);
    const r = spawnSync(drover, ['tokenize', '-m', model, '-'], { input: bytes });
    assert.equal(r.status, 0, r.stderr.toString());
    // No control character reaches the terminal, and nothing is lost.
    const text = r.stdout.toString().trimEnd().split('\n').map((l) => l.split('\t')[1]).join('');
    assert.match(text, /^[ -~]*$/);
    const back = text.replaceAll('\\n', '\\x0a').replace(/\\x([0-9a-f]{2})/g, (_, h) => String.fromCharCode(parseInt(h, 16)));
    assert.deepEqual(Buffer.from(back, 'latin1'), bytes);
    assert.deepEqual(JSON.parse(ok(['tokenize', '-m', model, '--json', '-'], 'a b')), tokenize('a b'));
    assert.equal(ok(['tokenize', '-m', model, '--json', '-'], ''), '[]\n');
});

test('a file with a vocabulary and no tensors works; one without a tokenizer is refused', () => {
    const dir = folder();
    const str = (s) => { const b = Buffer.alloc(8); b.writeBigUInt64LE(BigInt(Buffer.byteLength(s))); return Buffer.concat([b, Buffer.from(s)]); };
    const u32 = (n) => { const b = Buffer.alloc(4); b.writeUInt32LE(n); return b; };
    const u64 = (n) => { const b = Buffer.alloc(8); b.writeBigUInt64LE(BigInt(n)); return b; };
    const strings = (key, list) => Buffer.concat([str(key), u32(9), u32(8), u64(list.length), ...list.map(str)]);
    const gguf = (...kvs) => Buffer.concat([Buffer.from('GGUF'), u32(3), u64(0), u64(kvs.length), ...kvs]);
    const path = join(dir, 'vocab.gguf');
    const kind = Buffer.concat([str('tokenizer.ggml.model'), u32(8), str('gpt2')]);
    writeFileSync(path, gguf(kind, strings('tokenizer.ggml.tokens', ['a', 'b', 'ab']), strings('tokenizer.ggml.merges', ['a b'])));
    const r = run(['tokenize', '-m', path, '--json', 'aba']);
    assert.deepEqual([r.code, r.out], [0, '[2,0]\n']);
    assert.match(r.err, /tokenizer\.ggml\.pre is missing/);
    writeFileSync(path, gguf());
    fails(['tokenize', '-m', path, 'x'], 1, /vocab\.gguf: .*tokenizer\.ggml\.model/);
    writeFileSync(path, gguf(kind));
    fails(['tokenize', '-m', path, 'x'], 1, /tokenizer\.ggml\.tokens is missing/);
});

test('wrong command lines', () => {
    fails(['tokenize', 'x'], 2, /-m FILE/);
    fails(['tokenize', '-m', model], 2, /TEXT|argument/i);
    fails(['tokenize', '-m', model, 'a', 'b'], 2, /b|argument/i);
});
