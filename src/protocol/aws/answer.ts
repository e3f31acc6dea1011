import { isUtf8 } from 'node:buffer';
import { isFieldValue, isToken } from '../http/grammar.js';
import { HeaderList } from '../http/header-list.js';
import { quote } from '../http/quote.js';
import { contentCoding } from '../ws-over-http/response-fields.js';
import type { EventsResponse } from '../ws-over-http/types.js';

/** `http`: status and body of the answer speak for themselves. `lambda`: the body holds what a function returned. */
export type AwsAnswerForm = 'http' | 'lambda';

/** What a backend said to an event. */
export interface AwsAnswer {
  /** 200 to 599. */
  readonly status: number;
  readonly fields: HeaderList;
  readonly body: Buffer;
  /** As what the body goes to the client. */
  readonly type: 'text' | 'binary';
}

export type AwsAnswerReading =
  | { readonly answer: AwsAnswer; readonly problem?: undefined }
  /** One line: what is wrong with it. */
  | { readonly answer?: undefined; readonly problem: string };

export function readAwsAnswer(response: EventsResponse, form: AwsAnswerForm): AwsAnswerReading {
  const coding = contentCoding(response.fields);
  if (coding !== undefined) return { problem: `Content-Encoding is ${coding}, though none was asked for` };
  return form === 'lambda' ? readReturned(response) : readPlain(response);
}

function readPlain({ status, fields, body }: EventsResponse): AwsAnswerReading {
  const isBinary =
    fields.get('content-type')?.split(';', 1)[0]!.trim().toLowerCase() === 'application/octet-stream';
  return { answer: { status, fields, body, type: isBinary ? 'binary' : typeOf(body) } };
}

/** `{ statusCode, headers, multiValueHeaders, body, isBase64Encoded }`, as functions return it. */
function readReturned({ status, fields, body }: EventsResponse): AwsAnswerReading {
  if (status !== 200) return { problem: `the answer has the status ${status}, not 200` };
  if (fields.has('x-amz-function-error'))
    return { problem: `the function failed: ${quote(body.toString())}` };
  const returned = parse(body);
  if (returned === undefined) return { problem: 'the function returned no JSON object' };
  const { statusCode, body: content = '', isBase64Encoded = false } = returned;
  const code = typeof statusCode === 'string' && /^\d{3}$/.test(statusCode) ? Number(statusCode) : statusCode;
  if (typeof code !== 'number' || !Number.isInteger(code) || code < 200 || code > 599) {
    const message = returned['errorMessage'];
    if (typeof message === 'string') return { problem: `the function failed: ${quote(message)}` };
    return { problem: 'the function returned no statusCode from 200 to 599' };
  }
  const text = content ?? '';
  if (typeof text !== 'string') return { problem: 'the function returned a body that is no text' };
  const returnedFields = readFields(returned);
  if (typeof returnedFields === 'string') return { problem: returnedFields };
  const bytes = Buffer.from(text, isBase64Encoded === true ? 'base64' : 'utf8');
  return { answer: { status: code, fields: returnedFields, body: bytes, type: typeOf(bytes) } };
}

function parse(body: Buffer): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(body.toString());
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Readonly<Record<string, unknown>>) : undefined;
  } catch {
    return undefined;
  }
}

/** Header fields, or what is wrong with them. Names in both members have the values of both. */
function readFields({ headers, multiValueHeaders }: Readonly<Record<string, unknown>>): HeaderList | string {
  const fields = new HeaderList();
  for (const member of [headers, multiValueHeaders]) {
    if (member === undefined || member === null) continue;
    if (typeof member !== 'object') return 'the function returned headers that are no object';
    for (const [name, written] of Object.entries(member)) {
      for (const value of [written as unknown].flat()) {
        if (!['string', 'number', 'boolean'].includes(typeof value)) {
          return `the function returned a header ${quote(name)} that is no text`;
        }
        const text = Buffer.from(String(value)).toString('latin1');
        if (!isToken(name) || !isFieldValue(text)) {
          return `the function returned a header that HTTP cannot carry: ${quote(name)}`;
        }
        fields.append(name, text);
      }
    }
  }
  return fields;
}

function typeOf(bytes: Buffer): 'text' | 'binary' {
  return isUtf8(bytes) ? 'text' : 'binary';
}
