/** Certificates by ACME on the command line, with an authority that is not there. The rest is in test/interop. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { once } from 'node:events';
import { describe, expect, onTestFinished, test } from 'vitest';
import { certificateFile } from '../fixtures/certificates.js';
import { Cli, runCli } from '../fixtures/cli.js';
import { running } from '../fixtures/running.js';
import { quietPort } from '../fixtures/ports.js';

function folderWith(config: string): string {
  const cwd = mkdtempSync(join(tmpdir(), 'tidegate-acme-'));
  onTestFinished(() => rmSync(cwd, { recursive: true }));
  writeFileSync(join(cwd, 'tidegate.config.yaml'), config);
  return cwd;
}

const routes = 'routes: [{ to: "http://127.0.0.1:1" }]\n';

describe('check', () => {
  test('says what would be ordered, and does nothing', async () => {
    const cwd = folderWith(`listeners:
  - address: 127.0.0.1:8443
    tls:
      certificates: { cert: ${certificateFile('wildcard')}, key: ${certificateFile('wildcard')} }
      acme:
        - { domains: [a.test, b.test], termsOfServiceAgreed: true, storage: kept, renewBefore: 30d }
        - { domains: example.test, termsOfServiceAgreed: true, storage: kept, challenge: http-01 }
${routes}`);
    const { code, stdout, stderr } = await runCli(['check'], { cwd });
    expect(stdout).toContain(`, one for a.test, b.test, one for example.test\n`);
    expect(stdout).toContain(
      `    ACME: a.test, b.test by tls-alpn-01 from https://acme-v02.api.letsencrypt.org/directory, kept in kept, renewed 30d before its end\n`,
    );
    expect(stdout).toContain('kept in kept, renewed when a third of its life is left\n');
    expect(stderr.split('\n')).toEqual([
      expect.stringMatching(
        /^warning: tidegate\.config\.yaml:7:.*challenge: http-01 is asked for by plain HTTP/,
      ),
      expect.stringMatching(
        /:7:.*domains: not used for example\.test: that of certificates\[0\] comes first$/,
      ),
    ]);
    expect(code).toBe(0);
    expect(existsSync(join(cwd, 'kept'))).toBe(false);
  });

  test('refuses what cannot be', async () => {
    const cwd = folderWith(`listeners:
  - address: 127.0.0.1:8443
    tls:
      acme: { domains: a.test, termsOfServiceAgreed: true, storage: tidegate.config.yaml, ca: gone.pem }
  - address: 127.0.0.1:8444
    tls: { acme: { domains: b.test, termsOfServiceAgreed: true, storage: kept } }
  - address: 127.0.0.1:8445
    tls: { acme: { domains: B.test, termsOfServiceAgreed: true, storage: kept, challenge: http-01 } }
${routes}`);
    const { code, stderr } = await runCli(['check'], { cwd });
    expect(stderr).toContain(
      `acme[0].ca: expected a PEM file with certificates, but ${join(cwd, 'gone.pem')} does`,
    );
    expect(stderr).toContain(
      `acme[0].storage: expected a folder, but ${join(cwd, 'tidegate.config.yaml')} is a file`,
    );
    expect(stderr).toContain(
      'listeners[2].tls.acme[0]: expected the same as listeners[1].tls.acme[0], which is about the same certificate',
    );
    expect(code).toBe(2);
  });
});

test('serve: starts, tells what is missing and why, and stops', async () => {
  const port = await quietPort();
  const cwd = folderWith(`listeners:
  - address: 127.0.0.1:0
    tls:
      acme:
        domains: a.test
        directory: https://127.0.0.1:${port}/dir
        termsOfServiceAgreed: true
        storage: kept
${routes}`);
  const cli = await running(new Cli(['serve'], { cwd }));
  const listening = await cli.stderr.next((line) => line.startsWith('  listening on https://127.0.0.1:'));
  expect(await cli.stderr.next((line) => line.includes('acme.ordered'))).toContain(
    `acme.ordered: a certificate for a.test from https://127.0.0.1:${port}/dir, to be proven by tls-alpn-01; TLS handshakes that ask for it are refused meanwhile`,
  );
  expect(await cli.stderr.next((line) => line.includes('acme.failed'))).toMatch(
    /warn.*acme\.failed: a\.test: 127\.0\.0\.1:\d+ cannot be reached: connect ECONNREFUSED 127\.0\.0\.1:\d+; tried again at .*Z; TLS handshakes that ask for it are refused meanwhile$/,
  );
  for (let i = 0; i < 3; i++) {
    const client = connect({
      host: '127.0.0.1',
      port: Number(listening.split(':').at(-1)),
      servername: 'a.test',
    });
    const [error] = (await once(client, 'error')) as [Error];
    expect(error.message).toMatch(/handshake failure/);
  }
  cli.signal('SIGTERM');
  expect(await cli.exited).toBe(0);
  // Not a line for each of them.
  expect(cli.stderr.all.filter((line) => /acme|certificate|TLS/.test(line))).toHaveLength(2);
});
