import { normalizeHost, normalizePath } from '../protocol/http/normalize.js';
import type { RoutePlan } from './plan.js';

/** The routes of a configuration, in order: the first that fits takes the request. */
export class RouteTable {
  readonly #routes: readonly RoutePlan[];

  constructor(routes: readonly RoutePlan[]) {
    this.#routes = routes;
  }

  /**
   * @param host the `Host` header as sent, or an empty string when there is none
   * @param target the request target as sent: a path with or without a query, or `*`
   * @param isSecure whether the client came over TLS, so that there is nothing to redirect
   */
  find(host: string, target: string, isSecure: boolean): RoutePlan | undefined {
    const name = normalizeHost(host);
    const path = normalizePath(target);
    return this.#routes.find(
      (route) => !(isSecure && route.redirect !== undefined) && route.matches(name, path),
    );
  }
}
