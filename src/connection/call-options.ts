/** Checks of the options of calls: what is unknown or wrong throws a TypeError that names it. */
import { checkBoolean, checkNames, checkOptions, checkSignal } from '../options.js';
import type { SendOptions } from './connection-types.js';
import { checkType } from './sending/payload.js';

/** The signal among the options of `call`, which may have `more` of them. */
export function signalOf(
  call: string,
  options: { readonly signal?: AbortSignal },
  ...more: readonly string[]
): AbortSignal | undefined {
  checkNames(call, options, ['signal', ...more]);
  checkSignal(options.signal);
  return options.signal;
}

/** Checks what says how a message is sent, among the options of `call`. */
export function checkSendOptions(call: string, options: SendOptions): void {
  checkOptions(call, options);
  const { type, compress } = options;
  // For each message: an array of the names would be made for each
  for (const name in options) {
    const known = name === 'type' || name === 'compress';
    if (!known && Object.hasOwn(options, name)) throw new TypeError(`Unknown option: ${name}`);
  }
  if (type !== undefined) checkType(type);
  checkBoolean('compress', compress);
}
