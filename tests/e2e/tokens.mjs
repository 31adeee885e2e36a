// SPDX-License-Identifier: MIT
// The bundled model with other tokens in its vocabulary: markup that real chat models have.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { model } from './helper.mjs';

export const CONTROL = 3, USER = 4;
const folder = mkdtempSync(join(tmpdir(), 'drover-tokens-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

/** Where the elements of an array of the file's metadata are; of strings behind their length. */
function arrayOf(file, key) {
    const at = file.indexOf(Buffer.from(key)) + key.length + 4; // behind the value's type
    const type = file.readUInt32LE(at), n = Number(file.readBigUInt64LE(at + 4)), list = [];
    for (let p = at + 12, i = 0; i < n; i++) {
        const len = type === 8 ? Number(file.readBigUInt64LE(p)) : 4;
        list.push({ at: p + (type === 8 ? 8 : 0), len });
        p = list[i].at + len;
    }
    return list;
}

/**
 * A copy of the model in which some tokens have another spelling and type. Each takes the place of an ordinary one of the same length, so that
 * nothing in the file moves.
 * @param types  { '<think>': CONTROL, ... }
 * @return       the path; ids: their ids
 */
export function modelWith(types) {
    const file = readFileSync(model), ids = {};
    const tokens = arrayOf(file, 'tokenizer.ggml.tokens'), kinds = arrayOf(file, 'tokenizer.ggml.token_type');
    let from = 1000; // behind single bytes and what is short
    for (const [text, type] of Object.entries(types)) {
        const id = tokens.findIndex((t, i) => i >= from && t.len === Buffer.byteLength(text) && file.readInt32LE(kinds[i].at) === 1);
        file.write(text, tokens[id].at);
        file.writeInt32LE(type, kinds[id].at);
        ids[text] = id;
        from = Math.max(from, 1000);
        tokens[id].len = -1; // taken
    }
    const path = join(folder, Object.entries(types).flat().join('').replace(/[^a-z0-9]/g, '') + '.gguf');
    writeFileSync(path, file);
    return { path, ids };
}
