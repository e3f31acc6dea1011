/** A step of `npm test`: docs/interop.md says what the tests of this run have shown, no more and no less. */

import { missingPeers } from '../peers.mjs';
import { takeEvidence } from './last-run.mjs';
import { comparePages, pageName, pageWith, readPage } from './page.mjs';

const command = 'npm run docs:interop';

/**
 * @param {readonly { name: string, major: number }[]} runs of vitest, all of them whole
 * @param {boolean} isComplete whether everything must be there that tests talk to; else the step is skipped without it
 * @returns {Promise<import('../report.mjs').Result>}
 */
export async function checkInteropPage(runs, isComplete) {
  const evidence = takeEvidence(runs);
  const missing = missingPeers();
  if (!evidence.rows.some(({ engines }) => engines.includes('native'))) missing.push('the native engine');
  if (missing.length > 0 && !isComplete) return { skip: `missing: ${missing.join(', ')}` };

  const page = readPage();
  const { gone, added, versions } = comparePages(page, await pageWith(page, evidence), evidence.nodeMajors);
  for (const row of versions) console.log(`– the version is another in ${pageName} (${command}): ${row}`);
  const failures = [
    ...evidence.problems,
    ...gone.map((row) => `${pageName} has a row that no test has shown: ${row}`),
    ...added.map((row) => `${pageName} lacks a row that a test has shown (${command} writes it): ${row}`),
  ];
  return { ok: failures.length === 0, note: `${evidence.rows.length} rows`, failures };
}
