/** The tests on the sound sources. A test that fails there would find every fault, and prove nothing. */
import type { Copy } from './copy.js';
import type { Outcome } from './report.js';
import { only, type Selection, selects, union } from './selection.js';

/** The tests that faults are judged by, after one run of each on the sound sources. */
export class Baseline {
  readonly #outcomes: readonly Outcome[];

  private constructor(outcomes: readonly Outcome[]) {
    this.#outcomes = outcomes;
  }

  /** Runs the tests of all selections in the copies, at once; rejects when they could not run. */
  static async run(copies: readonly Copy[], selections: readonly Selection[]): Promise<Baseline> {
    const whole = new Map(
      selections.filter(({ title }) => title === '').map((one) => [one.files.join(), one]),
    );
    const titled = selections.filter(({ title }) => title !== '');
    const runs = [...whole.values(), ...(titled.length > 0 ? [union(titled)] : [])];
    return new Baseline(
      await Promise.all(runs.map((selection, index) => soundly(copies[index % copies.length]!, selection))),
    );
  }

  /** Throws unless all tests of a selection have passed, and there is one. */
  check(selection: Selection): void {
    const passed = this.#outcomes.flatMap((outcome) => outcome.passed);
    const failed = this.#outcomes.flatMap((outcome) => outcome.failed);
    const broken = failed.find((test) => selects(selection, test));
    if (broken !== undefined) throw new Error(`fails without the fault: ${broken.file}: ${broken.title}`);
    if (!passed.some((test) => selects(selection, test))) throw new Error('its tests do not run');
  }
}

/** Tests that fail run once more, without the others: a busy machine is no reason to distrust a test. */
async function soundly(copy: Copy, selection: Selection): Promise<Outcome> {
  const first = await copy.test(selection);
  if (first.broken.length > 0) throw new Error(`test files fail: ${first.broken.join(', ')}`);
  if (first.failed.length === 0) return first;
  const again = await copy.test(only(first.failed));
  return { passed: [...first.passed, ...again.passed], failed: again.failed, broken: again.broken };
}
