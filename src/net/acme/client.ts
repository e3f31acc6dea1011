import type { Client } from 'acme-client';
import { missingPackage } from '../../base/missing-package.js';
import type { AcmePlan } from './plan.js';
import { AcmeError, type AcmeTransport } from './transport.js';

const PACKAGE = 'acme-client';

export type Acme = typeof import('acme-client');

/** What to do about the missing package, in one line; undefined: it is there. */
export function missingClient(): string | undefined {
  return missingPackage(PACKAGE);
}

/** Loads the package, which is left alone where no certificate is ordered. */
export async function loadAcme(): Promise<Acme> {
  return await import('acme-client');
}

/**
 * A client of one authority that speaks through our transport. Its own cannot be stopped, retries by itself, and is
 * shared with whoever else uses the package.
 */
export function makeClient(acme: Acme, plan: AcmePlan, accountKey: string, transport: AcmeTransport): Client {
  const client = new acme.Client({ directoryUrl: plan.directoryUrl, accountKey });
  const { http } = client as unknown as { readonly http?: { request?: unknown } };
  if (typeof http?.request !== 'function') {
    throw new AcmeError(`this version of ${PACKAGE} is not known; expected 5.4`);
  }
  http.request = (url: string, method: string, options: object = {}) => {
    const headers = { 'Content-Type': 'application/jose+json' };
    return transport.request(url, method, { headers, ...options });
  };
  return client;
}
