/** The proxies that are compared: where each is found, and how it is started. */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { at } from '../../scripts/lib/paths.mjs';
import { runNpm } from '../../scripts/lib/run.mjs';

/**
 * @typedef {object} Subject
 * @property {string} id
 * @property {string} name as tables show it
 * @property {string} version
 * @property {boolean} [takesTls]
 * @property {(place: Place) => { command: string[], env?: object }} start
 * @property {(said: string) => string | undefined} [check] what is wrong, from what it said when it started
 *
 * @typedef {object} Place
 * @property {string} folder for its files
 * @property {number} port where it listens
 * @property {number} backend
 * @property {number} publish where it takes what is published, if it is a gateway
 * @property {string} [certificate] a file with certificate and key: it listens with TLS; absent: without
 *
 * @typedef {{ missing: string }} Missing one line that says how to get it
 */

/**
 * @param {{ engines: string[], rivals: string[] }} wanted
 * @param {number} descriptors how many each of them may open
 * @returns {Promise<{ subjects: Subject[], missing: string[] }>} in the order of the tables
 */
export async function findSubjects({ engines, rivals }, descriptors) {
  if (rivals.some((id) => npmRivals.includes(id))) await installNpmRivals();
  // Behind TLS it is always the stream engine that relays: once is enough.
  const takesTls = (engine) => engine === 'stream' || !engines.includes('stream');
  const found = [
    ...engines.map((engine) => tidegate(engine, takesTls(engine))),
    ...rivals.flatMap((id) => finders[id]?.(descriptors) ?? []),
  ];
  return {
    subjects: found.filter((one) => one.missing === undefined),
    missing: found.flatMap((one) => one.missing ?? []),
  };
}

const npmRivals = ['http-proxy-3', 'httpxy'];

const finders = {
  nginx: (descriptors) =>
    fromDebian('nginx', {
      version: ['-v'],
      start(program, place) {
        const config = configOf('nginx.conf', { ...place, descriptors });
        return { command: [program, '-p', place.folder, '-e', 'stderr', '-c', config] };
      },
    }),
  haproxy: (descriptors) =>
    fromDebian('haproxy', {
      version: ['-v'],
      start(program, place) {
        // It refuses to start where two descriptors for each of them and its own are more than it may open.
        const maxConnections = Math.floor(descriptors / 2) - 100;
        return { command: [program, '-db', '-f', configOf('haproxy.cfg', { ...place, maxConnections })] };
      },
    }),
  caddy: () =>
    fromDebian('caddy', {
      version: ['version'],
      start: (program, place) => ({
        command: [program, 'run', '--adapter', 'caddyfile', '--config', configOf('Caddyfile', place)],
        env: { GOMAXPROCS: '1', XDG_DATA_HOME: place.folder, XDG_CONFIG_HOME: place.folder },
      }),
    }),
  'http-proxy-3': () =>
    fromNpm(
      'http-proxy-3',
      Number(process.versions.node.split('.')[0]) >= 22 ? 'http-proxy-3-node22' : undefined,
    ),
  httpxy: () => fromNpm('httpxy'),
};

function tidegate(engine, takesTls) {
  const { version } = JSON.parse(readFileSync(at('package.json'), 'utf8'));
  const id = `tidegate-${engine}`;
  const place = { folder: at('.cache', 'bench'), port: 1, backend: 1, engine };
  mkdirSync(place.folder, { recursive: true });
  const args = ['check', '--config', configOf('tidegate.yaml', place)];
  const { status, stderr } = spawnSync(process.execPath, [at('bin', 'tidegate.js'), ...args], {
    encoding: 'utf8',
  });
  if (status !== 0) {
    return {
      missing: `Tidegate ${engine}: this build has no such engine (${stderr.trim().split('\n')[0]})`,
    };
  }
  return {
    id,
    name: `Tidegate ${engine}`,
    version,
    takesTls,
    start: (place) => ({
      command: [process.execPath, at('bin', 'tidegate.js'), 'serve', '--config'].concat(
        configOf('tidegate.yaml', { ...place, engine }),
      ),
      env: { NODE_ENV: 'production' },
    }),
    check(said) {
      const running = /relay engine: (\S+)/.exec(said)?.[1];
      return running === engine ? undefined : `it runs on the engine ${running ?? 'that it does not name'}`;
    },
  };
}

function fromDebian(name, { version, start }) {
  const program = findOnPath(name);
  if (program === undefined) return { missing: `${name}: apt-get install ${name}` };
  const { stdout, stderr } = spawnSync(program, version, { encoding: 'utf8' });
  return {
    id: name,
    name,
    takesTls: true,
    version: /\d+\.\d+[.\d]*/.exec(stdout + stderr)?.[0] ?? 'unknown',
    start: (place) => start(program, place),
  };
}

function fromNpm(name, folder = name) {
  const manifest = at('bench', 'node_modules', folder, 'package.json');
  if (!existsSync(manifest)) return { missing: `${name}: npm ci --prefix bench` };
  return {
    id: name,
    name,
    version: JSON.parse(readFileSync(manifest, 'utf8')).version,
    start: ({ port, backend }) => ({
      command: [process.execPath, at('bench', 'rivals', `${name}.mjs`), String(port), String(backend)],
      env: { NODE_ENV: 'production' },
    }),
  };
}

/** Once; a machine without a registry does without them. */
async function installNpmRivals() {
  const wanted = readFileSync(at('bench', 'package-lock.json'), 'utf8');
  const stamp = at('bench', 'node_modules', '.installed-lock.json');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  console.error('Installing http-proxy-3 and httpxy into bench/node_modules (npm ci) …');
  const options = [
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    '--engine-strict=false',
  ];
  const { code } = await runNpm(['ci', '--prefix', at('bench'), ...options], { capture: true });
  if (code === 0) writeFileSync(stamp, wanted);
}

/**
 * Writes a template of bench/rivals into the folder, filled in: `{{port}}` and so on, and what is for a listener of the
 * other kind left out (from `# if tls` or `# if plain` to `# end`). Returns the path.
 */
export function configOf(name, place) {
  const kept = place.certificate === undefined ? 'plain' : 'tls';
  const text = readFileSync(at('bench', 'rivals', name), 'utf8')
    .replaceAll(/^ *# if (\w+)\n([\s\S]*?)^ *# end\n/gm, (_, kind, lines) => (kind === kept ? lines : ''))
    .replaceAll(/\{\{(\w+)\}\}/g, (_, key) => place[key]);
  const file = join(place.folder, name);
  writeFileSync(file, text);
  return file;
}

export function findOnPath(program) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return folders.map((folder) => join(folder, program)).find((file) => existsSync(file));
}
