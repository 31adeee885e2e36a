// SPDX-License-Identifier: MIT
// http_echo as a child process, and raw connections to it.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import tls from 'node:tls';

export const program = process.env.HTTP_ECHO ?? new URL('../../build-test/tests/proto/http_echo', import.meta.url).pathname;
export const folder = mkdtempSync(join(tmpdir(), 'drover-proto-'));
export const running = new Set();
after(() => {
    for (const s of running) s.child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
});

export const sleep = (ms) => new Promise((r) => setTimeout(r, ms));

/** Poll until what() is true. The limit is for a broken server only. */
export async function until(what, says) {
    for (let i = 0; i < 3000; i++) {
        if (await what()) return;
        await sleep(5);
    }
    assert.fail(`did not happen: ${says}`);
}

/** A certificate for localhost that signs itself, and its key. */
export function certificate(name, ...key) {
    const file = (ext) => join(folder, `${name}.${ext}`);
    execFileSync('openssl', ['req', '-x509', '-noenc', '-days', '2', '-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1',
        '-newkey', ...(key.length > 0 ? key : ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256']), '-keyout', file('key'), '-out', file('pem')], { stdio: 'pipe' });
    chmodSync(file('key'), 0o600);
    return { cert: file('pem'), key: file('key') };
}

export class Server {
    static async start(...args) {
        const s = new Server();
        s.child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
        s.err = '';
        s.child.stderr.on('data', (d) => (s.err += d));
        s.exit = new Promise((resolve) => s.child.on('close', (code, signal) => resolve({ code, signal })));
        running.add(s);
        s.port = await new Promise((resolve, reject) => {
            let out = '';
            s.child.stdout.on('data', (d) => {
                const ports = /^port (\d+)\ntls (\d+)\n/.exec((out += d));
                if (ports === null) return;
                s.tlsPort = Number(ports[2]); // 0: no TLS
                resolve(Number(ports[1]));
            });
            s.exit.then(() => reject(new Error(`http_echo ended: ${s.err}`)));
        });
        return s;
    }
    /** SIGTERM, and it must end by itself with status 0. */
    async stop() {
        this.child.kill('SIGTERM');
        const { code, signal } = await this.exit;
        running.delete(this);
        assert.deepEqual({ code, signal }, { code: 0, signal: null }, this.err);
    }
    connect(options = {}) {
        return new Client(net.connect({ port: this.port, host: '127.0.0.1', allowHalfOpen: true, ...options }));
    }
    /** With TLS. The certificate is not checked. */
    secure(options = {}) {
        return new Client(tls.connect({ port: this.tlsPort, host: '127.0.0.1', rejectUnauthorized: false, ...options }));
    }
    async stats() {
        const c = this.connect();
        c.send(get('/stats', 'Connection: close\r\n'));
        const text = await c.end();
        c.destroy();
        return JSON.parse(text.slice(text.indexOf('\r\n\r\n') + 4));
    }
    rssKiB() {
        return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.child.pid}/status`, 'utf8'))[1]);
    }
}

/** A raw connection that remembers what came. */
export class Client {
    constructor(socket) {
        this.socket = socket;
        this.text = '';
        this.ended = false;
        this.error = null;
        socket.setNoDelay(true);
        socket.on('data', (d) => (this.text += d.toString('latin1')));
        socket.on('error', (e) => (this.error = e));
        this.over = new Promise((resolve) => {
            socket.on('end', () => { this.ended = true; resolve(); });
            socket.on('close', () => { this.ended = true; resolve(); });
        });
    }
    send(text) {
        this.socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text);
    }
    async see(what) {
        await until(() => this.text.includes(what) || this.ended, `${JSON.stringify(what)} in ${JSON.stringify(this.text.slice(-300))}`);
        assert.ok(this.text.includes(what), `closed before ${what}: ${this.text.slice(-300)}`);
    }
    /** All that comes up to the server's end. */
    async end() {
        await this.over;
        return this.text;
    }
    destroy() {
        this.socket.destroy();
    }
    count(what) {
        return this.text.split(what).length - 1;
    }
}

export const get = (path, fields = '') => `GET ${path} HTTP/1.1\r\nHost: x\r\n${fields}\r\n`;
export const post = (path, body, fields = '') => `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n${fields}\r\n${body}`;
