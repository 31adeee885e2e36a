// SPDX-License-Identifier: MIT
// The HTTP layer over real sockets: http_echo, and clients that behave as badly as they can.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';

import { Client, folder, get, post, program, running, Server, sleep, until } from './echo.mjs';

// None of these may get a 200, and nothing behind them may be taken for a request.
const refused = {
    'Content-Length and Transfer-Encoding': 'POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'two Content-Lengths': 'POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde',
    'Content-Length +5': 'POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nabcde',
    'Content-Length 5,5': 'POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5,5\r\n\r\nabcde',
    'Content-Length 0x5': 'POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\nabcde',
    'Content-Length -1': 'POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n',
    'Content-Length that overflows': 'POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551620\r\n\r\nabcd',
    'Transfer-Encoding gzip': 'POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n',
    'Transfer-Encoding gzip, chunked': 'POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    'Transfer-Encoding in HTTP/1.0': 'POST /echo HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'a space before the colon': 'POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n',
    'a chunk size of 9 digits': 'POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n000000001\r\na\r\n0\r\n\r\n',
    'a chunk size with a sign': 'POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n',
    'a chunk size with garbage': 'POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1 x\r\na\r\n0\r\n\r\n',
    'no CRLF behind a chunk': 'POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab0\r\n\r\n',
    'no Host': 'GET /health HTTP/1.1\r\n\r\n',
    'two Hosts': 'GET /health HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n',
    'a NUL in a field': 'GET /health HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n',
    'a control byte in a field': 'GET /health HTTP/1.1\r\nHost: x\r\nA: b\x08c\r\n\r\n',
    'obs-fold': 'GET /health HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n',
    'bare LF': 'GET /health HTTP/1.1\nHost: x\n\n',
    'a space in a name': 'GET /health HTTP/1.1\r\nHost: x\r\nA B: c\r\n\r\n',
    'over 64 fields': `GET /health HTTP/1.1\r\nHost: x\r\n${'A: b\r\n'.repeat(64)}\r\n`,
    'over 32 KiB of head': `GET /health HTTP/1.1\r\nHost: x\r\nA: ${'b'.repeat(32 << 10)}\r\n\r\n`,
    'a URI over its limit': `GET /${'a'.repeat(8 << 10)} HTTP/1.1\r\nHost: x\r\n\r\n`,
    'a control byte in the URI': 'GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n',
    'a fragment in the URI': 'GET /health#x HTTP/1.1\r\nHost: x\r\n\r\n',
    'an unknown version': 'GET /health HTTP/1.7\r\nHost: x\r\n\r\n',
    'a body over its limit': `POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: ${(32 << 20) + 1}\r\nExpect: 100-continue\r\n\r\n`,
    'the HTTP/2 preface': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'a TLS hello': '\x16\x03\x01\x02\x00\x01\x00',
    'a dot segment': 'GET /x/%2e%2e/health HTTP/1.1\r\nHost: x\r\n\r\n',
};

const server = await Server.start('head_timeout_ms=20000');

for (const [name, text] of Object.entries(refused)) {
    test(`refused: ${name}`, async () => {
        const before = await server.stats();
        const c = server.connect();
        c.send(text + get('/health'));
        const reply = await c.end();
        c.destroy();
        assert.match(reply, /^HTTP\/1\.1 (400|413|414|431|501|505) /);
        assert.equal(reply.match(/HTTP\/1\.1 \d/g).length, 1, reply);
        assert.match(reply, /\r\nConnection: close\r\n/);
        // No request came of it but the one for the counters.
        assert.equal((await server.stats()).requests - before.requests, 1);
    });
}

