// SPDX-License-Identifier: MIT
// The document of the API in the opinion of others: OpenAPI 3.1's own schema, and ajv for the schemas in it.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { checkDocument, checkReferences, checkRequests, compileSchemas } from './openapi.mjs';
import { Service } from './service.mjs';

const s = await Service.start();
const doc = (await s.get('/api/openapi.json')).json;
after(() => s.end());

test('the document is valid', async () => {
    assert.ok((await checkDocument(doc)) >= 25);
    assert.ok(checkReferences(doc) > 100);
});

test('a document that is wrong is found out', async () => {
    const wrong = structuredClone(doc);
    wrong.paths['/health'].get.responses = {};
    wrong.paths['/health'].get.parameters = [{ name: 'x', in: 'nowhere' }];
    await assert.rejects(checkDocument(wrong));
    wrong.components.schemas.Model = { $ref: '#/components/schemas/Missing' };
    assert.throws(() => checkReferences(wrong), /leads nowhere/);
});

test('its schemas compile', () => {
    assert.ok(Object.keys(compileSchemas(doc)).length > 80);
});

test('its schemas judge requests as the tables do', () => {
    assert.ok(checkRequests(doc) > 100);
});
