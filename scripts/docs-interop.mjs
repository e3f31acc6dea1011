/**
 * `npm run docs:interop`: writes the tables of docs/interop.md from what the tests have shown. Without more, from the last
 * whole `npm test`, which has compared the page with it; with `-- --run` it first runs the tests that the tables are made
 * of, on the newest Node that is tested.
 */

import './lib/node-version.mjs';
import { lastEvidence, takeEvidence } from './lib/interop/last-run.mjs';
import { pageName, writePage } from './lib/interop/page.mjs';
import { evidenceFiles } from './lib/interop/rows.mjs';
import { installNode, otherMajors } from './lib/nodes.mjs';
import { runVitest } from './lib/vitest.mjs';

/** Of its report. */
const NAME = 'docs-interop';

if (process.argv.includes('--run')) await runTests();
const evidence = lastEvidence();
if (evidence === undefined)
  throw new Error('no run to write it from: npm test, or npm run docs:interop -- --run');
evidence.problems.forEach((problem) => console.error(problem));
await writePage(evidence);
console.log(`${pageName}: ${evidence.rows.length} rows, of Node ${evidence.nodeMajors.join(', ')}`);

async function runTests() {
  const own = Number(process.versions.node.split('.')[0]);
  const major = Math.max(own, ...otherMajors);
  const node = major === own ? process.execPath : await installNode(major);
  if (node === undefined) throw new Error(`cannot install Node ${major}`);
  const { ok, failures } = await runVitest(NAME, node, evidenceFiles);
  if (!ok) throw new Error(`these tests failed:\n${failures.join('\n')}`);
  takeEvidence([{ name: NAME, major }]);
}
