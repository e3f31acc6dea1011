// Starts all of it: the servers that the configuration names, and Tidegate before them. Ctrl-C lets go of everybody.
//
//   node examples/socket-io/start.mjs [CONFIG]
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

const here = (file) => fileURLToPath(new URL(file, import.meta.url));
const config = process.argv[2] ?? here('tidegate.config.yaml');
const urls = parse(readFileSync(config, 'utf8')).upstreams.chat.servers.map((url) => new URL(url));

const servers = urls.map(({ port }, i) => start(here('server.mjs'), `server-${i + 1}`, port));
const tidegate = start(here('../../bin/tidegate.js'), 'serve', '--config', config);
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => tidegate.kill(signal));

// The proxy first: while it drains, its clients still have their servers.
const [code] = await once(tidegate, 'exit');
for (const server of servers) server.kill('SIGTERM');
process.exitCode = code ?? 1;

/** In a group of its own, or Ctrl-C would reach it twice. */
function start(program, ...args) {
  return spawn(process.execPath, [program, ...args], { stdio: 'inherit', detached: true });
}
