import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ManualClock } from '../../base/manual-clock.js';
import { AcmeError, AcmeTransport, describeProblem } from './transport.js';

const file = (name: string) =>
  readFileSync(fileURLToPath(new URL(`../../../test/fixtures/tls/${name}`, import.meta.url)), 'utf8');
const ca = file('localhost.crt');

describe('AcmeTransport', () => {
  it('sends JSON, and reads JSON or text', async () => {
    const { url, transport } = await authority((req, res, body) => {
      res.writeHead(201, { 'content-type': 'application/json; charset=utf-8', location: '/here' });
      res.end(
        JSON.stringify({
          method: req.method,
          body,
          agent: req.headers['user-agent'],
          own: req.headers['x-own'],
        }),
      );
    });
    const answer = await transport().request(url, 'post', { data: { a: 'ä' }, headers: { 'x-own': '1' } });
    expect(answer.status).toBe(201);
    expect(answer.headers.location).toBe('/here');
    expect(answer.data).toEqual({ method: 'POST', body: '{"a":"ä"}', agent: 'tests', own: '1' });

    const chain = await authority((_req, res) =>
      res.writeHead(200, { 'content-type': 'application/pem-certificate-chain' }).end('{}'),
    );
    expect((await chain.transport().request(chain.url, 'get')).data).toBe('{}');
  });

  it.each<[string, number, object, string, boolean, number | undefined]>([
    [
      'a limit',
      429,
      { 'retry-after': '3600' },
      ' answered 429: too many certificates (rateLimited)',
      true,
      3_600_000,
    ],
    [
      'a date',
      429,
      { 'retry-after': 'Thu, 01 Jan 2026 00:01:00 GMT' },
      ' answered 429: too many certificates (rateLimited)',
      true,
      60_000,
    ],
    [
      'the past',
      403,
      { 'retry-after': 'Thu, 01 Jan 2015 00:01:00 GMT' },
      ' answered 403: too many certificates (rateLimited)',
      true,
      0,
    ],
    [
      'nonsense',
      403,
      { 'retry-after': 'soon' },
      ' answered 403: too many certificates (rateLimited)',
      true,
      undefined,
    ],
    [
      'a server out of order',
      503,
      {},
      ' answered 503: too many certificates (rateLimited)',
      false,
      undefined,
    ],
  ])(
    'tells a refusal in the authority’s words: %s',
    async (_, status, headers, says, isRefusal, retryAfterMs) => {
      const problem = { type: 'urn:ietf:params:acme:error:rateLimited', detail: 'too many\n certificates' };
      const { url, transport } = await authority((_req, res) =>
        res
          .writeHead(status, { ...headers, 'content-type': 'application/problem+json' })
          .end(JSON.stringify(problem)),
      );
      const failed = await failureOf(transport().request(url, 'get'));
      expect(failed.message).toBe(`${new URL(url).host}${says}`);
      expect(failed).toMatchObject({ isRefusal, retryAfterMs });
    },
  );

  it('leaves a nonce that was refused to the package', async () => {
    const { url, transport } = await authority((_req, res) =>
      res
        .writeHead(400, { 'content-type': 'application/problem+json', 'replay-nonce': 'n' })
        .end('{"type":"urn:ietf:params:acme:error:badNonce"}'),
    );
    expect(await transport().request(url, 'post', { data: {} })).toMatchObject({ status: 400 });
  });

  it('tells a page that is no problem document by its status', async () => {
    const { url, transport } = await authority((_req, res) =>
      res.writeHead(404, { 'content-type': 'text/html' }).end('<html>'),
    );
    const failed = await failureOf(transport().request(url, 'get'));
    expect(failed.message).toMatch(/^127\.0\.0\.1:\d+ answered 404$/);
  });

  it('does not believe just any certificate', async () => {
    const { url, transport } = await authority((_req, res) => res.end());
    const failed = await failureOf(transport({ ca: undefined }).request(url, 'get'));
    expect(failed.message).toMatch(/ cannot be reached: self-signed certificate/);
    expect(failed.isRefusal).toBe(false);
  });

  it.each(['http://127.0.0.1/', 'nowhere', ''])('goes nowhere but to https: %j', async (url) => {
    const { transport } = await authority(() => {});
    const failed = await failureOf(transport().request(url, 'get'));
    expect(failed.message).toBe(
      `the authority names ${JSON.stringify(url)}, where an https: URL is expected`,
    );
  });

  it('takes no answer without end', async () => {
    const { url, transport } = await authority((_req, res) => {
      const more = (): void => {
        if (!res.destroyed) res.write(Buffer.alloc(100_000), more);
      };
      more();
    });
    const failed = await failureOf(transport().request(url, 'get'));
    expect(failed.message).toMatch(/ cannot be reached: its answer is too large$/);
  });

  it('is ended in the middle', async () => {
    const controller = new AbortController();
    const { url, transport } = await authority(() => controller.abort());
    await failureOf(transport({ signal: controller.signal }).request(url, 'get'));
  });

  it('tells an answer that breaks off', async () => {
    const { url, transport } = await authority((_req, res) => {
      res.writeHead(200, { 'content-length': 10 });
      res.write('half', () => res.destroy());
    });
    const failed = await failureOf(transport().request(url, 'get'));
    expect(failed.message).toMatch(/ cannot be reached: /);
  });
});

describe('describeProblem', () => {
  it.each<[unknown, string | undefined]>([
    [undefined, undefined],
    ['text', undefined],
    [{}, undefined],
    [{ detail: 5, type: 7, subproblems: 'x' }, undefined],
    [{ type: 'urn:ietf:params:acme:error:caa' }, 'caa'],
    [{ detail: 'CAA forbids' }, 'CAA forbids'],
    [
      {
        type: 'urn:ietf:params:acme:error:compound',
        detail: 'several',
        subproblems: [{ type: 'urn:ietf:params:acme:error:dns', detail: 'no a.test' }, {}],
      },
      'several; no a.test (dns) (compound)',
    ],
  ])('%j', (data, says) => {
    expect(describeProblem(data)).toBe(says);
  });
});

type Serve = (req: IncomingMessage, res: ServerResponse, body: string) => void;

async function authority(serve: Serve) {
  const server = createServer({ cert: ca, key: file('localhost.key') }, (req, res) => {
    let body = '';
    req.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
    req.on('end', () => serve(req, res, body));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}/dir`,
    transport(more: { readonly ca?: string | undefined; readonly signal?: AbortSignal } = {}) {
      const signal = new AbortController().signal;
      const made = new AcmeTransport({ ca, userAgent: 'tests', clock: new ManualClock(), signal, ...more });
      onTestFinished(() => made.close());
      return made;
    },
  };
}

async function failureOf(promise: Promise<unknown>): Promise<AcmeError> {
  const failed: unknown = await promise.catch((thrown: unknown) => thrown);
  expect(failed).toBeInstanceOf(AcmeError);
  return failed as AcmeError;
}
