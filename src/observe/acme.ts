/** A certificate that is had by ACME. */
export interface AcmeSubject {
  readonly domains: readonly string[];
  /** URL of the authority’s directory. */
  readonly directory: string;
}

/** An order that has begun. */
export interface AcmeOrdered extends AcmeSubject {
  /** How the names are proven. */
  readonly challenge: string;
  /** The end of the certificate that is in use meanwhile; undefined: there is none, and handshakes are refused. */
  readonly validTo: Date | undefined;
}

/** A certificate that was obtained and is in use. */
export interface AcmeObtained extends AcmeSubject {
  readonly validFrom: Date;
  readonly validTo: Date;
  /** When another one will be ordered. */
  readonly renewAt: Date;
}

/** An order that came to nothing, or a certificate that could not be kept. */
export interface AcmeFailed extends AcmeSubject {
  /** One line, with the authority’s words. */
  readonly detail: string;
  /** When it is tried again. */
  readonly retryAt: Date;
  /** The end of the certificate that is in use meanwhile; undefined: there is none, and handshakes are refused. */
  readonly validTo: Date | undefined;
}
