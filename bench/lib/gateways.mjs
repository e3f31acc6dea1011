/** The gateways that are compared: WebSockets end at them, backends speak HTTP and publish. */

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { at } from '../../scripts/lib/paths.mjs';
import { configOf, findOnPath } from './subjects.mjs';

const NCHAN = [
  '/usr/lib/nginx/modules/ngx_nchan_module.so',
  '/usr/lib64/nginx/modules/ngx_nchan_module.so',
  '/usr/share/nginx/modules/ngx_nchan_module.so',
];

/**
 * Subjects as those of `findSubjects`, with `serves: 'gateway'` and how one publishes to them (`publishes`: `grip` or
 * `plain`). Which relay engine Tidegate has makes no difference here, so that it takes part once.
 *
 * @param {{ engines: string[], rivals: string[] }} wanted
 * @param {number} descriptors how many each of them may open
 */
export function findGateways({ engines, rivals }, descriptors) {
  const found = [
    tidegate(engines[0]),
    ...Object.entries(finders).flatMap(([id, find]) => (rivals.includes(id) ? [find(descriptors)] : [])),
  ];
  return {
    subjects: found
      .filter(({ missing }) => missing === undefined)
      .map((one) => Object.assign(one, { serves: 'gateway', takesTls: false })),
    missing: found.flatMap(({ missing }) => missing ?? []),
  };
}

const finders = { nchan, pushpin };

function tidegate(engine) {
  return {
    id: 'tidegate-gateway',
    name: 'Tidegate gateway',
    version: JSON.parse(readFileSync(at('package.json'), 'utf8')).version,
    publishes: 'grip',
    start: (place) => ({
      command: [process.execPath, at('bin', 'tidegate.js'), 'serve', '--config'].concat(
        configOf('tidegate-gateway.yaml', { ...place, engine }),
      ),
      env: { NODE_ENV: 'production' },
    }),
  };
}

function nchan(descriptors) {
  const program = findOnPath('nginx');
  const module = NCHAN.find((file) => existsSync(file));
  if (program === undefined || module === undefined) {
    return { missing: 'nchan: apt-get install nginx libnginx-mod-nchan' };
  }
  return {
    id: 'nchan',
    name: 'nchan',
    version: packageVersion('libnginx-mod-nchan') ?? versionOf(program, ['-v']),
    publishes: 'plain',
    start(place) {
      const config = configOf('nchan.conf', { ...place, descriptors, module });
      return { command: [program, '-p', place.folder, '-e', 'stderr', '-c', config] };
    },
  };
}

function pushpin(descriptors) {
  const program = findOnPath('pushpin');
  if (program === undefined) return { missing: 'pushpin: apt-get install pushpin' };
  return {
    id: 'pushpin',
    name: 'pushpin',
    version: versionOf(program, ['--version']),
    publishes: 'grip',
    start(place) {
      writeFileSync(join(place.folder, 'routes'), `* 127.0.0.1:${place.backend},over_http\n`);
      const config = configOf('pushpin.conf', { ...place, maxConnections: descriptors - 500 });
      return { command: [program, '--config', config, '--merge-output'] };
    },
  };
}

function packageVersion(name) {
  const { status, stdout } = spawnSync('dpkg-query', ['-W', '-f', '${Version}', name], { encoding: 'utf8' });
  return status === 0 ? /\d+\.\d+[.\d]*/.exec(stdout)?.[0] : undefined;
}

function versionOf(program, args) {
  const { stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  return /\d+\.\d+[.\d]*/.exec(stdout + stderr)?.[0] ?? 'unknown';
}
