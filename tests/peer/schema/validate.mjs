// SPDX-License-Identifier: MIT
// Whether a text is what a schema says, in the opinion of ajv.
import { createRequire } from "node:module";
import { join } from "node:path";

// Of draft 7 where a list of items is, which 2020-12 has as prefixItems.
function validator(schema, modules) {
  const require = createRequire(join(modules, "x.js"));
  const seven = JSON.stringify(schema).includes('"items":[');
  const Ajv = require(seven ? "ajv" : "ajv/dist/2020").default;
  const ajv = new Ajv({ strict: false, allErrors: false, unicodeRegExp: true });
  require("ajv-formats").default(ajv);
  return ajv.compile(schema);
}

// The same key twice is lost by JSON.parse: count what the text has by reading it again without white space.
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

/** A function of a text: null if it is valid JSON without the same key twice and valid for the schema, else what is wrong. */
export function whyInvalid(schema, modules) {
  let valid = null;
  return (text) => {
    try {
      valid ??= validator(schema, modules);
      if (!valid(JSON.parse(text))) return JSON.stringify(valid.errors);
      return duplicateKeys(text) ? "a key twice" : null;
    } catch (e) {
      return e.message;
    }
  };
}
