/** The programs from Debian that some tests talk to or compare with. A test whose peer is missing skips itself. */

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { run } from './run.mjs';

const peers = [
  { package: 'chromium', present: () => onPath('chromium') },
  { package: 'nginx', present: () => onPath('nginx') },
  { package: 'haproxy', present: () => onPath('haproxy') },
  { package: 'caddy', present: () => onPath('caddy') },
  { package: 'curl', present: () => onPath('curl') },
  { package: 'redis-server', present: () => onPath('redis-server') },
  { package: 'nats-server', present: () => onPath('nats-server') },
  { package: 'pushpin', present: () => onPath('pushpin') },
  { package: 'systemd', present: () => onPath('systemd-notify') },
  { package: 'nghttp2-client', present: () => onPath('nghttp') },
  { package: 'python3-h2', present: () => pythonHas('h2') },
  { package: 'python3-wsproto', present: () => pythonHas('wsproto') },
  { package: 'pebble', present: () => onPath('pebble') },
  { package: 'libssl-dev', present: () => existsSync('/usr/include/openssl/ssl.h') },
  { package: 'libprotocol-websocket-perl', present: () => perlHas('Protocol::WebSocket') },
];

/** The Debian packages whose program is not there. */
export function missingPeers() {
  return peers.filter((peer) => !peer.present()).map((peer) => peer.package);
}

/** Installs what is missing where that is possible: as root on Debian. Returns what is missing still. */
export async function installPeers() {
  const missing = missingPeers();
  if (missing.length === 0 || !canInstall()) return missing;
  console.log(`Installing ${missing.join(', ')} (apt-get) …`);
  // A run level of 1 keeps the packages' services from starting; the tests start their own.
  const env = { DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  await run('apt-get', ['update', '-qq'], { env });
  await run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...missing], {
    env,
    capture: true,
  });
  return missingPeers();
}

const canInstall = () => process.getuid?.() === 0 && existsSync('/etc/debian_version') && onPath('apt-get');

/** Debian keeps servers in /usr/sbin, which is not on everybody's path. */
function onPath(program) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return folders.some((folder) => folder !== '' && existsSync(join(folder, program)));
}

const perlHas = (module) => spawnSync('perl', [`-M${module}`, '-e', '1'], { stdio: 'ignore' }).status === 0;

/** Debian's packages are for Debian's Python, whichever comes first on the path. */
const pythonHas = (module) =>
  spawnSync('/usr/bin/python3', ['-c', `import ${module}`], { stdio: 'ignore' }).status === 0;
