// SPDX-License-Identifier: MIT
// What holds for the program and all of its commands: help, wrong command lines, files that are no models, output that cannot be written.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { fails, fifo, folder, json, model, ok, run, shell } from './helper.mjs';

const commands = ['run', 'engine', 'score', 'bench', 'config', 'profiles', 'tokenize', 'inspect', 'info', 'key', 'user', 'audit', 'backup', 'restore'];
const dir = folder();

test('drover --help lists every command, drover alone too but fails', () => {
    for (const args of [['--help'], ['-h'], ['help']])
        for (const c of commands) assert.match(ok(args), new RegExp(`^  ${c} `, 'm'));
    const r = run([]);
    assert.equal(r.code, 2);
    assert.equal(r.out, '');
    assert.match(r.err, /^Usage: drover COMMAND/);
});

test('drover --version', () => assert.match(ok(['--version']), /^drover \d+\.\d+\.\d+\n$/));

for (const c of commands) {
    test(`drover ${c} --help, drover help ${c}`, () => {
        const help = ok([c, '--help']);
        assert.ok(help.startsWith(`Usage: drover ${c}`), help);
        assert.match(help, /\n  -h, --help +Show this text\n/);
        assert.equal(ok(['help', c]), help);
        assert.equal(ok([c, '-h']), help);
        for (const line of help.split('\n')) assert.ok(line.length <= 120, line);
    });
    test(`drover ${c}: wrong options`, () => {
        fails([c, '--nonsense'], 2, /unknown option '--nonsense'/);
        fails([c, '-@'], 2, /unknown option '-@'/);
        fails([c, '--jsn\x1b[31m'], 2, /unknown option '--jsn\\x1b\[31m'/);
    });
}

test('an unknown command gets a suggestion', () => {
    for (const [word, hint] of [['rnu', 'run'], ['tokenise', 'tokenize'], ['infos', 'info']]) {
        const r = run([word]);
        assert.equal(r.code, 2);
        assert.match(r.err, new RegExp(`unknown command '${word}', did you mean '${hint}'\\?`));
    }
    assert.equal(run(['help', 'xyzzy']).code, 2);
    assert.doesNotMatch(run(['x\x1b[31mx']).err, /\x1b/);
});

test('numbers are parsed strictly and errors name the option and its range', () => {
    for (const [option, value, says] of [
        ['-n', '12x', /--predict must be a whole number from 0 to 4194304, not '12x'/],
        ['--predict', '-1', /--predict must be/],
        ['--predict', '', /--predict must be/],
        ['--predict', ' 1', /--predict must be/],
        ['--predict', '0x10', /--predict must be/],
        ['--predict', '99999999999999999999999', /--predict must be/],
        ['--temp', 'nan', /--temp must be a number from 0 to 100, not 'nan'/],
        ['--temp', 'inf', /--temp/],
        ['--temp', '-0.1', /--temp/],
        ['--temp', '1e999', /--temp/],
        ['--top-p', '0', /--top-p must be a number above 0 and up to 1, not '0'/],
        ['--top-p', '1.01', /--top-p/],
        ['--min-p', '2', /--min-p/],
        ['--threads', '257', /--threads must be a whole number from 0 to 256/],
        ['--kv-type', 'f64', /--kv-type must be one of auto\|f16\|q8_0\|f32, not 'f64'/],
        ['--cpu-mask', 'sse9', /--cpu-mask must be one of/],
        ['--logit-bias', '5', /--logit-bias must be ID=NUMBER/],
        ['--logit-bias', '5=nan', /--logit-bias/],
        ['--logit-bias', 'x=1', /--logit-bias/],
        ['--stop', '', /--stop must not be empty/],
    ]) fails(['run', '-p', 'x', option, value], 2, says);
    fails(['run', '--temp'], 2, /--temp needs a value/);
    fails(['run', 'hello'], 2, /unexpected argument 'hello'/);
    fails(['run', '--raw=yes'], 2, /--raw takes no value/);
    fails(['run', '--tempp', '1'], 2, /did you mean --temp\?/);
    fails(['run', ...Array(17).fill('--stop=x')], 2, /--stop may be given at most 16 times/);
    fails(['run', '--raw', '--system', 'x'], 2, /--raw sends no system message/);
    fails(['run', '-m', model, '-p', 'x', '--logit-bias', '4096=1'], 1, /token 4096, the vocabulary has 4096/);
    fails(['score', '-m', model], 2, /one of --tokens, --text and --file is needed/);
    fails(['score', '-m', model, '--text', 'a', '--tokens', '1'], 2, /one of/);
    fails(['bench', '-m', model, '-p', '0', '-n', '0'], 2, /nothing to measure/);
});

