/** The transparency page in a real browser, on a site that is all in order and on ones that are not. */

import { readFileSync } from 'node:fs';
import { fastify } from 'fastify';
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type AuditStepId, seenInReport } from '../../src/audit/index.ts';
import { utf8 } from '../../src/core/index.ts';
import { parseTrustAnchor, serialiseTrustAnchor } from '../../src/trust/index.ts';
import { AuditScene, SITE } from '../audit/scene.ts';
import { createFleet } from '../pki/fixtures.ts';
import { acceptance, digestOfManifest, proposal, revocationLeaf, signPolicy, trustPolicy } from '../trust/fixture.ts';
import { NOW, revocation } from '../trust/manifests.ts';
import { accessibilityFaults } from './axe.ts';
import { openBrowser, overflows, shoot, VIEWS, Visit, type VisitOptions } from './browser.ts';
import { type Built, build } from './built.ts';
import { PageHost } from './server.ts';

const resources = new AsyncDisposableStack();
let browser: Browser;
let built: Built;
let host: PageHost;
let scene: AuditScene;
/** What is served instead, by path. */
const tampered = new Map<string, Uint8Array>();
/** Paths of which the answer waits until the test ends. */
const held = new Set<string>();
let release = () => {};
let released = Promise.resolve();

beforeAll(async () => {
  browser = await openBrowser();
  resources.defer(() => browser.close());
  [scene, built] = await Promise.all([AuditScene.make(), build('transparency')]);
  host = resources.use(
    await PageHost.start({ '/': built.folder }, (app) =>
      app.get('/*', async ({ url }, reply) => {
        const path = url.slice(1);
        if (held.has(path)) await released;
        const found = tampered.get(path) ?? scene.files.get(path);
        return found ? reply.send(Buffer.from(found)) : reply.code(404).send();
      }),
    ),
  );
});
afterAll(() => resources.disposeAsync());
afterEach(() => {
  tampered.clear();
  held.clear();
  release();
});

function holdBack(path: string): void {
  ({ promise: released, resolve: release } = Promise.withResolvers<void>());
  held.add(path);
}

// The evidence's addresses are at the site's own name, which is asked where this host serves something else.
const visit = (view: VisitOptions = VIEWS.light) =>
  Visit.to(browser, `${host.url}/`, {
    ...view,
    origins: [SITE],
    prepare: async (page) => {
      await page.clock.setFixedTime(NOW);
      await page.route(`${SITE}/**`, (route) => route.abort());
    },
  });

const shown = async ({ page }: Visit) => page.getByRole('heading', { name: 'Log and witnesses' }).waitFor();
const audited = async ({ page }: Visit) => {
  await page.getByRole('button', { name: 'Check it yourself' }).click();
  await page.locator('.verdict-title').waitFor();
};
const verdict = ({ page }: Visit) => page.locator('.verdict-title').textContent();
const clean = ({ violations, errors, elsewhere }: Visit) => ({ violations, errors, elsewhere });
const CLEAN = { violations: [], errors: [], elsewhere: [] };

/** What the page says of a step: its state, and its code where it failed. */
async function result({ page }: Visit, id: AuditStepId): Promise<string | null> {
  const row = page.locator(`[data-step="${id}"]`);
  return (await row.getAttribute('data-code')) ?? (await row.getAttribute('data-state'));
}

const failures = ({ page }: Visit) =>
  page.locator('[data-state="failed"]').evaluateAll((rows) => rows.map((row) => (row as HTMLElement).dataset.step));

describe.each(Object.entries(VIEWS))('%s', (name, view) => {
  test('keeps the rules of accessibility and its own policy, before the check and after it', async () => {
    await using one = await visit(view);
    await shown(one);
    await shoot(one.page, `transparency-${name}-1`);
    expect(await accessibilityFaults(one.page)).toEqual([]);
    expect(await overflows(one.page)).toBe(false);
    await audited(one);
    await one.page.locator('details').evaluateAll((all) => {
      for (const each of all) (each as HTMLDetailsElement).open = true;
    });
    await shoot(one.page, `transparency-${name}-2`);
    expect(await accessibilityFaults(one.page)).toEqual([]);
    expect(await overflows(one.page)).toBe(false);
    expect(clean(one)).toEqual(CLEAN);
  });

  test('keeps them where a step fails', async () => {
    tampered.set('trust/first', utf8('{}\n'));
    await using one = await visit(view);
    await audited(one);
    await shoot(one.page, `transparency-${name}-3`);
    expect(await accessibilityFaults(one.page)).toEqual([]);
    expect(await overflows(one.page)).toBe(false);
    expect(clean(one)).toEqual(CLEAN);
  });
});

