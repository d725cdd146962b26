/** The public API as OpenAPI 3.1. `docs/api/openapi.json` is this document; a test keeps both and the routes in step. */

import { ERROR_KINDS } from '../../core/index.ts';
import { OPERATIONS, type Operation } from '../../protocol/index.ts';
import { BUNDLE_SERIAL_HEADER, MAXIMUM_TRUST_SET } from '../../trust/index.ts';

const SUMMARIES: Readonly<Record<Operation, string>> = {
  status: 'Heads of a majority of nodes, and the record as the newest of them exports it.',
  open: 'Opens a generation: votes, the open certificate, and one enrolment evaluation by each node.',
  stage: 'Stores a document, unusable until it is activated; answers the stage certificate.',
  activate: 'Makes a staged generation the active one; answers receipts.',
  attempt: 'Counts one attempt at all nodes, then answers its certificate and evaluations.',
  confirm: 'Proves the right PIN at one certified attempt; answers receipts.',
  delete: 'Destroys a generation with its owner’s signature; answers receipts.',
  cancel: 'Cancels a delayed takeover with the owner’s signature; answers receipts.',
};

const schema = (name: string) => ({ $ref: `#/components/schemas/${name}` });
const response = (name: string) => ({ $ref: `#/components/responses/${name}` });
const json = (content: object) => ({ 'application/json': { schema: content } });

/** base64url without padding; JSON Schema counts characters. */
const binary = (minimum: number, maximum: number, description: string) => ({
  type: 'string',
  pattern: '^[A-Za-z0-9_-]*$',
  minLength: Math.ceil((minimum * 4) / 3),
  maxLength: Math.ceil((maximum * 4) / 3),
  description: `${description} ${minimum === maximum ? `${maximum} bytes` : `Up to ${maximum} bytes`}, base64url.`,
});
const closed = (properties: object, required: readonly string[]) => ({
  type: 'object',
  additionalProperties: false,
  properties,
  required: [...required],
});
const counter = (description: string) => ({
  type: 'integer',
  minimum: 0,
  maximum: Number.MAX_SAFE_INTEGER,
  description,
});
const nodeNumber = { type: 'integer', minimum: 1, maximum: 9, description: 'Number of the node.' };

const serialSchema = { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER };
const bundleSerial = {
  name: BUNDLE_SERIAL_HEADER,
  in: 'header',
  required: false,
  description: 'Serial of the validation bundle that the client uses.',
  schema: serialSchema,
};
/** Refusals have it too. */
const newerSerial = {
  [BUNDLE_SERIAL_HEADER]: {
    description: 'Serial of a newer bundle, where the coordinator knows one: see `/v1/trust`. Proves nothing.',
    schema: serialSchema,
  },
};

const operationPath = (operation: Operation) => ({
  post: {
    operationId: operation,
    summary: SUMMARIES[operation],
    parameters: [bundleSerial],
    requestBody: { required: true, content: json(schema('Request')) },
    responses: {
      200: {
        description: 'Each node’s answer; refusals of single nodes are in it.',
        headers: newerSerial,
        content: json(schema('Answer')),
      },
      400: response('Problem'),
      413: response('Problem'),
      429: response('RateLimited'),
      503: response('Problem'),
      default: response('Problem'),
    },
  },
});

const health = (operationId: string, summary: string, responses: object) => ({
  get: { operationId, summary, responses },
});
const status = (...words: readonly string[]) =>
  json({
    type: 'object',
    properties: { status: { enum: [...words] }, reason: { type: 'string' } },
    required: ['status'],
  });

