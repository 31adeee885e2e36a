// SPDX-License-Identifier: MIT
// Engines that die, hang or run out of memory, idle and under load: what their clients see, and that nobody else notices.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { Reply, engine, kill, long, sound } from './faults.mjs';
import { until, user } from './helper.mjs';
import { Service, alive } from './service.mjs';

const question = { messages: user('What is a llama?'), max_tokens: 16, temperature: 0 };
const settings = { 'defaults.parallel': 4, 'defaults.context': 8192, 'supervision.crash_limit': 100, 'supervision.backoff_max': '250ms', 'supervision.health_interval': '200ms', 'supervision.health_time': '1s' };

let s;
before(async () => (s = await Service.start({ settings })));
after(async () => assert.equal(await s.end(), 0));

const N = 16, TOKENS = 300;
const anthropic = (i) => ({ model: 'pocket-dictionary', max_tokens: TOKENS, temperature: 0, messages: user(`Tell me about number ${i}`), ignore_eos: true, stream: true });
const retried = async () => Number(/^drover_service_retried_total (\d+)$/m.exec((await s.admin('GET', '/metrics')).text)[1]);

test('killed while idle: the next request works', async () => {
    const want = (await s.post('/v1/chat/completions', question)).json.choices[0].message.content;
    for (let i = 0; i < 5; i++) {
        await kill(s);
        const r = await s.post('/v1/chat/completions', question);
        assert.equal(r.status, 200, r.text);
        assert.equal(r.json.choices[0].message.content, want);
    }
    assert.ok(s.auditRows().filter((r) => r.action === 'model.crash').length >= 5);
    await sound(s);
});

/** Kills the engine once some of the streams have begun, and returns all when they are over, and which had. */
async function killAmong(open) {
    const replies = Array.from({ length: N }, (_, i) => open(i));
    await until(() => replies.filter((r) => r.said !== '').length >= 4);
    const { pid } = await engine(s);
    process.kill(pid, 'SIGKILL');
    await Promise.all(replies.map((r) => r.done));
    return replies;
}

/** Each is whole, or says that it broke off after a true beginning; nothing is cut, nothing else is said. */
function judge(replies, want) {
    let whole = 0, broken = 0;
    replies.forEach((r, i) => {
        assert.equal(r.status, 200, r.text);
        assert.equal(r.cut, false, String(r.why));
        if (r.error === undefined) {
            assert.equal(r.said, want[i]);
            whole++;
            return;
        }
        assert.ok(r.said !== '' && want[i].startsWith(r.said), 'what came before the error is the beginning of the answer');
        assert.match(r.error.message, /broke off/);
        assert.doesNotMatch(r.error.message, /\/|sock/, 'it tells no paths');
        assert.deepEqual(r.events.at(-1).error, r.error, 'the error comes last');
        broken++;
    });
    assert.ok(broken >= 1 && whole >= N / 2, `${broken} broke off, ${whole} whole`);
}

for (const [name, path, body] of [['OpenAI', '/v1/chat/completions', (i) => long(TOKENS, i)], ['Anthropic', '/v1/messages', anthropic]])
    test(`${name}: killed among ${N} streams: those that had begun get an error event and an end, all others their whole answer`, async () => {
        const open = (i) => Reply.open(s, path, body(i));
        const want = [];
        for (let i = 0; i < N; i++) want.push((await open(i).done).said);
        assert.ok(want.every((w) => w.length > 100));
        const replies = await killAmong(open);
        judge(replies, want);
        const broken = replies.filter((r) => r.error);
        for (const r of broken)
            if (name === 'OpenAI') assert.equal(r.events.at(-1).error.type, 'server_error');
            else assert.deepEqual([r.frames.at(-1).event, r.events.at(-1).type, r.error.type], ['error', 'error', 'api_error']);
        const row = s.auditRows().filter((x) => x.action === `POST ${path}` && x.outcome === 'failed');
        await until(() => s.auditRows().filter((x) => x.action === `POST ${path}` && x.outcome === 'failed').length >= broken.length);
        assert.ok(row.every((x) => x.detail === 'broken off'));
        await until(async () => (await s.instances()).every((i) => i.running === 0 && i.waiting === 0));
        await sound(s);
    });

test('the clients of OpenAI and Anthropic throw what they are told', async () => {
    const fails = [
        async () => {
            for await (const c of await s.openai().chat.completions.create(long(3000))) if (c.choices[0]?.delta.content) await begun();
        },
        async () => {
            for await (const c of s.anthropic().messages.stream({ ...anthropic(0), max_tokens: 3000 })) if (c.type === 'content_block_delta') await begun();
        },
    ];
    let n = 0;
    const begun = async () => ++n === 3 && process.kill((await engine(s)).pid, 'SIGKILL');
    for (const f of fails) {
        n = 0;
        await assert.rejects(f, /broke off/);
    }
});

test('killed while it works on an answer that is no stream: it is asked for once more', async () => {
    const body = { ...long(600), stream: false };
    const before = await retried();
    const reply = s.post('/v1/chat/completions', body);
    await until(async () => (await s.instances()).some((i) => i.running === 1));
    await kill(s);
    const r = await reply;
    assert.equal(r.status, 200, r.text);
    assert.equal(r.json.usage.completion_tokens, 600);
    assert.equal((await retried()) - before, 1);
});

test('killed twice: once is tried again, then the client is told', async () => {
    const reply = s.post('/v1/chat/completions', { ...long(4000), stream: false });
    for (let i = 0; i < 2; i++) {
        await until(async () => (await s.instances()).some((x) => x.running === 1));
        await kill(s);
    }
    const r = await reply;
    assert.equal(r.status, 502, r.text);
    assert.match(r.json.error.message, /broke off/);
    assert.equal((await s.post('/v1/chat/completions', question)).status, 200);
});

test('it hangs: it is replaced, who waits for it is answered', async () => {
    const { pid } = await engine(s);
    const begun = Array.from({ length: 3 }, (_, i) => Reply.open(s, '/v1/chat/completions', long(3000, i)));
    await until(() => begun.every((r) => r.said !== ''));
    process.kill(pid, 'SIGSTOP');
    const whole = s.post('/v1/chat/completions', question);
    const late = Reply.open(s, '/v1/messages', { ...anthropic(1), max_tokens: 16 });
    for (const r of await Promise.all(begun.map((x) => x.done))) {
        assert.equal(r.cut, false);
        assert.match(r.error.message, /broke off/);
    }
    assert.equal((await whole).status, 200, (await whole).text);
    assert.equal((await late.done).error, undefined, late.text);
    assert.equal(alive(pid), false);
    assert.ok(s.lines().some((l) => /did not answer for \d+ ms/.test(l.message)));
    await sound(s);
});

test('no memory for it: requests are refused, the service goes on, and so does the model', async () => {
    const { pid } = await engine(s);
    execFileSync('prlimit', ['--pid', String(pid), '--data=1']);
    const big = { messages: user('word '.repeat(1500)), max_tokens: 8 };
    const replies = await Promise.all(Array.from({ length: 8 }, () => s.post('/v1/chat/completions', big)));
    for (const r of replies) {
        assert.ok([200, 400, 500, 502, 503].includes(r.status), `${r.status} ${r.text}`);
        if (r.status !== 200) assert.ok(r.json.error.message.length > 5, r.text);
    }
    await s.admin('POST', '/api/models/unload', { model: 'pocket-dictionary' });
    assert.equal((await s.post('/v1/chat/completions', question)).status, 200);
    await sound(s);
});
