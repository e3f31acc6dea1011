import type { PooledServerPlan } from '../plan.js';
import { hasName, isServiceName, NameWatch, type NameWatchOptions } from './name-watch.js';
import { defaultResolve, type ResolvePlan } from './plan.js';
import { type Names, SystemNames } from './names.js';

export interface ServerListOptions extends Omit<NameWatchOptions, 'plan' | 'names'> {
  /** Default: the system’s, with the plan’s name servers. */
  readonly names?: Names;
}

/** The servers of an upstream as they are now: those with addresses as configured, those with names as DNS has them. */
export class ServerList {
  readonly #options: ServerListOptions;
  /** In the order of the configuration; a watch for what has to be looked up. */
  #entries: { readonly server: PooledServerPlan; readonly watch: NameWatch | undefined }[] = [];
  #resolve: ResolvePlan | undefined;

  constructor(
    servers: readonly PooledServerPlan[],
    resolve: ResolvePlan | undefined,
    options: ServerListOptions,
  ) {
    this.#options = options;
    this.update(servers, resolve);
  }

  get current(): PooledServerPlan[] {
    return this.#entries.flatMap(({ server, watch }) => watch?.servers ?? [server]);
  }

  /** Another configuration. A name that stays as it was keeps its answer and its time. Does not call `onChange`. */
  update(servers: readonly PooledServerPlan[], resolve: ResolvePlan | undefined): void {
    const isSamePlan = JSON.stringify(resolve) === JSON.stringify(this.#resolve);
    this.#resolve = resolve;
    const before = isSamePlan ? this.#entries : [];
    const kept = new Set<NameWatch>();
    let names: Names | undefined;
    const next = servers.map((server) => {
      if (!isWatched(server, resolve)) return { server, watch: undefined };
      const known = before.find(
        (entry) => entry.watch !== undefined && JSON.stringify(entry.server) === JSON.stringify(server),
      )?.watch;
      const plan = resolve ?? defaultResolve;
      names ??= this.#options.names ?? new SystemNames(plan.nameservers);
      const watch = known ?? new NameWatch(server, { ...this.#options, plan, names });
      kept.add(watch);
      return { server, watch };
    });
    for (const { watch } of this.#entries) if (watch !== undefined && !kept.has(watch)) watch.close();
    this.#entries = next;
  }

  close(): void {
    this.update([], this.#resolve);
  }
}

function isWatched(server: PooledServerPlan, resolve: ResolvePlan | undefined): boolean {
  if (!hasName(server)) return false;
  const isService = server.srv === true || ('host' in server.address && isServiceName(server.address.host));
  return resolve !== undefined || isService;
}
