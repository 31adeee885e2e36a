// SPDX-License-Identifier: MIT
// Commands on a data folder.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { drover, folder } from './helper.mjs';

/** A new data folder: run(args), ok(args) and fails(args, code, regexp) use it. */
export function data() {
    const dir = `${folder()}/data`;
    const env = { ...process.env, LC_ALL: 'C.UTF-8', DROVER_DATA_DIR: dir };
    const run = (args, input = '') => {
        const r = spawnSync(drover, args, { input, env, timeout: 120000 });
        assert.equal(r.signal, null, `${args.join(' ')}: ${r.stderr}`);
        return { code: r.status, out: r.stdout.toString(), err: r.stderr.toString() };
    };
    const ok = (args, input) => {
        const r = run(args, input);
        assert.equal(r.code, 0, `${args.join(' ')}: ${r.err}`);
        return r.out;
    };
    const fails = (args, code, says, input) => {
        const r = run(args, input);
        assert.equal(r.code, code, `${args.join(' ')}: ${r.out}${r.err}`);
        assert.match(r.err, says);
        assert.ok(r.err.startsWith(`drover ${args[0]}`), r.err);
        return r;
    };
    return { dir, env, run, ok, fails, json: (args) => JSON.parse(ok(args)) };
}
