// SPDX-License-Identifier: MIT
// drover run: answers, sampling, questions from a pipe.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import test from 'node:test';
import { drover, fails, json, model, ok, root, run, shell } from './helper.mjs';

const m = ['-m', model];
const ask = (prompt, ...more) => ok(['run', ...m, '-p', prompt, '--temp', '0', ...more]);
const id = (text) => JSON.parse(ok(['tokenize', ...m, '--special', '--json', '--', text]));
const llama = ask('What is a llama?');

test('the pocket dictionary answers; timings go to standard error', () => {
    assert.match(llama, /^llama \(noun\): .*camel.*\n$/);
    assert.match(ask('What does courage mean?'), /^courage \(noun\): .*danger/);
    assert.match(ask('Who are you?'), /^I am a pocket dictionary/);
    const r = run(['run', ...m, '-p', 'What is a llama?', '--temp', '0']);
    assert.match(r.err, /^load \d+ ms; prompt 13 tokens, [\d.]+ t\/s; answer \d+ tokens, [\d.]+ t\/s\n$/);
    assert.equal(run(['run', ...m, '-p', 'What is a llama?', '--temp', '0'], 'ignored input\n').out, llama);
});

test('without -m the model that ships with drover is found', () => {
    if (!drover.startsWith(root)) return; /* a build folder elsewhere */
    assert.equal(ok(['run', '-p', 'What is a llama?', '--temp', '0'], '', { cwd: '/' }), llama);
});

test('same seed, same text, for any thread count and kernel level', () => {
    const hot = ['run', ...m, '-p', 'What is a shepherd?', '--temp', '3', '--top-k', '0', '--top-p', '1', '--min-p', '0', '-n', '30', '--seed'];
    const first = ok([...hot, '7']);
    for (const more of [['--threads', '1'], ['--threads', '3'], ['--cpu-mask', 'c'], ['--cpu-mask', 'avx2'], ['--cpu-mask', 'avx-vnni'], ['--cpu-mask', 'avx512']])
        assert.equal(ok([...hot, '7', ...more]), first, more.join(' '));
    const others = new Set(['1', '2', '3', '4'].map((seed) => ok([...hot, seed])));
    assert.ok(others.size > 1, 'different seeds give different texts');
});

test('sampling options', () => {
    assert.equal(ask('What is a llama?', '--top-k', '1', '--temp', '2'), llama);
    assert.equal(ask('What is a llama?', '--temp', '1', '--top-p', '0.000001'), llama);
    assert.equal(ask('What is a llama?', '--temp', '1', '--min-p', '1'), llama);
    assert.equal(ask('What is a llama?', '--temp', '1', '--typical-p', '1', '--top-k', '1'), llama);
    const [of, ...rest] = id(' of');
    assert.equal(rest.length, 0);
    const biased = (x, ...more) => ask('What is a llama?', '--logit-bias', `${of}=${x}`, '-n', '3', ...more);
    assert.equal(biased(1000), 'of of of\n'); /* blanks in front of an answer are left out */
    assert.doesNotMatch(ask('What is a llama?', '--logit-bias', `${id(' wild')[0]}=-inf`), / wild/);
    assert.equal(biased(1000, '--presence-penalty', '2', '--frequency-penalty', '2'), 'of of of\n');
    assert.doesNotMatch(biased(60, '--repeat-penalty', '100'), /^of of/);
    assert.match(biased(60, '--repeat-penalty', '100', '--repeat-last-n', '0'), /^of of/);
});

test('-n ends an answer', () => {
    for (const n of [1, 2, 5]) {
        const r = run(['run', ...m, '-p', 'What is a llama?', '--temp', '0', '-n', String(n)]);
        assert.match(r.err, new RegExp(`answer ${n} tokens`));
        assert.ok(llama.startsWith(r.out.trimEnd()));
    }
});

test('stop strings end the answer and are not part of it, wherever they begin', () => {
    const text = llama.trimEnd();
    for (const [from, to] of [[0, 3], [2, 9], [7, 8], [10, 40], [text.length - 5, text.length], [text.length - 1, text.length]]) {
        const stop = text.slice(from, to);
        assert.equal(ask('What is a llama?', '--stop', stop), text.slice(0, text.indexOf(stop)) + '\n', stop);
    }
    assert.equal(ask('What is a llama?', '--stop', 'zebra', '--stop', 'camels or'), llama);
    assert.equal(ask('What is a llama?', '--stop', 'camels', '--stop', 'mel'), text.slice(0, text.indexOf('mel')) + '\n');
    fails(['run', ...m, '-p', 'x', '--stop', 'y'.repeat(257)], 1, /stop string 1 is longer than 256 bytes/);
});

