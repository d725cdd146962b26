/** What the steps of an audit mean, for people who are no experts: one entry for each step, to be translated as it is. */

import type { AuditState, AuditStepId } from './types.ts';

export interface AuditText {
  readonly title: string;
  /** What is looked at. */
  readonly checked: string;
  /** What is known when it has passed. */
  readonly proves: string;
  /** What is not. */
  readonly provesNot: string;
  /** What a failure can mean, and what to do. */
  readonly failure: string;
}

export const AUDIT_STATES: Readonly<Record<AuditState, string>> = {
  passed: 'Checked, and right',
  stated: 'Only stated',
  not_checked: 'Not checked',
  failed: 'Failed',
};

/** What a page that a site serves has to say of itself. */
export const SITE_WARNING = 'This page comes from the party being checked. It cannot vouch for itself.';

export const AUDIT_TEXTS: Readonly<Record<AuditStepId, AuditText>> = {
  anchor: {
    title: 'Whom to believe',
    checked: 'The trust policy: a short list of who may sign what, signed by several keepers.',
    proves: 'The list was signed by as many of its keepers as it asks for.',
    provesNot:
      'That the keepers are who you think. If the list comes from the site itself, the site chose its own judges.',
    failure: 'The list was changed or was never signed properly. Believe nothing that follows.',
  },
  policy: {
    title: 'The rules in force',
    checked: 'Every newer version of the list, each signed by the keepers of the one before and its own.',
    proves: 'These rules are in force today, have not run out, and protect: no single party can vouch for itself.',
    provesNot: 'That the keepers chose well.',
    failure: 'The rules ran out, were replaced without enough signatures, or protect nobody.',
  },
  checkpoint: {
    title: 'The log’s signature',
    checked: 'The log, a public list to which entries can only be added, has signed its newest state.',
    proves: 'This state comes from the log that the rules name.',
    provesNot: 'That others were shown the same state; the next step does.',
    failure: 'This is another log, or somebody changed what it says.',
  },
  witnesses: {
    title: 'Independent witnesses',
    checked: 'Enough of the independent witnesses have signed this very state, and lately.',
    proves: 'Others see the same log as you, and it is not an old one, unless a whole quorum of witnesses conspires.',
    provesNot: 'That what is written in the log is true.',
    failure: 'You may be looking at a log made for you alone, or at an old one that hides something newer.',
  },
  log: {
    title: 'Every entry of the log',
    checked: 'All entries were read, their fingerprint was computed anew, and every rule was applied to each of them.',
    proves: 'Nothing is hidden in the log, and at no time did it break its rules.',
    provesNot: 'That what people signed is wise or true.',
    failure: 'The log broke a rule or shows something else than it signed. Keep what it served: it is evidence.',
  },
  roster: {
    title: 'The list of fleets',
    checked: 'The last entry of the log lists all fleets with their state, signed by the log’s own key for that.',
    proves: 'This is the complete list of fleets in force, as everybody sees it.',
    provesNot: 'Anything about a fleet itself.',
    failure: 'The log contradicts itself. Others should hear of it.',
  },
  history: {
    title: 'Nothing was taken back',
    checked: 'The log still begins with all that was seen of it before.',
    proves: 'Its past was not rewritten since then.',
    provesNot: 'What it was before it was first seen.',
    failure: 'The past was rewritten, or different people are shown different histories. Keep both reports.',
  },
  bundle: {
    title: 'Two signatures',
    checked: 'The document with the fleet’s keys and limits carries the signatures of cosigner and operator.',
    proves: 'Two different parties agreed on exactly these keys and limits.',
    provesNot: 'That the two are independent of each other in more than what the rules say.',
    failure: 'Somebody changed the document, or one of the two never agreed to it.',
  },
  revocations: {
    title: 'Not revoked',
    checked: 'No entry of the log revokes this fleet’s document.',
    proves: 'Up to the witnesses’ last confirmation nobody has called the fleet back.',
    provesNot: 'That nobody will do so a minute from now.',
    failure: 'The fleet was called back, for ever. Nothing should be sent to it any more.',
  },
  acceptance: {
    title: 'In the log, for all to see',
    checked: 'That very document stands in the log, and in the list of fleets as the one in force.',
    proves: 'You are shown what everybody is shown: a document made for one victim would have to stand there too.',
    provesNot: 'That anybody has looked at it.',
    failure: 'You may be shown something made for you alone, or something old.',
  },
  strength: {
    title: 'Strong enough, and in force',
    checked:
      'The document is valid today, and not below the least that the rules ask for: nodes, operators, limits, waits.',
    proves:
      'Guessing is limited as the rules ask, and a record takes as many operators together as it says here, if the nodes do as they say.',
    provesNot: 'That operators do not work together in secret.',
    failure: 'The fleet has run out, or is weaker than the rules allow.',
  },
  evidence: {
    title: 'The evidence is there',
    checked: 'The folder of evidence is the very one that the document names, is about this fleet and is complete.',
    proves: 'The evidence was fixed before the fleet went into service, and was not exchanged since.',
    provesNot: 'That it is true.',
    failure: 'Evidence is missing, was exchanged, or belongs to something else.',
  },
  logged: {
    title: 'The evidence is in the log',
    checked:
      'The folder and each statement in it have an entry in the log, the folder’s before the fleet was accepted.',
    proves: 'Everybody can find the same evidence, and nobody can take it back.',
    provesNot: 'That the files will be served for ever. Keep copies.',
    failure: 'Somebody shows you evidence that others do not see.',
  },
  statements: {
    title: 'Every statement is signed',
    checked: 'Each statement has its fingerprint, is about this fleet, and its signature is right.',
    proves: 'It was made by the holder of a key that cosigner and operator signed for, and nothing was changed since.',
    provesNot: 'That it is true.',
    failure: 'A statement was changed, or was signed by somebody else.',
  },
  'node-keys': {
    title: 'The nodes have these keys',
    checked: 'Each node’s keys are those of the document, and its key has signed a text about this very fleet.',
    proves: 'Somebody who can use these keys answered for this fleet.',
    provesNot: 'Where the keys are. The listed properties are what the operator’s own software read from its device.',
    failure: 'The keys in the document are not the nodes’ keys, or nobody showed that he has them.',
  },
  'token-class': {
    title: 'What is known of the devices',
    checked: 'For each node, whether the maker of its device vouches for these very keys, and that no more is claimed.',
    proves: 'With a maker’s word: that the key was made in such a device. Without: nothing.',
    provesNot: 'Who holds the PIN of the device, or anything about other keys.',
    failure: 'The document claims that a maker vouches for a key, and that is not shown.',
  },
  ceremony: {
    title: 'How the keys were made',
    checked: 'The record of the key ceremony has the same keys and devices, and each person present has signed it.',
    proves: 'These people put their keys to this record.',
    provesNot: 'That the record is complete or true. It was reported by the ceremony machine.',
    failure: 'The record is of other keys or devices, or was changed after people had signed.',
  },
  software: {
    title: 'Which software was built',
    checked: 'The operator names source code, dependencies and the fingerprint of what was built from them.',
    proves: 'Anybody can build the same again and compare.',
    provesNot: 'That this is what runs on the nodes.',
    failure: 'The statement is missing or belongs to something else.',
  },
  'service-record': {
    title: 'Limits in force, by the nodes themselves',
    checked: 'Running nodes have signed, with the keys of the document, by which limits they count.',
    proves: 'The nodes that answered said the same as the document.',
    provesNot: 'That they do as they say, or still do.',
    failure: 'A node counts by other limits than the document says, or its answer was changed.',
  },
  plexi: {
    title: 'A second view, for other tools',
    checked: 'The same document as an epoch of a Plexi log, signed by its own key.',
    proves: 'Tools that nobody here wrote see the same document.',
    provesNot: 'Anything about history; the log does.',
    failure: 'Two views of one fleet differ: somebody is shown something else.',
  },
};
