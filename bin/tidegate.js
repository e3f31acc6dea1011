#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const entry = new URL('../dist/cli/main.js', import.meta.url);

if (existsSync(fileURLToPath(entry))) {
  const { main } = await import(entry.href);
  process.exitCode = await main(process.argv.slice(2));
  // What is left over must not keep the process for long; unless something is, this never fires.
  setTimeout(() => process.exit(), 1000).unref();
} else {
  process.stderr.write('tidegate: dist/ is missing; run `npm run build` first\n');
  process.exitCode = 1;
}
