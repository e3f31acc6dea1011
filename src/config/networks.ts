import { isIP } from 'node:net';
import { leaf, oneOrMany, right, show, wrong } from './leaf.js';

/** Stands for every peer of a unix socket. */
export const UNIX_PEERS = 'unix';

const ACCEPTED = 'an address, a network such as 10.0.0.0/8, or unix';

/** Peers: addresses, networks, and `unix` for all that come by a unix socket; read as a list. */
export function networks() {
  const network = leaf(ACCEPTED, (text) =>
    isNetwork(text)
      ? right(text)
      : wrong(
          `expected an address, a network such as 10.0.0.0/8 or 2001:db8::/32, or unix; found ${show(text)}`,
          text === 'unix:' ? UNIX_PEERS : undefined,
        ),
  );
  return oneOrMany(network, 'an address, a network, or a list of them', 0);
}

function isNetwork(text: string): boolean {
  if (text === UNIX_PEERS) return true;
  const [address, bits, ...rest] = text.split('/');
  const family = isIP(address ?? '');
  if (family === 0 || rest.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}
