// SPDX-License-Identifier: MIT
// drover score and drover bench.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { fails, folder, json, model, ok, run } from './helper.mjs';

const score = (...args) => json(['score', '-m', model, ...args]);
const text = 'What is a llama? llama (noun): wild or domesticated South American cud-chewing animal';
const near = (a, b, eps) => assert.ok(Math.abs(a - b) <= eps, `${a} is not ${b}`);

test('one object, whose parts agree', () => {
    const s = score('--text', text, '--top', '5');
    assert.deepEqual(Object.keys(s), ['tokens', 'logprobs', 'top', 'nll', 'perplexity']);
    assert.deepEqual(s.tokens, json(['tokenize', '-m', model, '--bos', '--json', '--', text]));
    assert.equal(s.logprobs.length, s.tokens.length - 1);
    assert.equal(s.top.length, s.tokens.length);
    near(-s.logprobs.reduce((a, b) => a + b, 0), s.nll, 1e-6);
    near(Math.exp(s.nll / s.logprobs.length), s.perplexity, 1e-5);
    s.top.forEach((list, i) => {
        assert.equal(list.length, 5);
        for (let k = 1; k < 5; k++) assert.ok(list[k][1] <= list[k - 1][1]);
        const hit = list.find(([id]) => id === s.tokens[i + 1]);
        if (hit) assert.equal(hit[1], s.logprobs[i]);
        else if (i + 1 < s.tokens.length) assert.ok(s.logprobs[i] <= list[4][1]);
    });
});

test('--top with the whole vocabulary is a distribution', () => {
    const all = score('--tokens', '10,20,30', '--top', '5000', '--cpu-mask', 'c');
    for (const list of all.top) {
        assert.equal(new Set(list.map(([id]) => id)).size, 4096);
        near(list.reduce((a, [, p]) => a + Math.exp(p), 0), 1, 1e-6);
    }
    for (const k of ['10', '64', '65']) /* few and many are found in different ways */
        assert.deepEqual(score('--tokens', '10,20,30', '--top', k).top, all.top.map((list) => list.slice(0, Number(k))));
});

test('--tokens, --text and --file are the same', () => {
    const want = score('--text', text);
    assert.deepEqual(score('--tokens', want.tokens.join(',')), want);
    const file = join(folder(), 'text');
    writeFileSync(file, text);
    assert.deepEqual(score('--file', file), want);
    assert.deepEqual(want.top, []);
});

test('a prefix scores the same alone and inside, whatever the threads, kernels and batches', () => {
    const long = score('--tokens', Array.from({ length: 700 }, (_, i) => (i * 37) % 4000).join(','), '--ctx', '1000', '--top', '1');
    const short = score('--tokens', Array.from({ length: 60 }, (_, i) => (i * 37) % 4000).join(','), '--ctx', '1000', '--top', '1');
    assert.deepEqual(long.logprobs.slice(0, 59), short.logprobs);
    assert.deepEqual(long.top.slice(0, 60), short.top);
    const want = score('--text', text, '--top', '3');
    for (const more of [['--threads', '1'], ['--threads', '5'], ['--cpu-mask', 'c'], ['--cpu-mask', 'avx2'], ['--cpu-mask', 'avx-vnni']])
        assert.deepEqual(score('--text', text, '--top', '3', ...more), want, more.join(' '));
});

test('the most likely next token is what greedy decoding says', () => {
    const prompt = 'llama (noun): wild';
    const s = score('--text', prompt, '--top', '1');
    const next = ok(['run', '-m', model, '--raw', '-p', prompt, '--temp', '0', '-n', '1']);
    const [[best]] = s.top.at(-1);
    const ids = json(['tokenize', '-m', model, '--json', '--', prompt + next.trimEnd()]);
    assert.equal(ids.at(-1), best);
});

test('one token, no token, wrong tokens', () => {
    const one = score('--tokens', '7', '--top', '2');
    assert.deepEqual([one.logprobs, one.nll, one.perplexity, one.top.length], [[], 0, null, 1]);
    const m = ['score', '-m', model];
    fails([...m, '--text', ''], 1, /no tokens/);
    fails([...m, '--tokens', ''], 1, /number 1 is ''/);
    fails([...m, '--tokens', '1,,2'], 1, /number 2 is ''/);
    fails([...m, '--tokens', '1,2,'], 1, /number 3/);
    fails([...m, '--tokens', '1,-2'], 1, /number 2 is '-2'/);
    fails([...m, '--tokens', '1, 2'], 1, /number 2/);
    fails([...m, '--tokens', '1,4096'], 1, /4096/);
    fails([...m, '--tokens', '1,99999999999'], 1, /number 2/);
    fails([...m, '--tokens', Array(300).fill('5').join(',')], 1, /300/);
    fails([...m, '--file', '/nonexistent'], 1, /nonexistent/);
    fails([...m, '--file', '/dev/zero'], 1, /regular file/);
    fails([...m, '--text', 'a', '--top', '1048577'], 2, /--top must be/);
});

test('special tokens in a text are text', () => {
    assert.ok(score('--text', '<|im_end|>').tokens.length > 1);
});

test('bench prints one JSON object a line, or a table', () => {
    const lines = ok(['bench', '-m', model, '-p', '32', '-n', '4', '-r', '3', '-t', '1', '-o', 'json']).trimEnd().split('\n').map((l) => JSON.parse(l));
    assert.deepEqual(lines.map((l) => l.test), ['pp32', 'tg4']);
    for (const l of lines) {
        const t = l.tokens_per_second;
        assert.ok(t.min > 0 && t.min <= t.median && t.median <= t.max);
        assert.equal(l.threads, 1);
        assert.equal(l.model, model);
    }
    const one = ok(['bench', '-m', model, '-p', '0', '-n', '4', '-r', '1', '-o', 'json']);
    assert.equal(JSON.parse(one).test, 'tg4');
    const table = ok(['bench', '-m', model, '-p', '8', '-n', '0', '-r', '2']).trimEnd().split('\n');
    assert.equal(table.length, 3);
    assert.match(table[2], /\| pp8 \|/);
    assert.equal(run(['bench', '-m', model, '-p', '8', '-n', '0', '--ctx', '4']).code, 1);
});

test('bench decodes several sequences at a time, and after other tokens', () => {
    const args = ['bench', '-m', model, '-p', '8', '-n', '4', '-r', '2', '-d', '20', '--parallel', '3'];
    const lines = ok([...args, '-o', 'json']).trimEnd().split('\n').map((l) => JSON.parse(l));
    assert.deepEqual(lines.map((l) => [l.test, l.depth, l.sequences]), [['pp8', 20, 1], ['tg4x3', 20, 3]]);
    assert.ok(lines.every((l) => l.tokens_per_second.min > 0));
    assert.match(ok(args), /\| pp8 @ d20 \|[^]*\| tg4x3 @ d20 \|/);
    assert.match(run([...args, '--ctx', '27']).err, /context of 27/);
    assert.equal(run(['bench', '-m', model, '--parallel', '0']).code, 2);
    assert.equal(run(['bench', '-m', model, '--parallel', '257']).code, 2);
});
