// SPDX-License-Identifier: MIT
// Two services that share their limits through a real Redis: together they let through what one may; without Redis each counts for itself, or refuses.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test as every } from 'node:test';
import { sound } from './faults.mjs';
import { until } from './helper.mjs';
import { Service } from './service.mjs';

const folder = mkdtempSync(join(tmpdir(), 'drover-e2e-'));
const socket = join(folder, 'redis.sock');
let redis;
const there = ['redis-server', 'redis-cli'].every((name) => spawnSync(name, ['--version']).status === 0);
const test = (name, fn) => every(name, { skip: there ? false : 'redis-server is not installed' }, fn);
process.on('exit', () => {
    redis?.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
});
after(() => redis?.kill('SIGKILL'));

function cli(...args) {
    return execFileSync('redis-cli', ['-s', socket, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
}
async function startRedis() {
    redis = spawn('redis-server', ['--port', '0', '--unixsocket', socket, '--save', '', '--appendonly', 'no', '--dir', folder], { stdio: 'ignore' });
    redis.unref();
    await until(() => {
        try {
            return cli('ping') === 'PONG';
        } catch {
            return false;
        }
    });
}
async function stopRedis(signal = 'SIGKILL') {
    const ended = new Promise((resolve) => redis.once('exit', resolve));
    redis.ref();
    redis.kill(signal);
    await ended;
    rmSync(socket, { force: true });
}

const LIMIT = 20;
const node = (more = {}) => Service.start({ settings: { 'redis.url': `unix://${socket}`, 'limits.requests': LIMIT, 'limits.window': '1h', ...more } });
const models = (s) => s.get('/v1/models');
/** Statuses of n requests at once to each. */
const crowd = async (n, ...services) => (await Promise.all(services.flatMap((s) => Array.from({ length: n }, () => models(s))))).map((r) => r.status);
const count = (list, status) => list.filter((x) => x === status).length;
const redisIs = (s, ok) => until(async () => (await s.get('/api/health')).json.checks.redis?.ok === ok);

test('two services: a crowd at both gets through what one identity may, exactly', async () => {
    await startRedis();
    const [a, b] = [await node(), await node()];
    await redisIs(a, true);
    await redisIs(b, true);
    const list = await crowd(50, a, b);
    assert.equal(count(list, 200), LIMIT);
    assert.equal(count(list, 429), 100 - LIMIT);
    const r = await models(b);
    assert.equal(r.status, 429);
    assert.ok(Number(r.headers.get('retry-after')) >= 1);
    assert.equal(r.headers.get('ratelimit-remaining'), '0');
    assert.ok(cli('keys', '*').split('\n').every((k) => k.startsWith('drover:') && !k.includes('127.0.0.1')), 'keys tell nobody’s address');
    for (const s of [a, b]) await sound(s);
    for (const s of [a, b]) assert.equal(await s.end(), 0);
    await stopRedis();
});

test('it is gone: each counts for itself; it comes back: they share again', async () => {
    await startRedis();
    const [a, b] = [await node(), await node()];
    assert.equal(count(await crowd(5, a), 200), 5);
    await stopRedis();
    await redisIs(a, false);
    const list = await crowd(50, a);
    assert.ok(count(list, 200) >= 1 && count(list, 200) <= LIMIT, `${count(list, 200)} alone`);
    assert.equal(count(list, 200) + count(list, 429), 50, 'nobody gets anything else');
    assert.ok(count(await crowd(5, b), 200) > 0);
    await startRedis();
    await redisIs(a, true);
    await redisIs(b, true);
    assert.equal(count(await crowd(50, a, b), 200), LIMIT);
    for (const s of [a, b]) await sound(s);
    for (const s of [a, b]) assert.equal(await s.end(), 0);
    await stopRedis();
});

test('it is gone, and that is to be refused: 503 or 429, and what needs no limit goes on', async () => {
    await startRedis();
    const s = await node({ 'redis.on_failure': 'refuse' });
    assert.equal((await models(s)).status, 200);
    await stopRedis();
    await until(async () => (await models(s)).status !== 200);
    const r = await models(s);
    assert.ok([429, 503].includes(r.status), r.text);
    assert.ok(Number(r.headers.get('retry-after')) >= 1 && Number(r.headers.get('retry-after')) < 60, r.headers.get('retry-after'));
    assert.equal((await s.get('/health')).status, 200);
    await startRedis();
    await until(async () => (await models(s)).status === 200);
    assert.equal(await s.end(), 0);
    await stopRedis();
});

test('it hangs: requests wait no longer than they may', async () => {
    await startRedis();
    const s = await node({ 'redis.timeout': '200ms' });
    assert.equal((await models(s)).status, 200);
    redis.kill('SIGSTOP');
    const list = await crowd(10, s);
    assert.equal(count(list, 200), 10);
    redis.kill('SIGCONT');
    await redisIs(s, true);
    assert.equal(await s.end(), 0);
    await stopRedis();
});

test('it is not there at the start: the service starts', async () => {
    const s = await node();
    assert.equal((await models(s)).status, 200);
    assert.equal((await s.get('/api/health')).json.checks.redis.ok, false);
    assert.equal(await s.end(), 0);
});