test('values may be attached, the last one wins, -- ends the options', () => {
    const args = ['run', `-m${model}`, '--prompt=What is a dog?', '--temp=5', '--temp', '0', '-n3'];
    assert.equal(ok(args), ok(['run', '-m', model, '-p', 'What is a dog?', '--temp', '0', '-n', '3']));
    assert.equal(ok(['tokenize', '--json', '-m', model, '--', '--json']), ok(['tokenize', '-m', model, '--json', '--', '--json']));
});

// Files that are no models: one clear error, no crash, no hang.
const files = {
    missing: [join(dir, 'missing.gguf'), /missing\.gguf/],
    folder: [dir, /regular file|directory/],
    device: ['/dev/zero', /regular file/],
    fifo: [join(dir, 'fifo'), /regular file/],
    empty: [join(dir, 'empty.gguf'), /empty\.gguf/],
    garbage: [join(dir, 'garbage.gguf'), /garbage\.gguf/],
    cut: [join(dir, 'cut.gguf'), /cut\.gguf/],
    text: [join(dir, 'hostile\x1b[2Jname'), /hostile\\x1b\[2Jname/],
};
fifo(files.fifo[0]);
writeFileSync(files.empty[0], '');
writeFileSync(files.garbage[0], Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 7919) & 255)));
writeFileSync(files.cut[0], readFileSync(model));
truncateSync(files.cut[0], 3000000);
writeFileSync(files.text[0], 'GGUF but not really');
mkdirSync(join(dir, 'models'));
for (const [name, [path, says]] of Object.entries(files)) {
    test(`no model: ${name}`, () => {
        fails(['run', '-m', path, '-p', 'x'], 1, says);
        fails(['score', '-m', path, '--text', 'x'], 1, says);
        fails(['bench', '-m', path], 1, says);
        fails(['tokenize', '-m', path, 'x'], 1, name === 'cut' ? /cut\.gguf/ : says);
        fails(['inspect', path], 1, says);
    });
}

test('output that cannot be written fails', () => {
    for (const c of ['info', 'tokenize -m "$model" hello', 'run -m "$model" -p "What is a dog?"', 'score -m "$model" --text "a b"',
        'inspect "$model"', 'bench -m "$model" -p 4 -n 0 -r 1', 'run --help', '--version']) {
        const full = shell(`"$drover" ${c} >/dev/full`);
        assert.equal(full.code, 1, `${c}: ${full.err}`);
        assert.match(full.err, /No space left|cannot write/);
        assert.equal(shell(`"$drover" ${c} >&-`).code, 1, c);
    }
    const r = shell('{ yes "What is a dog?" | head -n 2000 | "$drover" run -m "$model"; echo "code $?" >&2; } | head -n 1');
    assert.match(r.out, /^dog \(noun\)/);
    assert.match(r.err, /code 1/);
});

test('drover info', () => {
    const info = json(['info', '--json']);
    const levels = ['c', 'avx2', 'avx-vnni', 'avx512', 'avx512-vnni'];
    assert.ok(levels.includes(info.cpu_level));
    assert.ok(info.cores >= 1 && info.memory_bytes > 1e8 && info.memory_available_bytes <= info.memory_bytes);
    assert.match(ok(['info']), new RegExp(`kernels +${info.cpu_level} `));
    assert.equal(json(['info', '--json', '--cpu-mask', 'c']).cpu_level, 'c');
});
