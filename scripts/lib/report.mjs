/** Steps one after another or side by side, each timed and counted, and the table at the end. */

const marks = { passed: '✓', failed: '✗', skipped: '–' };

/**
 * What a step hands back: `true` or `false`, or
 * - `ok`: whether it went well
 * - `skip`: why it did not run; it counts as skipped then
 * - `note`: a few words for the table
 * - `counts`: `{ passed, failed, skipped }`, for a step that is itself many tests; else it counts as one
 * - `failures`: a line for each test that failed, said again at the end, where it is looked for
 * - `warnings`: a line for each thing that did not fail and should be looked into, at the end as well
 * @typedef {boolean | { ok?: boolean, skip?: string, note?: string, counts?: { passed: number, failed: number, skipped: number }, failures?: readonly string[], warnings?: readonly string[] }} Result
 */

export class Report {
  #steps = [];
  #startedMs = performance.now();

  /**
   * Runs one step. It is skipped, and counts as failed, when one of the steps it `needs` failed. Steps that run side by
   * side should print nothing before they end, or nobody can tell whose lines are whose.
   *
   * @param {string} name
   * @param {() => Result | Promise<Result>} work
   * @param {{ needs?: readonly string[] }} [options]
   */
  async step(name, work, { needs = [] } = {}) {
    console.log(`\n▸ ${name}`);
    const startedMs = performance.now();
    const step = { name };
    this.#steps.push(step);
    const broken = needs.find((need) => this.failed(need));
    const result = broken === undefined ? await settle(work) : { ok: false, note: `needs ${broken}` };
    Object.assign(step, { ms: performance.now() - startedMs, ...summarise(result) });
    console.log(`${marks[step.state]} ${name} ${seconds(step.ms)}${step.note ? `: ${step.note}` : ''}`);
  }

  failed(name) {
    return this.#steps.some((step) => step.name === name && step.state === 'failed');
  }

  /** Prints the table and the line `N passed, N failed`; returns the exit code. */
  finish() {
    const width = Math.max(...this.#steps.map(({ name }) => name.length));
    console.log('');
    for (const { state, name, ms, note } of this.#steps) {
      console.log(`${marks[state]} ${name.padEnd(width)}  ${seconds(ms).padStart(7)}  ${note}`.trimEnd());
    }
    console.log(`  ${'total'.padEnd(width)}  ${seconds(performance.now() - this.#startedMs).padStart(7)}\n`);
    for (const { name, failures, warnings } of this.#steps) {
      for (const warning of warnings) console.log(`! ${name}: ${warning}`);
      for (const failure of failures) console.log(`✗ ${name}: ${failure}`);
    }
    const total = (key) => this.#steps.reduce((sum, { counts }) => sum + counts[key], 0);
    console.log(countLine(total('passed'), total('failed'), total('skipped')));
    return total('failed') === 0 ? 0 : 1;
  }
}

/** The line that ends a run. */
export function countLine(passed, failed, skipped = 0) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

async function settle(work) {
  try {
    const result = await work();
    return typeof result === 'boolean' ? { ok: result } : result;
  } catch (error) {
    console.error(error);
    return { ok: false, note: error.message };
  }
}

function summarise({ ok = true, skip, note = skip ?? '', counts, failures = [], warnings = [] }) {
  const state = skip !== undefined ? 'skipped' : ok ? 'passed' : 'failed';
  return {
    state,
    note,
    failures,
    warnings,
    counts: counts ?? { passed: 0, failed: 0, skipped: 0, [state]: 1 },
  };
}

const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;
