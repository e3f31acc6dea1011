/**
 * What the last whole run of the tests has shown, kept for `npm run docs:interop`: the page is written without running
 * them again.
 */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { at } from '../paths.mjs';
import { reportOf } from '../vitest.mjs';
import { readEvidence } from './rows.mjs';

const file = at('.cache', 'tests', 'interop.json');

/**
 * @typedef {ReturnType<typeof readEvidence> & { nodeMajors: number[] }} Evidence
 */

/**
 * Reads the reports of a run and keeps what they show.
 *
 * @param {readonly { name: string, major: number }[]} runs names of reports, and the version of Node each was made with
 * @returns {Evidence}
 */
export function takeEvidence(runs) {
  const reports = runs.map(({ name }) => reportOf(name)).filter((report) => report !== undefined);
  const evidence = { ...readEvidence(reports), nodeMajors: runs.map(({ major }) => major) };
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, JSON.stringify(evidence));
  return evidence;
}

/** @returns {Evidence | undefined} undefined before any run */
export function lastEvidence() {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}
