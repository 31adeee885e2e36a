// SPDX-License-Identifier: MIT
// Random texts of drover's grammars for the schemas of schemas.jsonl, validated with ajv.
// usage: compare.mjs GENERATOR NODE_MODULES [TEXTS_PER_SCHEMA [GENERATOR_OPTION]...]      last line: N passed, N failed
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [generator, modules, texts = "12", ...options] = process.argv.slice(2);
const require = createRequire(join(resolve(modules), "x.js"));
const Ajv = require("ajv/dist/2020").default;
const Ajv7 = require("ajv").default;
const formats = require("ajv-formats").default;
const input = readFileSync(new URL("schemas.jsonl", import.meta.url), "utf8");
const schemas = input.trimEnd().split("\n").map((line) => JSON.parse(line));

function validator(schema) {
  const seven = JSON.stringify(schema).includes('"items":[');
  const ajv = new (seven ? Ajv7 : Ajv)({ strict: false, allErrors: false, unicodeRegExp: true });
  formats(ajv);
  return ajv.compile(schema);
}

const run = spawnSync(generator, ["-n", texts, ...options], { input, encoding: "utf8", maxBuffer: 1 << 30 });
if (run.status !== 0) {
  console.error(run.stderr || run.error || `the generator ended with ${run.signal ?? run.status}`);
  process.exit(1);
}
const lines = run.stdout.split("\n");
let at = 0, passed = 0, failed = 0;
const fail = (schema, what) => {
  failed++;
  if (failed <= 20) console.log(`FAILED ${JSON.stringify(schema).slice(0, 200)}\n  ${what.slice(0, 300)}`);
};

// The same key twice is lost by JSON.parse: count what the text has by reading it again without white space.
function sameSize(text, value) {
  return JSON.stringify(value).length > 0 && !duplicateKeys(text);
}

function duplicateKeys(text) {
  const stack = [];
  let i = 0;
  const string = () => {
    const start = i++;
    while (text[i] !== '"') i += text[i] === "\\" ? 2 : 1;
    return JSON.parse(text.slice(start, ++i));
  };
  for (; i < text.length; ) {
    const c = text[i];
    if (c === "{") stack.push(new Set()), i++;
    else if (c === "[") stack.push(null), i++;
    else if (c === "}" || c === "]") stack.pop(), i++;
    else if (c === '"') {
      const key = string();
      const keys = stack.at(-1);
      if (keys && /^\s*:/.test(text.slice(i, i + 30))) {
        if (keys.has(key)) return true;
        keys.add(key);
      }
    } else i++;
  }
  return false;
}

for (const schema of schemas) {
  const head = lines[at++];
  if (head !== "ok") fail(schema, head ?? "no answer");
  let valid = null;
  for (; lines[at] !== "end" && at < lines.length; at++) {
    const text = lines[at];
    try {
      valid ??= validator(schema);
      if (text.startsWith("!")) fail(schema, text);
      else if (!valid(JSON.parse(text))) fail(schema, `${text}\n  ${JSON.stringify(valid.errors)}`);
      else if (!sameSize(text, JSON.parse(text))) fail(schema, `a key twice: ${text}`);
      else passed++;
    } catch (e) {
      fail(schema, `${text}\n  ${e.message}`);
    }
  }
  at++;
}
console.log(`${schemas.length} schemas\n${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
