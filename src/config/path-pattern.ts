import { normalizePath } from '../protocol/http/normalize.js';
import { right, show, wrong, type Parsed } from './leaf.js';

/** Paths a route takes. */
export interface PathPattern {
  /** As written. */
  readonly text: string;
  /** Normalised segments behind the leading slash; `undefined` stands for any one that is not empty. */
  readonly segments: readonly (string | undefined)[];
  /** Whether everything below is taken too (`/*` at the end). */
  readonly below: boolean;
}

/** Reads `/live`, `/socket.io/*`, `/rooms/*\/events`. */
export function parsePathPattern(text: string): Parsed<PathPattern> {
  const problem = findProblem(text);
  if (problem !== undefined) return problem;
  const below = text.endsWith('/*');
  const fixed = below ? text.slice(0, -2) : text;
  const written = below && fixed === '' ? [] : fixed.slice(1).split('/');
  const segments = written.map((segment) => (segment === '*' ? undefined : normalSegment(segment)));
  return right({ text, segments, below });
}

/** Whether every path that `b` takes is one that `a` takes. */
export function pathCovers(a: PathPattern, b: PathPattern): boolean {
  if (a.below ? b.segments.length < a.segments.length : b.below || a.segments.length !== b.segments.length) {
    return false;
  }
  return a.segments.every((segment, i) =>
    segment === undefined ? b.segments[i] !== '' : segment === b.segments[i],
  );
}

function findProblem(text: string): Parsed<never> | undefined {
  const found = `found ${show(text)}`;
  if (!text.startsWith('/')) {
    const suggestion = text === '*' ? '/*' : URL.canParse(text) ? new URL(text).pathname : `/${text}`;
    return wrong(`expected a path that begins with a slash, ${found}`, suggestion);
  }
  if (/[?#]/.test(text)) {
    return wrong(`paths are compared without their query, ${found}`, text.replace(/[?#].*$/s, ''));
  }
  // oxlint-disable-next-line no-control-regex -- none of these can stand in a request target
  if (/[\x00-\x20\x7f]/.test(text)) return wrong(`a path has no spaces or control characters, ${found}`);
  if (text.split('/').some((segment) => segment !== '*' && segment.includes('*'))) {
    const below = text.slice(0, text.indexOf('*')).replace(/\/?$/, '/*');
    return wrong(`\`*\` stands for a whole segment of the path, ${found}`, below);
  }
  if (text.split('/').some((segment) => /^(?:\.|%2e){1,2}$/i.test(segment))) {
    const normal = normalizePath(escapeUtf8(text));
    return wrong(`paths are compared with \`.\` and \`..\` resolved, ${found}`, normal);
  }
  return undefined;
}

function normalSegment(segment: string): string {
  return normalizePath(escapeUtf8(`/${segment}`)).slice(1);
}

/** As browsers send names beyond ASCII. */
function escapeUtf8(path: string): string {
  return path.replace(/[\u0080-\uffff]+/g, (text) =>
    Array.from(Buffer.from(text, 'utf8'), (byte) => `%${byte.toString(16).toUpperCase()}`).join(''),
  );
}
