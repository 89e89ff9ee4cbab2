/** Reports of the test runner, as its JSON reporter writes them. */
import { relative } from 'node:path';

/** One test. */
export interface Test {
  /** Its path in the project. */
  readonly file: string;
  /** Its title, after those of the groups around it. */
  readonly title: string;
}

/** The tests that ran. */
export interface Outcome {
  readonly passed: readonly Test[];
  /** Only tests: a file that failed to load has run none, and proves nothing. */
  readonly failed: readonly Test[];
  /** Files that failed, with no test that did: to load, or in a hook. */
  readonly broken: readonly string[];
}

/** The part of a report that is read. */
interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
  }[];
}

/** Reads a report of tests that ran in `folder`. */
export function readReport(json: string, folder: string): Outcome {
  const { testResults } = JSON.parse(json) as Report;
  const testsThat = (wanted: string): Test[] =>
    testResults.flatMap(({ name, assertionResults }) =>
      assertionResults
        .filter(({ status }) => status === wanted)
        .map(({ fullName }) => ({ file: relative(folder, name), title: fullName })),
    );
  const broken = testResults
    .filter(({ status }) => status === 'failed')
    .filter(({ assertionResults }) => !assertionResults.some((result) => result.status === 'failed'))
    .map(({ name }) => relative(folder, name));
  return { passed: testsThat('passed'), failed: testsThat('failed'), broken };
}
