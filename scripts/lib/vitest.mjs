/** Runs vitest under a given Node and counts what it reports. */

import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { delimiter, dirname, relative } from 'node:path';
import { at, root } from './paths.mjs';
import { run } from './run.mjs';

/** Far above what a whole run takes; it is for a run that hangs. */
const TIMEOUT_MS = 15 * 60_000;

/**
 * @param {string} name names the report in .cache/tests
 * @param {string} node path of the Node binary
 * @param {readonly string[]} args for vitest: filters, options
 * @returns {Promise<import('./report.mjs').Result>} with `skippedTests`: the names of tests that did not run
 */
export async function runVitest(name, node, args = []) {
  const outputFile = fileOf(name);
  mkdirSync(dirname(outputFile), { recursive: true });
  rmSync(outputFile, { force: true });

  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${outputFile}`];
  const { code, timedOut } = await run(
    node,
    [at('node_modules', 'vitest', 'vitest.mjs'), 'run', ...reporters, ...args],
    // Whatever the tests start as plain `node` is this Node too.
    { env: { PATH: `${dirname(node)}${delimiter}${process.env.PATH}` }, timeoutMs: TIMEOUT_MS },
  );
  return verdict(readReport(outputFile), code, timedOut);
}

/** What vitest has reported of a run of that name; undefined when it has not. */
export const reportOf = (name) => readReport(fileOf(name));

const fileOf = (name) => at('.cache', 'tests', `${name}.json`);

function verdict(report, code, timedOut) {
  if (report === undefined) {
    return {
      ok: false,
      note: timedOut ? `no end after ${TIMEOUT_MS / 60_000} minutes` : 'vitest made no report',
    };
  }
  const tests = report.testResults.flatMap((file) =>
    file.assertionResults.map((test) => ({
      state: test.status,
      title: `${relative(root, file.name)} > ${test.fullName}`,
      message: test.failureMessages?.[0],
    })),
  );
  const count = (...states) => tests.filter(({ state }) => states.includes(state)).length;
  const passed = count('passed');
  // A file that cannot be loaded has no tests to fail.
  const brokenFiles = report.testResults.filter(({ status, assertionResults }) => {
    return status === 'failed' && !assertionResults.some((test) => test.status === 'failed');
  });
  let failed = count('failed') + brokenFiles.length;
  // Errors outside any test, no tests at all, a run that was cut short.
  if (code !== 0 && failed === 0) failed = 1;
  const failures = [
    ...tests.filter(({ state }) => state === 'failed'),
    ...brokenFiles.map(({ name, message }) => ({ title: relative(root, name), message })),
  ];

  // Only a test that was tried again has passed and failed.
  const shaky = tests.filter(({ state, message }) => state === 'passed' && message !== undefined);

  const lineOf = ({ title, message = '' }) => `${title}: ${message.split('\n')[0]}`;
  const skippedTests = tests
    .filter(({ state }) => !['passed', 'failed'].includes(state))
    .map(({ title }) => title);
  return {
    ok: failed === 0,
    note: `${passed} passed, ${failed} failed, ${skippedTests.length} skipped`,
    counts: { passed, failed, skipped: skippedTests.length },
    failures: failures.map(lineOf),
    warnings: shaky.map((test) => `passed only when tried again: ${lineOf(test)}`),
    skippedTests,
  };
}

function readReport(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}
