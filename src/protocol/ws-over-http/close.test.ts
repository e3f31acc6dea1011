import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { writeClose } from '../frames/writer.js';
import { legalClose, readCloseContent, writeCloseContent } from './close.js';

describe('legalClose', () => {
  it.each([0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535, -1, 1000.5, Number.NaN])(
    'makes 1000 of %d',
    (code) => {
      expect(legalClose(code, 'why')).toEqual({ code: 1000, reason: 'why' });
    },
  );

  it.each([1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4999])('leaves %d', (code) => {
    expect(legalClose(code, '')).toEqual({ code, reason: '' });
  });

  it('gives a reason without a code 1000', () => {
    expect(legalClose(undefined, 'why')).toEqual({ code: 1000, reason: 'why' });
    expect(legalClose(undefined)).toEqual({ code: 1000, reason: '' });
  });

  it('cuts a reason at 123 bytes, between characters', () => {
    expect(legalClose(1000, 'x'.repeat(123)).reason).toHaveLength(123);
    expect(legalClose(1000, 'x'.repeat(124)).reason).toHaveLength(123);
    expect(legalClose(1000, `${'x'.repeat(122)}ü`).reason).toBe('x'.repeat(122));
    expect(legalClose(1000, `${'x'.repeat(121)}ü`).reason).toBe(`${'x'.repeat(121)}ü`);
    expect(legalClose(1000, `${'x'.repeat(120)}😀`).reason).toBe('x'.repeat(120));
  });

  it('always fits a frame', () => {
    fc.assert(
      fc.property(fc.integer(), fc.string({ unit: 'binary', maxLength: 130 }), (code, reason) => {
        const legal = legalClose(code, reason);
        // Throws on what must not leave.
        writeClose(legal.code, legal.reason);
      }),
    );
  });
});

describe('the content of CLOSE', () => {
  it('has two bytes of code, then the reason', () => {
    const content = writeCloseContent(1000, Buffer.from('bye'));
    expect(content.toString('latin1')).toBe('\x03\xe8bye');
    expect(readCloseContent(content)).toEqual({ code: 1000, reason: 'bye' });
  });

  it('is empty without a code', () => {
    expect(writeCloseContent(undefined, Buffer.from('bye'))).toHaveLength(0);
    expect(readCloseContent(Buffer.alloc(0))).toEqual({ code: undefined, reason: '' });
    expect(readCloseContent(Buffer.from([3]))).toEqual({ code: undefined, reason: '' });
  });

  it('may have a code that must not leave', () => {
    expect(readCloseContent(Buffer.from([0, 0]))).toEqual({ code: 0, reason: '' });
  });
});
