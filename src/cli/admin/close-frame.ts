import { isSendableCloseCode } from '../../protocol/frames/writer.js';
import { UsageError } from '../failure.js';

/** RFC 6455 §5.5: a control frame carries 125 bytes, two of them the code. */
const MAX_REASON_BYTES = 123;

/**
 * What `--code` and `--reason` put into a Close frame; what was not given is left out.
 *
 * @param codeOption what the code is given with
 */
export function readCloseFrame(
  options: { readonly code?: string; readonly reason?: string },
  codeOption = '--code',
): { readonly code?: number; readonly reason?: string } {
  const { code, reason } = options;
  if (code !== undefined && !(/^\d{4}$/.test(code) && isSendableCloseCode(Number(code)))) {
    throw new UsageError(
      `${codeOption}: expected one of 1000-1003, 1007-1014, 3000-4999, found ${JSON.stringify(code)}`,
    );
  }
  const bytes = Buffer.byteLength(reason ?? '');
  if (bytes > MAX_REASON_BYTES) {
    throw new UsageError(`--reason: expected at most ${MAX_REASON_BYTES} bytes of UTF-8, found ${bytes}`);
  }
  return {
    ...(code === undefined ? {} : { code: Number(code) }),
    ...(reason === undefined ? {} : { reason }),
  };
}
