import { trimWhitespace } from '../http/grammar.js';
import { quote } from '../http/quote.js';
import { fail, readSeconds } from './header-problem.js';
import type { KeepAlive } from './hold.js';
import { parameter, type Parameters, readParameters } from './parameters.js';

const DEFAULT_TIMEOUT_MS = 55_000;

/**
 * `Grip-Keep-Alive: DATA; format=raw|cstring|base64; timeout=SECONDS; mode=idle|interval`.
 *
 * @throws HeaderProblem
 */
export function readKeepAlive(value: string): KeepAlive {
  const [data, parameters] = separate(value);
  if (data === '') fail('Grip-Keep-Alive cannot be empty');
  const mode = parameter(parameters, 'mode') || 'idle';
  if (mode !== 'idle' && mode !== 'interval') {
    fail(`no such Grip-Keep-Alive mode ${quote(mode)}; there are idle, interval`);
  }
  const timeoutMs = readSeconds('Grip-Keep-Alive timeout value', parameter(parameters, 'timeout'));
  const content = decode(data, parameter(parameters, 'format') || 'raw');
  return { content, timeoutMs: timeoutMs ?? DEFAULT_TIMEOUT_MS, mode };
}

/**
 * Data may hold semicolons, as writers of this header do not escape them: the parameters are what reads as such at the
 * end.
 */
function separate(value: string): readonly [data: string, parameters: Parameters] {
  const segments = value.split(';');
  let end = segments.length;
  while (end > 1 && PARAMETER.test(segments[end - 1]!)) end--;
  const parameters = readParameters(segments.slice(end).join(';')) ?? [];
  return [trimWhitespace(segments.slice(0, end).join(';')), parameters];
}

const PARAMETER = /^[ \t]*(?:[\w-]+[ \t]*=[ \t]*(?:[\w-]+|"[\w-]*")[ \t]*)?$/;

function decode(data: string, format: string): Buffer {
  switch (format) {
    case 'raw':
      return Buffer.from(data, 'latin1');
    case 'cstring':
      return decodeCString(data) ?? fail(`failed to parse Grip-Keep-Alive cstring format: ${quote(data)}`);
    case 'base64':
      if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(data))
        fail(`failed to parse Grip-Keep-Alive base64 format: ${quote(data)}`);
      return Buffer.from(data, 'base64');
    default:
      return fail(`no such Grip-Keep-Alive format ${quote(format)}; there are raw, cstring, base64`);
  }
}

/** `\\`, `\r`, `\n`, `\xHH`, and `\t`, which GRIP’s library for JavaScript writes. Undefined: another escape. */
function decodeCString(data: string): Buffer | undefined {
  if (!/^(?:[^\\]|\\[\\rnt]|\\x[\dA-Fa-f]{2})*$/.test(data)) return undefined;
  const text = data.replaceAll(/\\(?:x(..)|(.))/g, (_, hex: string | undefined, letter: string) =>
    hex === undefined ? ESCAPES[letter as keyof typeof ESCAPES] : String.fromCharCode(parseInt(hex, 16)),
  );
  return Buffer.from(text, 'latin1');
}

const ESCAPES = { '\\': '\\', r: '\r', n: '\n', t: '\t' } as const;
