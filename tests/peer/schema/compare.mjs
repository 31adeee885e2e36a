// SPDX-License-Identifier: MIT
// Random texts of drover's grammars for the schemas of schemas.jsonl, validated with ajv.
// usage: compare.mjs GENERATOR NODE_MODULES [TEXTS_PER_SCHEMA [GENERATOR_OPTION]...]      last line: N passed, N failed
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { whyInvalid } from "./validate.mjs";

const [generator, modules, texts = "12", ...options] = process.argv.slice(2);
const input = readFileSync(new URL("schemas.jsonl", import.meta.url), "utf8");
const schemas = input.trimEnd().split("\n").map((line) => JSON.parse(line));

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

for (const schema of schemas) {
  const head = lines[at++];
  if (head !== "ok") fail(schema, head ?? "no answer");
  const why = whyInvalid(schema, resolve(modules));
  for (; lines[at] !== "end" && at < lines.length; at++) {
    const text = lines[at];
    const wrong = text.startsWith("!") ? "" : why(text);
    if (wrong === null) passed++;
    else fail(schema, `${text}\n  ${wrong}`);
  }
  at++;
}
console.log(`${schemas.length} schemas\n${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
