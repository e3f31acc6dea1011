import ipaddr from 'ipaddr.js';
import { UNIX_PEERS } from '../config/networks.js';

/**
 * Addresses and networks → whether an address is one of theirs; `unix` is the address of those that come by a unix
 * socket. What is no address is not.
 */
export function compileNetworks(networks: readonly string[]): (address: string) => boolean {
  if (networks.length === 0) return () => false;
  const hasUnix = networks.includes(UNIX_PEERS);
  const ranges = networks.filter((network) => network !== UNIX_PEERS).map(parseNetwork);
  return (address) => {
    if (address === UNIX_PEERS) return hasUnix;
    if (!ipaddr.isValid(address)) return false;
    const peer = ipaddr.process(address);
    return ranges.some(([base, bits]) => base.kind() === peer.kind() && peer.match(base, bits));
  };
}

function parseNetwork(text: string): [ipaddr.IPv4 | ipaddr.IPv6, number] {
  const [base, bits] = text.includes('/')
    ? ipaddr.parseCIDR(text)
    : [ipaddr.parse(text), ipaddr.parse(text).kind() === 'ipv4' ? 32 : 128];
  // `::ffff:10.0.0.0/104` is `10.0.0.0/8`: peers come as IPv4 too.
  if (base instanceof ipaddr.IPv6 && base.isIPv4MappedAddress() && bits >= 96) {
    return [base.toIPv4Address(), bits - 96];
  }
  return [base, bits];
}
