/** How one message is read: whole, in chunks, as a stream, in parts, or not to its end. */
import type { MessageReader } from '../../src/index.js';
import type { Received } from './model.js';
import type { ReadMethod } from './program.js';

/** Reads a message by one method; null when it is not read whole, and `slot` says what was. */
export async function read(
  message: MessageReader,
  method: ReadMethod,
  slot: Received,
  onChunk: (first: boolean) => Promise<void>,
): Promise<string | Uint8Array | null> {
  const text = message.type === 'text';
  if (method === 'ignore') return null;
  if (method === 'cancel') {
    message.cancel();
    return null;
  }
  if (method === 'whole' && text) return await message.text();
  if (method === 'whole' || method === 'bytes') {
    const bytes = method === 'whole' ? await message.bytes() : new Uint8Array(await message.arrayBuffer());
    return text ? Buffer.from(bytes).toString() : bytes;
  }
  if (method === 'parts' || method === 'skip') {
    const all = await readInParts(message, method, slot, onChunk);
    return text ? (all?.toString() ?? null) : all;
  }
  const chunks: Uint8Array[] = [];
  const source = method === 'stream' ? (message.stream() as AsyncIterable<Uint8Array>) : message;
  for await (const chunk of source) {
    chunks.push(Buffer.from(chunk));
    await onChunk(chunks.length === 1);
    if (method === 'leave') {
      slot.part = Buffer.concat(chunks);
      return null;
    }
  }
  const bytes = Buffer.concat(chunks);
  return text ? bytes.toString() : bytes;
}

/** Reads a message part by part, and then what is left; null when bytes of it were skipped, or when it was too short. */
async function readInParts(
  message: MessageReader,
  method: 'parts' | 'skip',
  slot: Received,
  onChunk: (first: boolean) => Promise<void>,
): Promise<Buffer | null> {
  const got: Buffer[] = [];
  let size = 0;
  const keep = async (part: Uint8Array): Promise<void> => {
    got.push(Buffer.from(part));
    size += part.length;
    await onChunk(got.length === 1);
  };
  let asked = 0;
  try {
    asked = 3;
    const head = await message.read(3);
    if (head === null) return method === 'parts' ? Buffer.alloc(0) : null;
    await keep(head);
    if (method === 'skip') {
      asked = 1003;
      await message.skip(1000);
      const data = await message.bytes();
      slot.tail = { data: Buffer.from(data), skipped: 1000 };
      slot.part = Buffer.concat(got);
      return null;
    }
    asked = size + 40;
    for await (const chunk of message.chunks(40)) await keep(chunk);
    asked = size + 900;
    const one = await message.read(900);
    if (one !== null) await keep(one);
    asked = size + 1;
    for await (const chunk of message.chunks(one === null ? 0 : 5000)) {
      await keep(chunk);
      break;
    }
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ERR_UNEXPECTED_END') throw error;
    slot.short = asked;
    slot.part = Buffer.concat(got);
    return null;
  }
  for await (const chunk of message) await keep(chunk);
  return Buffer.concat(got);
}
