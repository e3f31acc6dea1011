import { printable } from '../observe/access-log.js';
import type { AcmeObtained } from '../observe/acme.js';
import type { Proxy } from '../server/proxy.js';
import type { Log } from './output.js';

/** What becomes of the certificates that are ordered by ACME, a line for each event. */
export function tellCertificates(proxy: Proxy, log: Log): void {
  proxy.on('acme.ordered', ({ domains, directory, challenge, validTo }) =>
    log.info(
      printable(
        `acme.ordered: a certificate for ${list(domains)} from ${directory}, to be proven by ${challenge}; ${meanwhile(validTo)}`,
      ),
    ),
  );
  proxy.on('acme.obtained', (obtained) => log.info(printable(`acme.obtained: ${describe(obtained)}`)));
  proxy.on('acme.renewed', (obtained) => log.info(printable(`acme.renewed: ${describe(obtained)}`)));
  proxy.on('acme.failed', ({ domains, detail, retryAt, validTo }) =>
    log.warn(
      printable(
        `acme.failed: ${list(domains)}: ${detail}; tried again at ${retryAt.toISOString()}; ${meanwhile(validTo)}`,
      ),
    ),
  );
}

function describe({ domains, validTo, renewAt }: AcmeObtained): string {
  return `the certificate for ${list(domains)} is in use; valid until ${validTo.toISOString()}, renewed at ${renewAt.toISOString()}`;
}

function meanwhile(validTo: Date | undefined): string {
  if (validTo === undefined) return 'TLS handshakes that ask for it are refused meanwhile';
  return `the one in use is valid until ${validTo.toISOString()}`;
}

function list(domains: readonly string[]): string {
  return domains.join(', ');
}
