// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { aGuest, aManager, aStream } from '../../lib/fake-api.js';
import { waitFor } from '../../lib/wait.js';
import {
  DbusBench,
  FIRST,
  FIRST_PATH,
  GUEST,
  PROPERTIES,
  ROOT,
  STREAM,
  STREAM_PATH,
} from './dbus-support.js';

const OBJECT_MANAGER = 'org.freedesktop.DBus.ObjectManager';

describe('the D-Bus service signals', () => {
  let bench: DbusBench;
  let signals: () => string[];

  beforeEach(async () => {
    bench = new DbusBench();
    await bench.start();
    signals = await bench.monitor();
  });

  afterEach(() => bench.stop());

  /** The signals that `change` sets off; a last one is set off to know when all are there. */
  const signalsOf = async (change: () => void): Promise<string[]> => {
    const mark = `mark-${Math.random()}`;
    await waitFor('the signals before', () => {
      bench.api.managerState = aManager({ policyFile: mark });
      bench.api.changed();
      return signals().some((line) => line.includes(mark));
    });
    const from = signals().length;
    change();
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    bench.api.managerState = { ...bench.api.managerState, policyFile: `${mark}-end` };
    bench.api.changed();
    await waitFor('the last signal', () => signals().some((line) => line.includes(`${mark}-end`)));
    return signals()
      .slice(from)
      .filter((line) => !line.includes(mark));
  };

  it('what has changed, all of a turn in one signal for each object', async () => {
    const lines = await signalsOf(() => {
      bench.api.change(FIRST.id, { captureRequested: true });
      bench.api.change(FIRST.id, { volume: 32_768, mute: true });
      bench.api.change(FIRST.id, { streams: [aStream({ level: 0.25, underruns: 2n })] });
    });

    assert.deepEqual(lines, [
      `${FIRST_PATH}: ${PROPERTIES}.PropertiesChanged ('${GUEST}', ` +
        "{'CaptureRequested': <true>, 'Volume': <0.5>, 'Mute': <true>}, @as [])",
      `${STREAM_PATH}: ${PROPERTIES}.PropertiesChanged ('${STREAM}', ` +
        "{'Underruns': <uint64 2>, 'Level': <0.25>}, @as [])",
    ]);
  });

  it('nothing when nothing has changed, or a constant of the manager', async () => {
    const lines = await signalsOf(() => {
      bench.api.changed();
    });

    assert.deepEqual(lines, []);
  });

  it('guests and streams that come, before what they have, and that go, after it', async () => {
    const second = aGuest(2, { streams: [aStream({ id: 's1_0_0' })] });
    const path = `${ROOT}/guest/${second.id}`;

    const came = await signalsOf(() => {
      bench.api.guestStates = [FIRST, second];
      bench.api.changed();
    });
    const went = await signalsOf(() => {
      bench.api.guestStates = [FIRST];
      bench.api.changed();
    });

    assert.deepEqual(
      came.map((line) => line.split('{', 1)[0]),
      [
        `${ROOT}: ${OBJECT_MANAGER}.InterfacesAdded (objectpath '${path}', `,
        `${ROOT}: ${OBJECT_MANAGER}.InterfacesAdded (objectpath '${path}/s1_0_0', `,
      ],
    );
    assert.match(came[0] ?? '', /'Name': <'guest2'>/);
    assert.deepEqual(went, [
      `${ROOT}: ${OBJECT_MANAGER}.InterfacesRemoved (objectpath '${path}/s1_0_0', ['${STREAM}'])`,
      `${ROOT}: ${OBJECT_MANAGER}.InterfacesRemoved (objectpath '${path}', ['${GUEST}'])`,
    ]);
  });

  it('another stream in the place of one as gone and come', async () => {
    const lines = await signalsOf(() => {
      bench.api.change(FIRST.id, { streams: [aStream({ direction: 'capture' })] });
    });

    assert.deepEqual(
      lines.map((line) => line.split(' ', 2)[1]),
      [`${OBJECT_MANAGER}.InterfacesRemoved`, `${OBJECT_MANAGER}.InterfacesAdded`],
    );
  });

  it('that a guest asks for the microphone, after what it changes', async () => {
    const lines = await signalsOf(() => {
      bench.api.guestStates = [{ ...FIRST, captureRequested: true }];
      bench.api.requestCapture(FIRST.id, 1_234_567_890_123_456n);
      bench.api.requestCapture('gone', 1n);
    });

    assert.deepEqual(lines, [
      `${FIRST_PATH}: ${PROPERTIES}.PropertiesChanged ('${GUEST}', {'CaptureRequested': <true>}, @as [])`,
      `${FIRST_PATH}: ${GUEST}.CaptureRequested (uint64 1234567890123456,)`,
    ]);
  });
});
