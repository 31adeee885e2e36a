// SPDX-License-Identifier: MIT
// Many clients with good and bad habits against the real server, for a while. Afterwards it must be as it was before.
//
// usage: node soak.mjs [--seconds 20] [--clients 32] [--seed N]      DROVER: the program, best one with AddressSanitizer
import { fork } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { habits, random, sleep, tally } from './habits.mjs';
import { Server } from './server.mjs';
import { Wire, post } from './wire.mjs';

const root = new URL('../..', import.meta.url).pathname;
const { values: options } = parseArgs({
    options: {
        seconds: { type: 'string', default: process.env.SOAK_SECONDS ?? '20' },
        clients: { type: 'string', default: '32' },
        seed: { type: 'string', default: String(Date.now() % 1000000) },
        port: { type: 'string' }, // of a running server: be a client that will be killed
    },
});
const seconds = Math.min(Number(options.seconds), 7200);
const clients = Math.min(Number(options.clients), 512);
const seed = Number(options.seed);

const counts = new Map();
const failures = [];

async function client(port, r, until) {
    const names = Object.keys(habits);
    while (Date.now() < until) {
        const name = r.of(names);
        try {
            await habits[name](port, r);
            counts.set(name, (counts.get(name) ?? 0) + 1);
        } catch (e) {
            if (failures.length < 20) failures.push(`${name}: ${e.message}`);
        }
        await sleep(r.below(20));
    }
}

/** Processes that are in the middle of something when they are killed. */
async function victims(port, r, until) {
    let n = 0;
    while (Date.now() < until) {
        const child = fork(new URL(import.meta.url).pathname, ['--port', String(port), '--seed', String(r.below(1e6))], { stdio: 'ignore' });
        const gone = new Promise((resolve) => child.on('exit', resolve));
        await sleep(300 + r.below(1200));
        child.kill('SIGKILL');
        await gone;
        n++;
    }
    return n;
}

async function watch(server, samples, until) {
    while (Date.now() < until && server.ended === null) {
        samples.push(server.memory());
        await sleep(Math.min(500, (seconds * 1000) / 60));
    }
}

/** Poll until what() holds; the limit is for a broken server only. */
async function eventually(what) {
    for (let i = 0; i < 600; i++) {
        if (await what()) return true;
        await sleep(100);
    }
    return false;
}

const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];

/** SIGTERM while an answer runs: it is finished, and the process ends by itself. */
async function drain(server) {
    const w = new Wire(server.port);
    w.send(post('/v1/chat/completions', { messages: [{ role: 'user', content: 'What is a llama?' }], max_tokens: 200, ignore_eos: true, stream: true }));
    const head = await w.head();
    let text = '';
    for await (const piece of w.pieces(head)) {
        if (text === '') server.child.kill('SIGTERM');
        text += piece;
    }
    w.leave();
    return text.endsWith('data: [DONE]\n\n');
}

let n = 0;
let bad = 0;
function say(ok, name, detail = '') {
    console.log(`${ok ? 'ok' : 'not ok'} ${++n} - ${name}`);
    if (!ok) {
        bad++;
        console.log(String(detail).split('\n').slice(0, 60).map((l) => `# ${l}`).join('\n'));
    }
}

/** The second and the last quarter of the samples: the first one is warming up. What an allocator does at random is below 4 MiB. */
function flat(samples) {
    const quarter = samples.length >> 2;
    const early = median(samples.slice(quarter, 2 * quarter));
    const late = median(samples.slice(-quarter));
    console.log(`# anonymous memory: ${early} KiB, at the end ${late} KiB, peak ${Math.max(...samples)} KiB`);
    return late <= early * 1.1 + 4096;
}

async function soak() {
    const folder = mkdtempSync(join(tmpdir(), 'drover-soak-'));
    for (const name of ['cache', 'slots']) mkdirSync(join(folder, name));
    const server = await Server.start(process.env.DROVER ?? join(root, 'build', 'drover'), [
        '-m', process.env.SOAK_MODEL ?? join(root, 'models', 'pocket-dictionary.gguf'), '--ctx-size', '2048', '--parallel', '3', '--queue', '12', '--metrics',
        '--cache-dir', join(folder, 'cache'), '--slot-save-path', join(folder, 'slots'), '--sse-ping', '0.2', '--log-level', 'warn', '--threads', '2']);
    process.on('exit', () => {
        server.child.kill('SIGKILL');
        rmSync(folder, { recursive: true, force: true });
    });
    console.log(`# seed ${seed}, ${clients} clients, ${seconds} s`);
    const r = random(seed);
    await habits.answer(server.port, r); // what is opened at the first use is open now
    await sleep(200);
    const before = server.open();
    const until = Date.now() + seconds * 1000;
    const samples = [];
    const [killed] = await Promise.all([
        victims(server.port, random(r.below(1e9)), until), watch(server, samples, until),
        ...Array.from({ length: clients }, () => client(server.port, random(r.below(1e9)), until)),
    ]);
    console.log(`# ${[...counts].map(([name, c]) => `${name} ${c}`).join(', ')}; ${killed} processes killed; ${tally.answered} answers, ${tally.refused} refusals`);
    say(server.ended === null, 'the process is up', JSON.stringify(server.ended) + server.log);
    if (server.ended !== null) return;
    say(await server.healthy(), '/health is ok');
    say(failures.length === 0, 'every request was answered, or refused cleanly', failures.join('\n'));
    say(Object.keys(habits).every((name) => (counts.get(name) ?? 0) > 0) && killed > 0, 'every habit was there', [...counts.keys()]);
    // Caches of bounded size fill first.
    if (seconds >= 300) say(flat(samples), 'memory is flat', samples.join(' '));
    say(await eventually(async () => (await server.metric('llamacpp:requests_processing')) === 0 && (await server.metric('llamacpp:requests_deferred')) === 0), 'all slots are idle');
    // A file of the cache may be open for a moment.
    say(await eventually(() => server.open().length <= before.length), 'no descriptor is left open', server.open().filter((x) => !before.includes(x)).join('\n'));
    say(await drain(server), 'SIGTERM lets an answer end');
    const end = await Promise.race([server.end, sleep(60000)]);
    say(end?.code === 0, 'the exit status is 0', JSON.stringify(end ?? 'still running') + server.log.slice(-4000));
    say(!/Sanitizer|runtime error:|NO Landlock|NO seccomp/.test(server.log), 'no sanitizer reported anything', server.log.slice(-8000));
}

if (options.port !== undefined) {
    setTimeout(() => process.exit(1), 10000); // if nobody kills us
    const r = random(seed);
    await Promise.all(Array.from({ length: 4 }, () => client(Number(options.port), random(r.below(1e9)), Infinity)));
}
await soak().catch((e) => say(false, 'the soak ran', e.stack));
console.log(`1..${n}`);
process.exit(bad === 0 ? 0 : 1);
