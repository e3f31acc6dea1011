import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { quote } from '../http/quote.js';
import type { HeaderList } from '../http/header-list.js';

/** A key pair that signs requests. */
export interface AwsKey {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** A request as it came. */
export interface SignedRequest {
  readonly method: string;
  /** Path and query, as they stood in the request line. */
  readonly target: string;
  readonly headers: HeaderList;
}

/** What a request says of its signature. */
export interface Signature {
  readonly accessKeyId: string;
  /** `20150830/us-east-1/execute-api/aws4_request` */
  readonly scope: string;
  /** Names in lower case, in the order of the signature. */
  readonly signedHeaders: readonly string[];
  /** 32 bytes. */
  readonly signature: Buffer;
  /** `20150830T123600Z` */
  readonly time: string;
}

/** `expired`: the clocks of the two differ by too much, which clients can make up for. */
export type SignatureProblem = { readonly problem: string; readonly isExpired: boolean };

const ALGORITHM = 'AWS4-HMAC-SHA256';
/** The part of the scope that says what the signature is for. */
const SERVICE = 'execute-api';
/** As AWS has it. */
const MAX_SKEW_MS = 5 * 60 * 1000;

/** Whether a request is signed in this way, well or badly. */
export function isSigned(headers: HeaderList): boolean {
  return headers.get('authorization')?.startsWith(`${ALGORITHM} `) === true;
}

/**
 * Reads the signature of a request in its `Authorization` header, and holds it to its form and its time: what can be
 * known before the body has been read.
 */
export function readSignature(
  headers: HeaderList,
  nowMs: number,
  service = SERVICE,
): Signature | SignatureProblem {
  const authorization = headers.all('authorization').join(', ');
  const [, accessKeyId, scope, names, hex] = FORM.exec(authorization) ?? [];
  if (accessKeyId === undefined || scope === undefined || names === undefined || hex === undefined) {
    return wrong(`expected Authorization: ${ALGORITHM} Credential=…, SignedHeaders=…, Signature=…`);
  }
  const time = headers.get('x-amz-date') ?? '';
  const atMs = readTime(time);
  if (atMs === undefined) return wrong('expected X-Amz-Date as 20150830T123600Z');
  const [day, , purpose, end] = scope.split('/');
  if (day !== time.slice(0, 8)) return wrong('the day in Credential is not that of X-Amz-Date');
  if (purpose !== service || end !== 'aws4_request') {
    return wrong(`expected Credential=KEY/DAY/REGION/${service}/aws4_request, found ${quote(scope)}`);
  }
  const signedHeaders = names.split(';');
  const unsigned = ['host', 'x-amz-date'].find((name) => !signedHeaders.includes(name));
  if (unsigned !== undefined) return wrong(`the header ${unsigned} is not among SignedHeaders`);
  if (Math.abs(nowMs - atMs) > MAX_SKEW_MS) {
    // SDKs look for these words of AWS’s.
    return { problem: `Signature expired: ${time} is more than 5 min from now`, isExpired: true };
  }
  return { accessKeyId, scope, signedHeaders, signature: Buffer.from(hex, 'hex'), time };
}

/** Whether the request, body and all, was signed with this secret. Takes as long for every wrong signature. */
export function isSignedWith(
  secretAccessKey: string,
  signature: Signature,
  request: SignedRequest,
  body: Buffer,
): boolean {
  // A body that is not what its signed digest says has another digest here, and so another signature.
  const text = [
    ALGORITHM,
    signature.time,
    signature.scope,
    sha256(canonicalRequest(request, signature.signedHeaders, sha256(body))),
  ].join('\n');
  const key = signature.scope
    .split('/')
    .reduce<Buffer>((secret, part) => hmac(secret, part), Buffer.from(`AWS4${secretAccessKey}`));
  return timingSafeEqual(hmac(key, text), signature.signature);
}

const FORM =
  /^AWS4-HMAC-SHA256 +Credential=([\w+=,.@-]{1,128})\/(\d{8}\/[\w-]{1,64}\/[\w-]{1,64}\/[\w-]{1,64}) *, *SignedHeaders=([a-z0-9!#$%&'*+.^_`|~;-]+) *, *Signature=([0-9a-f]{64})$/;

function readTime(text: string): number | undefined {
  const parts = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text)?.slice(1);
  if (parts === undefined) return undefined;
  const [year, month, day, hour, minute, second] = parts;
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(ms) ? undefined : ms;
}

/** The request in the one form that both sides make of it. */
export function canonicalRequest(
  { method, target, headers }: SignedRequest,
  signedHeaders: readonly string[],
  bodyDigest: string,
): string {
  const question = target.indexOf('?');
  const path = question === -1 ? target : target.slice(0, question);
  const query = question === -1 ? '' : target.slice(question + 1);
  return [
    method,
    canonicalPath(path),
    canonicalQuery(query),
    ...signedHeaders.map((name) => `${name}:${canonicalValue(headers.all(name))}`),
    '',
    signedHeaders.join(';'),
    bodyDigest,
  ].join('\n');
}

/** Every service but S3 has the path escaped once more, with dots and empty parts taken out. */
function canonicalPath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(escapeAll(Buffer.from(part)));
  }
  const isOpen = path.endsWith('/') && parts.length > 0;
  return `/${parts.join('/')}${isOpen ? '/' : ''}`;
}

function canonicalQuery(query: string): string {
  const pairs = query
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const equals = pair.indexOf('=');
      const name = equals === -1 ? pair : pair.slice(0, equals);
      const value = equals === -1 ? '' : pair.slice(equals + 1);
      return [escapeAll(unescapeAll(name)), escapeAll(unescapeAll(value))] as const;
    });
  return pairs
    .sort(([a, x], [b, y]) => compare(a, b) || compare(x, y))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
}

/** Values are latin-1, a character a byte; several fields of a name are one. */
function canonicalValue(values: readonly string[]): string {
  return values.map((value) => value.trim().replace(/ {2,}/g, ' ')).join(',');
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** All bytes but the unreserved ones of RFC 3986. */
function escapeAll(bytes: Buffer): string {
  let escaped = '';
  for (const byte of bytes) {
    const char = String.fromCharCode(byte);
    escaped += /[A-Za-z0-9._~-]/.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return escaped;
}

/** What is no escape stays as it is. */
function unescapeAll(text: string): Buffer {
  const latin1 = Buffer.from(text).toString('latin1');
  const plain = latin1.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(parseInt(hex, 16)),
  );
  return Buffer.from(plain, 'latin1');
}

function sha256(data: string | Buffer): string {
  // The text of a canonical request has latin-1 values in it.
  return createHash('sha256')
    .update(typeof data === 'string' ? Buffer.from(data, 'latin1') : data)
    .digest('hex');
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

function wrong(problem: string): SignatureProblem {
  return { problem, isExpired: false };
}
