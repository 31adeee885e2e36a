// SPDX-License-Identifier: MIT
// drover config and drover profiles: what is in effect and where it comes from, files that are wrong, secrets that stay out.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { fails, folder, ok, root, run } from './helper.mjs';

const dir = folder();
const bare = { PATH: process.env.PATH, HOME: join(dir, 'home') };
const inside = (env = {}) => ({ env: { ...bare, ...env }, cwd: dir });
const file = (name, text) => {
    writeFileSync(join(dir, name), text);
    return join(dir, name);
};
const show = (args = [], env) => JSON.parse(ok(['config', '--json', ...args], '', inside(env)));
mkdirSync(join(dir, 'home/.config/drover'), { recursive: true });

test('without anything: defaults', () => {
    const c = show();
    assert.deepEqual(c.options['limits.requests'], { value: 60, source: { kind: 'default' }, reload: true });
    assert.equal(c.options['limits.window'].value, 60000);
    assert.equal(c.options['limits.window'].text, '1m');
    assert.deepEqual(c.listeners.map((p) => p.address.value), ['127.0.0.1:8081', '127.0.0.1:3001']);
    assert.deepEqual(c.models, []);
    assert.match(ok(['config'], '', inside()), /^# there is no drover\.yaml\ndata_dir: /);
});

test('the file, then the environment, then flags', () => {
    const path = file('order.yaml', 'limits:\n  requests: 1\n  queue: 2\n  burst: 3\nmodels:\n  - path: a.gguf\n');
    const c = show(['--config', path, '--rate-limit', '4', '--set', 'models.0.pin=true'], { RATE_LIMIT_MAX_REQUESTS: '5', DROVER_LIMITS_QUEUE: '6' });
    assert.deepEqual([c.options['limits.requests'].value, c.options['limits.requests'].source], [4, { kind: 'flag', name: '--rate-limit' }]);
    assert.deepEqual([c.options['limits.queue'].value, c.options['limits.queue'].source], [6, { kind: 'env', name: 'DROVER_LIMITS_QUEUE' }]);
    assert.deepEqual([c.options['limits.burst'].value, c.options['limits.burst'].source], [3, { kind: 'file', name: path, line: 4, column: 10 }]);
    assert.deepEqual([c.models[0].pin.value, c.models[0].pin.source.name], [true, '--set']);
    assert.deepEqual(c.models[0].context, { value: 4096, source: { kind: 'profile', name: 'balanced' }, reload: true });
    const text = ok(['config', '--config', path], '', inside());
    assert.ok(text.includes(`  requests: 1  # ${path}:2:13\n`), text);
});

test('what is printed is a configuration that means the same', () => {
    const values = (text) => text.replace(/ {2}# .*/g, '').replace(/^# file.*\n/, '');
    const first = ok(['config', '--config', join(root, 'examples/drover.yaml')], '', inside());
    const again = ok(['config', '--config', file('again.yaml', first)], '', inside());
    assert.equal(values(again), values(first));
});

test('every flag that a type has: words, lists, both ways of a switch', () => {
    const c = show(['-c', '100', '--allow-host', 'a', '--allow-host=b,c', '--no-audit', '--insecure', '-m', 'x.gguf', '--log-level', 'debug', '--set', 'defaults.top_p=0.5']);
    assert.equal(c.options['defaults.context'].value, 100);
    assert.deepEqual(c.options['security.allowed_hosts'].value, ['a', 'b', 'c']);
    assert.equal(c.options['audit.enabled'].value, false);
    assert.equal(c.options['audit.enabled'].source.name, '--no-audit');
    assert.equal(c.options.insecure.value, true);
    assert.equal(c.options['log.level'].value, 'debug');
    assert.equal(c.options['defaults.top_p'].value, 0.5);
    assert.equal(c.models[0].name.value, 'x');
    assert.equal(c.models[0].path.value, join(dir, 'x.gguf'));
    assert.equal(c.models[0].shorthand, true);
});

test('which file is read', () => {
    const level = (args, env) => show(args, env).options['log.level'].value;
    file('drover.yaml', 'log: {level: error}\n'); // whoever can write to the working folder does not configure the service
    assert.equal(level(), 'info');
    const named = file('named.yaml', 'log: {level: warn}\n');
    const xdg = join(dir, 'xdg');
    mkdirSync(join(xdg, 'drover'), { recursive: true });
    file('xdg/drover/drover.yaml', 'log: {level: error}\n');
    assert.equal(level([], { XDG_CONFIG_HOME: xdg }), 'error');
    assert.equal(level([], { XDG_CONFIG_HOME: xdg, DROVER_CONFIG: named }), 'warn');
    assert.equal(level(['--config', 'drover.yaml'], { DROVER_CONFIG: '/nowhere' }), 'error');
    const r = run(['config'], '', inside({ DROVER_CONFIG: '/nowhere' }));
    assert.deepEqual([r.code, r.out, r.err], [1, '', 'drover config: /nowhere: No such file or directory\n']);
});

test('--check', () => {
    const good = file('good.yaml', 'models: [{path: ~/a.gguf}]\n'), bad = file('bad.yaml', '# é\nlimits:\n  request: 5\n');
    const check = (args, env) => run(['config', '--check', ...args], '', inside(env));
    assert.deepEqual(check([good]), { code: 0, out: '', err: '' });
    assert.deepEqual(check([bad]), { code: 1, out: '', err: `drover config: ${bad}:3:3: unknown key 'request' in limits, did you mean 'requests'?\n` });
    assert.deepEqual(check(['--config', bad]), check([bad]));
    assert.equal(check([good], { DROVER_LIMITS_QUEUE: 'x' }).code, 0); // the file alone
    assert.match(check(['--config', good], { DROVER_LIMITS_QUEUE: 'x' }).err, /DROVER_LIMITS_QUEUE: limits\.queue must be/);
    assert.equal(check([]).code, 0);
    assert.equal(check([dir]).code, 1);
    assert.deepEqual(check([join(root, 'examples/drover.yaml')]), { code: 0, out: '', err: '' });
});

test('--example is a file that says nothing until it is edited', () => {
    const path = file('example.yaml', ok(['config', '--example'], '', inside()));
    assert.deepEqual(show(['--config', path]), show());
});

test('wrong command lines', () => {
    fails(['config', 'x.yaml'], 2, /a file is for --check/);
    fails(['config', '--check', 'a', 'b'], 2, /unexpected argument 'b'/);
    fails(['config', '--json', '--example'], 2, /three different things/);
    fails(['config', '--set', 'x'], 2, /--set must be NAME=VALUE, not 'x'/);
    fails(['config', '--set', '=x'], 2, /--set must be NAME=VALUE/);
    fails(['config', '--set', 'limits.que=1'], 1, /--set: unknown option 'limits\.que', did you mean 'limits\.queue'\?/);
    fails(['config', '--audit', '--no-audit'], 2, /--audit and --no-audit contradict each other/);
    fails(['config', '-c', '1'], 1, /--ctx: defaults\.context must be a whole number from 64/);
    fails(['config', '--listen', '0.0.0.0:1'], 1, /--listen: listen\.openai can be reached from other machines/);
});

test('secrets are not shown, nor told in errors', () => {
    const path = file('secret.yaml', "redis: {url: 'redis://:hunter2@h'}\n");
    for (const args of [[], ['--json']]) {
        const out = ok(['config', '--config', path, ...args], '', inside());
        assert.doesNotMatch(out, /hunter2/);
        assert.match(out, /\*\*\*/);
    }
    const r = run(['config'], '', inside({ DROVER_REDIS_URL: 'hunter2' }));
    assert.equal(r.code, 1);
    assert.doesNotMatch(r.err, /hunter2/);
});

test('drover profiles', () => {
    const list = JSON.parse(ok(['profiles', '--json'], '', inside()));
    assert.deepEqual(list.map((p) => [p.name, p.context, p.batch]), [['fast', 2048, 256], ['balanced', 4096, 512], ['quality', 8192, 1024], ['memory', 1024, 128], ['batch', 4096, 2048]]);
    assert.deepEqual(Object.keys(list[0]).slice(0, 3), ['name', 'what', 'own']);
    const text = ok(['profiles'], '', inside());
    for (const p of list) {
        assert.match(text, new RegExp(`^${p.name} +${p.context} +${p.batch} `, 'm'));
        assert.ok(text.includes(p.what));
    }
    const path = file('profiles.yaml', "profiles:\n  - {name: fast, context: 100}\n  - {name: a-rather-long-name, base: memory, what: 'Says \"x\"', top_p: 0.5}\n");
    const own = JSON.parse(ok(['profiles', '--json', '--config', path], '', inside()));
    assert.equal(own.length, 6);
    assert.deepEqual([own[0].context, own[0].batch, own[0].own], [100, 256, true]);
    assert.deepEqual([own[5].what, own[5].kv_type, own[5].top_p, own[5].own], ['Says "x"', 'q8_0', 0.5, false]);
    assert.match(ok(['profiles', '--config', path], '', inside()), /^a-rather-long-name +1024 +128 /m);
    assert.match(run(['profiles', '--config', file('p.yaml', 'profiles: [{name: a, base: b}]\n')], '', inside()).err, /drover profiles: .*p\.yaml:1:28: profiles\.0\.base has 'b'/);
});
