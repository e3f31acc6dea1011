import { isFieldValue } from '../http/grammar.js';
import { FILTER_NAMES } from './filters.js';
import { toWire } from './json-headers.js';
import { writeParameterValue } from './parameters.js';

/** `Grip-Feature` of a request to a backend: what of GRIP is done here. Sessions and filters over HTTP are not. */
export const GRIP_FEATURE = [
  'status',
  'link:next',
  'link:gone',
  ...FILTER_NAMES.map((name) => `filter:${name}`),
].join(', ');

/**
 * A value of `Grip-Last`: the last id that a client has had of a channel, told to a backend that is asked again.
 * Undefined where name or id cannot stand in a header.
 */
export function gripLast(channel: string, lastId: string): string | undefined {
  const value = toWire(`${writeParameterValue(channel)}; last-id=${writeParameterValue(lastId)}`);
  return isFieldValue(value) ? value : undefined;
}
