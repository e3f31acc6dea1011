import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import ipaddr from 'ipaddr.js';

const DAY_MS = 24 * 60 * 60 * 1000;
/** Clocks are not all right. */
const VALID_SINCE_MS = DAY_MS;
/** The demo’s certificate lives as long as the demo. */
const VALID_FOR_MS = 30 * DAY_MS;

export interface Identity {
  /** PEM. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
}

/**
 * A certificate that vouches for itself, with a new P-256 key (RFC 5280). Node can read certificates and cannot write
 * them; nobody who tries the demo should need openssl for it.
 *
 * @param names host names and IP addresses that it is for.
 */
export function selfSigned(names: readonly string[], nowMs = Date.now()): Identity {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const subject = sequence(set(sequence(oid.commonName, tlv(UTF8_STRING, Buffer.from('Tidegate demo')))));
  const toBeSigned = sequence(
    tlv(explicit(0), tlv(INTEGER, Buffer.from([2]))),
    tlv(INTEGER, serialNumber()),
    sequence(oid.ecdsaWithSha256),
    subject,
    sequence(time(nowMs - VALID_SINCE_MS), time(nowMs + VALID_FOR_MS)),
    subject,
    publicKey.export({ type: 'spki', format: 'der' }),
    tlv(
      explicit(3),
      sequence(
        extension(oid.basicConstraints, sequence(), true),
        extension(oid.keyUsage, tlv(BIT_STRING, DIGITAL_SIGNATURE), true),
        extension(oid.extendedKeyUsage, sequence(oid.serverAuth)),
        extension(oid.subjectAltName, sequence(...names.map(generalName))),
      ),
    ),
  );
  const signature = sign('sha256', toBeSigned, privateKey);
  const certificate = sequence(
    toBeSigned,
    sequence(oid.ecdsaWithSha256),
    tlv(BIT_STRING, Buffer.from([0]), signature),
  );
  const base64 = certificate.toString('base64').replace(/.{64}/g, '$&\n').trimEnd();
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

// ---- DER (X.690): a tag, a length, and what is in it ----

const BOOLEAN = 0x01;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const OBJECT_IDENTIFIER = 0x06;
const UTF8_STRING = 0x0c;
const UTC_TIME = 0x17;
const SEQUENCE = 0x30;
const SET = 0x31;
const explicit = (number: number): number => 0xa0 + number;
/** Of a GeneralName (RFC 5280 §4.2.1.6). */
const DNS_NAME = 0x82;
const IP_ADDRESS = 0x87;

/** One bit, behind the number of bits that are not used. */
const DIGITAL_SIGNATURE = Buffer.from([7, 0x80]);

function tlv(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  const { length } = body;
  const lengthBytes =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...lengthBytes]), body]);
}

function sequence(...parts: readonly Uint8Array[]): Buffer {
  return tlv(SEQUENCE, ...parts);
}

function set(...parts: readonly Uint8Array[]): Buffer {
  return tlv(SET, ...parts);
}

const identifier = (hex: string): Buffer => tlv(OBJECT_IDENTIFIER, Buffer.from(hex, 'hex'));

const oid = {
  commonName: identifier('550403'),
  keyUsage: identifier('551d0f'),
  subjectAltName: identifier('551d11'),
  basicConstraints: identifier('551d13'),
  extendedKeyUsage: identifier('551d25'),
  serverAuth: identifier('2b06010505070301'),
  ecdsaWithSha256: identifier('2a8648ce3d040302'),
};

function extension(id: Buffer, value: Buffer, isCritical = false): Buffer {
  const critical = isCritical ? [tlv(BOOLEAN, Buffer.from([0xff]))] : [];
  return sequence(id, ...critical, tlv(OCTET_STRING, value));
}

function generalName(name: string): Buffer {
  return ipaddr.isValid(name)
    ? tlv(IP_ADDRESS, Buffer.from(ipaddr.parse(name).toByteArray()))
    : tlv(DNS_NAME, Buffer.from(name, 'latin1'));
}

/** Positive, and without a leading zero byte. */
function serialNumber(): Buffer {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return bytes;
}

/** `YYMMDDhhmmssZ`, good until 2049. */
function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, '');
  return tlv(UTC_TIME, Buffer.from(digits.slice(2)));
}
