// SPDX-License-Identifier: MIT
// What tests of faults share: streams that are looked at from outside, and engines that can be hurt.
import assert from 'node:assert/strict';
import { alive } from './service.mjs';
import { frames, until, user } from './helper.mjs';

/** A question that makes `tokens` tokens, the same ones each time. */
export const long = (tokens, i = 0) => ({ messages: user(`Tell me about number ${i}`), max_tokens: tokens, temperature: 0, ignore_eos: true, stream: true });

/** A reply that is read as it comes: `text` so far, `status`, `cut` if the connection broke before its end. */
export class Reply {
    static open(s, path, body, headers = {}) {
        const r = new Reply();
        r.text = '';
        r.cut = false;
        r.left = new AbortController();
        r.done = r.read(s.url + path, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json', ...headers }, signal: r.left.signal });
        return r;
    }
    async read(url, options) {
        try {
            const reply = await fetch(url, options);
            this.status = reply.status;
            const decoder = new TextDecoder();
            for await (const piece of reply.body) this.text += decoder.decode(piece, { stream: true });
        } catch (e) {
            this.cut = true;
            this.why = e;
        }
        return this;
    }
    leave() {
        this.left.abort();
        return this.done;
    }
    get frames() {
        return frames(this.text);
    }
    /** Events with data, parsed; '[DONE]' stays what it is. */
    get events() {
        return this.frames.filter((f) => f.data !== undefined).map((f) => (f.data === '[DONE]' ? f.data : JSON.parse(f.data)));
    }
    /** What the model said: OpenAI's chunks, or Anthropic's deltas. */
    get said() {
        return this.events.map((e) => e.choices?.[0]?.delta?.content ?? e.delta?.text ?? '').join('');
    }
    get error() {
        return this.events.find((e) => e.error)?.error;
    }
}

/** The instance of a model that is ready; the only one if none is named. */
export async function engine(s, model) {
    let found;
    await until(async () => (found = (await s.instances()).find((i) => i.state === 'ready' && (model === undefined || i.model === model))) !== undefined);
    return found;
}

/** Kills it as nobody can expect, and waits until it is gone. */
export async function kill(s, model) {
    const { pid } = await engine(s, model);
    assert.ok(pid > 0);
    process.kill(pid, 'SIGKILL');
    await until(() => !alive(pid));
    return pid;
}

/** The service answers, its database is well, and the audit log holds what it held. */
export async function sound(s) {
    const h = await s.get('/api/health');
    assert.equal(h.status, 200, h.text);
    assert.equal(h.json.checks.database.ok, true, h.text);
    const v = await s.admin('GET', '/api/audit/verify');
    assert.equal(v.json.ok, true, v.text);
}
