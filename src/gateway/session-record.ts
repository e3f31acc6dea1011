import type { AwsConnectionFacts } from '../protocol/aws/events.js';

/** What a node writes down of a session, so that another can tell its backend of its end. */
export interface SessionRecord {
  /** The id of its route. */
  readonly route: string;
  /** The client’s address. */
  readonly client: string;
  /** The target of the handshake. */
  readonly path: string;
  /** The fields that each request repeats, names and values in turn. */
  readonly replayed: readonly string[];
  /** What the dialect of the route needs. */
  readonly dialect: DialectRecord;
}

export type DialectRecord =
  | {
      readonly kind: 'websocket-over-http';
      /** What the backend has bound to the connection. */
      readonly meta: readonly (readonly [name: string, value: string])[];
    }
  | {
      readonly kind: 'aws';
      readonly facts: AwsConnectionFacts;
      /** For `$disconnect`, names and values in turn. */
      readonly headers: readonly string[];
    };

export function writeRecord(record: SessionRecord): string {
  return JSON.stringify(record);
}

/** Undefined: no record, or one of another version of Tidegate. */
export function readRecord(text: string): SessionRecord | undefined {
  let value: Partial<SessionRecord> | null;
  try {
    value = JSON.parse(text) as Partial<SessionRecord> | null;
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { route, client, path, replayed, dialect } = value;
  const isWhole =
    [route, client, path].every((part) => typeof part === 'string') &&
    areTexts(replayed) &&
    typeof dialect === 'object' &&
    (dialect?.kind === 'aws'
      ? typeof dialect.facts === 'object' && areTexts(dialect.headers)
      : dialect?.kind === 'websocket-over-http' &&
        Array.isArray(dialect.meta) &&
        dialect.meta.every(areTexts));
  return isWhole ? (value as SessionRecord) : undefined;
}

function areTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}
