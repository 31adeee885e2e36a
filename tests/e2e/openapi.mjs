// SPDX-License-Identifier: MIT
// What others' validators say of a document of the API, and whether its schemas judge requests as the service does.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { packages, root } from './helper.mjs';

const require = createRequire(packages + '/');
const Ajv = require('ajv/dist/2020.js').default;

/** Of each reference of the document: what it names must be there. */
export function checkReferences(doc) {
    let n = 0;
    const walk = (v) => {
        if (v === null || typeof v !== 'object')
            return;
        if (typeof v.$ref === 'string') {
            assert.match(v.$ref, /^#\//);
            const parts = v.$ref.slice(2).split('/').map((p) => p.replaceAll('~1', '/').replaceAll('~0', '~'));
            assert.ok(parts.reduce((at, p) => at?.[p], doc), `${v.$ref} leads nowhere`);
            n++;
        }
        Object.values(v).forEach(walk);
    };
    walk(doc);
    return n;
}

/** The document against the schema that OpenAPI 3.1 has for documents, and what that cannot say: operations have different names, paths name their parameters. */
export async function checkDocument(doc) {
    const { Validator } = await import(pathToFileURL(join(packages, '@seriousme/openapi-schema-validator/index.js')));
    const validator = new Validator();
    const result = await validator.validate(structuredClone(doc));
    assert.ok(result.valid, JSON.stringify(result.errors, null, 1));
    assert.equal(validator.version, '3.1');
    const ids = new Set();
    for (const [path, item] of Object.entries(doc.paths)) {
        const names = [...path.matchAll(/\{([^}]*)\}/g)].map((m) => m[1]);
        for (const op of Object.values(item)) {
            assert.ok(!ids.has(op.operationId), `two operations are called ${op.operationId}`);
            ids.add(op.operationId);
            assert.deepEqual(op.parameters.filter((p) => p.in === 'path').map((p) => p.name), names);
            assert.ok(op.responses['2XX'], `${path} has no success`);
            assert.ok(doc.tags.some((t) => t.name === op.tags[0]));
        }
    }
    return ids.size;
}

/** {Name: validate} for all schemas of the document. */
export function compileSchemas(doc) {
    const ajv = new Ajv({ strict: true, strictRequired: false, allowUnionTypes: true, allErrors: false });
    ajv.addFormat('password', true);
    ajv.addVocabulary(['components']);
    ajv.addSchema({ $id: 'doc', components: doc.components }, 'doc');
    return Object.fromEntries(Object.keys(doc.components.schemas).map((name) => [name, ajv.compile({ $ref: `doc#/components/schemas/${name}` })]));
}

const schemaOf = {
    chat: 'ChatCompletionRequest', completions: 'CompletionRequest', embeddings: 'EmbeddingsRequest', native_embeddings: 'NativeEmbeddingsRequest', rerank: 'RerankRequest',
    responses: 'ResponseRequest', response_tokens: 'ResponseTokensRequest', messages: 'MessageRequest', count_tokens: 'CountTokensRequest', completion: 'NativeCompletionRequest',
    infill: 'InfillRequest', tokenize: 'TokenizeRequest', detokenize: 'DetokenizeRequest', apply_template: 'ApplyTemplateRequest', slot_action: 'SlotActionRequest',
};

/** The requests of the unit test: those that the tables take are valid, those that they refuse are not, but for what schemas do not say: characters. */
export function checkRequests(doc) {
    const compiled = compileSchemas(doc);
    const { accepted, refused } = JSON.parse(readFileSync(join(root, 'tests/unit/serve_requests.json'), 'utf8'));
    let n = 0;
    for (const [table, bodies] of Object.entries(accepted)) {
        const validate = compiled[schemaOf[table]];
        for (const body of validate ? bodies : []) {
            assert.ok(validate(body), `${table}: ${JSON.stringify(body)}: ${JSON.stringify(validate.errors)}`);
            n++;
        }
    }
    for (const [table, pairs] of Object.entries(refused)) {
        const validate = compiled[schemaOf[table]];
        for (const [says, body] of validate ? pairs : []) {
            if (/ at byte /.test(says) || /9007199254740992/.test(says)) // JavaScript has no 2^53 + 1
                continue;
            assert.ok(!validate(body), `${table}: ${JSON.stringify(body)} is valid, but ${says}`);
            n++;
        }
    }
    return n;
}