describe('what the log says', () => {
  test('is shown with no more of the hardware than is proven', async () => {
    await using one = await visit();
    await shown(one);
    const fleet = one.page.locator('article.fleet');
    expect(await fleet.getByRole('heading', { level: 3 }).textContent()).toBe('first');
    const claims = await fleet.locator('.claim').allTextContents();
    expect(claims).toHaveLength(3);
    for (const claim of claims) {
      expect(claim).toMatch(/^The operator states that these keys live in .+\. Nothing independent confirms it\.$/);
    }
    expect(await fleet.textContent()).not.toMatch(/attest|certified|secure element/i);
    const [main] = await one.page.getByRole('main').allTextContents();
    expect(main).toContain('This page comes from the party being checked. It cannot vouch for itself.');
    expect(main).toContain(`holdfast audit ${host.url}`);
    expect(main).toContain('any 2 of 3 can recover; 3 operators run them');
  });

  test('has the hash of this very page beside it', async () => {
    await using one = await visit();
    await one.page.locator('#about').getByText(built.sha256).waitFor();
  });

  test('is not shown where it does not fit together, and the check says at which step', async () => {
    const path = [...scene.files.keys()].find((each) => each.startsWith('tile/entries/'))!;
    tampered.set(path, flipped(scene.files.get(path)!, 300));
    await using one = await visit();
    await one.page.getByRole('heading', { name: 'The log cannot be shown' }).waitFor();
    await audited(one);
    expect(await failures(one)).toContain('log');
  });

  test('tells what changed and who revoked, whatever they write, as text', async () => {
    const before = scene;
    scene = await AuditScene.make();
    const { manifest } = scene.folder;
    const next = {
      ...manifest,
      ...{ serial: 2, previous: digestOfFirst(scene), accepted: digestOfFirst(scene) },
      policy: { ...manifest.policy, limit: 12 },
    };
    await scene.log.append(await proposal(next), await acceptance(next));
    const reason = '<img src=x onerror="alert(1)">';
    await scene.log.append(await revocationLeaf(revocation({ ...next, digest: digestOfManifest(next) }, { reason })));
    await scene.publish();
    try {
      await using one = await visit();
      await shown(one);
      const text = (await one.page.locator('article.fleet').textContent())!;
      expect(text).toContain('Guesses in a row: 12, before that 10.');
      expect(text).toContain('Makes the fleet weaker More guesses in a row: 12 instead of 10.');
      expect(text).toContain(reason);
      expect(await one.page.locator('main img').count()).toBe(0);
      expect(clean(one)).toEqual(CLEAN);
      await shoot(one.page, 'transparency-revoked');
      expect(await accessibilityFaults(one.page)).toEqual([]);
    } finally {
      scene = before;
    }
  });
});

