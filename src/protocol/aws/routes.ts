/** How the route of a message is found: by a field of its body. */
export interface RouteSelection {
  /** Names from the outermost inwards: `action` of `$request.body.action`. */
  readonly field: readonly string[];
  /** Undefined: every value names a route. */
  readonly routes: ReadonlySet<string> | undefined;
}

export const DEFAULT_ROUTE = '$default';

/** The longest name of a route that a message may choose where every value names one. */
const MAX_ROUTE_CHARACTERS = 128;

/** Reads `$request.body.action` or `${request.body.action}`; undefined: it is neither. */
export function readSelectionExpression(text: string): readonly string[] | undefined {
  const [, bare, braced] = EXPRESSION.exec(text) ?? [];
  return (bare ?? braced)?.split('.');
}

const EXPRESSION = /^(?:\$request\.body\.([\w-]+(?:\.[\w-]+)*)|\$\{request\.body\.([\w-]+(?:\.[\w-]+)*)\})$/;

/**
 * The route of a text message; whatever is no JSON, or has no text there, or names no route, has `$default`. A name with
 * `$` in front is not for clients to choose.
 */
export function selectRoute(text: string, { field, routes }: RouteSelection): string {
  const name = valueAt(text, field);
  if (typeof name !== 'string' || name === '' || name.startsWith('$')) return DEFAULT_ROUTE;
  if (routes === undefined) return name.length <= MAX_ROUTE_CHARACTERS ? name : DEFAULT_ROUTE;
  return routes.has(name) ? name : DEFAULT_ROUTE;
}

function valueAt(text: string, field: readonly string[]): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  for (const name of field) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Readonly<Record<string, unknown>>)[name];
  }
  return value;
}