test('replies have what they should have, and no more', async () => {
    const c = server.connect();
    c.send(post('/echo?q=a%20b', 'hello'));
    await c.see('"body":"hello"}');
    const head = c.text.slice(0, c.text.indexOf('\r\n\r\n'));
    const names = head.split('\r\n').slice(1).map((l) => l.split(':')[0].toLowerCase()).sort();
    assert.deepEqual(names, ['content-length', 'content-type', 'date', 'server', 'x-echo', 'x-request-id']);
    const reply = JSON.parse(c.text.slice(c.text.indexOf('{')));
    assert.equal(reply.q, 'a b');
    assert.equal(reply.tag, 1);
    assert.equal(reply.address, '::ffff:127.0.0.1');
    assert.equal(reply.peer, `127.0.0.1:${c.socket.localPort}`);
    assert.match(head, new RegExp(`X-Request-Id: ${reply.id}`));
    c.destroy();
});

test('2,000 requests on one connection', async () => {
    const c = server.connect();
    const connections = (await server.stats()).connections;
    for (let i = 1; i <= 2000; i++) {
        c.send(i % 3 ? get(i % 2 ? '/health' : '/slow?ms=1') : post('/echo', 'x'.repeat(i)));
        await until(() => c.count('\r\n\r\n') >= i, `reply ${i}`);
    }
    assert.equal(c.count('HTTP/1.1 200 OK\r\n'), 2000);
    assert.ok((await server.stats()).connections <= connections + 1);
    c.destroy();
});

test('pipelined requests are answered in order, also by different threads', async () => {
    const c = server.connect();
    let text = '';
    for (let i = 0; i < 100; i++) text += i % 4 ? get(`/echo?q=${i}`) : get(`/slow?ms=1`);
    c.send(text);
    await until(() => c.count('HTTP/1.1 200 OK\r\n') === 100, '100 replies');
    const order = [...c.text.matchAll(/"q":"(\d+)"|\r\n\r\nslow/g)].map((m) => (m[1] ? Number(m[1]) : -1));
    assert.deepEqual(order, Array.from({ length: 100 }, (_, i) => (i % 4 ? i : -1)));
    c.destroy();
});

test('a request in single bytes', async () => {
    const c = server.connect();
    for (const b of 'POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: v\r\n\r\n') {
        c.send(b);
        await new Promise((r) => setImmediate(r));
    }
    await c.see('"body":"abcde"');
    c.send(get('/health'));
    await c.see('\r\n\r\nok');
    c.destroy();
});

test('Node reads replies and streams; bodies of 20 MB by length and in chunks', async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const ask = (options, body) =>
        new Promise((resolve, reject) => {
            const r = http.request({ port: server.port, host: '127.0.0.1', agent, ...options }, (res) => {
                let size = 0, text = '';
                res.on('data', (d) => ((size += d.length), (text += size < 10000 ? d : '')));
                res.on('end', () => resolve({ status: res.statusCode, size, text, headers: res.headers }));
                res.on('error', reject);
            });
            r.on('error', reject);
            if (Array.isArray(body)) for (const b of body) r.write(b);
            r.end(Array.isArray(body) ? undefined : body);
        });
    assert.equal((await ask({ path: '/stream?n=1000&size=100' })).size, 100000);
    assert.equal((await ask({ path: '/big?n=5000000' })).size, 5000000);
    const big = Buffer.alloc(20 << 20, 'y');
    assert.equal(JSON.parse((await ask({ path: '/echo', method: 'POST' }, big)).text).length, big.length);
    const pieces = Array.from({ length: 20 }, () => Buffer.alloc(1 << 20, 'z'));
    assert.equal(JSON.parse((await ask({ path: '/echo', method: 'POST' }, pieces)).text).length, big.length);
    const head = await ask({ path: '/big?n=777', method: 'HEAD' });
    assert.deepEqual([head.status, head.size, head.headers['content-length']], [200, 0, '777']);
    assert.equal((await ask({ path: '*', method: 'OPTIONS' })).status, 200);
    await assert.rejects(ask({ path: '/broken' }), /aborted|hang up|ECONNRESET/);
    assert.equal((await ask({ path: '/forgotten' })).status, 500);
    agent.destroy();
});

