import { expect, it } from 'vitest';
import { missingPackage } from './missing-package.js';

it('tells what to do where a package is missing', () => {
  expect(missingPackage('zod')).toBeUndefined();
  expect(missingPackage('no-such-client')).toBe(
    'needs the package no-such-client, which is not installed; add it by `npm install no-such-client`',
  );
});
