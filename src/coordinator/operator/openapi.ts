/** The operator's API as OpenAPI 3.1. `docs/api/operator.json` is this document; tests keep document, routes and answers in step. */

import { ERROR_KINDS } from '../../core/index.ts';
import {
  ALARM_IDS,
  CLIENT_OPERATIONS,
  CONDITIONS,
  COORDINATOR_SERIES,
  NODE_SERIES,
  OVERVIEW_FORMAT,
  RANGE_NAMES,
  SEVERITIES,
  type Series,
  TOKEN_OPERATIONS,
} from '../../dashboard/index.ts';
import { MAXIMUM_CREDENTIAL, MINIMUM_CREDENTIAL } from './sessions.ts';

const schema = (name: string) => ({ $ref: `#/components/schemas/${name}` });
const response = (name: string) => ({ $ref: `#/components/responses/${name}` });
const json = (content: object) => ({ 'application/json': { schema: content } });

/** All members are there, always. */
const closed = (properties: Readonly<Record<string, object>>) => ({
  type: 'object',
  additionalProperties: false,
  properties,
  required: Object.keys(properties),
});
const orNull = (what: object) => ({ oneOf: [what, { type: 'null' }] });
const text = (description: string) => ({ type: 'string', description });
const number = (description: string) => ({ type: 'number', description });
const count = (description: string) => ({ type: 'integer', description });
const time = (description: string) => ({ type: 'number', description: `${description} Milliseconds since 1970, UTC.` });
const list = (items: object, description: string) => ({ type: 'array', items, description });
const each = (names: readonly string[], value: object) =>
  closed(Object.fromEntries(names.map((name) => [name, value])));

const UNITS = {
  count: 'how many in a step',
  number: 'the greatest in a step',
  seconds: 'seconds',
  condition: 'condition',
};
const lines = (series: readonly Series[]) =>
  closed(
    Object.fromEntries(series.map(({ name, unit }) => [name, { ...schema('Line'), description: `${UNITS[unit]}` }])),
  );

const schemas = {
  Overview: closed({
    format: { const: OVERVIEW_FORMAT },
    fleet: text('Name of the fleet.'),
    epoch: count('Epoch that this coordinator is in.'),
    time: time('Now, by this coordinator’s clock.'),
    view: closed({
      coordinator: text('Whose view this is. Another coordinator may see the fleet differently.'),
      since: time('When it began to look.'),
      coordinators: count('How many coordinators the trust file names.'),
      lookedAt: orNull(time('When the last round of looks ended.')),
      latency: each(CLIENT_OPERATIONS, orNull(schema('Latency'))),
    }),
    quorum: closed({
      nodes: count('Nodes of the fleet.'),
      needed: count('How many have to serve.'),
      serving: count('How many serve.'),
      mayFail: count('How many more may fail before recoveries stop; below zero: how many too few serve.'),
    }),
    alarms: list(schema('Alarm'), 'The most severe first.'),
    nodes: list(schema('Node'), 'In their order.'),
    lastHour: closed({
      attempts: count('Votes for attempts, as the node that counted most has them; so are all below.'),
      confirmations: count('Attempts with the right PIN.'),
      activations: count('Generations activated: records enrolled, or their PINs changed.'),
      destructions: count('Records destroyed, by their owners or because their attempts were spent.'),
      anchorWrites: count('Writes of the anchor to the token.'),
    }),
    log: orNull(schema('Log')),
    expiries: list(closed({ what: text('In words.'), at: time('') }), 'What runs out one day, besides the bundle.'),
    history: closed({
      intervalMilliseconds: count('Milliseconds between two looks.'),
      bytes: count('Memory of all values of the history: fixed from the beginning.'),
    }),
  }),
  Alarm: closed({
    id: { enum: [...ALARM_IDS] },
    severity: { enum: [...SEVERITIES] },
    title: text('One line in plain words.'),
    text: text('What it means and what to do.'),
    node: orNull(count('The node that it is about.')),
    since: orNull(time('')),
  }),
  Node: closed({
    node: count('Number of the node.'),
    name: text('Its name.'),
    condition: { enum: [...CONDITIONS], description: '`failing`: it answers, and says that it is not ready.' },
    since: time('Since when this coordinator has seen it so.'),
    reason: text('Why it does not serve, in its own words.'),
    figuresAt: orNull(time('When it last gave figures.')),
    startedAt: orNull(time('When its process began.')),
    epoch: orNull(count('Epoch that it is in.')),
    queueDepth: orNull(count('Requests that wait for a group commit.')),
    inFlight: orNull(count('Requests begun.')),
    records: orNull(count('Entries of its store.')),
    sequence: orNull(count('Number of its newest group commit, which its anchor holds.')),
    repair: orNull(
      closed({
        incarnation: count('How often it has rejoined.'),
        acceptedBy: count('How many of the others that answer have accepted that incarnation.'),
        headsKnown: count('Heads of others that it has.'),
        headsNeeded: count('Heads of others that it needs before it serves.'),
        bars: { type: 'boolean', description: 'Whether it abstains on attempts that it may have forgotten.' },
        lagging: count('Records that it has had fewer than the fullest node, at the least, for ten minutes.'),
      }),
    ),
    latency: each(TOKEN_OPERATIONS, orNull(schema('Latency'))),
  }),
  Latency: {
    ...closed({
      count: count('How many.'),
      p50: number('Median, in seconds.'),
      p95: number('95th percentile, in seconds.'),
    }),
    description: 'Of the last 5 to 10 minutes; estimated from a histogram.',
  },
  Log: {
    ...closed({
      fetchedAt: orNull(time('When what is shown was fetched.')),
      bundle: orNull(
        closed({
          serial: count('Serial of the last accepted bundle.'),
          epoch: count('Its epoch.'),
          kind: { enum: ['deploy', 'retire'] },
          revoked: { type: 'boolean' },
          digest: text('SHA-256 of the bundle, in hexadecimal.'),
          notBefore: time('In force from then.'),
          notAfter: time('No longer in force.'),
          successor: orNull(text('Fleet to which a retired one’s records move.')),
          sunset: orNull(time('Until when a retired fleet gives records back.')),
        }),
      ),
      checkpoint: orNull(
        closed({
          origin: text('Which log.'),
          size: count('Its number of entries.'),
          cosignatures: list(closed({ name: text('Name of the witness’s key.'), time: time('') }), 'The newest first.'),
          majorityAt: orNull(time('When more than half of them had signed.')),
        }),
      ),
    }),
    description: 'What the cosigner or a mirror shows. Not verified by the coordinator: clients do that.',
  },
  History: closed({
    range: { enum: [...RANGE_NAMES] },
    step: count('Milliseconds that one value stands for.'),
    start: time('When the first value’s step begins.'),
    points: count('Values in each line.'),
    nodes: list(closed({ node: count('Number of the node.'), series: lines(NODE_SERIES) }), 'In their order.'),
    coordinator: lines(COORDINATOR_SERIES),
  }),
  Line: list(
    { type: ['number', 'null'] },
    `One value per step, null where nothing is known. A condition is its place in: ${CONDITIONS.join(', ')}.`,
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
      retryable: { type: 'boolean' },
    },
    required: ['type', 'title', 'status', 'detail', 'code', 'retryable'],
  },
};

