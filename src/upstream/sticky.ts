import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { HeaderList } from '../protocol/http/header-list.js';
import { cookieValues } from './cookies.js';

export interface StickyPlan {
  /** The cookie’s name. */
  readonly cookie: string;
  /** The secret that signs it; undefined: one of this process alone. */
  readonly key: string | undefined;
  readonly path: string;
  /** `auto`: when the client came over TLS. */
  readonly secure: boolean | 'auto';
  readonly httpOnly: boolean;
  readonly sameSite: 'lax' | 'strict' | 'none';
  /** How long the browser keeps it; 0 = until it is closed. */
  readonly maxAgeMs: number;
}

const TAG_BYTES = 12;
const MAC_BYTES = 32;
/** Base64url of both, without padding. */
const VALUE = /^[\w-]{59}$/;
/** A client may send any number of cookies of one name; those of several paths are a handful. */
const MAX_COOKIES = 8;

/** For upstreams without a key of their own: one for all, so that a reload forgets nobody. */
const processKey = randomBytes(32);

/**
 * The cookie that brings a client back to its server. Its value is a tag, which only the key’s owner can tell servers
 * by, and the HMAC-SHA-256 of upstream and tag: it shows no address, cannot be forged, and a value from another
 * upstream, another key or of no known form is as good as none.
 */
export class Sticky {
  readonly #plan: StickyPlan;
  readonly #upstream: string;
  readonly #key: string | Buffer;
  readonly #values = new Map<string, string>();
  readonly #idsByTag = new Map<string, string>();

  /** @param upstream the upstream’s id: its cookies count nowhere else. */
  constructor(plan: StickyPlan, upstream: string) {
    this.#plan = plan;
    this.#upstream = upstream;
    this.#key = plan.key ?? processKey;
  }

  /** One line for the operator at the start, if there is something to say. */
  get warning(): string | undefined {
    if (this.#plan.key !== undefined) return undefined;
    return `upstream ${this.#upstream}: sticky has no key, so that cookies are signed with one of this process alone; after a restart, and behind another proxy, clients lose their server`;
  }

  /**
   * The id of the server that a client sticks to, for `Want.server`. Undefined: none. A server that is not among
   * `serverIds` any more gets a name that no server has, so that the pool knows it for gone.
   */
  read(headers: HeaderList, serverIds: Iterable<string>): string | undefined {
    if (!headers.has('cookie')) return undefined;
    for (const value of cookieValues(headers, this.#plan.cookie).slice(0, MAX_COOKIES)) {
      const tag = this.#tagOf(value);
      if (tag !== undefined) return this.#serverOf(tag, serverIds);
    }
    return undefined;
  }

  /** The value of `Set-Cookie` for a client of that server. */
  setCookie(serverId: string, isSecure: boolean): string {
    const { cookie, path, secure, httpOnly, sameSite, maxAgeMs } = this.#plan;
    const parts = [`${cookie}=${this.#valueOf(serverId)}`, `Path=${path}`];
    if (maxAgeMs > 0) parts.push(`Max-Age=${Math.ceil(maxAgeMs / 1000)}`);
    if (secure === true || (secure === 'auto' && isSecure)) parts.push('Secure');
    if (httpOnly) parts.push('HttpOnly');
    parts.push(`SameSite=${SAME_SITE[sameSite]}`);
    return parts.join('; ');
  }

  /** Forgets what was worked out for servers that are no more. */
  prune(serverIds: Iterable<string>): void {
    const kept = new Set(serverIds);
    for (const id of [...this.#values.keys()]) if (!kept.has(id)) this.#values.delete(id);
    for (const [tag, id] of [...this.#idsByTag]) if (!kept.has(id)) this.#idsByTag.delete(tag);
  }

  /** The tag of a value that we signed. */
  #tagOf(value: string): string | undefined {
    if (!VALUE.test(value)) return undefined;
    const bytes = Buffer.from(value, 'base64url');
    const tag = bytes.subarray(0, TAG_BYTES);
    const mac = bytes.subarray(TAG_BYTES);
    if (mac.length !== MAC_BYTES || !timingSafeEqual(mac, this.#sign(tag))) return undefined;
    return tag.toString('base64url');
  }

  #serverOf(tag: string, serverIds: Iterable<string>): string {
    if (!this.#idsByTag.has(tag)) for (const id of serverIds) this.#valueOf(id);
    return this.#idsByTag.get(tag) ?? tag;
  }

  #valueOf(serverId: string): string {
    const known = this.#values.get(serverId);
    if (known !== undefined) return known;
    const tag = createHmac('sha256', this.#key).update(`server\0${serverId}`).digest().subarray(0, TAG_BYTES);
    const value = Buffer.concat([tag, this.#sign(tag)]).toString('base64url');
    this.#values.set(serverId, value);
    this.#idsByTag.set(tag.toString('base64url'), serverId);
    return value;
  }

  #sign(tag: Uint8Array): Buffer {
    return createHmac('sha256', this.#key).update(`cookie\0${this.#upstream}\0`).update(tag).digest();
  }
}

const SAME_SITE = { lax: 'Lax', strict: 'Strict', none: 'None' } as const;
