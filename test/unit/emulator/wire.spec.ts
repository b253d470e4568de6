// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import {
  decodeStrings,
  encodeMessage,
  encodeStrings,
  HEADER_BYTES,
  MessageDecoder,
  MessageType,
  PAYLOAD_MAX_BYTES,
  splitFirstString,
  StoreError,
  type Message,
} from '../../emulator/xenstore/wire.js';

const write: Message = {
  type: MessageType.WRITE,
  requestId: 7,
  transactionId: 0xfffffffe,
  payload: Buffer.from('a/b\0value'),
};
const start: Message = {
  type: MessageType.READ,
  requestId: 8,
  transactionId: 0,
  payload: encodeStrings('/a'),
};

describe('xenstore wire codec', () => {
  it('gives back what it encoded', () => {
    assert.deepEqual(new MessageDecoder().push(encodeMessage(write)), [write]);
  });

  it('puts messages together that arrive octet by octet', () => {
    const decoder = new MessageDecoder();
    const octets = Buffer.concat([encodeMessage(write), encodeMessage(start)]);

    const messages = [...octets].flatMap((octet) => decoder.push(Buffer.of(octet)));

    assert.deepEqual(messages, [write, start]);
  });

  it('yields all messages of one chunk and keeps a truncated one', () => {
    const decoder = new MessageDecoder();
    const octets = Buffer.concat([encodeMessage(write), encodeMessage(start)]);

    assert.deepEqual(decoder.push(octets.subarray(0, -1)), [write]);
    assert.deepEqual(decoder.push(octets.subarray(-1)), [start]);
  });

  it('takes the longest payload and refuses one octet more by its header alone', () => {
    const longest = { ...write, payload: Buffer.alloc(PAYLOAD_MAX_BYTES, 1) };
    assert.deepEqual(new MessageDecoder().push(encodeMessage(longest)), [longest]);

    const tooLong = encodeMessage({ ...write, payload: Buffer.alloc(PAYLOAD_MAX_BYTES + 1) });
    assert.throws(() => new MessageDecoder().push(tooLong.subarray(0, HEADER_BYTES)), { code: 'E2BIG' });
  });

  for (const { strings, octets } of [
    { strings: [], octets: '' },
    { strings: [''], octets: '\0' },
    { strings: ['a'], octets: 'a\0' },
    { strings: ['a', '', 'b'], octets: 'a\0\0b\0' },
  ]) {
    it(`encodes ${JSON.stringify(strings)} with a NUL after each`, () => {
      assert.deepEqual(encodeStrings(...strings), Buffer.from(octets));
      assert.deepEqual(decodeStrings(Buffer.from(octets)), strings);
    });
  }

  it('refuses a string without its NUL', () => {
    assert.throws(() => decodeStrings(Buffer.from('a\0b')), StoreError);
    assert.throws(() => splitFirstString(Buffer.from('path')), StoreError);
  });

  it('leaves NULs in a value alone', () => {
    assert.deepEqual(splitFirstString(Buffer.from('p\0a\0b')), ['p', Buffer.from('a\0b')]);
  });
});
