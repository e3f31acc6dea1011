/** What the sockets of translate.test.ts cannot show at will. */
import { Duplex } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { hex } from '../../test/fixtures/chunking.js';
import { turn } from '../../test/fixtures/raw-peer.js';
import { writeFrame, writeHixieText } from '../protocol/frames/writer.js';
import { TranslatedEnd } from './translated-end.js';

const mask = hex('37fa213d');

/** A socket whose peer is the test. */
class FakeSocket extends Duplex {
  readonly written: Buffer[] = [];
  override _read(): void {}
  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.written.push(chunk);
    done();
  }
}

function dress(socket: Duplex): TranslatedEnd {
  const random = (count: number): Buffer => Buffer.alloc(count);
  const bounds = { maxMessageBytes: 1000, maxFragments: 10 };
  return new TranslatedEnd(socket, { side: 'upstream', generation: 'hixie-76', random, ...bounds });
}

describe('while nobody reads', () => {
  test('pings do not pile up their pongs: the last is answered', async () => {
    const end = dress(new FakeSocket());
    for (let i = 0; i < 20_000; i++) end.write(writeFrame({ opcode: 9, payload: String(i), mask }));
    await turn();
    expect(end.readableLength).toBeLessThan(2 * end.readableHighWaterMark);
    const read: Buffer[] = [];
    end.on('data', (chunk: Buffer) => read.push(chunk));
    await turn();
    expect(Buffer.concat(read).subarray(-7).toString('hex')).toBe(
      writeFrame({ opcode: 10, payload: '19999' }).toString('hex'),
    );
  });

  test('the last messages outlive their connection', async () => {
    const socket = new FakeSocket({ allowHalfOpen: true });
    const end = dress(socket);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    end.end();
    end.read(0);
    socket.push(writeHixieText('last words'));
    socket.push(hex('ff00'));
    socket.push(null);
    await closed;
    await turn();
    expect(end.destroyed).toBe(false);
    const read: Buffer[] = [];
    for await (const chunk of end) read.push(chunk as Buffer);
    expect(Buffer.concat(read)).toEqual(
      Buffer.concat([writeFrame({ opcode: 1, payload: 'last words' }), hex('880203e8')]),
    );
  });
});

test('a socket that had failed before', async () => {
  const socket = new FakeSocket();
  socket.destroy();
  const end = dress(socket);
  await new Promise((resolve) => end.once('close', resolve));
  expect(end.readableEnded).toBe(false);
});

test('an error is passed on, once, and so is the end of what could not be written', async () => {
  const socket = new FakeSocket();
  const end = dress(socket);
  const failed = new Promise((resolve) => end.once('error', resolve));
  socket.destroy(new Error('torn'));
  expect(await failed).toMatchObject({ message: 'torn' });
  end.write(writeFrame({ opcode: 1, payload: 'late', mask }));
  expect(socket.written).toEqual([]);
});