describe('the check', () => {
  test('passes on a site that is in order, and its report is one that the next audit reads', async () => {
    await using one = await visit();
    await audited(one);
    expect(await verdict(one)).toBe('No step failed');
    expect(await failures(one)).toEqual([]);
    expect(await result(one, 'anchor')).toBe('stated');
    expect(await one.page.locator('.verdict[data-fleet="first"]').textContent()).toBe('Checked: no step failed');
    const [saved] = await Promise.all([
      one.page.waitForEvent('download'),
      one.page.getByRole('button', { name: 'Download the report' }).click(),
    ]);
    const text = readFileSync(await saved.path(), 'utf8');
    expect(JSON.parse(text)).toMatchObject({ site: host.url, passed: true, fleets: ['first'] });
    expect(seenInReport(text)).toMatchObject({ origin: 'log.example/family/production' });
    expect(clean(one)).toEqual(CLEAN);
  });

  test('is done by keyboard alone, and the focus goes where something has happened', async () => {
    await using one = await visit();
    await shown(one);
    const { keyboard } = one.page;
    const focused = () => one.page.evaluate(() => document.activeElement?.textContent ?? '');
    await keyboard.press('Tab');
    expect(await focused()).toBe('Skip to the content');
    await keyboard.press('Enter');
    await keyboard.press('Tab');
    expect(await focused()).toBe('Check it yourself');
    await keyboard.press('Enter');
    await one.page.locator('.verdict-title').waitFor();
    expect(await focused()).toContain('No step failed');
    await keyboard.press('Tab');
    expect(await focused()).toContain('Download the report');
    await keyboard.press('Tab');
    expect(await focused()).toBe('Check again');
    await keyboard.press('Tab');
    expect(await focused()).toBe('What this means: Whom to believe');
    await keyboard.press('Enter');
    expect(await one.page.locator('.step details').first().getAttribute('open')).not.toBeNull();
  });

  test('can be stopped, and says that nothing is known of the rest', async () => {
    holdBack('checkpoint');
    await using one = await visit();
    await one.page.getByRole('button', { name: 'Check it yourself' }).click();
    await one.page.getByRole('button', { name: 'Stop' }).click();
    await one.page.locator('#check').getByText('What was not looked at is not known.').waitFor();
    expect(await one.page.locator('.verdict-title').count()).toBe(0);
    release();
    held.clear();
    await one.page.getByRole('button', { name: 'Check again' }).click();
    await one.page.locator('.verdict-title').waitFor();
    expect(await verdict(one)).toBe('No step failed');
  });

  const evidence = () => [...scene.files.keys()].filter((path) => path.startsWith('evidence/'));
  const note = (path: string, from: string, to: string) =>
    utf8(new TextDecoder().decode(scene.files.get(path)).replace(from, to));
  test.each<[string, () => void, AuditStepId, RegExp]>([
    [
      'a statement of the evidence that was changed',
      () => {
        for (const path of evidence()) tampered.set(path, flipped(scene.files.get(path)!, 150));
      },
      'evidence',
      /^evidence_/,
    ],
    [
      'a bundle that was changed',
      () => void tampered.set('trust/first', note('trust/first', '"limit\\":10', '"limit\\":11')),
      'bundle',
      /^signature_invalid$/,
    ],
    [
      'an entry of the log that was changed',
      () => {
        const path = [...scene.files.keys()].find((each) => each.startsWith('tile/entries/'))!;
        tampered.set(path, flipped(scene.files.get(path)!, 300));
      },
      'log',
      /./,
    ],
    [
      'a checkpoint of another size',
      () => void tampered.set('checkpoint', note('checkpoint', '\n13\n', '\n12\n')),
      'checkpoint',
      /^signature_invalid$/,
    ],
    ['no log at all', () => void tampered.set('checkpoint', utf8('nothing')), 'checkpoint', /./],
  ])('shows %s as the failure of its step, in words', async (_what, tamper, step, code) => {
    tamper();
    await using one = await visit();
    await audited(one);
    expect(await verdict(one)).toMatch(/steps? failed$/);
    expect((await failures(one))[0]).toBe(step);
    expect(await result(one, step)).toMatch(code);
    const row = one.page.locator(`[data-step="${step}"]`);
    expect(await row.locator('.notice-bad').textContent()).toMatch(/^What a failure means: .{30,}/);
    expect(await one.page.locator('.verdict-title ~ p').first().textContent()).toContain('Do not trust this site');
    expect(clean(one)).toMatchObject({ violations: [], errors: [] });
  });

  test('accuses nobody of what only did not come, and does not call it right either', async () => {
    await using one = await visit();
    const address = `${host.url}/trust/first`;
    await one.page.route(address, (route) => route.abort());
    await audited(one);
    expect(await verdict(one)).toMatch(/steps? failed$/);
    expect(await result(one, 'bundle')).toBe('not_ready');
    expect(await one.page.locator('.verdict-title ~ p').first().textContent()).toMatch(/did not answer.* check again/);
    await one.page.unroute(address);
    await one.page.getByRole('button', { name: 'Check again' }).click();
    await one.page.getByText('No step failed').first().waitFor();
  });

  test('asks again for what a broken connection has kept back', async () => {
    await using one = await visit();
    await one.page.route(`${host.url}/trust/first`, (route) => route.abort(), { times: 1 });
    await one.page.route(`${host.url}/namespaces/**`, (route) => route.abort(), { times: 1 });
    await audited(one);
    expect(await verdict(one)).toBe('No step failed');
  });

  test('notices at the next visit that the past was rewritten', async () => {
    await using one = await visit();
    await audited(one);
    expect(await one.page.locator('#check').textContent()).toContain('has not seen the log before');
    await one.page.getByRole('button', { name: 'Check again' }).click();
    await one.page.locator('#check').getByText('Compared with what this browser saw of the log').waitFor();
    const before = scene;
    scene = await AuditScene.make({ withoutService: true });
    try {
      await one.page.reload();
      await audited(one);
      expect(await result(one, 'history')).toMatch(/rolled_back|split_view/);
    } finally {
      scene = before;
    }
  });
});