const schemas = {
  Request: closed(
    {
      fleet: { type: 'string', minLength: 1, maxLength: 64 },
      epoch: counter('The fleet’s epoch.'),
      record: binary(32, 32, 'Record id.'),
      generation: counter('0 where the operation has none.'),
      attempt: counter('0 where the operation has none.'),
      arguments: binary(0, 65_536, 'The operation’s encoded public arguments.'),
      sealed: {
        type: 'array',
        maxItems: 9,
        description: 'At most one part per node; only that node can open it.',
        items: closed(
          {
            node: nodeNumber,
            enc: binary(65, 65, 'HPKE encapsulated key.'),
            ciphertext: binary(0, 8192, 'Sequence number in the HPKE context (1 byte), then the HPKE ciphertext.'),
          },
          ['node', 'enc', 'ciphertext'],
        ),
      },
    },
    ['fleet', 'epoch', 'record', 'generation', 'attempt', 'arguments', 'sealed'],
  ),
  Answer: closed(
    {
      nodes: {
        type: 'array',
        maxItems: 9,
        items: closed(
          {
            node: nodeNumber,
            code: { enum: ['ok', ...Object.keys(ERROR_KINDS)] },
            statement: binary(0, 20_000, 'Signed statement or receipt.'),
            head: binary(0, 20_000, 'Signed head.'),
            sealed: binary(0, 8192, 'Answer sealed to the client.'),
          },
          ['node', 'code'],
        ),
      },
      certificate: binary(0, 16_384, 'Quorum certificate.'),
      portable: binary(0, 120_000, 'The record with its proofs.'),
    },
    ['nodes'],
  ),
  Nodes: closed(
    {
      fleet: { type: 'string' },
      epoch: counter('The fleet’s epoch.'),
      nodes: {
        type: 'array',
        maxItems: 9,
        items: closed(
          {
            node: nodeNumber,
            phase: { enum: ['repairing', 'serving', 'stopped', 'unreachable'] },
            incarnation: counter('How often the node has rejoined.'),
            headsKnown: counter('Heads of others that a repairing node has.'),
            headsNeeded: counter('Heads of others that it needs.'),
          },
          ['node', 'phase'],
        ),
      },
    },
    ['fleet', 'epoch', 'nodes'],
  ),
  ServiceRecord: closed(
    {
      bundle: { type: 'string', pattern: '^[0-9a-f]{64}$', description: 'SHA-256 of the bundle’s text.' },
      nodes: {
        type: 'array',
        maxItems: 9,
        items: closed(
          {
            node: nodeNumber,
            statement: binary(0, 4096, 'What the node signed: `holdfast/service-statement/v1`.'),
            signature: binary(64, 64, 'ECDSA P-256 by the node’s identity key.'),
          },
          ['node', 'statement', 'signature'],
        ),
      },
    },
    ['bundle', 'nodes'],
  ),
  Problem: {
    type: 'object',
    description: 'RFC 9457 problem details.',
    properties: {
      type: { type: 'string', pattern: '^urn:holdfast:problem:[a-z_]+$' },
      title: { type: 'string' },
      status: { type: 'integer' },
      detail: { type: 'string' },
      code: { enum: Object.keys(ERROR_KINDS) },
      retryable: { type: 'boolean', description: 'Whether the very same request may succeed later.' },
    },
    required: ['type', 'title', 'status', 'detail', 'code', 'retryable'],
  },
};

const problemContent = { 'application/problem+json': { schema: schema('Problem') } };

export const openApiDocument = {
  openapi: '3.1.0',
  info: {
    title: 'Holdfast coordinator',
    version: '1',
    description:
      'Carries sealed requests of clients to the vault nodes. The coordinator can read neither PIN nor secret, and is trusted for availability only. Members not listed are refused.',
    license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
  },
  paths: {
    ...Object.fromEntries(OPERATIONS.map((operation) => [`/v1/${operation}`, operationPath(operation)])),
    '/v1/trust': {
      get: {
        operationId: 'trust',
        summary: 'The newest trust set that is known of this fleet, for the client to verify.',
        responses: {
          200: {
            description: `A trust set (docs/trust.md, section 5), at most ${MAXIMUM_TRUST_SET} bytes.`,
            content: json({ type: 'object' }),
          },
          404: response('Problem'),
          429: response('RateLimited'),
          default: response('Problem'),
        },
      },
    },
    '/v1/service-record': {
      get: {
        operationId: 'serviceRecord',
        summary: 'What each node signs of its limits, software and token, about the bundle that the log has accepted.',
        responses: {
          200: { description: 'One entry per node that answered.', content: json(schema('ServiceRecord')) },
          404: response('Problem'),
          429: response('RateLimited'),
          default: response('Problem'),
        },
      },
    },
    '/v1/nodes': {
      get: {
        operationId: 'nodes',
        summary: 'What each node last said of itself.',
        responses: {
          200: { description: 'One entry per node.', content: json(schema('Nodes')) },
          429: response('RateLimited'),
          default: response('Problem'),
        },
      },
    },
    '/healthz': health('healthz', 'Whether the process is alive.', {
      200: { description: 'It is.', content: status('ok') },
    }),
    '/readyz': health('readyz', 'Whether a majority of nodes serves.', {
      200: { description: 'It does.', content: status('ready') },
      503: { description: 'It does not.', content: status('not_ready') },
    }),
    '/openapi.json': health('openapi', 'This document.', {
      200: { description: 'OpenAPI 3.1.', content: json({ type: 'object' }) },
    }),
  },
  components: {
    schemas,
    responses: {
      Problem: { description: 'Why the request failed.', content: problemContent },
      RateLimited: {
        description: 'Too many requests from this address.',
        headers: { 'Retry-After': { description: 'Seconds to wait.', schema: { type: 'integer' } } },
        content: problemContent,
      },
    },
  },
};
