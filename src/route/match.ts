import type { HostPattern } from '../config/host-pattern.js';
import type { PathPattern } from '../config/path-pattern.js';

/** Whether a request's host and path, both normalised, fit. */
export type Matches = (host: string, path: string) => boolean;

/** What a route takes; an absent list takes everything. */
export interface MatchPatterns {
  readonly host?: readonly HostPattern[] | undefined;
  readonly path?: readonly PathPattern[] | undefined;
}

/**
 * Builds the test that a route applies to requests. It expects hosts as `normalizeHost` and paths as `normalizePath`
 * leave them, and takes time in proportion to their length.
 */
export function compileMatch(patterns: MatchPatterns): Matches {
  const host = anyOf(patterns.host?.map(compileHost));
  const path = anyOf(patterns.path?.map(compilePath));
  return (requestHost, requestPath) => host(requestHost) && path(requestPath);
}

type Test = (text: string) => boolean;

function anyOf(tests: readonly Test[] | undefined): Test {
  if (tests === undefined) return () => true;
  if (tests.length === 1) return tests[0]!;
  return (text) => tests.some((test) => test(text));
}

function compileHost({ kind, name }: HostPattern): Test {
  if (kind === 'exactly') return (host) => host === name;
  const ending = `.${name}`;
  return (host) => host.length > ending.length && host.endsWith(ending);
}

function compilePath({ segments, below }: PathPattern): Test {
  if (segments.includes(undefined)) return (path) => walk(path, segments, below);
  const fixed = segments.map((segment) => `/${segment}`).join('');
  if (!below) return (path) => path === fixed;
  // `/*` takes every request target, `OPTIONS *` included.
  if (fixed === '') return () => true;
  // `/socket.io/*` takes `/socket.io` too: clients ask for either, and both mean the same resource.
  return (path) =>
    path.startsWith(fixed) && (path.length === fixed.length || path.charAt(fixed.length) === '/');
}

/** Goes through the path segment by segment, without splitting it first. */
function walk(path: string, segments: PathPattern['segments'], below: boolean): boolean {
  let start = 0;
  for (const segment of segments) {
    if (path.charAt(start) !== '/') return false;
    const slash = path.indexOf('/', start + 1);
    const end = slash === -1 ? path.length : slash;
    const found = path.slice(start + 1, end);
    if (segment === undefined ? found === '' : found !== segment) return false;
    start = end;
  }
  return below || start === path.length;
}
