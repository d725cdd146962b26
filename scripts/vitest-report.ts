/** Counts from vitest's JSON report. A file that could not run, and an error outside any test, count as failures too. */

interface Assertion {
  readonly fullName: string;
  readonly status: string;
  readonly failureMessages?: readonly string[];
}

/** Characters and lines of what a failed test said that are shown with its name. */
const MAXIMUM_MESSAGE = 2000;
const MESSAGE_LINES = 12;

/** What is read of the report; its other fields do not matter here. */
export interface VitestReport {
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message?: string;
    readonly assertionResults: readonly Assertion[];
  }[];
}

export interface Outcome {
  readonly passed: number;
  /** The test's name in a line, then what it said. */
  readonly failures: readonly string[];
  /** One line each, with the reason. */
  readonly skipped: readonly string[];
}

/** `succeeded` is whether vitest itself exited with 0: it alone knows of errors that belong to no test. */
export function summarise(report: VitestReport, succeeded: boolean, root: string): Outcome {
  let passed = 0;
  const failures: string[] = [];
  const skipped: string[] = [];
  for (const file of report.testResults) {
    const name = file.name.startsWith(`${root}/`) ? file.name.slice(root.length + 1) : file.name;
    let failedHere = 0;
    for (const test of file.assertionResults) {
      if (test.status === 'passed') passed++;
      else if (test.status === 'failed') {
        failedHere++;
        failures.push([`${name}: ${test.fullName}`, ...saidBy(test)].join('\n'));
      } else skipped.push(`${name}: ${test.fullName} (marked ${test.status})`);
    }
    if (file.status === 'failed' && failedHere === 0) {
      const reason = file.message?.split('\n')[0];
      failures.push(`${name}: the file as a whole${reason ? `: ${reason}` : ''}`);
    }
  }
  if (!succeeded && failures.length === 0) failures.push('vitest failed outside the tests; its output says why');
  return { passed, failures, skipped };
}

/** The beginning of its messages, so that whoever has only the closing lines knows why. */
function saidBy({ failureMessages = [] }: Assertion): string[] {
  const text = failureMessages.join('\n').slice(0, MAXIMUM_MESSAGE);
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !line.includes('/node_modules/'));
  return lines.slice(0, MESSAGE_LINES).map((line) => `    ${line}`);
}