describe('a trust anchor of the visitor’s own', () => {
  const give = async ({ page }: Visit, text: string) => {
    await page.getByText('Use your own trust anchor').click();
    await page.getByLabel('Paste it here').fill(text);
  };

  test('takes the place of the site’s', async () => {
    await using one = await visit();
    await give(one, serialiseTrustAnchor(scene.anchor));
    await audited(one);
    expect(await result(one, 'anchor')).toBe('passed');
    expect(await one.page.locator('#check').textContent()).toContain('Judged by the trust anchor that you gave.');
  });

  test('is waited for while its file is read, and the site’s is not taken instead', async () => {
    await using one = await visit();
    await one.page.evaluate(() => {
      const read = Blob.prototype.text;
      const { promise, resolve } = Promise.withResolvers<void>();
      Blob.prototype.text = async function (this: Blob) {
        await promise;
        return await read.call(this);
      };
      Object.assign(globalThis, { goOn: resolve });
    });
    await one.page.getByText('Use your own trust anchor').click();
    const buffer = Buffer.from(serialiseTrustAnchor(scene.anchor));
    await one.page
      .getByLabel('or choose the file')
      .setInputFiles({ name: 'client.json', mimeType: 'application/json', buffer });
    await one.page.getByRole('button', { name: 'Check it yourself' }).click();
    await one.page.evaluate(() => (globalThis as unknown as { goOn: () => void }).goOn());
    await one.page.locator('.verdict-title').waitFor();
    expect(await result(one, 'anchor')).toBe('passed');
  });

  test('shows a site that names other judges for what it is', async () => {
    const other = await signPolicy(trustPolicy({ cosigner: trustPolicy().operator, operator: trustPolicy().cosigner }));
    const anchor = parseTrustAnchor(serialiseTrustAnchor({ ...scene.anchor, policy: other }));
    await using one = await visit();
    await give(one, serialiseTrustAnchor(anchor));
    await audited(one);
    expect(await failures(one)).not.toEqual([]);
  });

  test('that is none is said to be none, and nothing else is taken instead', async () => {
    await using one = await visit();
    await give(one, '{"format":"holdfast/trust-anchor/v1"}');
    await one.page.getByRole('button', { name: 'Check it yourself' }).click();
    const field = one.page.getByLabel('Paste it here');
    expect(await field.getAttribute('aria-invalid')).toBe('true');
    expect(await field.evaluate((each) => each === document.activeElement)).toBe(true);
    expect(await one.page.locator('#anchor-status').textContent()).toMatch(/^This is no trust anchor: .+\.$/);
    expect(await one.page.locator('.step').count()).toBe(0);
    expect(await accessibilityFaults(one.page)).toEqual([]);
    await one.page.getByRole('button', { name: 'Use the site’s own' }).click();
    await audited(one);
    expect(await result(one, 'anchor')).toBe('stated');
  });
});

describe('the page at another host', () => {
  test('checks the site that its address names, and says whom to believe then', async () => {
    const { certificatePem, privateKeyPem } = await (await createFleet('elsewhere')).issue('public', 'site');
    const app = fastify({ https: { cert: certificatePem, key: privateKeyPem }, forceCloseConnections: true });
    app.get('/*', async ({ url }, reply) => {
      const found = scene.files.get(url.slice(1));
      // As a cosigner allows it for all that it publishes.
      reply.header('access-control-allow-origin', '*');
      return found ? reply.send(Buffer.from(found)) : reply.code(404).send();
    });
    const elsewhere = await app.listen({ host: '127.0.0.1', port: 0 });
    try {
      await using one = await Visit.to(browser, `${host.url}/?site=${elsewhere}`, {
        ...VIEWS.light,
        origins: [elsewhere],
        ignoreHTTPSErrors: true,
        prepare: ({ clock }) => clock.setFixedTime(NOW),
      });
      await audited(one);
      expect(await verdict(one)).toBe('No step failed');
      const text = (await one.page.locator('.hero').textContent())!;
      expect(text).toContain(`This page comes from ${new URL(host.url).host}, and not from the site that it checks.`);
      expect(await one.page.locator('#about').textContent()).toContain(`holdfast audit ${elsewhere}`);
      expect(clean(one)).toEqual(CLEAN);
    } finally {
      await app.close();
    }
  });

  test('asks nobody where its address names no site of https', async () => {
    host.requests.length = 0;
    await using one = await Visit.to(browser, `${host.url}/?site=http://127.0.0.1:1`);
    await one.page.getByText('must be an address that begins with https').waitFor();
    expect(host.requests).toEqual([]);
    expect(await accessibilityFaults(one.page)).toEqual([]);
    expect(clean(one)).toEqual(CLEAN);
  });
});

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const changed = Uint8Array.from(bytes);
  changed[at]! ^= 1;
  return changed;
}

const digestOfFirst = ({ log }: AuditScene) => log.state.fleets.get('first')!.accepted!.digest;
