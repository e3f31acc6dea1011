import { STATUS_CODES } from 'node:http';
import { describe, expect, it } from 'vitest';
import { type ErrorCode, errorTable, ProxyError } from './errors.js';

const codes = Object.keys(errorTable) as ErrorCode[];

describe('errorTable', () => {
  it.each(codes)('%s has a full row', (code) => {
    const row = errorTable[code];
    expect(code).toMatch(/^[A-Z]+\d*(_[A-Z]+\d*)*$/);
    // 499 is nobody's standard: it is logged, never sent.
    if (row.status !== 499) expect(STATUS_CODES).toHaveProperty(String(row.status));
    expect(row.status).toBeGreaterThanOrEqual(400);
    // What a Close frame may carry (RFC 6455 §7.4, IANA).
    expect(
      row.closeCode >= 1000 && row.closeCode <= 1014 && ![1004, 1005, 1006].includes(row.closeCode),
    ).toBe(true);
    expect(row.doc).toMatch(/^[A-Z`].*\.$/);
    expect(row.doc).not.toMatch(/\n/);
  });

  it('blames a client with 4xx or 501 and an upstream with 5xx', () => {
    const rows = (side: string) => codes.map((code) => errorTable[code]).filter((row) => row.side === side);
    for (const { status } of rows('client')) expect(status < 500 || status === 501).toBe(true);
    for (const { status } of rows('upstream')) expect(status).toBeGreaterThanOrEqual(502);
  });
});

describe('ProxyError', () => {
  it('takes everything but its detail from the table', () => {
    const cause = new Error('ECONNREFUSED');
    const error = new ProxyError('UPSTREAM_CONNECT_FAILED', 'no connection to 127.0.0.1:3001', { cause });
    expect(error).toMatchObject({
      name: 'ProxyError',
      code: 'UPSTREAM_CONNECT_FAILED',
      message: 'no connection to 127.0.0.1:3001',
      side: 'upstream',
      step: 'dial',
      status: 502,
      closeCode: 1014,
      cause,
    });
  });

  it('is passed through by from()', () => {
    const error = new ProxyError('ROUTE_NOT_FOUND', 'no route');
    expect(ProxyError.from(error)).toBe(error);
  });

  it.each([
    [new TypeError('x is not a function'), 'x is not a function'],
    ['text', 'text'],
    [undefined, 'undefined'],
    [null, 'null'],
  ])('makes %j an INTERNAL with its cause', (thrown, message) => {
    const error = ProxyError.from(thrown);
    expect(error).toMatchObject({ code: 'INTERNAL', message, status: 500 });
    expect(error.cause).toBe(thrown);
  });
});
