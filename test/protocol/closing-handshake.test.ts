import { expect, test } from 'vitest';
import { ClosingHandshake, State } from '../../src/protocol.js';

test('§7.1.5 a connection that ends without a Close frame has the code 1006 and is not clean', () => {
  const closing = new ClosingHandshake();
  expect(closing).toMatchObject({ state: State.Open, sent: false, received: false });
  expect(closing.info).toEqual({ code: 1006, reason: '', wasClean: false });
});

test('§7.1.3 sending a Close frame begins the closing handshake, and tells nothing of how it ends', () => {
  const closing = new ClosingHandshake();
  closing.onSent();
  expect(closing.state).toBe(State.Closing);
  expect(closing.info).toEqual({ code: 1006, reason: '', wasClean: false });
});

test('§7.1.3 receiving a Close frame begins it as well; it is clean once both were exchanged', () => {
  const closing = new ClosingHandshake();
  closing.onReceived(4000, 'why');
  expect(closing.state).toBe(State.Closing);
  expect(closing.info).toEqual({ code: 4000, reason: 'why', wasClean: false });
  closing.onSent();
  expect(closing.info).toEqual({ code: 4000, reason: 'why', wasClean: true });
});

test('§7.1.4 a closed connection stays closed, whatever is told of it later', () => {
  const closing = new ClosingHandshake();
  closing.state = State.Closed;
  closing.onSent();
  closing.onReceived(1000, '');
  expect(closing.state).toBe(State.Closed);
});
