// SPDX-License-Identifier: MIT
// HTTP over TLS: http_echo, Node's client, and clients that leave in the middle of everything.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, readFileSync } from 'node:fs';
import https from 'node:https';
import net from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';

import { certificate, Client, folder, get, program, Server, sleep, until } from './echo.mjs';

const first = certificate('first'), second = certificate('second', 'rsa:2048');
const start = (...args) => Server.start(`cert=${first.cert}`, `key=${first.key}`, ...args);
const server = await start('head_timeout_ms=20000');

/** The name on the certificate that a new connection gets. */
async function certificateName(s) {
    const c = s.secure();
    await new Promise((resolve, reject) => c.socket.once('secureConnect', resolve).once('error', reject));
    const name = c.socket.getPeerCertificate().subject.CN;
    c.destroy();
    return name;
}

const ask = (s, options, body) =>
    new Promise((resolve, reject) => {
        const r = https.request({ port: s.tlsPort, host: '127.0.0.1', rejectUnauthorized: false, ...options }, (res) => {
            let size = 0, text = '';
            const protocol = res.socket.getProtocol();
            res.on('data', (d) => ((size += d.length), (text += size < 10000 ? d : '')));
            res.on('end', () => resolve({ status: res.statusCode, size, text, reused: r.reusedSocket, protocol }));
            res.on('error', reject);
        });
        r.on('error', reject);
        if (Array.isArray(body)) for (const b of body) r.write(b);
        r.end(Array.isArray(body) ? undefined : body);
    });

test('a request, and another one on the same connection', async () => {
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
    for (let i = 0; i < 50; i++) {
        const reply = await ask(server, { path: '/echo', method: 'POST', agent }, `n${i}`);
        const { tls, tag, body, peer } = JSON.parse(reply.text);
        assert.deepEqual({ tls, tag, body, reused: reply.reused }, { tls: true, tag: 3, body: `n${i}`, reused: i > 0 });
        assert.match(peer, /^127\.0\.0\.1:\d+$/);
    }
    agent.destroy();
});

test('the certificate is checked by a client that does so', async () => {
    const reply = await ask(server, { path: '/health', ca: readFileSync(first.cert), rejectUnauthorized: true, servername: 'localhost' });
    assert.equal(reply.text, 'ok');
});

for (const version of ['TLSv1.2', 'TLSv1.3']) {
    test(`${version}: streams of many pieces, large bodies both ways`, async () => {
        const agent = new https.Agent({ keepAlive: true, maxSockets: 1, minVersion: version, maxVersion: version });
        const stream = await ask(server, { path: '/stream?n=5000&size=100', agent });
        assert.deepEqual([stream.size, stream.protocol], [500000, version]);
        assert.equal((await ask(server, { path: '/big?n=20000000', agent })).size, 20000000);
        const big = Buffer.alloc(20 << 20, 'y');
        assert.equal(JSON.parse((await ask(server, { path: '/echo', method: 'POST', agent }, big)).text).length, big.length);
        const pieces = Array.from({ length: 20 }, () => Buffer.alloc(1 << 20, 'z'));
        assert.equal(JSON.parse((await ask(server, { path: '/echo', method: 'POST', agent }, pieces)).text).length, big.length);
        await assert.rejects(ask(server, { path: '/broken', agent }), /aborted|hang up|ECONNRESET/);
        agent.destroy();
    });
}

test('the bytes of a large reply are the right ones, however the client reads', async () => {
    const c = server.secure();
    c.send(get('/stream?n=20000&size=1000'));
    await c.see('\r\n\r\n');
    c.socket.pause();
    const before = await server.stats();
    await sleep(100); // more than enough for a worker to fill its queue and the socket's buffers
    c.socket.resume();
    await c.see('\r\n0\r\n\r\n');
    const body = c.text.slice(c.text.indexOf('\r\n\r\n') + 4);
    assert.equal(body, `3e8\r\n${'x'.repeat(1000)}\r\n`.repeat(20000) + '0\r\n\r\n');
    assert.ok((await server.stats()).writable > before.writable);
    c.destroy();
});

