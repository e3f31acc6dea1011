import { isFieldValue, isToken } from '../http/grammar.js';
import { FieldProblem, type Fields } from './json-fields.js';

export type JsonHeaders = readonly (readonly [name: string, value: string])[];

/**
 * The members `reason` and `headers` of a response in JSON; headers are an object or, to say a name twice, a list of
 * pairs. Nothing is let through that would end a line of HTTP.
 *
 * @throws FieldProblem
 */
export function readJsonHeaders(fields: Fields): {
  readonly reason: string | undefined;
  readonly headers: JsonHeaders;
} {
  const reason = fields.text('reason');
  if (reason !== undefined && !isFieldValue(toWire(reason)))
    throw fields.invalid('reason', 'one line of text');
  return { reason: reason === '' ? undefined : reason, headers: headersOf(fields) };
}

/** A value as JSON has it, in the bytes that HTTP carries, a latin-1 string: UTF-8. */
export function toWire(text: string): string {
  return Buffer.from(text).toString('latin1');
}

/** A value as HTTP carried it, a latin-1 string, read as UTF-8. */
export function fromWire(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString();
}

function headersOf(fields: Fields): JsonHeaders {
  if (!fields.has('headers')) return [];
  const place = fields.placeOf('headers');
  const headers = fields.isList('headers')
    ? fields.list('headers')!.map((pair, i) => pairOf(pair, `${place}[${i}]`))
    : fields.members('headers', 'an object of strings, or a list of pairs').map(([name, value]) => {
        if (typeof value === 'string') return [name, value] as const;
        throw new FieldProblem(`headers contains '${name}' with wrong type`, `${place}.${name}`, 'a string');
      });
  for (const [name, value] of headers) {
    if (isToken(name) && isFieldValue(toWire(value))) continue;
    throw new FieldProblem(
      `headers contains '${name}' with invalid value`,
      `${place}.${name}`,
      'a token and one line of text',
    );
  }
  return headers;
}

function pairOf(pair: unknown, place: string): readonly [string, string] {
  const accepted = 'a pair of strings';
  if (!Array.isArray(pair)) {
    throw new FieldProblem('headers contains element with wrong type', place, accepted);
  }
  if (pair.length !== 2) {
    throw new FieldProblem('headers contains list with wrong number of elements', place, accepted);
  }
  const [name, value] = pair as readonly unknown[];
  if (typeof name !== 'string') {
    throw new FieldProblem('header contains name element with wrong type', place, accepted);
  }
  if (typeof value !== 'string') {
    throw new FieldProblem('header contains value element with wrong type', place, accepted);
  }
  return [name, value];
}
