/**
 * Builds the native relay, where it can be built. Part of every `npm install`, and never a reason for one to fail:
 * without it Tidegate relays on Node's own streams. `npm run build:native` builds again, and does fail.
 *
 * Node built-ins only: this runs at the user's, and before anything else is installed.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const addon = join(here, 'build', 'Release', 'tidegate_relay.node');
const stamp = join(here, 'build', 'sources.sha1');
const isForced = process.argv.includes('--force');
const isQuiet = process.argv.includes('--quiet');

const failure = install();
if (failure === undefined) process.exitCode = 0;
else {
  const remedy = 'Relaying on Node streams instead, which is slower and otherwise the same.';
  console.log(`tidegate: the native relay was not built: ${failure}. ${isForced ? '' : remedy}`.trim());
  process.exitCode = isForced ? 1 : 0;
}

/** Why there is no addon; undefined when there is one. */
function install() {
  if (process.platform !== 'linux') return `it needs Linux, and this is ${process.platform}`;
  if (!isForced && isUpToDate()) return undefined;
  if (!isForced && loads(prebuilt())) return undefined;
  const gyp = findNodeGyp();
  if (gyp === undefined) return 'node-gyp, which comes with npm, was not found';
  const built = spawnSync(process.execPath, [gyp, 'rebuild', '--directory', here, ...headers()], {
    encoding: 'utf8',
    stdio: isForced && !isQuiet ? 'inherit' : 'pipe',
  });
  if (built.status !== 0) return reasonIn(`${built.stderr ?? ''}\n${built.stdout ?? ''}`);
  if (!loads(addon)) return 'it was built, but this Node cannot load it';
  writeFileSync(stamp, digest());
  if (!isQuiet) console.log('tidegate: the native relay is built');
  return undefined;
}

function isUpToDate() {
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === digest() && loads(addon);
}

/** Of everything that the addon is made of. */
function digest() {
  const hash = createHash('sha1').update(readFileSync(join(here, 'binding.gyp')));
  const folder = join(here, 'src');
  for (const name of readdirSync(folder).sort()) hash.update(name).update(readFileSync(join(folder, name)));
  return hash.digest('hex');
}

/** One that came with the package. */
function prebuilt() {
  return join(here, 'prebuilds', `${process.platform}-${process.arch}`, 'tidegate_relay.node');
}

/** In a process of its own: a file that does not belong here could end this one. */
function loads(file) {
  if (!existsSync(file)) return false;
  return (
    spawnSync(process.execPath, ['-e', 'require(process.argv[1])', file], { stdio: 'ignore' }).status === 0
  );
}

/** The headers that came with this Node, where they did; otherwise node-gyp fetches them. */
function headers() {
  const prefix = dirname(dirname(realpathSync(process.execPath)));
  return existsSync(join(prefix, 'include', 'node', 'node_api.h')) ? [`--nodedir=${prefix}`] : [];
}

/** npm's own copy. */
function findNodeGyp() {
  const told = process.env.npm_config_node_gyp;
  const besideNpm = npmFiles().map((npm) => {
    try {
      return createRequire(npm).resolve('node-gyp/bin/node-gyp.js');
    } catch {
      return undefined;
    }
  });
  return [told, ...besideNpm].find((file) => file !== undefined && existsSync(file));
}

/** Where npm may be: the one that runs this, the one on the path, the one that came with this Node. */
function npmFiles() {
  const bins = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'npm'));
  const ours = join(dirname(dirname(process.execPath)), 'lib', 'node_modules', 'npm', 'index.js');
  const files = [process.env.npm_execpath, ...bins, ours];
  return files.filter((file) => file !== undefined && existsSync(file)).map((file) => realpathSync(file));
}

/** What stood in the way, from what node-gyp printed. */
function reasonIn(output) {
  const known = [
    [/could not find any Python/i, 'node-gyp found no Python'],
    [/not found: make/i, 'there is no make'],
    [/\b(?:g?cc|c99|clang):? (?:command |No such file|not found)/i, 'there is no C compiler'],
    [/ENOTFOUND|ETIMEDOUT|ECONNREFUSED|EAI_AGAIN/, 'node-gyp could not fetch the headers of this Node'],
    [/^.*\berror: .*$/m, undefined],
  ];
  for (const [pattern, reason] of known) {
    const found = pattern.exec(output);
    if (found !== null) return reason ?? found[0].trim();
  }
  return 'node-gyp failed (npm run build:native shows how)';
}
