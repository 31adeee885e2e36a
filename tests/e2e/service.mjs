// SPDX-License-Identifier: MIT
// A real `drover serve` with a data folder of its own, on free ports.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Anthropic, OpenAI, drover, model, until } from './helper.mjs';

const running = new Set();
process.on('exit', () =>
    running.forEach((s) => {
        s.child.kill('SIGKILL');
        rmSync(s.dir, { recursive: true, force: true });
    }),
);

/** Environment without anything that would configure drover. */
export const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(DROVER_|LLAMA_|RATE_|SECURITY_|XDG_)/.test(name)));

export class Service {
    /** Starts it with settings {'limits.requests': 0, ...} and waits until it listens. */
    static async start({ settings = {}, args = [], files = [model], vars = {}, dir } = {}) {
        const s = new Service();
        s.dir = dir ?? mkdtempSync(join(tmpdir(), 'drover-serve-'));
        s.vars = { ...env, HOME: s.dir, ...vars };
        const all = {
            data_dir: join(s.dir, 'data'),
            run_dir: join(s.dir, 'run'),
            'listen.openai': '127.0.0.1:0',
            'listen.app': 'off',
            'limits.requests': 0,
            'log.format': 'json',
            ...settings,
        };
        const sets = Object.entries(all).flatMap(([k, v]) => (v === undefined ? [] : ['--set', `${k}=${v}`]));
        s.args = ['serve', ...files.flatMap((f) => ['-m', f]), ...sets, ...args];
        await s.spawn();
        return s;
    }
    async spawn() {
        this.log = '';
        this.child = spawn(drover, this.args, { stdio: ['ignore', 'inherit', 'pipe'], env: this.vars, cwd: this.dir });
        running.add(this);
        this.child.unref();
        this.child.stderr.unref();
        this.closed = new Promise((resolve) => this.child.on('close', (code, signal) => resolve(signal ?? code)));
        this.child.stderr.on('data', (d) => (this.log += d));
        await until(() => /Ctrl-C stops/.test(this.log) || this.child.exitCode !== null);
        assert.match(this.log, /Ctrl-C stops/);
        this.urls = [...this.log.matchAll(/^ {2}(https?:\/\/\S+|unix:\S+) \((.*)\)$/gm)].map((m) => ({ url: m[1], api: m[2] }));
        this.url = this.urls[0].url;
        this.adminKey = readFileSync(join(this.dir, 'data', 'admin.key'), 'utf8').trim();
    }
    openai(options = {}) {
        return new OpenAI({ baseURL: this.url + '/v1', apiKey: 'none', maxRetries: 0, ...options });
    }
    anthropic(options = {}) {
        return new Anthropic({ baseURL: this.url, apiKey: 'none', maxRetries: 0, ...options });
    }
    /** {status, headers, json, text} of a request; key: null for none. */
    async ask(method, path, body, { key, headers = {}, url } = {}) {
        const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
        const type = text === undefined ? {} : { 'content-type': 'application/json' };
        const auth = key === undefined ? {} : { authorization: `Bearer ${key}` };
        const signal = AbortSignal.timeout(60000); // nothing waits for ever
        const r = await fetch((url ?? this.url) + path, { method, body: text, headers: { ...type, ...auth, ...headers }, signal });
        const reply = { status: r.status, headers: r.headers, text: await r.text() };
        try {
            reply.json = JSON.parse(reply.text);
        } catch {}
        return reply;
    }
    get(path, options) {
        return this.ask('GET', path, undefined, options);
    }
    post(path, body, options) {
        return this.ask('POST', path, body, options);
    }
    admin(method, path, body) {
        return this.ask(method, path, body, { key: this.adminKey });
    }
    /** A new key: {id, key}. */
    async newKey(spec) {
        const r = await this.admin('POST', '/api/keys', spec);
        assert.equal(r.status, 201, r.text);
        return r.json;
    }
    async instances() {
        return (await this.admin('GET', '/api/instances')).json.instances;
    }
    /** Output of another command on the same data folder. */
    command(...args) {
        return execFileSync(drover, args, { env: { ...this.vars, DROVER_DATA_DIR: join(this.dir, 'data') }, encoding: 'utf8', cwd: this.dir, stdio: ['ignore', 'pipe', 'pipe'] });
    }
    /** Lines of the log as objects. */
    lines() {
        return this.log
            .split('\n')
            .filter((l) => l.startsWith('{'))
            .map((l) => JSON.parse(l));
    }
    auditRows() {
        return readFileSync(join(this.dir, 'data', 'audit.jsonl'), 'utf8')
            .split('\n')
            .filter((l) => l !== '')
            .map((l) => JSON.parse(l));
    }
    sockets() {
        return readdirSync(join(this.dir, 'run'), { recursive: true });
    }
    stop(signal = 'SIGTERM') {
        this.child.kill(signal);
        return this.ended();
    }
    /** Waits until it has ended: its exit code, or the signal that ended it. */
    async ended() {
        const late = setTimeout(() => this.child.kill('SIGKILL'), 60000);
        const code = await this.closed;
        clearTimeout(late);
        running.delete(this);
        return code;
    }
    /** Stops it, if it still runs, and removes its folder. */
    async end() {
        const code = this.child.exitCode ?? (await this.stop());
        rmSync(this.dir, { recursive: true, force: true });
        return code;
    }
}

/** Whether a process is there. */
export function alive(pid) {
    try {
        process.kill(pid, 0);
        return true;
    } catch {
        return false;
    }
}
