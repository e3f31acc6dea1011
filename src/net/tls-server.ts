import { constants, createHash } from 'node:crypto';
import { createSecureContext, createServer, type SecureContext, type Server } from 'node:tls';
import { NameTable } from './tls-names.js';
import type { CertificatePlan, TlsPlan } from './tls-plan.js';

/** How long a session may be resumed. */
const SESSION_TIMEOUT_S = 2 * 60 * 60;

/** The suites of TLS 1.3, all of them good; the client’s order counts, which knows whether it has AES in hardware. */
const TLS13_SUITES = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256';

/** What a server needs to know beside the plan. */
export interface TlsServerOptions {
  /** Encrypts the tickets by which sessions are resumed; 48 bytes, the same for all servers of a listener. */
  readonly ticketKeys: Buffer;
  /** What is offered by ALPN, most wanted first. */
  readonly protocols: readonly string[];
}

/** A TLS server that listens nowhere: connections are handed to it as `connection` events. */
export function createTlsServer(plan: TlsPlan, { ticketKeys, protocols }: TlsServerOptions): Server {
  const { mode } = plan.clientCertificates ?? {};
  const contexts = plan.certificates.map((certificate) => makeContext(plan, certificate, ticketKeys));
  return createServer({
    ...contextOptions(plan, plan.certificates[0]),
    ticketKeys,
    // The contexts of other names come with the choice; Node would make it without any when there is no need.
    ...(contexts.length <= 1 ? {} : { SNICallback: choose(plan.certificates, contexts) }),
    requestCert: mode !== undefined,
    rejectUnauthorized: mode === 'required',
    ALPNProtocols: [...protocols],
    // Ours is counted from accept, and is not put off by bytes that trickle in.
    handshakeTimeout: 0,
  });
}

/** @throws what OpenSSL has against the ciphers */
export function checkCiphers({ ciphers, minVersion }: Pick<TlsPlan, 'ciphers' | 'minVersion'>): void {
  void createSecureContext({ ciphers: withTls13(ciphers), minVersion });
}

/** @throws what OpenSSL has against the certificate or its key */
export function makeContext(plan: TlsPlan, certificate: CertificatePlan, ticketKeys?: Buffer): SecureContext {
  const options = contextOptions(plan, certificate);
  // Node takes ticket keys here, its types only know them in servers.
  return createSecureContext(ticketKeys === undefined ? options : Object.assign(options, { ticketKeys }));
}

/** Without a certificate OpenSSL refuses every handshake (alert handshake_failure). */
function contextOptions(plan: TlsPlan, certificate: CertificatePlan | undefined) {
  const { ciphers, minVersion, clientCertificates } = plan;
  const { cert, key, passphrase } = certificate ?? {};
  return {
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(passphrase === undefined ? {} : { passphrase }),
    minVersion,
    ciphers: withTls13(ciphers),
    honorCipherOrder: false,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    sessionTimeout: SESSION_TIMEOUT_S,
    sessionIdContext: sessionContext(plan),
    ...(clientCertificates === undefined ? {} : { ca: clientCertificates.ca }),
  };
}

/** A list without suites of TLS 1.3 would turn TLS 1.3 off. */
function withTls13(ciphers: string): string {
  return /(?:^|:)TLS_/.test(ciphers) ? ciphers : `${TLS13_SUITES}:${ciphers}`;
}

/** A session is resumed only where the same authorities would have been asked about its client’s certificate. */
function sessionContext({ clientCertificates }: TlsPlan): string {
  const { ca, mode } = clientCertificates ?? {};
  return createHash('sha256')
    .update(JSON.stringify([ca, mode]))
    .digest('hex')
    .slice(0, 32);
}

type SniCallback = (name: string, done: (error: Error | null, context?: SecureContext) => void) => void;

function choose(certificates: readonly CertificatePlan[], contexts: readonly SecureContext[]): SniCallback {
  const table = new NameTable(certificates.map(({ names }, at) => [names, contexts[at]!] as const));
  // Without a context of its own a client gets the server’s, which is that of the first certificate.
  return (name, done) => done(null, table.find(name));
}
