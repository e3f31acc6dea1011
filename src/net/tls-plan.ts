import type { AcmePlan } from './acme/plan.js';

/** A certificate with its key, both PEM text, found to belong together. */
export interface CertificatePlan {
  /** The host names that it is for: `hostNames` of it. */
  readonly names: readonly string[];
  /** With the chain behind it, if there is one. */
  readonly cert: string;
  readonly key: string;
  readonly passphrase: string | undefined;
}

/** What clients have to show, and what the upstream learns of it. */
export interface ClientCertificatesPlan {
  /** PEM text of the authorities that are believed. */
  readonly ca: string;
  /** Without a certificate: refused, or served all the same. With one that is not valid: refused in either case. */
  readonly mode: 'required' | 'optional';
  /** The header that carries the certificate as RFC 9440 has it; undefined: none. */
  readonly header: string | undefined;
  /** The header that carries its subject as RFC 4514 has it; undefined: none. */
  readonly subjectHeader: string | undefined;
}

/** How a listener speaks TLS. Plain data: two plans with the same text are the same. */
export interface TlsPlan {
  /**
   * Chosen by name; the first is for clients that name none of them, or no host at all. Empty only while all of them are
   * still to come: every handshake is refused.
   */
  readonly certificates: readonly CertificatePlan[];
  /** Host names that none of them fits, and whose own is still to come: clients that ask for one of them are refused. */
  readonly pendingNames?: readonly string[] | undefined;
  /** Those that are ordered by ACME. Whoever keeps them puts them into `certificates`, or into `pendingNames`. */
  readonly acme?: readonly AcmePlan[] | undefined;
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  /** For TLS 1.2, as OpenSSL has them. Those of TLS 1.3 are its standard ones unless they are named here, too. */
  readonly ciphers: string;
  /** Undefined: clients are not asked for any. */
  readonly clientCertificates: ClientCertificatesPlan | undefined;
}
