/**
 * permessage-deflate, RFC 7692: compressed messages, without a zlib context for each connection.
 *
 * @module
 */

import { checkNames, checkNumber } from '../../options.js';
import type {
  AcceptedExtension,
  Extension,
  ExtensionFactory,
  ExtensionParameters,
} from '../../protocol/extension.js';
import { Deflater } from './deflater.js';
import { Inflater } from './inflater.js';
import {
  acceptParameters,
  confirmParameters,
  type DeflateParameters,
  MAX_WINDOW_BITS,
  MIN_WINDOW_BITS,
  offerParameters,
} from './parameters.js';

/** Options of {@link permessageDeflate}. */
export interface PermessageDeflateOptions {
  /**
   * The server compresses each message on its own: less memory, worse compression (RFC 7692 §7.1.1.1).
   * Default false.
   */
  readonly serverNoContextTakeover?: boolean;
  /** The client compresses each message on its own (§7.1.1.2). Default false. */
  readonly clientNoContextTakeover?: boolean;
  /** The server's window is 2^bits bytes at most, 8 to 15 (§7.1.2.1). Default 15: 32 KiB. */
  readonly serverMaxWindowBits?: number;
  /**
   * The client's window is 2^bits bytes at most, 8 to 15, if the client agrees to it (§7.1.2.2). Default 15:
   * 32 KiB.
   */
  readonly clientMaxWindowBits?: number;
  /**
   * zlib's level of compression, 1 (fast) to 9 (small). Below 6, a message looks back 2 KiB at most instead
   * of through the whole window, which takes less time and memory. Default 3.
   */
  readonly level?: number;
  /** zlib's memory level, 1 to 9; the memory is only held while a message is compressed. Default 8. */
  readonly memLevel?: number;
  /** Messages of fewer bytes are sent uncompressed. Default 128. */
  readonly threshold?: number;
  /**
   * Messages of as many bytes are compressed in the thread pool, some at a time; smaller ones at once.
   * Default 32768.
   */
  readonly offloadSize?: number;
}

const name = 'permessage-deflate';
const RSV1 = 0x40;

const optionNames = [
  'serverNoContextTakeover',
  'clientNoContextTakeover',
  'serverMaxWindowBits',
  'clientMaxWindowBits',
  'level',
  'memLevel',
  'threshold',
  'offloadSize',
];

/**
 * Makes the extension for the option `extensions` of servers and clients. What carries over between messages
 * is kept as plain data, and only as much as was seen: at most 36 KiB of what came and 5 KiB of what went; 38
 * KiB of what went from level 6 on.
 *
 * @throws TypeError or RangeError by the name of the option
 */
export function permessageDeflate(options: PermessageDeflateOptions = {}): ExtensionFactory {
  checkNames('permessageDeflate()', options, optionNames);
  const wishes: DeflateParameters = {
    serverNoContextTakeover: checkBoolean('serverNoContextTakeover', options.serverNoContextTakeover),
    clientNoContextTakeover: checkBoolean('clientNoContextTakeover', options.clientNoContextTakeover),
    serverMaxWindowBits: checkBits('serverMaxWindowBits', options.serverMaxWindowBits),
    clientMaxWindowBits: checkBits('clientMaxWindowBits', options.clientMaxWindowBits),
  };
  const compression: Compression = {
    level: checkNumber('level', options.level, 3, 1, 9),
    memLevel: checkNumber('memLevel', options.memLevel, 8, 1, 9),
    threshold: checkNumber('threshold', options.threshold, 128, 0, Number.POSITIVE_INFINITY),
    offloadSize: checkNumber('offloadSize', options.offloadSize, 32768, 0, Number.POSITIVE_INFINITY),
  };
  return {
    name,
    offers: (): readonly ExtensionParameters[] => [offerParameters(wishes)],
    accept(offer: ExtensionParameters): AcceptedExtension | null {
      const accepted = acceptParameters(offer, wishes);
      if (accepted === null) return null;
      return {
        parameters: accepted.response,
        extension: makeExtension(accepted.agreed, true, compression),
      };
    },
    confirm: (response: ExtensionParameters): Extension =>
      makeExtension(confirmParameters(response, wishes), false, compression),
  };
}

/** The factories for the option `compression`: true for the defaults, options, or false for none. */
export function compressionExtensions(
  compression: boolean | PermessageDeflateOptions = false,
): readonly ExtensionFactory[] {
  if (typeof compression !== 'boolean' && (compression === null || typeof compression !== 'object')) {
    throw new TypeError(`Option compression is neither a boolean nor an object: ${String(compression)}`);
  }
  if (compression === false) return [];
  return [permessageDeflate(compression === true ? {} : compression)];
}

interface Compression {
  readonly level: number;
  readonly memLevel: number;
  readonly threshold: number;
  readonly offloadSize: number;
}

function makeExtension(agreed: DeflateParameters, server: boolean, compression: Compression): Extension {
  const { serverMaxWindowBits, clientMaxWindowBits, serverNoContextTakeover, clientNoContextTakeover } =
    agreed;
  const encoder = new Deflater({
    ...compression,
    windowBits: server ? serverMaxWindowBits : clientMaxWindowBits,
    contextTakeover: !(server ? serverNoContextTakeover : clientNoContextTakeover),
  });
  const decoder = new Inflater(
    server ? clientMaxWindowBits : serverMaxWindowBits,
    !(server ? clientNoContextTakeover : serverNoContextTakeover),
  );
  return {
    name,
    rsv: RSV1,
    encoder,
    decoder,
    close(): void {
      encoder.close();
      decoder.close();
    },
  };
}

function checkBits(option: string, value: number | undefined): number {
  return checkNumber(option, value, MAX_WINDOW_BITS, MIN_WINDOW_BITS, MAX_WINDOW_BITS);
}

function checkBoolean(option: string, value: boolean | undefined): boolean {
  if (value !== undefined && typeof value !== 'boolean') {
    throw new TypeError(`Option ${option} is not a boolean: ${String(value)}`);
  }
  return value ?? false;
}
