/** A certificate that is ordered by ACME and kept, compiled. Plain data: two plans with the same text are the same. */
export interface AcmePlan {
  /** Lower-cased, in full. Never empty. */
  readonly domains: readonly string[];
  /** Of the authority. */
  readonly directoryUrl: string;
  /** PEM text of the authorities that its HTTPS is believed by; undefined: the public ones. */
  readonly ca: string | undefined;
  readonly email: string | undefined;
  readonly challenge: 'http-01' | 'tls-alpn-01';
  /** Where everything is kept; absolute. */
  readonly folder: string;
  /** How long before its end it is renewed; undefined: a third of its life. */
  readonly renewBeforeMs: number | undefined;
}

/** The same for two plans that are about the same certificate. */
export function acmeKey({ folder, directoryUrl, domains }: AcmePlan): string {
  return JSON.stringify([folder, directoryUrl, ...domains.toSorted()]);
}