test('--system and --raw', () => {
    const chat = '<|im_start|>user\nWhat is a llama?<|im_end|>\n<|im_start|>assistant\n';
    assert.equal(ask(chat, '--raw'), llama);
    const system = '<|im_start|>system\nBe brief.<|im_end|>\n' + chat;
    assert.equal(ask('What is a llama?', '--system', 'Be brief.'), ask(system, '--raw'));
    const tokens = (...args) => Number(run(['run', ...m, '-n', '1', ...args]).err.match(/prompt (\d+) tokens/)[1]);
    assert.equal(tokens('--raw', '-p', 'a llama'), id('a llama').length);
    assert.ok(tokens('-p', chat) > tokens('--raw', '-p', chat) + 8, 'markup in a question stays text');
});

test('an answer that fills the context says so; a question that does not fit is an error', () => {
    const [end] = id('<|im_end|>');
    const r = run(['run', ...m, '-p', 'What is a llama?', '--temp', '0', '--logit-bias', `${end}=-inf`, '--ctx', '64']);
    assert.equal(r.code, 0);
    assert.match(r.err, /\(the answer ends here: the context of 64 tokens is full\)/);
    fails(['run', ...m, '-p', 'llama '.repeat(300)], 1, /are \d+ tokens, the context holds 256/);
    assert.match(run(['run', ...m, '-p', 'x', '-n', '1', '--ctx', '300']).err, /trained for a context of 256 tokens, not 300/);
    fails(['run', ...m, '--raw', '-p', ''], 1, /empty/);
});

test('questions from a pipe: one a line, one answer each, nothing else', () => {
    const dog = ask('What is a dog?');
    const greedy = ['run', ...m, '--temp', '0'];
    assert.deepEqual(run(greedy, 'What is a llama?\nWhat is a dog?\n'), { code: 0, out: llama + dog, err: '' });
    assert.equal(ok(greedy, '\n\r\n  \nWhat is a llama?\r\n\n\nWhat is a dog?'), llama + dog);
    assert.equal(ok(greedy, ''), '');
    assert.equal(ok(greedy, '\n\n'), '');
    const warm = ['run', ...m, '--temp', '1.5', '--seed', '3', '-n', '20'];
    const alone = ok(warm, 'What is a dog?');
    assert.equal(ok(warm, 'What is a llama?\nWho are you?\nWhat is a dog?\n').split('\n')[2] + '\n', alone);
    const bytes = run(greedy, Buffer.from([0xff, 0x00, 0x1b, 0x0a]));
    assert.equal(bytes.code, 0);
});

test('a question that does not fit fails, the others are answered', () => {
    const r = run(['run', ...m, '--temp', '0'], `What is a llama?\n${'llama '.repeat(300)}\nWhat is a llama?\n`);
    assert.equal(r.code, 1);
    assert.equal(r.out, `${llama}\n${llama}`);
    assert.match(r.err, /^drover run: the question .* the context holds 256/);
});

test('answers come as soon as their line does', async () => {
    const child = spawn(drover, ['run', ...m, '--temp', '0'], { stdio: 'pipe' });
    const next = () => new Promise((resolve) => {
        let text = '';
        const on = (d) => {
            text += d;
            if (text.endsWith('\n')) {
                child.stdout.off('data', on);
                resolve(text);
            }
        };
        child.stdout.on('data', on);
    });
    for (let i = 0; i < 2; i++) {
        const answer = next();
        child.stdin.write('What is a llama?\n');
        assert.equal(await answer, llama);
    }
    child.stdin.end();
    assert.equal(await new Promise((resolve) => child.on('close', resolve)), 0);
});

test('control characters of a model reach a pipe as they are and a terminal escaped', () => {
    const [esc] = id('\x1b');
    const args = `run -m "$model" --raw -p llama -n 2 --temp 0 --logit-bias ${esc}=1000`;
    assert.equal(shell(`"$drover" ${args} 2>/dev/null`).out, '\x1b\x1b\n');
    const tty = shell(`script -qfec '"$drover" ${args} 2>/dev/null' /dev/null </dev/null`).out;
    assert.match(tty, /\\x1b\\x1b/);
    assert.doesNotMatch(tty, /\x1b\x1b/);
});

test('an interrupt ends a run with -p', async () => {
    const [end] = id('<|im_end|>');
    const child = spawn(drover, ['run', ...m, '-p', 'What is a llama?', '--logit-bias', `${end}=-inf`, '--ctx', '100000'], { stdio: 'pipe' });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    child.kill('SIGINT');
    const signal = await new Promise((resolve) => child.on('close', (code, s) => resolve(s)));
    assert.equal(signal, 'SIGINT');
});

test('every format of the KV cache answers alike', () => {
    for (const type of ['auto', 'f16', 'q8_0', 'f32']) assert.equal(ask('What is a llama?', '--kv-type', type), llama, type);
    assert.ok(json(['info', '--json']).version);
});
