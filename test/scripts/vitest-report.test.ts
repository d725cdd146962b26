import { describe, expect, it } from 'vitest';
import { summarise, type VitestReport } from '../../scripts/vitest-report.ts';

const file = (name: string, status: string, tests: readonly [string, string][], message?: string) => ({
  name: `/checkout/${name}`,
  status,
  assertionResults: tests.map(([fullName, outcome]) => ({ fullName, status: outcome })),
  ...(message === undefined ? {} : { message }),
});
const report = (...testResults: VitestReport['testResults'][number][]): VitestReport => ({ testResults });

describe('the counts of a vitest report', () => {
  it('add up over the files', () => {
    const outcome = summarise(
      report(
        file('a.test.ts', 'passed', [
          ['one', 'passed'],
          ['two', 'passed'],
        ]),
        file('b.test.ts', 'failed', [
          ['three', 'passed'],
          ['four', 'failed'],
        ]),
      ),
      false,
      '/checkout',
    );
    expect(outcome).toEqual({ passed: 3, failures: ['b.test.ts: four'], skipped: [] });
  });

  it('say why a test failed, at most a dozen lines and without the libraries’ frames', () => {
    const said = [
      'Error: it is not so',
      '',
      '    at /checkout/a.test.ts:3:1',
      '    at /checkout/node_modules/x/y.js:1:1',
    ];
    const failed = { fullName: 'one', status: 'failed', failureMessages: [said.join('\n')] };
    const long = { ...failed, fullName: 'two', failureMessages: [Array(40).fill('line').join('\n')] };
    const results = { ...file('a.test.ts', 'failed', []), assertionResults: [failed, long] };
    const [one, two] = summarise(report(results), false, '/checkout').failures;
    expect(one!.split('\n')).toEqual([
      'a.test.ts: one',
      '    Error: it is not so',
      '        at /checkout/a.test.ts:3:1',
    ]);
    expect(two!.split('\n')).toHaveLength(13);
  });

  it('name what was skipped, with how it is marked', () => {
    const outcome = summarise(
      report(
        file('a.test.ts', 'passed', [
          ['one', 'skipped'],
          ['two', 'todo'],
          ['three', 'pending'],
        ]),
      ),
      true,
      '/checkout',
    );
    expect(outcome.passed).toBe(0);
    expect(outcome.skipped).toEqual([
      'a.test.ts: one (marked skipped)',
      'a.test.ts: two (marked todo)',
      'a.test.ts: three (marked pending)',
    ]);
  });

  it('count a file that could not be loaded as one failure', () => {
    const outcome = summarise(report(file('a.test.ts', 'failed', [], 'no such module\nat …')), false, '/checkout');
    expect(outcome.failures).toEqual(['a.test.ts: the file as a whole: no such module']);
  });

  it('count an error outside all tests as one failure', () => {
    const outcome = summarise(report(file('a.test.ts', 'passed', [['one', 'passed']])), false, '/checkout');
    expect(outcome.passed).toBe(1);
    expect(outcome.failures).toHaveLength(1);
  });

  it('have a failure where vitest failed and there is nothing in the report', () => {
    expect(summarise(report(), false, '/checkout').failures).toHaveLength(1);
  });
});
