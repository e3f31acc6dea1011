import { isUtf8 } from 'node:buffer';
import type { Published } from '../../gateway/publish/publish.js';
import { readCloseFrame } from '../admin/close-frame.js';
import { RunError, UsageError } from '../failure.js';
import { print, printJson } from '../output.js';
import { publishItem } from '../publish/client.js';
import { findPublish, type PublishContactOptions } from '../publish/contact.js';

/** As much as a publish listener can be set to take. */
const MAX_INPUT_BYTES = 128 * 1024 * 1024;

export interface PublishOptions extends PublishContactOptions {
  readonly binary?: boolean;
  readonly close?: string;
  readonly reason?: string;
  readonly json?: boolean;
}

/** `tidegate publish CHANNEL TEXT`: to every WebSocket, stream and held response that listens. */
export async function publish(
  channel: string,
  text: string | undefined,
  options: PublishOptions,
): Promise<number> {
  if (channel === '') throw new UsageError('expected a CHANNEL that is not empty');
  const readFormats = chooseFormats(text, options);
  const contact = await findPublish(options);
  const published = await publishItem(contact, { channel, formats: await readFormats() });
  if (options.json) printJson(published);
  else print(describe(channel, published));
  return 0;
}

/** What is wrong with the options is told before standard input is waited for. */
function chooseFormats(text: string | undefined, options: PublishOptions): () => Promise<object> {
  const { binary = false, close, reason } = options;
  if (close !== undefined) {
    if (text !== undefined || binary)
      throw new UsageError('--close: expected no TEXT and no --binary with it');
    const frame = readCloseFrame({ code: close, ...(reason === undefined ? {} : { reason }) }, '--close');
    return async () => ({ 'ws-message': { action: 'close', ...frame }, 'http-stream': { action: 'close' } });
  }
  if (reason !== undefined) throw new UsageError('--reason: expected --close CODE with it');
  if (text === undefined) {
    throw new UsageError('what to publish? Expected TEXT, - for standard input, or --close CODE');
  }
  return async () => {
    const content = text === '-' ? await readInput() : Buffer.from(text);
    return binary ? binaryFormats(content) : textFormats(content);
  };
}

/** In a stream or a response, where nothing else ends it, a line end does. */
function textFormats(content: Buffer): object {
  if (!isUtf8(content)) throw new UsageError('expected a text in UTF-8; --binary publishes any bytes');
  const text = content.toString();
  const line = text.endsWith('\n') ? text : `${text}\n`;
  return {
    'ws-message': { content: text },
    'http-stream': { content: line },
    'http-response': { body: line },
  };
}

function binaryFormats(content: Buffer): object {
  const base64 = content.toString('base64');
  return {
    'ws-message': { type: 'binary', 'content-bin': base64 },
    'http-stream': { 'content-bin': base64 },
    'http-response': { 'body-bin': base64 },
  };
}

async function readInput(): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > MAX_INPUT_BYTES) {
      throw new RunError(`expected at most ${MAX_INPUT_BYTES} bytes on standard input, found more`);
    }
  }
  return Buffer.concat(chunks);
}

function describe(channel: string, { delivered, dropped }: Published): string {
  const lost = dropped === 0 ? '' : `, dropped for ${dropped} too slow to take it`;
  return `${channel}: delivered to ${delivered} ${delivered === 1 ? 'subscriber' : 'subscribers'}${lost}`;
}