const refusals = { 401: response('NotAuthenticated'), 429: response('RateLimited'), default: response('Problem') };
const problemContent = { 'application/problem+json': { schema: schema('Problem') } };
const credentials = [{ session: [] }, { credential: [] }];
const noContent = (description: string) => ({
  description,
  headers: { 'Set-Cookie': { description: 'The session.', schema: { type: 'string' } } },
});

export const operatorApiDocument = {
  openapi: '3.1.0',
  info: {
    title: 'Holdfast coordinator, for its operator',
    version: '1',
    description:
      'What one coordinator sees of its fleet: aggregated figures without records, tenants or users. It changes nothing.',
    license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
  },
  paths: {
    '/v1/operator/session': {
      post: {
        operationId: 'signIn',
        summary: 'Begins a session of at most 12 hours, 30 minutes if unused.',
        requestBody: {
          required: true,
          content: json(
            closed({ credential: { type: 'string', minLength: MINIMUM_CREDENTIAL, maxLength: MAXIMUM_CREDENTIAL } }),
          ),
        },
        responses: { 204: noContent('Signed in.'), 403: response('Problem'), ...refusals },
      },
      delete: {
        operationId: 'signOut',
        summary: 'Ends the session.',
        responses: { 204: noContent('Signed out.'), 403: response('Problem'), default: response('Problem') },
      },
    },
    '/v1/operator/overview': {
      get: {
        operationId: 'overview',
        summary: 'The fleet as this coordinator sees it now, and what is wrong with it.',
        security: credentials,
        responses: { 200: { description: 'The overview.', content: json(schema('Overview')) }, ...refusals },
      },
    },
    '/v1/operator/history': {
      get: {
        operationId: 'history',
        summary: 'Values over time, from memory: nothing is kept over a restart.',
        security: credentials,
        parameters: [{ name: 'range', in: 'query', required: true, schema: { enum: [...RANGE_NAMES] } }],
        responses: { 200: { description: 'The values.', content: json(schema('History')) }, ...refusals },
      },
    },
    '/openapi.json': {
      get: {
        operationId: 'openapi',
        summary: 'This document.',
        responses: { 200: { description: 'OpenAPI 3.1.', content: json({ type: 'object' }) } },
      },
    },
  },
  components: {
    schemas,
    securitySchemes: {
      session: { type: 'apiKey', in: 'cookie', name: '__Host-holdfast-operator' },
      credential: { type: 'http', scheme: 'bearer' },
    },
    responses: {
      Problem: { description: 'Why the request failed.', content: problemContent },
      NotAuthenticated: { description: 'No session and no right credential.', content: problemContent },
      RateLimited: {
        description: 'Too many requests, or wrong credentials, from this address.',
        headers: { 'Retry-After': { description: 'Seconds to wait.', schema: { type: 'integer' } } },
        content: problemContent,
      },
    },
  },
};
