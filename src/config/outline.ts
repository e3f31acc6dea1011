import { z } from 'zod';
import type { ConfigPath } from './issues.js';
import { configSchema } from './schema.js';

/** What the schema says about one key or value, as JSON Schema (draft 2020-12) and our own `label`. */
export interface Outline {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly label?: string;
  /** A piece of YAML. */
  readonly example?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly const?: string | number | boolean;
  readonly properties?: Readonly<Record<string, Outline>>;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly required?: readonly string[];
  readonly items?: Outline;
  readonly additionalProperties?: Outline | false;
  readonly anyOf?: readonly Outline[];
}

/** The outline of what a person may write. */
export function outline(): Outline {
  return z.toJSONSchema(configSchema, { io: 'input' }) as Outline;
}

/** The keys that an object at `path` may have. */
export function keysAt(path: ConfigPath): readonly string[] {
  let here: readonly Outline[] = [outline()];
  for (const key of path) here = here.flatMap((node) => step(node, key));
  return here.flatMap(objectsIn).flatMap((node) => Object.keys(node.properties ?? {}));
}

/** Where in the configuration a key of this name belongs: `upstreams.*`, `routes[]`; empty for the top. */
export function homesOf(key: string): readonly string[] {
  const homes: string[] = [];
  visit(outline(), '', (node, place) => {
    if (node.properties !== undefined && Object.hasOwn(node.properties, key)) homes.push(place);
  });
  return homes;
}

/** The object in a choice such as "a URL, or an object with `url`". */
export function objectsIn(node: Outline): readonly Outline[] {
  if (node.anyOf !== undefined) return node.anyOf.flatMap(objectsIn);
  return node.properties === undefined ? [] : [node];
}

function step(node: Outline, key: string | number): readonly Outline[] {
  if (node.anyOf !== undefined) return node.anyOf.flatMap((option) => step(option, key));
  if (typeof key === 'number') return node.items === undefined ? [] : [node.items];
  if (node.properties !== undefined) {
    return Object.hasOwn(node.properties, key) ? [node.properties[key]!] : [];
  }
  return node.additionalProperties ? [node.additionalProperties] : [];
}

function visit(node: Outline, place: string, see: (node: Outline, place: string) => void): void {
  see(node, place);
  for (const option of node.anyOf ?? []) visit(option, place, see);
  if (node.items !== undefined) visit(node.items, `${place}[]`, see);
  if (node.additionalProperties) visit(node.additionalProperties, `${place}.*`, see);
  for (const [key, child] of Object.entries(node.properties ?? {})) {
    visit(child, place === '' ? key : `${place}.${key}`, see);
  }
}
