import { addressBytes, addressText, isIPv4, isIPv6 } from './addresses.js';
import { type Endpoint, type ProxyHeader, ProxyHeaderError } from './types.js';

/** The longest line, CRLF included (proxy-protocol.txt §2.1). */
export const V1_MAX_BYTES = 107;

/** What every line begins with. */
export const V1_START = Buffer.from('PROXY ');

/** How a line begins behind which anything may stand. */
const UNKNOWN = Buffer.from('PROXY UNKNOWN');

/**
 * Looks for the end of a line that begins with `PROXY`. Returns its length, CRLF included, or undefined while it is not
 * there.
 *
 * @throws ProxyHeaderError
 */
export function v1Length(bytes: Buffer): number | undefined {
  const head = bytes.subarray(0, V1_MAX_BYTES);
  const end = head.indexOf('\r\n');
  // Only a whole CRLF ends it; and nobody waits for the rest of a line that cannot become one.
  const feed = head.indexOf('\n');
  const isBroken = feed !== -1 && (end === -1 || feed < end);
  const mayHoldAnything = head.subarray(0, UNKNOWN.length).equals(UNKNOWN);
  if (isBroken && !mayHoldAnything) throw new ProxyHeaderError('ends with LF alone, not with CRLF');
  if (end !== -1) return end + 2;
  if (bytes.length < V1_MAX_BYTES) return undefined;
  throw new ProxyHeaderError(`has no CRLF within ${V1_MAX_BYTES} bytes`);
}

/**
 * Reads a whole line without its CRLF.
 *
 * @throws ProxyHeaderError
 */
export function readV1(line: string): ProxyHeader {
  const [, family, source, destination, sourcePort, destinationPort, ...more] = line.split(' ');
  if (family === 'UNKNOWN') return { kind: 'unknown' };
  if (family !== 'TCP4' && family !== 'TCP6') {
    throw new ProxyHeaderError('names none of TCP4, TCP6 and UNKNOWN');
  }
  if (destinationPort === undefined || more.length > 0) {
    throw new ProxyHeaderError(`has not two addresses and two ports behind ${family}, one space before each`);
  }
  return {
    kind: 'tcp',
    source: readEndpoint(family, 'source', source!, sourcePort!),
    destination: readEndpoint(family, 'destination', destination!, destinationPort),
  };
}

/** Text of one line; `unknown` for what version 1 cannot say. */
export function writeV1(header: ProxyHeader): string {
  if (header.kind !== 'tcp') return 'PROXY UNKNOWN\r\n';
  const { source, destination } = header;
  const isIPv6Pair = [source, destination].some(({ address }) => isIPv6(address));
  const pair = [source, destination].map(({ address }) => (isIPv6Pair ? asIPv6(address) : address));
  return `PROXY ${isIPv6Pair ? 'TCP6' : 'TCP4'} ${pair.join(' ')} ${source.port} ${destination.port}\r\n`;
}

function readEndpoint(family: 'TCP4' | 'TCP6', which: string, address: string, port: string): Endpoint {
  const isRight = family === 'TCP4' ? isIPv4(address) : isIPv6(address);
  if (!isRight) throw new ProxyHeaderError(`has a ${which} that is no ${family} address`);
  if (!/^(?:0|[1-9]\d{0,4})$/.test(port) || Number(port) > 65_535) {
    throw new ProxyHeaderError(`has a ${which} port that is no number from 0 to 65535`);
  }
  return { address: addressText(addressBytes(address)), port: Number(port) };
}

function asIPv6(address: string): string {
  return isIPv4(address) ? `::ffff:${address}` : address;
}
