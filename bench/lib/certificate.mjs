import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { at } from '../../scripts/lib/paths.mjs';

/**
 * Makes the certificate of this run (ECDSA P-256, for `localhost`, signed by itself): a PEM file with its key, which is
 * removed at exit. Needs a load generator that has TLS. Returns its path.
 */
export function makeCertificate(load) {
  const file = at('.cache', 'bench', `certificate-${process.pid}.pem`);
  const { status, stdout, stderr } = spawnSync(load, ['certificate', file], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`no certificate for TLS: ${stdout}${stderr}`);
  process.on('exit', () => rmSync(file, { force: true }));
  return file;
}
