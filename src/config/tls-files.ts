import { z } from 'zod';
import { expected } from './leaf.js';

/** A file that the configuration names. */
export const fileName = (label = 'file') =>
  z
    .string({ error: expected(`the name of a ${label}`) })
    .min(1)
    .meta({ label: label === 'folder' ? 'folder' : 'file' });

/** Of a key. */
export const passphrase = () =>
  z
    .string({ error: expected('a passphrase') })
    .min(1)
    .optional()
    .meta({ label: 'text' })
    .describe('What the key is encrypted with. Absent: it is not.');
