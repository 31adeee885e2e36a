// SPDX-License-Identifier: MIT
// Running the real program: to its end, or in a terminal of its own.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const root = new URL('../..', import.meta.url).pathname;
export const drover = process.env.DROVER ?? join(root, 'build', 'drover');
export const model = join(root, 'models', 'pocket-dictionary.gguf');

const env = { ...process.env, LC_ALL: 'C.UTF-8', TERM: 'xterm' };

/** Run drover with args; {code, out, err} as text. A run that hangs is killed and fails. */
export function run(args, input = '', options = {}) {
    const r = spawnSync(drover, args, { input, env, timeout: 120000, maxBuffer: 1 << 26, ...options });
    assert.equal(r.error, undefined, `${args.join(' ')}: ${r.error}`);
    assert.equal(r.signal, null, `${args.join(' ')} was killed by ${r.signal}\n${r.stderr}`);
    return { code: r.status, out: r.stdout.toString(), err: r.stderr.toString() };
}

/** Standard output of a run that must succeed. */
export function ok(args, input, options) {
    const r = run(args, input, options);
    assert.equal(r.code, 0, `${args.join(' ')}: ${r.err}`);
    return r.out;
}

/** A run that must fail with this exit code and one sentence "drover CMD: ..." that matches. */
export function fails(args, code, says, input) {
    const r = run(args, input);
    assert.equal(r.code, code, `${args.join(' ')}: ${r.out}${r.err}`);
    assert.match(r.err, says);
    const line = r.err.split('\n')[0];
    assert.ok(line.startsWith(`drover ${args[0]}: `), line);
    assert.equal(r.out, '');
    return r.err;
}

/** Run a shell command in which "$drover" is the program. */
export function shell(command, options = {}) {
    const r = spawnSync('sh', ['-c', command], { env: { ...env, drover, model }, timeout: 120000, ...options });
    return { code: r.status, out: r.stdout.toString(), err: r.stderr.toString() };
}

export const json = (args) => JSON.parse(ok(args));

/** A folder that is removed when the test program ends. */
export function folder() {
    const path = mkdtempSync(join(tmpdir(), 'drover-test-'));
    process.on('exit', () => rmSync(path, { recursive: true, force: true }));
    return path;
}

export const fifo = (path) => execFileSync('mkfifo', [path]);

/** drover in a pseudo-terminal (that of script(1)); see() waits for output that has not been seen yet. With exec, since a shell that waits for the
 *  program would be interrupted by Ctrl-C as well. */
export class Terminal {
    constructor(args) {
        const quoted = [drover, ...args].map((a) => `'${a.replaceAll("'", "'\\''")}'`).join(' ');
        this.text = '';
        this.at = 0;
        this.child = spawn('script', ['-qfec', `exec ${quoted}`, '/dev/null'], { env, stdio: 'pipe' });
        this.child.stdout.on('data', (d) => (this.text += d.toString('latin1')));
        this.closed = new Promise((resolve) => this.child.on('close', (code) => resolve(code)));
    }
    type(text) {
        this.child.stdin.write(text);
    }
    async see(what, timeoutMs = 60000) {
        const end = Date.now() + timeoutMs;
        for (;;) {
            const rest = this.text.slice(this.at);
            const found = typeof what === 'string' ? rest.indexOf(what) : rest.search(what);
            if (found >= 0) {
                this.at += found + (typeof what === 'string' ? what.length : rest.match(what)[0].length);
                return rest.slice(0, found);
            }
            if (Date.now() > end) {
                this.child.kill();
                assert.fail(`${what} did not come; output: ${JSON.stringify(this.text)}`);
            }
            await new Promise((r) => setTimeout(r, 10));
        }
    }
    /** Exit code, once the program has ended. */
    async end(timeoutMs = 60000) {
        const late = setTimeout(() => this.child.kill(), timeoutMs);
        const code = await this.closed;
        clearTimeout(late);
        return code;
    }
}
