/**
 * Tidegate as a library: the same engine as the command line.
 *
 * @module tidegate
 */
export {
  createProxy,
  type Draining,
  type ListenerAddress,
  type Proxy,
  type ProxyOptions,
  type ReloadResult,
  type StopOptions,
} from './server/proxy.js';
export { type Config, type ConfigInput, defineConfig } from './config/schema.js';
export { ConfigError, type ConfigIssue } from './config/issues.js';
export type { AcmeFailed, AcmeObtained, AcmeOrdered, AcmeSubject } from './observe/acme.js';
export type { ProxyEvents } from './observe/events.js';
export type {
  AccessRecord,
  OpenSession,
  Outcome,
  ServerChange,
  SessionInfo,
  TlsFailure,
} from './observe/record.js';
export { type ErrorCode, errorTable, ProxyError } from './base/errors.js';
export type { Clock, Deps, Random } from './base/deps.js';
export { ManualClock } from './base/manual-clock.js';
export { type Generation, generations } from './protocol/handshake/types.js';
