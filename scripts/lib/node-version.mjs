/**
 * Stops with one line when this Node is too old. Imported first by the scripts that run before anything is
 * installed, and written so that far older versions can still read it.
 */
import { readFileSync } from 'node:fs';

const { engines } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
const [major, minor] = engines.node.replace('>=', '').split('.').map(Number);
const [ownMajor, ownMinor] = process.versions.node.split('.').map(Number);

if (ownMajor < major || (ownMajor === major && ownMinor < minor)) {
  console.error(
    `Tidegate needs Node.js ${major}.${minor} or newer; this is ${process.version} (${process.execPath}).`,
  );
  process.exit(1);
}
