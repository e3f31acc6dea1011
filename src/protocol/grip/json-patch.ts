import { isDeepStrictEqual } from 'node:util';
import { MAX_DEPTH } from './json-fields.js';

/** An operation that cannot be done; the message is one line. */
export class PatchProblem extends Error {}

/**
 * Applies the operations of a JSON Patch (RFC 6902) to a document; the document that was given stays as it is. All or
 * nothing: if one fails, none has happened.
 *
 * @param maxCopied values and characters that `copy` may make in one patch: each may double the document.
 * @throws PatchProblem
 */
export function applyPatch(document: unknown, patch: readonly unknown[], maxCopied = 1_000_000): unknown {
  let result: unknown = structuredClone(document);
  const budget: Budget = { left: maxCopied };
  for (const [i, step] of patch.entries()) {
    try {
      result = applyOperation(result, operationOf(step), budget);
    } catch (error) {
      if (error instanceof PatchProblem) throw new PatchProblem(`operation ${i}: ${error.message}`);
      throw error;
    }
  }
  return result;
}

interface Operation {
  readonly op: string;
  readonly path: Pointer;
  readonly from: Pointer | undefined;
  /** Undefined: it has none; JSON knows no undefined. */
  readonly value: unknown;
}

/** The reference tokens of a JSON Pointer (RFC 6901), with no token for the whole document. */
type Pointer = readonly string[];

function operationOf(step: unknown): Operation {
  if (typeof step !== 'object' || step === null || Array.isArray(step)) {
    throw new PatchProblem('is not an object');
  }
  const member = (name: string): unknown =>
    Object.hasOwn(step, name) ? (step as Record<string, unknown>)[name] : undefined;
  const op = member('op');
  if (typeof op !== 'string') throw new PatchProblem("has no 'op'");
  const from = member('from');
  return {
    op,
    path: pointer(member('path'), 'path'),
    from: from === undefined ? undefined : pointer(from, 'from'),
    value: member('value'),
  };
}

function applyOperation(document: unknown, operation: Operation, budget: Budget): unknown {
  const { op, path } = operation;
  switch (op) {
    case 'add':
      return add(document, path, structuredClone(valueOf(operation)));
    case 'remove':
      return remove(document, path);
    case 'replace':
      return replace(document, path, structuredClone(valueOf(operation)));
    case 'move': {
      const from = fromOf(operation);
      if (from.length < path.length && from.every((token, i) => token === path[i])) {
        throw new PatchProblem(`cannot move ${write(from)} into itself`);
      }
      const value = get(document, from);
      return from.length === 0 ? document : add(remove(document, from), path, value);
    }
    case 'copy':
      return add(document, path, copyOf(get(document, fromOf(operation)), budget, 0));
    case 'test':
      if (isDeepStrictEqual(get(document, path), valueOf(operation))) return document;
      throw new PatchProblem(`test of ${write(path)} failed`);
    default:
      throw new PatchProblem(`no such op '${op}'; there are add, remove, replace, move, copy, test`);
  }
}

interface Budget {
  left: number;
}

function copyOf(value: unknown, budget: Budget, depth: number): unknown {
  budget.left -= typeof value === 'string' ? value.length + 1 : 1;
  if (budget.left < 0 || depth > MAX_DEPTH) throw new PatchProblem('copies too much');
  if (Array.isArray(value)) return value.map((element) => copyOf(element, budget, depth + 1));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, copyOf(member, budget, depth + 1)]),
  );
}

function get(document: unknown, path: Pointer): unknown {
  return path.reduce((value, token, i) => {
    const container = containerOf(value, path, i);
    return Array.isArray(container)
      ? container[index(token, container.length - 1, path)]
      : container[member(container, token, path)];
  }, document);
}

function add(document: unknown, path: Pointer, value: unknown): unknown {
  const last = path.at(-1);
  if (last === undefined) return value;
  const container = containerOf(get(document, path.slice(0, -1)), path, path.length - 1);
  if (Array.isArray(container)) {
    container.splice(last === '-' ? container.length : index(last, container.length, path), 0, value);
  } else {
    // Not an assignment: a new member may be called __proto__.
    Object.defineProperty(container, last, { value, writable: true, enumerable: true, configurable: true });
  }
  return document;
}

function replace(document: unknown, path: Pointer, value: unknown): unknown {
  const last = path.at(-1);
  if (last === undefined) return value;
  const container = containerOf(get(document, path.slice(0, -1)), path, path.length - 1);
  if (Array.isArray(container)) container[index(last, container.length - 1, path)] = value;
  else container[member(container, last, path)] = value;
  return document;
}

function remove(document: unknown, path: Pointer): unknown {
  const last = path.at(-1);
  if (last === undefined) throw new PatchProblem('cannot remove the whole document');
  const container = containerOf(get(document, path.slice(0, -1)), path, path.length - 1);
  if (Array.isArray(container)) container.splice(index(last, container.length - 1, path), 1);
  else delete container[member(container, last, path)];
  return document;
}

type Container = unknown[] | Record<string, unknown>;

function containerOf(value: unknown, path: Pointer, depth: number): Container {
  if (typeof value === 'object' && value !== null) return value as Container;
  throw new PatchProblem(`${write(path.slice(0, depth))} is no list and no object`);
}

function index(token: string, max: number, path: Pointer): number {
  if (!/^(?:0|[1-9]\d*)$/.test(token))
    throw new PatchProblem(`${write(path)}: '${token}' is no index of a list`);
  if (Number(token) > max) throw new PatchProblem(`there is no ${write(path)}`);
  return Number(token);
}

function member(container: Record<string, unknown>, token: string, path: Pointer): string {
  if (Object.hasOwn(container, token)) return token;
  throw new PatchProblem(`there is no ${write(path)}`);
}

function valueOf({ op, value }: Operation): unknown {
  if (value === undefined) throw new PatchProblem(`'${op}' has no 'value'`);
  return value;
}

function fromOf({ op, from }: Operation): Pointer {
  if (from === undefined) throw new PatchProblem(`'${op}' has no 'from'`);
  return from;
}

function pointer(text: unknown, name: string): Pointer {
  if (typeof text !== 'string' || !/^(?:\/(?:[^~/]|~[01])*)*$/.test(text)) {
    throw new PatchProblem(`has no '${name}' that is a JSON Pointer`);
  }
  // The order matters: ~01 is ~1 and not a slash.
  return text
    .split('/')
    .slice(1)
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function write(path: Pointer): string {
  const text = path.map((token) => `/${token.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
  return JSON.stringify(text);
}
