// SPDX-License-Identifier: MIT
// A client that sees the bytes: HTTP/1.1 over a socket of its own, strict about what comes back, free in what it sends.
import net from 'node:net';

const LATE_MS = 60000; // for a broken server only

export class Broken extends Error {}

export class Wire {
    constructor(port) {
        this.buffer = Buffer.alloc(0);
        this.over = false;
        this.waiting = null;
        this.socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
        this.socket.setNoDelay(true);
        this.socket.on('data', (d) => {
            this.buffer = this.buffer.length > 0 ? Buffer.concat([this.buffer, d]) : d;
            this.#wake();
        });
        const end = (e) => {
            this.over = true;
            this.error ??= e instanceof Error ? e : undefined;
            this.#wake();
        };
        for (const event of ['end', 'close', 'error']) this.socket.on(event, end);
        this.late = setTimeout(() => this.socket.destroy(new Error('no answer')), LATE_MS);
    }
    #wake() {
        const w = this.waiting;
        this.waiting = null;
        w?.();
    }
    send(data) {
        if (!this.socket.destroyed) this.socket.write(data);
    }
    /** Leave: quietly, or with a reset. */
    leave(reset = false) {
        clearTimeout(this.late);
        if (reset) this.socket.resetAndDestroy();
        else this.socket.destroy();
    }
    /** More bytes, or the end: false. */
    async more() {
        if (this.over) return false;
        await new Promise((resolve) => (this.waiting = resolve));
        return true;
    }
    async #upTo(mark) {
        let at;
        while ((at = this.buffer.indexOf(mark)) < 0)
            if (!(await this.more())) throw new Broken(`closed before ${JSON.stringify(mark)}: ${this.error ?? ''} ${this.buffer.subarray(0, 200).toString('latin1')}`);
        return this.#take(at + mark.length).subarray(0, at).toString('latin1');
    }
    async #exactly(n) {
        while (this.buffer.length < n) if (!(await this.more())) throw new Broken(`closed ${n - this.buffer.length} bytes early`);
        return this.#take(n);
    }
    #take(n) {
        const head = this.buffer.subarray(0, n);
        this.buffer = this.buffer.subarray(n);
        return head;
    }
    /** Status line and fields; the names in lower case. */
    async head() {
        const [line, ...rows] = (await this.#upTo('\r\n\r\n')).split('\r\n');
        const m = /^HTTP\/1\.1 (\d{3}) /.exec(line);
        if (m === null) throw new Broken(`not a status line: ${line}`);
        return { status: Number(m[1]), fields: new Map(rows.map((r) => [r.slice(0, r.indexOf(':')).toLowerCase(), r.slice(r.indexOf(':') + 1).trim()])) };
    }
    /** The pieces of a body as they come; returns when it is complete and throws if it never will be. */
    async *pieces(head) {
        if (head.fields.get('transfer-encoding') !== 'chunked') {
            const n = Number(head.fields.get('content-length') ?? NaN);
            if (!Number.isInteger(n)) throw new Broken(`a reply without length: ${head.status}`);
            yield await this.#exactly(n);
            return;
        }
        for (;;) {
            const n = parseInt(await this.#upTo('\r\n'), 16);
            if (Number.isNaN(n)) throw new Broken('not a chunk');
            const data = await this.#exactly(n + 2);
            if (n === 0) return;
            yield data.subarray(0, n);
        }
    }
    async reply() {
        const head = await this.head();
        const parts = [];
        for await (const p of this.pieces(head)) parts.push(p);
        return { ...head, body: Buffer.concat(parts).toString() };
    }
}

export const get = (path, fields = '') => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${fields}\r\n`;
export function post(path, value, fields = '') {
    const body = typeof value === 'string' ? value : JSON.stringify(value);
    return `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${fields}\r\n${body}`;
}

/** One request on a connection of its own. */
export async function once(port, text) {
    const w = new Wire(port);
    try {
        w.send(text);
        return await w.reply();
    } finally {
        w.leave();
    }
}
