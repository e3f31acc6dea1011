import { formatListenAddress } from '../config/listen-address.js';
import type { RouteConfig } from '../config/schema.js';
import type { Plan } from './compile.js';
import { publishAfter } from './reload.js';

/** What another configuration brings. */
export interface Comparison {
  /** One line for each change. */
  readonly changes: readonly string[];
  /** One line for each change that needs a restart. */
  readonly warnings: readonly string[];
  /** Keys of routes that have changed or are gone. */
  readonly changedRoutes: ReadonlySet<string>;
}

/** @param before as it runs: what another configuration could not change is as it was. */
export function comparePlans(before: Plan, after: Plan): Comparison {
  const routes = compare(
    before.config.routes.map(routeEntry(before)),
    after.config.routes.map(routeEntry(after)),
  );
  const listeners = compare(listenerEntries(before), listenerEntries(after));
  const upstreams = compare(upstreamEntries(before), upstreamEntries(after));
  const publish = publishAfter(before, after);
  const isReordered =
    routes.added.length === 0 &&
    routes.removed.length === 0 &&
    !isSame(before.routes.map(keyOf), after.routes.map(keyOf));
  return {
    changes: [
      ...describe('listener', listeners),
      ...describe('upstream', upstreams),
      ...describe('route', routes),
      ...(isReordered ? ['routes: in another order'] : []),
      ...settings
        .filter((name) => !isSame(before[name], after[name]))
        .map((name) => `${titles[name]} changed`),
      ...(isSame(before.publish, publish) ? [] : ['publish changed']),
    ],
    warnings: [
      ...fixed.filter((name) => !isSame(before[name], after[name])),
      ...(isSame(publish, after.publish) ? [] : ['publish']),
    ].map((name) => `${name} has changed, which takes a restart; it is left as it was`),
    changedRoutes: new Set([...routes.changed, ...routes.removed].map(({ key }) => key)),
  };
}

const settings = ['limits', 'accessLog', 'logLevel', 'drain', 'reload'] as const satisfies (keyof Plan)[];
const titles = {
  limits: 'limits',
  accessLog: 'accessLog',
  logLevel: 'log',
  drain: 'drain',
  reload: 'reload',
};
const fixed = ['relay', 'relayThreads', 'admin', 'backplane', 'channels'] as const satisfies (keyof Plan)[];

interface Entry {
  readonly key: string;
  readonly shown: string;
  /** Plain data. */
  readonly value: unknown;
}

interface Differences {
  readonly added: readonly Entry[];
  readonly changed: readonly Entry[];
  readonly removed: readonly Entry[];
}

function routeEntry(plan: Plan): (route: RouteConfig, index: number) => Entry {
  return (route, index) => {
    const { id, key } = plan.routes[index]!;
    return { key, shown: id, value: route };
  };
}

function listenerEntries({ config, listeners }: Plan): Entry[] {
  return (config.listeners ?? []).map((value, index) => {
    const address = formatListenAddress(value.address);
    const key = 'port' in value.address && value.address.port === 0 ? `${index} ${address}` : address;
    // Files may have changed behind the same names.
    return { key, shown: address, value: [value, listeners[index]!.tls] };
  });
}

function upstreamEntries({ upstreams }: Plan): Entry[] {
  return upstreams.map((value) => ({ key: value.id, shown: value.id, value }));
}

/** Of two with the same key the first counts. */
function compare(before: readonly Entry[], after: readonly Entry[]): Differences {
  const [old, now] = [byKey(before), byKey(after)];
  return {
    added: [...now.values()].filter(({ key }) => !old.has(key)),
    changed: [...now.values()].filter(
      ({ key, value }) => old.has(key) && !isSame(old.get(key)!.value, value),
    ),
    removed: [...old.values()].filter(({ key }) => !now.has(key)),
  };
}

function byKey(entries: readonly Entry[]): ReadonlyMap<string, Entry> {
  const found = new Map<string, Entry>();
  for (const entry of entries) if (!found.has(entry.key)) found.set(entry.key, entry);
  return found;
}

function describe(what: string, { added, changed, removed }: Differences): string[] {
  return [
    ...added.map(({ shown }) => `${what} ${shown} added`),
    ...changed.map(({ shown }) => `${what} ${shown} changed`),
    ...removed.map(({ shown }) => `${what} ${shown} removed`),
  ];
}

function keyOf({ key }: { readonly key: string }): string {
  return key;
}

function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
