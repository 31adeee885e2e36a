// SPDX-License-Identifier: MIT
// Models of random weights, which know no JSON, asked for it 2,205 times in 245 forms (fewer where SCHEMA_ROUNDS says so): what is finished is valid, in ajv's opinion.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { whyInvalid } from '../peer/schema/validate.mjs';
import { Server, frames, model, packages, root, synth, user } from './helper.mjs';

const rounds = Number(process.env.SCHEMA_ROUNDS ?? 9);
const schemas = readFileSync(join(root, 'tests/peer/schema/schemas.jsonl'), 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line));
const why = schemas.map((s) => whyInvalid(s, packages));

const folder = mkdtempSync(join(tmpdir(), 'drover-e2e-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

// Ends of strings, lists and objects would come up once in thousands of tokens.
const common = { max_tokens: 3000, temperature: 1, top_k: 0, top_p: 1, min_p: 0, logit_bias: { '"': 7, '}': 5, ']': 5 } };

/** {finished, text} in one of the ways to ask. */
const ways = [
    async (server, schema, more) => {
        const response_format = { type: 'json_schema', json_schema: { name: 'x', schema, strict: true } };
        const r = await server.post('/v1/chat/completions', { messages: user('cat'), response_format, ...common, ...more });
        assert.equal(r.status, 200, r.text);
        const { message, finish_reason } = r.json.choices[0];
        return { finished: finish_reason === 'stop', text: message.content };
    },
    async (server, schema, more) => {
        const r = await server.post('/completion', { prompt: 'dog', json_schema: schema, ...common, ...more });
        assert.equal(r.status, 200, r.text);
        return { finished: r.json.stop_type === 'eos', text: r.json.content };
    },
    async (server, schema, more) => {
        const r = await server.post('/v1/chat/completions', { messages: user('cow'), json_schema: schema, stream: true, ...common, ...more });
        assert.equal(r.status, 200, r.text);
        const list = frames(r.text);
        assert.equal(list.pop().data, '[DONE]');
        const choices = list.map((f) => JSON.parse(f.data).choices[0]);
        return { finished: choices.at(-1).finish_reason === 'stop', text: choices.map((c) => c.delta.content ?? '').join('') };
    },
];

let finished = 0, asked = 0;
async function all(server, round) {
    const todo = schemas.map((_, i) => i);
    const client = async () => {
        for (let i; (i = todo.pop()) !== undefined; ) {
            const r = await ways[(round + i) % ways.length](server, schemas[i], { seed: round * 1000 + i });
            asked++;
            if (!r.finished) continue;
            finished++;
            assert.equal(why[i](r.text), null, `${JSON.stringify(schemas[i])}: ${r.text.slice(0, 500)}`);
        }
    };
    await Promise.all(Array.from({ length: 16 }, client));
}

for (const [first, name, args] of [
    [0, 'a vocabulary of English', ['tiny-qwen3', 'Q4_K_M', join(folder, 'english.gguf'), '--vocab', model]],
    [1, 'a vocabulary of noise', ['tiny-llama', 'Q4_K_M', join(folder, 'noise.gguf')]],
])
    test(`random weights, ${name}`, async () => {
        execFileSync(synth, args);
        const server = await Server.start(['-c', '65536', '--parallel', '16'], args[2]);
        for (let round = first; round < rounds; round += 2) await all(server, round);
        assert.equal(await server.stop(), 0);
    });

test('nearly all of them were finished', () => {
    assert.equal(asked, rounds * schemas.length);
    assert.ok(schemas.length >= 200 && finished > 0.97 * asked, `${finished} of ${asked}`);
});
