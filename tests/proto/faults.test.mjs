// SPDX-License-Identifier: MIT
// Many clients that want nothing, take their time, or take nothing: what they cost, and that the others do not notice. Plain, and with TLS.
import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';

import { certificate, Client, get, Server, sleep, until } from './echo.mjs';

const { cert, key } = certificate('faults');
const start = (...args) => Server.start(`cert=${cert}`, `key=${key}`, ...args);
const sanitized = process.env.SANITIZED === 'true'; // then memory is not what it is
const kinds = { plain: (s, options) => s.connect(options), TLS: (s, options) => s.secure(options) };

/** Somebody who behaves: a request, a stream, a larger body. */
async function others(s, connect) {
    const c = connect(s);
    c.send(get('/health'));
    await c.see('\r\n\r\nok');
    c.send(get('/stream?n=50&size=10'));
    await c.see('\r\n0\r\n\r\n');
    c.send(`POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n${'e'.repeat(100000)}`);
    await c.see('"length":100000');
    c.destroy();
}

for (const [kind, connect] of Object.entries(kinds)) {
    test(`${kind}: 1,000 idle connections`, async () => {
        const s = await start('max_connections=1100', 'idle_timeout_ms=60000');
        await others(s, connect);
        const before = { rss: s.rssKiB(), memory: (await s.stats()).memory };
        const idle = [];
        while (idle.length < 1000) {
            const some = Array.from({ length: 100 }, () => connect(s));
            for (const c of some) c.send(get('/health'));
            for (const c of some) await c.see('\r\n\r\nok');
            idle.push(...some);
        }
        const { connections, memory } = await s.stats();
        assert.equal(connections, 1001);
        assert.ok(memory - before.memory < 1000 * 1024, `${memory - before.memory} bytes`);
        const perConnection = (s.rssKiB() - before.rss) / 1000;
        assert.ok(sanitized || perConnection < 64, `${perConnection} KiB for one`);
        for (let i = 0; i < 5; i++) await others(s, connect);
        // They are all still there, and each is as good as new.
        for (const c of idle) {
            assert.ok(!c.ended);
            c.send(get('/echo'));
        }
        for (const c of idle) await c.see('"length":0');
        for (const c of idle) c.destroy();
        await until(async () => (await s.stats()).connections === 1, 'all are gone');
        await s.stop();
    });

    test(`${kind}: heads and bodies that drip`, async () => {
        const s = await start('max_connections=200', 'max_per_address=100', 'head_timeout_ms=4000', 'body_timeout_ms=4000', 'linger_ms=100');
        const open = (i) => {
            const c = connect(s);
            c.send(i % 2 ? 'POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n' : 'GET /health HTTP/1.1\r\nHost: x\r\nA: ');
            return c;
        };
        const slow = Array.from({ length: 100 }, (_, i) => open(i));
        const drip = setInterval(() => {
            for (const c of slow) if (!c.ended) c.send('b');
        }, 50);
        // Their address is full, which another one does not notice.
        const elsewhere = { localAddress: '127.0.0.2' };
        await until(async () => {
            const c = connect(s);
            await Promise.race([c.over, sleep(200)]);
            const away = c.ended || c.error !== null;
            c.destroy();
            // One whose first byte the server had not seen yet was idle, and made way.
            for (const [i, x] of slow.entries()) if (x.ended && x.text === '') slow[i] = open(i);
            return away;
        }, 'newcomers of their address are turned away');
        for (let i = 0; i < 5; i++) await others(s, () => connect(s, elsewhere));
        for (const c of slow) await c.over;
        const told = slow.filter((c) => /^HTTP\/1\.1 408 /.test(c.text)).length, quiet = slow.filter((c) => c.text === '').length;
        assert.ok(told + quiet === 100 && told > 50, `${told} were told, ${quiet} closed`);
        clearInterval(drip);
        for (const c of slow) c.destroy();
        await others(s, connect);
        await s.stop();
    });

    test(`${kind}: clients that do not read`, async () => {
        const s = await start('write_stall_ms=1500', 'stream_queue_bytes=65536');
        await others(s, connect);
        const before = { rss: s.rssKiB(), memory: (await s.stats()).memory };
        const stuck = Array.from({ length: 50 }, () => connect(s));
        for (const c of stuck) {
            c.send(get('/flood?size=10000'));
            await c.see('\r\n\r\n');
            c.socket.pause();
        }
        for (let i = 0; i < 5; i++) await others(s, connect);
        const rss = s.rssKiB() - before.rss, memory = (await s.stats()).memory - before.memory;
        assert.ok(sanitized || rss < 50 * 1024, `${rss} KiB for 50`);
        assert.ok(memory < 50 * (256 << 10), `${memory} bytes for 50`);
        await until(async () => (await s.stats()).gone >= 50, 'they are cut');
        await until(async () => (await s.stats()).workers === 0, 'and their workers end');
        for (const c of stuck) c.destroy();
        await s.stop();
    });
}

test('1,000 half handshakes', async () => {
    const s = await start('max_connections=1100', 'head_timeout_ms=60000');
    const half = [];
    for (let i = 0; i < 1000; i++) {
        half.push(new Client(net.connect({ port: s.tlsPort, host: '127.0.0.1' })));
        half[i].send('\x16\x03\x01\x02\x00\x01\x00');
    }
    await until(async () => (await s.stats()).connections > 1000, 'all are there');
    await others(s, kinds.TLS);
    await others(s, kinds.plain);
    // Over the limit the oldest ones make way, one for each that comes.
    const more = [];
    for (let i = 0; i < 200; i++) {
        more.push(s.secure());
        more[i].send(get('/silent'));
        await more[i].see('\r\n\r\n');
    }
    await until(() => half.filter((c) => c.ended).length >= 100, 'some are closed');
    assert.ok(more.every((c) => !c.ended));
    for (const c of [...half, ...more]) c.destroy();
    await s.stop();
});
