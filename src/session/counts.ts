import type { Relay } from '../relay/types.js';

/** What a session has carried, under the names of the access log. */
export function countsOf({ fromClient, fromUpstream, dropped }: Relay) {
  return {
    bytesFromClient: fromClient.bytes,
    bytesFromUpstream: fromUpstream.bytes,
    messagesFromClient: fromClient.messages,
    messagesFromUpstream: fromUpstream.messages,
    messagesDropped: dropped || undefined,
    closeCodeFromClient: fromClient.closeCode,
    closeCodeFromUpstream: fromUpstream.closeCode,
    closeReasonFromClient: fromClient.closeReason,
    closeReasonFromUpstream: fromUpstream.closeReason,
  };
}
