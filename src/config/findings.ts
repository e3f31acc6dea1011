import type { z } from 'zod';
import type { ConfigPath, Finding } from './issues.js';
import { expected, show } from './leaf.js';
import { nearest } from './nearest.js';
import { homesOf, keysAt } from './outline.js';

type Issue = z.core.$ZodIssue;
type RawIssue = z.core.$ZodRawIssue;

/** Our words for the checks that come with zod; the schema's own messages go before these. */
export function wordIssue(issue: RawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type':
      return expected(typeNames[issue.expected] ?? issue.expected)(issue);
    case 'invalid_value':
      return expected(alternatives(issue.values))(issue);
    case 'too_small':
      return expected(atLeast(issue.origin, issue.minimum))(issue);
    case 'too_big':
      return `expected at most ${issue.maximum}, found ${show(issue.input)}`;
    default:
      return undefined;
  }
}

/** What zod found, flattened: one finding per unknown key, unions reduced to the branch that was meant. */
export function toFindings(issues: readonly Issue[], root: unknown, above: ConfigPath = []): Finding[] {
  return issues.flatMap((issue): Finding[] => {
    const path = [...above, ...(issue.path as ConfigPath)];
    switch (issue.code) {
      case 'unrecognized_keys':
        return issue.keys.map((key) => unknownKey(path, key));
      case 'invalid_union': {
        const meant = issue.errors.find((errors) => !isOtherType(errors));
        if (meant !== undefined) return toFindings(meant, root, path);
        break;
      }
      case 'invalid_key':
        return toFindings(issue.issues, root, path);
      case 'invalid_value': {
        const written = issue.values.filter((value) => typeof value === 'string');
        const suggestion = typeof issue.input === 'string' ? nearest(issue.input, written) : undefined;
        return [{ path: asWritten(path, root), message: issue.message, suggestion }];
      }
      case 'custom':
        return [{ path: asWritten(path, root), message: issue.message, suggestion: suggestionOf(issue) }];
      default:
        break;
    }
    return [{ path: asWritten(path, root), message: issue.message }];
  });
}

/** Whether a branch of a union was not meant at all: already the value's type is another one. */
function isOtherType(issues: readonly Issue[]): boolean {
  return issues.some(
    (issue) =>
      issue.path.length === 0 &&
      (issue.code === 'invalid_type' ||
        issue.code === 'invalid_value' ||
        (issue.code === 'invalid_union' && issue.errors.every(isOtherType))),
  );
}

function unknownKey(path: ConfigPath, key: string): Finding {
  const known = keysAt(path);
  const suggestion = nearest(key, known);
  const at = [...path, key];
  if (suggestion !== undefined) return { path: at, message: 'unknown key', suggestion };
  const homes = homesOf(key).map((home) => (home === '' ? 'the top level' : `\`${home}\``));
  if (homes.length > 0) return { path: at, message: `unknown key here; it belongs in ${homes.join(' or ')}` };
  return { path: at, message: `unknown key; known here: ${known.join(', ')}` };
}

/** The path as far as it was written: a shorthand such as `listeners: [8080]` has no `address` to point to. */
function asWritten(path: ConfigPath, root: unknown): ConfigPath {
  const written: (string | number)[] = [];
  let value = root;
  for (const key of path) {
    if (typeof value !== 'object' || value === null) break;
    // A list in the place of an object: `chat: [http://a]` instead of `chat: { servers: [http://a] }`.
    if (Array.isArray(value) && typeof key === 'string') continue;
    written.push(key);
    value = Reflect.get(value, key);
  }
  return written;
}

function suggestionOf(issue: { readonly params?: Record<string, unknown> | undefined }): string | undefined {
  const suggestion = issue.params?.['suggestion'];
  return typeof suggestion === 'string' ? suggestion : undefined;
}

const typeNames: Readonly<Record<string, string>> = {
  string: 'text',
  boolean: 'true or false',
  number: 'a number',
  int: 'a whole number',
  array: 'a list',
  object: 'an object',
  record: 'an object',
};

function alternatives(values: readonly unknown[]): string {
  return values.length === 1 ? String(values[0]) : `one of ${values.join(', ')}`;
}

function atLeast(origin: string, minimum: number | bigint): string {
  if (origin === 'array') return `a list of at least ${minimum}`;
  if (origin === 'string') return 'some text';
  return `at least ${minimum}`;
}