test('an early reply reaches a client that is still sending', async () => {
    const c = server.connect();
    c.send(`POST /denied HTTP/1.1\r\nHost: x\r\nContent-Length: ${20 << 20}\r\n\r\n`);
    for (let i = 0; i < 160; i++) c.send(Buffer.alloc(64 << 10, 'u'));
    await c.see('denied');
    assert.match(c.text, /^HTTP\/1\.1 401 /);
    await c.end();
    c.destroy();
});

test('Expect: 100-continue is answered when the body will be taken', async () => {
    const c = server.connect();
    c.send('POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n');
    await c.see('HTTP/1.1 100 Continue\r\n\r\n');
    c.send('abc');
    await c.see('"body":"abc"');
    const d = server.connect();
    d.send('POST /denied HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n');
    assert.match(await d.end(), /^HTTP\/1\.1 401 /);
    assert.equal(d.count('100 Continue'), 0);
    c.destroy();
    d.destroy();
});

test('HTTP/1.0 gets a body up to the close', async () => {
    const c = server.connect();
    c.send('GET /stream?n=3&size=4 HTTP/1.0\r\n\r\n');
    const text = await c.end();
    assert.match(text, /\r\nConnection: close\r\n/);
    assert.doesNotMatch(text, /Transfer-Encoding/);
    assert.ok(text.endsWith('\r\n\r\nxxxxxxxxxxxx'));
    c.destroy();
});

for (const how of ['closes', 'resets', 'half-closes']) {
    for (const path of ['/pending', '/silent', '/slow?ms=60000', '/stream?n=1000000&ms=50']) {
        test(`a client that ${how} is noticed: ${path}`, async () => {
            const before = await server.stats();
            const c = server.connect();
            c.send(get(path));
            if (path === '/silent' || path.startsWith('/stream')) await c.see('\r\n\r\n');
            await until(async () => (await server.stats()).workers === before.workers + 1, 'the worker starts');
            if (how === 'closes') c.destroy();
            else if (how === 'resets') c.socket.resetAndDestroy();
            else c.socket.end();
            await until(async () => (await server.stats()).gone === before.gone + 1, 'on_gone');
            await until(async () => (await server.stats()).workers === before.workers, 'the worker ends');
            c.destroy();
        });
    }
}

test('256 MiB that nobody asked for, during a stream', async () => {
    const before = server.rssKiB();
    const c = server.connect();
    c.send(get('/silent'));
    await c.see('\r\n\r\n');
    const piece = Buffer.alloc(1 << 20, 'j');
    let peak = 0;
    for (let i = 0; i < 256 && !c.ended && c.error === null; i++) {
        await new Promise((resolve) => c.socket.write(piece, resolve));
        peak = Math.max(peak, server.rssKiB());
    }
    assert.ok(peak - before < 16 << 10, `${peak - before} KiB more`);
    await until(() => c.ended || c.error !== null, 'it is cut');
    c.destroy();
});

test('pieces wait for a reader that pauses, and go on', async () => {
    const c = server.connect();
    c.send(get('/stream?n=20000&size=1000'));
    await c.see('\r\n\r\n');
    c.socket.pause();
    const before = await server.stats();
    await sleep(100); // more than enough for a worker to fill its queue and the socket's buffers
    c.socket.resume();
    await c.see('0\r\n\r\n');
    assert.equal(c.count('3e8\r\n'), 20000);
    assert.ok((await server.stats()).writable > before.writable);
    c.destroy();
});

