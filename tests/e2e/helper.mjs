// SPDX-License-Identifier: MIT
// A real `drover engine` on a port of its own, and the clients that people use.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';

export const root = new URL('../..', import.meta.url).pathname;
export const drover = process.env.DROVER ?? join(root, 'build', 'drover');
export const synth = process.env.SYNTH ?? join(root, 'build', 'tools', 'synth-gguf');
export const model = join(root, 'models', 'pocket-dictionary.gguf');

const installed = process.env.E2E_PACKAGES ?? join(root, 'build-peer', 'e2e');
export const packages = join(installed, 'node_modules');
const require = createRequire(installed + '/');
export const OpenAI = require('openai').OpenAI;
export const Anthropic = require('@anthropic-ai/sdk').Anthropic;

// A test that fails leaves its server running: that must not keep this process from ending.
const running = new Set();
process.on('exit', () => running.forEach((s) => s.child.kill('SIGKILL')));

export class Server {
    /** Starts it and waits until it listens. */
    static async start(args = [], file = model) {
        const s = new Server();
        s.log = '';
        s.child = spawn(drover, ['engine', '-m', file, '--port', '0', '-t', '2', ...args], { stdio: ['ignore', 'inherit', 'pipe'] });
        running.add(s);
        s.child.unref();
        s.child.stderr.unref();
        s.closed = new Promise((resolve) => s.child.on('close', (code, signal) => resolve(signal ?? code)));
        s.child.stderr.on('data', (d) => (s.log += d));
        await s.see(/listening on (\S+)/);
        s.url = s.log.match(/listening on (\S+)/)[1];
        return s;
    }
    async see(what) {
        await until(() => what.test(this.log) || this.child.exitCode !== null);
        assert.match(this.log, what);
    }
    openai(options = {}) {
        return new OpenAI({ baseURL: this.url + '/v1', apiKey: 'none', maxRetries: 0, ...options });
    }
    /** {status, headers, json, text} of a request. */
    async ask(method, path, body, headers = {}) {
        const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
        const r = await fetch(this.url + path, { method, body: text, headers: { 'content-type': 'application/json', ...headers } });
        const reply = { status: r.status, headers: r.headers, text: await r.text() };
        try {
            reply.json = JSON.parse(reply.text);
        } catch {}
        return reply;
    }
    post(path, body, headers) {
        return this.ask('POST', path, body, headers);
    }
    async metric(name) {
        const { text } = await this.ask('GET', '/metrics');
        return Number(text.match(new RegExp(`^${name.replace(/[{}]/g, '\\$&')} (\\S+)$`, 'm'))[1]);
    }
    /** Waits until so many requests run and wait. */
    async busy(processing, deferred) {
        await until(async () => (await this.metric('llamacpp:requests_processing')) === processing && (await this.metric('llamacpp:requests_deferred')) === deferred);
    }
    /** Exit code after SIGTERM. */
    async stop(signal = 'SIGTERM') {
        this.child.kill(signal);
        const late = setTimeout(() => this.child.kill('SIGKILL'), 60000);
        const code = await this.closed;
        clearTimeout(late);
        running.delete(this);
        return code;
    }
}

export async function until(check, timeoutMs = 60000) {
    const end = Date.now() + timeoutMs;
    while (!(await check())) {
        if (Date.now() > end) assert.fail(`did not happen: ${check}`);
        await new Promise((r) => setTimeout(r, 20));
    }
}

/** Frames of an event stream as they came: {comment} or {event, data}. */
export function frames(text) {
    return text
        .split('\n\n')
        .filter((f) => f !== '')
        .map((f) => {
            const frame = {};
            for (const line of f.split('\n')) {
                const [, name, value] = line.match(/^(\w*): ?(.*)$/);
                frame[name || 'comment'] = value;
            }
            return frame;
        });
}

export async function all(stream) {
    const list = [];
    for await (const x of stream) list.push(x);
    return list;
}

export const user = (content) => [{ role: 'user', content }];
