// SPDX-License-Identifier: MIT
// Renders every template with every conversation, and every snippet, with @huggingface/jinja and with drover, and compares.
//   node compare.mjs DRIVER CONFIG_DIR            compare
//   node compare.mjs DRIVER CONFIG_DIR --update   also write the golden files that the unit test reads
// CONFIG_DIR holds NAME.json files (tokenizer_config.json of published tokenizers). Where both fail, the texts may differ.
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { createRequire } from "node:module";

const [driver, configs, flag] = process.argv.slice(2);
const { Template } = createRequire(path.resolve(configs, "x.js"))("@huggingface/jinja");
const here = path.dirname(fileURLToPath(import.meta.url));
const golden = path.join(here, "../../golden/templates");
const read = (name) => JSON.parse(fs.readFileSync(path.join(golden, name)));
const { now, tokens, conversations } = read("conversations.json");
const { context, snippets } = read("snippets.json");
const differs = read("differs.json").hf;

process.env.TZ = "UTC";
const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor(...a) {
    super(...(a.length ? a : [now * 1000]));
  }
};

function reference(template, ctx) {
  try {
    return { output: new Template(template).render(structuredClone(ctx)) };
  } catch (e) {
    return { error: String(e.message) };
  }
}

function ours(cases) {
  const input = cases.map((c) => JSON.stringify({ template: c.template, context: c.context, now }) + "\n").join("");
  const run = spawnSync(driver, [], { input, encoding: "utf8", maxBuffer: 1 << 30 });
  if (run.status !== 0) throw new Error(`${driver}: ${run.error ?? run.stderr}`);
  return run.stdout.trimEnd().split("\n").map((l) => JSON.parse(l));
}

function published() {
  const token = (t) => (typeof t === "string" ? t : (t?.content ?? ""));
  const out = [];
  for (const file of fs.readdirSync(configs).filter((f) => f.endsWith(".json") && !f.startsWith("package")).sort()) {
    const j = JSON.parse(fs.readFileSync(path.join(configs, file)));
    const all = typeof j.chat_template === "string" ? [{ name: "", template: j.chat_template }] : (j.chat_template ?? []);
    for (const t of all)
      out.push({ name: path.basename(file, ".json") + (t.name && "." + t.name), template: t.template,
                 tokens: { bos_token: token(j.bos_token), eos_token: token(j.eos_token) } });
  }
  return out;
}

const own = fs.readdirSync(golden).filter((f) => f.endsWith(".jinja")).sort()
  .map((f) => ({ name: path.basename(f, ".jinja"), template: fs.readFileSync(path.join(golden, f), "utf8"), tokens }));

const cases = [];
for (const t of [...own, ...published()])
  for (const c of conversations)
    cases.push({ name: `${t.name} / ${c.name}`, template: t.template, context: { ...t.tokens, ...c.context } });
for (const s of snippets) cases.push({ name: s, template: s, context, snippet: true });

const results = ours(cases);
// The reference fails by itself, not because the template raised: what happens then is for jinja2 to say.
const internal = /^(Cannot |Unknown |Object key|Slice |.* is not iterable)/;
// It writes a list or mapping that is joined to a string as JavaScript does ("[object Map]"); drover refuses, like jinja2.
const joined = /operator \+ does not work between a string and a (list|mapping)/;

let passed = 0, failed = 0, refused = 0;
cases.forEach((c, i) => {
  c.want = reference(c.template, c.context);
  const got = results[i];
  const raised = c.want.error !== undefined && !internal.test(c.want.error);
  c.checked = c.want.output !== undefined ? !joined.test(got.error ?? "") : raised;
  const equal = c.want.output !== undefined ? c.want.output === got.output : got.output === undefined;
  if (equal || !c.checked || (c.snippet && (c.want.error !== undefined || c.template in differs))) {
    passed++;
    refused += c.want.output === undefined;
    return;
  }
  failed++;
  console.log(`FAILED ${c.name}\n  want ${JSON.stringify(c.want)}\n  got  ${JSON.stringify(got.output ?? got.error)}`);
});

if (flag === "--update") {
  const expected = {};
  for (const t of own)
    expected[t.name] = Object.fromEntries(cases.filter((c) => !c.snippet && c.template === t.template)
      .map((c, i) => [conversations[i].name, c.checked ? (c.want.output ?? { refused: c.want.error }) : null]));
  fs.writeFileSync(path.join(golden, "expected.json"), JSON.stringify(expected, null, 1) + "\n");
  const hf = cases.filter((c) => c.snippet).map((c) => (c.template in differs ? null : (c.want.output ?? null)));
  fs.writeFileSync(path.join(golden, "snippets-hf.json"), `[\n${hf.map((x) => JSON.stringify(x)).join(",\n")}\n]\n`);
}
console.log(`${refused} of them refused by the reference`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
