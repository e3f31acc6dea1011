/**
 * `npm test`: all that must hold, from a fresh clone.
 *
 *     npm test                      every check, then the tests on Node 20, 24 and, fewer of them, 22
 *     npm test -- --quick           the same on this Node alone
 *     npm test -- path/or/filter    only these tests, on this Node; any option of vitest works too
 */

import './lib/node-version.mjs';
import { build, ensureInstalled } from './lib/fresh.mjs';
import { checkInteropPage } from './lib/interop/check.mjs';
import { canInstallNode, installNode, otherMajors, testedMajors } from './lib/nodes.mjs';
import { at } from './lib/paths.mjs';
import { installPeers } from './lib/peers.mjs';
import { Report } from './lib/report.mjs';
import { runNode, runNpm } from './lib/run.mjs';
import { runVitest } from './lib/vitest.mjs';

const inCi = process.env.CI === 'true';
const quick = process.argv.includes('--quick');
const filters = process.argv.slice(2).filter((arg) => arg !== '--quick');

const ownMajor = Number(process.versions.node.split('.')[0]);
/** Runs of all tests, for what they have shown together. */
const wholeRuns = [];

/**
 * A browser and nginx drive the same proxy code on every Node, sanitizers watch C, which knows of none, an image brings
 * its own, and rivals read their configurations by themselves: once is enough.
 */
const onOneNodeOnly = ['bench', 'browser*', 'dockerfile', 'equivalents', 'nginx', 'sanitizers'].flatMap(
  (name) => ['--exclude', `**/${name}.test.ts`],
);

/** What works on the oldest Node and on the newest fails on one between them by Tidegate’s own doing, if at all. */
const onNodesBetween = ['--project', '!tidegate without its addon', '--exclude', 'test/interop/**'];

const report = new Report();
const installed = { needs: ['install'] };
const built = { needs: ['install', 'build'] };

await report.step('install', ensureInstalled);
if (filters.length > 0) {
  await report.step('build', build, installed);
  await report.step('tests', () => tests('own', process.execPath, filters), installed);
} else {
  await report.step('peers', peers);
  // Fetched while the checks keep the cores busy.
  const nodes = new Map(quick ? [] : otherMajors.map((major) => [major, fetchNode(major)]));
  await Promise.all([
    report.step('format', () => npmScript('format:check'), installed),
    report.step('build', build, installed),
  ]);
  // The examples import the package as its users do, so the checks of types read what was built.
  await Promise.all([
    report.step('types', () => npmScript('typecheck'), built),
    report.step('lint', () => npmScript('lint'), built),
    report.step('package', packageIsSound, built),
  ]);
  const ownTests = `tests, Node ${process.versions.node}`;
  await report.step(ownTests, () => wholeTests('own', ownMajor, process.execPath), installed);
  for (const [major, node] of nodes) {
    await report.step(`tests, Node ${major}`, () => testsOnOtherNode(major, node), installed);
  }
  // What failed has shown nothing.
  await report.step('interop table', () => checkInteropPage(wholeRuns, inCi), { needs: [ownTests] });
}
process.exitCode = report.finish();

/** What Debian has and npm does not. */
async function peers() {
  const missing = await installPeers();
  if (missing.length === 0) return true;
  const note = `missing: ${missing.join(', ')}; install with apt-get`;
  return inCi ? { ok: false, note } : { skip: `${note}. The tests that need them are skipped.` };
}

async function npmScript(name) {
  return shown(await runNpm(['run', '--silent', name], { capture: true }));
}

async function packageIsSound() {
  const publint = [at('node_modules', 'publint', 'src', 'cli.js'), 'run', '--strict', '--pack', 'npm'];
  const isPublishable = shown(await runNode(publint, { capture: true }));
  const hasContents = shown(await runNode([at('scripts', 'check-package.mjs')], { capture: true }));
  return isPublishable && hasContents;
}

/** Prints in one piece what a command has said; true if all is well. */
function shown({ code, stdout }) {
  if (stdout !== '') console.log(stdout.trimEnd());
  return code === 0;
}

/** To be awaited later; what fails is told by the step that needs it. */
async function fetchNode(major) {
  return canInstallNode ? installNode(major).catch(() => undefined) : undefined;
}

async function testsOnOtherNode(major, fetched) {
  if (!canInstallNode) {
    const note = `no npm package of Node for ${process.platform}-${process.arch}`;
    return inCi ? { ok: false, note } : { skip: note };
  }
  const node = await fetched;
  if (node === undefined) return { ok: false, note: `cannot install Node ${major}` };
  const isBetween = major !== Math.min(...testedMajors) && major !== Math.max(...testedMajors);
  return wholeTests(major, major, node, [...onOneNodeOnly, ...(isBetween ? onNodesBetween : [])]);
}

async function wholeTests(name, major, node, args) {
  const result = await tests(name, node, args);
  wholeRuns.push({ name: reportName(name), major });
  return result;
}

async function tests(name, node, args) {
  const result = await runVitest(reportName(name), node, args);
  // A filter leaves most of them out, and that is what was asked for.
  if (filters.length === 0) result.skippedTests?.forEach((title) => console.log(`– skipped: ${title}`));
  return result;
}

function reportName(name) {
  return `node-${name}`;
}