test('ALPN: http/1.1, or nothing, or a refusal', async () => {
    for (const protocols of [['h2', 'http/1.1'], ['http/1.1'], undefined]) {
        const c = server.secure({ ALPNProtocols: protocols });
        c.send(get('/health'));
        await c.see('\r\n\r\nok');
        assert.equal(c.socket.alpnProtocol, protocols ? 'http/1.1' : false);
        c.destroy();
    }
    const c = server.secure({ ALPNProtocols: ['h2'] });
    await c.end();
    assert.match(String(c.error), /no application protocol/);
    c.destroy();
});

test('old versions are refused, and the client is told', async () => {
    const c = server.secure({ minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' });
    await c.end();
    assert.match(String(c.error), /alert protocol version/);
    c.destroy();
    const s = await start('tls=1.3');
    const d = s.secure({ maxVersion: 'TLSv1.2' });
    await d.end();
    assert.match(String(d.error), /alert protocol version/);
    d.destroy();
    assert.equal((await ask(s, { path: '/health' })).protocol, 'TLSv1.3');
    await s.stop();
});

test('weak ciphers are refused', async () => {
    for (const ciphers of ['AES128-SHA@SECLEVEL=0', 'ECDHE-ECDSA-AES128-SHA@SECLEVEL=0', 'ECDHE-ECDSA-AES128-SHA256@SECLEVEL=0']) {
        const c = server.secure({ maxVersion: 'TLSv1.2', ciphers });
        await c.end();
        assert.match(String(c.error), /alert handshake failure/, ciphers);
        c.destroy();
    }
});

test('no renegotiation', async () => {
    const c = server.secure({ maxVersion: 'TLSv1.2' });
    c.send(get('/health'));
    await c.see('ok');
    const error = await new Promise((resolve) => {
        c.socket.once('error', resolve);
        c.socket.renegotiate({}, (e) => resolve(e));
    });
    assert.match(String(error), /no renegotiation|ECONNRESET|closed|hang up/);
    c.destroy();
});

test('plain HTTP on a TLS port is closed', async () => {
    const c = new Client(net.connect({ port: server.tlsPort, host: '127.0.0.1' }));
    c.send(get('/health'));
    await c.end();
    assert.ok(!c.text.includes('HTTP/1.1'));
    await until(() => /TLS: http request/.test(server.err), 'a line in the log');
    c.destroy();
});

test('garbage and half a handshake', async () => {
    for (const text of ['\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00', '\x80\x2e\x01\x00\x02', 'x'.repeat(100000), '\x16\x03\x01\xff\xff']) {
        const c = new Client(net.connect({ port: server.tlsPort, host: '127.0.0.1' }));
        c.send(text);
        await sleep(5);
        c.socket.end();
        await c.end();
        c.destroy();
    }
    assert.equal((await ask(server, { path: '/health' })).text, 'ok');
});

test('slow handshakes are closed at the time-out for heads', async () => {
    const s = await start('head_timeout_ms=300');
    const silent = new Client(net.connect({ port: s.tlsPort, host: '127.0.0.1' }));
    const drip = new Client(net.connect({ port: s.tlsPort, host: '127.0.0.1' }));
    const hello = `\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03${'\0'.repeat(500)}`;
    for (const b of hello) {
        if (drip.ended) break;
        drip.send(b);
        await sleep(20);
    }
    assert.ok(drip.ended);
    await silent.end();
    // And a head that drips through a finished handshake.
    const head = s.secure();
    for (const b of `GET / HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(500)}`) {
        if (head.ended) break;
        head.send(b);
        await sleep(20);
    }
    assert.match(await head.end(), /^HTTP\/1\.1 408 /);
    await until(async () => (await s.stats()).connections === 1, 'all are closed');
    for (const c of [silent, drip, head]) c.destroy();
    await s.stop();
});

test('half a handshake counts as a connection', async () => {
    for (const limit of ['max_connections=3', 'max_per_address=3']) {
        const s = await start(limit);
        const half = [];
        for (let i = 0; i < 3; i++) {
            half.push(new Client(net.connect({ port: s.tlsPort, host: '127.0.0.1' })));
            half[i].send('\x16\x03\x01\x02\x00\x01\x00');
            await new Promise((resolve) => half[i].socket.once('connect', resolve));
        }
        // The oldest one makes way.
        const c = s.secure();
        c.send(get('/silent'));
        await c.see('\r\n\r\n');
        await half[0].end();
        assert.deepEqual(half.map((h) => h.ended), [true, false, false]);
        const busy = [s.secure(), s.secure()];
        for (const b of busy) {
            b.send(get('/silent'));
            await b.see('\r\n\r\n');
        }
        // Now nobody can, and a newcomer is closed without a word.
        const late = s.secure();
        await late.end();
        assert.ok(late.error !== null && late.text === '');
        for (const x of [c, late, ...half, ...busy]) x.destroy();
        await s.stop();
    }
});

for (const how of ['closes', 'resets', 'half-closes']) {
    for (const path of ['/pending', '/silent', '/slow?ms=60000', '/stream?n=1000000&ms=50']) {
        test(`a client that ${how} is noticed: ${path}`, async () => {
            const before = await server.stats();
            const raw = net.connect({ port: server.tlsPort, host: '127.0.0.1', allowHalfOpen: true });
            const c = server.secure({ socket: raw });
            c.send(get(path));
            if (path === '/silent' || path.startsWith('/stream')) await c.see('\r\n\r\n');
            await until(async () => (await server.stats()).workers === before.workers + 1, 'the worker starts');
            if (how === 'closes') raw.destroy(); // no close_notify
            else if (how === 'resets') raw.resetAndDestroy();
            else c.socket.end(); // close_notify
            await until(async () => (await server.stats()).gone === before.gone + 1, 'on_gone');
            await until(async () => (await server.stats()).workers === before.workers, 'the worker ends');
            c.destroy();
            raw.destroy();
        });
    }
}

test('an early reply reaches a client that is still sending', async () => {
    const c = server.secure();
    c.send(`POST /denied HTTP/1.1\r\nHost: x\r\nContent-Length: ${20 << 20}\r\n\r\n`);
    for (let i = 0; i < 160; i++) c.send(Buffer.alloc(64 << 10, 'u'));
    await c.see('denied');
    assert.match(c.text, /^HTTP\/1\.1 401 /);
    await c.end();
    c.destroy();
});

test('256 MiB that nobody asked for, during a stream', async () => {
    const before = server.rssKiB();
    const c = server.secure();
    c.send(get('/silent'));
    await c.see('\r\n\r\n');
    const piece = Buffer.alloc(1 << 20, 'j');
    let peak = 0;
    for (let i = 0; i < 256 && !c.ended && c.error === null; i++) {
        await Promise.race([new Promise((resolve) => c.socket.write(piece, resolve)), c.over]);
        peak = Math.max(peak, server.rssKiB());
    }
    assert.ok(peak - before < 16 << 10, `${peak - before} KiB more`);
    await until(() => c.ended || c.error !== null, 'it is cut');
    c.destroy();
});

test('a reader that stops reading is cut, and the others do not notice', async () => {
    const s = await start('write_stall_ms=1000');
    const slow = s.secure();
    slow.send(get('/flood?size=5000'));
    await slow.see('\r\n\r\n');
    slow.socket.pause();
    const other = s.secure();
    let n = 0;
    await until(async () => {
        other.send(get('/health'));
        n++;
        await until(() => other.count('\r\n\r\nok') === n, 'a reply for the other');
        return (await s.stats()).gone === 1;
    }, 'the slow one is cut');
    await until(async () => (await s.stats()).workers === 0, 'its worker ends');
    slow.destroy();
    other.destroy();
    await s.stop();
});

test('SIGHUP: new files for new connections, the old ones go on', async () => {
    const cert = join(folder, 'live.pem'), key = join(folder, 'live.key');
    const install = (from) => (copyFileSync(from.cert, cert), copyFileSync(from.key, key));
    install(first);
    const s = await Server.start(`cert=${cert}`, `key=${key}`);
    let reloads = 0;
    const reload = async () => {
        reloads++;
        s.child.kill('SIGHUP');
        await until(() => s.err.split('reload: ').length - 1 === reloads, 'a reload');
        return s.err.slice(s.err.lastIndexOf('reload: ') + 8).trim();
    };
    const idle = s.secure(), stream = s.secure();
    idle.send(get('/health'));
    await idle.see('ok');
    stream.send(get('/stream?n=40&ms=20'));
    await stream.see('\r\n\r\n');
    assert.equal(await certificateName(s), 'first');
    install(second);
    assert.equal(await reload(), 'done');
    assert.equal(await certificateName(s), 'second');
    // What is wrong is said, and changes nothing.
    copyFileSync(first.key, key);
    assert.match(await reload(), /live\.key: not the key of the certificate in .*live\.pem/);
    assert.equal(await certificateName(s), 'second');
    copyFileSync(first.key, cert);
    assert.match(await reload(), /live\.pem: not a certificate in PEM/);
    assert.equal(await certificateName(s), 'second');
    await stream.see('\r\n0\r\n\r\n');
    assert.equal(stream.socket.getPeerCertificate().subject.CN, 'first');
    idle.send(get('/echo'));
    await idle.see('"tls":true');
    for (const c of [idle, stream]) c.destroy();
    await s.stop();
});

test('a start with bad files fails and names them; a key that others can read is a warning', async () => {
    const run = (cert, key) => spawnSync(program, [`cert=${cert}`, `key=${key}`], { timeout: 10000 });
    const missing = join(folder, 'missing.pem');
    const bad = run(missing, first.key);
    assert.equal(bad.status, 1);
    assert.ok(bad.stderr.toString().includes(missing));
    const open = join(folder, 'open.key');
    copyFileSync(first.key, open);
    chmodSync(open, 0o644);
    const s = await Server.start(`cert=${first.cert}`, `key=${open}`);
    await until(() => /^1 .*open\.key: other users can read this key/m.test(s.err), 'the warning');
    await s.stop();
});

test('100 connections at one time', async () => {
    const agent = new https.Agent({ keepAlive: true });
    const replies = await Promise.all(Array.from({ length: 100 }, (_, i) =>
        i % 2 ? ask(server, { path: '/stream?n=50&ms=1&size=10', agent }) : ask(server, { path: '/echo', method: 'POST', agent }, Buffer.alloc(100000, 'c'))));
    for (const [i, r] of replies.entries()) assert.ok(i % 2 ? r.size === 500 : JSON.parse(r.text).length === 100000);
    assert.ok((await server.stats()).connections > 50);
    agent.destroy();
});

test('SIGTERM: idle connections close, running replies finish, then the program ends', async () => {
    const s = await start('drain_ms=20000');
    const idle = s.secure(), stream = s.secure(), half = new Client(net.connect({ port: s.tlsPort, host: '127.0.0.1' }));
    idle.send(get('/health'));
    await idle.see('ok');
    half.send('\x16\x03\x01\x02');
    stream.send(get('/stream?n=20&ms=20'));
    await stream.see('\r\n\r\n');
    await s.stop();
    await idle.end();
    await half.end();
    assert.ok((await stream.end()).endsWith('0\r\n\r\n'));
    for (const c of [idle, stream, half]) c.destroy();
});

test('SIGTERM: what does not end in time is cut', async () => {
    const s = await start('drain_ms=100');
    const c = s.secure(), full = s.secure();
    c.send(get('/silent'));
    await c.see('\r\n\r\n');
    full.send(get('/flood?size=50000'));
    await full.see('\r\n\r\n');
    full.socket.pause();
    await s.stop();
    await c.end();
    assert.ok(!c.text.includes('0\r\n\r\n'));
    c.destroy();
    full.destroy();
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
