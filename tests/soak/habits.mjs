// SPDX-License-Identifier: MIT
// What clients do, well and badly. A habit is (port, random) => promise; it throws Broken when the server did something that it must not.
import { Broken, Wire, get, once, post } from './wire.mjs';

export const sleep = (ms) => new Promise((r) => setTimeout(r, ms));

/** Numbers that repeat with their seed (mulberry32). */
export function random(seed) {
    let a = seed >>> 0;
    const unit = () => {
        a = (a + 0x6d2b79f5) >>> 0;
        let t = Math.imul(a ^ (a >>> 15), a | 1);
        t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
        return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    return { unit, below: (n) => Math.floor(unit() * n), of: (list) => list[Math.floor(unit() * list.length)] };
}

const words = ['llama', 'river', 'courage', 'engine', 'shepherd', 'silence', 'copper', 'harbour'];
const system = 'You explain words to people who learn the language, in one short sentence each. '.repeat(4);
const chat = (r, more) => ({
    messages: [...(r.unit() < 0.5 ? [{ role: 'system', content: system }] : []), { role: 'user', content: `What is a ${r.of(words)}?` }],
    max_tokens: 1 + r.below(40),
    seed: r.below(1000),
    ...more,
});

function check(condition, what, reply) {
    if (!condition) throw new Broken(`${what}: ${reply.status} ${reply.body?.slice(0, 300)}`);
}

function json(reply) {
    try {
        return JSON.parse(reply.body);
    } catch {
        throw new Broken(`not JSON: ${reply.status} ${reply.body.slice(0, 300)}`);
    }
}

export const tally = { answered: 0, refused: 0 };

/** A full server may say no, in a way that clients know to try again. True if it did. */
function refused(reply) {
    if (reply.status !== 503) {
        tally.answered++;
        return false;
    }
    tally.refused++;
    check(reply.fields.has('retry-after') && typeof json(reply).error?.message === 'string', 'a 503 that is not clean', reply);
    return true;
}

/** Events of a stream as they come; throws unless it is complete. */
async function* events(w, head) {
    let text = '';
    let done = false;
    for await (const piece of w.pieces(head)) {
        text += piece.toString('latin1');
        for (let at; (at = text.indexOf('\n\n')) >= 0; text = text.slice(at + 2)) {
            const event = text.slice(0, at);
            if (done) throw new Broken('something after [DONE]');
            if (event.startsWith(':')) continue;
            if (!event.startsWith('data: ')) throw new Broken(`not an event: ${event.slice(0, 200)}`);
            done = event === 'data: [DONE]';
            if (!done) yield JSON.parse(Buffer.from(event.slice(6), 'latin1').toString());
        }
    }
    if (!done || text !== '') throw new Broken('a stream without its end');
}

/** Ask for a stream; null if the server is full, else {w, head}, and the connection is the caller's. */
async function stream(port, body) {
    const w = new Wire(port);
    try {
        w.send(post('/v1/chat/completions', { ...body, stream: true }));
        const head = await w.head();
        if (head.status === 200) return { w, head };
        const parts = [];
        for await (const p of w.pieces(head)) parts.push(p);
        const reply = { ...head, body: Buffer.concat(parts).toString() };
        check(refused(reply), 'a stream was asked for', reply);
    } catch (e) {
        w.leave();
        throw e;
    }
    w.leave();
    return null;
}

export const habits = {
    async answer(port, r) {
        const n = 1 + r.below(2);
        const reply = await once(port, post('/v1/chat/completions', chat(r, { n })));
        if (!refused(reply)) check(reply.status === 200 && json(reply).choices.length === n, 'an answer', reply);
    },
    async stream(port, r) {
        const s = await stream(port, chat(r, { stream_options: { include_usage: true } }));
        if (s === null) return;
        let n = 0;
        let finish = null;
        for await (const e of events(s.w, s.head)) {
            if (e.error !== undefined) throw new Broken(`an error in a stream: ${JSON.stringify(e.error)}`);
            if (n++ === 0 && e.choices[0].delta.role !== 'assistant') throw new Broken('the role is not first');
            finish = e.choices[0]?.finish_reason ?? finish;
        }
        s.w.leave();
        if (finish === null) throw new Broken('no finish_reason');
    },
    async completion(port, r) {
        const reply = await once(port, post('/v1/completions', { prompt: `${r.of(words)} is`, max_tokens: r.below(30), logprobs: r.of([undefined, 2]), echo: r.unit() < 0.3 }));
        if (!refused(reply)) check(reply.status === 200 && json(reply).choices.length === 1, 'a completion', reply);
    },
    async constrained(port, r) {
        const reply = await once(port, post('/v1/chat/completions', chat(r, { max_tokens: 60, response_format: { type: 'json_object' } })));
        if (!refused(reply)) check(reply.status === 200 || reply.status === 400 || reply.status === 501, 'a constrained answer', reply);
    },
    async native(port, r) {
        const [text, has] = r.of([
            [post('/completion', { prompt: `${r.of(words)} is`, n_predict: r.below(30), n_probs: r.of([0, 3]) }), 'content'],
            [post('/tokenize', { content: system, with_pieces: r.unit() < 0.5 }), 'tokens'],
            [post('/detokenize', { tokens: [70, 71, 72] }), 'content'],
            [post('/apply-template', { messages: chat(r).messages }), 'prompt'],
            [get('/props'), 'total_slots'],
            [get('/slots'), '0'],
        ]);
        const reply = await once(port, text);
        if (!refused(reply)) check(reply.status === 200 && has in json(reply), text.slice(0, 20), reply);
    },
    async messages(port, r) {
        const reply = await once(port, post('/v1/messages', { model: 'any', max_tokens: 1 + r.below(20), system, messages: chat(r).messages.slice(-1) }));
        if (reply.status === 503) return; // in this API's shape
        check(reply.status === 200 && json(reply).type === 'message', 'a message', reply);
    },
    async responses(port, r) {
        const reply = await once(port, post('/v1/responses', { input: `What is a ${r.of(words)}?`, max_output_tokens: 1 + r.below(20) }));
        if (!refused(reply)) check(reply.status === 200 && json(reply).object === 'response', 'a response', reply);
    },
    async embeddings(port, r) {
        const reply = await once(port, post('/v1/embeddings', { input: [r.of(words), r.of(words)], encoding_format: r.of(['float', 'base64']) }));
        if (!refused(reply)) check(reply.status === 200 && json(reply).data.length === 2, 'embeddings', reply);
    },
    async leaves_in_a_stream(port, r) {
        const s = await stream(port, chat(r, { max_tokens: 400, ignore_eos: true }));
        if (s === null) return;
        let n = r.below(6);
        for await (const e of events(s.w, s.head)) if (n-- <= 0 && e !== undefined) break;
        s.w.leave(r.unit() < 0.5);
    },
    async leaves_before_the_answer(port, r) {
        const w = new Wire(port);
        w.send(post('/v1/chat/completions', chat(r, { max_tokens: 400, stream: r.unit() < 0.5 })));
        await sleep(r.below(30));
        w.leave(r.unit() < 0.5);
    },
    async reads_slowly(port, r) {
        const s = await stream(port, chat(r, { max_tokens: 300, ignore_eos: true, logprobs: true, top_logprobs: 20 }));
        if (s === null) return;
        for (let i = 0; i < 10; i++) {
            s.w.socket.pause();
            await sleep(20 + r.below(120));
            s.w.socket.resume();
            await sleep(1);
        }
        s.w.leave();
    },
    async keeps_alive(port, r) {
        const w = new Wire(port);
        const n = 2 + r.below(8);
        const texts = Array.from({ length: n }, () => r.of([get('/health'), get('/v1/models'), get('/metrics'), get('/nothing'), post('/v1/completions', { prompt: 'a', max_tokens: 2 })]));
        const pipelined = r.unit() < 0.5;
        if (pipelined) w.send(texts.join(''));
        for (const text of texts) {
            if (!pipelined) w.send(text);
            const reply = await w.reply();
            const want = text.startsWith('GET /nothing') ? 404 : 200;
            if (!refused(reply)) check(reply.status === want, `kept alive, ${text.slice(0, 20)}`, reply);
            if (reply.fields.get('connection') === 'close') break; // a refusal that leaves a body unread
        }
        w.leave();
    },
    async lost(port, r) {
        const [text, want] = r.of([
            [get('/v1/nothing'), 404],
            [get('/v1/chat/completions'), 405],
            [post('/health', {}), 405],
            ['DELETE /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n', 405],
            [get('/%2e%2e/etc/passwd'), 400],
            ['GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n', 403],
            [get('/v1/models', 'Origin: https://evil.example\r\n'), 403],
        ]);
        const reply = await once(port, text);
        check(reply.status === want, `${text.slice(0, 40)} wants ${want}`, reply);
    },
    async is_wrong(port, r) {
        const text = r.of([
            '{"messages":', '[]', '"x"', '{"messages":[]}', '{"prompt":"a","prompt":"b"}', '{"nobody":1,"messages":[{"role":"user","content":"x"}]}', '['.repeat(100000),
            '{"messages":[{"role":"user","content":"x"}],"max_tokens":-5}', '{"messages":[{"role":"user","content":"x"}],"temperature":1e308}',
            '{"messages":[{"role":"user","content":"x"}],"n":2147483648}', '{"messages":[{"role":"user","content":"\\ud800"}]}', '{"a":"\u0000"}',
        ]);
        const reply = await once(port, post('/v1/chat/completions', text));
        if (!refused(reply)) check(reply.status === 400 && typeof json(reply).error.message === 'string', `a bad request ${text.slice(0, 60)}`, reply);
    },
    async asks_too_much(port, r) {
        const reply = await once(port, post('/v1/completions', { prompt: 'word '.repeat(20000 + r.below(20000)), max_tokens: 1 }));
        if (!refused(reply)) check(reply.status === 400 && json(reply).error.type === 'exceed_context_size_error', 'a prompt that is too long', reply);
    },
    async has_a_big_head(port, r) {
        const [text, want] = r.of([
            [get('/health', `X: ${'a'.repeat(40000)}\r\n`), 431],
            [get('/health', 'X: a\r\n'.repeat(100)), 431],
            [get(`/${'a'.repeat(10000)}`), 414],
            ['POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n', 413],
        ]);
        const reply = await once(port, text);
        check(reply.status === want, `${text.slice(0, 40)} wants ${want}`, reply);
    },
    async sends_garbage(port, r) {
        const w = new Wire(port);
        const bytes = Buffer.from(Array.from({ length: 1 + r.below(4000) }, () => r.below(256)));
        w.send(r.of([bytes, Buffer.concat([Buffer.from('GET / HTTP/1.1\r\n'), bytes]), Buffer.from('POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n')]));
        await Promise.race([sleep(r.below(300)), w.more()]);
        if (w.buffer.length > 0) {
            const head = await w.head();
            if (head.status < 400) throw new Broken(`garbage got ${head.status}`);
        }
        w.leave();
    },
    async stops_in_the_body(port, r) {
        const w = new Wire(port);
        const text = post('/v1/chat/completions', chat(r));
        w.send(text.slice(0, text.length - 1 - r.below(60)));
        await sleep(r.below(50));
        if (r.unit() < 0.5) w.socket.end(); // half closed
        await sleep(r.below(50));
        w.leave(r.unit() < 0.5);
    },
    async drips(port, r) {
        const w = new Wire(port);
        for (const c of get('/health')) {
            w.send(c);
            await sleep(r.below(4));
        }
        const reply = await w.reply();
        check(reply.status === 200, 'byte by byte', reply);
        w.leave();
    },
    async uses_slots(port, r) {
        const action = r.of(['save', 'restore', 'erase']);
        const reply = await once(port, post(`/slots/${r.below(3)}?action=${action}`, action === 'erase' ? {} : { filename: r.of(['a.bin', 'b.bin', '../x']) }));
        check([200, 400, 404, 501, 503].includes(reply.status), 'slots', reply); // 503: the slot is running
    },
};
