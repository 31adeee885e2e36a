// SPDX-License-Identifier: MIT
// The process under test: started, watched from outside, stopped.
import { spawn } from 'node:child_process';
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { get, once } from './wire.mjs';

const START_MS = 60000;
const LOG_MAX = 1 << 20;

// A small quarantine: freed memory that AddressSanitizer keeps must not look like growth.
const env = { ...process.env, ASAN_OPTIONS: `quarantine_size_mb=8:${process.env.ASAN_OPTIONS ?? ''}` };

export class Server {
    static async start(program, args) {
        const s = new Server();
        s.child = spawn(program, ['engine', '--host', '127.0.0.1', '--port', '0', ...args], { stdio: ['ignore', 'ignore', 'pipe'], env });
        s.pid = s.child.pid;
        s.log = '';
        s.ended = null;
        s.end = new Promise((resolve) => s.child.on('close', (code, signal) => resolve((s.ended = { code, signal }))));
        s.port = await new Promise((resolve, reject) => {
            setTimeout(() => reject(new Error(`not started: ${s.log}`)), START_MS).unref();
            s.child.stderr.on('data', (d) => {
                if (s.log.length < LOG_MAX) s.log += d;
                const m = /listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(s.log);
                if (m !== null) resolve(Number(m[1]));
            });
            s.end.then(() => reject(new Error(`ended at the start: ${s.log}`)));
        });
        return s;
    }
    /** Anonymous memory in KiB; 0 once it is gone. */
    memory() {
        try {
            return Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))[1]);
        } catch {
            return 0;
        }
    }
    /** What is open, sorted. */
    open() {
        const folder = `/proc/${this.pid}/fd`;
        return readdirSync(folder).map((n) => {
            try {
                return readlinkSync(`${folder}/${n}`);
            } catch {
                return 'gone';
            }
        }).sort();
    }
    /** A gauge or counter of /metrics. */
    async metric(name) {
        const reply = await once(this.port, get('/metrics'));
        const line = reply.body.split('\n').find((l) => l.startsWith(`${name} `));
        return line === undefined ? NaN : Number(line.slice(name.length + 1));
    }
    async healthy() {
        const reply = await once(this.port, get('/health'));
        return reply.status === 200 && JSON.parse(reply.body).status === 'ok';
    }
}
