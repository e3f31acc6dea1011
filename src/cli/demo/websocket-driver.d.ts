/** The part of websocket-driver that the demo uses; the package has no types of its own. */
declare module 'websocket-driver' {
  import type { EventEmitter } from 'node:events';
  import type { IncomingMessage } from 'node:http';

  interface DriverStream<T> {
    write(chunk: T): boolean;
    on(event: 'data', listener: (chunk: T) => void): this;
    on(event: 'end', listener: () => void): this;
  }

  interface Driver extends EventEmitter {
    /** Bytes from and to the wire. */
    readonly io: DriverStream<Uint8Array>;
    readonly messages: DriverStream<string>;
    readonly version: string;
    start(): boolean;
    text(message: string): boolean;
    close(): boolean;
  }

  const websocket: {
    http(request: IncomingMessage, options: { allowDrafts: boolean; maxLength?: number }): Driver;
    isWebSocket(request: IncomingMessage): boolean;
  };
  export default websocket;
}
