import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { at } from '../../scripts/lib/paths.mjs';

/**
 * Compiles the load generator unless that has been done: with OpenSSL where it is there, otherwise without.
 *
 * @returns {{ load: string, withoutTls?: string }} its path, and why it speaks no TLS if it does not
 * @throws with one clear line when it cannot be built at all
 */
export function buildLoad() {
  if (process.platform !== 'linux') {
    throw new Error(`the benchmark runs on Linux only: its load uses epoll, its figures come from /proc`);
  }
  const compiler = process.env.CC ?? 'cc';
  const sources = readdirSync(at('bench', 'load'))
    .map((name) => at('bench', 'load', name))
    .sort();
  const hash = createHash('sha256').update(compiler);
  for (const source of sources) hash.update(readFileSync(source));
  const plain = at('.cache', 'bench', `load-${hash.digest('hex').slice(0, 12)}`);
  const withTls = `${plain}-tls`;
  if (existsSync(withTls)) return { load: withTls };
  mkdirSync(dirname(plain), { recursive: true });
  if (hasOpenSsl(compiler)) {
    compile(compiler, sources, withTls, ['-DLOAD_TLS'], OPENSSL);
    return { load: withTls };
  }
  if (!existsSync(plain)) compile(compiler, sources, plain);
  return {
    load: plain,
    withoutTls: `${compiler} finds no OpenSSL 3 to build the load generator with. Debian: apt-get install libssl-dev`,
  };
}

const OPENSSL = ['-lssl', '-lcrypto'];

function hasOpenSsl(compiler) {
  const program = `#include <openssl/ssl.h>
#if OPENSSL_VERSION_NUMBER < 0x30000000L
#error "it is older than version 3"
#endif
int main(void) { return !TLS_client_method(); }`;
  const probe = ['-x', 'c', '-o', '/dev/null', '-', ...OPENSSL];
  return spawnSync(compiler, probe, { input: program, stdio: ['pipe', 'ignore', 'ignore'] }).status === 0;
}

function compile(compiler, sources, binary, options = [], libraries = []) {
  const unfinished = join(dirname(binary), `unfinished-${process.pid}`);
  const { status, error, stderr } = spawnSync(
    compiler,
    ['-std=c11', '-O3', '-Wall', '-Wextra', ...options, '-o', unfinished].concat(
      sources.filter((name) => name.endsWith('.c')),
      libraries,
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
