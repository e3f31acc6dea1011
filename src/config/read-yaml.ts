import {
  isAlias,
  isCollection,
  isMap,
  isScalar,
  LineCounter,
  parseDocument,
  visit,
  type Document,
  type Node,
  type Pair,
  type YAMLError,
} from 'yaml';
import { ConfigError, type ConfigPath, type ConfigSource } from './issues.js';

/** What a YAML or JSON text holds, and where in it each path stands. */
export interface ReadText {
  readonly value: unknown;
  readonly source: ConfigSource;
}

/**
 * Reads YAML 1.2, JSON included. Anchors, aliases and merge keys (`<<`) work; tags run nothing.
 *
 * @throws ConfigError with every syntax error and every key that is there twice
 */
export function readYaml(text: string, file?: string): ReadText {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, merge: true, prettyErrors: false });
  const place = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  const named = file === undefined ? {} : { file };

  const problems = findProblems(document, text);
  if (problems.length > 0) {
    throw new ConfigError(
      problems.map(({ offset, message }) => Object.assign({ path: '', message }, named, place(offset))),
    );
  }
  try {
    const value: unknown = document.toJS();
    return { value, source: { ...named, locate: (path) => place(findOffset(document, path)) } };
  } catch (thrown) {
    // Aliases of aliases of aliases would unfold without end.
    throw new ConfigError([{ path: '', ...named, message: `cannot be read: ${(thrown as Error).message}` }]);
  }
}

interface Problem {
  readonly offset: number;
  readonly message: string;
}

function findProblems(document: Document, text: string): Problem[] {
  const problems: Problem[] = [...document.errors, ...document.warnings].map((error) => ({
    offset: error.pos[0],
    message: describe(error, text),
  }));
  visit(document, {
    Alias(_, alias) {
      if (alias.resolve(document) !== undefined) return;
      problems.push({ offset: alias.range?.[0] ?? 0, message: `no anchor \`&${alias.source}\` before this` });
    },
  });
  return problems;
}

function describe(error: YAMLError, text: string): string {
  switch (error.code) {
    case 'DUPLICATE_KEY': {
      const key = /^["']?([^\s"':]+)/.exec(text.slice(error.pos[0]))?.[1];
      return `the key ${key === undefined ? '' : `"${key}" `}is there twice`;
    }
    case 'MULTIPLE_DOCS':
      return 'a configuration is one document; `---` begins another here';
    case 'TAG_RESOLVE_FAILED':
      return `unknown tag ${error.message.split(': ').at(-1)}; tags run nothing here`;
    default:
      return `cannot be read: ${error.message.split('\n')[0]}`;
  }
}

/** The offset of the key that a path ends in, or of the nearest thing above it that is there. */
function findOffset(document: Document, path: ConfigPath): number {
  let here: Node | null = document.contents;
  let offset = here?.range?.[0] ?? 0;
  for (const key of path) {
    const found = stepInto(document, here, key);
    if (found === undefined) return offset;
    offset = found.offset ?? offset;
    here = found.value;
  }
  return offset;
}

interface Found {
  readonly offset: number | undefined;
  readonly value: Node | null;
}

function stepInto(document: Document, node: Node | null, key: string | number): Found | undefined {
  const target = isAlias(node) ? (node.resolve(document) as Node | undefined) : node;
  if (!isCollection(target)) return undefined;
  if (!isMap(target)) {
    const item = target.items[Number(key)] as Node | undefined;
    return item && { offset: item.range?.[0], value: item };
  }
  const pairs = target.items as Pair<Node, Node | null>[];
  const own = pairs.find((pair) => keyText(pair.key) === String(key));
  if (own !== undefined) return { offset: own.key.range?.[0], value: own.value };
  return pairs
    .filter(({ key }) => isScalar(key) && key.source === '<<')
    .flatMap((pair) => mergedMaps(pair.value))
    .map((map) => stepInto(document, map, key))
    .find((found) => found !== undefined);
}

function mergedMaps(value: Node | null): (Node | null)[] {
  return isCollection(value) && !isMap(value) ? (value.items as Node[]) : [value];
}

function keyText(key: unknown): string | undefined {
  return isScalar(key) ? String(key.value) : undefined;
}