test('deadlines: a dripped head, a dripped body, a silent connection, an idle one', async () => {
    const s = await Server.start('head_timeout_ms=300', 'body_timeout_ms=300', 'idle_timeout_ms=300', 'linger_ms=300');
    const drip = async (c, text) => {
        for (const b of text) {
            if (c.ended) return;
            c.send(b);
            await sleep(20);
        }
    };
    const head = s.connect(), body = s.connect(), silent = s.connect(), idle = s.connect();
    idle.send(get('/health'));
    body.send('POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n');
    await Promise.all([drip(head, `GET / HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(500)}`), drip(body, 'b'.repeat(500))]);
    assert.match(await head.end(), /^HTTP\/1\.1 408 /);
    assert.match(await body.end(), /^HTTP\/1\.1 408 /);
    assert.equal(await silent.end(), '');
    assert.match(await idle.end(), /^HTTP\/1\.1 200 [^]*ok$/);
    for (const c of [head, body, silent, idle]) c.destroy();
    await until(async () => (await s.stats()).connections === 1, 'all are closed');
    await s.stop();
});

test('a reader that stops reading is cut, and the others do not notice', async () => {
    const s = await Server.start('write_stall_ms=1000');
    const slow = s.connect();
    slow.send(get('/flood?size=5000'));
    await slow.see('\r\n\r\n');
    slow.socket.pause();
    const before = s.rssKiB();
    const other = s.connect();
    let n = 0;
    await until(async () => {
        other.send(get('/health'));
        n++;
        await until(() => other.count('\r\n\r\nok') === n, 'a reply for the other');
        return (await s.stats()).gone === 1;
    }, 'the slow one is cut');
    assert.ok(s.rssKiB() - before < 16 << 10);
    await until(async () => (await s.stats()).workers === 0, 'its worker ends');
    slow.destroy();
    other.destroy();
    await s.stop();
});

test('over max_connections the idle ones go first, then newcomers get 503', async () => {
    const s = await Server.start('max_connections=3');
    const idle = s.connect();
    idle.send(get('/health'));
    await idle.see('ok');
    const busy = [s.connect(), s.connect(), s.connect()];
    for (const c of busy) {
        c.send(get('/silent'));
        await c.see('\r\n\r\n');
    }
    await idle.end();
    const late = s.connect();
    assert.match(await late.end(), /^HTTP\/1\.1 503 [^]*Retry-After: 1\r\n/);
    busy[0].destroy();
    await until(async () => {
        const c = s.connect();
        c.send(get('/health', 'Connection: close\r\n'));
        const text = await c.end();
        c.destroy();
        return text.startsWith('HTTP/1.1 200');
    }, 'there is room again');
    for (const c of [idle, late, ...busy]) c.destroy();
    await s.stop();
});

test('a body that a route limits', async () => {
    const ask = async (text) => {
        const c = server.connect();
        c.send(text);
        await until(() => c.count('\r\n\r\n') > 0, 'a reply');
        c.destroy();
        return c.text;
    };
    const before = await server.stats();
    assert.match(await ask(post('/small', 'x'.repeat(100))), /^HTTP\/1\.1 200 /);
    assert.match(await ask(post('/small', 'x'.repeat(101))), /^HTTP\/1\.1 413 /);
    // Announced, it is refused before the client sends it.
    assert.match(await ask('POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\nExpect: 100-continue\r\n\r\n'), /^HTTP\/1\.1 413 /);
    const chunks = (n) => `POST /small HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${'5\r\nabcde\r\n'.repeat(n)}0\r\n\r\n`;
    assert.match(await ask(chunks(20)), /^HTTP\/1\.1 200 /);
    assert.match(await ask(chunks(21)), /^HTTP\/1\.1 413 /);
    assert.match(await ask(post('/echo', 'x'.repeat(101))), /^HTTP\/1\.1 200 /);
    const stats = await server.stats();
    assert.deepEqual([stats.requests - before.requests, stats.heads - before.heads], [4, 7]);
});

