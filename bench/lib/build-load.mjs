import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { at } from '../../scripts/lib/paths.mjs';

/** Compiles the load generator unless that has been done. Returns its path; throws with one clear line. */
export function buildLoad() {
  if (process.platform !== 'linux') {
    throw new Error(`the benchmark runs on Linux only: its load uses epoll, its figures come from /proc`);
  }
  const sources = readdirSync(at('bench', 'load'))
    .map((name) => at('bench', 'load', name))
    .sort();
  const hash = createHash('sha256');
  for (const source of sources) hash.update(readFileSync(source));
  const binary = at('.cache', 'bench', `load-${hash.digest('hex').slice(0, 12)}`);
  if (!existsSync(binary)) compile(sources, binary);
  return binary;
}

function compile(sources, binary) {
  const compiler = process.env.CC ?? 'cc';
  mkdirSync(dirname(binary), { recursive: true });
  const unfinished = join(dirname(binary), `unfinished-${process.pid}`);
  const { status, error, stderr } = spawnSync(
    compiler,
    ['-std=c11', '-O3', '-Wall', '-Wextra', '-o', unfinished].concat(
      sources.filter((name) => name.endsWith('.c')),
    ),
    { encoding: 'utf8' },
  );
  if (error !== undefined) {
    throw new Error(
      `no C compiler: the load generator is C, and ${compiler} does not run (${error.code}). Debian: apt-get install gcc libc6-dev; or name another in CC`,
    );
  }
  if (status !== 0)
    throw new Error(`${compiler} cannot compile the load generator in bench/load:\n${stderr}`);
  renameSync(unfinished, binary);
}
