/** How the vault was checked before anything was sent to it: the steps of docs/trust.md, as they stand for this fleet. */

import { element, icon } from '../../common/index.ts';
import type { Account } from '../account.ts';
import { card, notice, words } from '../ui.ts';

/** @throws HoldfastError the code of the step that failed. */
export async function serviceCard(account: Account): Promise<HTMLElement> {
  const { fleets } = await account.trust.view();
  const { manifest, mode, checkpoint, witnessedAt, notice: remark, fleet, policyVersion, digest } = fleets.at(-1)!;
  const { limit } = fleet.policy;
  const checks = [
    `The list of its ${fleet.nodes.length} nodes is signed by its operator and by a cosigner, with different keys.`,
    `It stands in the public log ${checkpoint.origin}, at ${words.number(checkpoint.size)} entries, and the log has not changed its past.`,
    `Independent witnesses vouched for that log ${words.ago(witnessedAt, Date.now())}.`,
    `It keeps to what this application’s trust policy (version ${policyVersion}) asks for, and allows ${limit} guesses.`,
  ];
  return card(
    'The vault was checked',
    element('p', { class: 'hint' }, 'Before anything was sent, this browser verified:'),
    element(
      'ul',
      { class: 'ticks' },
      checks.map((text) => element('li', {}, icon('passed'), text)),
    ),
    remark !== undefined && notice('warn', element('p', {}, remark)),
    element(
      'details',
      {},
      element('summary', {}, 'Details to compare'),
      element(
        'dl',
        { class: 'facts' },
        ...Object.entries({
          Fleet: fleet.fleet,
          'Bundle number': String(manifest.serial),
          Freshness: mode === 'fresh' ? 'fresh' : 'waiting for witnesses',
          'Bundle digest': `${digest.slice(0, 16)}…`,
          Log: checkpoint.origin,
        }).flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, value)]),
      ),
    ),
  );
}
