import { isUtf8 } from 'node:buffer';
import type { HeaderList } from '../http/header-list.js';
import { DEFAULT_ROUTE } from './routes.js';

/** What every event of a connection says of it. */
export interface AwsConnectionFacts {
  readonly connectionId: string;
  readonly stage: string;
  readonly apiId: string;
  /** Where the backend finds `@connections`. */
  readonly domainName: string;
  /** Wall-clock ms. */
  readonly connectedAtMs: number;
  readonly sourceIp: string;
  readonly userAgent: string | undefined;
}

/** What has happened. */
export type AwsOccasion =
  | {
      readonly kind: 'connect';
      /** Of the handshake, as backends are to see them. */
      readonly headers: HeaderList;
      /** Of the handshake: path and query. */
      readonly target: string;
    }
  | {
      readonly kind: 'message';
      readonly routeKey: string;
      readonly type: 'text' | 'binary';
      readonly content: Buffer;
      readonly messageId: string;
    }
  | {
      readonly kind: 'disconnect';
      readonly code: number;
      readonly reason: string;
      readonly headers: HeaderList;
    };

export interface AwsEventMarks {
  /** The same for each repeat of one event. */
  readonly requestId: string;
  /** Wall-clock ms. */
  readonly atMs: number;
}

/** An event in the shape in which Lambda functions get those of WebSockets (proxy integration), as JSON. */
export function writeAwsEvent(
  facts: AwsConnectionFacts,
  occasion: AwsOccasion,
  marks: AwsEventMarks,
): Buffer {
  return Buffer.from(JSON.stringify(eventOf(facts, occasion, marks)));
}

function eventOf(facts: AwsConnectionFacts, occasion: AwsOccasion, marks: AwsEventMarks): object {
  const common = commonContext(facts, marks);
  switch (occasion.kind) {
    case 'connect':
      return {
        ...fieldsOf(occasion.headers),
        ...queryOf(occasion.target),
        requestContext: { routeKey: '$connect', eventType: 'CONNECT', ...common },
        isBase64Encoded: false,
      };
    case 'disconnect':
      return {
        ...fieldsOf(occasion.headers),
        requestContext: {
          routeKey: '$disconnect',
          disconnectStatusCode: occasion.code,
          disconnectReason: occasion.reason,
          eventType: 'DISCONNECT',
          ...common,
        },
        isBase64Encoded: false,
      };
    case 'message': {
      const { routeKey, messageId, type, content } = occasion;
      const isBinary = type === 'binary';
      return {
        requestContext: {
          routeKey: isBinary ? DEFAULT_ROUTE : routeKey,
          messageId,
          eventType: 'MESSAGE',
          ...common,
        },
        body: content.toString(isBinary ? 'base64' : 'utf8'),
        isBase64Encoded: isBinary,
      };
    }
  }
}

function commonContext(facts: AwsConnectionFacts, { requestId, atMs }: AwsEventMarks) {
  const { sourceIp, userAgent } = facts;
  return {
    extendedRequestId: requestId,
    requestTime: logTime(atMs),
    messageDirection: 'IN',
    stage: facts.stage,
    connectedAt: facts.connectedAtMs,
    requestTimeEpoch: atMs,
    identity: { userAgent, sourceIp },
    requestId,
    domainName: facts.domainName,
    connectionId: facts.connectionId,
    apiId: facts.apiId,
  };
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** `18/Jan/2026:17:59:05 +0000` */
function logTime(ms: number): string {
  const [day, time] = new Date(ms).toISOString().split('T') as [string, string];
  const [year, month, date] = day.split('-');
  return `${date}/${MONTHS[Number(month) - 1]}/${year}:${time.slice(0, 8)} +0000`;
}

/** One value for each name, the last; and all of them. A name is spelt as it first came. */
function fieldsOf(headers: HeaderList) {
  const spellings = new Map<string, string>();
  const values = new Map<string, string[]>();
  for (const [name, value] of headers) {
    const lower = name.toLowerCase();
    const spelling = spellings.get(lower) ?? name;
    spellings.set(lower, spelling);
    add(values, spelling, textOf(value));
  }
  return { headers: lastOf(values), multiValueHeaders: Object.fromEntries(values) };
}

/** Nothing where there is no query. */
function queryOf(target: string) {
  const values = new Map<string, string[]>();
  const question = target.indexOf('?');
  if (question === -1) return {};
  for (const [name, value] of new URLSearchParams(target.slice(question + 1))) add(values, name, value);
  if (values.size === 0) return {};
  return {
    queryStringParameters: lastOf(values),
    multiValueQueryStringParameters: Object.fromEntries(values),
  };
}

function add(values: Map<string, string[]>, name: string, value: string): void {
  const known = values.get(name);
  if (known === undefined) values.set(name, [value]);
  else known.push(value);
}

function lastOf(values: ReadonlyMap<string, readonly string[]>): Record<string, string> {
  return Object.fromEntries([...values].map(([name, all]) => [name, all.at(-1)!]));
}

/** Fields are latin-1 here, a character a byte; most of what is not ASCII is meant as UTF-8. */
function textOf(value: string): string {
  const bytes = Buffer.from(value, 'latin1');
  return isUtf8(bytes) ? bytes.toString() : value;
}
