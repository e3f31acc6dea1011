import { randomBytes, type X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Server, TLSSocket } from 'node:tls';
import type { AcmeChallenges } from './acme/challenges.js';
import { clientCertValue, distinguishedName } from '../protocol/http/client-cert.js';
import { type ClientCertificate, factsOf, noteFacts } from './client-facts.js';
import { sniffTls } from './sniff-tls.js';
import type { ClientCertificatesPlan, TlsPlan } from './tls-plan.js';
import { createTlsServer } from './tls-server.js';

/** Who reads from a connection behind TLS, by the protocol that was agreed on (ALPN); without any it is HTTP/1.1. */
export interface Takers {
  readonly 'http/1.1': (socket: TLSSocket) => void;
  readonly h2?: (socket: TLSSocket) => void;
}

/** The most wanted first. Those that have a taker are offered. */
const PROTOCOLS = ['h2', 'http/1.1'] as const satisfies (keyof Takers)[];

/** A ticket that was stolen opens nothing older than this. */
const TICKET_KEYS_MS = 24 * 60 * 60 * 1000;
const TICKET_KEYS_BYTES = 48;

/** Told of each connection that came to nothing: why, in one line, and where it came from. */
export type OnTlsFailure = (reason: string, address: string) => void;

/**
 * TLS for the connections of one listener (part of step 0). The plan may change at any time: what is in stays as it is,
 * and sessions may be resumed all the same, since the keys of their tickets are the listener’s.
 */
export class TlsStage {
  readonly #takers: () => Takers;
  readonly #onFailure: OnTlsFailure;
  readonly #challenges: AcmeChallenges | undefined;
  /** The sockets below connections in mid-handshake, with what ends the wait for them. */
  readonly #handshaking = new Map<Socket, () => void>();
  readonly #overdue = new WeakSet<Socket>();
  #current: { readonly plan: TlsPlan; readonly server: Server; readonly ticketKeysSince: number } | undefined;
  #ticketKeys: { readonly keys: Buffer; readonly since: number } | undefined;
  #isClosed = false;

  /** @param takers asked whenever there is another plan */
  constructor(takers: () => Takers, onFailure: OnTlsFailure, challenges?: AcmeChallenges) {
    this.#takers = takers;
    this.#onFailure = onFailure;
    this.#challenges = challenges;
  }

  /** @param timeoutMs how long the handshake may take from here */
  enter(socket: Socket, plan: TlsPlan, timeoutMs: number): void {
    socket.on('error', () => {});
    if (this.#isClosed || socket.destroyed) {
      socket.destroy();
      return;
    }
    // While they can be told: a socket that has been closed does not know its peer any more.
    noteFacts(socket, { ...factsOf(socket), secure: true });
    this.#await(socket, timeoutMs);
    // Who ends in mid-handshake is gone. What lies above takes this over, until it stands.
    socket.allowHalfOpen = false;
    if (this.#challenges?.awaitsTls === true || hasGaps(plan)) this.#enterByHello(socket, plan);
    else this.#serverFor(plan).emit('connection', socket);
  }

  /** While certificates are still to come. */
  #enterByHello(socket: Socket, plan: TlsPlan): void {
    sniffTls(socket, ({ serverName = '', protocols }) => {
      if (this.#challenges?.isFor(protocols) === true) this.#challenges.takeTls(socket);
      else if (hasGaps(plan) && plan.pendingNames!.includes(serverName.replace(/\.$/, ''))) {
        // OpenSSL tells the client, and us.
        const none = { ...plan, certificates: [] };
        this.#open(none, randomBytes(TICKET_KEYS_BYTES)).emit('connection', socket);
      } else this.#serverFor(plan).emit('connection', socket);
    });
  }

  /** Cuts what is in mid-handshake, and takes nothing more. */
  close(): void {
    this.#isClosed = true;
    for (const socket of this.#handshaking.keys()) socket.destroy();
  }

  #await(socket: Socket, timeoutMs: number): void {
    const timer = setTimeout(() => {
      this.#overdue.add(socket);
      socket.destroy();
    }, timeoutMs).unref();
    this.#handshaking.set(socket, () => clearTimeout(timer));
    socket.once('close', () => this.#arrived(socket));
  }

  #arrived(socket: Socket): void {
    this.#handshaking.get(socket)?.();
    this.#handshaking.delete(socket);
  }

  #serverFor(plan: TlsPlan): Server {
    const now = Date.now();
    if (this.#ticketKeys === undefined || now - this.#ticketKeys.since > TICKET_KEYS_MS) {
      this.#ticketKeys = { keys: randomBytes(TICKET_KEYS_BYTES), since: now };
    }
    const { keys, since } = this.#ticketKeys;
    if (this.#current?.plan !== plan || this.#current.ticketKeysSince !== since) {
      this.#current = { plan, server: this.#open(plan, keys), ticketKeysSince: since };
    }
    return this.#current.server;
  }

