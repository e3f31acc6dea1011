import type { AdminAddress } from '../config/admin-address.js';
import type { AwsKey } from '../protocol/aws/sigv4.js';

/** Who may publish; with nothing in it, everybody who can reach the address. */
export interface PublishAuthPlan {
  /** Bearer tokens. */
  readonly tokens: readonly string[];
  readonly jwt: readonly {
    /** Undefined: any. */
    readonly issuer: string | undefined;
    /** A secret, `base64:…`, or a public key in PEM. */
    readonly key: string;
  }[];
  readonly basic: readonly { readonly user: string; readonly password: string }[];
  /** For `@connections` alone. */
  readonly aws: readonly AwsKey[];
}

/** Where backends publish, compiled and frozen. */
export interface PublishPlan {
  /** A path is absolute. */
  readonly address: AdminAddress;
  readonly auth: PublishAuthPlan;
  readonly maxBodyBytes: number;
  /** 0: any number. */
  readonly maxConnections: number;
  /** For a request head, and again for a request as a whole. */
  readonly headerTimeoutMs: number;
  readonly idleTimeoutMs: number;
}
