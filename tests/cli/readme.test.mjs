// SPDX-License-Identifier: MIT
// README.md tells the truth: every command of its sh blocks runs here, in a folder that looks like the source tree after `make build`, with the
// program under test as build/drover. A command that starts with make would install packages and build; `instead` says what stands for it.
// A command that is neither fails its test, so none is left out in silence.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { drover, folder } from './helper.mjs';

const root = new URL('../..', import.meta.url).pathname;
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const blocks = (kind) => [...readme.matchAll(/^```(\w*)\n(.*?)^```$/gms)].filter((m) => m[1] === kind).map((m) => m[2]);

const place = folder();
mkdirSync(join(place, 'build'));
symlinkSync(drover, join(place, 'build', 'drover'));
symlinkSync(join(root, 'models'), join(place, 'models'));

// A make that runs this test must not have a say in the ones here.
const env = {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(MAKE|MFLAGS|BUILD$|PREFIX$|DESTDIR$|DROVER_|LLAMA_|XDG_)/.test(name))),
    DROVER_DATA_DIR: join(place, 'data'),
    DROVER_RUN_DIR: join(place, 'run'),
};

function sh(command, cwd = place) {
    const r = spawnSync('sh', ['-c', command], { cwd, env, input: '', timeout: 200000, encoding: 'utf8' });
    assert.equal(r.status, 0, `${command}: exit status ${r.status}\n${r.stdout}${r.stderr}`);
    return r.stdout;
}

/** What a make target does, without doing it. */
const recipe = (target) => sh(`make -n ${target}`, root);

/** The last command of a target: for `make run` it is what serves, once everything is built. */
function last(target) {
    const line = recipe(target).trim().split('\n').at(-1);
    assert.match(line, /build\/drover/);
    return line;
}

const servers = [];
after(() => servers.forEach((server) => server.kill()));

/** A server, until the tests are over. */
function serve(command, port) {
    servers.push(spawn('sh', ['-c', command.replace(/^(exec )?/, 'exec ')], { cwd: place, env, stdio: 'ignore' }));
    assert.match(sh(`curl -s --retry 60 --retry-delay 1 --retry-connrefused http://127.0.0.1:${port}/health`), /ok/);
}

const instead = [
    [/^build\/drover engine .*--port (\d+)/, (m) => serve(m.input, m[1])],
    [/^curl .*chat\/completions/, (m) => assert.match(JSON.parse(sh(m.input)).choices[0].message.content, /\w/)],
    [/^make run$/, () => serve(last('run'), 8081)],
    [/^(echo .*) \| make chat$/, (m) => assert.match(sh(`${m[1]} | (${last('chat')})`), /\w+ \(noun\): /)],
    [/^make build$/, () => assert.match(recipe('build'), /tools\/build\.sh 'build'/)], // tests exist, so it was built
    [/^build\/drover /, (m) => assert.notEqual(sh(m.input), '')],
];

for (const command of blocks('sh').join('').split('\n').filter((line) => line !== '')) {
    test(command, () => {
        const row = instead.find(([pattern]) => pattern.test(command));
        assert.ok(row, 'the test does not know this kind of command');
        row[1](command.match(row[0]));
    });
}

test('every make target that is named anywhere exists, and make alone lists it', () => {
    const help = sh('make', root);
    const targets = new Set([...readme.matchAll(/(?:`|\| |^)make ([a-z-]+)/gm)].map((m) => m[1]));
    assert.ok(targets.size >= 6, [...targets].join(' '));
    for (const target of targets) {
        recipe(target);
        assert.match(help, new RegExp(`^ +make ${target} `, 'm'));
    }
});

test('the chat that is shown is what the model says', () => {
    const shown = blocks('').map((text) => text.match(/^> (.*)\n(.*?)( ?\.\.\.)?\n/)).filter((m) => m);
    assert.ok(shown.length > 0);
    for (const [, question, answer] of shown) {
        const real = sh(`echo '${question}' | (${last('chat')})`);
        assert.ok(real.startsWith(answer), `${question}: ${real}`);
    }
});
