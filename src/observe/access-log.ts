import { styleText } from 'node:util';
import { formatSize } from '../base/units.js';
import type { AccessRecord } from './record.js';

/** Takes finished lines; a pino destination, or anything like it. */
export interface LineSink {
  write(line: string): unknown;
}

export interface HumanStyle {
  readonly color: boolean;
}

/** A listener for `session.closed` and `request.finished` that writes each record as one line. */
export function accessLog(
  format: 'json' | 'human',
  sink: LineSink,
  style: HumanStyle = { color: false },
): (record: AccessRecord) => void {
  const line = format === 'json' ? jsonLine : (record: AccessRecord) => humanLine(record, style);
  return (record) => void sink.write(`${line(record)}\n`);
}

/** The record as JSON: its fields as they are, always in one order, those that do not apply left out. */
export function jsonLine(record: AccessRecord): string {
  return JSON.stringify(record, fieldOrder);
}

const fieldOrder = Object.keys({
  time: 1,
  client: 1,
  method: 1,
  host: 1,
  path: 1,
  status: 1,
  via: 1,
  generation: 1,
  upstreamGeneration: 1,
  subprotocol: 1,
  route: 1,
  upstream: 1,
  server: 1,
  durationMs: 1,
  handshakeMs: 1,
  bytesFromClient: 1,
  bytesFromUpstream: 1,
  messagesFromClient: 1,
  messagesFromUpstream: 1,
  messagesDropped: 1,
  closeCodeFromClient: 1,
  closeCodeFromUpstream: 1,
  closeReasonFromClient: 1,
  closeReasonFromUpstream: 1,
  closedBy: 1,
  outcome: 1,
  detail: 1,
} satisfies Record<keyof AccessRecord, 1>);

/** The record in short, for a terminal: ↑ is from the client, ↓ from the upstream. */
export function humanLine(record: AccessRecord, { color }: HumanStyle): string {
  const paint = (style: Style, text: string) =>
    color ? styleText(style, text, { validateStream: false }) : text;
  const parts = [
    paint('dim', new Date(record.time).toTimeString().slice(0, 8)),
    paint(statusStyle(record.status), String(record.status)),
    printable(`${record.method} ${record.host ?? ''}${record.path}`),
    record.server === undefined ? undefined : paint('dim', `→ ${record.server}`),
    kind(record),
    roughDuration(record.durationMs),
    `↑${volume(record.messagesFromClient, record.bytesFromClient)}`,
    `↓${volume(record.messagesFromUpstream, record.bytesFromUpstream, record.messagesDropped)}`,
    end(record),
    record.detail === undefined ? undefined : paint('yellow', printable(record.detail)),
  ];
  return parts.filter((part) => part !== undefined).join('  ');
}

type Style = Parameters<typeof styleText>[0];

function statusStyle(status: number): Style {
  if (status >= 500) return 'red';
  if (status >= 400) return 'yellow';
  return status === 101 ? 'cyan' : 'green';
}

function kind({ generation, upstreamGeneration, subprotocol }: AccessRecord): string | undefined {
  if (generation === undefined) return undefined;
  const spoken = upstreamGeneration === undefined ? generation : `${generation}⇄${upstreamGeneration}`;
  return subprotocol === undefined ? spoken : printable(`${spoken} ${subprotocol}`);
}

function end(record: AccessRecord): string | undefined {
  const { closeCodeFromClient: client, closeCodeFromUpstream: upstream, outcome } = record;
  if (client === undefined && upstream === undefined) return outcome;
  const reason = firstReason(record);
  const words = reason === undefined ? '' : ` “${printable(reason)}”`;
  return `${outcome ?? ''} ${client ?? '-'}/${upstream ?? '-'}${words}`.trim();
}

/** Most often the other side’s Close only echoes it. */
function firstReason({ closedBy, closeReasonFromClient, closeReasonFromUpstream }: AccessRecord) {
  return closedBy === 'client'
    ? (closeReasonFromClient ?? closeReasonFromUpstream)
    : (closeReasonFromUpstream ?? closeReasonFromClient);
}

/** `12 msg 340B`, with what was lost behind it; without messages where frames are not read. */
export function volume(messages: number | undefined, bytes: number, dropped = 0): string {
  const size = roughSize(bytes);
  const lost = dropped === 0 ? '' : ` (${dropped} dropped)`;
  return `${messages === undefined ? size : `${messages} msg ${size}`}${lost}`;
}

/** `17ms`, `1.2s`, `2m03s`, `1h02m`. */
export function roughDuration(ms: number): string {
  if (ms < 999.5) return `${Math.round(ms)}ms`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${(ms / 1000).toFixed(1)}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m${pad(seconds % 60)}s`;
  return `${Math.floor(minutes / 60)}h${pad(minutes % 60)}m`;
}

/** `512B`, `1.4KiB`, `20MiB`. */
export function roughSize(bytes: number): string {
  const unit = [1024 ** 3, 1024 ** 2, 1024].find((unit) => bytes >= unit);
  if (unit === undefined) return `${bytes}B`;
  const value = bytes / unit;
  return formatSize(unit).replace('1', value < 10 ? value.toFixed(1) : String(Math.round(value)));
}

/** What came from outside must not be able to move the cursor or change colours. */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what is to be shown
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, (char) => {
    return `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}

function pad(value: number): string {
  return String(value).padStart(2, '0');
}
