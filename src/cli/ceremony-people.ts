/** The people of a ceremony: at the terminal, or by a file of answers that was written before. */

import type { People, Question } from '../ceremony/index.ts';
import { HoldfastError, parseJson } from '../core/index.ts';
import { readTextFile } from './files.ts';
import { askLine } from './prompt.ts';

const MAXIMUM_ANSWERS = 65_536;

/** Asks whoever sits at the terminal; every step is shown before it runs. */
export function peopleAtTerminal(signal: AbortSignal): People {
  return {
    ask: (question) => {
      switch (question.kind) {
        case 'proceed':
          return askLine('      Enter to run it, Ctrl-C to stop here: ', signal);
        case 'destroy':
          return askLine(
            `      THIS DESTROYS: ${question.what}\n      Type the token’s label, ${question.expected}, to go on: `,
            signal,
          );
        case 'line':
          return askLine(`      ${question.text}: `, signal);
      }
    },
  };
}

/**
 * Answers by question: `destroy:<step>` and `remove:<step>` (the token's label), `seals`, `person:<name>` (the name again),
 * `signature:<name>` (a file). Steps that destroy nothing run without asking.
 * @throws HoldfastError `usage`, `bad_input`.
 */
export async function peopleOfFile(path: string): Promise<People> {
  const json = parseJson(await readTextFile(path, 'the answers', MAXIMUM_ANSWERS), 'bad_input');
  const { value } = json;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) json.fail('must be an object');
  const answers = new Map(Object.entries(value as object).map(([id, answer]) => [id, textOf(id, answer)]));
  return { ask: async (question) => (question.kind === 'proceed' ? '' : answerOf(answers, question)) };
}

function textOf(id: string, answer: unknown): string {
  if (typeof answer === 'string' && answer.length <= 500) return answer;
  throw new HoldfastError('bad_input', `the answer to ${JSON.stringify(id)} must be text of up to 500 characters`);
}

function answerOf(answers: ReadonlyMap<string, string>, question: Exclude<Question, { kind: 'proceed' }>): string {
  const answer = answers.get(question.id);
  if (answer !== undefined) return answer;
  const what = question.kind === 'destroy' ? `this destroys ${question.what}` : question.text;
  throw new HoldfastError('usage', `the file of answers has none to ${JSON.stringify(question.id)} (${what})`);
}