  #open(plan: TlsPlan, ticketKeys: Buffer): Server {
    const takers = this.#takers();
    const protocols = PROTOCOLS.filter((protocol) => takers[protocol] !== undefined);
    const server = createTlsServer(plan, { ticketKeys, protocols });
    server.on('secureConnection', (socket) => {
      if (this.#admit(socket, plan.clientCertificates)) {
        (socket.alpnProtocol === 'h2' ? takers.h2! : takers['http/1.1'])(socket);
      }
    });
    const lacking = plan.pendingNames ?? [];
    server.on('tlsClientError', (error, socket) => this.#fail(error, socket, lacking));
    return server;
  }

  /** Holds the client to what is asked of it, and notes what it is. */
  #admit(socket: TLSSocket, asked: ClientCertificatesPlan | undefined): boolean {
    const below = socketBelow(socket);
    this.#arrived(below);
    socket.allowHalfOpen = true;
    const facts = factsOf(below);
    const shown = asked && socket.getPeerX509Certificate();
    // OpenSSL lets through who shows a bad certificate where none is required, and who resumes a session without one.
    const isRefused = shown === undefined ? asked?.mode === 'required' : !socket.authorized;
    if (isRefused) {
      socket.on('error', () => {}).destroy();
      this.#onFailure(refusal(socket), facts.address);
      return false;
    }
    noteFacts(socket, shown && asked ? { ...facts, clientCertificate: describe(shown, asked) } : facts);
    return true;
  }

  /** Node has destroyed it, or is about to. */
  #fail(
    error: Error & { reason?: string; code?: string },
    socket: TLSSocket,
    lacking: readonly string[],
  ): void {
    const below = socketBelow(socket);
    this.#arrived(below);
    below.destroy();
    if (this.#isClosed) return;
    const reason = this.#reasonFor(error, socket, below);
    const isLacking = lacking.length > 0 && NO_CERTIFICATE.has(error.code ?? '');
    const why = isLacking ? ` (there is no certificate yet for ${lacking.join(', ')})` : '';
    this.#onFailure(`${reason}${why}`, factsOf(below).address);
  }

  #reasonFor(error: Error & { reason?: string; code?: string }, socket: TLSSocket, below: Socket): string {
    if (this.#overdue.has(below)) return 'it took too long';
    // Node ends the connection of a client with a bad certificate without a word.
    if (socket.authorizationError) return refusal(socket);
    if (error.code === 'ECONNRESET') return 'the client went away';
    return error.reason ?? error.message;
  }
}

/** Whether some names have a certificate, and others wait for theirs. */
function hasGaps({ certificates, pendingNames }: TlsPlan): boolean {
  return pendingNames !== undefined && pendingNames.length > 0 && certificates.length > 0;
}

/** What OpenSSL finds where it has none to show; in TLS 1.2, and in 1.3. */
const NO_CERTIFICATE = new Set(['ERR_SSL_NO_SHARED_CIPHER', 'ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM']);

function refusal({ authorizationError }: TLSSocket): string {
  // Its type says Error; it is the code of one.
  return `the client’s certificate is not accepted: ${String(authorizationError ?? 'there is none')}`;
}

function describe(certificate: X509Certificate, plan: ClientCertificatesPlan): ClientCertificate {
  const subject = distinguishedName(certificate.subject);
  const fields: [string, string][] = [];
  if (plan.header !== undefined) fields.push([plan.header, clientCertValue(certificate.raw)]);
  if (plan.subjectHeader !== undefined) fields.push([plan.subjectHeader, subject]);
  return { subject, fingerprint256: certificate.fingerprint256, fields };
}

/** Node has no public way to it. */
function socketBelow(socket: TLSSocket): Socket {
  // oxlint-disable-next-line no-underscore-dangle -- Node’s
  return (socket as TLSSocket & { _parent?: Socket })._parent ?? socket;
}
