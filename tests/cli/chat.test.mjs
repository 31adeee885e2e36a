// SPDX-License-Identifier: MIT
// The chat in a terminal.
import assert from 'node:assert/strict';
import test from 'node:test';
import { model, ok, Terminal } from './helper.mjs';

const UP = '\x1b[A', LEFT = '\x1b[D', CTRL_C = '\x03', CTRL_D = '\x04';
const prompt = /\r> |\n> /;

async function chat(...args) {
    const t = new Terminal(['run', '-m', model, '--temp', '0', ...args]);
    await t.see('/help lists the commands');
    await t.see('> ');
    return t;
}

test('questions, line editing, history, leaving with Ctrl-D', async () => {
    const t = await chat();
    t.type(`What is a llaXma?${LEFT.repeat(3)}\x7f\r`);
    await t.see('llama (noun): ');
    await t.see(prompt);
    t.type('Who are you?\r');
    await t.see('I am a pocket dictionary');
    await t.see(prompt);
    t.type(`${UP}${UP}\r`);
    await t.see('llama (noun): ');
    await t.see(prompt);
    t.type(CTRL_D);
    assert.equal(await t.end(), 0);
});

test('commands', async () => {
    const t = await chat();
    t.type('/help\r');
    for (const c of ['/clear', '/system TEXT', '/stats', '/quit']) await t.see(c);
    t.type('/hlep\r');
    await t.see('unknown command /hlep, did you mean /help?');
    t.type('/helpme\r');
    await t.see('unknown command /helpme');
    t.type('/system Be brief.\r');
    await t.see('the system message is set');
    t.type('Who are you?\r');
    await t.see('pocket dictionary');
    t.type('/stats\r');
    const used = Number((await t.see('of 256 tokens')).match(/context (\d+) $/)[1]);
    assert.ok(used > 20);
    t.type('/clear\r');
    await t.see('forgotten');
    t.type('/system\r');
    await t.see('no system message');
    t.type('/quit\r');
    assert.equal(await t.end(), 0);
});

test('Ctrl-C stops an answer and clears a line, but not the program', async () => {
    const [end] = JSON.parse(ok(['tokenize', '-m', model, '--special', '--json', '--', '<|im_end|>']));
    const t = await chat('--logit-bias', `${end}=-inf`, '--ctx', '100000');
    t.type('What is a llama?\r');
    await t.see('llama (noun): ');
    t.type(CTRL_C);
    await t.see(prompt);
    t.type(`What is a dog?${CTRL_C}`);
    await t.see(prompt);
    t.type('/stats\r');
    await t.see('of 100000 tokens');
    await t.see(prompt);
    t.type(CTRL_D);
    assert.equal(await t.end(), 0);
});

test('a long conversation drops its oldest turns', async () => {
    const t = await chat('-n', '40');
    for (let i = 0; i < 8; i++) {
        t.type('What is a llama?\r');
        await t.see('llama (noun): ');
        await t.see(prompt);
    }
    assert.match(t.text, /\(the context of 256 tokens is full: the oldest turns? (was|were) dropped\)/);
    t.type('/quit\r');
    assert.equal(await t.end(), 0);
});

test('a question over two lines, letters beyond ASCII, blank lines', async () => {
    const t = await chat();
    t.type('\r   \rWhat is \\\r');
    await t.see('... ');
    t.type('a llama?\r');
    await t.see('(noun): ');
    await t.see(prompt);
    t.type('What is a café? 日本\r');
    await t.see(Buffer.from('café? 日本').toString('latin1'));
    await t.see(prompt);
    t.type('x'.repeat(20000) + '\r');
    await t.see(/context|\(/);
    t.type('/quit\r');
    t.type('/quit\r');
    assert.equal(await t.end(), 0);
});
