/** What a monitor finds wrong: a closed list of rules that need no announcement by anybody (docs/trust.md, section 3). */

/** `alert`: somebody has to look. `warning`: the monitor could not see everything. */
export type Severity = 'alert' | 'warning';

/** Every rule, and how serious it is when it is broken. A name's meaning never changes. */
export const RULES = {
  /** The log, or its leaves, cannot be read. */
  log_unreachable: 'alert',
  /** What the log serves is not a checkpoint signed by its key. */
  checkpoint_invalid: 'alert',
  /** The leaves served do not give the root that was signed. */
  leaves_wrong: 'alert',
  /** The log serves a smaller tree than it has served before. */
  went_back: 'alert',
  /** The log has signed a tree that does not continue the one seen before. */
  rewritten: 'alert',
  /** The log has signed different trees for different eyes. */
  split_view: 'alert',
  /** A witness or another place has a larger tree than the log serves here, and for too long. */
  withheld: 'alert',
  /** Serials or digests that do not follow from those before. */
  broken_chain: 'alert',
  /** A roster that does not follow from the log, or none at the end of a signed tree. */
  wrong_roster: 'alert',
  /** A key that was revoked, or belongs to another fleet, stands in a bundle again; or a revoked fleet is listed as live. */
  revived_key: 'alert',
  /** A leaf that is malformed, wrongly signed, or breaks another rule. */
  wrong_leaf: 'alert',
  /** A proposal that nobody accepted in time: the cosigner's key may be in other hands. */
  unaccepted_proposal: 'alert',
  /** A bundle whose evidence is not in the log, or evidence that nobody serves. */
  evidence_missing: 'alert',
  /** Evidence that is not what the log says of it. */
  evidence_wrong: 'alert',
  /** Too few witnesses have cosigned the log recently. */
  stale_quorum: 'alert',
  /** A signature by one's own key that the log does not show. */
  signed_not_logged: 'alert',
  /** A signature by one's own key in the log that its journal does not have: somebody else may use the key. */
  logged_not_signed: 'alert',
  /** A Plexi statement that does not say what the log says. */
  plexi_differs: 'alert',
  /** A witness or another place cannot be read: a split view could stay unseen. */
  vantage_unreachable: 'warning',
} as const satisfies Record<string, Severity>;

export type Rule = keyof typeof RULES;

/** Broken at the time of one look. */
export interface Finding {
  readonly rule: Rule;
  /** Tells apart findings of one rule, and stays the same from look to look. */
  readonly subject: string;
  /** For people: what was seen, and what to do. */
  readonly message: string;
  /** Where signed checkpoints that prove it are kept. */
  readonly files?: readonly string[];
}

export interface Alert extends Finding {
  readonly severity: Severity;
  /** Milliseconds since 1970 of the look at which it was first found. */
  readonly since: number;
}

/** Codes of `checkLog` and of `LogReplay` by the rule that they break; all others are `wrong_leaf`. */
const RULE_OF: Readonly<Record<string, Rule>> = {
  serial_wrong: 'broken_chain',
  previous_wrong: 'broken_chain',
  accepted_wrong: 'broken_chain',
  serial_revoked: 'broken_chain',
  fleet_retired: 'broken_chain',
  retirement_wrong: 'broken_chain',
  epoch_wrong: 'broken_chain',
  membership_wrong: 'broken_chain',
  acceptance_unknown: 'broken_chain',
  acceptance_void: 'broken_chain',
  acceptance_repeated: 'broken_chain',
  key_revoked: 'revived_key',
  key_of_other_fleet: 'revived_key',
  roster_resurrects: 'revived_key',
  roster_wrong: 'wrong_roster',
  roster_omits: 'wrong_roster',
  no_roster: 'wrong_roster',
};

export function ruleOf(code: string): Rule {
  return (Object.hasOwn(RULE_OF, code) ? RULE_OF[code] : undefined) ?? 'wrong_leaf';
}