test('connections of one address', async () => {
    const s = await Server.start('max_per_address=3');
    // The server's counters come over another address, 127.0.0.2, which is as much of this machine.
    const other = () => new Client(net.connect({ port: s.port, host: '127.0.0.1', localAddress: '127.0.0.2' }));
    const idle = s.connect();
    idle.send(get('/health'));
    await idle.see('ok');
    const busy = [];
    for (let i = 0; i < 3; i++) {
        busy.push(s.connect());
        busy[i].send(get('/silent'));
        await busy[i].see('\r\n\r\n');
    }
    await idle.end(); // it made way for the third
    const late = s.connect(), elsewhere = other();
    assert.match(await late.end(), /^HTTP\/1\.1 503 [^]*Retry-After: 1\r\n/);
    elsewhere.send(get('/health'));
    await elsewhere.see('\r\n\r\nok');
    busy[0].destroy();
    await until(async () => {
        const c = s.connect();
        c.send(get('/health', 'Connection: close\r\n'));
        const text = await c.end();
        c.destroy();
        return text.startsWith('HTTP/1.1 200');
    }, 'there is room again');
    for (const c of [idle, late, elsewhere, ...busy]) c.destroy();
    await s.stop();
});

test('a unix socket, its permissions, and a stale file', async () => {
    const path = join(folder, 's.sock');
    const s = await Server.start(`unix=${path}`);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const c = new Client(net.connect(path));
    c.send(post('/echo', 'u'));
    await c.see('"body":"u"');
    assert.match(c.text, /"unix":true,"tls":false,"tag":2,/);
    assert.match(c.text, /"peer":"unix","address":null/);
    c.destroy();
    // Somebody answers there: a second server must not take it.
    const second = spawnSync(program, [`unix=${path}`], { timeout: 10000 });
    assert.equal(second.status, 1);
    assert.match(second.stderr.toString(), /somebody answers/);
    s.child.kill('SIGKILL');
    await s.exit;
    running.delete(s);
    assert.ok(existsSync(path));
    const t = await Server.start(`unix=${path}`);
    await t.stop();
    assert.ok(!existsSync(path));
    writeFileSync(path, 'precious');
    const third = spawnSync(program, [`unix=${path}`], { timeout: 10000 });
    assert.equal(third.status, 1);
    assert.equal(readFileSync(path, 'utf8'), 'precious');
    chmodSync(path, 0o600);
});

test('SIGTERM: idle connections close, running replies finish, then the program ends', async () => {
    const s = await Server.start('drain_ms=20000');
    const idle = s.connect(), stream = s.connect(), pending = s.connect();
    idle.send(get('/health'));
    await idle.see('ok');
    stream.send(get('/stream?n=20&ms=20'));
    pending.send(get('/slow?ms=300'));
    await stream.see('\r\n\r\n');
    await until(async () => (await s.stats()).workers === 2, 'both run');
    s.child.kill('SIGTERM');
    await idle.end();
    assert.ok((await stream.end()).endsWith('0\r\n\r\n'));
    assert.match(await pending.end(), /Connection: close\r\n[^]*slow$/);
    assert.deepEqual(await s.exit, { code: 0, signal: null });
    running.delete(s);
    const late = s.connect();
    await late.end();
    assert.equal(late.error?.code, 'ECONNREFUSED');
    for (const c of [idle, stream, pending]) c.destroy();
});

test('SIGTERM: what does not end in time is cut', async () => {
    const s = await Server.start('drain_ms=100');
    const c = s.connect();
    c.send(get('/silent'));
    await c.see('\r\n\r\n');
    await s.stop();
    await c.end();
    assert.ok(!c.text.includes('0\r\n\r\n'));
    c.destroy();
});

test('nothing is left over', async () => {
    await until(async () => {
        const s = await server.stats();
        return s.connections === 1 && s.workers === 0;
    }, 'all connections are closed');
    const s = await server.stats();
    assert.equal(s.heads, s.ends + 1);
    assert.ok(s.memory < 64 << 10, `${s.memory} bytes`);
    await server.stop();
});
