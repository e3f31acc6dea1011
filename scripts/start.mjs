/**
 * `npm start`: installs and builds where needed, then runs the demo. `npm start -- proxy --listen 8080 --to URL` runs
 * that command instead; `npm start -- --listen 9000` gives options to the demo.
 *
 * The command runs in this very process, so signals and exit codes are its own.
 */

import './lib/node-version.mjs';
import { pathToFileURL } from 'node:url';
import { ensureBuilt, ensureInstalled } from './lib/fresh.mjs';
import { stopWithNpm } from './lib/parent.mjs';
import { at } from './lib/paths.mjs';

if (!(await ensureInstalled()) || !(await ensureBuilt())) process.exit(1);

stopWithNpm();
const args = process.argv.slice(2);
const namesCommand = args.length > 0 && !args[0].startsWith('-');
const bin = at('bin', 'tidegate.js');
process.argv = [process.argv[0], bin, ...(namesCommand ? args : ['demo', ...args])];
await import(pathToFileURL(bin).href);
