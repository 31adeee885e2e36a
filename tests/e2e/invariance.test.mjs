// SPDX-License-Identifier: MIT
// The bytes of an answer depend on its request alone: not on what else runs, the number of threads, what is cached, guesses, or how it is sent.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Server, frames, model, synth, user } from './helper.mjs';

const folder = mkdtempSync(join(tmpdir(), 'drover-e2e-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

function tiny(shape, quant) {
    const path = join(folder, `${shape}-${quant}.gguf`);
    execFileSync(synth, [shape, quant, path]);
    return path;
}

const words = 'apple river stone courage light garden engine winter letter shepherd copper harbour silence mirror forest candle'.split(' ');

/** Sixteen prompts of a word to a few hundred tokens; a few begin the same. */
function prompt(i) {
    if (i === 0) return 'a';
    const begin = i % 4 === 1 ? words.join(' and the ') : words[i];
    return begin + Array.from({ length: (i * 7) % 50 }, (_, k) => ` ${words[(k * k + i) % 16]}`).join('');
}

/** Requests of one kind of sampling: every second one is a chat. */
const requests = (sampling) =>
    Array.from({ length: 16 }, (_, i) => {
        const more = { max_tokens: 24, ignore_eos: true, seed: 1000 + i, ...sampling };
        return i % 2 ? ['/v1/chat/completions', { messages: user(prompt(i)), logprobs: true, top_logprobs: 3, ...more }] : ['/v1/completions', { prompt: prompt(i), logprobs: 3, ...more }];
    });
const kinds = {
    greedy: requests({ temperature: 0 }),
    seeded: requests({ temperature: 1.3, top_k: 0, top_p: 0.98, min_p: 0, repeat_penalty: 1.1 }),
    // Few tokens that can be drawn: the texts repeat themselves in part, so some guesses are right and some are not.
    repeating: requests({ temperature: 1, logit_bias: { 300: 60, 301: 60, 302: 60 } }),
};

/** What an answer says, with the log-probabilities: these show every bit of what was computed, where a text shows only who won. */
function bytes({ text, message, logprobs, finish_reason }) {
    return JSON.stringify({ text: text ?? message.content, logprobs: logprobs.content ?? logprobs, finish_reason });
}

/** Where they differ, in a few words: such an answer fills pages. */
function same(got, want, what) {
    let at = 0;
    while (at < want.length && got[at] === want[at]) at++;
    assert.ok(got === want, `${what}: at ${at}: ${got.slice(Math.max(at - 40, 0), at + 40)} instead of ${want.slice(Math.max(at - 40, 0), at + 40)}`);
}

/** A stream put together again. */
function joined(path, text) {
    const list = frames(text).filter((f) => f.data);
    assert.equal(list.pop().data, '[DONE]');
    const choices = list.map((f) => JSON.parse(f.data).choices[0]);
    const finish_reason = choices.at(-1).finish_reason;
    if (path === '/v1/chat/completions') {
        const content = choices.flatMap((c) => c.logprobs?.content ?? []);
        return { message: { content: choices.map((c) => c.delta.content ?? '').join('') }, logprobs: { content }, finish_reason };
    }
    const logprobs = {};
    for (const c of choices) for (const [key, list] of Object.entries(c.logprobs ?? {})) logprobs[key] = [...(logprobs[key] ?? []), ...list];
    return { text: choices.map((c) => c.text).join(''), logprobs, finish_reason };
}

async function ask(server, [path, body], more) {
    const r = await server.post(path, { ...body, ...more });
    assert.equal(r.status, 200, r.text);
    return bytes(more.stream ? joined(path, r.text) : r.json.choices[0]);
}

async function alone(server, list, more) {
    const answers = [];
    for (const request of list) answers.push(await ask(server, request, more));
    return answers;
}

const together = (server, list, more) => Promise.all(list.map((request) => ask(server, request, more)));

// One request after the other on one thread, with no cache and no guesses.
async function reference(args, file) {
    const server = await Server.start([...args, '-t', '1', '--parallel', '1', '--no-cache-prompt', '--no-speculate'], file);
    const answers = {};
    for (const [kind, list] of Object.entries(kinds)) {
        answers[kind] = await alone(server, list, {});
        assert.ok(new Set(answers[kind]).size === 16, 'prompts that say the same show nothing');
        assert.ok(answers[kind].every((a) => JSON.parse(a).finish_reason === 'length'));
    }
    assert.equal(await server.stop(), 0);
    return answers;
}

const cold = { cache_prompt: false };
const rounds = [
    ['together, cold', together, cold],
    ['together, filling the cache', together, {}],
    ['together, warm, streamed', together, { stream: true }],
    ['alone, warm', alone, {}],
    ['alone, cold, streamed', alone, { ...cold, stream: true }],
];

// Contexts so small that sixteen answers do not fit at once: some give way to others and come back.
const servers = [
    ['1 thread', ['-t', '1', '--parallel', '16']],
    ['2 threads', ['-t', '2', '--parallel', '16', '--cache-ram', '64']],
    ['2 threads, other steps', ['-t', '2', '--parallel', '5', '--slice', '24', '-b', '96', '--cache-ram', '64', '--no-speculate']],
];

for (const [name, make, args] of [
    ['the pocket dictionary', () => model, []],
    ['windows in the attention', () => tiny('tiny-gemma3', 'Q8_0'), []],
    ['experts, a cache of 8 bits', () => tiny('tiny-qwen3moe', 'Q4_K_M'), ['--kv-type', 'q8_0']],
]) {
    test(`${name}: the same bytes`, async () => {
        const file = make();
        const common = ['-c', '640', '--metrics', ...args];
        const want = await reference(common, file);
        let preempted = 0;
        for (const [how, options] of servers) {
            const server = await Server.start([...common, ...options], file);
            for (const [round, run, more] of rounds)
                for (const [kind, list] of Object.entries(kinds)) {
                    const got = await run(server, list, more);
                    for (let i = 0; i < 16; i++) same(got[i], want[kind][i], `${how}; ${round}; ${kind}; prompt ${i}`);
                }
            // It was as intended: cached, guessed, and put off.
            assert.ok((await server.metric('drover_cached_tokens_total')) > 1000);
            assert.equal((await server.metric('drover_accepted_tokens_total')) > 0, !options.includes('--no-speculate'));
            preempted += await server.metric('drover_preempted_total');
            assert.equal(await server.stop(), 0);
        }
        assert.ok(preempted > 0);
    });
}
