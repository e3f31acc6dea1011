/** Is what is installed and built still what the sources say? Node built-ins only: this runs before any install. */

import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { at } from './paths.mjs';
import { runNode, runNpm } from './run.mjs';

const buildStamp = at('.cache', 'built');
const buildInputs = [
  'src',
  'native/src',
  'native/binding.gyp',
  'package.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'scripts/build.mjs',
];

/** Installs with `npm ci` unless node_modules holds what package-lock.json asks for. True if all is well. */
export async function ensureInstalled() {
  if (isInstalled()) return true;
  console.log('Installing packages (npm ci) …');
  // No install scripts: all that any package would run is to compile optional speed-ups.
  const { code } = await runNpm(
    ['ci', '--include=dev', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'],
    {
      capture: true,
    },
  );
  return code === 0;
}

/** Builds unless dist is newer than its sources. True if all is well. */
export async function ensureBuilt() {
  return isBuilt() || build();
}

/** Builds into dist. True if all is well. */
export async function build() {
  console.log('Building …');
  const startedMs = Date.now();
  const { code } = await runNode([at('scripts', 'build.mjs')]);
  if (code !== 0) return false;
  mkdirSync(at('.cache'), { recursive: true });
  // Sources saved while the compiler ran count as newer.
  writeFileSync(buildStamp, String(startedMs));
  return true;
}

/**
 * npm writes node_modules/.package-lock.json last, so a half-finished install has none. Compared by content: times
 * of files mean little after a checkout.
 */
function isInstalled() {
  const installed = readPackages(at('node_modules', '.package-lock.json'));
  const wanted = readPackages(at('package-lock.json'));
  if (installed === undefined || wanted === undefined) return false;
  return Object.entries(wanted).every(([path, { version, optional, devOptional }]) => {
    if (path === '' || ((optional || devOptional) && installed[path] === undefined)) return true;
    return installed[path]?.version === version;
  });
}

function readPackages(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages;
  } catch {
    return undefined;
  }
}

function isBuilt() {
  if (!existsSync(at('dist', 'index.js')) || !existsSync(buildStamp)) return false;
  const builtMs = Number(readFileSync(buildStamp, 'utf8'));
  return buildInputs.every((input) => newestMs(at(input)) < builtMs);
}

/** When the youngest file or folder under `path` changed; a folder's own time tells of removed files. */
function newestMs(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return readdirSync(path).reduce(
    (newest, name) => Math.max(newest, newestMs(join(path, name))),
    stat.mtimeMs,
  );
}
