// SPDX-License-Identifier: MIT
// drover user.
import assert from 'node:assert/strict';
import test from 'node:test';
import { data } from './data.mjs';
import { Terminal } from './helper.mjs';

const good = 'correct horse battery\n';

test('users come and go', () => {
    const d = data();
    assert.equal(d.ok(['user', 'add', 'Ada', '--role', 'admin'], good), "user 'ada' (admin) can log in\n");
    d.ok(['user', 'add', 'bob@example.org'], good);
    assert.deepEqual(d.json(['user', 'list', '--json']).map((u) => [u.id, u.name, u.role, u.login_ms]),
        [[1, 'ada', 'admin', 0], [2, 'bob@example.org', 'user', 0]]);
    assert.match(d.ok(['user', 'list']), /\n +1  admin   20.* UTC  never +ada\n/);
    assert.match(d.ok(['user', 'role', 'ADA', 'viewer']), /'ada' is viewer/);
    assert.match(d.ok(['user', 'passwd', 'ada'], 'another password\n'), /'ada' has a new password/);
    d.ok(['key', 'create', 'hers', '--user', 'ada']);
    assert.match(d.ok(['user', 'remove', 'ada']), /'ada' is removed/);
    assert.deepEqual(d.json(['key', 'list', '--json']), []);
    assert.deepEqual(d.json(['user', 'list', '--json']).map((u) => u.name), ['bob@example.org']);
    d.ok(['user', 'add', 'ada'], good);
    assert.equal(d.json(['user', 'list', '--json'])[0].id, 3); /* a number is never given again */
    const text = d.ok(['audit', 'show']);
    for (const action of ['user.add', 'user.role', 'user.password', 'user.delete']) assert.ok(text.includes(action), text);
    assert.ok(!text.includes('horse') && !text.includes('another'));
});

test('what makes no sense is refused', () => {
    const d = data();
    d.ok(['user', 'add', 'ada'], good);
    d.fails(['user', 'add', 'ADA'], 1, /there is a user named 'ada' already/, good);
    for (const name of ['', ' ', 'a b', 'ä', '.x', 'x'.repeat(65), "a'--", 'a\x1b'])
        d.fails(['user', 'add', name], 1, /a user's name has/, good);
    for (const [password, says] of [['short\n', /8 to 1024 bytes/], ['', /a password is needed/], ['\n', /8 to 1024/], [`${'x'.repeat(1025)}\n`, /8 to 1024/],
        ['x'.repeat(5000), /too long/], ['eve-eve-eve\n', /not the user's name/], ['abcdefgh\0x\n', /without NUL/]])
        d.fails(['user', 'add', 'eve-eve-eve'], 1, says, password);
    d.fails(['user', 'add', 'eve', '--role', 'root'], 2, /--role must be one of/, good);
    d.fails(['user', 'passwd', 'eve'], 1, /'eve': there is no such user/, good);
    d.fails(['user', 'remove', 'eve'], 1, /there is no such user/);
    d.fails(['user', 'role', 'ada', 'root'], 1, /must be one of viewer, user, admin/);
    d.fails(['user', 'role', 'ada'], 2, /drover user role/);
    assert.equal(d.json(['user', 'list', '--json']).length, 1);
});

test('a password is not shown', async () => {
    const d = data();
    for (const [second, code, says] of [['correct horse', 0, /can log in/], ['another one', 1, /the two are not the same/]]) {
        const t = new Terminal(['user', 'add', `ada${code}`, '--data-dir', d.dir]);
        await t.see(/Password for ada\d: /);
        t.type('correct horse\n');
        await t.see('The same again: ');
        t.type(`${second}\n`);
        assert.equal(await t.end(), code, t.text);
        assert.match(t.text, says);
        assert.ok(!t.text.includes('correct') && !t.text.includes('another'), t.text);
    }
    const t = new Terminal(['user', 'passwd', 'ada0', '--data-dir', d.dir]);
    await t.see('Password for ada0: ');
    t.type('\x03');
    assert.notEqual(await t.end(), 0);
});
